"""The commands `dttnet train` and `dttnet export`: what they say and the exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dttnet.cli import main
from dttnet.errors import UsageError
from dttnet.train_cli import _root


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["train", "nope", "--data", "x"],
            2,
            "configuration 'nope': neither a YAML file nor one of the package .*quick",
        ),
        (["train", "quick"], 2, "--data is missing: give the folder of your stems"),
        (["train", "quick", "--data", "nowhere"], 2, "nowhere: there is no such folder"),
        (["train", "quick", "--data", "x=lots"], 2, "the weight behind = must be a positive number, is 'lots'"),
        (["train", "quick", "stpes=3", "--data", "x"], 2, "stpes is not a known key; did you mean steps?"),
        (["train", "quick", "--data", "x", "--from", "nobody"], 3, "model 'nobody': neither a model"),
        (["export", "nowhere", "-o", "m"], 3, "nowhere: not the folder of a run"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert re.search(message, result.output), result.output
    assert not list(tmp_path.iterdir())


def test_a_root_may_have_a_weight_or_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    assert _root(str(tmp_path)).weight == 1
    assert (_root(f"{tmp_path}=0.25").path, _root(f"{tmp_path}=0.25").weight) == (tmp_path, 0.25)
    odd = tmp_path / "a=2"
    odd.mkdir()
    assert (_root(str(odd)).path, _root(str(odd)).weight) == (odd, 1)
    with pytest.raises(UsageError, match="must be a positive number"):
        _root(f"{tmp_path}=0")
