"""The sources that songs are made of: what they are, whose, under which licence, and reading them.

A source that the catalogue does not know has no licence, and is not read. `SOURCES/sources.yaml` adds sources, in the
form of `catalogue.yaml` beside this file.
"""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from cachetools import LRUCache, cached

from dttnet.audio import read_excerpt, read_info, resample
from dttnet.errors import AudioError, UsageError
from dttnet.songs.signals import RATE, Float, fade, faster, peak

USES = {
    "album": "songs, as vocals, drums, bass and other",
    "drums.acoustic": "kits of drums, a stroke a file",
    "drums.snares": "more snares",
    "drums.machine": "drum machines",
    "drums.hands": "claps and stomps",
    "bass.notes": "single notes of basses, their pitches in their names",
    "other.guitar": "single notes of guitars",
    "other.piano": "single notes of pianos",
    "other.texture": "drones and effects",
    "voice.sung": "sung syllables",
    "voice.vowels": "sung vowels and notes",
    "voice.growled": "growls",
    "voice.whispered": "whispers",
    "voice.phrases": "sung phrases",
    "voice.speech": "read and acted speech",
    "soundfont": "General MIDI sound fonts",
}

LICENCES = frozenset({"CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "MIT", "Apache-2.0", "ISC", "BSD-3-Clause"})
"""That are known to allow commercial use and changed copies; others need `terms` that say so."""

OWN_SOURCES = "sources.yaml"
"""In the folder of the sources: more of them, or other facts of those in the catalogue."""

SOUNDFONT_FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/sounds/sf3"), Path("/usr/share/soundfonts"))
"""Where Linux distributions put them."""

# Every process that makes songs has both, so that four on a laptop stay below its memory.
_READ_BYTES = 150e6
_MOVED_BYTES = 350e6

_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """Recordings of one origin. See `catalogue.yaml` for the fields."""

    id: str
    use: str
    title: str
    author: str
    url: str
    licence: str
    commit: str = ""
    terms: str = ""
    folder: str = ""
    soundfont: str = ""
    octave: int = 0
    held_out: tuple[str, ...] = ()

    def is_held_out(self, name: str) -> bool:
        """Whether validation songs alone are made of this file (relative to the folder) or preset (BANK:PROGRAM)."""
        return any(fnmatch.fnmatch(name, pattern) for pattern in self.held_out)


SYNTHESISED = Source(
    id="synthesised",
    use="synthesis",
    title="Synthesised",
    author="dttnet",
    url="",
    licence="CC0-1.0",
)
"""What no recording is used for: subtractive, FM and other synthesis."""


def _size(x: Float) -> int:
    return x.nbytes


def read_catalogue(root: Path) -> list[Source]:
    """The sources of the package and those of `root/sources.yaml`, which come first.

    Raises:
        UsageError: An entry lacks something, has what is not known, or its licence is not one of `LICENCES` and has no
            terms.
    """
    found: dict[str, Source] = {}
    own = root / OWN_SOURCES
    texts = [(str(own), own.read_text())] if own.is_file() else []
    texts.append(("the catalogue", files("dttnet.songs").joinpath("catalogue.yaml").read_text()))
    for where, text in texts:
        try:
            entries = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"{where} is no YAML: {error}") from error
        if not isinstance(entries, list):
            raise UsageError(f"{where}: give a list of sources")
        for number, entry in enumerate(entries, 1):
            source = _source(entry, f"{where}, source {number}")
            found.setdefault(source.id, source)
    return list(found.values())


def _source(entry: Any, where: str) -> Source:
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: give names and values, such as id: mine")
    if "id" in entry:
        where = f"{where} ({entry['id']})"
    known = {field.name for field in fields(Source)}
    unknown = sorted(set(entry) - known)
    missing = [name for name in ("id", "use", "title", "author", "url", "licence") if not entry.get(name)]
    if unknown or missing:
        wrong = [f"{', '.join(unknown)} is not known"] * bool(unknown) + [f"{', '.join(missing)} is missing"] * bool(
            missing
        )
        raise UsageError(f"{where}: {' and '.join(wrong)}; known are {', '.join(sorted(known))}")
    values = {name: str(entry[name]) for name in known & set(entry) - {"octave", "held_out"}}
    octave, held_out = entry.get("octave", 0), entry.get("held_out", [])
    if not isinstance(octave, int):
        raise UsageError(f"{where}: octave is {octave!r}: give a whole number")
    if not isinstance(held_out, list) or not all(isinstance(pattern, str) for pattern in held_out):
        raise UsageError(f'{where}: held_out is {held_out!r}: give a list of patterns, such as ["*_rr3.*"]')
    source = Source(**values, octave=octave, held_out=tuple(held_out))
    if source.use not in USES:
        raise UsageError(f"{where}: use is {source.use!r}; known are {', '.join(USES)}")
    if bool(source.folder) == bool(source.soundfont):
        raise UsageError(f"{where}: give either folder or soundfont")
    unclear = [part for part in source.licence.split(" AND ") if part not in LICENCES | {"LicenseRef-Public-Domain"}]
    if unclear and not source.terms:
        raise UsageError(
            f"{where}: nothing is known of the licence {', '.join(unclear)}. If it allows commercial use and changed "
            f"copies, say so in terms; known are {', '.join(sorted(LICENCES))}"
        )
    return source


class Library:
    """The sources below a folder, read as they are needed. It keeps what it read last, and counts what is used.

    Attributes:
        used: Seconds taken from each source, by id, since it was last cleared.
        missing: Sources of the catalogue that are not there.
    """

    def __init__(
        self, root: Path, *, soundfonts: Sequence[Path] = (), held_out: bool = False, only: Sequence[str] | None = None
    ) -> None:
        """
        Args:
            root: The folders that the catalogue names are below it.
            soundfonts: Files; none are those of the catalogue that are installed where Linux distributions put them.
            held_out: Read only what is held out for validation, instead of the rest.
            only: Uses; None is all.

        Raises:
            UsageError: `root` is no folder, has none of the sources or has audio of which no licence is known.
        """
        if not root.is_dir():
            raise UsageError(f"{root} is no folder")
        catalogue = read_catalogue(root)
        self.root = root
        self.used: defaultdict[str, float] = defaultdict(float)
        self.missing: list[Source] = []
        self._files: dict[str, tuple[str, ...]] = {}
        self._sources: dict[str, list[Source]] = {}
        self._paths: dict[str, Path] = {}
        self._held_out = held_out
        everywhere = {}
        for source in catalogue:
            there = self._find_font(source, soundfonts) if source.soundfont else self._find_folder(source)
            if there:
                everywhere[source.id] = source
            else:
                self.missing.append(source)
        if not any(source.folder for source in everywhere.values()):
            raise UsageError(
                f"{root} has none of the sources: the first would be {catalogue[0].folder}. "
                "docs/open_songs.md says where they come from"
            )
        self._refuse_unknown(catalogue, soundfonts)
        for source in everywhere.values():
            if only is None or source.use in only:
                self._sources.setdefault(source.use, []).append(source)
        self._split()
        self._read = cached(LRUCache(_READ_BYTES, getsizeof=_size))(self._decode)
        self._moved = cached(LRUCache(_MOVED_BYTES, getsizeof=_size))(self._decode_faster)

    def sources(self, use: str) -> list[Source]:
        """Those that serve for this, in the catalogue's order; may be empty."""
        return self._sources.get(use, [])

    @property
    def all_sources(self) -> list[Source]:
        """Every source that is read from."""
        return [source for sources in self._sources.values() for source in sources]

    def files(self, source: Source) -> tuple[str, ...]:
        """Its audio files, relative to its folder, sorted."""
        return self._files[source.id]

    def path(self, source: Source, name: str = "") -> Path:
        """Of one of its files; of the sound font without a name."""
        return self._paths[source.id] / name if name else self._paths[source.id]

    def is_in_use(self, source: Source, preset: str) -> bool:
        """Whether a preset BANK:PROGRAM of a sound font may be played in this split."""
        return source.is_held_out(preset) == self._held_out

    def fingerprint(self) -> dict[str, list[Any]]:
        """Number and bytes of the files of each source, and how it is read: only of the same come the same songs."""
        return {
            source.id: [
                max(1, len(self._files.get(source.id, ()))),
                sum(self.path(source, name).stat().st_size for name in self._files.get(source.id, ("",))),
                source.octave,
                list(source.held_out),
            ]
            for source in self.all_sources
        }

    def read(self, source: Source, name: str) -> Float:
        """(C, N) of a whole short file at 44.1 kHz as it is, one or two channels. Read only: it is kept. Not counted.

        Raises:
            AudioError: The file is gone or damaged; the message names it.
        """
        return self._read(source.id, name)

    def duration_s(self, source: Source, name: str) -> float:
        """How long a file is, by its header.

        Raises:
            AudioError: As `read`.
        """
        info = read_info(self.path(source, name))
        return (info.n_samples or 0) / info.sample_rate

    def excerpt(self, source: Source, name: str, *, start_s: float, duration_s: float) -> Float:
        """(C, N) of a part of a long file at 44.1 kHz, shorter where the file ends; counted, and not kept.

        Raises:
            AudioError: As `read`.
        """
        path = self.path(source, name)
        rate = read_info(path).sample_rate
        x = read_excerpt(path, start=round(start_s * rate), n_samples=round(duration_s * rate))[:2]
        x = resample(x, rate, RATE)
        self.count(source, x.shape[1] / RATE)
        return x

    def hit(
        self, source: Source, name: str, *, semitones: float = 0.0, longest_s: float = 4.0, counted: bool = True
    ) -> Float:
        """(C, N) of a file from its onset on, its peak 1, played higher by some semitones; read only.

        Raises:
            AudioError: As `read`.
        """
        x = self._moved(source.id, name, round(semitones, 2), longest_s)
        if counted:
            self.count(source, x.shape[1] / RATE)
        return x

    def count(self, source: Source, duration_s: float) -> None:
        """Note that so many seconds of a source are used."""
        self.used[source.id] += duration_s

    def _find_folder(self, source: Source) -> bool:
        folder = self.root / source.folder
        if not folder.is_dir():
            return False
        names = sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.suffix.lower() in _SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
        self._paths[source.id], self._files[source.id] = folder, tuple(names)
        return bool(names)

    def _find_font(self, source: Source, soundfonts: Sequence[Path]) -> bool:
        places = list(soundfonts) or [folder / source.soundfont for folder in SOUNDFONT_FOLDERS]
        for path in places:
            if path.name == source.soundfont and path.is_file():
                self._paths[source.id] = path
                return True
        return False

    def _refuse_unknown(self, catalogue: list[Source], soundfonts: Sequence[Path]) -> None:
        own = self.root / OWN_SOURCES
        folders = [self.root / source.folder for source in catalogue if source.folder]
        # A song that is kept for tests lies beside the training songs of its album, and is never read.
        folders += [folder.parent / "test" for folder in folders if folder.name == "train"]
        known = tuple(f"{folder}{os.sep}" for folder in folders)
        for path in self.root.rglob("*"):
            if path.suffix.lower() in _SUFFIXES and not str(path).startswith(known):
                raise UsageError(
                    f"{path}: nothing is known of its licence. Say in {own} whose it is and under which licence "
                    "(docs/open_songs.md shows how), or move it out of the folder"
                )
        for path in soundfonts:
            if not path.is_file():
                raise UsageError(f"{path}: there is no such sound font")
            if path.name not in {source.soundfont for source in catalogue}:
                raise UsageError(
                    f"{path}: nothing is known of its licence. Say in {own} whose it is and under which licence, with "
                    "soundfont: its file name"
                )

    def _split(self) -> None:
        """Keep what is held out, or the rest."""
        for use, sources in self._sources.items():
            if use == "soundfont":
                continue
            for source in sources:
                names = self._files[source.id]
                self._files[source.id] = tuple(n for n in names if source.is_held_out(n) == self._held_out)
            self._sources[use] = [source for source in sources if self._files[source.id]]

    def _decode(self, source_id: str, name: str) -> Float:
        path = self._paths[source_id] / name
        x = resample(read_excerpt(path), read_info(path).sample_rate, RATE)[:2]
        if not np.isfinite(x).all():
            raise AudioError(f"{path}: has samples that are no numbers: replace the file")
        x.flags.writeable = False
        return x

    def _decode_faster(self, source_id: str, name: str, semitones: float, longest_s: float) -> Float:
        x = self._read(source_id, name)
        highest = peak(x)
        if highest < 1e-4:
            return x[:, :0]
        onset = int(np.argmax(np.abs(x).max(axis=0) > 0.03 * highest))
        ratio = 2 ** (semitones / 12)
        x = x[:, max(0, onset - 60) :][:, : int(longest_s * ratio * RATE)] / np.float32(highest)
        x = faster(fade(x, start=40, end=400), ratio)
        x.flags.writeable = False
        return x
