"""Instruments of single notes: pitch, dynamics and round robin are read from the names of the files.

A name is words between underscores, spaces or dots: a pitch (`a2`, `gb3`, `C#4`), a dynamic (`p`, `mf`, or `vl1` to
`vlN`), and what tells takes apart. Files of one folder are one instrument. Files without a pitch whose names say `mute`
are the noise of damped strings.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dttnet.songs.library import Library, Source
from dttnet.songs.score import Note
from dttnet.songs.signals import RATE, Float, seconds

DEAD_S = 0.06
"""Shorter notes are dead: the string is damped, and there is hardly a pitch."""

_SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_DYNAMICS = {"ppp": 0.1, "pp": 0.2, "p": 0.4, "mp": 0.5, "mf": 0.65, "f": 0.8, "ff": 0.92, "fff": 1.0}
_RANGE_DB = 24
"""Between the softest and the loudest stroke."""

_FEWEST_PITCHES = 4
"""A folder with fewer is no instrument."""

_SHORT_S, _LONG_S = 1.2, 5.0
"""Notes are taken from the library at one of two lengths, so that it has few things to keep."""


def parse_pitch(word: str) -> int | None:
    """MIDI number of a name such as a2, gb3 or C#-1; None if it is none."""
    match = re.fullmatch(r"([a-g])([b#]?)(-?\d)", word.lower())
    if not match:
        return None
    name, sign, octave = match.groups()
    return _SEMITONES[name] + {"": 0, "b": -1, "#": 1}[sign] + 12 * (int(octave) + 1)


@dataclass(frozen=True)
class Sampler:
    """An instrument of single notes.

    Attributes:
        name: Its source and folder.
        files: Of the notes.
        pitches: (F,) MIDI number of each file.
        dynamics: (F,) how hard each was played, 0 to 1.
        noises: Files of damped strings.
    """

    name: str
    source: Source
    files: tuple[str, ...]
    pitches: NDArray[np.int64]
    dynamics: Float
    noises: tuple[str, ...] = ()

    def render(
        self,
        library: Library,
        notes: Sequence[Note],
        rng: np.random.Generator,
        duration_s: float,
        *,
        release_s: float = 0.08,
        bends: Sequence[tuple[float, float]] = (),
    ) -> Float:
        """(C, N): all notes, each of the file that is nearest to it, and not the same file twice in a row.

        Args:
            library: To read from.
            notes: In any order.
            rng: Chooses among takes.
            duration_s: Cut here.
            release_s: How long a note is heard after its end.
            bends: (seconds, semitones), between which the pitch goes straight; before and after it stands still.
        """
        times, curve = np.array([at for at, _ in bends]), np.array([semitones for _, semitones in bends])
        pieces: list[tuple[int, Float]] = []
        before = ""
        for note in notes:
            name, shift = self._choose(note, rng, before)
            before = name
            length_s = note.length_s + release_s
            longest_s = _SHORT_S if length_s < 1 else _LONG_S
            x = library.hit(self.source, name, semitones=shift, longest_s=longest_s, counted=False)
            if len(times) and x.shape[1]:
                x = _bent(x, np.interp(note.start_s + np.arange(0, length_s + 0.02, 0.005), times, curve))
            gain = 10 ** (_RANGE_DB * (note.velocity - 1) / 20)
            pieces.append((seconds(note.start_s), _released(x, seconds(note.length_s), seconds(release_s), gain)))
        n_channels = max((len(x) for _, x in pieces), default=1)
        out = np.zeros((n_channels, seconds(duration_s)), np.float32)
        for start, x in pieces:
            x = x[:, max(0, -start) : max(0, out.shape[1] - start)]
            start = max(0, start)
            out[:, start : start + x.shape[1]] += x
            library.count(self.source, x.shape[1] / RATE)
        return out

    def _choose(self, note: Note, rng: np.random.Generator, before: str) -> tuple[str, int]:
        """A file, and by how many semitones it has to be moved."""
        if note.length_s < DEAD_S and self.noises:
            return self.noises[rng.integers(len(self.noises))], 0
        cost = 0.3 * np.abs(self.pitches - note.pitch) + np.abs(self.dynamics - note.velocity)
        cost += rng.uniform(0, 0.25, len(cost))
        index = int(np.argmin(cost))
        if self.files[index] == before and len(cost) > 1:
            cost[index] += 0.5
            index = int(np.argmin(cost))
        return self.files[index], note.pitch - int(self.pitches[index])


def read_samplers(library: Library, use: str) -> list[Sampler]:
    """All instruments of the sources for this use; a folder that has no pitches in its names is none."""
    return list(_read(library, use))


@functools.lru_cache(16)
def _read(library: Library, use: str) -> tuple[Sampler, ...]:
    return tuple(sampler for source in library.sources(use) for sampler in _of_source(library, source))


def _of_source(library: Library, source: Source) -> list[Sampler]:
    folders: dict[str, list[str]] = {}
    for name in library.files(source):
        folders.setdefault(PurePosixPath(name).parent.as_posix(), []).append(name)
    found = (_of_folder(source, folder, names) for folder, names in folders.items())
    return [sampler for sampler in found if sampler]


def _of_folder(source: Source, folder: str, names: Sequence[str]) -> Sampler | None:
    files, pitches, dynamics, noises = [], [], [], []
    words = {name: re.split(r"[_ .]+", PurePosixPath(name).stem.lower()) for name in names}
    layers = [int(word[2:]) for some in words.values() for word in some if re.fullmatch(r"vl\d+", word)]
    for name in names:
        pitch = next((pitch for word in words[name] if (pitch := parse_pitch(word)) is not None), None)
        if pitch is not None:
            files.append(name)
            pitches.append(pitch + 12 * source.octave)
            dynamics.append(_dynamic(words[name], max(layers, default=1)))
        elif any("mute" in word for word in words[name]):
            noises.append(name)
    if len(set(pitches)) < _FEWEST_PITCHES:
        return None
    name = source.id if folder == "." else f"{source.id}/{folder}"
    return Sampler(name, source, tuple(files), np.array(pitches), np.array(dynamics, np.float32), tuple(noises))


def _dynamic(words: Sequence[str], n_layers: int) -> float:
    for word in words:
        if word in _DYNAMICS:
            return _DYNAMICS[word]
        if re.fullmatch(r"vl\d+", word):
            return int(word[2:]) / n_layers
    return 0.75


def _released(x: Float, length: int, release: int, gain: float) -> Float:
    """A copy of the first samples, let go after `length`."""
    x = x[:, : length + release] * np.float32(gain)
    n_fading = x.shape[1] - length
    if n_fading > 0:
        # It falls fast at first, as damped strings do.
        x[:, length:] *= np.linspace(1, 1 - n_fading / max(1, release), n_fading, dtype=np.float32) ** 2
    return x


def _bent(x: Float, semitones: NDArray[np.float64]) -> Float:
    """x read at a speed that follows `semitones`, one every 5 ms."""
    if not semitones.any():
        return x
    n_samples = int((len(semitones) - 1) * 0.005 * RATE)
    speed = 2 ** (np.interp(np.arange(n_samples) / RATE, np.arange(len(semitones)) * 0.005, semitones) / 12)
    places = np.cumsum(speed) - speed[0]
    places = places[places < x.shape[1] - 2]
    # Cubic (Hermite) between the samples: straight lines would dull what is above 5 kHz.
    index = places.astype(np.int64)
    part = (places - index).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 2)))
    a, b, c, d = (padded[:, index + k] for k in range(4))
    made: Float = (b + 0.5 * part * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)))).astype(
        np.float32
    )
    return made
