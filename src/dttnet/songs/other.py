"""All that accompanies but drums and bass: guitars, keys, strings, horns, synthesisers; one to five of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage

from dttnet.songs.amplifiers import Gain, amplify_guitar
from dttnet.songs.draws import choose, log_uniform
from dttnet.songs.effects import (
    Band,
    chorus,
    compress,
    convolve,
    delay,
    equalise,
    phaser,
    place,
    room_response,
    tremolo,
)
from dttnet.songs.fonts import Part, sounding_s
from dttnet.songs.library import SYNTHESISED, Source
from dttnet.songs.parts import Line, write_part
from dttnet.songs.samplers import Sampler, read_samplers
from dttnet.songs.score import TAIL_S, Note, Song
from dttnet.songs.signals import RATE, Float, active_db, add, fade, highpass, lowpass, mono, peak, seconds, stereo
from dttnet.songs.studio import Studio
from dttnet.songs.styles import STYLES
from dttnet.songs.synths import LINES, play, play_line, rotate
from dttnet.spans import spans

Player = Callable[[Line, np.random.Generator, float], Float]


@dataclass(frozen=True)
class _Kind:
    """Instruments that are used alike.

    Attributes:
        programs: Of General MIDI.
        samples: What single notes serve, if any: electric, acoustic or piano.
        tones: Of the synthesisers.
        bends: Whether melodies bend and sway.
        wide: Whether it fills both sides; else it is a point.
        low_hz: There is nothing below.
    """

    programs: tuple[int, ...] = ()
    samples: str = ""
    tones: tuple[str, ...] = ()
    bends: bool = False
    wide: bool = False
    low_hz: float = 100.0


_KINDS: dict[str, _Kind] = {
    "electric": _Kind((26, 27, 27, 28), "electric", ("pluck",), bends=True, low_hz=75),
    "distorted": _Kind((29, 30, 30), bends=True, low_hz=75),
    "acoustic": _Kind((24, 25, 25), "acoustic", ("pluck",), low_hz=75),
    "banjo": _Kind((105, 105, 15, 104, 106, 107), tones=("pluck",), low_hz=120),
    "piano": _Kind((0, 0, 1, 2, 3), "piano", wide=True, low_hz=45),
    "electric piano": _Kind((4, 4, 5), tones=("fm piano",), wide=True, low_hz=60),
    "clavinet": _Kind((7, 6), tones=("clavinet",), low_hz=80),
    "organ": _Kind((16, 17, 18, 18, 19, 20), tones=("organ",), wide=True, low_hz=70),
    "reed organ": _Kind((20, 21, 23), wide=True),
    "mallets": _Kind((8, 9, 10, 11, 11, 12, 13, 14, 46, 108), tones=("glass", "fm bell"), wide=True, low_hz=120),
    "strings": _Kind((48, 48, 49, 44, 50, 51), tones=("supersaw",), wide=True, low_hz=110),
    "pizzicato": _Kind((45, 46), wide=True),
    "fiddle": _Kind((40, 41, 42, 110, 40), bends=True, low_hz=150),
    "choir": _Kind((52, 53, 54, 91), wide=True, low_hz=120),
    "brass": _Kind((61, 61, 56, 57, 60, 62, 63), wide=True, low_hz=90),
    "trumpet": _Kind((56, 57, 59, 60, 58), bends=True),
    "saxophone": _Kind((65, 66, 64, 67, 66), bends=True),
    "winds": _Kind((68, 69, 71, 73, 72, 74, 75, 77, 78, 79), bends=True, low_hz=140),
    "harmonica": _Kind((22, 22, 21), bends=True, low_hz=150),
    "synth lead": _Kind((80, 81, 82, 83, 84, 85, 87), tones=LINES[:3], bends=True, low_hz=120),
    "theremin": _Kind((), tones=("theremin", "sine"), bends=True, low_hz=120),
    "synth pad": _Kind((88, 89, 90, 92, 93, 94, 95, 50, 51), tones=("supersaw", "saw", "pulse", "square"), wide=True),
    "synth pluck": _Kind((81, 84, 88, 96, 98, 99, 100, 102), tones=("fm", "pluck", "fm bell", "glass"), wide=True),
    "synth stab": _Kind((81, 90, 62, 63, 80), tones=("supersaw", "saw", "fm", "square"), wide=True),
}

_ROLE_KINDS: dict[str, dict[str, float]] = {
    "pad": {
        "strings": 3, "synth pad": 4, "organ": 3, "electric piano": 0.7, "choir": 0.25, "reed organ": 0.6,
        "winds": 0.3,
    },
    "comp": {
        "piano": 5, "electric piano": 3, "electric": 3, "organ": 1.5, "acoustic": 1, "clavinet": 0.7, "synth stab": 0.7,
    },
    "strum": {"acoustic": 5, "electric": 4, "banjo": 0.3},
    "arpeggio": {
        "electric": 4, "acoustic": 2.5, "piano": 3, "electric piano": 1, "mallets": 1, "synth pluck": 1.5,
        "clavinet": 0.2, "pizzicato": 0.3,
    },
    "lead": {
        "electric": 6, "distorted": 1, "saxophone": 1, "trumpet": 0.7, "winds": 0.8, "fiddle": 0.8, "harmonica": 0.5,
        "synth lead": 2, "piano": 1, "organ": 0.4, "mallets": 0.4, "theremin": 0.2, "electric piano": 0.4,
    },
    "power": {"electric": 8, "distorted": 1.5},
    "riff": {
        "electric": 8, "distorted": 1, "clavinet": 0.5, "organ": 0.4, "brass": 0.5, "synth lead": 0.6, "piano": 0.4,
    },
    "picking": {"acoustic": 6, "electric": 3, "banjo": 1, "piano": 0.2},
    "skank": {"electric": 7, "piano": 1, "organ": 1, "clavinet": 0.3},
    "stabs": {
        "brass": 3, "synth stab": 3, "piano": 1.5, "organ": 1, "strings": 0.6, "electric": 1.2, "electric piano": 0.7,
    },
    "organ": {"organ": 9, "reed organ": 0.7},
    "horns": {"brass": 6, "saxophone": 1.5, "trumpet": 1.5},
    "strings": {"strings": 9, "fiddle": 0.5},
    "ostinato": {
        "synth pluck": 3, "piano": 2, "mallets": 1.5, "electric": 2, "synth lead": 1.5, "clavinet": 0.7,
        "pizzicato": 0.6, "electric piano": 1, "acoustic": 0.6,
    },
}  # fmt: skip  # a table

_SYNTHS = ("synth lead", "synth pad", "synth pluck", "synth stab", "theremin")
_HEAVY: Mapping[str, float] = dict.fromkeys(_SYNTHS, 0.15) | {
    "piano": 0.2, "electric piano": 0.1, "brass": 0.1, "saxophone": 0.1, "trumpet": 0.1, "acoustic": 0.3,
    "mallets": 0.2, "winds": 0.1, "fiddle": 0.2, "harmonica": 0.2, "distorted": 1.5,
}  # fmt: skip  # a table
_ROOTS: Mapping[str, float] = dict.fromkeys(_SYNTHS, 0.05) | {
    "acoustic": 2, "fiddle": 3, "banjo": 2.5, "harmonica": 2, "distorted": 0.2, "brass": 0.15, "clavinet": 0.1,
}  # fmt: skip  # a table
_BLACK: Mapping[str, float] = dict.fromkeys(_SYNTHS, 0.15) | {
    "electric piano": 2, "organ": 1.5, "saxophone": 2, "trumpet": 2, "distorted": 0.1, "clavinet": 2, "acoustic": 0.4,
}  # fmt: skip  # a table
_ELECTRONIC: Mapping[str, float] = dict.fromkeys(_SYNTHS, 5.0) | {
    "electric": 0.15, "acoustic": 0.2, "distorted": 0.05, "brass": 0.3, "fiddle": 0.2, "harmonica": 0.1, "banjo": 0.1,
    "trumpet": 0.4, "saxophone": 0.4,
}  # fmt: skip  # a table
_LEANINGS: dict[str, Mapping[str, float]] = (
    dict.fromkeys(("hard rock", "punk", "metal"), _HEAVY)
    | dict.fromkeys(("country", "folk"), _ROOTS)
    | dict.fromkeys(("soul", "funk", "disco", "jazz", "gospel", "reggae", "ska", "blues", "latin"), _BLACK)
    | dict.fromkeys(("house", "techno", "drum and bass", "trap", "synth pop", "ambient"), _ELECTRONIC)
    | dict.fromkeys(("rock", "indie", "ballad"), dict.fromkeys(_SYNTHS, 0.35))
    | {"hip hop": dict.fromkeys(_SYNTHS, 1.5) | {"distorted": 0.2, "banjo": 0.2}}
)
"""How much more of a kind there is in some styles."""

_REGISTERS: dict[str, tuple[int, int]] = {
    "pad": (50, 79), "comp": (51, 77), "strum": (40, 72), "arpeggio": (50, 84), "lead": (57, 84), "power": (40, 64),
    "riff": (52, 76), "picking": (40, 72), "skank": (55, 79), "stabs": (53, 80), "organ": (50, 77), "horns": (53, 80),
    "strings": (55, 88), "ostinato": (53, 86),
}  # fmt: skip  # a table
"""Lowest and highest pitch; guitars have their own."""

_LEVELS_DB = {
    "pad": -7, "comp": 0, "strum": -1, "arpeggio": -3, "lead": 1, "power": 1, "riff": 0, "picking": -1, "skank": -1,
    "stabs": -2, "organ": -4, "horns": -2, "strings": -5, "ostinato": -4,
}  # fmt: skip  # a table

_GAINS: dict[str, dict[str, float]] = {  # how guitars are amplified, of styles that differ from the first
    "": {"clean": 7, "crunch": 2.5, "high": 0.5},
    "rock": {"clean": 2.5, "crunch": 5, "high": 2.5},
    "hard rock": {"clean": 0.7, "crunch": 4, "high": 5},
    "punk": {"clean": 0.3, "crunch": 5, "high": 4.5},
    "metal": {"clean": 0.4, "crunch": 0.6, "high": 9},
    "indie": {"clean": 5, "crunch": 4, "high": 1},
    "blues": {"clean": 4, "crunch": 5.5, "high": 0.5},
    "jazz": {"clean": 9, "crunch": 0.3},
    "reggae": {"clean": 9, "crunch": 0.5},
    "funk": {"clean": 9, "crunch": 1},
    "disco": {"clean": 9.5, "crunch": 0.5},
    "country": {"clean": 7, "crunch": 3},
}
_TEXTURES = {"ambient": 0.4, "hip hop": 0.2, "trap": 0.2, "techno": 0.15, "drum and bass": 0.15}
_ROOMS: tuple[Literal["room", "hall", "plate", "spring"], ...] = ("room", "room", "hall", "plate", "plate", "spring")
_NO_TEXTURE = re.compile(
    "bass|boom|robot|choir|beat|vinyl|perc|drum|kick|snare|hat|burp|crow|voic|vox|phone|scratch|"
    "ride|cymbal|crash|loop|break|tabla|clap"
)


@dataclass(frozen=True)
class _Seat:
    """Somebody in the band.

    Attributes:
        role: What is played.
        kind: On what.
        names: The sections in which it is.
        gain: Of the amplifier; "" without.
        is_double: Played twice, left and right.
    """

    role: str
    kind: str
    names: frozenset[str]
    gain: Gain | None = None
    is_double: bool = False


def is_texture(name: str) -> bool:
    """Whether a file of the textures accompanies: among them there are basses, beats and voices."""
    return not _NO_TEXTURE.search(name.lower())


def render_other(song: Song, studio: Studio, rng: np.random.Generator) -> Float:
    """(2, N) of the song's length and TAIL_S; silent where the sections say so."""
    duration_s = song.duration_s + TAIL_S
    out = np.zeros((2, seconds(duration_s)), np.float32)
    names = frozenset(section.name for section in song.sections if "other" in section.plays)
    if not names:
        return out
    arranger, engineer, *players = rng.spawn(8)
    room = np.zeros_like(out)
    for seat, own in zip(_draw_band(song, names, studio, arranger), players, strict=False):
        x, sent = _perform(seat, song, studio, own, duration_s)
        out += x
        room += x * np.float32(sent)
    if arranger.random() < _TEXTURES.get(song.style, 0.02):
        out += _texture(song, studio, arranger, 0.3 * peak(out))
    if studio.features.production and room.any():
        decay_s = engineer.uniform(0.3, 1.2) if engineer.random() < 0.6 else engineer.uniform(1.0, 3.0)
        out += convolve(room, room_response(engineer, decay_s=decay_s, kind=_ROOMS[engineer.integers(len(_ROOMS))]))
    out = highpass(out, 25)
    return out * np.float32(engineer.uniform(0.35, 0.85) / max(peak(out), 1e-6))


# ---------------------------------------------------------------------------------------------------------- the band


def _draw_band(song: Song, names: frozenset[str], studio: Studio, rng: np.random.Generator) -> list[_Seat]:
    """Who plays what, and where: the first always, others in some sections, more of them in loud ones."""
    weights = dict(STYLES[song.style].other)
    n_seats = min(len(weights), int(rng.choice([1, 2, 3, 4, 5], p=[0.12, 0.3, 0.33, 0.18, 0.07])))
    energies = {section.name: section.energy for section in song.sections}
    seats: list[_Seat] = []
    for index in range(n_seats):
        # The first carries the song: a melody alone does not.
        fitting = {role: w for role, w in weights.items() if index or role not in ("lead", "horns", "stabs", "strings")}
        role = choose(rng, fitting or weights)
        del weights[role]
        kind = _draw_kind(role, song.style, studio, rng)
        if not index and kind in ("mallets", "pizzicato", "winds", "choir", "synth lead", "theremin"):
            kind = _draw_kind(role, song.style, studio, rng)
        gain = _draw_gain(role, kind, song.style, rng)
        threshold = 0.0 if index == 0 else float(rng.choice([0.0, 0.35, 0.5, 0.65]))
        own = frozenset(name for name in names if energies[name] >= threshold or (role == "lead" and name == "solo"))
        if role == "lead" and rng.random() < 0.6:
            own = frozenset({"solo", "intro", "outro", "bridge", "chorus"}) & names
        is_rhythm = role in ("power", "strum", "riff", "comp", "skank")
        likely = {"high": 0.75, "crunch": 0.55, "clean": 0.2}[gain] if gain else 0.3 if kind == "acoustic" else 0.0
        is_double = is_rhythm and studio.features.production and rng.random() < likely
        if own:
            seats.append(_Seat(role, kind, own, gain, is_double))
    return seats


def _draw_kind(role: str, style: str, studio: Studio, rng: np.random.Generator) -> str:
    leaning = _LEANINGS.get(style, {})
    weights = {kind: weight * leaning.get(kind, 1.0) for kind, weight in _ROLE_KINDS[role].items()}
    if not studio.features.fonts:
        there = {tag for sampler in _samplers(studio) for tag in _tags(sampler)}
        sampled = {kind: weight for kind, weight in weights.items() if _KINDS[kind].samples in there}
        weights = sampled or {kind: 1.0 for kind, what in _KINDS.items() if what.samples in there} or weights
    return choose(rng, weights)


def _draw_gain(role: str, kind: str, style: str, rng: np.random.Generator) -> Gain | None:
    if kind == "distorted":
        return "crunch" if rng.random() < 0.3 else None
    if kind != "electric":
        return None
    weights = dict(_GAINS.get(style, _GAINS[""]))
    if role == "power":
        weights["clean"] = 0.0
        weights["high"] = weights.get("high", 0) + 1
    elif role in ("skank", "picking", "comp", "arpeggio"):
        weights["high"] = 0.05 * weights.get("high", 0)
        weights["clean"] *= 2.5
    elif role in ("lead", "riff"):
        weights["crunch"] *= 1.5
    drawn = choose(rng, weights)
    return "clean" if drawn == "clean" else "crunch" if drawn == "crunch" else "high"


def _draw_player(seat: _Seat, studio: Studio, rng: np.random.Generator) -> Player:
    """An instrument of the kind, or what else there is."""
    what = _KINDS[seat.kind]
    samplers = [s for s in _samplers(studio) if what.samples and what.samples in _tags(s)]
    presets = studio.presets(what.programs)
    tones = what.tones if studio.features.fonts else ()
    if not samplers and not presets and not tones:
        samplers = _samplers(studio)
        presets = [] if samplers else studio.presets((*range(8), *range(16, 32)))
        tones = () if samplers or presets else ("pluck", "organ", "fm piano", "supersaw")
    is_synth = seat.kind in (*_SYNTHS, "organ")
    shares = {
        "sampled": 4.0 * bool(samplers),
        "font": 3.0 * bool(presets),
        "tone": (3.0 if is_synth else 0.5) * bool(tones),
    }
    sort = choose(rng, shares)
    if sort == "sampled":
        return _on_samples(studio, samplers[rng.integers(len(samplers))], seat)
    if sort == "font":
        source, program = presets[rng.integers(len(presets))]
        return lambda line, own, duration_s: _on_font(studio, source, program, line, own, duration_s)
    tone = tones[rng.integers(len(tones))]
    is_line = tone in LINES and (seat.role == "lead" or tone not in ("saw", "square", "pulse"))
    return lambda line, own, duration_s: _on_tone(studio, tone, is_line, line, own, duration_s)


def _on_tone(
    studio: Studio, tone: str, is_line: bool, line: Line, rng: np.random.Generator, duration_s: float
) -> Float:
    studio.library.count(SYNTHESISED, sounding_s(line.notes, duration_s))
    return (play_line if is_line else play)(line.notes, rng, duration_s, tone=tone)


def _on_font(
    studio: Studio, source: Source, program: int, line: Line, rng: np.random.Generator, duration_s: float
) -> Float:
    # A little out of tune, as two takes are.
    cents = float(rng.normal(0, 0.03))
    bends = [(at, semitones + cents) for at, semitones in line.bends] or [(0.0, cents)]
    return studio.fonts.render(source, [Part(line.notes, program, volume=1.0, bends=bends)], duration_s)


def _on_samples(studio: Studio, sampler: Sampler, seat: _Seat) -> Player:
    # Distortion makes the end of a note as loud as its middle.
    longest_s = 0.4 if seat.kind == "piano" else 0.18 if seat.gain in (None, "clean") else 0.05

    def player(line: Line, rng: np.random.Generator, duration_s: float) -> Float:
        release_s = rng.uniform(0.4, 1.0) * longest_s
        return sampler.render(studio.library, line.notes, rng, duration_s, release_s=release_s, bends=line.bends)

    return player


def _samplers(studio: Studio) -> list[Sampler]:
    return read_samplers(studio.library, "other.guitar") + read_samplers(studio.library, "other.piano")


def _tags(sampler: Sampler) -> frozenset[str]:
    name = sampler.name.lower()
    if sampler.source.use == "other.piano":
        return frozenset({"piano"})
    if any(word in name for word in ("acoustic", "nylon", "classical", "steel", "archtop")):
        return frozenset({"acoustic"})
    return frozenset({"electric"})


# ---------------------------------------------------------------------------------------------------------- playing


def _perform(
    seat: _Seat, song: Song, studio: Studio, rng: np.random.Generator, duration_s: float
) -> tuple[Float, float]:
    """(2, N) of one instrument at its place and level, and how much of it goes into the room."""
    line = _write(seat, song, rng)
    player = _draw_player(seat, studio, rng)
    n_takes = 2 if seat.is_double else 1
    lines = [line if not take else _again(line, rng) for take in range(n_takes)]
    takes = [_play_damped(player, own, seat, song, rng, duration_s) for own in lines]
    if studio.features.production:
        x = _produce(seat, takes, song, rng)
        sent = float(rng.choice([0.0, rng.uniform(0.02, 0.15), rng.uniform(0.1, 0.4)], p=[0.25, 0.5, 0.25]))
    else:
        x, sent = stereo(takes[0]), 0.0
    wanted_db = -22 + _LEVELS_DB[seat.role] + rng.normal(0, 2.5)
    return x * np.float32(10 ** ((wanted_db - active_db(x)) / 20)), sent


def _play_damped(
    player: Player, line: Line, seat: _Seat, song: Song, rng: np.random.Generator, duration_s: float
) -> Float:
    """What is played; of electric guitars' riffs, the short notes are damped by the palm, so they are dull."""
    damped = tuple(note for note in line.notes if note.length_s < 0.22 * song.beat_s)
    if not damped or seat.role not in ("power", "riff") or seat.kind not in ("electric", "distorted"):
        return player(line, rng, duration_s)
    damping_hz = rng.uniform(500, 1500)
    rest = tuple(note for note in line.notes if note.length_s >= 0.22 * song.beat_s)
    x = lowpass(player(Line(damped), rng, duration_s), damping_hz, order=1)
    return x + player(Line(rest, line.bends), rng, duration_s) if rest else x


def _write(seat: _Seat, song: Song, rng: np.random.Generator) -> Line:
    is_guitar = seat.kind in ("electric", "distorted", "acoustic", "banjo")
    low, high = _REGISTERS[seat.role]
    if is_guitar and seat.role in ("riff", "skank", "comp", "arpeggio", "ostinato"):
        low, high = 40 if seat.role in ("riff", "skank") else 47, 76
    elif is_guitar and seat.role == "power" and song.style == "metal":
        low = int(rng.choice([35, 36, 38, 40]))
    elif seat.role in ("lead", "ostinato", "arpeggio"):
        move = int(rng.choice([-5, 0, 0, 5])) + 12 * (seat.kind == "mallets")
        low, high = low + move, high + move
    elif seat.kind == "saxophone":
        low, high = 50, 76
    role = "strum" if seat.role == "comp" and is_guitar and rng.random() < 0.5 else seat.role
    is_open = seat.kind in ("acoustic", "banjo") or (role in ("strum", "picking") and rng.random() < 0.4)
    line = write_part(role, song, rng, low=low, high=high, names=seat.names, is_open=is_open)
    if seat.kind == "piano" and role in ("comp", "arpeggio") and rng.random() < 0.6:
        line = replace(line, notes=tuple(_pedalled(line.notes, song)))
    return line if _KINDS[seat.kind].bends else replace(line, bends=())


def _pedalled(notes: Sequence[Note], song: Song) -> list[Note]:
    """Held until the bar ends, where the pedal is changed."""
    lines = np.array([song.line_s(bar) for bar in range(1, song.n_bars + 3)])
    # A note shortly before a bar line is of the bar that begins there.
    ends = [float(lines[np.searchsorted(lines, note.start_s + 0.05 * song.bar_s, side="right")]) for note in notes]
    return [replace(n, length_s=max(n.length_s, end - n.start_s - 0.02)) for n, end in zip(notes, ends, strict=True)]


def _again(line: Line, rng: np.random.Generator) -> Line:
    """The same once more: other times, other force."""
    loose_s = rng.uniform(0.004, 0.012)
    # What is struck together stays together.
    late = rng.normal(0, loose_s, len(line.notes))
    notes, held = [], 0.0
    before = -1.0
    for note, shift in zip(line.notes, late, strict=True):
        if note.start_s - before > 0.03:
            held = shift
        before = note.start_s
        velocity = float(np.clip(note.velocity * rng.uniform(0.88, 1.1), 0.05, 1))
        notes.append(replace(note, start_s=max(0.0, note.start_s + held), velocity=velocity))
    return Line(tuple(notes), line.bends)


def _produce(seat: _Seat, takes: Sequence[Float], song: Song, rng: np.random.Generator) -> Float:
    """(2, N): amplifier, equaliser, effects, place."""
    kind = _KINDS[seat.kind]
    if not kind.wide:
        takes = [mono(take) for take in takes]
    seeds = rng.integers(1 << 31, size=len(takes))
    if rng.random() < 0.6:  # both takes through the same amplifier
        seeds[:] = seeds[0]
    sides = [
        _where_it_sounds(take, functools.partial(_recorded, seat=seat, rng=np.random.default_rng(seed)))
        for take, seed in zip(takes, seeds, strict=True)
    ]
    if len(sides) == 2:
        # Of eight recorded metal songs four have both guitars nearer the middle, where the bass is.
        spread = rng.uniform(0.7, 1.0) if rng.random() < 0.65 else rng.uniform(0.05, 0.7)
        pan = rng.normal(0, 0.05)
        left, right = (side.mean(axis=0, keepdims=True) for side in sides)
        right = right * np.float32(10 ** ((active_db(left) - active_db(right)) / 20))
        return place(left, pan=-spread + pan) + place(right, pan=spread + pan)
    x = _coloured(sides[0], seat, song, rng)
    if kind.wide and len(x) == 2:
        return place(x, pan=rng.normal(0, 0.12), width=rng.uniform(0.3, 1.2))
    pan = rng.normal(0, 0.1) if seat.role in ("lead", "riff") else rng.choice([-1, 1]) * rng.uniform(0, 0.75)
    if seat.gain in ("crunch", "high") and rng.random() < 0.5:  # an only guitar needs no room left beside it
        pan *= 0.2
    return place(x, pan=float(pan), width=rng.uniform(0.0, 1.0))


def _recorded(x: Float, seat: _Seat, rng: np.random.Generator) -> Float:
    """Through an amplifier, or an equaliser with a low cut; compressed now and then."""
    if seat.gain:
        x = mono(x)
        if rng.random() < 0.3:  # of pickups; what is distorted hisses
            hiss = rng.standard_normal(x.shape, np.float32)
            x = x + hiss * np.float32(peak(x) * 10 ** (rng.uniform(-90, -68) / 20))
        x = amplify_guitar(x, rng, gain=seat.gain)
    else:
        x = highpass(x, _KINDS[seat.kind].low_hz * rng.uniform(0.7, 1.5))
        bands = [
            Band("peak", log_uniform(rng, 180, 700), rng.normal(-1, 2), 0.9),
            Band("peak", log_uniform(rng, 900, 4000), rng.normal(0.5, 2.5), 0.9),
            Band("high", rng.uniform(3500, 8000), rng.normal(3.0 if seat.kind == "acoustic" else 0.5, 2.5)),
        ]
        x = equalise(x, bands)
    if seat.gain != "high" and rng.random() < 0.5:
        threshold_db = active_db(x) + rng.uniform(0, 8)
        x = compress(
            x, threshold_db=threshold_db, ratio=rng.uniform(1.5, 4), attack_s=rng.uniform(0.003, 0.03), release_s=0.15
        )
    return x


def _where_it_sounds(x: Float, treat: Callable[[Float], Float]) -> Float:
    """What `treat` makes of x without its silences, put back in place: most instruments rest in some sections."""
    hop, keep = 4410, 4
    # A fraction of the samples tells where it is loud.
    few = np.abs(x[:, ::10]).max(axis=0)
    few = np.pad(few, (0, -len(few) % (hop // 10))).reshape(-1, hop // 10).max(axis=1)
    is_loud = ndimage.binary_dilation(few > 2e-5 * few.max(initial=0), iterations=keep)
    if is_loud.all() or not is_loud.any():
        return treat(x)
    loud = [slice(first * hop, min(last * hop, x.shape[1])) for first, last in spans(is_loud)]
    treated = treat(np.concatenate([x[:, span] for span in loud], axis=1))
    out = np.zeros((len(treated), x.shape[1]), np.float32)
    now = 0
    for span in loud:
        length = span.stop - span.start
        # Amplifiers hiss: it comes and goes, but not at the ends of x, where nothing is cut.
        start = RATE // 100 if span.start else 0
        end = RATE // 20 if span.stop < x.shape[1] else 0
        out[:, span] = fade(treated[:, now : now + length], start=start, end=end)
        now += length
    return out


def _coloured(x: Float, seat: _Seat, song: Song, rng: np.random.Generator) -> Float:
    """What pedals do: at most one of them moves, and leads echo."""
    if seat.kind == "organ" and rng.random() < 0.6:
        x = rotate(x, rng)
    elif seat.kind in ("electric", "electric piano", "synth pad", "clavinet"):
        drawn = rng.random()
        if drawn < 0.1:
            x = tremolo(x, rate_hz=rng.uniform(2.5, 8), depth=rng.uniform(0.2, 0.7))
        elif drawn < 0.25:
            x = chorus(
                x, rng, rate_hz=rng.uniform(0.2, 2), depth_s=rng.uniform(0.0005, 0.003), wet=rng.uniform(0.2, 0.7)
            )
        elif drawn < 0.32:
            x = phaser(x, rng, rate_hz=rng.uniform(0.1, 1.5), wet=rng.uniform(0.3, 0.9))
    likely = (
        0.5 if seat.role in ("lead", "ostinato") else 0.25 if song.style in ("reggae", "ambient", "indie") else 0.06
    )
    if rng.random() < likely:
        time_s = song.beat_s * float(rng.choice([0.25, 0.5, 0.75, 1.0]))
        x = delay(
            x, time_s=time_s, feedback=rng.uniform(0.1, 0.5), wet=rng.uniform(0.1, 0.4), ping_pong=rng.random() < 0.3
        )
    return x


def _texture(song: Song, studio: Studio, rng: np.random.Generator, highest: float) -> Float:
    """(2, N) a drone or an effect, again and again, transposed into the key or so."""
    out = np.zeros((2, seconds(song.duration_s + TAIL_S)), np.float32)
    names = [
        (source, name)
        for source in studio.library.sources("other.texture")
        for name in studio.library.files(source)
        if is_texture(name)
    ]
    if not names:
        return out
    source, name = names[rng.integers(len(names))]
    for section in song.sections:
        if "other" not in section.plays or rng.random() < 0.3:
            continue
        now_s, end_s = song.line_s(section.first_bar), song.line_s(section.first_bar + section.n_bars)
        while now_s < end_s:
            shift = float(rng.choice([-5, 0, 0, 2, 7]))
            x = studio.library.hit(source, name, semitones=shift, longest_s=12.0, counted=False)
            x = highpass(x[:, : seconds(end_s - now_s)], 90)
            studio.library.count(source, x.shape[1] / RATE)
            add(out, stereo(fade(x, start=400, end=RATE // 4)), seconds(now_s), gain=highest * rng.uniform(0.6, 1))
            now_s += max(song.bar_s, np.ceil(x.shape[1] / RATE / song.bar_s) * song.bar_s)
    return out
