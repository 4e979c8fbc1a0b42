"""Render pools of stem audio for training a small four-stem separator by random mixing.

    python recipes/open_songs/first/render.py AUDIO_ROOT OUT_DIR --seed 1 --minutes 60 [--workers 2]

AUDIO_ROOT holds openly licensed audio: stems of songs, single notes of instruments, drum hits, singing and
speech. Together with two General MIDI sound fonts and a few simple synthesisers it is turned into music-like
audio of one stem each. Every pool is written to OUT_DIR/<stem>-<kind>.npy, an (N, 2) int16 array at 44100 Hz
that can be memory-mapped; OUT_DIR/pools.json lists the pools with their length and sources.

The album stems under a folder named "test" are never read. Everything is a function of the seed: a pool is
made of one-minute chunks, and each chunk has its own random generator, so the number of workers does not
matter. `--minutes` scales all rendered pools (the lengths in POOLS are those at 60).
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import soxr
import tinysoundfont
from numpy.random import Generator
from scipy import signal

from dttnet.songs.library import Source, read_catalogue

RATE = 44100
CHUNK_SECONDS = 60
DEFAULT_FONTS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf3/MuseScore_General.sf3")
Audio = np.ndarray  # (N, 2) float32


# ---------------------------------------------------------------------------------------------- audio helpers


def stereo(x: np.ndarray) -> Audio:
    """Make (N,) or (N, 1) audio two channels wide."""
    x = x[:, None] if x.ndim == 1 else x
    return np.repeat(x, 2, axis=1) if x.shape[1] == 1 else x


def fade(x: np.ndarray, start: int, end: int) -> np.ndarray:
    """Fade a copy of x in over `start` and out over `end` samples."""
    x = x.copy()
    start, end = min(start, len(x)), min(end, len(x))
    shape = (-1,) + (1,) * (x.ndim - 1)
    if start:
        x[:start] *= np.linspace(0, 1, start, dtype=np.float32).reshape(shape)
    if end:
        x[-end:] *= np.linspace(1, 0, end, dtype=np.float32).reshape(shape)
    return x


def filtered(x: np.ndarray, kind: str, hertz: float, order: int = 2) -> np.ndarray:
    """Butterworth low-pass or high-pass along time."""
    sos = signal.butter(order, hertz, kind, fs=RATE, output="sos").astype(np.float32)
    return signal.sosfilt(sos, x, axis=0).astype(np.float32)


def tilt(x: Audio, rng: Generator, most_db: float = 3.0) -> Audio:
    """Raise one side of the spectrum and lower the other, gently."""
    low = filtered(x, "lowpass", float(rng.uniform(400, 2500)), 1)
    gain = 10 ** (rng.uniform(-most_db, most_db) / 20)
    return (low * gain + (x - low) / gain).astype(np.float32)


def reverb(x: Audio, rng: Generator, wet: float, longest: float = 1.5) -> Audio:
    """Add exponentially decaying noise as a room, without much bass."""
    decay = rng.uniform(0.2, longest)
    count = int(decay * RATE)
    envelope = np.exp(-6.9 * np.arange(count) / count)[:, None]
    room = (rng.standard_normal((count, 2)) * envelope).astype(np.float32)
    room = filtered(filtered(room, "highpass", 250, 1), "lowpass", float(rng.uniform(3000, 12000)), 1)
    room = np.concatenate([np.zeros((int(rng.uniform(0.002, 0.03) * RATE), 2), np.float32), room])
    room /= np.sqrt((room**2).sum(0, keepdims=True)) + 1e-9
    return x + np.float32(wet) * signal.oaconvolve(x, room, axes=0)[: len(x)].astype(np.float32)


def placed(x: Audio, width: float, pan: float) -> Audio:
    """Scale the side signal by `width` and balance towards `pan` (-1 left, 1 right)."""
    mid, side = x.mean(1), (x[:, 0] - x[:, 1]) * np.float32(0.5 * width)
    left, right = np.float32(min(1.0, 1 - pan)), np.float32(min(1.0, 1 + pan))
    return np.stack([(mid + side) * left, (mid - side) * right], axis=1)


def levelled(x: Audio, rng: Generator) -> Audio:
    """Take out DC and rumble and set the peak somewhere between 0.3 and 0.9."""
    x = filtered(np.nan_to_num(x), "highpass", 22, 2)
    peak = np.abs(x).max(initial=0)
    return x * np.float32(rng.uniform(0.3, 0.9) / peak) if peak > 1e-5 else x[:0]


def produced(x: Audio, rng: Generator, *, wet: float = 0.3, room: float = 0.75, drive: float = 0.15) -> Audio:
    """Light production: tilt, saturation, width, reverb, level."""
    x = tilt(x, rng)
    if rng.random() < drive:
        x = np.tanh(x * np.float32(rng.uniform(1, 4) / (np.abs(x).max() + 1e-6)))
    x = placed(x, rng.uniform(0.3, 1.3), rng.uniform(-0.25, 0.25))
    if rng.random() < room:
        x = reverb(x, rng, rng.uniform(0.03, wet))
    return levelled(x, rng)


def add(out: Audio, x: np.ndarray, start: int, gain: float = 1.0, pan: float = 0.0) -> None:
    """Mix x into out at a sample position, balanced towards pan."""
    x = stereo(x)
    if start < 0:
        x, start = x[-start:], 0
    x = x[: max(0, len(out) - start)]
    if len(x):
        sides = np.array([min(1.0, 1 - pan), min(1.0, 1 + pan)], np.float32) * np.float32(gain)
        out[start : start + len(x)] += x * sides


def loudness(x: np.ndarray, hop: int = 441) -> np.ndarray:
    """Root mean square per hop."""
    mono = x if x.ndim == 1 else np.abs(x).max(1)
    count = len(mono) // hop
    return np.sqrt((mono[: count * hop].reshape(count, hop) ** 2).mean(1) + 1e-12)


def without_silence(x: np.ndarray, below_db: float, keep: float) -> np.ndarray:
    """Cut stretches quieter than below_db (to the peak), keeping `keep` seconds around what sounds."""
    hop = 441
    level = loudness(x, hop)
    if not len(level) or level.max() < 1e-5:
        return x[:0]
    wide = 2 * int(keep * RATE / hop) + 1
    mask = np.convolve(level > level.max() * 10 ** (below_db / 20), np.ones(wide), "same") > 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    pieces = [fade(x[a * hop : b * hop], 200, 400) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return np.concatenate(pieces)


# ---------------------------------------------------------------------------------------------------- sources


@dataclass(frozen=True)
class LeftOut:
    """What `dttnet data build-open` keeps for validation songs: a training to be compared on them may not have it."""

    sources: tuple[Source, ...] = ()

    def has_file(self, name: str) -> bool:
        return any(
            source.is_held_out(name.removeprefix(f"{source.folder}/"))
            for source in self.sources
            if source.folder and name.startswith(f"{source.folder}/")
        )

    def has_program(self, program: int) -> bool:
        return any(source.is_held_out(f"0:{program}") for source in self.sources if source.soundfont)


class Library:
    """Cached access to the audio files below one root, noting which folders were used."""

    def __init__(self, root: Path, left_out: LeftOut) -> None:
        self.root = root
        self.left_out = left_out
        self.used: set[str] = set()
        self.cached = functools.lru_cache(maxsize=1500)(self._read)
        self.pitched = functools.lru_cache(maxsize=800)(self._pitched)
        self.listed = functools.cache(self._list)

    def _list(self, folder: str) -> tuple[str, ...]:
        found = sorted(self.root.glob(f"{folder}/**/*.ogg"))
        names = (str(path.relative_to(self.root)) for path in found)
        return tuple(name for name in names if not self.left_out.has_file(name))

    def present(self, folders: Iterable[str]) -> np.ndarray:
        """Of each folder, whether there are files in it."""
        return np.array([bool(self.listed(folder)) for folder in folders])

    def _read(self, name: str) -> np.ndarray:
        x, rate = soundfile.read(self.root / name, dtype="float32", always_2d=True)
        if rate != RATE:
            x = soxr.resample(x, rate, RATE)
        peak = np.abs(x).max(initial=0)
        if peak < 1e-4:
            return np.zeros((0, x.shape[1]), np.float32)
        start = int(np.argmax(np.abs(x).max(1) > 0.03 * peak))
        return fade(x[max(0, start - 60) :] / peak, 40, 400)

    def _pitched(self, name: str, semitones: float, most: float) -> np.ndarray:
        ratio = 2 ** (semitones / 12)
        x = self.cached(name)[: int(most * ratio * RATE)]
        return x if abs(semitones) < 1e-3 or not len(x) else soxr.resample(x, RATE * ratio, RATE)

    def hit(self, name: str) -> np.ndarray:
        """A file from its onset on, peak 1."""
        self.used.add(name.rsplit("/", 1)[0])
        return self.cached(name)

    def note(self, name: str, semitones: float, most: float = 4.0) -> np.ndarray:
        """A file from its onset on, peak 1, resampled by some semitones and at most `most` seconds long."""
        self.used.add(name.rsplit("/", 1)[0])
        return self.pitched(name, round(semitones, 2), most)


class Fonts:
    """The sound fonts, loaded when first needed."""

    def __init__(self, paths: list[Path], left_out: LeftOut) -> None:
        self.paths = paths
        self.left_out = left_out
        self.used: set[str] = set()
        self.load = functools.cache(self._load)
        self.drum_kits = functools.cache(self._drum_kits)

    def _load(self, index: int) -> tuple[tinysoundfont.Synth, int]:
        synth = tinysoundfont.Synth(gain=-12.0, samplerate=RATE)
        return synth, synth.sfload(str(self.paths[index]))

    def _drum_kits(self, index: int) -> tuple[int, ...]:
        synth, font = self.load(index)
        # from 48 on: orchestra, metronome and marching kits, where most pieces are missing
        return tuple(kit for kit in range(48) if synth.sfpreset_name(font, 128, kit))

    def render(self, index: int, tracks: list[Track], seconds: float) -> Audio:
        """Play the tracks on one sound font."""
        synth, font = self.load(index)
        self.used.add(self.paths[index].name)
        events: list[tuple[int, int, int, int, int]] = []
        for channel, track in enumerate(tracks):
            program = track.program
            while not track.drums and self.left_out.has_program(program):
                program += 1  # its neighbour is of the same family
            synth.program_select(channel, font, 0, program, track.drums)
            synth.control_change(channel, 7, int(127 * track.volume))
            synth.control_change(channel, 10, int(64 + 63 * track.pan))
            for note in track.notes:
                start, stop = int(note.start * RATE), int((note.start + note.length) * RATE)
                events.append((start, 1, channel, note.pitch, int(np.clip(note.velocity * 127, 1, 127))))
                events.append((stop, 0, channel, note.pitch, 0))
        total = int(seconds * RATE)
        blocks, now = [], 0
        for when, on, channel, pitch, velocity in sorted(events):
            if when >= total:
                break
            if when > now:
                blocks.append(np.frombuffer(synth.generate(when - now), np.float32).copy())
                now = when
            if on:
                synth.noteon(channel, pitch, velocity)
            else:
                synth.noteoff(channel, pitch)
        blocks.append(np.frombuffer(synth.generate(total - now), np.float32).copy())
        synth.sounds_off()
        synth.generate(2048)
        return np.concatenate(blocks).reshape(-1, 2)


@dataclass
class Sources:
    """What a fragment may draw on."""

    library: Library
    fonts: Fonts


# ------------------------------------------------------------------------------------------------ composition


@dataclass(frozen=True)
class Note:
    """A note (or a drum hit) in seconds; velocity 0..1."""

    start: float
    length: float
    pitch: int
    velocity: float


@dataclass
class Track:
    """Notes for one General MIDI program."""

    notes: list[Note]
    program: int
    volume: float = 0.8
    pan: float = 0.0
    drums: bool = False


@dataclass
class Song:
    """Tempo, key and one chord (root above the key, intervals) per bar."""

    beat: float
    key: int
    minor: bool
    chords: list[tuple[int, tuple[int, ...]]]
    swing: float
    rng: Generator = field(repr=False)

    @property
    def bar(self) -> float:
        return 4 * self.beat

    @property
    def seconds(self) -> float:
        return len(self.chords) * self.bar

    @property
    def scale(self) -> tuple[int, ...]:
        return (0, 2, 3, 5, 7, 8, 10) if self.minor else (0, 2, 4, 5, 7, 9, 11)

    def at(self, bar: int, step: float) -> float:
        """Time of a sixteenth in a bar, swung and a little loose."""
        swung = self.swing * self.beat / 4 if int(step) % 4 == 2 else 0.0
        return max(0.0, bar * self.bar + step * self.beat / 4 + swung + self.rng.normal(0, 0.004))


QUALITIES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "M7": (0, 4, 7, 11),
    "s": (0, 5, 7),
    "9": (0, 4, 7, 14),
    "d": (0, 3, 6),
}
MAJOR = (
    "0 7 9m 5|0 9m 5 7|9m 5 0 7|0 5 7 5|0 5 9m 7|5 7 4m 9m|0 4m 5 7|0 10 5 0|0 0 5 7|2m7 7:7 0M7 0M7|"
    "0 2m 5 7|5 0 7 9m|0 0 0 0 5 5 0 0 7 5 0 7|0M7 9m7 2m7 7:7|0:7 5:7 0:7 7:7|0s 0 5 7s|0:9 9m7 5M7 7|"
    "0 7 5 5|0 11d 9m 5"
)
MINOR = (
    "0m 8 3 10|0m 10 8 10|0m 5m 7m 0m|0m 10 8 7|0m 0m 8 10|0m7 5m7 10 3|0m 3 10 5|0m 0m 0m 0m|"
    "0m7 5:7 0m7 5:7|0m 5m 8 7:7|0m 7m 8 5m|8 10 0m 0m|0m 1 0m 10|0m 3 8 5m"
)


def parse_progression(text: str) -> list[tuple[int, tuple[int, ...]]]:
    """Read chords such as `9m` or `7:7`: semitones above the key, then a quality."""
    pairs = (re.fullmatch(r"(\d+?)(?::?)((?:m7|M7|[msd]|(?<=:)[79])?)", word) for word in text.split())
    return [(int(m.group(1)), QUALITIES[m.group(2)]) for m in pairs if m]


def compose(rng: Generator, slow: float = 66, fast: float = 178) -> Song:
    """Choose tempo, key, progression and number of bars."""
    minor = bool(rng.random() < 0.45)
    progression = parse_progression(str(rng.choice((MINOR if minor else MAJOR).split("|"))))
    bars = int(rng.choice([4, 8, 8, 12, 16])) if len(progression) <= 4 else len(progression)
    beat = 60 / rng.uniform(slow, fast)
    bars = max(2, min(bars, int(30 / (4 * beat))))
    chords = (progression * bars)[:bars]
    swing = rng.uniform(0.2, 0.66) if rng.random() < 0.2 else 0.0
    return Song(beat, int(rng.integers(12)), minor, chords, swing, rng)


def fit(pitch: int, low: int, high: int) -> int:
    """Move a pitch by octaves into low..high."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch


def voicing(song: Song, bar: int, low: int, high: int) -> list[int]:
    """Chord tones of a bar from low upwards."""
    root, intervals = song.chords[bar]
    tones = sorted({(song.key + root + step) % 12 for step in intervals})
    return [pitch for pitch in range(low, high + 1) if pitch % 12 in tones]


def rhythm(rng: Generator, busy: float) -> list[tuple[int, int]]:
    """One bar of (sixteenth, length in sixteenths)."""
    cells = ((4,), (2, 2), (8,), (6, 2), (3, 3, 2), (1, 1, 2), (2, 1, 1), (1, 1, 1, 1), (3, 1), (4, 4))
    weights = np.array([2, 3, 2, 1, 2, 1, 1, 1, 1, 1.0]) * np.array([len(c) for c in cells]) ** (3 * busy - 1)
    out, now = [], 0
    while now < 16:
        for length in cells[rng.choice(len(cells), p=weights / weights.sum())]:
            if now < 16:
                out.append((now, min(length, 16 - now)))
            now += length
    return out


def pad_part(song: Song, low: int, high: int) -> list[Note]:
    """Long chords."""
    rng, out = song.rng, []
    count = int(rng.integers(3, 6))
    for bar in range(len(song.chords)):
        velocity = rng.uniform(0.5, 0.9)
        chord = voicing(song, bar, low, high)[:count]
        out += [Note(song.at(bar, 0), song.bar * 0.97, pitch, velocity) for pitch in chord]
    return out


def comp_part(song: Song, low: int, high: int) -> list[Note]:
    """Chords in a rhythm that repeats, sometimes off the beat or as straight eighths."""
    rng, out = song.rng, []
    style = rng.integers(4)
    figure = {
        0: rhythm(rng, 0.4),
        1: [(step, 2) for step in range(0, 16, 2)],
        2: [(step, 1) for step in range(2, 16, 4)],
        3: [(step, 4) for step in range(0, 16, 4)],
    }[int(style)]
    cut, count = rng.uniform(0.4, 1.0), int(rng.integers(3, 5))
    for bar in range(len(song.chords)):
        for step, length in figure:
            velocity = rng.uniform(0.55, 0.75) + (0.2 if step % 8 == 0 else 0)
            chord = voicing(song, bar, low, high)[:count]
            out += [Note(song.at(bar, step), length * song.beat / 4 * cut, pitch, velocity) for pitch in chord]
    return out


def strum_part(song: Song, low: int, high: int) -> list[Note]:
    """Guitar strumming: down and up strokes spread over the strings."""
    rng, out = song.rng, []
    figures = (
        "D...D...D...D...",
        "D.D.D.D.D.D.D.D.",
        "D...D.U..UD.D.U.",
        "D..UD..UD..UD..U",
        "D.DUDUDUD.DUDUDU",
        "D...D.U.D.D.U.U.",
    )
    figure = str(rng.choice(figures))
    strokes = [step for step, mark in enumerate(figure) if mark != "."] + [16]
    spread = rng.uniform(0.006, 0.02)
    for bar in range(len(song.chords)):
        strings = voicing(song, bar, low, high)[: int(rng.integers(4, 7))]
        for step, following in itertools.pairwise(strokes):
            order = strings if figure[step] == "D" else strings[::-1][:4]
            velocity = rng.uniform(0.55, 0.8) + (0.15 if step % 8 == 0 else 0)
            for place, pitch in enumerate(order):
                start = song.at(bar, step) + place * spread
                length = (following - step) * song.beat / 4 * 0.98
                out.append(Note(start, length, pitch, velocity * rng.uniform(0.8, 1)))
    return out


def arpeggio_part(song: Song, low: int, high: int) -> list[Note]:
    """Chord tones one after the other in eighths or sixteenths."""
    rng, out = song.rng, []
    grid = int(rng.choice([1, 2, 2]))
    order = rng.integers(0, 6, 16 // grid) if rng.random() < 0.4 else np.arange(16 // grid)
    ring, fold = rng.uniform(0.6, 3.0), int(rng.choice([4, 5, 6, 8]))
    for bar in range(len(song.chords)):
        tones = voicing(song, bar, low, high)
        ladder = tones[:fold] + tones[1 : fold - 1][::-1] if rng.random() < 0.9 else tones[:fold][::-1]
        for index, choice in enumerate(order):
            pitch = ladder[int(choice) % len(ladder)]
            start = song.at(bar, index * grid)
            out.append(Note(start, grid * song.beat / 4 * ring, pitch, rng.uniform(0.55, 0.9)))
    return out


def lead_part(song: Song, low: int, high: int) -> list[Note]:
    """A melody wandering over the scale, resting on chord tones, with rests."""
    rng, out = song.rng, []
    ladder = [pitch for pitch in range(low, high + 1) if (pitch - song.key) % 12 in song.scale]
    place, busy, rest = len(ladder) // 2, rng.uniform(0.2, 0.8), rng.uniform(0.05, 0.3)
    motif = [rhythm(rng, busy) for _ in range(2)]
    for bar in range(len(song.chords)):
        tones = {pitch % 12 for pitch in voicing(song, bar, 60, 71)}
        for step, length in motif[bar % 2]:
            place = int(np.clip(place + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 4]), 0, len(ladder) - 1))
            if step % 8 == 0:
                place = min(range(len(ladder)), key=lambda i: abs(i - place) + 9 * (ladder[i] % 12 not in tones))
            if rng.random() > rest:
                out.append(Note(song.at(bar, step), length * song.beat / 4, ladder[place], rng.uniform(0.6, 1)))
    return out


def power_part(song: Song, low: int, _high: int) -> list[Note]:
    """Power chords: held, in eighths, or a galloping riff."""
    rng, out = song.rng, []
    held, eighths, gallop = [(0, 16)], [(step, 2) for step in range(0, 16, 2)], [(0, 6), (6, 6), (12, 4)]
    figure = (held, eighths, gallop, rhythm(rng, 0.7))[rng.integers(4)]
    cut = rng.uniform(0.5, 1.0)
    for bar, (root, _) in enumerate(song.chords):
        pitch = fit(song.key + root, low, low + 11)
        for step, length in figure:
            accent = rng.uniform(0.75, 1.0)
            for interval in (0, 7, 12):
                start = song.at(bar, step) + rng.uniform(0, 0.006)
                out.append(Note(start, length * song.beat / 4 * cut, pitch + interval, accent))
    return out


def riff_part(song: Song, low: int, high: int) -> list[Note]:
    """A one-bar motif on a pentatonic scale, moved with the chords."""
    rng, out = song.rng, []
    steps = (0, 3, 5, 7, 10, 12) if song.minor else (0, 2, 4, 7, 9, 12)
    figure = [(step, length, int(rng.choice(steps))) for step, length in rhythm(rng, rng.uniform(0.4, 0.9))]
    for bar, (root, _) in enumerate(song.chords):
        base = fit(song.key + root, low, low + 11)
        for step, length, interval in figure:
            pitch = min(base + interval, high)
            out.append(Note(song.at(bar, step), length * song.beat / 4 * 0.95, pitch, rng.uniform(0.65, 1)))
    return out


PARTS: dict[str, Callable[[Song, int, int], list[Note]]] = {
    "pad": pad_part,
    "comp": comp_part,
    "strum": strum_part,
    "arpeggio": arpeggio_part,
    "lead": lead_part,
    "power": power_part,
    "riff": riff_part,
}


def bass_figure(song: Song, style: str, bar: int, low: int) -> list[tuple[int, int, int]]:
    """One bar of a bass line: (sixteenth, length, pitch)."""
    rng, bars = song.rng, len(song.chords)
    root, intervals = song.chords[bar]
    base = fit(song.key + root, low, low + 11)
    following = fit(song.key + song.chords[(bar + 1) % bars][0], low, low + 11)
    fifth = base + 7 if base + 7 <= low + 17 else base - 5
    third = base + intervals[1]
    if style == "root":
        return [(0, 16, base)]
    if style == "fifth":
        return [(0, 6, base), (6, 2, base), (8, 6, fifth), (14, 2, int(rng.choice([fifth, base])))]
    if style == "eighths":
        tail = following - 1 if rng.random() < 0.4 else base
        return [(step, 2, base if step < 14 else tail) for step in range(0, 16, 2)]
    if style == "octaves":
        return [(step, 2, base + 12 * (step // 2 % 2)) for step in range(0, 16, 2)]
    if style == "walking":
        approach = following + int(rng.choice([-1, 1, 2, -2]))
        middle = rng.permutation([third, fifth])
        return [(0, 4, base), (4, 4, int(middle[0])), (8, 4, int(middle[1])), (12, 4, approach)]
    if style == "reggae":
        return [(2, 2, base), (4, 4, fifth), (8, 2, base), (10, 4, third)]
    return [
        (0, 3, base),
        (3, 3, base),
        (6, 4, fifth),
        (10, 2, base),
        (12, 4, base + int(rng.choice([0, 10, 12]))),
    ]


def bass_part(song: Song, low: int) -> list[Note]:
    """A bass line that never overlaps itself."""
    rng = song.rng
    styles = ("root", "fifth", "eighths", "octaves", "walking", "riff", "riff", "groove", "reggae", "eighths")
    style = str(rng.choice(styles))
    if style == "riff":
        notes = riff_part(song, low, low + 19)
    else:
        cut = rng.uniform(0.55, 1.0)
        notes = []
        for bar in range(len(song.chords)):
            for step, length, pitch in bass_figure(song, style, bar, low):
                start = song.at(bar, step)
                notes.append(Note(start, length * song.beat / 4 * cut, pitch, rng.uniform(0.65, 1)))
    notes.sort(key=lambda note: note.start)
    nexts = [note.start for note in notes[1:]] + [song.seconds]
    return [
        Note(n.start, max(0.05, min(n.length, after - n.start)), n.pitch, n.velocity)
        for n, after in zip(notes, nexts, strict=True)
    ]


# ---------------------------------------------------------------------------------------- sampled instruments

SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
LAYERS = {"pp": 0.1, "p": 0.3, "mp": 0.45, "mf": 0.6, "f": 0.8, "ff": 0.95, "fff": 1.0, "staccato": 0.8}


def pitch_of(word: str) -> int | None:
    """MIDI number of a name such as a2, gb3 or C#4."""
    match = re.fullmatch(r"([a-g])([b#]?)(-?\d)", word.lower())
    if not match:
        return None
    name, sign, octave = match.groups()
    return SEMITONES[name] + {"": 0, "b": -1, "#": 1}[sign] + 12 * (int(octave) + 1)


@dataclass
class Sampler:
    """Notes of an instrument: pitch -> [(loudness 0..1, file)]."""

    library: Library
    notes: dict[int, list[tuple[float, str]]]

    @staticmethod
    def layer_of(words: list[str]) -> float:
        for word in words:
            if word in LAYERS:
                return LAYERS[word]
            if match := re.fullmatch(r"vl(\d)", word):
                return int(match.group(1)) / 5
        return 0.7

    @classmethod
    def of(cls, library: Library, folder: str, octave: int = 0) -> Sampler:
        """Read pitches from the names of the files in a folder; `octave` corrects their octave numbers."""
        notes: dict[int, list[tuple[float, str]]] = {}
        for name in library.listed(folder):
            words = Path(name).stem.lower().split("_")
            for word in words:
                if (pitch := pitch_of(word)) is not None:
                    notes.setdefault(pitch + 12 * octave, []).append((cls.layer_of(words), name))
                    break
        return cls(library, notes)

    def play(self, note: Note, rng: Generator, release: float, most: float) -> np.ndarray:
        """One note, choked at its end."""
        pitch = min(self.notes, key=lambda have: abs(have - note.pitch) + 0.01 * (have > note.pitch))
        choice = min(self.notes[pitch], key=lambda item: abs(item[0] - note.velocity) + rng.uniform(0, 0.35))
        x = self.library.note(choice[1], note.pitch - pitch, most)
        count = int((note.length + release) * RATE)
        return fade(x[:count], 0, int(release * RATE)) * np.float32(0.25 + 0.75 * note.velocity)

    def render(self, notes: list[Note], rng: Generator, seconds: float, release: float, pan: float = 0) -> Audio:
        """All notes into one buffer."""
        out = np.zeros((int(seconds * RATE), 2), np.float32)
        for note in notes:
            add(out, self.play(note, rng, release, 4.0), int(note.start * RATE), pan=pan)
        return out


@functools.cache
def sampler(library: Library, folder: str, octave: int) -> Sampler:
    return Sampler.of(library, folder, octave)


# -------------------------------------------------------------------------------------------------- synthesis


def sawtooth(phase: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """Sawtooth with the jump smoothed (polyBLEP); phase and step in cycles."""
    phase = phase % 1.0
    early, late = phase / step, (phase - 1) / step
    blep = np.where(phase < step, 2 * early - early**2 - 1, np.where(phase > 1 - step, late**2 + 2 * late + 1, 0))
    return (2 * phase - 1 - blep).astype(np.float32)


def frequency_of(pitch: np.ndarray | float) -> np.ndarray | float:
    return 440.0 * 2 ** ((np.asarray(pitch) - 69) / 12)


def mono_contours(notes: list[Note], seconds: float, glide: float, decay: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequency and amplitude over time of a one-voice synthesiser."""
    total = int(seconds * RATE)
    pitch, amplitude = np.full(total, float(notes[0].pitch)), np.zeros(total, np.float32)
    for note in notes:
        start, stop = int(note.start * RATE), min(total, int((note.start + note.length) * RATE))
        pitch[start:] = note.pitch
        if stop > start:
            curve = np.exp(-np.arange(stop - start) / (decay * RATE)) * note.velocity
            amplitude[start:stop] = fade(curve, 150, 500)
    if glide:
        smooth = 1 - np.exp(-1 / (glide * RATE))
        pitch = signal.lfilter([smooth], [1, smooth - 1], pitch, zi=[pitch[0] * (1 - smooth)])[0]
    return frequency_of(pitch), amplitude


def synth_bass(notes: list[Note], rng: Generator, seconds: float) -> Audio:
    """Subtractive, sub or 808 bass."""
    kind = str(rng.choice(["saw", "square", "sub", "808", "reese"]))
    glide = rng.uniform(0.005, 0.06) if kind == "808" or rng.random() < 0.3 else 0.0
    frequency, amplitude = mono_contours(notes, seconds, glide, rng.uniform(0.3, 3.0))
    step = frequency / RATE
    phase = np.cumsum(step)
    if kind in ("sub", "808"):
        x = np.sin(2 * np.pi * phase).astype(np.float32) * amplitude
        if kind == "808":
            for note in notes:
                count = int(0.05 * RATE)
                start = int(note.start * RATE)
                knock = np.sin(2 * np.pi * 25 * (1 - np.exp(-np.arange(count) / 300)) * 0.08) * np.hanning(count)
                x[start : start + count] += 0.4 * knock[: max(0, len(x) - start)]
        x = np.tanh(x * np.float32(rng.uniform(1.0, 4.0)))
    else:
        wave = sawtooth(phase, step)
        if kind == "square":
            wave = (wave - sawtooth(phase + rng.uniform(0.3, 0.5), step)) * 0.6
        if kind == "reese":
            wave = 0.5 * (wave + sawtooth(phase * 1.006 + 0.3, step * 1.006))
        bright = filtered(wave, "lowpass", float(rng.uniform(900, 4000)))
        dark = filtered(wave, "lowpass", float(rng.uniform(150, 500)))
        pluck = (amplitude / (amplitude.max() + 1e-6)) ** 2
        x = (dark + (bright - dark) * pluck * np.float32(rng.uniform(0.3, 1))) * amplitude
    return stereo(x.astype(np.float32))


def tone(kind: str, pitch: int, length: float, colour: float, rng: Generator) -> Audio:
    """One note of a polyphonic synthesiser, (N, 2)."""
    hertz = float(frequency_of(pitch))
    time_axis = np.arange(int(length * RATE)) / RATE
    if kind == "supersaw":
        voices = [
            sawtooth(time_axis * hertz * detune + rng.random(), hertz * detune / RATE)
            for detune in 2 ** (np.array([-1, 0.1, 1, -0.6]) * (3 + 12 * colour) / 1200)
        ]
        x = np.stack([voices[0] + voices[1], voices[2] + voices[3]], axis=1)
    elif kind == "pluck":
        x = np.zeros(len(time_axis), np.float32)
        for harmonic in range(1, min(16, int(15000 / hertz) + 1)):
            decay = np.exp(-time_axis * (2 + harmonic * (1 + 5 * colour)))
            x += (decay * np.sin(2 * np.pi * harmonic * hertz * time_axis) / harmonic).astype(np.float32)
    elif kind == "fm":
        ratio = (1, 2, 3, 3.5, 7, 1.41)[int(colour * 5.99)]
        index = 3 * np.exp(-time_axis * 4)
        decay = np.exp(-time_axis * 1.5)
        x = decay * np.sin(2 * np.pi * hertz * time_axis + index * np.sin(2 * np.pi * ratio * hertz * time_axis))
    else:  # a hollow or bright lead with vibrato
        wobble = 1 + 0.004 * np.sin(2 * np.pi * 5.3 * time_axis) * np.minimum(1, time_axis * 3)
        phase = np.cumsum(hertz * wobble) / RATE
        x = sawtooth(phase, hertz / RATE)
        if colour > 0.5:
            x = x - sawtooth(phase + 0.5 * colour, hertz / RATE)
    return stereo(np.asarray(x, np.float32))


def synth_part(notes: list[Note], rng: Generator, seconds: float, kind: str) -> Audio:
    """Notes on a simple polyphonic synthesiser."""
    out = np.zeros((int(seconds * RATE), 2), np.float32)
    colour, attack = float(rng.random()), float(rng.choice([0.003, 0.01, 0.15]))
    made = functools.lru_cache(64)(lambda pitch, length: tone(kind, pitch, length, colour, rng))
    for note in notes:
        length = max(0.08, round(note.length + 0.06, 2))
        x = fade(made(note.pitch, length), int(min(attack, length / 3) * RATE), int(0.06 * RATE))
        add(out, x, int(note.start * RATE), note.velocity)
    return filtered(out, "lowpass", float(rng.uniform(1500, 14000))) if kind in ("supersaw", "lead") else out


# ------------------------------------------------------------------------------------------------------ drums

# A bar of sixteenths per piece: X accent, x normal, o soft. Several bars separated by "/" are variants.
STYLES: dict[str, tuple[tuple[int, int], float, dict[str, str]]] = {
    "rock": (
        (95, 150),
        0.0,
        {
            "kick": "X.......X.x...../X.......X......./X.....x.X......./X..x....X.x.....",
            "snare": "....X.......X...",
            "hat": "X.x.X.x.X.x.X.x.",
        },
    ),
    "hard rock": (
        (90, 140),
        0.0,
        {
            "kick": "X.....x.X.....x./X..x..x.X.x.....",
            "snare": "....X.......X..o",
            "ohat": "X...X...X...X.../x.x.x.x.x.x.x.x.",
        },
    ),
    "ride rock": (
        (100, 160),
        0.0,
        {
            "kick": "X.......X.x...../X.x.....X.x.....",
            "snare": "....X.......X...",
            "ride": "X.x.X.x.X.x.X.x.",
            "phat": "....o.......o...",
        },
    ),
    "pop": (
        (85, 130),
        0.0,
        {
            "kick": "X.....x...x...../X......xX......./X.......x.x.....",
            "snare": "....X.......X...",
            "hat": "x.o.x.o.x.o.x.o./xoxoxoxoxoxoxoxo",
            "clap": "................/....x.......x...",
        },
    ),
    "disco": (
        (105, 132),
        0.0,
        {
            "kick": "X...X...X...X...",
            "snare": "....X.......X.../....X..o....X...",
            "hat": "x...x...x...x.../xox.xox.xox.xox.",
            "ohat": "..X...X...X...X.",
        },
    ),
    "house": (
        (115, 135),
        0.0,
        {
            "kick": "X...X...X...X...",
            "clap": "....X.......X...",
            "ohat": "..X...X...X...X.",
            "hat": "xoooxoooxoooxooo/................",
            "perc": "...o..o....o..o./................",
        },
    ),
    "funk": (
        (88, 118),
        0.1,
        {
            "kick": "X.x.......x..x../X..x..x...x...../X.....x..xx.....",
            "snare": "....X..o.o..X..o/....X..o.oo.X...",
            "hat": "xoxoxoxoxoxoxoxo/x.xox.xox.xox.xo",
            "ohat": "................/......x.........",
        },
    ),
    "reggae": (
        (66, 95),
        0.3,
        {
            "kick": "........X......./....X.......X...",
            "rim": "........X......./....x.......x..x",
            "hat": "x.o.x.o.x.o.x.o.",
            "ohat": "................/..............x.",
        },
    ),
    "punk": (
        (150, 180),
        0.0,
        {
            "kick": "X...X...X...X.../X.x.X.x.X.x.X.x.",
            "snare": "..X...X...X...X.",
            "hat": "X.X.X.X.X.X.X.X./................",
            "crash": "................/X...X...X...X...",
        },
    ),
    "hip hop": (
        (72, 104),
        0.3,
        {
            "kick": "X..x......x...../X.....x...xx..../X.x....x..x.....",
            "snare": "....X.......X.../....X..o....X..o",
            "hat": "x.x.x.x.x.x.x.x./x.xox.x.x.xxx.x.",
        },
    ),
    "trap": (
        (65, 80),
        0.0,
        {
            "kick": "X.....x...x...../X..x......x..x..",
            "clap": "....X.......X...",
            "hat": "xxxxxxxxxxxxxxxx/xoxoxoxxxoxoxxxx",
        },
    ),
    "ballad": (
        (60, 82),
        0.0,
        {
            "kick": "X.........x...../X.......x.......",
            "rim": "....x.......x.../................",
            "snare": "................/....X.......X...",
            "hat": "x.o.x.o.x.o.x.o.",
        },
    ),
    "shuffle": (
        (90, 140),
        0.66,
        {
            "kick": "X.......X......./X.....x.X.....x.",
            "snare": "....X.......X...",
            "ride": "X.o.X.o.X.o.X.o./................",
            "hat": "................/X.x.X.x.X.x.X.x.",
        },
    ),
    "swing": (
        (110, 180),
        0.66,
        {
            "kick": "o...o...o...o...",
            "ride": "X...X.o.X...X.o.",
            "phat": "....x.......x...",
            "snare": "..........o...../......o.........",
        },
    ),
    "tom groove": (
        (85, 140),
        0.0,
        {
            "kick": "X...X...X...X.../X.......X.......",
            "tom3": "X..x..x.X..x..x.",
            "tom4": "..x...x...x.x.../x...x...x...x...",
            "snare": "............X...",
        },
    ),
    "half time": (
        (70, 150),
        0.0,
        {
            "kick": "X.....x........./X..x......x.....",
            "snare": "........X.......",
            "ride": "X...x...X...x.../................",
            "hat": "................/X...x...X...x...",
        },
    ),
    "breakbeat": (
        (130, 178),
        0.0,
        {
            "kick": "X.x.......xx..../X.x.......x.....",
            "snare": "....X..o.o..X..o/....X..o.o....X.",
            "hat": "x.x.x.x.x.x.x.x.",
            "ride": "................/x.x.x.x.x.x.x.x.",
        },
    ),
    "latin": (
        (90, 130),
        0.0,
        {
            "kick": "X..xX..xX..xX..x",
            "rim": "x..x..x...x.x...",
            "hat": "xoxoxoxoxoxoxoxo",
            "cowbell": "................/x...x.x.x...x.x.",
            "tom1": "..............xx/......x.......x.",
        },
    ),
    "claps": (
        (80, 130),
        0.0,
        {
            "stomp": "X.x.....X.x...../X.......x.......",
            "clap": "....X.......X...",
            "perc": "..o...o...o...o./................",
        },
    ),
    "metal": (
        (120, 175),
        0.0,
        {
            "kick": "xxxxxxxxxxxxxxxx/X.xxX.xxX.xxX.xx/X.xxX.x.X.xxX.x.",
            "snare": "....X.......X.../..X...X...X...X.",
            "china": "................/X...X...X...X...",
            "ride": "X...X...X...X.../................",
        },
    ),
}
VELOCITIES = {"X": 0.95, "x": 0.75, "o": 0.4}
PIECES: dict[str, tuple[float, float, tuple[int, ...]]] = {  # level, pan, General MIDI notes
    "kick": (1.0, 0.0, (36, 35)),
    "snare": (0.85, 0.03, (38, 40)),
    "rim": (0.5, 0.03, (37,)),
    "hat": (0.3, -0.3, (42,)),
    "phat": (0.25, -0.3, (44,)),
    "ohat": (0.33, -0.3, (46,)),
    "ride": (0.33, 0.35, (51, 59)),
    "bell": (0.35, 0.35, (53,)),
    "crash": (0.55, -0.4, (49, 57)),
    "china": (0.5, 0.5, (52,)),
    "tom1": (0.7, -0.3, (50, 48)),
    "tom2": (0.7, -0.1, (48, 47)),
    "tom3": (0.75, 0.15, (45, 43)),
    "tom4": (0.8, 0.4, (43, 41)),
    "clap": (0.6, 0.1, (39,)),
    "cowbell": (0.35, 0.2, (56,)),
    "perc": (0.3, -0.2, (70, 54, 63, 75, 62)),
    "stomp": (0.9, 0.0, (36,)),
}
HATS = ("hat", "phat", "ohat")
METAL = (*HATS, "ride", "bell", "crash", "china")


@dataclass(frozen=True)
class Hit:
    """A stroke on a piece of the kit."""

    start: float
    piece: str
    velocity: float


def fill(rng: Generator) -> list[tuple[int, str]]:
    """Strokes on the last sixteenths of a bar."""
    start, down = (
        int(rng.choice([8, 12, 12, 14])),
        sorted(rng.choice(["snare", "tom1", "tom2", "tom3", "tom4"], 8)),
    )
    grid = int(rng.choice([1, 1, 2]))
    steps = range(start, 16, grid)
    return [(step, down[min(len(down) - 1, index * len(down) // len(steps))]) for index, step in enumerate(steps)]


def drum_pattern(rng: Generator) -> tuple[list[Hit], float]:
    """A groove of 8 to 16 bars with fills and crashes; returns hits and length in seconds."""
    (slow, fast), swing, parts = STYLES[str(rng.choice(list(STYLES)))]
    beat = 60 / rng.uniform(max(70, slow), min(180, fast))
    bars = max(4, min(int(rng.choice([8, 8, 12, 16])), int(32 / (4 * beat))))
    swing = swing * rng.uniform(0.7, 1.0) if swing else float(rng.choice([0, 0, 0, rng.uniform(0, 0.2)]))
    chosen = {piece: str(rng.choice(text.split("/"))) for piece, text in parts.items()}
    loose, feel, phrase = rng.uniform(0.0, 0.008), rng.uniform(0.03, 0.12), int(rng.choice([4, 4, 8]))
    hits: list[Hit] = []

    def put(bar: int, step: int, piece: str, velocity: float) -> None:
        late = swing * beat / 4 * (step % 4 == 2) + swing * beat / 8 * (step % 2)
        start = bar * 4 * beat + step * beat / 4 + late + rng.normal(0, loose)
        hits.append(Hit(max(0.0, start), piece, float(np.clip(velocity + rng.normal(0, feel), 0.15, 1))))

    for bar in range(bars):
        if rng.random() < 0.15:
            piece = str(rng.choice(list(parts)))
            chosen[piece] = str(rng.choice(parts[piece].split("/")))
        filling = fill(rng) if bar % phrase == phrase - 1 and rng.random() < 0.8 else []
        until = filling[0][0] if filling else 16
        for piece, text in chosen.items():
            for step in range(16 if piece == "kick" else until):
                if text[step] != ".":
                    put(bar, step, piece, VELOCITIES[text[step]])
        for step, piece in filling:
            put(bar, step, piece, 0.6 + 0.02 * step)
        if bar % phrase == 0 and rng.random() < (0.7 if bar else 0.4):
            put(bar, 0, str(rng.choice(["crash", "crash", "china", "crash", "ohat"])), rng.uniform(0.6, 1.0))
    return sorted(hits, key=lambda hit: hit.start), bars * 4 * beat


# What a file name says about the piece, first match wins; the rest is percussion.
NAMED_PIECES = (
    ("loop|vinyl|swoosh|swash|door|beep|blip|till", ""),
    ("stomp", "stomp"),
    ("clap|^cp$", "clap"),
    ("cowbell|^cb$", "cowbell"),
    ("rim|stick|^rs$|clave|^cl$", "rim"),
    ("splash|crash|cymbal_(hard|soft)|cymball|^cy\\d", "crash"),
    ("cymbal_open|hh-?open|hihat-open|openhat|ohihat|univox-oh|^oh\\d", "ohat"),
    ("pedal", "phat"),
    ("ride", "ride"),
    ("cymbal_closed|hhclosed|hihat-close|closedhat|^ch$|hithat|shorthi|univox-ch|^hat_", "hat"),
    ("cymbal", "crash"),
    ("tom.?h|hi-?tom|tom-?3|^ht\\d|fuzz_tom", "tom1"),
    ("tom.?m|midtom|tom-?2|tom02|^mt\\d", "tom2"),
    ("tom.?l|lowtom|tom-?1|tom01|^lt\\d", "tom4"),
    ("kick|^bd|drum_bass", "kick"),
    ("snare|^sn_|^sd\\d|shortsn|univox-sd", "snare"),
)
GOGODZE = {
    "hc": "hat",
    "ht": "hat",
    "hf": "phat",
    "ho": "ohat",
    "hl": "ohat",
    "ks": "kick",
    "sc": "snare",
    "ss": "rim",
    "th": "tom1",
    "tm": "tom2",
    "tl": "tom4",
}
MULDJORD = {
    "KdrumL": "kick",
    "KdrumR": "kick",
    "Snare": "snare",
    "HihatClosed": "hat",
    "HihatOpen": "ohat",
    "Tom1": "tom1",
    "Tom2": "tom2",
    "Tom3": "tom3",
    "Tom4": "tom4",
    "CrashL": "crash",
    "CrashR": "crash",
    "China": "china",
    "RideL": "ride",
    "RideR": "ride",
    "RideRBell": "bell",
    "SnareRest": "perc",
}
Kit = dict[str, list[str]]


def named_kit(names: tuple[str, ...]) -> Kit:
    """Sort files into pieces by their names."""
    kit: Kit = {}
    for name in names:
        stem = Path(name).stem.lower()
        piece = next((piece for pattern, piece in NAMED_PIECES if re.search(pattern, stem)), "perc")
        if piece:
            kit.setdefault(piece, []).append(name)
    return kit


def acoustic_kit(library: Library, rng: Generator) -> tuple[Kit, bool]:
    """Muldjord or Gogodze kit, sometimes with another snare; the flag asks for room microphones."""
    muldjord: Kit = {}
    for name in library.listed("drums/muldjord"):
        if name.endswith("-kit.ogg") and (piece := MULDJORD.get(Path(name).parent.name)):
            muldjord.setdefault(piece, []).append(name)
    # the number says how hard the stroke was: merge left and right pieces by it
    kit = {piece: sorted(files, key=lambda name: Path(name).name) for piece, files in muldjord.items()}
    if rng.random() < 0.45:
        own: Kit = {}
        for name in library.listed("drums/gogodze-phu-2"):
            if piece := GOGODZE.get(Path(name).stem[:2]):
                own.setdefault(piece, []).append(name)
        kit |= own
    if rng.random() < 0.5:
        snares: Kit = {}
        for name in library.listed("drums/frankensnare"):
            snares.setdefault(Path(name).stem.rsplit("_vl", 1)[0], []).append(name)
        full = [files for label, files in snares.items() if label.endswith(("_sn", "_sr")) and len(files) >= 3]
        kit["snare"] = full[int(rng.integers(len(full)))]
    return kit, bool(rng.random() < 0.7)


def electronic_kit(library: Library, rng: Generator) -> Kit:
    """One drum machine, or Sonic Pi's sounds, with one sound per piece; gaps filled from other machines."""
    machines: dict[str, list[str]] = {"sonic-pi": list(library.listed("drums/sonic-pi"))}
    for name in library.listed("instruments/drum-machines"):
        machines.setdefault(name.split("/")[2], []).append(name)
    order = rng.permutation(sorted(machines))
    if rng.random() < 0.3:
        order = np.concatenate([["sonic-pi"], order])
    kit: Kit = {}
    for machine in order:
        for piece, files in named_kit(tuple(machines[str(machine)])).items():
            if piece not in kit:
                kit[piece] = [str(rng.choice(files))] if piece != "perc" else list(rng.choice(files, 3))
    return kit


def hand_claps(library: Library, kit: Kit, rng: Generator) -> Kit:
    """Use body percussion for claps, stomps and small percussion."""
    hands: Kit = {}
    for name in library.listed("drums/body-percussion"):
        stem = Path(name).stem
        piece = "clap" if "handclap" in stem else "stomp" if "stomp" in stem or "heel" in stem else "perc"
        hands.setdefault(piece, []).append(name)
    return kit | {piece: hands[piece] for piece in hands if piece not in kit or rng.random() < 0.7}


def drum_hits(sources: Sources, rng: Generator) -> Audio:
    """A groove played with single hits."""
    library = sources.library
    hits, seconds = drum_pattern(rng)
    rooms = False
    if rng.random() < 0.6:
        kit, rooms = acoustic_kit(library, rng)
    else:
        kit = electronic_kit(library, rng)
    kit = hand_claps(library, kit, rng)
    fallback = {
        "tom1": "tom2",
        "tom2": "tom1",
        "tom3": "tom4",
        "tom4": "tom3",
        "bell": "ride",
        "phat": "hat",
        "china": "crash",
        "rim": "snare",
        "cowbell": "rim",
        "ride": "hat",
        "tom": "snare",
    }
    out = np.zeros((int((seconds + 2) * RATE), 2), np.float32)
    levels = {piece: level * 10 ** (rng.uniform(-3, 3) / 20) for piece, (level, _, _) in PIECES.items()}
    side, spread, wet = float(rng.choice([-1, 1])), rng.uniform(0, 1), rng.uniform(0.2, 0.8)
    shifts = {piece: rng.uniform(-2, 2) if rng.random() < 0.6 else 0.0 for piece in PIECES}
    hat_times = [hit.start for hit in hits if hit.piece in HATS] + [seconds + 2]
    hat_index = 0
    for hit in hits:
        piece = hit.piece
        files = kit.get(piece) or kit.get(fallback.get(piece, "")) or kit.get("snare") or kit["perc"]
        spot = len(files) * hit.velocity + rng.normal(0, 1 + len(files) / 12)
        name = files[int(np.clip(spot, 0, len(files) - 1))]
        x = library.note(name, shifts[piece])
        if piece in HATS:
            hat_index += 1
            x = fade(x[: int((hat_times[hat_index] - hit.start + 0.01) * RATE)], 0, 700)
        gain = levels[piece] * hit.velocity**1.6
        pan = PIECES[piece][1] * side * spread if x.shape[1] == 1 else 0.0
        add(out, x, int(hit.start * RATE), gain, pan)
        room = name.replace("-kit", "-room")
        if rooms and room != name and room in library.listed("drums/muldjord"):
            add(out, library.note(room, shifts[piece]), int(hit.start * RATE), gain * wet * 0.6)
    if rng.random() < 0.5:  # glue: gentle limiting, as drum buses have
        out = np.tanh(out * np.float32(rng.uniform(0.8, 2.5)))
    return produced(fade(out, 0, RATE), rng, wet=0.2, room=0.6, drive=0.1)


def drum_font(sources: Sources, rng: Generator) -> Audio:
    """A groove played with a sound font's drum kit."""
    hits, seconds = drum_pattern(rng)
    index = int(rng.integers(len(sources.fonts.paths)))
    kit = int(rng.choice(sources.fonts.drum_kits(index)))
    keys = {piece: int(rng.choice(numbers)) for piece, (_, _, numbers) in PIECES.items()}
    balance = {piece: rng.uniform(0.75, 1.0) for piece in PIECES}
    out = np.zeros((int((seconds + 1.5) * RATE), 2), np.float32)
    for metal, level in ((False, 1.0), (True, rng.uniform(0.15, 0.5))):  # cymbals are too soft in some fonts
        notes = [
            Note(hit.start, 0.15, keys[hit.piece], min(1.0, hit.velocity * balance[hit.piece] + 0.1))
            for hit in hits
            if (hit.piece in METAL) == metal
        ]
        if notes:
            y = sources.fonts.render(index, [Track(notes, kit, drums=True)], seconds + 1.5)
            out += y * np.float32(level / (np.abs(y).max() + 1e-6))
    x = out
    if rng.random() < 0.5:
        x = np.tanh(x * np.float32(rng.uniform(1, 3) / (np.abs(x).max() + 1e-6)))
    return produced(fade(x, 0, RATE), rng, wet=0.25, room=0.7, drive=0.1)


# ------------------------------------------------------------------------------------------------------- bass


def bass_finish(x: Audio, rng: Generator) -> Audio:
    """Amplifier-like treatment; mostly mono and dry."""
    if rng.random() < 0.35:
        x = np.tanh(x * np.float32(rng.uniform(1.5, 10) / (np.abs(x).max() + 1e-6)))
    if rng.random() < 0.5:
        x = filtered(x, "lowpass", float(rng.uniform(900, 6000)))
    x = placed(tilt(x, rng), rng.uniform(0, 0.4), rng.uniform(-0.08, 0.08))
    if rng.random() < 0.25:
        x = reverb(x, rng, rng.uniform(0.02, 0.1), 0.6)
    return levelled(fade(x, 0, 4000), rng)


BASSES = (
    ("growlybass/sustain", -1, 3),
    ("growlybass/staccato", -1, 0.7),
    ("swagbass", -1, 3),
    ("pastabass", -1, 3),
    ("meatbass/Samples/pizz", 0, 2),
    ("meatbass/Samples/arco", 0, 0.5),
)


def bass_notes(sources: Sources, rng: Generator) -> Audio:
    """A bass line from single notes."""
    weights = np.array([weight for _, _, weight in BASSES])
    weights = weights * sources.library.present(f"instruments/{folder}" for folder, _, _ in BASSES)
    folder, octave, _ = BASSES[rng.choice(len(BASSES), p=weights / weights.sum())]
    song = compose(rng)
    notes = bass_part(song, int(rng.choice([28, 28, 31, 33])))
    instrument = sampler(sources.library, f"instruments/{folder}", octave)
    x = instrument.render(notes, rng, song.seconds + 0.3, 0.03)
    return bass_finish(x, rng)


def bass_font(sources: Sources, rng: Generator) -> Audio:
    """A bass line on a General MIDI bass or a synthesised one."""
    song = compose(rng)
    notes = bass_part(song, int(rng.choice([28, 28, 31, 33])))
    if rng.random() < 0.3:
        return bass_finish(synth_bass(notes, rng, song.seconds + 0.2), rng)
    index, program = int(rng.integers(len(sources.fonts.paths))), int(rng.integers(32, 40))
    return bass_finish(sources.fonts.render(index, [Track(notes, program)], song.seconds + 0.4), rng)


# ------------------------------------------------------------------------------------------------------ other

# (folder, octave correction, parts, lowest pitch, highest pitch, ring after the note's end)
INSTRUMENTS = (
    ("emilyguitar/notes", 0, ("strum", "arpeggio", "riff", "lead", "comp", "power"), 40, 76, 0.12),
    ("shinyguitar/Samples/acoustic", 0, ("strum", "strum", "arpeggio", "lead", "comp"), 40, 76, 0.15),
    ("shinyguitar/Samples/electric", 0, ("strum", "arpeggio", "riff", "lead", "power", "comp"), 40, 76, 0.12),
    ("splendid-piano/Samples", 1, ("comp", "comp", "pad", "arpeggio", "lead"), 45, 88, 0.25),
)


def distorted(x: Audio, rng: Generator) -> Audio:
    """Amplifier: drive, then a loudspeaker that stops at 4 to 5 kHz."""
    x = filtered(x, "highpass", 90)
    x = np.tanh(x * np.float32(rng.uniform(5, 40) / (np.abs(x).max() + 1e-6)))
    return filtered(filtered(x, "lowpass", float(rng.uniform(3800, 5500)), 3), "highpass", 70)


def sampled_part(sources: Sources, rng: Generator, song: Song, which: int) -> Audio:
    """One part on one sampled instrument; distorted guitars are doubled left and right."""
    folder, octave, parts, low, high, ring = INSTRUMENTS[which]
    instrument, part = sampler(sources.library, f"instruments/{folder}", octave), str(rng.choice(parts))
    if part in ("lead", "arpeggio"):
        low += int(rng.choice([0, 7, 12, 17]))
    notes = PARTS[part](song, low, high)
    seconds = song.seconds + 1.0
    electric = "piano" not in folder and "acoustic" not in folder
    if part == "power" or (electric and part in ("lead", "riff") and rng.random() < 0.5):
        if rng.random() < 0.6:
            takes = [instrument.render(notes, rng, seconds, 0.05, 0.0) for _ in range(2)]
            left, right = (distorted(take[:, :1], rng) for take in takes)
            return np.concatenate([left, right], axis=1)
        return stereo(distorted(instrument.render(notes, rng, seconds, 0.05)[:, :1], rng))
    x = instrument.render(notes, rng, seconds, ring, rng.uniform(-0.6, 0.6))
    if electric and rng.random() < 0.3:  # tremolo or chorus
        time_axis = np.arange(len(x)) / RATE
        x = x * (1 - rng.uniform(0.2, 0.6) * (0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(2, 7) * time_axis)))[:, None]
    return x.astype(np.float32)


def texture(sources: Sources, rng: Generator, seconds: float) -> Audio:
    """An ambient or guitar sample of Sonic Pi, repeated and transposed."""
    names = [n for n in sources.library.listed("instruments/sonic-pi") if re.search(r"/(ambi|guit)_(?!choir)", n)]
    name, out, now = str(rng.choice(names)), np.zeros((int(seconds * RATE), 2), np.float32), 0.0
    while now < seconds:
        x = sources.library.note(name, float(rng.choice([-5, 0, 0, 2, 7])), 12.0)
        add(out, x, int(now * RATE), rng.uniform(0.6, 1))
        now += max(0.5, len(x) / RATE * rng.uniform(0.6, 1.0))
    return out


def other_notes(sources: Sources, rng: Generator) -> Audio:
    """One or two sampled instruments together."""
    song = compose(rng)
    first = int(rng.choice(4, p=[0.3, 0.2, 0.25, 0.25]))
    x = sampled_part(sources, rng, song, first)
    x = x / (np.abs(x).max() + 1e-6)
    if rng.random() < 0.4:
        y = sampled_part(sources, rng, song, int(rng.integers(4)))
        x = x + y * np.float32(rng.uniform(0.4, 1) / (np.abs(y).max() + 1e-6))
    if rng.random() < 0.08:
        y = texture(sources, rng, len(x) / RATE)[: len(x)]
        x[: len(y)] += y * np.float32(rng.uniform(0.3, 0.8))
    return produced(fade(x, 0, RATE // 2), rng)


# Programs by role: families that play it, with a low and a high pitch
ROLES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "pad": ((
        16, 17, 18, 19, 20, 21, 44, 48, 49, 50, 51, 55, 61, 62, 63, 88, 89, 90, 91, 92, 93, 94, 95, 4,
        5, 0, 68, 71, 42, 41
    ), 48, 76),
    "comp": ((
        0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 22, 24, 25, 26, 27, 28, 61, 62, 63, 45, 80, 81, 90, 48, 55
    ), 48, 76),
    "strum": ((
        24, 25, 26, 27, 28, 15, 105, 106, 104, 25, 27
    ), 40, 72),
    "arpeggio": ((
        0, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 24, 25, 26, 27, 28, 45, 46, 80, 81, 84, 86, 87, 88, 98,
        99, 100, 107, 108, 15, 47
    ), 48, 84),
    "lead": ((
        0, 4, 11, 18, 21, 22, 23, 26, 27, 29, 30, 31, 40, 41, 42, 43, 56, 57, 58, 59, 60, 64, 65, 66,
        67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 96, 97, 101,
        102, 103, 109, 110, 111, 29, 30, 80, 81
    ), 55, 84),
    "power": ((
        29, 30, 29, 30, 81, 30
    ), 40, 64),
    "riff": ((
        26, 27, 28, 29, 30, 7, 16, 18, 80, 81, 84, 87, 61, 62, 66, 0
    ), 45, 72),
}  # fmt: skip  # a table


def other_font(sources: Sources, rng: Generator) -> Audio:
    """One to four General MIDI or synthesised instruments together."""
    song = compose(rng)
    count = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.35, 0.27, 0.13]))
    roles = list(rng.choice(list(ROLES), count, replace=False, p=[0.2, 0.18, 0.14, 0.15, 0.15, 0.1, 0.08]))
    seconds = song.seconds + 1.2
    out = np.zeros((int(seconds * RATE), 2), np.float32)
    for role in roles:
        programs, low, high = ROLES[role]
        move = int(rng.choice([-5, 0, 0, 5])) if role != "power" else 0
        notes = PARTS[role](song, low + move, high + max(0, move))
        if role not in ("strum", "power") and rng.random() < 0.18:
            kind = {"lead": "lead", "riff": "lead", "arpeggio": "pluck"}.get(role, "supersaw")
            kind = "fm" if rng.random() < 0.3 else kind
            y = synth_part(notes, rng, seconds, kind)
            out += y * np.float32(rng.uniform(0.3, 1) / (np.abs(y).max() + 1e-6))
            continue
        program = int(rng.choice(programs)) if rng.random() < 0.99 else int(rng.integers(120, 125))
        track = Track(notes, program, 1.0, rng.uniform(-0.7, 0.7))
        y = sources.fonts.render(int(rng.integers(len(sources.fonts.paths))), [track], seconds)
        out += y * np.float32(rng.uniform(0.4, 1) / (np.abs(y).max() + 1e-4))
    return produced(fade(out, 0, RATE // 2), rng)


# ----------------------------------------------------------------------------------------------------- vocals

# folder -> share, lowest and highest transposition
SINGERS = {
    "yuki": (3, -7, 3),
    "kumi": (3, -7, 3),
    "kumi-strong": (2, -7, 2),
    "scottpoid": (5, -4, 5),
    "dorodoro": (3, -4, 4),
    "erithacus": (0.8, -3, 4),
    "vocobox": (1.2, -3, 5),
    "merry-orks": (0.5, -4, 3),
    "kumi-whisper": (0.4, -5, 3),
    "vowels": (1.2, -3, 3),
    "phrases": (0.6, -4, 3),
}


def syllable_edges(x: np.ndarray, rng: Generator, typical: float) -> list[int]:
    """Places of low energy, about `typical` seconds apart."""
    level, edges = loudness(x), [0]
    while edges[-1] / RATE + typical * 1.6 < len(x) / RATE:
        middle = edges[-1] // 441 + int(100 * typical * rng.uniform(0.8, 1.4))
        window = level[max(0, middle - 10) : middle + 10]
        edges.append((max(0, middle - 10) + int(np.argmin(window))) * 441 if len(window) else middle * 441)
    return [*edges, len(x)]


def sung(x: np.ndarray, edges: list[int], shifts: np.ndarray, rng: Generator) -> np.ndarray:
    """Resample along a pitch contour that steps at the syllables, with glides and a little vibrato."""
    fine = soxr.resample(x, RATE, 2 * RATE)
    contour = np.repeat(shifts[: len(edges) - 1], np.diff(edges))
    glide = int(rng.uniform(0.02, 0.09) * RATE)
    contour = np.convolve(np.pad(contour, (glide, glide), "edge")[::49], np.ones(glide // 49 + 1), "same")
    contour = contour / (glide // 49 + 1)
    places = np.arange(len(contour)) * 49 - glide
    contour = np.interp(np.arange(len(x)), places, contour)
    drift = rng.uniform(0, 0.25) * np.sin(
        2 * np.pi * rng.uniform(4.5, 6.2) * np.arange(len(x)) / RATE + rng.uniform(0, 6)
    )
    step = 2 ** ((contour + drift) / 12)
    # where each output sample falls in the input: integrate the reading speed
    taken = np.concatenate([[0], np.cumsum(1 / step)])
    where = np.interp(np.arange(int(taken[-1])), taken, np.arange(len(taken)))
    return np.interp(where * 2, np.arange(len(fine)), fine).astype(np.float32)


def melody(rng: Generator, count: int, low: float, high: float) -> np.ndarray:
    """Scale steps around zero, within low..high."""
    steps = np.array([-7, -5, -4, -2, 0, 1, 3, 5] if rng.random() < 0.4 else [-7, -5, -3, -1, 0, 2, 4, 5])
    steps = steps[(steps >= low) & (steps <= high)]
    walk = np.cumsum(rng.choice([-1, -1, 0, 0, 1, 1, 2, -2], count)) + rng.integers(len(steps))
    return steps[np.abs((walk % (2 * len(steps))) - len(steps) + 0.5).astype(int) % len(steps)].astype(float)


def vocal_phrase(sources: Sources, rng: Generator, folder: str, base: float) -> tuple[list[np.ndarray], float]:
    """A sung phrase as one to three layers, mono each."""
    names = sources.library.listed(f"singing/{folder}")
    first, wanted, pieces = int(rng.integers(len(names))), rng.uniform(2.5, 6.5), []
    gathered = 0.0
    while gathered < wanted:
        x = sources.library.hit(names[first % len(names)]).mean(1)
        x = fade(without_silence(x, -38, 0.05), 300, 800)
        pieces.append(x * np.float32(0.2 / (np.sqrt((x**2).mean()) + 1e-3)) if len(x) else x)
        gathered += max(0.2, len(x) / RATE)
        first += 1
    x = np.concatenate(pieces)[: int(8 * RATE)]
    x = fade(x, 300, 3000)
    edges = syllable_edges(x, rng, rng.uniform(0.25, 0.7))
    plain = folder in ("phrases", "merry-orks") or rng.random() < 0.2
    tune = np.zeros(len(edges)) if plain else melody(rng, len(edges), -4, 4)
    layers = [sung(x, edges, tune + base, rng)]
    for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):
        interval = float(rng.choice([0, 0, 0, 3, 4, -5, 7, -12 if base > -2 else 0]))
        layers.append(sung(x, edges, tune + base + interval + rng.normal(0, 0.12), rng))
    return layers, len(layers[0]) / RATE


def vocals_sung(sources: Sources, rng: Generator) -> Audio:
    """Phrases of one singer with rests between them."""
    share = np.array([value[0] for value in SINGERS.values()])
    share = share * sources.library.present(f"singing/{folder}" for folder in SINGERS)
    folder = str(rng.choice(list(SINGERS), p=share / share.sum()))
    _, lowest, highest = SINGERS[folder]
    base, seconds = rng.uniform(lowest, highest), rng.uniform(12, 28)
    out, now = np.zeros((int(seconds * RATE), 2), np.float32), 0.0
    lead_pan, room = rng.uniform(-0.15, 0.15), rng.random() < 0.85
    while now < seconds - 2:
        layers, length = vocal_phrase(sources, rng, folder, base)
        for index, layer in enumerate(layers):
            late = now + (rng.uniform(0.008, 0.03) if index else 0)
            gain = rng.uniform(0.3, 0.9) if index else 1.0
            add(out, layer, int(late * RATE), gain, rng.uniform(-0.8, 0.8) if index else lead_pan)
        now += length + rng.uniform(0.1, 0.9)
    limit = np.float32(np.percentile(np.abs(out), 99.9) + 1e-6)
    out = np.tanh(out / (limit * np.float32(rng.uniform(0.8, 2))))  # evens out the syllables
    x = filtered(tilt(out, rng), "highpass", float(rng.uniform(60, 120)))
    x = reverb(x, rng, rng.uniform(0.03, 0.3)) if room else x
    return levelled(fade(x, 0, 4000), rng)


def vocals_speech(sources: Sources, rng: Generator) -> Audio:
    """Sentences of one speaker, transposed, with short pauses."""
    speakers = {"kathleen": 3, "kerstin": 3, "nathalie": 3, "flemishguy": 3, "gaelic": 1, "dialogue": 0.5}
    share = np.array(list(speakers.values())) * sources.library.present(f"speech/{folder}" for folder in speakers)
    folder = str(rng.choice(list(speakers), p=share / share.sum()))
    names = sources.library.listed(f"speech/{folder}")
    shift, pieces, seconds = rng.uniform(-3, 3), [], 0.0
    if folder != "flemishguy" and rng.random() < 0.4:
        shift -= 2.0  # most of the speakers are women
    while seconds < 15:
        x = sources.library.note(str(rng.choice(names)), shift, 12.0).mean(1)
        x = fade(without_silence(x, -36, 0.07), 300, 800)
        if len(x):
            pieces.append(x * np.float32(0.12 / (np.sqrt((x**2).mean()) + 1e-3)))
            pieces.append(np.zeros(int(rng.uniform(0.05, 0.4) * RATE), np.float32))
        seconds += max(0.2, len(x) / RATE)
    x = placed(stereo(np.tanh(np.concatenate(pieces) * 1.5)), 1.0, rng.uniform(-0.2, 0.2))
    x = tilt(filtered(x, "highpass", 70), rng)
    x = reverb(x, rng, rng.uniform(0.03, 0.25)) if rng.random() < 0.75 else x
    return levelled(fade(x, 0, 4000), rng)


# ------------------------------------------------------------------------------------------------------ pools

Renderer = Callable[[Sources, Generator], Audio]
POOLS: dict[str, tuple[int, Renderer]] = {  # minutes at --minutes 60, most wanted first
    "other-soundfont": (70, other_font),
    "bass-soundfont": (50, bass_font),
    "drums-hits": (60, drum_hits),
    "bass-notes": (50, bass_notes),
    "other-notes": (50, other_notes),
    "vocals-sung": (40, vocals_sung),
    "drums-soundfont": (40, drum_font),
    "vocals-speech": (30, vocals_speech),
}
STEMS = ("vocals", "drums", "bass", "other")
ALBUM_AFTER = "drums-hits"
SOURCES: Sources | None = None


def to_int16(x: Audio) -> np.ndarray:
    return np.round(np.clip(x, -0.99, 0.99) * 32767).astype(np.int16)


def start_worker(root: Path, fonts: list[Path], left_out: LeftOut) -> None:
    """Set up what a worker process reads from."""
    global SOURCES
    SOURCES = Sources(Library(root, left_out), Fonts(fonts, left_out))


def render_chunk(task: tuple[str, int, int, int]) -> tuple[np.ndarray, set[str]]:
    """Fill one chunk of a pool with fragments."""
    name, seed, chunk, seconds = task
    assert SOURCES is not None
    SOURCES.library.used.clear()
    SOURCES.fonts.used.clear()
    root = np.random.SeedSequence([seed, list(POOLS).index(name), chunk])
    total, now = seconds * RATE, 0
    out = np.zeros((total, 2), np.int16)
    while now < total - RATE // 2:
        rng = np.random.default_rng(root.spawn(1)[0])
        x = POOLS[name][1](SOURCES, rng)
        if not len(x) or not np.isfinite(x).all():
            continue
        x = fade(x[: total - now], 200, 2000)
        out[now : now + len(x)] = to_int16(x)
        now += len(x) + int(rng.uniform(0.02, 0.15) * RATE)
    return out, SOURCES.library.used | SOURCES.fonts.used


def album_stem(task: tuple[Path, str, str]) -> tuple[np.ndarray, str]:
    """One stem of one song, long silences cut out; empty where the stem is silent."""
    root, song, stem = task
    x, rate = soundfile.read(root / song / f"{stem}.ogg", dtype="float32", always_2d=True)
    if rate != RATE:
        x = soxr.resample(x, rate, RATE)
    x = stereo(x)
    if np.abs(x).max(initial=0) < 0.003:
        return np.zeros((0, 2), np.int16), song
    x = without_silence(filtered(x, "highpass", 22), -45, 0.2)
    return to_int16(x * np.float32(0.85 / np.abs(x).max())), song


def chunks_of(name: str, seed: int, scale: float) -> list[tuple[str, int, int, int]]:
    seconds = max(10, round(POOLS[name][0] * 60 * scale))
    starts = range(0, seconds, CHUNK_SECONDS)
    return [(name, seed, i, min(CHUNK_SECONDS, seconds - start)) for i, start in enumerate(starts)]


def write_pool(folder: Path, name: str, parts: Iterator[np.ndarray], frames: int) -> None:
    """Write parts one after the other into a memory-mappable file."""
    partial = folder / f"{name}.partial"
    out = np.lib.format.open_memmap(partial, "w+", np.int16, (frames, 2))
    now = 0
    for part in parts:
        out[now : now + len(part)] = part
        now += len(part)
    out.flush()
    partial.rename(folder / f"{name}.npy")


def render_pool(pool: multiprocessing.pool.Pool, folder: Path, name: str, seed: int, scale: float) -> dict:
    """Render one pool with the workers and describe it."""
    tasks, used = chunks_of(name, seed, scale), set()

    def parts() -> Iterator[np.ndarray]:
        for chunk, names in pool.imap(render_chunk, tasks):
            used.update(names)
            yield chunk

    seconds = sum(task[3] for task in tasks)
    write_pool(folder, name, parts(), seconds * RATE)
    stem, kind = name.split("-", 1)
    return {"stem": stem, "kind": kind, "seconds": seconds, "sources": sorted(used), "seed": seed}


def album_pools(
    pool: multiprocessing.pool.Pool, root: Path, folder: Path, seed: int, left_out: LeftOut
) -> dict[str, dict]:
    """The training songs' stems as they are."""
    train = root / "everything-is-free" / "train"
    songs = sorted(path.name for path in train.iterdir() if path.is_dir())
    report = {}
    for stem in STEMS:
        files = {song: f"everything-is-free/train/{song}/{stem}.ogg" for song in songs}
        there = [song for song in songs if (root / files[song]).exists() and not left_out.has_file(files[song])]
        tasks = [(train, song, stem) for song in there]
        found = [(x, song) for x, song in pool.map(album_stem, tasks, chunksize=1) if len(x) > RATE]
        if not found:
            continue
        frames = sum(len(x) for x, _ in found)
        write_pool(folder, f"{stem}-album", (x for x, _ in found), frames)
        sources = [f"everything-is-free/train/{song}" for _, song in found]
        report[f"{stem}-album"] = {
            "stem": stem,
            "kind": "album",
            "seconds": round(frames / RATE, 2),
            "sources": sources,
            "seed": seed,
        }
    return report


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Render pools of stem audio for training by random mixing.")
    parser.add_argument("audio", type=Path, metavar="AUDIO_ROOT")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60, help="scale of the pools: 60 gives 6.5 hours")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fonts", type=Path, nargs="+", default=[Path(font) for font in DEFAULT_FONTS])
    parser.add_argument("--without-held-out", action="store_true", help="leave out what validation songs are made of")
    parser.add_argument("--only", nargs="*", help="names of pools to render, 'album' for the album's stems")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    index = args.out / "pools.json"
    report = json.loads(index.read_text()) if index.exists() else {}
    scale = args.minutes / 60
    names = list(POOLS)
    names.insert(names.index(ALBUM_AFTER) + 1, "album")
    left_out = LeftOut(tuple(read_catalogue(args.audio)) if args.without_held_out else ())
    with multiprocessing.Pool(args.workers, start_worker, (args.audio, args.fonts, left_out)) as pool:
        for name in names:
            if args.only and name not in args.only:
                continue
            began = time.monotonic()
            if name == "album":
                made = album_pools(pool, args.audio, args.out, args.seed, left_out)
            else:
                made = {name: render_pool(pool, args.out, name, args.seed, scale)}
            report |= made
            index.write_text(json.dumps(report, indent=2) + "\n")
            for label, entry in made.items():
                took = time.monotonic() - began
                print(f"{label}: {entry['seconds'] / 60:.1f} min in {took:.0f} s", flush=True)


if __name__ == "__main__":
    main()
