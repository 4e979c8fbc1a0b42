"""Sounds one after the other: each stem is made only of what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import write_sources
from dttnet.songs.fonts import Fonts
from dttnet.songs.library import Library
from dttnet.songs.loose import render_loose
from dttnet.songs.score import TAIL_S, Chord, Section, Song
from dttnet.songs.signals import RATE, seconds
from dttnet.songs.studio import Features, Studio

OWN, FOREIGN = 1000, 3000
"""Hz of the files that belong to a stem, and of those that lie beside them."""

FILES = {
    "drums.machine": {"elec_snare": OWN, "bd_808": OWN, "loop_tabla": FOREIGN, "elec_chime": FOREIGN},
    "drums.acoustic": {"Snare/01-kit": OWN, "Snare/01-room": FOREIGN},
    "other.texture": {"ambi_drone": OWN, "ride_tri": FOREIGN, "arovane_beat_a": FOREIGN, "glitch_robot1": FOREIGN},
    "bass.notes": {"e1_f": OWN},
}


def a_studio(tmp_path: Path, files: dict[str, dict[str, int]]) -> Studio:
    time_s = np.arange(RATE // 4) / RATE
    for use, names in files.items():
        for name, hz in names.items():
            path = tmp_path / use / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, 0.5 * np.sin(2 * np.pi * hz * time_s) * np.hanning(len(time_s)), RATE)
    write_sources(tmp_path, files)
    library = Library(tmp_path, only=tuple(files))
    return Studio(library=library, fonts=Fonts(library), features=Features(playing=False))


def a_song() -> Song:
    section = Section("verse", 0, 8, 0.5, frozenset({"drums", "bass", "other"}))
    return Song("rock", 0.5, 0.0, 0, False, (Chord(0, (0, 4, 7)),) * 8, (section,))


@pytest.mark.parametrize("stem", ["drums", "bass", "other"])
def test_stems_get_only_what_they_are(tmp_path, stem):
    song = a_song()
    x = render_loose(stem, song, a_studio(tmp_path, FILES), np.random.default_rng(0))
    assert x.shape == (2, seconds(song.duration_s + TAIL_S))
    assert np.abs(x).max() == pytest.approx(0.8)
    power = np.abs(np.fft.rfft(x.mean(axis=0))) ** 2
    hertz = np.fft.rfftfreq(x.shape[1], 1 / RATE)
    # Files begin at their onsets, so tones have side lobes, here at -60 dB; foreign files would be as loud as own ones.
    assert power[np.abs(hertz - FOREIGN) < 500].sum() < 1e-4 * power[np.abs(hertz - OWN) < 500].sum()


def test_without_a_sound_of_its_own_a_stem_is_silent(tmp_path):
    studio = a_studio(tmp_path, {"other.texture": {"ride_tri": FOREIGN}, "bass.notes": {"e1_f": OWN}})
    assert not render_loose("other", a_song(), studio, np.random.default_rng(0)).any()
    assert dict(studio.library.used) == {}
