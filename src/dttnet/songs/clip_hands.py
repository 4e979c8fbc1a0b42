"""Clips of what hands and crowds do: scratches on a turntable, claps, applause and cheers.

Players are those of `clip_lines`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dttnet.songs.clip_lines import Facts, choose_preset, on_font
from dttnet.songs.clip_voices import cut_voice, voice_files
from dttnet.songs.draws import log_uniform
from dttnet.songs.effects import Band, convolve, equalise, late, reverb, room_response, saturate, wander
from dttnet.songs.fonts import Part
from dttnet.songs.kits import piece_of, synthesise
from dttnet.songs.library import SYNTHESISED, Source
from dttnet.songs.parts import Line
from dttnet.songs.score import Note
from dttnet.songs.signals import RATE, Float, add, fade, highpass, lowpass, mono, peak, seconds, silence, stereo
from dttnet.songs.studio import Studio
from dttnet.songs.synths import play

SCRATCH = "baby chirp tear transform scribble spin".split()
CLAPS = "one pair group machine flamenco snaps stadium".split()
CROWD = "applause cheer murmur chant ovation program".split()
"""The variants of each class."""

_CLAP_RHYTHMS = (
    "....x.......x...",
    "x...x...x...x...",
    "....x.......x.x.",
    "x..x..x...x.x...",
    "..x...x...x...x.",
    "....x..x....x...",
    "x.x.x.x.x.x.x.x.",
    "x...x...x.x.x...",
    "xx.xxx.xxx.xx.x.",
)

_APPLAUSE = 126
_CLAP_KEY = 39


# ------------------------------------------------------------------------------------------------------------- scratch


def play_scratch(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """A record that a hand moves to and fro under the needle."""
    x, what = _record(studio, rng)
    places_s, fader = draw_scratch(variant, x.shape[1] / RATE, rng)
    out = read_at(lowpass(x, rng.uniform(6000, 14000)), places_s)
    # The needle feels speed, not place: a record that stands still is silent.
    speed = np.abs(np.gradient(places_s)) * RATE
    out = highpass(out * np.minimum(1.2, speed).astype(np.float32) ** np.float32(0.6), rng.uniform(40, 200))
    out = out * ndimage.uniform_filter1d(fader.astype(np.float32), 100)
    if rng.random() < 0.4:  # dust
        dust = rng.standard_normal((1, out.shape[1]), np.float32) * (rng.random(out.shape[1]) < 0.0006)
        out = out + lowpass(dust.astype(np.float32), 6000) * np.float32(0.15 * peak(out))
    return out, {"of": what}


def draw_scratch(variant: str, length_s: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], Float]:
    """(N,) where the needle is in a record of `length_s`, in seconds, and (N,) whether the fader is open."""
    beat_s = 60 / rng.uniform(75, 125)
    if variant == "spin":
        return _spins(length_s, rng)
    places: list[NDArray[np.float64]] = []
    fader: list[NDArray[np.float64]] = []
    now_s, until_s = 0.0, rng.uniform(2.0, 6.5)
    reach_s = min(length_s, {"scribble": 0.09}.get(variant, rng.uniform(0.15, 0.5)))
    at_s = start_s = rng.uniform(0, 0.25) * (length_s - reach_s)
    is_forward = True
    while now_s < until_s:
        step_s = {"scribble": rng.uniform(0.05, 0.08)}.get(variant, beat_s / float(rng.choice([2, 3, 4, 4, 6])))
        n = seconds(step_s)
        goal_s = start_s + reach_s * (rng.uniform(0.6, 1) if is_forward else rng.uniform(0, 0.15))
        places.append(at_s + (goal_s - at_s) * _push(variant, n, rng, is_forward=is_forward))
        fader.append(_cut_off(variant, n, rng, is_forward=is_forward))
        at_s, is_forward, now_s = goal_s, not is_forward, now_s + step_s
        if is_forward and variant != "scribble" and rng.random() < 0.2:  # the word is let go
            n = seconds(min(length_s - at_s, beat_s))
            places.append(at_s + np.arange(n) / RATE)
            fader.append(np.ones(n))
            at_s, now_s = at_s + n / RATE, now_s + n / RATE
            rest = seconds(beat_s * float(rng.choice([0, 0.5, 1])))
            places.append(np.full(rest, at_s))
            fader.append(np.zeros(rest))
            now_s += rest / RATE
    return np.concatenate(places), np.concatenate(fader).astype(np.float32)


def _push(variant: str, n: int, rng: np.random.Generator, *, is_forward: bool) -> NDArray[np.float64]:
    """(n,) share of its way that a hand has gone."""
    share = np.linspace(0, 1, n)
    if variant == "tear" and is_forward:  # in two pushes
        return np.asarray(np.interp(share, [0, 0.35, 0.5, 1], [0, 0.5, 0.5, 1]), np.float64)
    if not is_forward and variant != "scribble" and rng.random() < 0.25:  # pulled back fast
        return np.minimum(1, share * 2.5)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * share), np.float64)


def _cut_off(variant: str, n: int, rng: np.random.Generator, *, is_forward: bool) -> NDArray[np.float64]:
    """(n,) 1 where the other hand has the fader open, 0 where not."""
    share = np.linspace(0, 1, n)
    if variant == "chirp":
        return np.asarray(share < 0.7 if is_forward else share > 0.25, np.float64)
    if variant == "transform":
        return np.asarray(share * float(rng.choice([2, 3, 4])) % 1 < 0.55, np.float64)
    return np.zeros(n) if not is_forward and rng.random() < 0.35 else np.ones(n)


def _spins(length_s: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], Float]:
    """Records that are spun back, slowed down or started."""
    places, fader = [], []
    for _ in range(int(rng.integers(2, 5))):
        n = seconds(rng.uniform(0.5, 1.6))
        share = np.linspace(0, 1, n)
        kind = int(rng.integers(3))
        speed = (-rng.uniform(2, 6) * (1 - share) ** 1.5, 1 - share, np.minimum(1, share * 2))[kind]
        at_s = np.cumsum(speed) / RATE
        # A short sound again and again, as grooves come round.
        places.append((at_s - at_s.min()) % max(length_s - 0.02, 0.05))
        fader.append(np.minimum(1, np.minimum(share, 1 - share) * 30))
    return np.concatenate(places), np.concatenate(fader).astype(np.float32)


def read_at(x: Float, places_s: NDArray[np.float64]) -> Float:
    """(C, M) of (C, N): what is at (M,) places in seconds, in any order. Beyond the ends there is silence."""
    n_samples = max(x.shape[1], len(places_s))
    padded = np.pad(x, ((0, 0), (0, n_samples - x.shape[1])))
    delay_s = np.zeros(n_samples)
    delay_s[: len(places_s)] = np.arange(len(places_s)) / RATE - places_s
    return late(padded, delay_s)[:, : len(places_s)]


def _record(studio: Studio, rng: np.random.Generator) -> tuple[Float, str]:
    """(C, N) of a word, a stroke, a stab or the noise of a machine, without rests, and which."""
    what = str(rng.choice(["voice", "drum", "synth", "horn"], p=[0.5, 0.2, 0.15, 0.15]))
    library = studio.library
    if what == "drum":
        uses = ("drums.machine", "drums.acoustic")
        files = [(source, name) for use in uses for source in library.sources(use) for name in library.files(source)]
        strokes = [
            (source, name) for source, name in files if piece_of(name) in ("snare", "tom1", "crash", "clap", "ohat")
        ]
        if strokes:
            source, name = strokes[int(rng.integers(len(strokes)))]
            x = library.hit(source, name, longest_s=0.8)
            if x.shape[1] > seconds(0.1):
                return x, what
    if what == "horn" and studio.presets((61,)):
        root = int(rng.integers(48, 62))
        chord = tuple(Note(0.0, 0.7, root + interval, 0.95) for interval in (0, 4, 7, 10)[: int(rng.integers(1, 5))])
        return on_font(studio, choose_preset(studio, (56, 61, 62), rng), Line(chord), rng, 0.8)[0], what
    if what == "synth":
        root = int(rng.integers(45, 70))
        notes = [Note(0.0, 0.8, root + interval, 0.9) for interval in (0, 7, 12)[: int(rng.integers(1, 4))]]
        library.count(SYNTHESISED, 0.8)
        return play(notes, rng, 0.9, tone=str(rng.choice(["saw", "square", "fm", "supersaw"]))), what
    return cut_voice(studio, rng, longest_s=0.9, n_syllables=3).x, "voice"


# --------------------------------------------------------------------------------------------------------------- claps


def play_claps(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """Hands of one person or of many, or a machine's, in a rhythm."""
    beat_s = 60 / rng.uniform(80, 170)
    rhythm = _CLAP_RHYTHMS[int(rng.integers(len(_CLAP_RHYTHMS)))]
    if variant == "flamenco":
        rhythm = str(rng.choice(["x.xx.xx.xx.xx.xx", "xxxxxxxxxxxxxxxx", "x.xxx.xxx.xxx.xx", "xx.xx.xx.xx.xx.x"]))
    n_people = {
        "one": 1, "pair": 2, "group": int(rng.integers(4, 13)), "machine": 1, "flamenco": int(rng.integers(1, 4)),
        "snaps": int(rng.integers(1, 5)), "stadium": int(rng.integers(20, 60)),
    }[variant]  # fmt: skip  # a table
    if variant == "machine":
        people = [_machine(studio, rng)]
    else:
        recorded = _recorded(studio, variant, rng)
        people = [_person(studio, recorded, rng, snaps=variant == "snaps") for _ in range(n_people)]
    pans = rng.uniform(-0.8, 0.8, n_people) if n_people > 1 else np.zeros(1)
    gains, late_s = rng.uniform(0.4, 1, n_people), rng.normal(0, 0.008, n_people) * (n_people > 1)
    loose_s = 0.0 if variant == "machine" else rng.uniform(0.002, 0.015) * (1 + (variant == "stadium"))
    until_s = rng.uniform(2.2, 6.5)
    out = silence(until_s + 1.2)
    for step in range(int(4 * until_s / beat_s)):
        if rhythm[step % 16] != "x":
            continue
        loud = rng.uniform(0.75, 1.0)
        for strokes, pan, gain, lag_s in zip(people, pans, gains, late_s, strict=True):
            at_s = max(0.0, step * beat_s / 4 + lag_s + rng.normal(0, loose_s))
            x = strokes[int(rng.integers(len(strokes)))]
            add(out, x, seconds(at_s), gain=loud * gain * rng.uniform(0.7, 1.0), pan=float(pan))
    if rng.random() < 0.5:  # as records have them, not as they are: a hand is a hundred times above its mean
        out = saturate(out * np.float32(0.8 / max(peak(out), 1e-6)), rng.uniform(4, 14))
    if variant == "stadium":
        out = reverb(out, rng, decay_s=rng.uniform(1.5, 4), wet=rng.uniform(0.2, 0.6), kind="hall")
    return out, {"people": n_people, "bpm": round(60 / beat_s, 1), "rhythm": rhythm}


Files = list[tuple[Source, str]]


def _recorded(studio: Studio, variant: str, rng: np.random.Generator) -> Files:
    """Files of claps or snaps; may be empty."""
    library = studio.library
    files = [(source, name) for source in library.sources("drums.hands") for name in library.files(source)]
    if variant == "snaps":
        return [(source, name) for source, name in files if "snap" in name]
    claps = [(source, name) for source, name in files if piece_of(name) == "clap"]
    whole = [(source, name) for source, name in claps if "finger" not in name]
    # Some clap with their fingers only.
    return claps if rng.random() < 0.3 or not whole else whole


def _person(studio: Studio, recorded: Files, rng: np.random.Generator, *, snaps: bool = False) -> list[Float]:
    """Some strokes of the same hands: recorded ones moved a little, or noise that a hollow between palms colours."""
    if recorded and rng.random() < 0.6:
        semitones = float(rng.integers(-10, 9)) / 2
        chosen = [recorded[int(rng.integers(len(recorded)))] for _ in range(4)]
        return [studio.library.hit(source, name, semitones=semitones, longest_s=1.0) for source, name in chosen]
    hollow_hz = log_uniform(rng, *((1500, 3500) if snaps else (500, 2500)))
    decay_s, top_hz = rng.uniform(0.003, 0.018), rng.uniform(4000, 14000)
    bands = [Band("peak", hollow_hz, rng.uniform(6, 18), rng.uniform(0.8, 3.0)), Band("lowpass", top_hz)]
    fall = np.exp(-np.arange(seconds(0.2)) / RATE / decay_s).astype(np.float32)
    studio.library.count(SYNTHESISED, 0.8)
    strokes = []
    for _ in range(4):
        x = highpass(rng.standard_normal((1, len(fall)), np.float32) * fall, 0.5 * hollow_hz)
        x = equalise(fade(x, start=20), bands)
        strokes.append(x / np.float32(peak(x)))
    return strokes


def _machine(studio: Studio, rng: np.random.Generator) -> list[Float]:
    """The stroke of a machine: recorded, of a sound font, or synthesised."""
    library = studio.library
    files = [(source, name) for source in library.sources("drums.machine") for name in library.files(source)]
    claps = [(source, name) for source, name in files if piece_of(name) == "clap"]
    kits = [(source, kit) for source in studio.fonts.sources for kit in studio.fonts.kits(source)]
    drawn = rng.random()
    if claps and drawn < 0.4:
        source, name = claps[int(rng.integers(len(claps)))]
        return [library.hit(source, name, semitones=float(rng.integers(-6, 7)), longest_s=1.0)]
    if kits and drawn < 0.7:
        source, kit = kits[int(rng.integers(len(kits)))]
        part = Part([Note(0.0, 0.5, _CLAP_KEY, 0.9)], kit, is_drums=True)
        x = studio.fonts.render(source, [part], 0.7)
        if peak(x) > 1e-3:
            return [x / np.float32(peak(x))]
    library.count(SYNTHESISED, 0.5)
    x = synthesise("clap", 0.5, rng)
    return [x / np.float32(peak(x))]


# --------------------------------------------------------------------------------------------------------------- crowds


def play_crowd(studio: Studio, variant: str, rng: np.random.Generator) -> tuple[Float, Facts]:
    """Many people in a place: they clap, shout, talk or chant."""
    n_samples = seconds(rng.uniform(3.0, 7.5))
    if variant == "program":
        notes = tuple(Note(0.0, n_samples / RATE, int(pitch), 0.9) for pitch in rng.integers(52, 74, 2))
        x, played = on_font(studio, choose_preset(studio, (_APPLAUSE,), rng), Line(notes), rng, n_samples / RATE)
        return _swelling(x, rng), {"program": played}
    if variant == "applause":
        x = _applause(studio, n_samples, rng)
    elif variant == "cheer":
        x = _voices(studio, n_samples, rng, is_loud=True)
    elif variant == "murmur":
        x = _voices(studio, n_samples, rng, is_loud=False)
    elif variant == "chant":
        x = _chant(studio, n_samples, rng)
    else:
        parts = [_applause(studio, n_samples, rng), _voices(studio, n_samples, rng, is_loud=True)]
        x = parts[0] * np.float32(rng.uniform(0.3, 1) / peak(parts[0]))
        x = x + parts[1] * np.float32(rng.uniform(0.3, 1) / max(peak(parts[1]), 1e-6))
    if variant == "chant":
        return reverb(x, rng, decay_s=rng.uniform(0.4, 2.0), wet=rng.uniform(0.1, 0.5), kind="hall"), {}
    return _swelling(_distant(x, rng), rng), {}


def _distant(x: Float, rng: np.random.Generator) -> Float:
    """In a club, a hall or the open; what is far away is dull, and has no beginning."""
    distance = rng.random()
    room = room_response(rng, decay_s=rng.uniform(0.4, 3.5), kind="hall" if rng.random() < 0.6 else "room")
    wet = convolve(x, room) * np.float32(0.2 + distance)
    return lowpass(stereo(x) * np.float32(1 - 0.8 * distance) + wet, rng.uniform(2500, 14000), order=1)


def _swelling(x: Float, rng: np.random.Generator) -> Float:
    """It rises, or dies away, or stays."""
    slow = wander(rng, x.shape[1], hz=rng.uniform(0.1, 0.5))
    trend = np.linspace(0, rng.choice([-1.0, 0.0, 1.0]), x.shape[1])
    level = np.exp(rng.uniform(0.3, 1.2) * (slow + 1.2 * trend))
    return fade(
        x * level.astype(np.float32), start=seconds(rng.uniform(0.01, 0.8)), end=seconds(rng.uniform(0.05, 0.8))
    )


def _applause(studio: Studio, n_samples: int, rng: np.random.Generator) -> Float:
    """(2, N): thousands of claps, of some hands each moved a little."""
    recorded = _recorded(studio, "group", rng)
    out = np.zeros((2, n_samples), np.float32)
    rate = log_uniform(rng, 8, 400)  # a second
    n_kinds = 10
    for _ in range(n_kinds):
        x = mono(_person(studio, recorded, rng)[0])[:, : seconds(0.25)]
        n_claps = rng.poisson(rate * n_samples / RATE / n_kinds)
        at, gains = rng.integers(0, n_samples, n_claps), rng.uniform(0.2, 1.0, n_claps) ** 2
        pans = rng.uniform(0, 1, n_claps)
        train = np.zeros((2, n_samples), np.float32)
        np.add.at(train[0], at, gains * np.sqrt(pans))
        np.add.at(train[1], at, gains * np.sqrt(1 - pans))
        out += convolve(train, np.repeat(fade(x, end=1000), 2, axis=0))
    return out


def _voices(studio: Studio, n_samples: int, rng: np.random.Generator, *, is_loud: bool) -> Float:
    """(2, N): shouts that are high and long, or talk; so many that no word is understood."""
    files = voice_files(studio, ("voice.speech", "voice.sung", "voice.vowels", "voice.growled"))
    ids = sorted({source.id for source, _ in files})
    out = np.zeros((2, n_samples), np.float32)
    cuts = [
        cut_voice(studio, rng, longest_s=1.2 if is_loud else 3.0, n_syllables=1 if is_loud else 9) for _ in range(10)
    ]
    n_voices = int(rng.integers(40, 160)) if is_loud else int(rng.integers(25, 80))
    for _ in range(n_voices):
        x = cuts[int(rng.integers(len(cuts)))].x
        semitones = rng.normal(4, 4) if is_loud else rng.normal(0, 2.5)
        x = _faster(x, float(np.clip(semitones, -7, 12)))
        if is_loud:  # held: once more, and backwards in between
            x = np.concatenate([x, x[:, ::-1], x], axis=1)[:, : seconds(rng.uniform(0.3, 2.0))]
        x = fade(x, start=seconds(0.04), end=seconds(0.15))
        at = int(rng.integers(-x.shape[1] // 2, n_samples))
        add(out, x, at, gain=rng.uniform(0.15, 1) ** 2, pan=rng.uniform(-1, 1))
    return highpass(out, 120 if len(ids) else 80)


def _faster(x: Float, semitones: float) -> Float:
    places_s = np.arange(int(x.shape[1] / 2 ** (semitones / 12))) / RATE * 2 ** (semitones / 12)
    return read_at(x, places_s)


def _chant(studio: Studio, n_samples: int, rng: np.random.Generator) -> Float:
    """(2, N): the same word of many, on the beat."""
    out = np.zeros((2, n_samples), np.float32)
    cut = cut_voice(studio, rng, longest_s=0.7, n_syllables=3)
    many = np.zeros((2, cut.x.shape[1] + seconds(0.3)), np.float32)
    for _ in range(int(rng.integers(15, 50))):
        # All at nearly the same time, each at a pitch of their own.
        x = _faster(cut.x, rng.normal(0, 3.0))
        add(many, x, seconds(rng.uniform(0, 0.08)), gain=rng.uniform(0.2, 1), pan=rng.uniform(-1, 1))
    period_s = many.shape[1] / RATE * rng.uniform(1.0, 1.6)
    shifts = [0.0] if rng.random() < 0.5 else [0.0, float(rng.choice([-2, 2, 3, -3]))]
    for number in range(int(n_samples / RATE / period_s)):
        x = _faster(many, shifts[number % len(shifts)])
        add(out, x, seconds(number * period_s), gain=rng.uniform(0.85, 1.0))
    return out
