"""Amplifiers: distortion without aliases, loudspeakers, levels."""

from __future__ import annotations

import numpy as np
import pytest

from dttnet.songs.amplifiers import amplify_bass, amplify_guitar
from dttnet.songs.signals import RATE

GAINS = ("clean", "crunch", "high")


def sine(hz: float, duration_s: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(duration_s * RATE)) / RATE)[None].astype(np.float32)


def power(x: np.ndarray) -> np.ndarray:
    """Of a second of sound, one bin for each Hz."""
    return np.abs(np.fft.rfft(x[0] * np.blackman(x.shape[1]))) ** 2


def near(n_bins: int, hz: float) -> np.ndarray:
    """Whether bins are at a multiple of a frequency, or at 0."""
    bins = np.arange(n_bins)
    return np.abs((bins + hz / 2) % hz - hz / 2) < 5


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("hz", [331.0, 1237.0, 2471.0, 4127.0])
def test_guitars_have_no_aliases(gain, hz):
    spectrum = power(amplify_guitar(sine(hz, 2.0), np.random.default_rng(1), gain=gain)[:, RATE:])
    aliased = spectrum[~near(len(spectrum), hz)].sum() / spectrum.sum()
    assert 10 * np.log10(aliased) < -50


@pytest.mark.parametrize("gain", GAINS)
def test_guitar_speakers_stop_at_six_kilohertz(gain):
    for seed in range(5):
        noise = np.random.default_rng(seed).standard_normal((1, RATE)).astype(np.float32)
        spectrum = power(amplify_guitar(noise, np.random.default_rng(seed), gain=gain))
        assert 10 * np.log10(spectrum[8000:].sum() / spectrum[:6000].sum()) < -22
        assert 10 * np.log10(spectrum[:30].sum() / spectrum.sum()) < -30


def test_gain_makes_overtones_and_evens_out_loud_and_soft():
    overtones, ratios = [], []
    for gain in GAINS:
        spectrum = power(amplify_guitar(sine(220.0), np.random.default_rng(2), gain=gain))
        overtones.append(spectrum[300:].sum() / spectrum[200:240].sum())
        both = np.concatenate([sine(220.0), 0.1 * sine(220.0)], axis=1)
        y = amplify_guitar(both, np.random.default_rng(2), gain=gain)
        ratios.append(np.abs(y[:, 10000:40000]).max() / np.abs(y[:, 60000:80000]).max())
    assert overtones[0] < overtones[1] < overtones[2]
    assert ratios[0] > ratios[1] > ratios[2]
    assert ratios[2] < 2.5


@pytest.mark.parametrize("gain", GAINS)
def test_the_level_that_comes_in_does_not_matter(gain):
    x = np.random.default_rng(0).standard_normal((2, 20000)).astype(np.float32)
    loud, soft = (amplify_guitar(x * scale, np.random.default_rng(0), gain=gain) for scale in (1.0, 1e-3))
    assert loud.shape == x.shape
    assert loud.dtype == np.float32
    assert np.abs(loud).max() == pytest.approx(0.7, abs=1e-3)
    np.testing.assert_allclose(loud, soft, atol=1e-4)


def test_silence_stays_silent_and_draws_as_many_numbers():
    silent, rng = np.zeros((1, 1000), np.float32), np.random.default_rng(0)
    assert not amplify_guitar(silent, rng, gain="high").any()
    other = np.random.default_rng(0)
    amplify_guitar(silent + 1, other, gain="high")
    assert rng.random() == other.random()
    assert not amplify_bass(silent, rng).any()


def test_basses_keep_their_fundamental_and_lose_treble():
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((1, RATE)).astype(np.float32)
        spectrum = power(amplify_bass(x, np.random.default_rng(seed), drive_db=0.0, blend=0.0))
        assert spectrum[50:200].mean() > 10 * spectrum[10000:].mean()
        low = power(amplify_bass(sine(55.0), np.random.default_rng(seed), drive_db=24.0, blend=0.0))
        assert low[50:60].sum() > 0.05 * low.sum()


def test_a_blend_of_one_is_the_dry_bass():
    x = sine(55.0)
    y = amplify_bass(x, np.random.default_rng(0), drive_db=20.0, blend=1.0)
    np.testing.assert_allclose(y, x * (0.7 / 0.5), atol=1e-4)
