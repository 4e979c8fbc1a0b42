"""`dttnet models compare`: what stands in its rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import gain_model
from dttnet import store
from dttnet.cli import main
from dttnet.comparison import compare
from dttnet.errors import ModelError
from dttnet.runtime.onnx import read_card


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["models", "compare", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_models_of_the_package_are_compared_by_default() -> None:
    rows = [json.loads(line) for line in run("--no-speed", "--json").splitlines()]
    assert [row["name"] for row in rows] == store.shipped()
    for row, name in zip(rows, store.shipped(), strict=True):
        card = read_card(store.find(name).files[0])
        assert row == {
            "name": name,
            "stems": list(card.stems),
            "n_parameters": card.n_parameters,
            "gmac_per_second": card.gmac_per_second,
            "real_time_factor": None,
            "quality": card.quality,
        }


def test_a_file_that_does_not_say_its_cost_is_measured_all_the_same(one_stem: Path) -> None:
    row = compare(str(one_stem), seconds=1)
    assert row.n_parameters is row.gmac_per_second is None
    assert row.real_time_factor is not None
    assert row.real_time_factor > 0
    assert row.quality == ""
    table = run(str(one_stem), "--no-speed").splitlines()
    assert table[1].split() == ["one", "?", "?", "-", "vocals", "not", "measured"]


def test_a_folder_is_one_model(tmp_path: Path) -> None:
    gain_model(tmp_path, {"vocals": 1.0}, name="vocals")
    gain_model(tmp_path, {"bass": 1.0}, name="bass")
    assert compare(str(tmp_path), seconds=None).stems == ("bass", "vocals")


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="nothing"):
        compare("nothing", seconds=None)


def test_the_papers_networks_stand_beside_them_with_the_papers_numbers() -> None:
    rows = [json.loads(line) for line in run("--no-speed", "--paper", "--json").splitlines()]
    paper = {row["name"]: row for row in rows if row["name"].startswith("paper: ")}
    assert set(paper) == {f"paper: {name}" for name in ("dttnet_vocals", "dttnet_bass", "bsrnn_vocals", "tfc_tdf_v3")}
    # Of the papers' networks, and of the tensors of the reference's state dict, where that has no others.
    assert {name.removeprefix("paper: "): row["n_parameters"] for name, row in paper.items()} == {
        "dttnet_vocals": 4_958_468,
        "dttnet_bass": 4_184_388,
        "bsrnn_vocals": 36_417_160,
        "tfc_tdf_v3": 30_119_168,
    }
    assert "uSDR on MUSDB18-HQ vocals 10.15 dB" in paper["paper: dttnet_vocals"]["quality"]
    assert "70 M parameters" in paper["paper: tfc_tdf_v3"]["quality"]
    assert all(row["quality"].startswith("stated by the paper") for row in paper.values())
    assert all(row["gmac_per_second"] > 1 for row in paper.values())
