"""Small operations on audio that all players need. Audio is (C, N) float32 at RATE; one channel is a mono sound."""

from __future__ import annotations

import functools

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import signal

from dttnet.spans import spans

Float = NDArray[np.float32]

RATE = 44100
"""Sample rate of everything that is made, in Hz."""


def seconds(n: float) -> int:
    """Samples of so many seconds."""
    return round(n * RATE)


def silence(duration_s: float, *, n_channels: int = 2) -> Float:
    """(C, N) zeros."""
    return np.zeros((n_channels, seconds(duration_s)), np.float32)


def stereo(x: Float) -> Float:
    """(2, N) of (1, N) or (2, N)."""
    return np.repeat(x, 2, axis=0) if len(x) == 1 else x


def mono(x: Float) -> Float:
    """(1, N): the mean of the channels."""
    return np.asarray(x.mean(axis=0, keepdims=True), np.float32)


def fade(x: Float, *, start: int = 0, end: int = 0) -> Float:
    """A copy of x that comes in over `start` and goes out over `end` samples."""
    x = x.copy()
    start, end = min(start, x.shape[1]), min(end, x.shape[1])
    if start:
        x[:, :start] *= np.linspace(0, 1, start, dtype=np.float32)
    if end:
        x[:, -end:] *= np.linspace(1, 0, end, dtype=np.float32)
    return x


def add(out: Float, x: Float, start: int, *, gain: float = 1.0, pan: float = 0.0) -> None:
    """Mix x into a stereo `out` from a sample on; what lies outside is dropped. Pan: -1 left, 1 right, by level."""
    if start < 0:
        x, start = x[:, -start:], 0
    x = x[:, : max(0, out.shape[1] - start)]
    if x.shape[1]:
        sides = np.array([[min(1.0, 1 - pan)], [min(1.0, 1 + pan)]], np.float32) * np.float32(gain)
        out[:, start : start + x.shape[1]] += x * sides


def peak(x: Float) -> float:
    """The largest absolute sample; 0 without samples."""
    return float(max(x.max(initial=0), -x.min(initial=0)))


def level_db(x: Float) -> float:
    """RMS over all channels in dB of full scale; -inf for silence."""
    energy = float(np.vdot(x, x))
    return 10 * float(np.log10(energy / x.size)) if energy else -np.inf


def envelope(x: Float, *, hop: int = 441) -> Float:
    """(N // hop,): RMS of the louder channel in each hop."""
    loudest = np.abs(x).max(axis=0)
    n_hops = len(loudest) // hop
    squares = np.square(loudest[: n_hops * hop].reshape(n_hops, hop), dtype=np.float32)
    return np.asarray(np.sqrt(squares.mean(axis=1) + 1e-12), np.float32)


def active_db(x: Float) -> float:
    """RMS of where there is sound, in dB of full scale; 0 for silence."""
    level = envelope(x)
    highest = float(level.max(initial=0))
    # The envelope of silence is not quite 0.
    return 10 * float(np.log10((level[level > 0.05 * highest] ** 2).mean())) if highest > 1e-5 else 0.0


def faster(x: Float, ratio: float) -> Float:
    """Played `ratio` times as fast, so higher by the same ratio (resampling)."""
    if abs(ratio - 1) < 1e-4 or not x.shape[1]:
        return x
    return np.ascontiguousarray(soxr.resample(x.T, RATE * ratio, RATE, quality="HQ").T, np.float32)


def lowpass(x: Float, hz: float, *, order: int = 2) -> Float:
    """Butterworth."""
    return _butterworth(x, "lowpass", hz, order)


def highpass(x: Float, hz: float, *, order: int = 2) -> Float:
    """Butterworth."""
    return _butterworth(x, "highpass", hz, order)


def _butterworth(x: Float, kind: str, hz: float, order: int) -> Float:
    if not x.shape[1]:
        return x  # scipy refuses it
    return np.asarray(signal.sosfilt(_design(kind, hz, order), x, axis=1), np.float32)


@functools.lru_cache(maxsize=256)
def _design(kind: str, hz: float, order: int) -> Float:
    """Second-order sections; to design them takes as long as to filter seconds of sound."""
    sos: Float = signal.butter(order, hz, kind, fs=RATE, output="sos").astype(np.float32)
    return sos


def without_silence(x: Float, *, below_db: float, keep_s: float) -> Float:
    """x without stretches quieter than `below_db` (against its loudest hop), but for `keep_s` around what sounds."""
    hop = 441
    level = envelope(x, hop=hop)
    if not len(level) or level.max() < 1e-5:
        return x[:, :0]
    wide = 2 * int(keep_s * RATE / hop) + 1
    is_kept = np.convolve(level > level.max() * 10 ** (below_db / 20), np.ones(wide), "same") > 0.5
    pieces = [fade(x[:, first * hop : last * hop], start=200, end=400) for first, last in spans(is_kept)]
    return np.concatenate(pieces, axis=1)
