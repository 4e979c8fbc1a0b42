"""The bass of a song."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import write_sources
from dttnet.songs import bass
from dttnet.songs.bass import _gated, render_bass
from dttnet.songs.fonts import Fonts
from dttnet.songs.library import Library
from dttnet.songs.parts import Line
from dttnet.songs.score import TAIL_S, Chord, Note, Section, Song
from dttnet.songs.signals import RATE, active_db, seconds
from dttnet.songs.studio import Features, Studio
from dttnet.songs.styles import STYLES

DRY = Features(fonts=False, production=False)


def a_studio(tmp_path: Path, features: Features, *, uses: tuple[str, ...] = ("bass.notes",)) -> Studio:
    """With decaying saws of E1 to E3; no sound fonts, even where they are installed."""
    time_s = np.arange(2 * RATE) / RATE
    for use in uses:
        (tmp_path / use).mkdir(parents=True, exist_ok=True)
        for name, pitch in (("e1", 28), ("a1", 33), ("d2", 38), ("g2", 43), ("e3", 52)):
            x = 0.4 * ((440 * 2 ** ((pitch - 69) / 12) * time_s) % 1 - 0.5) * np.exp(-time_s)
            soundfile.write(tmp_path / use / f"{name}_f.wav", x, RATE)
    write_sources(tmp_path, uses)
    library = Library(tmp_path, only=uses)
    return Studio(library=library, fonts=Fonts(library), features=features)


@pytest.fixture(scope="module")
def studio_with(tmp_path_factory) -> Callable[[Features], Studio]:
    """The studio with all sources, made once for each set of features."""
    return functools.cache(lambda features: a_studio(tmp_path_factory.mktemp("sources"), features))


def a_song(style: str = "rock") -> Song:
    """Two bars with bass, one without, one with."""
    full = frozenset({"bass", "drums"})
    sections = (
        Section("verse", 0, 2, 0.5, full),
        Section("break", 2, 1, 0.5, frozenset({"vocals"})),
        Section("verse", 3, 1, 0.5, full),
    )
    return Song(style, 0.3, 0.0, 9, True, (Chord(0, (0, 3, 7)),) * 4, sections)


def dry(studio_with: Callable[[Features], Studio], song: Song | None = None) -> np.ndarray:
    return render_bass(song or a_song(), studio_with(DRY), np.random.default_rng(0))


@pytest.mark.parametrize("style", STYLES)
def test_a_bass_lasts_as_long_as_the_song_in_every_style(studio_with, style):
    song = a_song(style)
    x = render_bass(song, studio_with(Features()), np.random.default_rng(len(style)))
    assert x.shape == (2, seconds(song.duration_s + TAIL_S))
    assert x.dtype == np.float32
    assert 0.2 < np.abs(x).max() < 0.9
    assert abs(x.mean()) < 1e-3


def test_a_bass_is_silent_where_it_does_not_play(studio_with):
    x = dry(studio_with)
    loud = np.abs(x).max()
    # Half a second of release; players are up to 30 ms early.
    assert np.abs(x[:, seconds(2.9) : seconds(3.55)]).max() < 1e-3 * loud
    assert np.abs(x[:, seconds(3.6) : seconds(4.2)]).max() > 0.2 * loud
    quiet = replace(a_song(), sections=(Section("verse", 0, 4, 0.5, frozenset({"vocals"})),))
    assert not dry(studio_with, quiet).any()


def test_a_bass_plays_the_root_low(studio_with):
    song = replace(a_song("ballad"), beat_s=0.8)
    x = dry(studio_with, song)[0, seconds(0.05) : seconds(0.6)]
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), 1 << 18))
    loudest = spectrum.argmax() * RATE / (1 << 18)
    assert loudest == pytest.approx(55, rel=0.03)  # A1; half a second tells it from G and B flat


def test_a_dry_bass_is_in_the_middle(studio_with):
    x = dry(studio_with)
    np.testing.assert_array_equal(x[0], x[1])


def test_a_bass_depends_on_the_generator_alone(studio_with):
    studio, song = studio_with(Features()), a_song("punk")
    first = render_bass(song, studio, np.random.default_rng(1))
    render_bass(a_song("trap"), studio, np.random.default_rng(2))
    again = render_bass(song, studio, np.random.default_rng(1))
    np.testing.assert_array_equal(first, again)


def test_without_notes_of_basses_something_else_plays(tmp_path):
    studio = a_studio(tmp_path, DRY, uses=("other.guitar",))
    assert np.abs(render_bass(a_song(), studio, np.random.default_rng(0))).max() > 0.2


def test_notes_that_are_used_are_counted(studio_with):
    studio = studio_with(DRY)
    studio.library.used.clear()
    render_bass(a_song(), studio, np.random.default_rng(0))
    assert studio.library.used["bass.notes"] > 1


def test_active_levels_leave_out_silence():
    x = np.zeros((1, RATE), np.float32)
    x[:, : RATE // 2] = 0.1
    assert active_db(x) == pytest.approx(-20, abs=0.01)
    assert active_db(0 * x) == 0


def test_fingers_are_heard_where_notes_begin_and_end_alone():
    x = np.sin(2 * np.pi * 41.2 * np.arange(4 * RATE) / RATE).astype(np.float32)[None]
    line = Line((Note(1.0, 1.0, 28, 0.8),), ())
    noise = bass._touched(x, line, np.random.default_rng(3)) - x
    is_near = np.zeros(x.shape[1], bool)
    for at_s in (1.0, 2.0):
        # 8 decays of 20 ms at most, and how early or late they are: 2 ms usually.
        is_near[seconds(at_s - 0.02) : seconds(at_s + 0.25)] = True
        assert np.abs(noise[:, seconds(at_s - 0.02) : seconds(at_s + 0.25)]).max() > 1e-3
    # Filters ring on, 100 dB below the note.
    assert np.abs(noise[:, ~is_near]).max() < 1e-5


@pytest.mark.parametrize("seed", range(6))
def test_a_bass_that_is_brought_forward_has_its_share_above_the_low_octaves_and_keeps_what_is_below(seed):
    time_s = np.arange(2 * RATE) / RATE
    harmonics = [0.5 / k**3 * np.sin(2 * np.pi * 55 * k * time_s) for k in range(1, 40)]
    x = np.sum(harmonics, axis=0, dtype=np.float32)[None]
    added = bass._forward(x, np.random.default_rng(seed)) - x
    # Of -12 to -2.2 dB, of all.
    assert 10 ** (-12 / 10) < (added**2).sum() / ((added**2).sum() + (x**2).sum()) < 10 ** (-2.2 / 10)
    power = np.abs(np.fft.rfft(added[0])) ** 2
    hz = np.fft.rfftfreq(len(x[0]), 1 / RATE)
    # Four poles from 150 Hz or higher.
    assert power[hz < 60].sum() < 0.05 * power.sum()


def test_a_silent_bass_is_brought_forward_to_silence():
    assert not bass._forward(np.zeros((1, RATE), np.float32), np.random.default_rng(0)).any()


def test_a_deepened_bass_gets_its_fundamental_and_little_else():
    line = Line((Note(0.0, 2.0, 28, 0.8),), ())
    hz = 440 * 2 ** ((28 - 69) / 12)
    x = 0.3 * np.sin(2 * np.pi * 2 * hz * np.arange(2 * RATE) / RATE).astype(np.float32)[None]
    added = bass._deepened(x, line, np.random.default_rng(0)) - x
    spectrum = np.abs(np.fft.rfft(added[0])) ** 2
    bins = np.fft.rfftfreq(2 * RATE, 1 / RATE)
    # Harmonics of the saturated sine, and its onset, are the rest.
    assert spectrum[np.abs(bins - hz) < 5].sum() > 0.9 * spectrum.sum()
    # 8 dB below what is there at least.
    assert added.std() > 0.39 * x.std()


def test_gated_lines_have_the_notes_they_had_but_shorter():
    line = Line(tuple(Note(0.5 * at, 0.2 + 0.1 * at, 36, 0.8) for at in range(4)))
    for seed in range(20):
        gated = _gated(line, np.random.default_rng(seed))
        assert [replace(note, length_s=0) for note in gated.notes] == [replace(note, length_s=0) for note in line.notes]
        assert all(0 < short.length_s <= note.length_s for short, note in zip(gated.notes, line.notes, strict=True))
