"""Stems on disk: which files belong together, and reading the samples of any excerpt of them.

Nothing here writes to, moves or renames a user's file. Headers are remembered in the user's cache folder, by path, size
and time of change.

Shapes: C channels, N samples. Audio is (C, N) float32, full scale is 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from dttnet.audio import AUDIO_SUFFIXES, MIN_RATE_HZ, read_excerpt, read_info, resample
from dttnet.errors import AudioError, UsageError

Float = NDArray[np.float32]

STEMS = ("vocals", "drums", "bass", "other")
MIXTURE = "mixture"
SPLITS = ("train", "valid", "test")

VALIDATION_TRACKS = frozenset(
    {
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    }
)
"""The 14 of MUSDB18's 100 training tracks that the paper validates with (those of the musdb package)."""

# Samples around an excerpt that the resampling filter sees, far more than its length.
_MARGIN = 2048


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One audio file.

    Attributes:
        n_samples: Per channel.
    """

    path: Path
    sample_rate: int
    n_channels: int
    n_samples: int

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate

    def read(self, start: int = 0, n_samples: int | None = None) -> Float:
        """(C, N) at the file's own rate from sample `start` on: at most `n_samples`, less where the file ends.

        Only what is needed is decoded, but for MP3 and for what only FFmpeg reads (see `audio.read_excerpt`).

        Raises:
            AudioError: The file is gone or damaged, or has samples that are no numbers; the message names it.
        """
        if start < 0 or (n_samples is not None and n_samples < 0):
            raise UsageError(f"start is {start}, n_samples {n_samples}: both must be 0 or more")
        samples = read_excerpt(self.path, start=start, n_samples=n_samples)
        is_good = np.isfinite(samples)
        if not is_good.all():
            at_s = (start + int(is_good.all(axis=0).argmin())) / self.sample_rate
            raise AudioError(f"{self.path}: its sample at {at_s:.2f} s is NaN or infinite; export it again")
        return samples


@dataclass(frozen=True, kw_only=True)
class Track:
    """Aligned stems of one song.

    Attributes:
        name: Of the folder.
        split: "train", "valid" or "test"; "" where the folder has no splits.
        stems: Stem to file. A stem that is missing is silence, and not in here.
        mixture: None where there is no such file: the mixture is the sum of the stems.
    """

    name: str
    split: str
    stems: Mapping[str, Clip]
    mixture: Clip | None

    @property
    def clips(self) -> tuple[Clip, ...]:
        """All files: the stems, then the mixture."""
        return (*self.stems.values(), *([self.mixture] if self.mixture is not None else []))

    @property
    def sample_rate(self) -> int:
        """The highest of the files."""
        return max(clip.sample_rate for clip in self.clips)

    @property
    def n_samples(self) -> int:
        """Of the longest file, at `sample_rate`."""
        return max(_count_resampled(clip, self.sample_rate) for clip in self.clips)

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate

    def read(self, stem: str, start: int = 0, n_samples: int | None = None, *, sample_rate: int | None = None) -> Float:
        """(2, N) float32 of a stem, or of the "mixture": its file, or else the sum of the stems.

        Mono is repeated; of more than two channels the first two are taken. What lies before the start or after the
        end of a file, and a stem that is missing, is zero.

        Args:
            start: First sample, counted at `sample_rate`; may be negative.
            n_samples: Counted at `sample_rate`, None for all up to the end of the longest file.
            sample_rate: What to resample to, None for `Track.sample_rate`.

        Raises:
            AudioError: A file is gone or damaged; the message names it.
        """
        rate = self.sample_rate if sample_rate is None else sample_rate
        if n_samples is None:
            n_samples = max(max(_count_resampled(clip, rate) for clip in self.clips) - start, 0)
        if stem == MIXTURE:
            clips = [self.mixture] if self.mixture is not None else list(self.stems.values())
        else:
            clips = [self.stems[stem]] if stem in self.stems else []
        excerpts = [_read_stereo(clip, start, n_samples, rate) for clip in clips]
        if len(excerpts) == 1:
            return excerpts[0]
        return np.sum(excerpts, axis=0, dtype=np.float32) if excerpts else np.zeros((2, n_samples), np.float32)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What `load_dataset` found.

    Attributes:
        tracks: Sorted by name.
        loose: Files of one stem each that belong to no song, sorted by path; a stem that has none is not in here.
        stems: The names that were looked for.
        unused: Folders with audio files of which none is called like a stem, or which lie too deep.
    """

    root: Path
    tracks: tuple[Track, ...]
    loose: Mapping[str, tuple[Clip, ...]]
    stems: tuple[str, ...] = STEMS
    unused: tuple[Path, ...] = ()

    @property
    def remark(self) -> str:
        """What a person should know who thinks that all of the folder is used, in a sentence; empty if it is."""
        if not self.unused:
            return ""
        folders = "1 folder" if len(self.unused) == 1 else f"{len(self.unused)} folders"
        example = self.unused[0].relative_to(self.root)
        return (
            f"{self.root}: {folders} with audio left out, such as {example}: no file there is called "
            f"{', '.join(self.stems)}, or it lies too deep (`dttnet data check` names all)"
        )

    @property
    def incomplete(self) -> tuple[Track, ...]:
        """Tracks with a mixture file that lack stems. What only the mixture has is not heard in training."""
        return tuple(track for track in self.tracks if track.mixture is not None and len(track.stems) < len(self.stems))


def load_dataset(root: str | Path, *, stems: Sequence[str] = STEMS, cache: bool = True) -> Dataset:
    """Find the stems below a folder.

    What it knows, also side by side, in every format that can be read:

    * `ROOT/train|valid|test/TRACK/STEM.wav` and `.../mixture.wav`, as MUSDB18-HQ is published. Without a folder
      `valid`, the 14 training tracks that the paper validates with get the split "valid", by name.
    * `ROOT/TRACK/STEM.wav`: the split is "".
    * `ROOT/STEM/**/*.wav`: loose files of one stem, not aligned.

    Links are followed.

    Args:
        stems: File (or folder) names that count as stems, in upper or lower case: all that songs are the sum of.
        cache: Remember the headers of the files in the user's cache folder, which makes the next call faster.

    Raises:
        UsageError: No such folder, nothing in it that looks like stems, or two files for one stem.
        AudioError: Files cannot be read; the message names all of them.
    """
    root = Path(root)
    if not os.path.isdir(root):
        raise UsageError(f"{root}: {'not a folder' if os.path.exists(root) else 'there is no such folder'}")
    stems = tuple(stems)
    by_name = {stem.casefold(): stem for stem in stems}
    if not stems or MIXTURE in by_name or len(by_name) < len(stems):
        raise UsageError(f"stems are {', '.join(stems) or 'none'}: give different names, and not {MIXTURE!r}")
    with _Headers(root, keep=cache) as headers:
        tracks: list[Track] = []
        loose: dict[str, tuple[Clip, ...]] = {}
        unused: list[Path] = []
        own_valid = os.path.isdir(root / "valid")

        def load(place: Path, split: str) -> None:
            if track := _load_track(place, split, stems, headers):
                tracks.append(track)
            else:
                unused.extend(dict.fromkeys(file.parent for file in _audio_files(place)))

        for folder in _folders(root):
            if folder.name in SPLITS and not _find_stems(folder, stems):
                for place in _folders(folder):
                    is_held_out = folder.name == "train" and not own_valid and place.name in VALIDATION_TRACKS
                    load(place, "valid" if is_held_out else folder.name)
            elif stem := by_name.get(folder.name.casefold()):
                if clips := tuple(headers.read(file) for file in _audio_files(folder)):
                    loose[stem] = (*loose.get(stem, ()), *clips)
            else:
                load(folder, "")
    if headers.errors:
        raise AudioError("\n".join(headers.errors))
    if not tracks and not loose:
        raise UsageError(_describe_nothing(root, stems))
    tracks.sort(key=lambda track: (track.name, track.split))
    return Dataset(root=root, tracks=tuple(tracks), loose=loose, stems=stems, unused=tuple(unused))


def _load_track(folder: Path, split: str, stems: Sequence[str], headers: _Headers) -> Track | None:
    """The track in this folder, if it has a stem."""
    files = _find_stems(folder, (*stems, MIXTURE))
    if not files.keys() - {MIXTURE}:
        return None
    clips = {stem: headers.read(files[stem]) for stem in stems if stem in files}
    mixture = headers.read(files[MIXTURE]) if MIXTURE in files else None
    return Track(name=folder.name, split=split, stems=clips, mixture=mixture)


def _find_stems(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Stem to file, for the audio files of a folder that are called so, in upper or lower case."""
    by_name = {name.casefold(): name for name in names}
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        stem = by_name.get(file.stem.casefold())
        if stem is not None and _is_audio(file):
            if stem in found:
                raise UsageError(f"{file}: a second file for {stem}, beside {found[stem].name}; remove one")
            found[stem] = file
    return found


def _audio_files(folder: Path) -> list[Path]:
    """All below a folder, sorted. Links are followed, and no folder is entered twice."""
    found: list[Path] = []
    entered: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [file for name in names if _is_audio(file := Path(place, name))]
    return sorted(found)


def _folders(folder: Path) -> Iterator[Path]:
    for place in sorted(folder.iterdir()):
        if os.path.isdir(place) and not place.name.startswith("."):
            yield place


def _is_audio(file: Path) -> bool:
    """By name; hidden files are none (macOS leaves ._NAME.wav beside NAME.wav), a link to nothing is one."""
    if file.suffix.lower() not in AUDIO_SUFFIXES or file.name.startswith("."):
        return False
    return os.path.isfile(file) or (file.is_symlink() and not os.path.exists(file))


def _describe_nothing(root: Path, stems: Sequence[str]) -> str:
    names = [place.name + "/" * os.path.isdir(place) for place in sorted(root.iterdir())]
    there = f"there is: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "it is empty"
    hint = ""
    if _find_stems(root, (*stems, MIXTURE)):
        hint = " It looks like the folder of one track: give the folder that holds it."
    return (
        f"{root}: no stems found ({there}). Expected TRACK/{stems[0]}.wav and the like for the stems "
        f"{', '.join(stems)}, with or without train/, valid/ and test/ above, or one folder per stem "
        f"({stems[0]}/*.wav).{hint}"
    )


def _count_resampled(clip: Clip, rate: int) -> int:
    return -(-clip.n_samples * rate // clip.sample_rate)


def _read_stereo(clip: Clip, start: int, n_samples: int, rate: int) -> Float:
    """(2, N) of what a file has at samples start ... start + N of `rate`, with zeros where it has nothing."""
    skip = max(-start, 0)
    n_wanted = max(min(n_samples - skip, _count_resampled(clip, rate) - (start + skip)), 0)
    if not n_wanted:
        return np.zeros((2, n_samples), np.float32)
    if rate == clip.sample_rate:
        samples = clip.read(start + skip, n_wanted)
    else:
        samples = _read_resampled(clip, start + skip, n_wanted, rate)
    if samples.shape == (2, n_samples):
        return samples
    out = np.zeros((2, n_samples), np.float32)
    out[:, skip : skip + samples.shape[1]] = samples[:2]
    return out


def _read_resampled(clip: Clip, start: int, n_samples: int, rate: int) -> Float:
    """What resampling the whole file gives at these samples, to the precision of the filter."""
    common = math.gcd(rate, clip.sample_rate)
    step_in, step_out = clip.sample_rate // common, rate // common
    # Output sample k * step_out lies on input sample k * step_in: only from there the phases of the filter agree.
    first = max(start // step_out - -(-_MARGIN // step_in), 0)
    end = -(-(start + n_samples) * step_in // step_out) + _MARGIN
    samples = clip.read(first * step_in, end - first * step_in)
    skip = start - first * step_out
    return resample(samples, clip.sample_rate, rate)[:, skip : skip + n_samples]


class _Headers:
    """What the headers of files said, kept in the user's cache folder.

    A cache that cannot be read or written is as good as none: nothing fails because of it.
    """

    def __init__(self, root: Path, *, keep: bool) -> None:
        key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        self._path = platformdirs.user_cache_path("dttnet") / "headers" / f"{key}.json" if keep else None
        self._known: dict[str, list[int]] = {}
        self._is_changed = False
        self.errors: list[str] = []
        """What is wrong with files, so that a person hears of all of them at once."""

    def __enter__(self) -> _Headers:
        if self._path is not None:
            # No cache or a damaged one: the headers are read again.
            with contextlib.suppress(OSError, ValueError, TypeError):
                stored = dict(json.loads(self._path.read_text(encoding="utf-8")))
                self._known = {path: header for path, header in stored.items() if _is_header(header)}
        return self

    def __exit__(self, *_: object) -> None:
        """Also after an error: what was read until then need not be read again."""
        if self._path is None or not self._is_changed:
            return
        partial = self._path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):  # without a cache all is as right, only slower
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps(self._known), encoding="utf-8")
                partial.replace(self._path)
            finally:
                partial.unlink(missing_ok=True)

    def read(self, path: Path) -> Clip:
        key = os.fspath(path.absolute())
        try:
            stat = path.stat()
        except OSError as error:
            self.errors.append(f"{path}: cannot be read ({error.strerror})")
            return _unreadable(path)
        stamp = [stat.st_size, stat.st_mtime_ns]
        known = self._known.get(key)
        if known is None or known[:2] != stamp:
            try:
                info = read_info(path)
            except AudioError as error:
                self.errors.append(str(error))
                return _unreadable(path)
            known = [*stamp, info.sample_rate, info.n_channels, info.n_samples or 0]
            self._known[key] = known
            self._is_changed = True
        return Clip(path=path, sample_rate=known[2], n_channels=known[3], n_samples=known[4])


def _unreadable(path: Path) -> Clip:
    """Stands for a file until all files are looked at."""
    return Clip(path=path, sample_rate=MIN_RATE_HZ, n_channels=1, n_samples=0)


def _is_header(value: object) -> bool:
    return isinstance(value, list) and len(value) == 5 and all(type(number) is int for number in value)
