"""`dttnet doctor`: says what is here, tries it, and fails where something is broken."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from dttnet import doctor, store
from dttnet.cli import main
from dttnet.runtime import choice
from dttnet.runtime.openvino import OpenVinoNetwork


def test_an_installation_that_is_whole_passes() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["takes"] == "onnxruntime on cpu"
    assert {"dttnet", "numpy", "onnxruntime", "openvino", "torch"} <= set(found["versions"])
    assert found["models"] == {name: [] for name in store.shipped()}
    assert [engine["name"] for engine in found["engines"]] == list(choice.ENGINES)
    for engine in found["engines"]:
        assert "cpu" in engine["devices"]
        assert engine["difference_db"] < -80
    assert any(reason.startswith("torch on cuda: ") for reason in found["passed_over"])
    assert found["problems"] == []


def test_for_people_it_is_a_few_lines() -> None:
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert "auto takes onnxruntime on cpu" in lines
    for name in store.shipped():
        assert f"  {name}: ok" in lines
    for engine in choice.ENGINES:
        assert any(line.startswith(f"  {engine}: ok, ") for line in lines)


def test_an_engine_that_is_not_installed_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "openvino" else find(name))
    assert doctor.check_engine("openvino") == doctor.EngineCheck(name="openvino")


def test_an_engine_that_computes_something_else_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(network: OpenVinoNetwork, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.repeat(packed[:, None], len(network.card.stems), axis=1)

    monkeypatch.setattr(OpenVinoNetwork, "__call__", wrong)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 3
    assert "openvino: its output is" in result.output
    assert "dB from ONNX Runtime's" in result.stderr


def test_an_engine_that_does_not_start_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ImportError("libopenvino.so: cannot open shared object file")

    monkeypatch.setattr(OpenVinoNetwork, "__init__", broken)
    assert doctor.check_engine("openvino").problem == ("does not run: libopenvino.so: cannot open shared object file")


def test_a_model_that_is_broken_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = store.DEFAULT_MODEL
    for file in store.find(name).files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0x40
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file.name).write_bytes(content)
    monkeypatch.setattr(store, "_weights", lambda: tmp_path)
    found = doctor.diagnose()
    assert any("sha256" in problem or "not a model" in problem for problem in found.models[name])
    assert found.problems
    assert isinstance(found.to_dict()["problems"], list)


def test_a_model_that_computes_something_else_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    model = store.find(store.DEFAULT_MODEL)
    assert doctor.check_model(model) == []

    probe = store.probe_input
    monkeypatch.setattr(store, "probe_input", lambda card: 2 * probe(card))
    assert all("its output differs from that of its source" in problem for problem in doctor.check_model(model))
    assert len(doctor.check_model(model)) == len(model.files)
