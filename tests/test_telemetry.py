"""Engines are loaded without what would report to their makers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dttnet import store
from dttnet.runtime.telemetry import without_telemetry

VARIABLE = "ORT_DISABLE_TELEMETRY"
ROOT = Path(__file__).parent.parent


def files_at_home(home: Path, *command: str | Path) -> list[Path]:
    """What a run of Python leaves in a new user's home. In the environment of a test run or of CI the packages are
    silent anyway, so it gets none of it."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    subprocess.run([sys.executable, *command], check=True, timeout=300, env={**kept, "HOME": str(home)})
    return [path for path in home.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_an_engine_writes_no_identifier_of_the_user(engine: str, tmp_path: Path) -> None:
    program = f"from dttnet.runtime.{engine} import devices; assert 'cpu' in devices()"
    assert not files_at_home(tmp_path, "-c", program)


def test_nor_does_the_example_for_other_programs(tmp_path: Path) -> None:
    (model,) = store.find("fast").files
    (tmp_path / "home").mkdir()
    arguments = (model, ROOT / "examples/potassium.ogg", tmp_path / "stems")
    assert not files_at_home(tmp_path / "home", ROOT / "examples/embed.py", *arguments)


def test_what_others_load_later_is_their_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    with without_telemetry():
        assert os.environ[VARIABLE] == "1"
        with pytest.raises(ImportError):
            import openvino_telemetry  # noqa: F401  # only whether it can be
    assert VARIABLE not in os.environ
    assert "openvino_telemetry" not in sys.modules


def test_who_has_decided_is_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    with without_telemetry():
        assert os.environ[VARIABLE] == "0"
    assert os.environ[VARIABLE] == "0"
