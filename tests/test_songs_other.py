"""Everything else that accompanies."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import write_sources
from dttnet.songs.fonts import Fonts
from dttnet.songs.library import Library
from dttnet.songs.other import _KINDS, _draw_player, _perform, _Seat, _where_it_sounds, is_texture, render_other
from dttnet.songs.parts import Line
from dttnet.songs.score import TAIL_S, Chord, Note, Section, Song
from dttnet.songs.signals import RATE, active_db, seconds
from dttnet.songs.studio import Features, Studio
from dttnet.songs.styles import STYLES

DRY = Features(fonts=False, production=False)
GUITARS = ("other.guitar", "other.piano", "other.texture")


def a_studio(tmp_path: Path, features: Features, uses: tuple[str, ...] = GUITARS) -> Studio:
    """With decaying saws; no sound fonts, even where they are installed."""
    time_s = np.arange(2 * RATE) / RATE
    for use in uses:
        folder = tmp_path / use / "acoustic" if use == "other.guitar" else tmp_path / use
        folder.mkdir(parents=True, exist_ok=True)
        for name, pitch in (("e2", 40), ("c3", 48), ("a3", 57), ("e4", 64), ("c5", 72)):
            x = 0.4 * ((440 * 2 ** ((pitch - 69) / 12) * time_s) % 1 - 0.5) * np.exp(-2 * time_s)
            soundfile.write(folder / f"{name}_f.wav", x, RATE)
    write_sources(tmp_path, uses)
    library = Library(tmp_path, only=uses)
    return Studio(library=library, fonts=Fonts(library), features=features)


@pytest.fixture(scope="module")
def studio_with(tmp_path_factory) -> Callable[[Features], Studio]:
    """The studio with all sources, made once for each set of features."""
    return functools.cache(lambda features: a_studio(tmp_path_factory.mktemp("sources"), features))


def a_song(style: str = "rock") -> Song:
    """Two bars with it, one without, one with."""
    full = frozenset({"other", "drums"})
    sections = (
        Section("chorus", 0, 2, 0.8, full),
        Section("break", 2, 1, 0.5, frozenset({"vocals"})),
        Section("chorus", 3, 1, 0.8, full),
    )
    return Song(style, 0.3, 0.0, 9, True, (Chord(0, (0, 3, 7)),) * 4, sections)


@pytest.mark.parametrize("style", STYLES)
def test_it_lasts_as_long_as_the_song_in_every_style(studio_with, style):
    song = a_song(style)
    x = render_other(song, studio_with(Features()), np.random.default_rng(len(style)))
    assert x.shape == (2, seconds(song.duration_s + TAIL_S))
    assert x.dtype == np.float32
    assert 0.2 < np.abs(x).max() < 0.9
    assert abs(x.mean()) < 1e-3


def test_it_is_silent_where_it_does_not_play(studio_with):
    studio = studio_with(DRY)
    for seed in range(3):
        x = render_other(a_song(), studio, np.random.default_rng(seed))
        loud = np.abs(x).max()
        # Nothing rings for more than half a second; players are up to 30 ms early.
        assert np.abs(x[:, seconds(3.0) : seconds(3.55)]).max() < 1e-3 * loud
        assert np.abs(x[:, seconds(3.6) : seconds(4.8)]).max() > 0.1 * loud
    quiet = replace(a_song(), sections=(Section("verse", 0, 4, 0.5, frozenset({"vocals"})),))
    assert not render_other(quiet, studio, np.random.default_rng(0)).any()


def test_no_bass_is_among_it(studio_with):
    studio = studio_with(Features())
    for seed in range(2):
        x = render_other(a_song("reggae"), studio, np.random.default_rng(seed))
        power = np.abs(np.fft.rfft(x.mean(axis=0))) ** 2
        hertz = np.fft.rfftfreq(x.shape[1], 1 / RATE)
        assert power[hertz < 60].sum() < 0.02 * power.sum()


def test_it_depends_on_the_generator_alone(studio_with):
    studio = studio_with(Features())
    first = render_other(a_song("metal"), studio, np.random.default_rng(1))
    render_other(a_song("ambient"), studio, np.random.default_rng(2))
    again = render_other(a_song("metal"), studio, np.random.default_rng(1))
    np.testing.assert_array_equal(first, again)


def test_rhythm_guitars_are_played_twice_left_and_right(studio_with):
    studio, song = studio_with(Features()), a_song("punk")
    for gain in ("crunch", "high"):
        seat = _Seat("power", "electric", frozenset({"chorus"}), gain, is_double=True)
        x, _ = _perform(seat, song, studio, np.random.default_rng(0), song.duration_s)
        left, right = (active_db(side[None]) for side in x)
        assert left == pytest.approx(right, abs=2)
        # Two takes: less alike than one would be on both sides (1), although their notes are one sample here.
        assert np.corrcoef(x)[0, 1] < 0.8


@pytest.mark.parametrize("features", [DRY, Features()])
def test_without_sources_synthesisers_play(tmp_path, features):
    studio = a_studio(tmp_path, features, uses=("other.texture",))
    for seed in range(2):
        assert np.abs(render_other(a_song(), studio, np.random.default_rng(seed))).max() > 0.2


def test_without_fonts_only_notes_are_played(studio_with):
    studio = studio_with(DRY)
    studio.library.used.clear()
    for seed in range(4):
        render_other(a_song("house"), studio, np.random.default_rng(seed))
    assert studio.library.used["other.guitar"] + studio.library.used["other.piano"] > 1


def test_synthesisers_count_as_long_as_their_notes(tmp_path):
    studio = a_studio(tmp_path, DRY, uses=("other.texture",))
    assert _KINDS["theremin"].programs == ()
    player = _draw_player(_Seat("lead", "theremin", frozenset()), studio, np.random.default_rng(0))
    notes = (Note(0.5, 1.0, 60, 0.8), Note(0.5, 1.0, 64, 0.8), Note(3.5, 9.0, 67, 0.8), Note(5.0, 1.0, 67, 0.8))
    player(Line(notes), np.random.default_rng(0), 4.0)
    # A chord's notes count each; nothing does after the end.
    assert dict(studio.library.used) == {"synthesised": 2.5}


@pytest.mark.parametrize(
    "name",
    ["ride_tri", "ride_via", "arovane_beat_a", "bass_hit_c", "glitch_robot1", "ambi_choir", "loop_amen", "x/Crash"],
)
def test_basses_beats_cymbals_and_voices_are_no_textures(name):
    assert not is_texture(f"{name}.ogg")


@pytest.mark.parametrize("name", ["ambi_drone", "ambi_piano", "ambi_glass_rub", "guit_em9", "ambi_lunar_land"])
def test_drones_and_chords_are_textures(name):
    assert is_texture(f"{name}.ogg")


def test_what_hisses_comes_and_goes_without_a_jump():
    x = np.zeros((1, 6 * RATE), np.float32)
    x[:, : RATE // 10] = x[:, 3 * RATE : 3 * RATE + 10] = x[:, -10:] = 1
    y = _where_it_sounds(x, np.ones_like)[0]
    # In over 10 ms, out over 50 ms, straight; `linspace` has both its ends, and float32 resolves 6e-8 below 1.
    steps = np.diff(y)
    assert steps.max() == pytest.approx(1 / (RATE // 100 - 1), abs=1.2e-7)
    assert steps.min() == pytest.approx(-1 / (RATE // 20 - 1), abs=1.2e-7)
    # The middle sounds whole; nothing is cut at the ends, so nothing fades there.
    assert y[0] == y[3 * RATE] == y[-1] == 1
    assert {0.0, 1.0} == {float(y[2 * RATE]), float(y[3 * RATE + 10])}
