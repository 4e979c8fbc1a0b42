"""What the README says is true: its commands, its options, its code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dttnet.cli import main, separate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_runs_the_two_set_up_commands_word_for_word() -> None:
    run, test = (block.strip() for block in blocks("sh")[:2])
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert run in [line.strip() for line in ci]
    assert test in ci


def test_every_option_of_separate_is_explained() -> None:
    table = {
        name for row in re.findall(r"^\| (`-.*?) \|", README, re.MULTILINE) for name in re.findall(r"-[-\w]+", row)
    }
    options = {
        name for parameter in separate.params if parameter.param_type_name == "option" for name in parameter.opts
    }
    assert table == options - {"--help", "-h"}


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "stems" / "karaoke.wav").exists()
    assert "stems/karaoke.wav" in capsys.readouterr().out


def test_the_command_line_examples_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [line.split("#")[0].split() for line in blocks("sh")[2].splitlines() if line]
    assert len(commands) >= 4
    for program, *arguments in commands:
        assert program == "dttnet"
        result = CliRunner().invoke(main, [argument.strip('"') for argument in arguments])
        # The songs are not there: the options were understood, and then a song failed or a folder held none.
        assert result.exit_code in (1, 2), result.output
        assert re.search("cannot be read|no file matches", result.output), result.output
