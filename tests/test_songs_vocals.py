"""The vocals of a song."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import write_sources
from dttnet.songs import vocals
from dttnet.songs.fonts import Fonts
from dttnet.songs.library import Library
from dttnet.songs.score import TAIL_S, Chord, Section, Song
from dttnet.songs.signals import RATE, level_db, peak, seconds, silence
from dttnet.songs.singing import Phrase, SungNote
from dttnet.songs.studio import Features, Studio
from dttnet.songs.styles import MANNERS, STYLES
from dttnet.songs.vocals import render_vocals
from dttnet.songs.voices import bank_of
from test_songs_voices import utterance

USES = ("voice.sung", "voice.speech", "voice.growled", "voice.vowels", "voice.phrases")
SUNG = frozenset({"vocals", "drums"})
SECTIONS = (
    Section("verse", 0, 2, 0.5, SUNG),
    Section("break", 2, 2, 0.4, frozenset({"drums"})),
    Section("chorus", 4, 2, 0.9, SUNG),
)
SONG = Song("rock", 0.4, 0.0, 2, True, (Chord(0, (0, 3, 7)), Chord(8, (0, 4, 7))) * 3, SECTIONS)


def make_library(root: Path, uses: tuple[str, ...]) -> Library:
    for use in uses:
        (root / use).mkdir(parents=True)
        for index in range(3):
            soundfile.write(root / use / f"{index}.wav", utterance(150.0 + 40 * index, seed=index), RATE)
    if "album" not in uses:
        (root / "album/a").mkdir(parents=True)
    x = np.concatenate([utterance(220.0, seed=index) for index in range(4)])
    soundfile.write(root / "album/a/vocals.wav", np.stack([x, 0.8 * x], axis=1), RATE)
    soundfile.write(root / "album/a/drums.wav", 0.5 * np.ones(RATE), RATE)
    write_sources(root, (*uses, "album"))
    return Library(root)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return make_library(tmp_path_factory.mktemp("sources"), USES)


def studio_of(library: Library, **features: bool) -> Studio:
    # No fonts are played; those of the system would only slow the tests.
    return Studio(library, Fonts(library), Features(**features))


def only(monkeypatch: pytest.MonkeyPatch, manner: str) -> None:
    """All rock is sung in this manner, and nothing else is drawn."""
    monkeypatch.setitem(STYLES, "rock", replace(STYLES["rock"], singing={manner: 1.0}))
    monkeypatch.setattr(vocals, "_ALBUM_SHARE", 0.0)
    monkeypatch.setattr(vocals, "_PLAIN_SHARE", 0.0)


def in_section(x: np.ndarray, section: Section, song: Song = SONG) -> np.ndarray:
    return x[:, seconds(section.first_bar * song.bar_s) :][:, : seconds(section.n_bars * song.bar_s)]


@pytest.mark.parametrize("manner", MANNERS)
def test_every_manner_fills_its_sections(library: Library, monkeypatch: pytest.MonkeyPatch, manner: str) -> None:
    only(monkeypatch, manner)
    x = render_vocals(SONG, studio_of(library, production=manner == "sung"), np.random.default_rng(1))
    assert x.shape == (2, seconds(SONG.duration_s + TAIL_S))
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert 0.2 < peak(x) < 0.9
    for section in (SECTIONS[0], SECTIONS[2]):
        assert level_db(in_section(x, section)) > -50


def test_where_no_vocals_are_planned_there_are_none_but_echoes(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "sung")
    x = render_vocals(SONG, studio_of(library, production=False), np.random.default_rng(2))
    middle = in_section(x, SECTIONS[1])
    # The last word ends, and the first of the chorus may be a pick-up.
    assert peak(middle[:, seconds(1.2) : -seconds(1.3)]) == 0
    silent = replace(SONG, sections=(Section("intro", 0, 6, 0.5, frozenset({"drums"})),))
    assert not render_vocals(silent, studio_of(library), np.random.default_rng(0)).any()


def test_the_same_state_sings_the_same_whatever_was_sung_before(library: Library, tmp_path: Path) -> None:
    dry = Features(production=False)
    first = render_vocals(SONG, Studio(library, Fonts(library), dry), np.random.default_rng(3))
    render_vocals(SONG, Studio(library, Fonts(library), dry), np.random.default_rng(4))
    fresh = make_library(tmp_path, USES)
    for again in (library, fresh):
        x = render_vocals(SONG, Studio(again, Fonts(again), dry), np.random.default_rng(3))
        np.testing.assert_array_equal(first, x)


def test_without_any_source_there_is_silence(tmp_path: Path) -> None:
    library = make_library(tmp_path, ())
    x = render_vocals(SONG, studio_of(library, album=False), np.random.default_rng(0))
    assert x.shape == (2, seconds(SONG.duration_s + TAIL_S))
    assert not x.any()


@pytest.mark.parametrize("use", ["voice.speech", "voice.vowels", "voice.growled"])
def test_one_kind_of_voice_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    only(monkeypatch, "growled" if use == "voice.growled" else "sung")
    library = make_library(tmp_path, (use,))
    studio = studio_of(library, album=False, production=False)
    renders = [render_vocals(SONG, studio, np.random.default_rng(seed)) for seed in range(2)]
    assert any(x.any() for x in renders)
    assert all(np.isfinite(x).all() for x in renders)


def test_voices_that_are_not_sung_are_laid_as_they_are(library: Library) -> None:
    x = render_vocals(SONG, studio_of(library, singing=False, production=False), np.random.default_rng(0))
    # The recording's own silences go: there are no long ones.
    loud = np.abs(in_section(x, SECTIONS[0])).reshape(2, -1)[0]
    assert (np.abs(loud[: len(loud) // 441 * 441].reshape(-1, 441)).max(axis=1) > 1e-3).mean() > 0.6
    assert not in_section(x, SECTIONS[1])[:, seconds(0.6) :].any()


def test_phrases_of_the_album_begin_with_bars_and_need_the_feature(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocals, "_ALBUM_SHARE", 1.0)
    library.used.clear()
    x = render_vocals(SONG, studio_of(library, production=False), np.random.default_rng(0))
    assert set(library.used) == {"album"}
    assert level_db(in_section(x, SECTIONS[0])) > -50
    library.used.clear()
    render_vocals(SONG, studio_of(library, album=False), np.random.default_rng(0))
    assert "album" not in library.used


def test_what_is_sung_is_counted(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "sung")
    library.used.clear()
    render_vocals(SONG, studio_of(library), np.random.default_rng(0))
    assert sum(library.used.values()) > 1
    assert set(library.used) <= set(USES)


def test_dry_leads_stand_in_the_middle(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "sung")
    x = render_vocals(SONG, studio_of(library, production=False), np.random.default_rng(0))
    verse = in_section(x, SECTIONS[0])
    np.testing.assert_allclose(verse[0], verse[1], atol=0.05)


# ------------------------------------------------------------------------------------------------------ who sings what


def a_tape(song: Song = SONG) -> vocals._Tape:
    duration_s = song.duration_s + TAIL_S
    return vocals._Tape(silence(duration_s, n_channels=1), silence(duration_s))


def a_band(library: Library, seed: int, **changes: object) -> vocals._Band:
    """One that does nothing but what is asked for."""
    studio, rng = studio_of(library), np.random.default_rng(seed)
    band = vocals._cast(SONG, SECTIONS, bank_of(library), studio, "sung", rng)
    assert band
    bare = {"others": (), "n_doubles": 0, "harmonies": (), "has_choir": False, "answers": 0.0, "breath_db": -np.inf}
    return replace(band, **(bare | changes))


@pytest.fixture
def sung(monkeypatch: pytest.MonkeyPatch) -> list[Phrase]:
    """All that is sung, in order; for each note there is a click."""
    phrases: list[Phrase] = []

    def click(_bank: object, _singer: object, phrase: Phrase, *_: object) -> tuple[float, np.ndarray]:
        phrases.append(phrase)
        return phrase.notes[0].start_s, np.ones((1, 10), np.float32)

    monkeypatch.setattr(vocals, "sing", click)
    return phrases


def intervals(library: Library, sung: list[Phrase], steps: int) -> list[set[float]]:
    """Between each phrase of choruses and its harmony, of many leads that harmonise themselves."""
    found = []
    for seed in range(40):
        sung.clear()
        band = a_band(library, seed, harmonies=(steps,))
        vocals._perform(SONG, SECTIONS[2:], bank_of(library), band, a_tape(), np.random.default_rng(seed))
        leads = {phrase.notes[0].start_s: phrase for phrase in reversed(sung)}
        for phrase in sung:
            lead = leads[phrase.notes[0].start_s]
            if phrase is not lead:
                found.append({a.pitch - b.pitch for a, b in zip(phrase.notes, lead.notes, strict=True)})
    assert len(found) >= 40
    return found


def test_a_third_above_the_lead_is_a_third_above(library: Library, sung: list[Phrase]) -> None:
    found = intervals(library, sung, 2)
    assert all(interval <= {3, 4} for interval in found)


@pytest.mark.parametrize("steps", [7, -7])
def test_octaves_are_no_unison(library: Library, sung: list[Phrase], steps: int) -> None:
    found = intervals(library, sung, steps)
    assert all(interval in ({12}, {-12}) for interval in found)
    # Where that octave is out of reach it is the other one: of a fifth to a quarter of the phrases.
    assert np.mean([interval == {12 * np.sign(steps)} for interval in found]) > 0.6


def test_a_harmony_far_beyond_its_singer_is_an_octave_away(library: Library) -> None:
    singer = replace(a_band(library, 0).lead, low=52.0, high=66.0)
    phrase = Phrase(tuple(SungNote(0.5 * k, 0.5, pitch, 0.8) for k, pitch in enumerate((62.0, 65.0, 69.0))))
    third = np.array([65, 69, 72])  # in D minor
    for octaves, moved in ((0, 0), (1, -1), (2, -2), (-2, 1)):
        part = vocals._harmonised(SONG, phrase.transposed(12 * octaves), 2, singer)
        assert [note.pitch for note in part.notes] == (third + 12 * (octaves + moved)).tolist()


def test_a_choir_hums_each_chord_once_and_where_vocals_are_planned(library: Library, sung: list[Phrase]) -> None:
    one, other = SONG.chords[:2]
    section = Section("chorus", 1, 4, 0.9, SUNG)
    # Vocals rest after the section, though its last chord stays.
    song = replace(SONG, chords=(one, one, one, one, other, other))
    vocals._hum_chords(song, section, bank_of(library), a_band(library, 0), a_tape(), np.random.default_rng(0))
    held = sorted({(phrase.notes[0].start_s, phrase.notes[0].length_s) for phrase in sung})
    assert held == [pytest.approx((bar * song.bar_s, n_bars * song.bar_s)) for bar, n_bars in ((1, 2), (3, 1), (4, 1))]


@pytest.mark.usefixtures("sung")
def test_bands_lean_to_either_side(library: Library) -> None:
    assert {a_band(library, seed).side for seed in range(10)} == {-1, 1}
    tapes = {side: a_tape() for side in (-1, 1)}
    for side, tape in tapes.items():
        band = a_band(library, 0, n_doubles=1, harmonies=(2,), side=side)
        vocals._perform(SONG, SECTIONS, bank_of(library), band, tape, np.random.default_rng(0))
    assert tapes[1].backing.any()
    np.testing.assert_array_equal(tapes[1].backing, tapes[-1].backing[::-1])
    np.testing.assert_array_equal(tapes[1].lead, tapes[-1].lead)


def test_growls_are_doubled_on_either_side(library: Library) -> None:
    louder = set()
    for seed in range(8):
        tape = a_tape()
        vocals._lay_growls(SONG, SECTIONS, studio_of(library), tape, np.random.default_rng(seed))
        left, right = np.abs(tape.backing).sum(axis=1)
        louder.add(np.sign(right - left))
    assert louder == {-1, 1}
