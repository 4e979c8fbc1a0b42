"""Clips that need no recording: sirens, risers, whistles, theremins and gliding leads.

Players are those of `clip_lines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dttnet.songs.clip_lines import (
    TAIL_S,
    Facts,
    breathe_along,
    choose_preset,
    describe,
    draw_passage,
    moved,
    on_font,
    write_figure,
)
from dttnet.songs.effects import Band, delay, equalise, place, saturate, wander
from dttnet.songs.fonts import sounding_s
from dttnet.songs.kits import piece_of, synthesise_cymbal
from dttnet.songs.library import SYNTHESISED
from dttnet.songs.score import Note
from dttnet.songs.signals import RATE, Float, add, faster, highpass, lowpass, peak, seconds, silence, stereo
from dttnet.songs.studio import Studio
from dttnet.songs.synths import frequency, play_line, sawtooth, sweep

Double = NDArray[np.float64]
Shape = Literal["sine", "triangle", "saw", "square", "pulse"]

SIREN = "wail yelp hi-lo raid dub whoop piercer".split()
RISER = "noise pitch cymbal down swell gated both".split()
WHISTLE = "tune slow wolf chirps program duo".split()
THEREMIN = "theremin glide saw pulse sine whine".split()
"""The variants of each class."""

_RECORDED_CYMBALS = ("crash", "china", "splash", "ride")


def wave(hz: Double, shape: Shape, *, width: float = 0.25) -> Float:
    """(1, N) of a frequency over time (N,) in Hz, with a peak of about 1."""
    step = hz / RATE
    phase = np.cumsum(step)
    if shape == "sine":
        x = np.sin(2 * np.pi * phase)
    elif shape == "triangle":
        x = 2 * np.abs(2 * (phase % 1) - 1) - 1
    elif shape == "saw":
        x = sawtooth(phase, step)
    else:
        x = 0.7 * (sawtooth(phase, step) - sawtooth(phase + (0.5 if shape == "square" else width), step))
    return np.asarray(x, np.float32)[np.newaxis]


def line_through(n_samples: int, at_s: NDArray[np.floating], values: NDArray[np.floating]) -> Double:
    """(N,) straight lines between values at times."""
    line: Double = np.interp(np.arange(n_samples) / RATE, at_s, values)
    return line


# --------------------------------------------------------------------------------------------------------------- sirens


def play_siren(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """A siren of a car, of a factory, or of a sound system, sometimes passing by."""
    n_samples = seconds(rng.uniform(2.2, 7.5))
    hz, facts = draw_siren(variant, n_samples, rng)
    studio.library.count(SYNTHESISED, n_samples / RATE)
    shapes: tuple[Shape, ...] = {
        "raid": ("saw", "square"),
        "hi-lo": ("square", "saw", "triangle", "sine"),
        "dub": ("square", "saw", "sine", "pulse"),
    }.get(variant, ("saw", "square", "triangle"))  # type: ignore[assignment]  # all are of Shape
    shape = shapes[int(rng.integers(len(shapes)))]
    passes = variant != "dub" and rng.random() < 0.35
    nearness = np.ones(n_samples)
    if passes:
        hz, nearness = _pass_by(hz, rng)
    x = wave(hz, shape)
    if variant == "raid":  # two rotors, a third apart
        x = x + wave(hz * float(rng.choice([1.2, 1.25, 1.333])), shape)
    x = saturate(x * np.float32(0.8 / peak(x)), rng.uniform(1, 14))
    if variant != "dub":  # a horn loudspeaker
        x = lowpass(highpass(x, rng.uniform(150, 450)), rng.uniform(2500, 6000))
        x = equalise(x, [Band("peak", rng.uniform(900, 2500), rng.uniform(0, 8), 1.2)])
    else:
        x = sweep(x, np.full(n_samples, rng.uniform(1200, 8000)), resonance=rng.uniform(0, 0.5))
        x = x * _gate(n_samples, rng)
        x = delay(x, time_s=rng.uniform(0.18, 0.5), feedback=rng.uniform(0.4, 0.75), wet=rng.uniform(0.3, 0.7))
    out = stereo(x) * nearness.astype(np.float32)
    if passes:
        turn = np.linspace(-1, 1, n_samples, dtype=np.float32) * np.float32(rng.choice([-0.8, 0.8]))
        out = out * np.stack([np.minimum(1, 1 - turn), np.minimum(1, 1 + turn)])
    return out, {**facts, "shape": shape, "passes": float(passes)}


def draw_siren(variant: str, n_samples: int, rng: np.random.Generator) -> tuple[Double, Facts]:
    """(N,) the pitch of a siren in Hz, with its two ends (`low_hz`, `high_hz`) and the time of a turn (`period_s`)."""
    low_hz, high_hz, period_s = {
        "wail": (rng.uniform(380, 750), rng.uniform(950, 1700), rng.uniform(2.0, 5.0)),
        "yelp": (rng.uniform(450, 800), rng.uniform(1000, 1800), rng.uniform(0.22, 0.45)),
        "hi-lo": (rng.uniform(350, 650), 0.0, rng.uniform(0.6, 1.6)),
        "raid": (rng.uniform(70, 150), rng.uniform(280, 750), rng.uniform(4.0, 8.0)),
        "dub": (rng.uniform(180, 600), rng.uniform(700, 2200), rng.uniform(0.08, 0.7)),
        "whoop": (rng.uniform(250, 600), rng.uniform(900, 2200), rng.uniform(0.3, 1.2)),
        "piercer": (rng.uniform(500, 900), rng.uniform(1200, 2400), rng.uniform(0.06, 0.12)),
    }[variant]
    # A motor is heard as it starts; the others may have been on for long.
    turns = np.arange(n_samples) / RATE / period_s + rng.uniform(0, 0.3 if variant == "raid" else 1)
    triangle = 1 - np.abs(2 * (turns % 1) - 1)
    if variant == "hi-lo":
        high_hz = low_hz * float(rng.choice([1.2, 1.26, 1.335, 1.5]))
        rise = ndimage.uniform_filter1d((turns % 1 < 0.5) * 1.0, seconds(0.01))
    elif variant == "raid":  # a motor that is switched on and off
        up = turns % 1 < 0.55
        rise = np.where(up, 1 - np.exp(-5 * (turns % 1) / 0.55), np.exp(-3 * ((turns % 1) - 0.55) / 0.45))
        rise = ndimage.uniform_filter1d(rise, seconds(0.3))
    elif variant == "whoop":
        rise = turns % 1 if rng.random() < 0.7 else 1 - turns % 1
    elif variant == "dub":
        waves = (triangle, (turns % 1 < 0.5) * 1.0, 0.5 + 0.5 * np.sin(2 * np.pi * turns), 1 - turns % 1)
        rise = waves[int(rng.integers(len(waves)))]
    else:
        rise = 0.5 - 0.5 * np.cos(np.pi * triangle) if rng.random() < 0.5 else triangle
    hz = low_hz * (high_hz / low_hz) ** rise
    if variant == "dub" and rng.random() < 0.5:  # a hand on the knob
        hz = hz * 2 ** np.linspace(0, rng.uniform(-1.5, 1.0), n_samples)
    return np.clip(hz, 40, 6000), {
        "low_hz": round(low_hz, 1), "high_hz": round(high_hz, 1), "period_s": round(period_s, 3)
    }  # fmt: skip  # many settings, few lines


def _pass_by(hz: Double, rng: np.random.Generator) -> tuple[Double, Double]:
    """The pitch as heard beside the road, and how loud."""
    time_s = np.linspace(-1, 1, len(hz)) * len(hz) / RATE / 2
    speed, aside_m = rng.uniform(8, 25), rng.uniform(5, 25)
    distance_m = np.hypot(speed * time_s, aside_m)
    towards = -speed * speed * time_s / distance_m
    return hz / (1 - towards / 343), (aside_m / distance_m) ** 0.7


def _gate(n_samples: int, rng: np.random.Generator) -> Float:
    """(N,) pushes of a button."""
    edges = np.cumsum(rng.uniform(0.25, 1.2, 40))
    is_on = np.searchsorted(edges, np.arange(n_samples) / RATE) % 2 == 0
    gate: Float = ndimage.uniform_filter1d(is_on.astype(np.float32), 200)
    return gate


# --------------------------------------------------------------------------------------------------------------- risers


def play_riser(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """What leads to the next section: noise and tones that rise, or fall, and cymbals backwards."""
    n_samples = seconds(rng.uniform(1.6, 7.0))
    what = variant if variant in ("noise", "pitch", "cymbal", "both") else str(rng.choice(["noise", "pitch", "both"]))
    studio.library.count(SYNTHESISED, n_samples / RATE)
    x = np.zeros((2, n_samples), np.float32)
    if what in ("noise", "both"):
        x += _rising_noise(n_samples, rng)
    if what in ("pitch", "both"):
        x += _rising_tone(n_samples, rng) * np.float32(rng.uniform(0.3, 1.0))
    if what == "cymbal":
        x = _reversed_cymbal(studio, n_samples, rng)
    else:
        steep = rng.uniform(0.7, 3.0)
        x = x * (np.linspace(0.02, 1, x.shape[1], dtype=np.float32) ** np.float32(steep))
    if variant == "gated":
        hz = np.geomspace(rng.uniform(1.5, 4), rng.uniform(8, 24), x.shape[1])
        is_open = (np.cumsum(hz) / RATE % 1 < rng.uniform(0.4, 0.7)).astype(np.float32)
        x = x * ndimage.uniform_filter1d(is_open, 150)
    if variant == "swell":  # up and away again
        n_up = round(x.shape[1] * rng.uniform(0.4, 0.75))
        x = np.concatenate([x[:, -n_up:], x[:, : -(x.shape[1] - n_up) - 1 : -1]], axis=1)
    if variant == "down":
        x = x[:, ::-1]
    return np.ascontiguousarray(x), {"of": what}


def _rising_noise(n_samples: int, rng: np.random.Generator) -> Float:
    x = rng.standard_normal((2 if rng.random() < 0.7 else 1, n_samples), np.float32)
    low_hz, high_hz = rng.uniform(120, 900), rng.uniform(3000, 14000)
    bend = rng.uniform(0.6, 2.0)
    cutoff = low_hz * (high_hz / low_hz) ** (np.linspace(0, 1, n_samples) ** bend)
    x = sweep(x, cutoff, resonance=float(rng.choice([rng.uniform(0, 0.5), rng.uniform(0.7, 0.97)])))
    if rng.random() < 0.5:  # a band that moves
        x = x - sweep(x, np.maximum(40, cutoff / rng.uniform(2, 5)))
    return stereo(x * np.float32(0.5 / peak(x)))


def _rising_tone(n_samples: int, rng: np.random.Generator) -> Float:
    octaves, bend = rng.uniform(1.0, 4.0), rng.uniform(0.7, 2.0)
    start_hz = min(rng.uniform(60, 500), 5000 / 2**octaves)
    hz = start_hz * 2 ** (octaves * np.linspace(0, 1, n_samples) ** bend)
    if rng.random() < 0.35:  # by semitones
        hz = start_hz * 2 ** (np.round(12 * np.log2(hz / start_hz)) / 12)
    shape: Shape = ("saw", "saw", "square", "sine", "pulse")[int(rng.integers(5))]
    out = np.zeros((2, n_samples), np.float32)
    for _ in range(int(rng.choice([1, 2, 4, 7]))):
        x = wave(hz * 2 ** (rng.normal(0, 0.15) / 12), shape)
        out += place(x, pan=rng.uniform(-0.8, 0.8))
    out = sweep(out, np.clip(hz * rng.uniform(2, 12), 200, 15000), resonance=rng.uniform(0, 0.6))
    return out * np.float32(0.5 / peak(out))


def _reversed_cymbal(studio: Studio, n_samples: int, rng: np.random.Generator) -> Float:
    """A stroke backwards, slow enough to last."""
    library = studio.library
    files = [
        (source, name)
        for source in library.sources("drums.acoustic")
        for name in library.files(source)
        if piece_of(name) in _RECORDED_CYMBALS
    ]
    if files and rng.random() < 0.5:
        source, name = files[int(rng.integers(len(files)))]
        x = library.hit(source, name, semitones=float(rng.integers(-14, 3)), longest_s=n_samples / RATE)
    else:
        x = synthesise_cymbal(str(rng.choice(["crash", "crash2", "china", "ride", "ohat"])), rng.uniform(0.3, 1), rng)
        x = faster(x, float(2 ** rng.uniform(-1.5, 0.1)))
    level = np.linspace(1, 0, x.shape[1], dtype=np.float32) ** np.float32(rng.uniform(0, 1))
    return stereo(np.ascontiguousarray((x * level)[:, ::-1]))


# ----------------------------------------------------------------------------------------------- whistles and theremins


def play_whistle(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """Lips, tunes and calls; or a tin whistle and an ocarina of a sound font."""
    song = draw_passage(rng)
    duration_s = song.duration_s + TAIL_S
    if variant == "program":
        figure = str(rng.choice(["lead", "slow", "run", "trill", "staccato"]))
        line = write_figure(figure, song, rng, low=69, high=100)
        x, played = on_font(studio, choose_preset(studio, (78, 79), rng), line, rng, duration_s)
        return x, {**describe(song), "program": played}
    studio.library.count(SYNTHESISED, song.duration_s)
    if variant in ("wolf", "chirps"):
        hz, level = (_wolf if variant == "wolf" else _chirps)(seconds(duration_s), rng)
        return _blown(wave(hz, "sine") * level, rng), {}
    out = silence(duration_s)
    figure = "slow" if variant == "slow" else str(rng.choice(["lead", "slow", "lead", "staccato"]))
    first = write_figure(figure, song, rng, low=74, high=98).notes
    steps = int(rng.choice([2, 2, 5, -2]))
    voices = [first, [moved(note, song, steps) for note in first]] if variant == "duo" else [first]
    for number, notes in enumerate(voices):
        hz, level = glide_along(notes, seconds(duration_s), rng)
        x = _blown(wave(hz, "sine") * level, rng)
        add(out, x, 0, pan=(number - 0.5) * rng.uniform(0, 1.5) if len(voices) > 1 else 0.0)
    return out, describe(song)


def _rounded(line: Double, sigma_s: float) -> Double:
    """(N,) without corners: three running means, which is nearly a Gaussian and much quicker."""
    for _ in range(3):
        line = ndimage.uniform_filter1d(line, max(1, seconds(2 * sigma_s)), mode="nearest")
    return line


def glide_along(
    notes: Sequence[Note], n_samples: int, rng: np.random.Generator, *, is_legato: bool = False
) -> tuple[Double, Float]:
    """(N,) Hz and (N,) level of a voice without steps: it slides from note to note, and sways on long ones.

    Args:
        is_legato: It is not silent before the last note is over.
    """
    pitch, level, sway = np.zeros(n_samples), np.zeros(n_samples), np.zeros(n_samples)
    for note in notes:
        start, stop = seconds(note.start_s), seconds(note.start_s + note.length_s)
        pitch[start:] = note.pitch
        level[start:stop] = note.velocity
        sway[start + seconds(0.25) : stop] = 1
    if notes:
        first = seconds(notes[0].start_s)
        pitch[:first] = notes[0].pitch
        if is_legato:
            level[first:stop] = np.maximum(level[first:stop], 0.5)
    slide_s = rng.uniform(0.01, 0.05) * (2 if is_legato else 1)
    pitch = _rounded(pitch, slide_s)
    level = ndimage.uniform_filter1d(ndimage.uniform_filter1d(level, seconds(0.02)), seconds(rng.uniform(0.02, 0.05)))
    depth = rng.uniform(0, 0.4) * ndimage.uniform_filter1d(sway, seconds(0.2))
    pitch = pitch + depth * np.sin(2 * np.pi * rng.uniform(4.6, 6.8) * np.arange(n_samples) / RATE)
    drift = 0.12 * wander(rng, n_samples, hz=2)
    hz: Double = frequency(0) * 2 ** ((pitch + drift) / 12)
    return hz, level.astype(np.float32)


def _blown(x: Float, rng: np.random.Generator) -> Float:
    """A sine as lips make it: it flutters, which is noise around the pitch, and there is air."""
    flutter = lowpass(rng.standard_normal((1, x.shape[1]), np.float32), rng.uniform(60, 400))
    x = x * (1 + flutter * np.float32(rng.uniform(0.03, 0.3) / max(float(flutter.std()), 1e-6)))
    return breathe_along(x, rng, share=rng.uniform(0.005, 0.06))


def _wolf(n_samples: int, rng: np.random.Generator) -> tuple[Double, Float]:
    """Up; up and down; and so again."""
    low_hz, high_hz = rng.uniform(600, 1100), rng.uniform(1700, 3200)
    at_s, hertz, loud = [0.0], [low_hz], [0.0]
    while at_s[-1] < n_samples / RATE - 0.5:
        up_s, gap_s = rng.uniform(0.2, 0.6), rng.uniform(0.06, 0.3)
        start = at_s[-1]
        at_s += [start + 0.02, start + up_s, start + up_s + 0.03]
        hertz += [low_hz, high_hz, high_hz]
        loud += [1, 1, 0]
        start = at_s[-1] + gap_s
        top_s, down_s = rng.uniform(0.15, 0.4), rng.uniform(0.3, 0.8)
        at_s += [start, start + 0.02, start + top_s, start + top_s + down_s, start + top_s + down_s + 0.03]
        hertz += [low_hz, low_hz, high_hz * rng.uniform(0.7, 1), low_hz * rng.uniform(0.7, 1.1), low_hz]
        loud += [0, 1, 1, 0.8, 0]
        at_s.append(at_s[-1] + rng.uniform(0.1, 0.8))
        hertz.append(low_hz)
        loud.append(0)
    times = np.array(at_s)
    hz = ndimage.uniform_filter1d(line_through(n_samples, times, np.array(hertz)), seconds(0.02))
    return hz, line_through(n_samples, times, np.array(loud, float)).astype(np.float32)


def _chirps(n_samples: int, rng: np.random.Generator) -> tuple[Double, Float]:
    """Short calls, as of birds or of a shepherd: the same few again and again."""
    calls = [
        (rng.uniform(0.05, 0.35), rng.uniform(900, 3800), rng.uniform(-9, 14)) for _ in range(int(rng.integers(1, 4)))
    ]
    hz, level = np.full(n_samples, 1000.0), np.zeros(n_samples, np.float32)
    now, gap_s = 0, rng.uniform(0.03, 0.35)
    while now < n_samples:
        length_s, start_hz, semitones = calls[int(rng.integers(len(calls)))]
        stop = min(n_samples, now + seconds(length_s))
        u = np.linspace(0, 1, stop - now)
        hz[now:stop] = start_hz * 2 ** (semitones * u ** rng.uniform(0.6, 1.6) / 12)
        level[now:stop] = np.sin(np.pi * u) ** 0.4
        now = stop + seconds(gap_s * float(rng.choice([1, 1, 2, 4])))
    return hz, level


def play_theremin(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """A theremin, and synthesisers that glide from note to note with vibrato."""
    song = draw_passage(rng)
    duration_s = song.duration_s + TAIL_S
    if variant in ("glide", "whine"):
        n_samples = seconds(duration_s)
        studio.library.count(SYNTHESISED, duration_s)
        hz = _gliding(n_samples, rng, is_high=variant == "whine")
        shape: Shape = ("sine", "triangle")[int(rng.integers(2))] if variant == "glide" else "saw"
        x = wave(hz, shape)
        if variant == "whine":
            x = sweep(x, np.clip(hz * rng.uniform(1.5, 5), 300, 12000), resonance=rng.uniform(0, 0.7))
        swell = 0.75 + 0.25 * wander(rng, n_samples, hz=rng.uniform(0.3, 1.5))
        return x * swell, {"shape": shape}
    figure = str(rng.choice(["slow", "slow", "lead"])) if variant in ("theremin", "sine") else "lead"
    low = int(rng.choice([48, 55, 60, 67]))
    line = write_figure(figure, song, rng, low=low, high=low + 26)
    studio.library.count(SYNTHESISED, sounding_s(line.notes, duration_s))
    if variant in ("saw", "pulse"):
        return play_line(line.notes, rng, duration_s, tone=variant), describe(song)
    hz, level = glide_along(line.notes, seconds(duration_s), rng, is_legato=bool(rng.random() < 0.8))
    x = wave(hz, "sine")
    x = (x + np.float32(rng.uniform(0, 0.35)) * x * x) * level
    if variant == "theremin":  # valves
        x = saturate(x * np.float32(0.8 / max(peak(x), 1e-6)), rng.uniform(0, 10), kind="tube")
    return x, describe(song)


def _gliding(n_samples: int, rng: np.random.Generator, *, is_high: bool) -> Double:
    """(N,) Hz: slow slides between pitches that are held for a while, swaying."""
    middle = rng.uniform(74, 88) if is_high else rng.uniform(52, 80)
    at_s, pitches, now_s = [0.0], [middle], 0.0
    while now_s < n_samples / RATE:
        pitch = middle + rng.choice([-12, -9, -7, -5, -2, 0, 2, 3, 5, 7, 10])
        slide_s, hold_s = rng.uniform(0.08, 0.9), rng.uniform(0.1, 1.0)
        at_s += [now_s + slide_s, now_s + slide_s + hold_s]
        pitches += [pitch, pitch]
        now_s = at_s[-1]
    line = _rounded(line_through(n_samples, np.array(at_s), np.array(pitches)), 0.03)
    time_s = np.arange(n_samples) / RATE
    sway = rng.uniform(0.1, 0.7) * np.sin(2 * np.pi * rng.uniform(4.5, 7) * time_s)
    grows = 0.5 + 0.5 * wander(rng, n_samples, hz=0.5)
    hz: Double = frequency(0) * 2 ** ((line + sway * grows) / 12)
    return hz
