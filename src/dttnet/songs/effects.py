"""What is done to sound: equalisers, dynamics, distortion, rooms, echoes, places and codecs.

All of them are pure, (C, N) in and out, as long as they were and in time with what went in: nothing comes earlier or
later but for what an effect is (an echo). Filters run from silence, and what would ring beyond the end is cut off.

Equalisers: Robert Bristow-Johnson, "Cookbook formulae for audio EQ biquad filter coefficients".
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from dttnet.songs.signals import RATE, Float, highpass, lowpass, mono, seconds, stereo

HOP = 64
"""Samples between two values of a gain that is drawn as straight lines."""

Shape = Literal["tanh", "tube", "hard"]
RoomKind = Literal["room", "hall", "plate", "spring"]
Codec = Literal["mp3", "ogg", "opus"]

CODECS: tuple[Codec, ...] = ("mp3", "ogg", "opus")


# ---------------------------------------------------------------------------------------------------- equalisers


@dataclass(frozen=True)
class Band:
    """A bell, a shelf up to ("low") or from ("high") a frequency on, or a high-pass or low-pass of second order.

    Attributes:
        gain_db: Passes have none.
        q: Of a bell, its middle frequency by its width; of a shelf or a pass, its steepness (0.7 does not overshoot).
    """

    kind: Literal["peak", "low", "high", "highpass", "lowpass"]
    hz: float
    gain_db: float = 0.0
    q: float = 0.7


def equalise(x: Float, bands: Sequence[Band]) -> Float:
    """All bands one after the other, in one pass, which costs little more than a single band.

    A bell or shelf of 0 dB does nothing.
    """
    sections = [biquad(band) for band in bands if band.gain_db or band.kind.endswith("pass")]
    if not sections or not x.shape[1]:
        return x.copy()
    y: Float = signal.sosfilt(np.stack(sections), x, axis=1).astype(np.float32)
    return y


def biquad(band: Band) -> NDArray[np.float64]:
    """(6,) a section for `sosfilt`, by the cookbook's letters."""
    a = 10 ** (band.gain_db / 40)
    w = 2 * np.pi * min(band.hz, 0.45 * RATE) / RATE
    cos, alpha = np.cos(w), np.sin(w) / (2 * band.q)
    if band.kind == "peak":
        above = [1 + alpha * a, -2 * cos, 1 - alpha * a]
        below = [1 + alpha / a, -2 * cos, 1 - alpha / a]
    elif band.kind in ("highpass", "lowpass"):
        sign = 1 if band.kind == "highpass" else -1
        above = [(1 + sign * cos) / 2, -sign * (1 + sign * cos), (1 + sign * cos) / 2]
        below = [1 + alpha, -2 * cos, 1 - alpha]
    else:
        # The high shelf is the low shelf with the frequency axis turned round.
        sign = 1 if band.kind == "low" else -1
        sum_, difference, beta = a + 1, sign * (a - 1), 2 * np.sqrt(a) * alpha
        above = [
            a * (sum_ - difference * cos + beta),
            2 * a * (difference - sum_ * cos),
            a * (sum_ - difference * cos - beta),
        ]
        below = [sum_ + difference * cos + beta, -2 * (difference + sum_ * cos), sum_ + difference * cos - beta]
    section: NDArray[np.float64] = np.array([*above, *below]) / below[0]
    return section


# ------------------------------------------------------------------------------------------------------ dynamics


def compress(
    x: Float,
    *,
    threshold_db: float,
    ratio: float,
    attack_s: float,
    release_s: float,
    makeup_db: float = 0.0,
) -> Float:
    """Make loud quieter, all channels alike, with a gain afterwards; see `compression`."""
    gain = compression(x, threshold_db=threshold_db, ratio=ratio, attack_s=attack_s, release_s=release_s)
    return x * (gain * np.float32(10 ** (makeup_db / 20)))


def compression(
    key: Float, *, threshold_db: float, ratio: float, attack_s: float, release_s: float, knee_db: float = 6.0
) -> Float:
    """(N,) the gain of a compressor that hears (C, N).

    The highest sample of each HOP over all channels is its level. What that asks for in dB is followed by a low-pass of
    first order, with one time for going down and one for coming back, and reached at the end of the hop.

    Args:
        threshold_db: The level from which on it works, in dB of full scale; in the middle of the knee.
        ratio: dB in for one dB out, above the knee. Infinite is a limiter, but a late one: see `limiting`.
    """
    over_db = hop_levels_db(key) - threshold_db
    soft_db = np.where(np.abs(over_db) <= knee_db / 2, (over_db + knee_db / 2) ** 2 / (2 * max(knee_db, 1e-9)), over_db)
    wanted_db = -(1 - 1 / ratio) * np.where(over_db <= -knee_db / 2, 0.0, soft_db)
    return _hold(_follow(wanted_db, attack_s, release_s), key.shape[1])


def gating(key: Float, *, threshold_db: float, hold_s: float, release_s: float, floor_db: float = -60.0) -> Float:
    """(N,) the gain of a noise gate that hears (C, N): open above the threshold and `hold_s` longer."""
    is_open = hop_levels_db(key) > threshold_db
    n_hold = round(hold_s * RATE / HOP)
    is_held = ndimage.maximum_filter1d(is_open, n_hold + 1, origin=n_hold // 2) if len(is_open) else is_open
    return _hold(_follow(np.where(is_held, 0.0, floor_db), release_s, 0.001), key.shape[1])


def limiting(key: Float, *, ceiling: float, release_s: float, ahead_s: float = 0.003) -> Float:
    """(N,) the gain that keeps (C, N) below a ceiling everywhere. It looks ahead, so that it need not jump."""
    peaks = _hop_peaks(key)
    if not len(peaks) or peaks.max() <= ceiling:
        return np.ones(key.shape[1], np.float32)
    allowed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    wide = 2 * max(1, round(ahead_s * RATE / HOP)) + 1
    lowest = ndimage.minimum_filter1d(allowed, wide + 2, mode="nearest")
    # What is taken away dies away: the largest of all that came before, each as far as it has fallen since.
    fallen = np.arange(len(lowest)) * (HOP / (release_s * RATE))
    taken = np.log(np.maximum(1 - lowest, 1e-12))
    gains = 1 - np.exp(np.maximum.accumulate(taken + fallen) - fallen)
    # All that is averaged for a hop is below what it and its neighbours allow: so is the mean, and the line to it.
    smooth = ndimage.uniform_filter1d(gains, wide, mode="nearest")
    return _hold(smooth, key.shape[1], first=float(smooth[0])) * np.float32(1 - 1e-6)


def _hop_peaks(key: Float) -> NDArray[np.float64]:
    """(hops,) the highest absolute sample of each; the last hop may be short."""
    if not key.shape[1]:
        return np.zeros(0)
    first, *others = np.abs(key)
    for other in others:
        np.maximum(first, other, out=first)
    peaks: NDArray[np.float64] = np.maximum.reduceat(first, np.arange(0, len(first), HOP)).astype(np.float64)
    return peaks


def hop_levels_db(key: Float) -> NDArray[np.float64]:
    """(hops,) the highest sample of each HOP over all channels in dB, -120 for silence."""
    return 20 * np.log10(np.maximum(_hop_peaks(key), 1e-6))


def _follow(wanted_db: NDArray[np.float64], down_s: float, up_s: float) -> NDArray[np.float64]:
    """(hops,) linear gain that goes after what is wanted, from 0 dB on."""
    down, up = (float(np.exp(-HOP / (max(time_s, 1e-6) * RATE))) for time_s in (down_s, up_s))
    now, gains_db = 0.0, []
    for target in wanted_db.tolist():
        keep = down if target < now else up
        now = target + (now - target) * keep
        gains_db.append(now)
    return 10 ** (np.array(gains_db) / 20)


def _hold(gains: NDArray[np.float64], n_samples: int, *, first: float = 1.0) -> Float:
    """(N,) straight lines from `first` through the gains, each reached with the last sample of its hop."""
    ramp = np.arange(1, HOP + 1, dtype=np.float32) / HOP
    ends = np.concatenate([[first], gains]).astype(np.float32)
    lines: Float = (ends[:-1, None] + np.diff(ends)[:, None] * ramp).astype(np.float32, copy=False)
    return lines.reshape(-1)[:n_samples]


# ---------------------------------------------------------------------------------------------------- distortion


def saturate(x: Float, drive_db: float, *, kind: Shape = "tanh") -> Float:
    """Bend the wave after a gain of `drive_db`. Full scale stays full scale, so what is quiet becomes louder.

    "tanh" is soft and symmetric; "tube" bends one side more (even harmonics); "hard" cuts.
    """
    drive = np.float32(10 ** (drive_db / 20))
    # Soft shapes driven little make no harmonics that would matter beyond half the rate.
    if drive_db < 9 and kind in ("tanh", "tube"):
        return _shape(x, drive, kind)
    twice = soxr.resample(x.T, RATE, 2 * RATE, quality="MQ").T
    back = soxr.resample(_shape(twice, drive, kind).T, 2 * RATE, RATE, quality="MQ").T
    return np.ascontiguousarray(back[:, : x.shape[1]], np.float32)


def _shape(x: Float, drive: np.float32, kind: Shape) -> Float:
    y: Float
    if kind == "hard":
        y = np.clip(x * drive, -1, 1)
    elif kind == "tanh":
        y = np.tanh(x * drive) / np.tanh(drive)
    else:
        bias = np.float32(0.35)
        rest = np.tanh(bias)
        y = highpass((np.tanh(x * drive + bias) - rest) / (np.tanh(drive - bias) + rest), 15, order=1)
    return y


# --------------------------------------------------------------------------------------------------------- rooms


@dataclass(frozen=True)
class _Room:
    """How a kind of reverberation differs.

    Attributes:
        n_early: Single reflections, within `early_s`.
        early: Their energy, as a share of the whole.
        onset_s: Until the tail is at its loudest.
        low_hz: Below, there is nothing.
        split_hz: From here on sound decays faster, by `high_decay`.
    """

    n_early: int
    early_s: float
    early: float
    onset_s: float
    low_hz: float
    split_hz: tuple[float, float]
    high_decay: tuple[float, float]


_ROOMS = {
    "room": _Room(14, 0.045, 0.45, 0.002, 120, (2500, 6000), (0.4, 0.8)),
    "hall": _Room(10, 0.09, 0.12, 0.03, 90, (1800, 4500), (0.3, 0.6)),
    "plate": _Room(0, 0.01, 0.0, 0.0005, 180, (5000, 9000), (0.5, 0.95)),
}


def reverb(
    x: Float,
    rng: np.random.Generator,
    *,
    decay_s: float,
    wet: float,
    pre_s: float = 0.0,
    kind: RoomKind = "room",
) -> Float:
    """(2, N) x with a room around it. One channel comes back from both sides.

    Args:
        decay_s: Until the middle frequencies have fallen by 60 dB.
        wet: Level of the room beside x, which stays as it is: at 1, noise is as loud in the room as itself.
        pre_s: Until the room begins.
    """
    late = seconds(pre_s)
    response = np.pad(room_response(rng, decay_s=decay_s, kind=kind) * np.float32(wet), ((0, 0), (late, 0)))
    return stereo(x) + convolve(x, response)


def room_response(rng: np.random.Generator, *, decay_s: float, kind: RoomKind = "room") -> Float:
    """(2, N) the response of a room, without the direct sound: energy 1 for each side, and no bass."""
    response = _spring(rng, decay_s) if kind == "spring" else _diffuse(rng, decay_s, _ROOMS[kind])
    n_end = min(response.shape[1], seconds(0.02))
    response[:, -n_end:] *= np.linspace(1, 0, n_end, dtype=np.float32)
    response /= np.sqrt((response**2).sum(axis=1, keepdims=True))
    return response


def convolve(x: Float, response: Float) -> Float:
    """(2, N) each side with its own (2, M) response; one channel with both. The rest after N is cut off."""
    n_samples, n_response = x.shape[1], response.shape[1]
    # Powers of two that fit the processor's cache, unless the whole is shorter.
    n_fft = fft.next_fast_len(n_samples + n_response, real=True)
    n_fft = min(n_fft, max(2**18, 2 ** int(np.ceil(np.log2(2 * n_response)))))
    step = n_fft - n_response + 1
    spectrum = fft.rfft(response, n_fft)
    out = np.zeros((2, n_samples + n_fft), np.float32)
    for start in range(0, n_samples, step):
        block = fft.irfft(fft.rfft(x[:, start : start + step], n_fft) * spectrum, n_fft)
        out[:, start : start + n_fft] += block
    return out[:, :n_samples]


def _diffuse(rng: np.random.Generator, decay_s: float, room: _Room) -> Float:
    """(2, N) noise that dies away, the treble faster, after some single reflections."""
    n_samples = max(seconds(0.85 * decay_s), seconds(room.early_s) + HOP)
    time_s = np.arange(n_samples, dtype=np.float32) / RATE
    noise = rng.standard_normal((2, n_samples), np.float32)
    # Sides that have something in common, more so in the bass, as a pair of microphones hears it.
    common = np.float32(rng.uniform(0.0, 0.5))
    noise = noise + common * noise[::-1]
    low = lowpass(noise, rng.uniform(*room.split_hz), order=1)
    falls = [np.exp(np.float32(-6.908 / (decay_s * share)) * time_s) for share in (1.0, rng.uniform(*room.high_decay))]
    tail = low * falls[0] + (noise - low) * falls[1]
    tail *= 1 - np.exp(-time_s / np.float32(room.onset_s))
    if room.n_early:
        early = _reflections(rng, n_samples, room)
        early *= np.sqrt(room.early / (1 - room.early) * (tail**2).sum() / (early**2).sum())
        tail += early
    return highpass(tail, room.low_hz * rng.uniform(0.8, 2.0))


def _reflections(rng: np.random.Generator, n_samples: int, room: _Room) -> Float:
    """(2, N) single echoes, each nearly at the same time on both sides and louder on one."""
    out = np.zeros((2, n_samples), np.float32)
    times_s = np.sort(rng.uniform(0.001, room.early_s, room.n_early))
    for time_s in times_s:
        gain = (0.3 + rng.random()) * np.exp(-time_s / (0.6 * room.early_s)) * rng.choice([-1.0, 1.0])
        pan = rng.uniform(-0.8, 0.8)
        shift = round(rng.uniform(-0.0006, 0.0006) * RATE)
        for side, share, late in ((0, 1 - pan, shift), (1, 1 + pan, -shift)):
            at = min(max(seconds(float(time_s)) + late, 0), n_samples - 1)
            out[side, at] += np.float32(gain * share)
    return lowpass(out, rng.uniform(5000, 14000), order=1)


def _spring(rng: np.random.Generator, decay_s: float) -> Float:
    """(2, N) chirps that run to and fro on springs, of which each side hears others.

    A spring is a chain of all-pass filters: low frequencies arrive first here, and each way more spread out.
    """
    n_fft = fft.next_fast_len(seconds(1.3 * decay_s) + RATE // 2, real=True)
    omega = 2 * np.pi * np.arange(n_fft // 2 + 1) / n_fft
    top_hz = rng.uniform(3000, 4500)
    hz = omega * RATE / (2 * np.pi)
    band = (hz / 120) ** 2 / (1 + (hz / 120) ** 2) / (1 + (hz / top_hz) ** 8)
    out = np.zeros((2, len(omega)), np.complex128)
    for _ in range(2):
        way_s, a, n_stages = rng.uniform(0.03, 0.06), rng.uniform(0.55, 0.7), rng.integers(60, 140)
        # The chain runs at a quarter of the rate, as springs carry little above 4 kHz.
        phase = np.minimum(4 * omega, np.pi)
        chirp = -n_stages * (phase - 2 * np.arctan2(a * np.sin(phase), 1 + a * np.cos(phase)))
        turn = np.exp(1j * (chirp - omega * way_s * RATE))
        keep = 10 ** (-3 * (way_s + 4 * n_stages * (1 - a) / (1 + a) / RATE) / decay_s)
        echoes = turn / (1 + keep * turn)
        out += echoes * rng.uniform(0.3, 1.0, (2, 1)) * rng.choice([-1.0, 1.0])
    response: Float = fft.irfft(out * band, n_fft)[:, : seconds(0.85 * decay_s)].astype(np.float32)
    return response


# --------------------------------------------------------------------------------------------- echoes and motion


def delay(
    x: Float, *, time_s: float, feedback: float, wet: float, ping_pong: bool = False, hz: float = 4000.0
) -> Float:
    """(2, N) x with echoes every `time_s`, each `feedback` of the one before.

    Args:
        wet: Level of the first echo.
        ping_pong: From left and right in turn.
        hz: A low-pass of first order that each echo goes through once more than the one before.
    """
    step = max(seconds(time_s), 1)
    source = np.concatenate([mono(x), np.zeros((1, x.shape[1]), np.float32)]) if ping_pong else stereo(x)
    a = np.exp(-2 * np.pi * hz / RATE)
    b, a = np.array([1 - a], np.float32), np.array([1, -a], np.float32)
    state = np.zeros((2, 1), np.float32)
    out = np.zeros((2, x.shape[1]), np.float32)
    for start in range(step, x.shape[1], step):
        before = slice(start - step, start)
        back = out[::-1, before] if ping_pong else out[:, before]
        echo, state = signal.lfilter(b, a, source[:, before] + np.float32(feedback) * back, axis=1, zi=state)
        out[:, start : start + step] = echo[:, : x.shape[1] - start]
    return stereo(x) + np.float32(wet) * out


def late(x: Float, delay_s: NDArray[np.floating]) -> Float:
    """x as it was `delay_s` (N,) before, which may change; between samples, straight lines."""
    if not x.shape[1]:
        return x.copy()
    at = np.arange(x.shape[1]) - np.asarray(delay_s, np.float64) * RATE
    places = np.arange(x.shape[1], dtype=np.float64)
    return np.stack([np.interp(at, places, side, left=0.0, right=0.0).astype(np.float32) for side in x])


def wander(rng: np.random.Generator, n_samples: int, *, hz: float) -> Float:
    """(N,) a smooth random line between -1 and 1 that turns about `hz` times a second."""
    n_points = max(4, round(n_samples / RATE * hz * 2) + 3)
    points = rng.uniform(-1, 1, n_points)
    # Cubes at a few points a turn, then straight lines: splines at every sample cost too much.
    fine = ndimage.zoom(points, 16, order=3, mode="nearest") if n_samples else points
    at = np.linspace(0, len(fine) - 1, n_samples)
    return np.clip(np.interp(at, np.arange(len(fine)), fine), -1, 1).astype(np.float32)


def chorus(x: Float, rng: np.random.Generator, *, rate_hz: float, depth_s: float, wet: float) -> Float:
    """(2, N) x with a copy whose pitch sways, on each side at another time."""
    time_s = np.arange(x.shape[1]) / RATE
    phase, base_s = rng.uniform(0, 2 * np.pi), rng.uniform(0.004, 0.012) + depth_s
    both = stereo(x)
    swaying = [
        late(both[side : side + 1], base_s + depth_s * np.sin(2 * np.pi * rate_hz * time_s + phase + side * np.pi / 2))
        for side in (0, 1)
    ]
    return both + np.float32(wet) * np.concatenate(swaying)


def phaser(
    x: Float, rng: np.random.Generator, *, rate_hz: float, wet: float, low_hz: float = 300.0, high_hz: float = 2500.0
) -> Float:
    """x with itself through four all-pass filters, so that notches sweep between two frequencies."""
    hop = 16 * HOP
    starts = range(0, x.shape[1], hop)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * rate_hz * np.array(starts) / RATE + rng.uniform(0, 2 * np.pi))
    t = np.tan(np.pi * low_hz * (high_hz / low_hz) ** sweep / RATE)
    out, state = np.empty_like(x), np.zeros((2, len(x), 2), np.float32)
    for start, c in zip(starts, (t - 1) / (t + 1), strict=True):
        pair = np.array([c * c, 2 * c, 1, 1, 2 * c, c * c], np.float32)
        block = x[:, start : start + hop]
        out[:, start : start + hop], state = signal.sosfilt(np.stack([pair, pair]), block, axis=1, zi=state)
    mixed: Float = np.float32(1 / (1 + wet)) * x + np.float32(wet / (1 + wet)) * out
    return mixed


def tremolo(x: Float, *, rate_hz: float, depth: float) -> Float:
    """x, softer by up to `depth` (0 to 1), `rate_hz` times a second."""
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * rate_hz / RATE * np.arange(x.shape[1], dtype=np.float32))
    y: Float = x * (1 - np.float32(depth) * swing)
    return y


def double(x: Float, rng: np.random.Generator, *, n: int, spread: float) -> Float:
    """(2, N) x with n late copies that waver in pitch and level, as if played again, by turns right and left.

    Args:
        spread: How far apart the copies are placed, 0 to 1.
    """
    out = stereo(x).copy()
    source = mono(x)
    for k in range(n):
        wobble = wander(rng, x.shape[1], hz=rng.uniform(0.4, 1.5))
        copy = late(source, rng.uniform(0.012, 0.032) + np.float32(rng.uniform(0.001, 0.004)) * wobble)
        level = rng.uniform(0.4, 0.8) * (1 + 0.25 * wander(rng, x.shape[1], hz=0.7))
        out += place(copy * level.astype(np.float32), pan=(-1) ** k * spread)
    return out


# --------------------------------------------------------------------------------------------------------- places


def place(x: Float, *, pan: float = 0.0, width: float = 1.0) -> Float:
    """(2, N).

    Args:
        pan: -1 left to 1 right, by level: the other side becomes softer.
        width: Factor of the difference between the sides; 0 is mono.
    """
    both = stereo(x)
    if width != 1 and len(x) == 2:
        middle = mono(both)
        both = middle + np.float32(width) * (both - middle)
    gains = np.array([[min(1.0, 1 - pan)], [min(1.0, 1 + pan)]], np.float32)
    return both * gains


# --------------------------------------------------------------------------------------------------------- codecs


_CODECS = {"mp3": ("MP3", "MPEG_LAYER_III", 0.95), "ogg": ("OGG", "VORBIS", 0.99), "opus": ("OGG", "OPUS", 0.85)}
"""What libsndfile calls them, and its compression level beyond which codecs lower the sample rate or code speech."""


_WRITE = 16384
"""Samples that are given to a codec at a time."""


def lossy(x: Float, *, format: Codec, level: float) -> Float:  # noqa: A002  # the field's word
    """x after a codec of variable bit rate.

    The codecs' own delay is gone: MP3 in Ogg's place has a LAME tag and Ogg counts its samples, so that the decoder
    starts at the first sample and stops at the last. Opus codes at 48 kHz, so x is resampled to there and back.

    Args:
        level: 0 (about 260 kbit/s for MP3, 460 for Vorbis, 500 for Opus) to 1 (70, 75 and 50).
    """
    container, subtype, most = _CODECS[format]
    if not x.shape[1]:
        return x.copy()
    rate = 48000 if format == "opus" else RATE
    source = soxr.resample(x.T, RATE, rate, quality="HQ") if rate != RATE else x.T
    options = {"bitrate_mode": "VARIABLE"} if format == "mp3" else {}
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", rate, len(x), subtype, format=container, compression_level=most * level, **options
    ) as writer:
        # The Vorbis encoder keeps each write on the stack: a song at once would crash.
        for start in range(0, len(source), _WRITE):
            writer.write(source[start : start + _WRITE])
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32", always_2d=True)
    back = soxr.resample(decoded, rate, RATE, quality="HQ") if rate != RATE else decoded
    out = np.zeros_like(x)
    n_samples = min(x.shape[1], len(back))
    out[:, :n_samples] = back[:n_samples].T
    return out
