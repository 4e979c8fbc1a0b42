"""Melodies, and voices that sing them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dttnet.songs.library import Library
from dttnet.songs.score import Chord, Section, Song
from dttnet.songs.signals import RATE, level_db, peak, seconds
from dttnet.songs.singing import (
    LEVEL,
    Phrase,
    Run,
    Singer,
    SungNote,
    breathe,
    compose_melody,
    draw_colour,
    draw_singer,
    draw_tune,
    harmony,
    like,
    sing,
    write_words,
)
from dttnet.songs.styles import MANNERS
from dttnet.songs.voices import FRAME_S, Bank, fundamental
from test_songs_voices import utterance

C_MAJOR, A_MINOR = Chord(0, (0, 4, 7)), Chord(9, (0, 3, 7))
SECTIONS = (
    Section("verse", 0, 4, 0.5, frozenset({"vocals"})),
    Section("chorus", 4, 4, 0.9, frozenset({"vocals"})),
    Section("verse", 8, 4, 0.5, frozenset({"vocals"})),
)
SONG = Song("rock", 0.5, 0.0, 0, False, (C_MAJOR, A_MINOR) * 6, SECTIONS)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    root: Path = tmp_path_factory.mktemp("voices")
    (root / "v").mkdir()
    (root / "sources.yaml").write_text(
        "[{id: v, folder: v, use: voice.sung, title: t, author: a, url: u, licence: CC0-1.0}]"
    )
    for index in range(3):
        soundfile.write(root / f"v/{index}.wav", utterance(200.0, seed=index), RATE)
    return Bank(Library(root))


def a_singer(bank: Bank, *, is_low: bool = False, seed: int = 0, manner: str = "sung") -> Singer:
    sources = bank.library.sources("voice.sung")
    singer = draw_singer(bank, sources, np.random.default_rng(seed), is_low=is_low, manner=manner)
    assert singer
    return singer


def plain(singer: Singer) -> Singer:
    """Without what makes a pitch hard to measure."""
    return replace(singer, breath=0.0, rasp=0.0, vibrato=0.0, detune=0.0, scoop=0.0, fall=0.0, own=0.0)


def test_a_melody_stays_in_its_section_its_range_and_its_key() -> None:
    for seed in range(20):
        tune = draw_tune(np.random.default_rng(seed), "sung")
        phrases = compose_melody(SONG, SECTIONS[1], tune, seed, low=55, high=70)
        notes = [note for phrase in phrases for note in phrase.notes]
        assert all(4 * SONG.bar_s - 2 <= note.start_s < 8 * SONG.bar_s for note in notes)
        assert all(53 <= note.pitch <= 72 for note in notes)
        assert {int(note.pitch) % 12 for note in notes} <= {0, 2, 4, 5, 7, 9, 11}
        assert all(note.length_s > 0 and 0 < note.velocity <= 1 for note in notes)
        for phrase in phrases:
            starts = [note.start_s for note in phrase.notes]
            assert starts == sorted(starts)
            assert not phrase.notes[0].is_slurred


def test_phrases_that_begin_late_and_rest_long_have_notes() -> None:
    slow = replace(SONG, beat_s=1.0)  # a phrase is a bar, and may begin with the second beat
    for seed in range(100):
        tune = replace(draw_tune(np.random.default_rng(seed), "sung"), rest=0.75)
        assert compose_melody(slow, SECTIONS[0], tune, seed, low=55, high=70)


def test_the_same_seed_sings_the_same_melody_again_later_in_the_song() -> None:
    tune = draw_tune(np.random.default_rng(0), "sung")
    first, again = (compose_melody(SONG, SECTIONS[index], tune, 7, low=55, high=70) for index in (0, 2))
    # A pick-up before the first bar of the song is left out there.
    for a, b in zip(first[1:], again[1:], strict=True):
        assert [note.pitch for note in a.notes] == [note.pitch for note in b.notes]
        later = [n.start_s - m.start_s for m, n in zip(a.notes, b.notes, strict=True)]
        assert later == pytest.approx([8 * SONG.bar_s] * len(later))


def test_long_notes_and_first_beats_are_tones_of_the_chord() -> None:
    checked = 0
    for seed in range(10):
        tune = draw_tune(np.random.default_rng(seed), "sung")
        for phrase in compose_melody(SONG, SECTIONS[0], tune, seed, low=50, high=67):
            for note in phrase.notes:
                bar, step = divmod(round(note.start_s / SONG.beat_s * 4), 16)
                if step == 0:
                    chord = SONG.chords[bar]
                    assert int(note.pitch) % 12 in {(chord.root + interval) % 12 for interval in chord.intervals}
                    checked += 1
    assert checked > 10


def test_a_harmony_is_as_many_steps_of_the_scale_away() -> None:
    phrase = Phrase(tuple(SungNote(0.5 * k, 0.5, pitch, 0.8) for k, pitch in enumerate((60.0, 62.0, 64.0, 71.0))))
    assert [note.pitch for note in harmony(SONG, phrase, 2).notes] == [64, 65, 67, 74]
    assert [note.pitch for note in harmony(SONG, phrase, -3).notes] == [55, 57, 59, 65]
    assert [note.pitch for note in harmony(SONG, phrase, 7).notes] == [72, 74, 76, 83]


def test_men_are_lower_and_longer_than_women(bank: Bank) -> None:
    men = [a_singer(bank, is_low=True, seed=seed) for seed in range(30)]
    women = [a_singer(bank, is_low=False, seed=seed) for seed in range(30)]
    assert np.median([m.low for m in men]) + 8 < np.median([w.low for w in women])
    assert np.median([m.formant for m in men]) + 0.05 < np.median([w.formant for w in women])
    assert all(0.75 <= singer.formant <= 1.3 for singer in men + women)


def test_nobody_can_be_drawn_from_nothing(bank: Bank) -> None:
    assert draw_singer(bank, [], np.random.default_rng(0), is_low=True) is None


def test_another_take_differs_and_another_person_has_other_formants(bank: Bank) -> None:
    singer = a_singer(bank)
    again = like(singer, np.random.default_rng(1))
    assert again.formant == singer.formant
    assert again.vibrato_hz != singer.vibrato_hz
    assert like(singer, np.random.default_rng(1), formant=0.05).formant != singer.formant


def test_words_are_as_many_syllables_as_are_needed(bank: Bank) -> None:
    words = write_words(bank, a_singer(bank), 11, np.random.default_rng(0))
    assert sum(run.last - run.first for run in words) == 11


@pytest.mark.parametrize("is_modelled", [False, True])
def test_what_is_sung_has_the_pitches_of_the_melody_at_its_times(bank: Bank, is_modelled: bool) -> None:
    singer = replace(plain(a_singer(bank)), is_modelled=is_modelled, looseness_s=0.0, formant=1.0)
    pitches = (55.0, 59.0, 62.0, 57.0)
    phrase = Phrase(tuple(SungNote(2 + 0.6 * k, 0.6, pitch, 0.8) for k, pitch in enumerate(pitches)))
    words = (Run("0.wav", 0, 3), Run("1.wav", 0, 1))
    start_s, x = sing(bank, singer, phrase, words, np.random.default_rng(0))
    assert x.dtype == np.float32
    assert len(x) == 1
    hz = fundamental(x[0])
    for k, pitch in enumerate(pitches):
        first = int((2 + 0.6 * k + 0.12 - start_s) / FRAME_S)
        part = hz[first : first + 50]
        assert (part > 0).mean() > 0.9
        # A semitone is 1; singers drift by some hundredths.
        assert 12 * np.log2(np.median(part[part > 0]) / 440) + 69 == pytest.approx(pitch, abs=0.3)


def test_a_long_note_lasts_and_is_as_loud_as_others(bank: Bank) -> None:
    singer = plain(a_singer(bank))
    phrase = Phrase((SungNote(1.0, 3.0, 57.0, 1.0),))
    start_s, x = sing(bank, singer, phrase, (Run("0.wav", 1, 2),), np.random.default_rng(0))
    for at_s in (1.3, 2.0, 2.8):
        part = x[:, seconds(at_s - start_s) : seconds(at_s - start_s + 0.2)]
        assert level_db(part) == pytest.approx(20 * np.log10(LEVEL), abs=7)
    assert peak(x[:, seconds(4.4 - start_s) :]) < 0.01


def test_a_slurred_note_needs_no_syllable(bank: Bank) -> None:
    phrase = Phrase((SungNote(0.5, 0.5, 57.0, 0.8), SungNote(1.0, 0.5, 60.0, 0.8, is_slurred=True)))
    assert phrase.n_syllables == 1
    singer = replace(plain(a_singer(bank)), formant=1.0)
    start_s, x = sing(bank, singer, phrase, (Run("0.wav", 0, 1),), np.random.default_rng(0))
    hz = fundamental(x[0])[int((1.15 - start_s) / FRAME_S) :][:40]
    assert 12 * np.log2(np.median(hz[hz > 0]) / 440) + 69 == pytest.approx(60, abs=0.3)


def test_two_takes_are_no_copies_but_the_same_generator_sings_the_same(bank: Bank) -> None:
    singer = a_singer(bank)
    phrase = Phrase((SungNote(0.5, 0.6, 57.0, 0.8), SungNote(1.1, 0.6, 60.0, 0.8)))
    words = write_words(bank, singer, 2, np.random.default_rng(5))
    takes = [sing(bank, singer, phrase, words, np.random.default_rng(seed))[1] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(takes[0], takes[1])
    assert not np.array_equal(takes[0], takes[2])


def test_too_few_words_leave_the_rest_unsung(bank: Bank) -> None:
    phrase = Phrase(tuple(SungNote(0.5 * k, 0.5, 57.0, 0.8) for k in range(1, 5)))
    _, x = sing(bank, plain(a_singer(bank)), phrase, (Run("0.wav", 0, 1),), np.random.default_rng(0))
    assert peak(x[:, : seconds(0.9)]) > 0.02
    assert peak(x[:, seconds(1.5) :]) < 1e-3


@pytest.mark.parametrize("manner", MANNERS)
def test_every_manner_can_be_sung(bank: Bank, manner: str) -> None:
    singer = a_singer(bank, is_low=True, manner=manner, seed=3)
    tune = draw_tune(np.random.default_rng(0), manner)
    phrase = compose_melody(SONG, SECTIONS[0], tune, 1, low=singer.low, high=singer.high)[0]
    words = write_words(bank, singer, phrase.n_syllables, np.random.default_rng(0))
    _, x = sing(bank, singer, phrase, words, np.random.default_rng(0))
    assert np.isfinite(x).all()
    assert -50 < level_db(x) < -10


def test_a_breath_is_noise(bank: Bank) -> None:
    x = breathe(bank, a_singer(bank), 0.3, np.random.default_rng(0))
    assert x.shape[0] == 1
    assert x.shape[1] / RATE == pytest.approx(0.3, abs=0.01)
    assert 0 < peak(x) < 1
    assert (fundamental(x[0]) > 0).mean() < 0.3


def test_a_colour_keeps_the_level_of_a_voice_and_rings_where_it_should() -> None:
    def response(**how: float) -> np.ndarray:
        taps = draw_colour(np.random.default_rng(0), spread_db=0.0, **how)
        return 20 * np.log10(np.abs(np.fft.rfft(taps, 4096)) + 1e-9)

    hz = np.fft.rfftfreq(4096, 1 / RATE)
    flat, ring = response(), response(ring_db=10.0)
    assert np.abs(flat[(hz > 100) & (hz < 15000)]).max() < 0.5
    assert 2500 < hz[np.argmax(ring)] < 3500
    bright = response(bright_db=8.0)
    assert np.interp(8000, hz, bright) - np.interp(500, hz, bright) == pytest.approx(8, abs=1)
