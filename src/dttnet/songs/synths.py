"""Synthesisers: subtractive, FM, plucked strings, organs, and basses.

What takes time is made once for each pitch: a long tone, of which notes are pieces (`play`). One-voice lines glide from
note to note instead (`play_line`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dttnet.songs.draws import log_uniform
from dttnet.songs.effects import Band, biquad
from dttnet.songs.score import Note
from dttnet.songs.signals import RATE, Float, faster, highpass, seconds

Tone = Callable[[int, float], Float]
"""(C, N) of a pitch that lasts so many seconds."""

TONES = ("saw", "square", "pulse", "supersaw", "organ", "fm", "fm piano", "fm bell", "pluck", "clavinet", "glass")
"""What `play` knows."""

LINES = ("saw", "square", "pulse", "sine", "theremin")
"""What `play_line` knows."""

BASSES = ("saw", "square", "pulse", "sub", "808", "reese", "fm", "acid")
"""What `play_bass` knows."""

_LONGEST_S = 10.0
_PLUCKED_SHARE = 0.35
"""Of synthesised basses whose notes die away at once, as kicks do."""
_SNAPPED_SHARE = 0.2
"""Of synthesised basses whose notes begin higher than they go on: with a click."""
_SUSTAINED = frozenset({"saw", "square", "pulse", "supersaw", "organ"})


def frequency(pitch: float) -> float:
    """Hz of a MIDI number."""
    return float(440.0 * 2 ** ((pitch - 69) / 12))


def sawtooth(phase: NDArray[np.float64], step: NDArray[np.float64] | float) -> Float:
    """A sawtooth of -1 to 1 with its jump smoothed (polyBLEP); phase and step in cycles."""
    wrapped = np.asarray(phase % 1.0, np.float32)
    width = np.asarray(step, np.float32)
    x: Float = 2 * wrapped - np.float32(1)
    early, late = np.flatnonzero(wrapped < width), np.flatnonzero(wrapped > 1 - width)
    for places, jump in ((early, 0.0), (late, 1.0)):
        near = (wrapped[places] - np.float32(jump)) / (width[places] if width.ndim else width)
        x[places] -= near * near + 2 * near + 1 if jump else 2 * near - near * near - 1
    return x


def sweep(x: Float, cutoff_hz: NDArray[np.float64], *, resonance: float = 0.0) -> Float:
    """(C, N) through a low-pass whose cutoff moves.

    Several filters that stand still, half an octave apart, are faded into one another: as quick as arrays are.

    Args:
        x: (C, N).
        cutoff_hz: (N,).
        resonance: 0 (none) to 1 (a whistle).
    """
    low, high = float(np.min(cutoff_hz)), float(np.max(cutoff_hz))
    n_filters = int(np.clip(np.ceil(2 * np.log2(high / low)) + 1, 2, 10)) if high > 1.01 * low else 1
    stops = np.geomspace(low, high, n_filters)
    if n_filters == 1:
        return _resonant(x, low, resonance)
    place = np.interp(np.log(cutoff_hz), np.log(stops), np.arange(n_filters)).astype(np.float32)
    out = np.zeros_like(x)
    for index, hz in enumerate(stops):
        weight = np.maximum(0, 1 - np.abs(place - np.float32(index)))
        out += _resonant(x, float(hz), resonance) * weight
    return out


def play(notes: Sequence[Note], rng: np.random.Generator, duration_s: float, *, tone: str) -> Float:
    """(2, N): notes, as many at once as there are, on an instrument of one of the `TONES`."""
    make = _tone_maker(tone, rng)
    is_sustained = tone in _SUSTAINED
    attack_s = float(rng.choice([0.004, 0.01, 0.08, 0.25], p=[0.35, 0.25, 0.25, 0.15])) if is_sustained else 0.002
    if tone == "organ":
        attack_s = 0.006
    release_s = float(rng.uniform(0.05, 0.5)) if is_sustained and tone != "organ" else float(rng.uniform(0.04, 0.15))
    sustain, decay_s = (float(rng.uniform(0.4, 1)), float(rng.uniform(0.1, 1.5))) if is_sustained else (1.0, 1.0)
    if tone == "organ":
        sustain = 1.0
    # Tones are long enough for the longest note, and for starting anywhere in a sustained one.
    longest_s = min(_LONGEST_S, max((note.length_s for note in notes), default=0) + release_s + 0.05)
    table_s = longest_s + (1.0 if is_sustained else 0.0)
    tables: dict[int, Float] = {}
    out = np.zeros((2, seconds(duration_s)), np.float32)
    for note in notes:
        if note.pitch not in tables:
            tables[note.pitch] = make(note.pitch, table_s)
        table = tables[note.pitch]
        length = min(note.length_s, longest_s - release_s)
        n_samples = seconds(length + release_s)
        offset = int(rng.integers(0, RATE)) if is_sustained and tone != "organ" else 0
        x = table[:, offset : offset + n_samples]
        shape = _envelope(length, release_s, attack_s=attack_s, decay_s=decay_s, sustain=sustain)
        start = seconds(note.start_s)
        x = x[:, : max(0, out.shape[1] - start)]
        out[:, start : start + x.shape[1]] += x * shape[: x.shape[1]] * np.float32(note.velocity**1.5)
    return _spread_filter(out, rng) if tone in ("saw", "square", "pulse", "supersaw") else out


def play_line(notes: Sequence[Note], rng: np.random.Generator, duration_s: float, *, tone: str) -> Float:
    """(1, N): a melody of one voice that glides, with vibrato on long notes. `tone` is one of the `LINES`."""
    if not notes:
        return np.zeros((1, seconds(duration_s)), np.float32)
    is_theremin = tone == "theremin"
    glide_s = rng.uniform(0.06, 0.15) if is_theremin else float(rng.choice([0.002, rng.uniform(0.01, 0.08)]))
    contour = _Contour.of(notes, duration_s, glide_s=glide_s, decay_s=rng.uniform(1, 6), release_s=0.06)
    vibrato = rng.uniform(0.15, 0.4) if is_theremin else rng.uniform(0.0, 0.25)
    wave = np.sin(2 * np.pi * rng.uniform(4.8, 6.3) * np.arange(contour.n_samples) / RATE)
    step = contour.hz * 2 ** (vibrato / 12 * wave * contour.age(0.35)) / RATE
    phase = np.cumsum(step)
    if tone in ("sine", "theremin"):
        x = np.sin(2 * np.pi * phase)
        x = np.asarray(x + rng.uniform(0, 0.35) * x * x, np.float32)
    else:
        x = sawtooth(phase, step)
        if tone != "saw":
            width = 0.5 if tone == "square" else rng.uniform(0.15, 0.4)
            x = x - sawtooth(phase + width, step)
        x = sweep(x[None], _cutoffs(contour, rng, low=(700, 2500), high=(2500, 12000)), resonance=rng.uniform(0, 0.6))[
            0
        ]
    return highpass((x * contour.level)[None], 60)


def play_bass(
    notes: Sequence[Note], rng: np.random.Generator, duration_s: float, *, tone: str, is_steady: bool = False
) -> Float:
    """(1, N): a bass of one voice, one of the `BASSES`.

    Args:
        notes: Where they overlap, the later one counts.
        rng: Draws the settings of the instrument.
        duration_s: N in seconds.
        tone: What sounds.
        is_steady: Notes neither die away at once nor begin with a click; otherwise those of some do.
    """
    if not notes:
        return np.zeros((1, seconds(duration_s)), np.float32)
    is_sine = tone in ("sub", "808")
    glide_s = rng.uniform(0.01, 0.07) if tone in ("808", "acid") or rng.random() < 0.2 else 0.0
    is_plucked = tone != "808" and not is_steady and rng.random() < _PLUCKED_SHARE
    if is_plucked:
        decay_s = log_uniform(rng, 0.07, 0.4)
    else:
        decay_s = rng.uniform(0.4, 1.6) if tone == "808" else rng.uniform(0.6, 6.0)
    contour = _Contour.of(notes, duration_s, glide_s=glide_s, decay_s=decay_s, release_s=0.03)
    hz = contour.hz
    if tone == "808":
        # The drum's membrane starts high.
        hz = hz * (1 + rng.uniform(0.5, 3.0) * np.exp(-contour.since / rng.uniform(0.008, 0.03)))
    elif not is_steady and rng.random() < _SNAPPED_SHARE:
        hz = hz * (1 + log_uniform(rng, 0.1, 1.5) * np.exp(-contour.since / rng.uniform(0.003, 0.015)))
    step = hz / RATE
    phase = np.cumsum(step)
    if is_sine:
        x = np.asarray(np.sin(2 * np.pi * phase), np.float32) * contour.level
        drive = rng.uniform(1.0, 2.0) if tone == "sub" else 10 ** rng.uniform(0.0, 0.9)
        x = np.tanh(x * np.float32(drive)) / np.float32(np.tanh(drive))
        return highpass(x[None].astype(np.float32), 25)
    if tone == "fm":
        ratio, index = float(rng.choice([0.5, 1, 1, 2, 3])), rng.uniform(0.6, 3)
        amount = index * (0.25 + np.exp(-contour.since / rng.uniform(0.05, 0.4)))
        x = np.sin(2 * np.pi * phase + amount * np.sin(2 * np.pi * ratio * phase))
        return highpass((np.asarray(x, np.float32) * contour.level)[None], 25)
    x = sawtooth(phase, step)
    if tone in ("square", "pulse"):
        width = 0.5 if tone == "square" else rng.uniform(0.15, 0.45)
        x = x - sawtooth(phase + width, step)
    elif tone == "reese":
        detune = 2 ** (rng.uniform(8, 35) / 1200)
        x = 0.5 * (x + sawtooth(phase * detune + 0.3, step * detune))
    if rng.random() < 0.5:  # an oscillator below, as most have
        x = x + np.float32(rng.uniform(0.3, 0.8)) * np.asarray(np.sin(2 * np.pi * phase), np.float32)
    resonance = rng.uniform(0.6, 0.9) if tone == "acid" else rng.uniform(0, 0.5)
    x = sweep(x[None], _cutoffs(contour, rng, low=(150, 500), high=(700, 4500)), resonance=resonance)[0]
    return highpass((x * contour.level)[None], 25)


def rotate(x: Float, rng: np.random.Generator) -> Float:
    """(2, N) of (1, N) or (2, N): a rotary loudspeaker, slow or fast, heard from two sides."""
    n_samples = x.shape[1]
    middle = x.mean(axis=0)
    low = signal.sosfilt(signal.butter(2, 800, fs=RATE, output="sos").astype(np.float32), middle).astype(np.float32)
    rate_hz = rng.uniform(0.7, 1.0) if rng.random() < 0.5 else rng.uniform(5.8, 7.0)
    depth, width_s = np.float32(rng.uniform(0.15, 0.45)), rng.uniform(0.0002, 0.0005)
    grid = np.arange(0, n_samples + 128, 64)
    sides = []
    for shift in (0.0, 0.35):
        turn = np.sin(2 * np.pi * (rate_hz * grid / RATE + shift))
        places = np.arange(n_samples) - np.interp(np.arange(n_samples), grid, width_s * RATE * (1 + turn))
        horn = np.interp(places, np.arange(n_samples), middle - low).astype(np.float32)
        level = np.interp(np.arange(n_samples), grid, 1 + depth * turn).astype(np.float32)
        sides.append(low + horn * level)
    return np.stack(sides)


# ------------------------------------------------------------------------------------------------------------- tones


def _tone_maker(tone: str, rng: np.random.Generator) -> Tone:
    """The instrument: its settings are drawn here, so all its notes have them."""
    if tone in ("saw", "square", "pulse"):
        width = {"saw": 0.0, "square": 0.5}.get(tone, float(rng.uniform(0.1, 0.4)))
        return functools.partial(_detuned, rng=rng, n_voices=2, cents=rng.uniform(2, 12), width=width)
    if tone == "supersaw":
        return functools.partial(
            _detuned, rng=rng, n_voices=int(rng.choice([4, 6])), cents=rng.uniform(8, 30), width=0.0
        )
    if tone == "organ":
        bars = rng.integers(0, 9, 9) * (rng.random(9) < 0.75)
        bars[[0, 2]] = rng.integers(5, 9, 2)
        return functools.partial(_drawbars, rng=rng, bars=bars, click=rng.uniform(0, 0.3))
    if tone in ("pluck", "clavinet"):
        pick = rng.uniform(0.05, 0.12) if tone == "clavinet" else rng.uniform(0.1, 0.35)
        return functools.partial(
            _plucked, rng=rng, pick=pick, bright=rng.uniform(0.2, 0.9), ring_s=rng.uniform(1.0, 5.0)
        )
    ratio = {"fm": float(rng.choice([1, 1, 2, 3])), "fm piano": 1.0, "fm bell": float(rng.choice([3.5, 1.41, 2.76]))}
    if tone in ratio:
        decay_s = rng.uniform(0.8, 3.0)
        return functools.partial(
            _modulated, ratio=ratio[tone], index=rng.uniform(0.5, 3), decay_s=decay_s, tine=tone == "fm piano"
        )
    decays = rng.uniform(0.5, 2.5)
    return functools.partial(_partials, bright=rng.uniform(0.5, 2), decay_s=decays)


def _detuned(
    pitch: int, length_s: float, *, rng: np.random.Generator, n_voices: int, cents: float, width: float
) -> Float:
    """(2, N): saws or pulses, a little beside each other, alternately left and right."""
    n_samples, hz = seconds(length_s), frequency(pitch)
    out = np.zeros((2, n_samples), np.float32)
    places = np.linspace(-1, 1, n_voices) + rng.normal(0, 0.1, n_voices)
    for voice, place in enumerate(places):
        step = hz * 2 ** (place * cents / 1200) / RATE
        phase = np.arange(n_samples) * step + rng.random()
        x = sawtooth(phase, step)
        if width:
            x = x - sawtooth(phase + width, step)
        out[voice % 2] += x * 0.8
        out[1 - voice % 2] += x * 0.35
    return out / np.float32(np.sqrt(n_voices))


def _drawbars(pitch: int, length_s: float, *, rng: np.random.Generator, bars: NDArray[np.int64], click: float) -> Float:
    """(1, N): nine sines, and the noise of the contacts."""
    time_s = np.arange(seconds(length_s)) / RATE
    x = np.zeros(len(time_s), np.float32)
    for ratio, bar in zip((0.5, 1.5, 1, 2, 3, 4, 5, 6, 8), bars, strict=True):
        hz = frequency(pitch) * ratio
        if bar and hz < 6000:  # the wheels end there
            x += np.float32(10 ** ((bar - 8) * 3 / 20)) * np.sin(2 * np.pi * (hz * time_s + rng.random())).astype(
                np.float32
            )
    n_click = seconds(0.006)
    x[:n_click] += (
        np.float32(click) * rng.standard_normal(n_click).astype(np.float32) * np.hanning(n_click).astype(np.float32)
    )
    return (0.3 * x)[None]


def _plucked(
    pitch: int, length_s: float, *, rng: np.random.Generator, pick: float, bright: float, ring_s: float
) -> Float:
    """(1, N): a string (Karplus and Strong), a period at a time; it is made at a whole period and then tuned."""
    hz = frequency(pitch)
    period = max(8, round(RATE / hz - 0.5))
    n_periods = int(length_s * RATE / period) + 2
    loss = 10 ** (-3 * period / RATE / max(0.3, ring_s * (220 / hz) ** 0.5))
    smooth = 0.5 - 0.45 * bright * min(1.0, 440 / hz) ** 0.3
    # A finger or a pick is not as sharp as noise, and where it plucks is a comb.
    spectrum = np.fft.rfft(rng.uniform(-1, 1, period))
    spectrum /= 1 + (np.arange(len(spectrum)) * hz / (700 + 3000 * bright)) ** 2
    spectrum[0] = 0
    now = np.fft.irfft(spectrum, period).astype(np.float32)
    now -= np.roll(now, max(1, int(pick * period)))
    rows = np.empty((n_periods, period), np.float32)
    for row in range(n_periods):
        rows[row] = now
        # The previous sample of the first is the last of the period before.
        now = np.float32(loss) * (np.float32(1 - smooth) * now + np.float32(smooth) * np.roll(now, 1))
    x = faster(rows.reshape(1, -1), hz * (period + smooth) / RATE)[:, : seconds(length_s)]
    x = x / np.float32(max(np.abs(x).max(), 1e-6))
    return np.pad(x, ((0, 0), (0, seconds(length_s) - x.shape[1])))


def _modulated(pitch: int, length_s: float, *, ratio: float, index: float, decay_s: float, tine: bool) -> Float:
    """(1, N): two-operator FM that becomes duller as it decays; electric pianos have a tine above."""
    time_s = np.arange(seconds(length_s)) / RATE
    hz = frequency(pitch)
    # Sidebands above half the rate would fold back.
    index = min(index, max(0.1, (16000 / hz - 1) / ratio - 1))
    amount = index * (np.exp(-time_s / (0.35 * decay_s)) + 0.1)
    x = np.sin(2 * np.pi * hz * time_s + amount * np.sin(2 * np.pi * ratio * hz * time_s))
    if tine and 14 * hz < 16000:
        x += 0.12 * np.exp(-time_s / 0.12) * np.sin(2 * np.pi * 14 * hz * time_s)
    return np.asarray(0.7 * x * np.exp(-time_s / (decay_s * (261 / hz) ** 0.3)), np.float32)[None]


def _partials(pitch: int, length_s: float, *, bright: float, decay_s: float) -> Float:
    """(1, N): a glass or a bar: partials that are not harmonic, each dying at its own pace."""
    time_s = np.arange(seconds(length_s)) / RATE
    x = np.zeros(len(time_s))
    for number, ratio in enumerate((1, 2.0, 2.76, 3.99, 5.4, 8.93)):
        hz = frequency(pitch) * ratio
        if hz < 15000:
            x += (
                bright ** (number * 0.5)
                / (number + 1) ** 1.5
                * np.exp(-time_s * (1 + number) / decay_s)
                * np.sin(2 * np.pi * hz * time_s)
            )
    return np.asarray(0.5 * x, np.float32)[None]


def _envelope(length_s: float, release_s: float, *, attack_s: float, decay_s: float, sustain: float) -> Float:
    """(N,): up, down to the sustained level, and out."""
    time_s = np.arange(seconds(length_s + release_s), dtype=np.float32) / RATE
    attack_s = min(attack_s, 0.5 * length_s + 1e-3)
    level = np.float32(sustain) + np.float32(1 - sustain) * np.exp(-np.maximum(0, time_s - attack_s) / decay_s)
    level *= np.minimum(1, time_s / attack_s)
    return np.asarray(level * np.clip(1 - (time_s - length_s) / release_s, 0, 1) ** 2, np.float32)


def _spread_filter(x: Float, rng: np.random.Generator) -> Float:
    """A low-pass that stands still or moves slowly, over all voices."""
    cutoff = log_uniform(rng, 900, 12000)
    if rng.random() < 0.6:
        return _resonant(x, float(cutoff), float(rng.uniform(0, 0.4)))
    slow = np.sin(2 * np.pi * (rng.uniform(0.03, 0.4) * np.arange(x.shape[1]) / RATE + rng.random()))
    return sweep(x, np.clip(cutoff * 2 ** (slow * rng.uniform(0.3, 1.2)), 300, 15000), resonance=rng.uniform(0, 0.5))


def _resonant(x: Float, hz: float, resonance: float) -> Float:
    """Two low-pass sections (24 dB an octave), the second with a peak."""
    sections = [biquad(Band("lowpass", hz, q=q)) for q in (0.6, 0.7 + 6 * resonance**2)]
    sos: Float = signal.sosfilt(np.array(sections, np.float32), x, axis=1).astype(np.float32)
    return sos


# ------------------------------------------------------------------------------------------------------------- lines


class _Contour:
    """Pitch and loudness of one voice over time: (N,) each.

    Attributes:
        hz: Frequency.
        level: Of the amplifier.
        since: Seconds since the note began.
    """

    def __init__(self, hz: NDArray[np.float64], level: Float, since: Float) -> None:
        self.hz, self.level, self.since = hz, level, since
        self.n_samples = len(hz)

    @classmethod
    def of(
        cls, notes: Sequence[Note], duration_s: float, *, glide_s: float, decay_s: float, release_s: float
    ) -> _Contour:
        """Of notes; where they overlap, the later one counts."""
        n_samples = seconds(duration_s)
        notes = sorted(notes, key=lambda note: note.start_s)
        pitch = np.full(n_samples, float(notes[0].pitch))
        level, since = np.zeros(n_samples, np.float32), np.full(n_samples, 9.0, np.float32)
        for index, note in enumerate(notes):
            following_s = notes[index + 1].start_s if index + 1 < len(notes) else duration_s
            start = max(0, seconds(note.start_s))
            pitch[start:] = note.pitch
            stop = min(n_samples, seconds(following_s), seconds(note.start_s + note.length_s + release_s))
            if stop <= start:
                continue
            age = np.arange(stop - start, dtype=np.float32) / RATE
            since[start:stop] = age
            curve = np.exp(-age / decay_s) * np.float32(note.velocity)
            curve *= np.minimum(1, age / 0.003)
            # Silent at its end, whether let go or cut off by the next.
            left = (len(age) - 1 - np.arange(len(age), dtype=np.float32)) / RATE
            level[start:stop] = curve * np.minimum(1, left / min(release_s, 0.01 + 0.3 * len(age) / RATE))
        if glide_s:
            keep = np.exp(-1 / (glide_s * RATE))
            pitch = signal.lfilter([1 - keep], [1, -keep], pitch, zi=[pitch[0] * keep])[0]
        return cls(440 * 2 ** ((pitch - 69) / 12), level, since)

    def age(self, until_s: float) -> Float:
        """0 at the beginning of each note, 1 from `until_s` on."""
        made: Float = np.minimum(1, self.since / np.float32(until_s)) * (self.since < 8.9)
        return made


def _cutoffs(
    contour: _Contour, rng: np.random.Generator, *, low: tuple[float, float], high: tuple[float, float]
) -> NDArray[np.float64]:
    """(N,) what the filter's envelope does: it opens with each note, more with loud ones, and closes."""
    bottom, top = rng.uniform(*low), rng.uniform(*high)
    opened = np.exp(-contour.since / rng.uniform(0.05, 0.6)) * np.minimum(1, contour.level * 1.3 + 0.2)
    follow = rng.uniform(0, 0.6)
    made: NDArray[np.float64] = np.clip(bottom * (top / bottom) ** opened * (contour.hz / 80) ** follow, 60, 16000)
    return made
