"""Voices taken apart and said again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from dttnet.songs.library import Library
from dttnet.songs.signals import RATE, Float, highpass, level_db, seconds
from dttnet.songs.voices import (
    FRAME_S,
    Bank,
    Recording,
    bank_of,
    by_envelope,
    by_grains,
    envelopes,
    fundamental,
    pitch_marks,
    syllables,
    top_hz,
    with_top,
)

VOWELS = {"a": (800, 1200, 2600, 3500), "i": (300, 2300, 3000, 3600), "o": (450, 800, 2500, 3400)}


def vowel(name: str, hz: float, duration_s: float) -> Float:
    """Pulses through four resonances."""
    time_s = np.arange(seconds(duration_s)) / RATE
    x = sum(np.cos(2 * np.pi * hz * number * time_s) for number in range(1, int(6000 / hz)))
    for formant in VOWELS[name]:
        b, a = signal.iirpeak(formant, formant / 90, fs=RATE)
        x = signal.lfilter(b, a, x) + 0.1 * x
    x *= np.minimum(1, np.minimum(np.arange(len(x)), np.arange(len(x))[::-1]) / seconds(0.02))
    return (0.1 * x / np.sqrt((x**2).mean())).astype(np.float32)


def hiss(rng: np.random.Generator, duration_s: float) -> Float:
    """A consonant."""
    return highpass(0.02 * rng.standard_normal((1, seconds(duration_s)), np.float32), 4000)[0]


def utterance(hz: float = 200.0, *, seed: int = 0) -> Float:
    """(N,) sa-si-so, between silences of 0.2 s: a vowel of 0.3 s after each consonant of 0.1 s."""
    rng = np.random.default_rng(seed)
    silence = np.zeros(seconds(0.2), np.float32)
    parts = [part for name in "aio" for part in (hiss(rng, 0.1), vowel(name, hz, 0.3))]
    x = np.concatenate([silence, *parts, silence])
    return x + 1e-5 * rng.standard_normal(len(x), np.float32)


def recording(x: Float) -> Recording:
    hz = fundamental(x)
    marks, periods, is_voiced = pitch_marks(x, hz)
    level = np.full(len(hz), 0.1, np.float32)
    return Recording(x, hz.astype(np.float32), level, marks, periods, is_voiced, syllables(x, hz))


@pytest.fixture(scope="module")
def said() -> Recording:
    return recording(utterance())


@pytest.mark.parametrize("hz", [90.0, 200.0, 440.0, 700.0])
def test_the_fundamental_is_found_from_men_to_children(hz: float) -> None:
    found = fundamental(vowel("a", hz, 0.8))
    voiced = found[found > 0]
    assert len(voiced) > 0.8 * len(found)
    assert np.median(np.abs(np.log2(voiced / hz))) < 0.01


def test_silence_and_noise_have_no_fundamental() -> None:
    assert not fundamental(np.zeros(RATE, np.float32)).any()
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert (fundamental(noise) > 0).mean() < 0.1


def test_marks_are_a_period_apart_and_elsewhere_regular(said: Recording) -> None:
    gaps = np.diff(said.marks)
    assert (gaps > 0).all()
    within = said.is_voiced[:-1] & said.is_voiced[1:]
    # Those of two vowels lie further apart.
    assert np.median(np.abs(gaps[within] - RATE / 200)) < 1
    assert said.is_voiced.sum() == pytest.approx(0.9 * 200, rel=0.1)


def test_marks_lie_where_the_energy_of_a_period_is() -> None:
    x = vowel("a", 100.0, 0.6)
    marks, _, is_voiced = pitch_marks(x, fundamental(x))
    here = np.array([np.abs(x[int(m) - 60 : int(m) + 60]).mean() for m in marks[is_voiced][5:-5]])
    there = np.array([np.abs(x[int(m) + 160 : int(m) + 280]).mean() for m in marks[is_voiced][5:-5]])
    assert (here > there).mean() > 0.95


def test_an_utterance_is_cut_into_its_syllables_with_the_consonant_before_the_vowel(said: Recording) -> None:
    assert len(said.syllables) == 3
    for index, syllable in enumerate(said.syllables):
        begin = 0.2 + 0.4 * index
        # Frames of 5 ms, smoothed over some of them.
        assert syllable.start_s == pytest.approx(begin, abs=0.06)
        assert begin + 0.09 < syllable.vowel_s < syllable.vowel_end_s < begin + 0.43
        assert syllable.vowel_end_s - syllable.vowel_s > 0.12
        assert syllable.hz == pytest.approx(200, rel=0.01)


def test_silence_has_no_syllables() -> None:
    x = np.zeros(RATE, np.float32)
    assert syllables(x, fundamental(x)) == ()


def straight(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    where_s = np.arange(len(recording.hz)) * FRAME_S
    return where_s, np.ones(len(where_s))


def test_grains_at_the_own_pitch_give_the_recording_back(said: Recording) -> None:
    where_s, gain = straight(said)
    y = by_grains(said, where_s, np.full(len(where_s), 200.0), gain, np.random.default_rng(0))
    assert level_db(y[np.newaxis]) == pytest.approx(level_db(said.x[np.newaxis]), abs=1)
    # The grains stand where the pulses stood but for a constant shift of less than a period.
    a, b = said.x[seconds(0.35) : seconds(0.55)], y[seconds(0.34) : seconds(0.56)]
    match = np.correlate(b, a, "valid") / np.sqrt((a**2).sum() * (b**2).sum())
    assert match.max() > 0.85


@pytest.mark.parametrize(("hz", "formant"), [(150.0, 0.9), (200.0, 1.0), (260.0, 1.1), (400.0, 1.15)])
def test_grains_have_the_wanted_fundamental(said: Recording, hz: float, formant: float) -> None:
    where_s, gain = straight(said)
    y = by_grains(said, where_s, np.full(len(where_s), hz), gain, np.random.default_rng(0), formant=formant)
    found = fundamental(y)
    assert np.median(np.abs(12 * np.log2(found[found > 0] / hz))) < 0.1
    assert level_db(y[np.newaxis]) == pytest.approx(level_db(said.x[np.newaxis]), abs=3)


def formant_of(x: Float) -> float:
    """Centroid around the second formant of "a", without the harmonics' pattern."""
    hz = np.fft.rfftfreq(len(x), 1 / RATE)
    power = np.abs(np.fft.rfft(x)) ** 2
    near = (hz > 1900) & (hz < 4200)
    return float((hz[near] * power[near]).sum() / power[near].sum())


def test_formants_move_with_the_factor() -> None:
    source = recording(vowel("a", 150.0, 0.8))
    where_s, gain = straight(source)
    hz = np.full(len(where_s), 150.0)
    low, high = (
        formant_of(by_grains(source, where_s, hz, gain, np.random.default_rng(0), formant=formant))
        for formant in (0.85, 1.15)
    )
    assert 1.1 < high / low < 1.45


def test_a_whisper_has_no_fundamental(said: Recording) -> None:
    where_s, gain = straight(said)
    y = by_grains(said, where_s, np.full(len(where_s), 200.0), gain, np.random.default_rng(0), is_whispered=True)
    assert level_db(y[np.newaxis]) > level_db(said.x[np.newaxis]) - 6
    assert (fundamental(y) > 0).mean() < 0.25 < (said.hz > 0).mean()


def test_a_held_vowel_is_not_frozen(said: Recording) -> None:
    vowel_of = said.syllables[0]
    n = 200
    where_s = np.full(n, 0.5 * (vowel_of.vowel_s + vowel_of.vowel_end_s))
    y = by_grains(said, where_s, np.full(n, 200.0), np.ones(n), np.random.default_rng(0))
    found = fundamental(y)
    assert np.median(found[found > 0]) == pytest.approx(200, rel=0.01)
    assert len(y) == round(n * FRAME_S * RATE)


def test_world_has_the_wanted_fundamental_and_silence_where_the_gain_is_zero(said: Recording) -> None:
    where_s, gain = straight(said)
    gain[:80] = 0
    codes = envelopes(said.x, said.hz)
    hz = np.full(len(where_s), 110.0)
    y = by_envelope(said, codes, where_s, hz, gain, np.random.default_rng(0), formant=0.85)
    assert np.isfinite(y).all()
    assert not y[: seconds(0.35)].any()
    found = fundamental(y)
    assert np.median(np.abs(12 * np.log2(found[found > 0] / 110))) < 0.1


def test_a_voice_that_ends_at_8_khz_gets_treble_and_a_full_one_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    full = 0.1 * rng.standard_normal(RATE).astype(np.float32)
    assert top_hz(full) == RATE / 2
    assert with_top(full, np.zeros(201), seed=0) is full
    cut = signal.sosfilt(signal.butter(12, 8000, fs=RATE, output="sos"), full).astype(np.float32)
    assert 7000 < top_hz(cut) < 9500
    more = with_top(cut, np.zeros(201), seed=0)
    assert top_hz(more) > top_hz(cut) + 2000
    np.testing.assert_array_equal(more, with_top(cut, np.zeros(201), seed=0))


def test_a_bank_analyses_a_file_once_and_knows_its_speaker(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "sources.yaml").write_text(
        "[{id: v, folder: v, use: voice.sung, title: t, author: a, url: u, licence: CC0-1.0}]"
    )
    for index in range(3):
        soundfile.write(tmp_path / f"v/{index}.wav", utterance(180.0, seed=index), RATE)
    library = Library(tmp_path)
    bank = bank_of(library)
    assert bank_of(library) is bank
    (source,) = library.sources("voice.sung")
    assert bank.recording(source, "0.wav") is bank.recording(source, "0.wav")
    assert bank.median_hz(source) == pytest.approx(180, rel=0.02)
    assert 900 < bank.tract_hz(source) < 1350
    assert not bank.recording(source, "0.wav").x.flags.writeable
    np.testing.assert_array_equal(bank.recording(source, "1.wav").x, Bank(library).recording(source, "1.wav").x)
