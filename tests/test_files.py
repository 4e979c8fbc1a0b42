"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dttnet.files import whole_file


def test_a_file_appears_when_the_block_ends_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.json"
    for text in ("first", "second"):
        with whole_file(path) as partial:
            assert partial.name == path.name
            partial.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_after_an_error_all_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_may_be_as_long_as_names_can_be_and_two_files_may_be_made_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / (letter * 255) for letter in "ab"]
    with whole_file(paths[0]) as one, whole_file(paths[1]) as other:
        one.write_text("a")
        other.write_text("b")
    assert [path.read_text() for path in paths] == ["a", "b"]
