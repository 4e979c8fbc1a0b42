"""Amplifiers and loudspeakers of guitars and basses.

A guitar amplifier is two clipping stages with filters around them, a tone stack, and a loudspeaker before a microphone.
The clipper is x / sqrt(1 + x^2). Its antiderivative is sqrt(1 + x^2), so the mean of the clipped signal between two
samples is (a + b) / (sqrt(1 + a^2) + sqrt(1 + b^2)): the antialiasing of Parker et al. (DAFx 2016) without its division
by zero. With this, twice the sample rate is enough.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import signal

from dttnet.songs.effects import Band, biquad
from dttnet.songs.signals import RATE, Float, peak

Gain = Literal["clean", "crunch", "high"]

_DRIVE_DB: dict[str, tuple[float, float]] = {"clean": (-8, 6), "crunch": (12, 24), "high": (28, 42)}
_OVERSAMPLING = 3
_N_TAPS = 1024
_GRID_HZ = np.fft.rfftfreq(8192, 1 / RATE)


def amplify_guitar(x: Float, rng: np.random.Generator, *, gain: Gain) -> Float:
    """(C, N) of the dry signal of an electric guitar. All channels pass the same amplifier; the peak becomes 0.7.

    Args:
        x: At any level: it is set before the amplifier.
        rng: Draws the amplifier, its settings, the loudspeaker and the microphone.
        gain: How much it distorts.
    """
    highest = peak(x)
    tight_hz = rng.uniform(60, 200) if gain == "high" else rng.uniform(50, 110)
    boost_hz, boost_db = rng.uniform(600, 1100), rng.uniform(2, 9) if gain == "high" else rng.uniform(0, 4)
    treble_hz = rng.uniform(5000, 8000)
    drive_db = rng.uniform(*_DRIVE_DB[gain])
    bias, second_db = rng.uniform(0.02, 0.35), rng.uniform(3, 9)
    tone = _tone_stack(rng, gain)
    response = _guitar_speaker(rng) * tone
    if highest < 1e-6:
        return np.zeros_like(x)
    before = np.concatenate(
        [
            signal.butter(1, tight_hz, "highpass", fs=RATE, output="sos"),
            biquad(Band("peak", boost_hz, boost_db, 0.6))[None],
            signal.butter(2, treble_hz, "lowpass", fs=RATE, output="sos"),
        ]
    ).astype(np.float32)
    y = signal.sosfilt(before, x * np.float32(10 ** (drive_db / 20) / highest), axis=1)
    y = _clipped(y, bias, n_times=1 if gain == "clean" else _OVERSAMPLING)
    if gain != "clean":
        # The coupling between stages takes out what the first one's bias brought in.
        y = signal.sosfilt(signal.butter(1, 35, "highpass", fs=RATE, output="sos").astype(np.float32), y, axis=1)
        y = _clipped(y * np.float32(10 ** (second_db / 20)), -0.5 * bias)
    y = _convolved(y, _minimum_phase(response))
    return y * np.float32(0.7 / max(peak(y), 1e-9))


def amplify_bass(
    x: Float, rng: np.random.Generator, *, drive_db: float | None = None, blend: float | None = None
) -> Float:
    """(C, N) of the dry signal of a bass, through an amplifier and its cabinet; the peak becomes 0.7.

    Args:
        x: At any level.
        rng: Draws the amplifier, the cabinet and what is not given.
        drive_db: -6 is clean, 12 growls, 30 is fuzz.
        blend: Share of the dry signal, 0 to 1.
    """
    highest = peak(x)
    drive_db = float(rng.uniform(-8, 14)) if drive_db is None else drive_db
    blend = float(rng.uniform(0, 0.7)) if blend is None else blend
    bias, edge_hz = rng.uniform(0.0, 0.3), rng.uniform(60, 200)
    response = _bass_speaker(rng)
    if highest < 1e-6:
        return np.zeros_like(x)
    dry = x / np.float32(highest)
    y = dry * np.float32(10 ** (drive_db / 20))
    if drive_db > 10:
        # A fuzz that is fed the lowest octave farts; the lows go around it.
        low = signal.butter(1, edge_hz, "lowpass", fs=RATE, output="sos").astype(np.float32)
        lows = signal.sosfilt(low, y, axis=1)
        y = _clipped(y - lows, bias) + lows * np.float32(10 ** (-drive_db / 20))
    else:
        y = _clipped(y, bias)
    y = signal.sosfilt(signal.butter(2, 28, "highpass", fs=RATE, output="sos").astype(np.float32), y, axis=1)
    y = _convolved(y, _minimum_phase(response))
    y = y * np.float32((1 - blend) / max(peak(y), 1e-9)) + dry * np.float32(blend)
    return (y * np.float32(0.7 / max(peak(y), 1e-9))).astype(np.float32)


def _clipped(x: Float, bias: float, *, n_times: int = _OVERSAMPLING) -> Float:
    """Softly clipped to -1..1, at so many times the rate, without a delay. Bias makes even harmonics."""
    y = x + np.float32(bias)
    if n_times > 1:
        y = soxr.resample(y.T, RATE, RATE * n_times, quality="MQ").T
    roots = np.sqrt(1 + y * y)
    out = np.empty_like(y)
    out[:, 1:] = (y[:, 1:] + y[:, :-1]) / (roots[:, 1:] + roots[:, :-1])
    out[:, :1] = y[:, :1] / roots[:, :1]
    out -= np.float32(bias / np.sqrt(1 + bias * bias))
    if n_times > 1:
        out = np.ascontiguousarray(soxr.resample(out.T, RATE * n_times, RATE, quality="MQ").T)
    return _as_long(out, x.shape[1])


def _as_long(x: Float, n_samples: int) -> Float:
    if x.shape[1] >= n_samples:
        return x[:, :n_samples]
    return np.pad(x, ((0, 0), (0, n_samples - x.shape[1])))


def _convolved(x: Float, taps: Float) -> Float:
    out: Float = signal.oaconvolve(x, taps[None], axes=1)[:, : x.shape[1]]
    return out


# Responses are drawn as gains in dB on _GRID_HZ, and become short filters at the end.


def _bell_db(hz: float, gain_db: float, octaves: float) -> NDArray[np.float64]:
    """A bump of so many octaves' width."""
    response_db: NDArray[np.float64] = gain_db * np.exp(-0.5 * (np.log2(np.maximum(_GRID_HZ, 10) / hz) / octaves) ** 2)
    return response_db


def _shelf_db(hz: float, gain_db: float) -> NDArray[np.float64]:
    """Gain above hz, over an octave or two."""
    response_db: NDArray[np.float64] = gain_db / (1 + (hz / np.maximum(_GRID_HZ, 10)) ** 2)
    return response_db


def _low_db(hz: float, slope: float) -> NDArray[np.float64]:
    """What a high-pass of slope/6 poles takes away."""
    response_db: NDArray[np.float64] = -10 * np.log10(1 + (hz / np.maximum(_GRID_HZ, 10)) ** (slope / 3))
    return response_db


def _high_db(hz: float, slope: float) -> NDArray[np.float64]:
    """What a low-pass of slope/6 poles takes away."""
    response_db: NDArray[np.float64] = -10 * np.log10(1 + (np.maximum(_GRID_HZ, 10) / hz) ** (slope / 3))
    return response_db


def _ripple_db(rng: np.random.Generator, size_db: float) -> NDArray[np.float64]:
    """Cone and cabinet are uneven: some narrow bumps and dips."""
    bumps = [
        _bell_db(float(2 ** rng.uniform(np.log2(250), np.log2(6000))), rng.normal(0, size_db), rng.uniform(0.06, 0.3))
        for _ in range(8)
    ]
    response_db: NDArray[np.float64] = np.sum(bumps, axis=0)
    return response_db


def _gain(response_db: NDArray[np.float64]) -> NDArray[np.float64]:
    return 10 ** (response_db / 20)


def _tone_stack(rng: np.random.Generator, gain: Gain) -> NDArray[np.float64]:
    # Palm mutes thump and the middle is scooped: records of metal have as much from 120 to 250 Hz as from 2 to 4 kHz.
    low, middle = (
        (rng.uniform(-1, 9), rng.uniform(-16, 1)) if gain == "high" else (rng.uniform(-3, 4), rng.uniform(-6, 3))
    )
    return _gain(
        _bell_db(rng.uniform(90, 160), low, 0.9)
        + _bell_db(rng.uniform(350, 900), middle, 0.8)
        + _shelf_db(rng.uniform(1500, 3000), rng.uniform(-3, 6))
    )


def _guitar_speaker(rng: np.random.Generator) -> NDArray[np.float64]:
    """Ten- or twelve-inch speakers: a hump near 100 Hz, a rise from 1.5 to 4 kHz, and little above 5 kHz.

    A third of them are brighter, as records have them whose treble an equaliser brought back.
    """
    is_open, is_bright = rng.random() < 0.4, rng.random() < 0.33
    edge_hz = rng.uniform(5500, 8500) if is_bright else rng.uniform(4300, 6500)
    response = (
        _low_db(rng.uniform(55, 115), 12 if is_open else 18)
        + _bell_db(rng.uniform(95, 170), rng.uniform(1, 8), 0.5)
        + _bell_db(rng.uniform(300, 600), rng.uniform(-5, 0), 0.6)
        + _bell_db(rng.uniform(1800, 3800), rng.uniform(3, 9), 0.6)
        + np.maximum(_high_db(edge_hz, rng.uniform(16, 28) if is_bright else rng.uniform(20, 42)), -rng.uniform(30, 50))
        # Far above the edge the floor falls too: no loudspeaker has a shelf up to 20 kHz.
        + _high_db(12000 if is_bright else 10000, 24)
        + _ripple_db(rng, 1.6)
    )
    return _gain(response) * _microphone(rng)


def _bass_speaker(rng: np.random.Generator) -> NDArray[np.float64]:
    """Ten- to fifteen-inch speakers, sometimes with a horn for the treble."""
    edge_hz = rng.uniform(5000, 9000) if rng.random() < 0.3 else rng.uniform(2200, 4500)
    response = (
        _low_db(rng.uniform(32, 50), 18)
        + _bell_db(rng.uniform(55, 100), rng.uniform(0, 5), 0.6)
        + _bell_db(rng.uniform(300, 700), rng.uniform(-7, 2), 0.7)
        + _bell_db(rng.uniform(900, 2500), rng.uniform(-2, 6), 0.6)
        + np.maximum(_high_db(edge_hz, rng.uniform(18, 36)), -rng.uniform(35, 50))
        + _high_db(10000, 18)
        + _ripple_db(rng, 1.2)
    )
    return _gain(response)


def _microphone(rng: np.random.Generator) -> NDArray[np.float64]:
    """Close to the cone there is bass and treble; away from it, the reflection of the floor makes a comb."""
    aim = _gain(_shelf_db(2500, -rng.uniform(0, 8)) + _bell_db(120, rng.uniform(0, 4), 0.8))
    late_s, share = rng.uniform(0.0004, 0.004), rng.uniform(0, 0.35)
    gains: NDArray[np.float64] = aim * np.abs(1 + share * np.exp(-2j * np.pi * _GRID_HZ * late_s))
    return gains


def _minimum_phase(response: NDArray[np.float64]) -> Float:
    """(_N_TAPS,) the shortest filter with this gain (by the cepstrum), normalised to a gain of 1 at its loudest."""
    n_fft = 2 * (len(_GRID_HZ) - 1)
    cepstrum = np.fft.irfft(np.log(np.maximum(response / response.max(), 1e-4)))
    fold = np.zeros(n_fft)
    fold[0] = fold[n_fft // 2] = 1
    fold[1 : n_fft // 2] = 2
    taps = np.fft.irfft(np.exp(np.fft.rfft(cepstrum * fold)))[:_N_TAPS]
    taps[-_N_TAPS // 4 :] *= np.hanning(_N_TAPS // 2)[_N_TAPS // 4 :]
    return taps.astype(np.float32)
