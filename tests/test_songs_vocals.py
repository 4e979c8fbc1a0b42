"""The vocals of a song."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dttnet.songs import vocals
from dttnet.songs.fonts import Fonts
from dttnet.songs.library import Library
from dttnet.songs.score import TAIL_S, Chord, Section, Song
from dttnet.songs.signals import RATE, level_db, peak, seconds
from dttnet.songs.studio import Features, Studio
from dttnet.songs.styles import MANNERS, STYLES
from dttnet.songs.vocals import render_vocals
from test_songs_voices import utterance

ENTRY = "- {{id: {use}, folder: {use}, use: {use}, title: t, author: a, url: u, licence: CC0-1.0}}\n"
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
    (root / "sources.yaml").write_text("".join(ENTRY.format(use=use) for use in (*uses, "album")))
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
