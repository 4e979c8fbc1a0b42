"""Recorded voices, taken apart: fundamental, pitch marks, syllables and spectral envelopes.

A recording is cut into syllables at the dips of its energy and where its spectrum changes. Each syllable has a stable
part, its vowel, which can be held as long as a note lasts; what lies between two vowels keeps its length.

Fundamental and envelopes are WORLD's (DIO with StoneMask, CheapTrick; Morise 2016).

Two ways back to sound, along a map from the time of the song to that of the recording, with a fundamental of one's own:

- `by_grains`: pitch-synchronous overlap-add (Moulines and Charpentier 1990). The recording's own periods are laid at
  the new distance, each played faster or slower to move the formants. Nothing is modelled, so a voice keeps its grain;
  but it cannot go much lower than it was.
- `by_envelope`: WORLD's synthesis from the envelopes, for a new voice far below the old one. D4C takes five times as
  long as everything else, so the share of noise in the bands is not measured, but drawn as it is in voices.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyworld
import soxr
from numpy.typing import NDArray
from scipy import linalg, ndimage, signal

from dttnet.songs.library import Library, Source
from dttnet.songs.signals import RATE, Float, highpass, lowpass, mono, seconds
from dttnet.spans import spans

Double = NDArray[np.float64]

FRAME_S = 0.005
"""Time between the frames of an analysis."""

UNVOICED_PERIOD = 176.0
"""Samples between the marks where there is no pitch (4 ms)."""

LOWEST_HZ, HIGHEST_HZ = 65.0, 900.0
"""Of a fundamental. A higher limit lets the second harmonics of loud high voices be taken for it."""

TOP_HZ = 15_000.0
"""Voices that end below are given more."""

_LONGEST_S = 22.0
"""What a recording has beyond is not read."""

_N_CODES = 64
"""Mel cepstrum coefficients of an envelope: enough for formants, and a sixteenth of the memory."""


@dataclass(frozen=True)
class Syllable:
    """A part of a recording, in seconds since its start.

    Attributes:
        start_s: Where the consonant begins.
        vowel_s: Where the stable part begins.
        vowel_end_s: Where it ends.
        end_s: Where the next one begins, or the sound is gone.
        hz: Median fundamental of the stable part.
        level: RMS of the stable part.
    """

    start_s: float
    vowel_s: float
    vowel_end_s: float
    end_s: float
    hz: float
    level: float


@dataclass(frozen=True)
class Recording:
    """A voice and its analysis. T frames are FRAME_S apart, M marks one period.

    Attributes:
        x: (N,) the sound, its loud parts at about 0.1 RMS; read only.
        hz: (T,) fundamental, 0 where there is none.
        marks: (M,) samples, in order: where the energy of each period lies; without a pitch, UNVOICED_PERIOD apart.
        periods: (M,) samples.
        is_voiced: (M,) whether there is a pitch.
        level: (T,) RMS around each frame.
        syllables: In order.
    """

    x: Float
    hz: Float
    level: Float
    marks: Double
    periods: Float
    is_voiced: NDArray[np.bool_]
    syllables: tuple[Syllable, ...]

    @property
    def duration_s(self) -> float:
        """Of the sound."""
        return len(self.x) / RATE

    @property
    def median_hz(self) -> float:
        """Of the voiced frames; 0 without any."""
        voiced = self.hz[self.hz > 0]
        return float(np.median(voiced)) if len(voiced) else 0.0


class Bank:
    """The recordings of a library's voices, analysed when first asked for and kept while there is room."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._recording = functools.lru_cache(maxsize=200)(self._analyse)
        self._envelopes = functools.lru_cache(maxsize=200)(self._measure)
        self._tract = functools.cache(self._measure_tract)
        self._median = functools.cache(self._measure_median)

    def recording(self, source: Source, name: str) -> Recording:
        """A file of a source.

        Raises:
            AudioError: As `Library.read`.
        """
        return self._recording(source, name)

    def envelopes(self, source: Source, name: str) -> Float:
        """(T, codes) of the same file, as `envelopes`.

        Raises:
            AudioError: As `Library.read`.
        """
        return self._envelopes(source, name)

    def tract_hz(self, source: Source) -> float:
        """Mean distance of the formants of a speaker: about 1030 Hz of men, 1170 of women, more of children."""
        return self._tract(source)

    def median_hz(self, source: Source) -> float:
        """Median fundamental of a speaker, over some files; 0 if nothing is voiced."""
        return self._median(source)

    def _analyse(self, source: Source, name: str) -> Recording:
        x = mono(self.library.read(source, name))[0, : seconds(_LONGEST_S)]
        x = highpass(x[np.newaxis], 50)[0]
        x = x * np.float32(0.1 / _loud(x))
        hz = fundamental(x)
        x = with_top(x, hz, seed=zlib.crc32(name.encode()))
        x.flags.writeable = False
        marks, periods, is_voiced = pitch_marks(x, hz)
        return Recording(x, hz.astype(np.float32), _levels(x, len(hz)), marks, periods, is_voiced, syllables(x, hz))

    def _measure(self, source: Source, name: str) -> Float:
        recording = self.recording(source, name)
        return envelopes(recording.x, recording.hz)

    def _some(self, source: Source) -> list[Recording]:
        names = self.library.files(source)
        return [self.recording(source, name) for name in names[:: max(1, len(names) // 4)][:5]]

    def _measure_median(self, source: Source) -> float:
        found = [recording.median_hz for recording in self._some(source)]
        return float(np.median([hz for hz in found if hz] or [0.0]))

    def _measure_tract(self, source: Source) -> float:
        found = [hz for recording in self._some(source) for hz in _formant_distances(recording)]
        # Between the harmonics of high voices formants are hard to see, and few measurements say little.
        median_hz = self.median_hz(source)
        typical = float(np.interp(median_hz, [110, 300], [1060, 1170]))
        trust = float(np.interp(median_hz, [170, 300], [0.7, 0.15])) * min(1.0, len(found) / 20)
        return float((1 - trust) * typical + trust * np.clip(np.median(found), 900, 1350)) if found else typical


@functools.lru_cache(maxsize=4)
def bank_of(library: Library) -> Bank:
    """The bank of a library: the same one for the same library, so that nothing is analysed twice."""
    return Bank(library)


def fundamental(x: Float) -> Double:
    """(T,) fundamental of (N,) in Hz, 0 where there is none.

    A voice does not leap by an octave from one moment to the next: such frames are moved back.
    """
    y = np.ascontiguousarray(x, np.float64)
    found, times = pyworld.dio(
        y, RATE, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=1000 * FRAME_S, speed=4, allowed_range=0.15
    )
    hz = pyworld.stonemask(y, found, times, RATE)
    voiced = np.flatnonzero(hz > 0)
    if not len(voiced):
        return hz
    logs = np.log2(hz[voiced])
    usual = np.full(len(logs), np.median(logs))
    # Most of a voicebank is sung on one pitch; what is not is measured by what is around.
    if (np.abs(logs - usual) < 0.2).mean() < 0.6:
        usual = ndimage.median_filter(logs, size=81, mode="nearest")
    away = np.round(logs - usual)
    logs -= np.where(np.abs(logs - away - usual) < 0.2, away, 0)
    hz[voiced] = np.where(np.abs(logs - usual) > 0.6, 0.0, 2**logs)
    # What hums in silence is the mains, and a stretch of a few frames is a door that creaks.
    level = _levels(x, len(hz))
    hz[level < 0.012 * np.percentile(level, 95)] = 0
    runs = ndimage.label(hz > 0)[0]
    lengths = np.bincount(runs)
    hz[lengths[runs] < 5] = 0
    return hz


def pitch_marks(x: Float, hz: Double) -> tuple[Double, Float, NDArray[np.bool_]]:
    """(M,) samples, (M,) periods in samples, (M,) whether voiced.

    The phase of the fundamental is that of x, moved down by the measured frequency and smoothed; the marks are put
    where in each period the energy lies.
    """
    n = len(x)
    is_voiced = hz > 0
    if not is_voiced.any():
        even = np.arange(0.0, n, UNVOICED_PERIOD)
        return even, np.full(len(even), UNVOICED_PERIOD, np.float32), np.zeros(len(even), bool)
    places = np.arange(len(hz)) * FRAME_S * RATE
    # A quarter of the rate is plenty for the fundamental and for where in a period the energy lies.
    whole = x[: max(4, n // 4 * 4)].reshape(-1, 4)
    at = 4 * np.arange(len(whole)) + 1.5
    fine = np.interp(at, places[is_voiced], hz[is_voiced])
    phase = 2 * np.pi * np.cumsum(fine) * 4 / RATE
    slow = seconds(0.024) // 4
    moved = _smooth(whole.mean(axis=1) * np.exp(-1j * phase).astype(np.complex64), slow)
    total = phase + np.unwrap(np.angle(moved))
    energy = _smooth((whole**2).mean(axis=1) * np.exp(-1j * total).astype(np.complex64), 2 * slow)
    total = np.maximum.accumulate(total + np.unwrap(np.angle(energy)))
    marks: list[Double] = []
    voiced: list[NDArray[np.bool_]] = []
    now = 0.0
    for first, last in spans(is_voiced):
        inside = slice(int(max(0, places[first] - 110)) // 4, int(min(n, places[last - 1] + 110)) // 4)
        turns = total[inside] / (2 * np.pi)
        found = np.interp(np.arange(np.ceil(turns[0]), turns[-1]), turns, at[inside]) if len(turns) else np.zeros(0)
        before = np.arange(now, found[0] - 0.5 * UNVOICED_PERIOD if len(found) else now, UNVOICED_PERIOD)
        marks += [before, found]
        voiced += [np.zeros(len(before), bool), np.ones(len(found), bool)]
        now = found[-1] + UNVOICED_PERIOD if len(found) else now
    rest = np.arange(now, n, UNVOICED_PERIOD)
    marks.append(rest)
    voiced.append(np.zeros(len(rest), bool))
    places_, are_voiced = np.concatenate(marks), np.concatenate(voiced)
    periods = np.where(are_voiced, RATE / np.interp(places_, at, fine), UNVOICED_PERIOD)
    return places_, periods.astype(np.float32), are_voiced


def syllables(x: Float, hz: Double) -> tuple[Syllable, ...]:
    """Cut (N,) with its (T,) fundamental."""
    bands = _bands_db(x, len(hz))
    sonority = ndimage.gaussian_filter1d(10 * np.log10((10 ** (bands[:, 2:16] / 10)).mean(axis=1)), 3)
    loud = float(np.percentile(sonority, 95))
    if loud < -65:
        return ()
    smooth = ndimage.gaussian_filter1d(np.maximum(bands, loud - 45), 1.5, axis=0)
    change = np.abs(np.roll(smooth, -3, axis=0) - np.roll(smooth, 3, axis=0)).mean(axis=1)
    change[:3] = change[-3:] = 20
    near = ndimage.maximum_filter1d(sonority, 61)
    is_sounding = (sonority > near - 9) & (sonority > loud - 25)
    is_voiced = ndimage.binary_closing(hz > 0, np.ones(5))
    # Whispers have no pitch: there the loud parts are the vowels.
    if is_voiced.mean() > 0.1:
        is_sounding &= is_voiced
    if not is_sounding.any():
        return ()
    calm = float(np.clip(np.percentile(change[is_sounding], 60), 1.5, 5.0))
    is_stable = ndimage.binary_opening(is_sounding & (change < calm), np.ones(5))
    is_stable = ndimage.binary_closing(is_stable, np.ones(5))
    stable = [(int(first), int(last)) for first, last in spans(is_stable) if last - first >= 6]
    if not stable:
        return ()
    heard = sonority > loud - 42
    heard |= ndimage.gaussian_filter1d(bands[:, 12:].max(axis=1), 2) > loud - 42  # fricatives
    starts, ends = [], []
    for index, (first, last) in enumerate(stable):
        before = stable[index - 1][1] if index else 0
        after = stable[index + 1][0] if index + 1 < len(stable) else len(hz) - 1
        starts.append(_reach(heard, first, max(before, first - 50), -1))
        ends.append(_reach(heard, last, min(after, last + 50), 1))
    found = []
    for index, (first, last) in enumerate(stable):
        start, end = starts[index], ends[index]
        if index and starts[index] <= ends[index - 1]:
            start = _joint(sonority, stable[index - 1][1], first)
        if index + 1 < len(stable) and starts[index + 1] <= end:
            end = _joint(sonority, last, stable[index + 1][0])
        part = x[seconds(first * FRAME_S) : seconds(last * FRAME_S)]
        pitch = hz[first:last][hz[first:last] > 0]
        found.append(
            Syllable(
                start * FRAME_S,
                first * FRAME_S,
                last * FRAME_S,
                end * FRAME_S,
                float(np.median(pitch)) if len(pitch) else 0.0,
                float(np.sqrt((part**2).mean()) + 1e-6),
            )
        )
    return tuple(found)


def envelopes(x: Float, hz: Float) -> Float:
    """(T, codes) mel cepstra of the spectral envelope of (N,), by its (T,) fundamental."""
    y = np.ascontiguousarray(x, np.float64)
    times = np.arange(len(hz)) * FRAME_S
    spectrum = pyworld.cheaptrick(y, hz.astype(np.float64), times, RATE)
    return pyworld.code_spectral_envelope(spectrum, RATE, _N_CODES).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Roughness:
    """How uneven periods are.

    Attributes:
        jitter: Standard deviation of their length, as a share of it.
        shimmer: Of their amplitude.
        subharmonic: How much weaker every second one is, 0 to 1: a creak, an octave below.
    """

    jitter: float = 0.0
    shimmer: float = 0.0
    subharmonic: float = 0.0


def by_grains(
    recording: Recording,
    where_s: Double,
    hz: Double,
    gain: Double,
    rng: np.random.Generator,
    *,
    formant: float = 1.0,
    roughness: Roughness | None = None,
    is_whispered: bool = False,
) -> Float:
    """Say a recording again.

    Args:
        recording: What is said.
        where_s: (F,) for each frame of FRAME_S of the result, the place in the recording.
        hz: (F,) fundamental where the recording has one.
        gain: (F,) factor.
        rng: For the grains that are taken twice, and roughness.
        formant: Factor of the formants' frequencies.
        roughness: None is what the recording has.
        is_whispered: Without any pitch.

    Returns:
        (N,) of F frames.
    """
    rough = roughness or Roughness()
    n_frames, hop = len(where_s), FRAME_S * RATE
    n = round(n_frames * hop)
    where = where_s * RATE
    low = max(0, int(where.min()) - 1500)
    part = recording.x[low : int(where.max()) + 1500]
    # Twice as fine, so that samples between two can be taken from the line between them.
    fine = np.pad(soxr.resample(part, formant, 2.0, quality="MQ"), (0, 8000))
    marks, frames = recording.marks, np.arange(n_frames, dtype=np.float64)
    is_voiced = recording.is_voiced[_nearest(marks, where)] & (not is_whispered)
    rate = np.where(is_voiced, hz, RATE * formant / UNVOICED_PERIOD)
    phase = np.cumsum(rate) * FRAME_S
    numbers = np.arange(np.floor(phase[0]) + 1, phase[-1])
    if not len(numbers) or len(fine) < 8:
        return np.zeros(n, np.float32)
    times = np.interp(numbers, phase, frames)
    # A held sound comes back to the same periods: take neighbours now and then, or the ear finds a loop.
    chosen = _nearest(marks, np.interp(times, frames, where))
    slow = np.interp(times, frames, np.abs(np.gradient(where)) < 0.5 * hop) > 0.5
    reach = np.where(recording.is_voiced[chosen] & (not is_whispered), 1, 4)
    others = np.clip(chosen + np.round(slow * reach * rng.uniform(-1, 1, len(chosen))).astype(int), 0, len(marks) - 1)
    same = recording.is_voiced[others] == recording.is_voiced[chosen]
    chosen = np.where(same, others, chosen)
    voiced = recording.is_voiced[chosen] & (not is_whispered)
    old = recording.periods[chosen] / formant
    new = np.where(voiced, RATE / np.interp(times, frames, rate), old)
    half = np.clip(new, old, 1.35 * old)
    at = times * hop
    level = np.interp(times, frames, gain) * np.where(voiced, np.sqrt(np.clip(new / old, 0.4, 2.5)), 1.0)
    uneven = rng.standard_normal((2, len(at)))
    at = at + voiced * rough.jitter * new * uneven[0]
    level = level * np.where(voiced, np.maximum(0.1, 1 + rough.shimmer * uneven[1]), 1)
    if rough.subharmonic:
        level[::2] *= np.where(voiced[::2], 1 - rough.subharmonic, 1)
    if is_whispered:
        at = at + new * rng.uniform(-0.5, 0.5, len(at))
        level = level * rng.choice([-1.0, 1.0], len(at)) * 1.4
    return _overlap(fine, (marks[chosen] - low) * 2 / formant, at, half, level, n)


def _nearest(marks: Double, where: Double) -> NDArray[np.intp]:
    """Index of the nearest mark."""
    right = np.clip(np.searchsorted(marks, where), 1, max(1, len(marks) - 1))
    right = np.minimum(right, len(marks) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(where - marks[left] < marks[right] - where, left, right)


def _overlap(fine: Float, centres: Double, at: Double, half: Double, level: Double, n: int) -> Float:
    """(n,) sum of grains of `fine` (two samples for one) around its `centres`, windowed, at places `at`."""
    first = np.ceil(at - half).astype(np.int64)
    lengths = np.maximum(1, np.floor(at + half).astype(np.int64) - first + 1)
    ends = np.cumsum(lengths)
    # What is the same in all of a grain: between which samples of `fine` it falls, as they are two apart.
    begin = np.clip(centres + 2 * (first - at), 0, max(0, len(fine) - 2 * lengths.max() - 4))
    index = begin.astype(np.int64)
    between = (begin - index).astype(np.float32)
    # All grains one after the other: how far into its grain each sample is.
    inside = np.arange(ends[-1], dtype=np.int32) - np.repeat((ends - lengths).astype(np.int32), lengths)
    turn = (np.pi / half).astype(np.float32)
    angle = np.repeat((first - at).astype(np.float32) * turn, lengths)
    angle += inside * np.repeat(turn, lengths)
    window = np.cos(angle, out=angle)
    window += 1
    take = np.repeat(index.astype(np.int32), lengths)
    take += 2 * inside
    loud = (0.5 * level).astype(np.float32)
    value = fine[take] * np.repeat((1 - between) * loud, lengths)
    take += 1
    value += fine[take] * np.repeat(between * loud, lengths)
    value *= window
    offset = int(max(0, -first.min()))
    into = np.repeat(first + offset, lengths) + inside
    return np.bincount(into, value, offset + n)[offset : offset + n].astype(np.float32)


def by_envelope(
    recording: Recording,
    codes: Float,
    where_s: Double,
    hz: Double,
    gain: Double,
    rng: np.random.Generator,
    *,
    formant: float = 1.0,
    breath_db: float = 0.0,
) -> Float:
    """(N,) as `by_grains`, by WORLD from the (T, codes) of `envelopes`; `breath_db` is more noise in the voice."""
    frames = np.clip(where_s / FRAME_S, 0, len(codes) - 1.001)
    index = frames.astype(int)
    between = (frames - index)[:, np.newaxis]
    # The response of a high voice is short: half the points are half the work.
    mixed = (1 - between) * codes[index] + between * codes[index + 1]
    power = pyworld.decode_spectral_envelope(
        np.ascontiguousarray(mixed, np.float64), RATE, 1024 if hz.min() > 150 else 2048
    )
    power = _warped(power, formant)
    is_voiced = recording.is_voiced[_nearest(recording.marks, where_s * RATE)]
    bins_hz = np.linspace(0, RATE / 2, power.shape[1])
    noise_db = np.interp(
        np.log2(bins_hz + 1), np.log2([100, 500, 2000, 4000, 8000, 16000]), [-55, -40, -26, -15, -9, -4]
    )
    drift = ndimage.gaussian_filter1d(rng.standard_normal(len(frames)), 6) * 8
    aperiodicity = 10 ** (np.minimum(0, noise_db + breath_db + drift[:, np.newaxis]) / 20)
    aperiodicity[~is_voiced] = 1.0
    y = pyworld.synthesize(np.where(is_voiced, hz, 0.0), power, np.minimum(aperiodicity, 0.999), RATE, 1000 * FRAME_S)
    out = np.zeros(round(len(frames) * FRAME_S * RATE), np.float32)
    out[: len(y)] = y[: len(out)]
    places = np.arange(len(out)) / (FRAME_S * RATE)
    return out * np.interp(places, np.arange(len(gain)), gain).astype(np.float32)


def _warped(power: Double, formant: float) -> Double:
    """(F, bins) with its frequencies multiplied."""
    if abs(formant - 1) < 0.005:
        return power
    bins = np.minimum(np.arange(power.shape[1]) / formant, power.shape[1] - 1.001)
    index = bins.astype(int)
    between = bins - index
    moved: Double = power.take(index, axis=1) * (1 - between) + power.take(index + 1, axis=1) * between
    return moved


def with_top(x: Float, hz: Double, *, seed: int) -> Float:
    """(N,) with noise above the frequency at which it ends, if that is below 15 kHz: voices have treble.

    The noise follows, within a period, what is just below; it is weaker where there is a pitch. It is the same for the
    same seed.
    """
    end_hz = top_hz(x)
    if end_hz >= TOP_HZ:
        return x
    noise = np.random.default_rng(seed).standard_normal((1, len(x)), np.float32)
    under = highpass(lowpass(x[np.newaxis], 0.95 * end_hz, order=4), 0.6 * end_hz, order=4)
    shape = _smooth(np.abs(under[0]), 30)
    is_voiced = np.interp(
        np.arange(len(x)), np.arange(len(hz)) * FRAME_S * RATE, ndimage.uniform_filter1d((hz > 0) * 1.0, 5)
    )
    weaker = 10 ** (-(9 + 9 * is_voiced) / 20)
    # Full bandwidth noise of the same level per Hz as the band, then what is above the end.
    wide = np.sqrt(0.5 * RATE / (0.35 * end_hz))
    top = highpass(noise * (shape * weaker * wide).astype(np.float32), 0.93 * end_hz, order=6)
    extended: Float = x + lowpass(top, min(20_000, 1.5 * end_hz), order=1)[0]
    return extended


def top_hz(x: Float) -> float:
    """Where the spectrum of (N,) ends: all above is 25 dB or more below the octave under it. RATE / 2 if nowhere."""
    n = 2048
    frames = x[: len(x) // n * n].reshape(-1, n)
    if not len(frames):
        return RATE / 2
    power = np.abs(np.fft.rfft(frames * np.hanning(n).astype(np.float32), axis=1)) ** 2
    loud = np.sort(power, axis=0)[-max(1, len(frames) // 8) :].mean(axis=0)
    level = ndimage.uniform_filter1d(10 * np.log10(loud + 1e-9), 15)
    hz = np.fft.rfftfreq(n, 1 / RATE)
    for end in np.arange(5000, TOP_HZ + 1000, 250):
        below = level[(hz > 0.5 * end) & (hz < 0.95 * end)].mean()
        if level[(hz > 1.1 * end) & (hz < 20_000)].max() < below - 25:
            return float(end)
    return RATE / 2


def _loud(x: Float) -> float:
    """RMS of the loudest fifth of (N,)."""
    n = x.size // 441 * 441
    if not n:
        return 1.0
    levels = np.sort((x[:n].reshape(-1, 441) ** 2).mean(axis=1))
    return float(np.sqrt(levels[-max(1, len(levels) // 5) :].mean()) + 1e-5)


def _levels(x: Float, n_frames: int) -> Float:
    """(T,) RMS over 25 ms around each frame."""
    energy = np.concatenate([[0.0], np.cumsum(x.astype(np.float64) ** 2)])
    middle = (np.arange(n_frames) * FRAME_S * RATE).astype(int)
    half = seconds(0.0125)
    first, last = np.clip(middle - half, 0, len(x)), np.clip(middle + half, 0, len(x))
    levels: Float = np.sqrt(np.maximum(energy[last] - energy[first], 0) / (2 * half) + 1e-10).astype(np.float32)
    return levels


def _smooth(x: NDArray[Any], n: int) -> NDArray[Any]:
    """Mean over n samples, twice."""
    if np.iscomplexobj(x):
        return _smooth(x.real, n) + 1j * _smooth(x.imag, n)
    return np.asarray(ndimage.uniform_filter1d(ndimage.uniform_filter1d(x, n, mode="nearest"), n, mode="nearest"))


@functools.cache
def _filters(n_bins: int) -> Float:
    """(n_bins, 24) triangles from 100 Hz to 14 kHz, evenly spaced on the mel scale."""
    mel = np.linspace(1127 * np.log(1 + 100 / 700), 1127 * np.log(1 + 14000 / 700), 26)
    edges = 700 * (np.exp(mel / 1127) - 1)
    hz = np.linspace(0, RATE / 2, n_bins)[:, np.newaxis]
    rise = (hz - edges[:-2]) / np.maximum(edges[1:-1] - edges[:-2], 60)
    fall = (edges[2:] - hz) / np.maximum(edges[2:] - edges[1:-1], 60)
    triangles: Float = np.clip(np.minimum(rise, fall), 0, None).astype(np.float32)
    return triangles


def _bands_db(x: Float, n_frames: int) -> Float:
    """(T, 24) levels of mel bands."""
    n = 1024
    padded = np.pad(x, (n // 2, n))
    firsts = np.minimum((np.arange(n_frames) * FRAME_S * RATE).astype(int), len(padded) - n)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n)[firsts] * signal.windows.hann(n).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    levels: Float = (10 * np.log10(power @ _filters(n // 2 + 1) + 1e-7)).astype(np.float32)
    return levels


def _reach(heard: NDArray[np.bool_], frame: int, last: int, step: int) -> int:
    """From a frame on towards `last`, over sound and gaps of up to 40 ms (a stop before its burst)."""
    silent, at = 0, frame
    for now in range(frame, last + step, step):
        silent = 0 if heard[min(max(now, 0), len(heard) - 1)] else silent + 1
        if silent > 8:
            break
        if not silent:
            at = now
    return at


def _joint(sonority: Float, end: int, start: int) -> int:
    """The frame with the least energy between two vowels."""
    return end + int(np.argmin(sonority[end : start + 1]))


def _formant_distances(recording: Recording) -> list[float]:
    """Mean distance of the formants in the vowels: of a tube closed at one end, formant i is at (i - 1/2) times it."""
    rate = 11025
    x = signal.resample_poly(recording.x, 1, 4).astype(np.float64)
    x = signal.lfilter([1, -0.95], [1], x)
    found = []
    for syllable in recording.syllables:
        middle = int(0.5 * (syllable.vowel_s + syllable.vowel_end_s) * rate)
        part = x[max(0, middle - 165) : middle + 165]
        if len(part) < 330:
            continue
        spectrum = np.abs(np.fft.rfft(part * np.hamming(330), 1024)) ** 2
        lags = np.fft.irfft(spectrum)[:13]
        if lags[0] <= 0:
            continue
        taps = linalg.solve_toeplitz(lags[:12] * np.r_[1.0001, np.ones(11)], lags[1:13])
        roots = np.roots(np.r_[1, -taps])
        roots = roots[(roots.imag > 0) & (np.abs(roots) > 0.75)]
        formants = np.sort(np.angle(roots)) * rate / 2 / np.pi
        formants = formants[(formants > 200) & (formants < 5200)]
        if len(formants) >= 4:
            found.append(float(np.mean(formants[2:4] / [2.5, 3.5])))
    return found
