"""Sound fonts: what is played counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from dttnet.songs.fonts import Fonts, Part, sounding_s
from dttnet.songs.library import SOUNDFONT_FOLDERS, Library
from dttnet.songs.score import Note

FONT = "FluidR3_GM.sf2"
NOTES = [Note(0.0, 0.5, 60, 0.8), Note(0.0, 0.5, 64, 0.8), Note(1.5, 4.0, 67, 0.8), Note(3.0, 1.0, 67, 0.8)]


def test_each_note_sounds_for_its_length_but_not_after_the_end() -> None:
    assert sounding_s(NOTES, 2.0) == 0.5 + 0.5 + 0.5
    assert sounding_s([], 2.0) == 0


@pytest.mark.skipif(not any((folder / FONT).is_file() for folder in SOUNDFONT_FOLDERS), reason=f"{FONT} is not there")
def test_fonts_count_as_long_as_their_notes(tmp_path: Path) -> None:
    pytest.importorskip("tinysoundfont")  # not among the dependencies: it is installed without its own
    (tmp_path / "drums" / "muldjord").mkdir(parents=True)
    (tmp_path / "drums" / "muldjord" / "a.wav").touch()  # a library needs a file; it is never read
    font = next(folder / FONT for folder in SOUNDFONT_FOLDERS if (folder / FONT).is_file())
    library = Library(tmp_path, soundfonts=[font], only=("soundfont",))
    fonts = Fonts(library)
    (source,) = fonts.sources
    parts = [Part(NOTES, 0), Part(NOTES[:1], 48), Part([], 24)]
    assert fonts.render(source, parts, 2.0, counted=False).any()
    assert not library.used
    assert fonts.render(source, parts, 2.0).shape == (2, 88200)
    assert dict(library.used) == {"fluid": 1.5 + 0.5}
