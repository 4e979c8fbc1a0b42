"""Sets of songs with sounds that separators mistake: the complex-pattern experiment of arXiv 2309.08684.

Clips of some classes (vocal chops, guitars, horns, sirens, risers) are made alike, divided into training, validation
and test, and laid over songs: of each class into the stem that it belongs to, so that the stems of a set still are the
truth and add up to the mixture.

Shapes: C channels (2), N samples. Audio is float32.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dttnet.audio import AUDIO_SUFFIXES, AudioInfo, Encoding, StemWriter, read_excerpt, read_info, resample
from dttnet.dataset import SPLITS, STEMS, Track, load_dataset
from dttnet.errors import AudioError, DttnetError, MissingExtraError, UsageError
from dttnet.spans import count_in_long_spans

Float = NDArray[np.float32]

CLASSES = "classes.yaml"
"""In the folder of the clips."""
ALL = "all"
UNTOUCHED = "untouched"
MANIFEST = "patterns.json"

RATE = 44100
PEAK = 0.5
SHORTEST_S, LONGEST_S = 4.0, 8.0
COVERAGE = 0.45
"""Share of a song that clips lie over."""
SHARES = {"train": 5, "valid": 1, "test": 3}
"""Of the recordings of a class, in ninths."""

# Quieter is silence, with the dither of 16 bits.
_SILENT_PEAK = 10 ** (-66 / 20)
# A recorded peak is alone at full scale, or has one neighbour; a clipped one is flat.
_CLIPPED_RUN = 3
_CLIPPED_LEVEL = 0.999


@dataclass(frozen=True, kw_only=True)
class PatternClass:
    """Sounds of one kind.

    Attributes:
        stem: That they belong to.
        reverses: They are as good backwards, and half of them are laid so (the paper's risers).
    """

    name: str
    stem: str
    reverses: bool = False


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A clip in a song of a test set.

    Attributes:
        clip: File, below the folder of the sets.
    """

    class_name: str
    stem: str
    clip: str
    start_s: float
    end_s: float
    is_reversed: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.class_name,
            "stem": self.stem,
            "clip": self.clip,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "reversed": self.is_reversed,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `build` makes.

    Attributes:
        clips: Folder with a folder of recordings for each class.
        classes: YAML that says which stem each class belongs to; None is `CLASSES` in `clips`.
        songs: Folder of stems, see `dttnet.dataset`.
        out: What becomes the folder of the sets; must not be there.
        split: Of the songs; "all" for all.
        stems: That the songs are the sum of.
        seed: The same seed and files give the same sets, to the byte.
        coverage: See `COVERAGE`.
    """

    clips: Path
    songs: Path
    out: Path
    classes: Path | None = None
    split: str = "test"
    stems: tuple[str, ...] = STEMS
    seed: int = 0
    coverage: float = COVERAGE

    def __post_init__(self) -> None:
        if self.split not in (*SPLITS, "all"):
            raise UsageError(f"split is {self.split!r}: give {', '.join(SPLITS)} or all")
        if not 0 < self.coverage <= 0.9:
            raise UsageError(f"coverage is {self.coverage}: give a share above 0, at most 0.9")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}: it must not be negative")


def build(plan: Plan, *, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Make the clips and the sets; returns the manifest.

    Everything is looked at before anything is made, and the folder appears whole or not at all.

    Args:
        report: Called with each set that is done.

    Raises:
        UsageError: The YAML, the folders or the songs do not fit together.
        AudioError: Recordings are silent, clipped or cannot be read; the message names all of them.
    """
    if os.path.lexists(plan.out):
        raise UsageError(f"{plan.out}: is there; give a folder that is not, or remove it")
    classes = read_classes(plan)
    recordings = {one.name: _divided(plan, one) for one in classes}
    _check_recordings([path for parts in recordings.values() for paths in parts.values() for path in paths])
    tracks = _tracks(plan)
    plan.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".dttnet-", dir=plan.out.parent) as folder:
        made = Path(folder) / plan.out.name
        manifest: dict[str, Any] = {
            "seed": plan.seed,
            "coverage": plan.coverage,
            "stems": list(plan.stems),
            "classes": {one.name: {"stem": one.stem, "reverses": one.reverses} for one in classes},
            "recordings": {},
            "sets": {},
        }
        clips: dict[str, list[str]] = {}
        for one in classes:
            manifest["recordings"][one.name] = {
                split: [path.relative_to(plan.clips).as_posix() for path in paths]
                for split, paths in recordings[one.name].items()
            }
            for split, paths in recordings[one.name].items():
                written = _write_clips(made, one, split, paths)
                if split == "test":
                    clips[one.name] = written
        sets = {one.name: [one] for one in classes} | {ALL: classes, UNTOUCHED: []}
        for name, members in sets.items():
            manifest["sets"][name] = {
                track.name: [placement.to_dict() for placement in _write_song(plan, made, name, track, members, clips)]
                for track in tracks
            }
            report(name)
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (made / MANIFEST).write_text(text, encoding="utf-8")
        made.rename(plan.out)
    return manifest


def read_classes(plan: Plan) -> list[PatternClass]:
    """The classes of a YAML such as `guitar: other`, or `riser: {stem: other, reverses: true}`.

    Raises:
        UsageError: The file is missing or no such YAML, a stem is none of the songs', or classes and folders are not
            the same.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading classes", "songs") from error
    path = plan.classes or plan.clips / CLASSES
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(found, dict) or not found:
        raise UsageError(f"{path}: give a line for each class, such as `guitar: other`")
    classes = []
    for name, entry in found.items():
        entry = {"stem": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or not {"stem"} <= entry.keys() <= {"stem", "reverses"}:
            raise UsageError(f"{path}: {name}: give a stem, or {{stem: ..., reverses: true}}")
        if entry["stem"] not in plan.stems:
            raise UsageError(f"{path}: {name}: {entry['stem']!r} is no stem of the songs ({', '.join(plan.stems)})")
        if name in (ALL, UNTOUCHED):
            raise UsageError(f"{path}: {name}: is the name of a set; call the class something else")
        classes.append(PatternClass(name=str(name), stem=entry["stem"], reverses=bool(entry.get("reverses", False))))
    if not plan.clips.is_dir():
        raise UsageError(f"{plan.clips}: there is no such folder")
    folders = {folder.name for folder in plan.clips.iterdir() if folder.is_dir() and not folder.name.startswith(".")}
    named = {one.name for one in classes}
    if folders - named:
        raise UsageError(f"{path}: says nothing of the stem of {', '.join(sorted(folders - named))}, a folder of clips")
    if named - folders:
        raise UsageError(
            f"{plan.clips}: there is no folder {', '.join(sorted(named - folders))}, a class of {path.name}"
        )
    return sorted(classes, key=lambda one: one.name)


def condition(recordings: Sequence[Float]) -> list[Float]:
    """Clips of SHORTEST_S to LONGEST_S of recordings (C, N): short ones joined, long ones cut into equal parts.

    What is left over at the end is joined with the first ones again. Each recording, and so each clip, has its peak at
    `PEAK`.
    """
    shortest, longest = round(SHORTEST_S * RATE), round(LONGEST_S * RATE)
    clips, short = [], []
    for recording in recordings:
        audio = recording * np.float32(PEAK / np.abs(recording).max())
        if audio.shape[1] < shortest:
            short.append(audio)
            continue
        clips += np.array_split(audio, -(-audio.shape[1] // longest), axis=1)
    while short:
        joined = [short.pop(0)]
        used = list(joined)
        while sum(piece.shape[1] for piece in joined) < shortest:
            if short:
                used.append(short[0])
                joined.append(short.pop(0))
            else:
                joined.append(used[len(joined) % len(used)])
        clips.append(np.concatenate(joined, axis=1)[:, :longest])
    return clips


def place(rng: np.random.Generator, lengths: Sequence[int], n_song: int) -> list[int]:
    """Random starts of clips that do not overlap, in their order: all ways to do it are as likely."""
    free = n_song - sum(lengths)
    cuts = np.sort(rng.integers(0, free + 1, len(lengths)))
    before = np.cumsum([0, *lengths])[:-1]
    return [int(cut + offset) for cut, offset in zip(cuts, before, strict=True)]


def read_manifest(sets: Path) -> dict[str, Any]:
    """What `build` wrote into a folder.

    Raises:
        UsageError: There is none.
    """
    path = sets / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for part in ("stems", "classes", "sets"):
            manifest[part]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{sets}: not a folder that `dttnet patterns build` made ({error})") from error
    return manifest


def clip_files(sets: Path, class_name: str, split: str) -> tuple[Path, ...]:
    """The clips of a class and a split that `build` made.

    Raises:
        UsageError: There are none.
    """
    folder = sets / _clip_folder(class_name, split)
    files = tuple(sorted(folder.glob("*.wav")))
    if not files:
        raise UsageError(f"{folder}: there are no clips; make the sets anew with `dttnet patterns build`")
    return files


def read_clip(path: Path, sample_rate: int, *, is_reversed: bool) -> Float:
    """(2, N) of a clip that `build` made, as it lies in a song of this rate."""
    audio = read_excerpt(path)
    audio = audio if sample_rate == RATE else resample(audio, RATE, sample_rate)
    return audio[:, ::-1] if is_reversed else audio


def _divided(plan: Plan, one: PatternClass) -> dict[str, list[Path]]:
    """The recordings of a class by split. Each is in one only, however many clips it gives."""
    folder = plan.clips / one.name
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if len(paths) < len(SHARES):
        raise UsageError(
            f"{folder}: has {len(paths)} recordings, too few to divide into {', '.join(SHARES)}: give at least "
            f"{len(SHARES)}, better {sum(SHARES.values())} or more"
        )
    shuffled = [paths[index] for index in _rng(plan, "division", one.name).permutation(len(paths))]
    n_valid = max(1, round(len(paths) * SHARES["valid"] / 9))
    n_test = max(1, round(len(paths) * SHARES["test"] / 9))
    return {
        "train": sorted(shuffled[n_valid + n_test :]),
        "valid": sorted(shuffled[:n_valid]),
        "test": sorted(shuffled[n_valid : n_valid + n_test]),
    }


def _check_recordings(paths: Sequence[Path]) -> None:
    problems = []
    for path in paths:
        try:
            audio = read_excerpt(path)
        except DttnetError as error:
            problems.append(str(error))
            continue
        highest = float(np.abs(audio).max(initial=0))
        if not np.isfinite(audio).all():
            problems.append(f"{path}: holds NaN or infinite samples")
        elif highest < _SILENT_PEAK:
            problems.append(f"{path}: is silent (peak {20 * np.log10(max(highest, 1e-9)):.0f} dBFS)")
        elif n_clipped := count_in_long_spans(np.abs(audio) >= _CLIPPED_LEVEL, at_least=_CLIPPED_RUN):
            problems.append(f"{path}: is clipped ({n_clipped} samples flat at full scale)")
    if problems:
        raise AudioError("; ".join(problems) + ": repair or remove them; nothing was made")


def _tracks(plan: Plan) -> list[Track]:
    dataset = load_dataset(plan.songs, stems=plan.stems)
    tracks = [track for track in dataset.tracks if plan.split in ("all", track.split) or not track.split]
    if not tracks:
        raise UsageError(f"{plan.songs}: has no songs of the split {plan.split!r}")
    names = [track.name for track in tracks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{plan.songs}: has several songs named {', '.join(twice)}: choose a split")
    for track in tracks:
        if track in dataset.incomplete:
            missing = [stem for stem in plan.stems if stem not in track.stems]
            raise UsageError(
                f"{plan.songs}: {track.name} has a mixture but no {', '.join(missing)}: its truth is not known"
            )
        if track.duration_s < LONGEST_S:
            raise UsageError(
                f"{plan.songs}: {track.name} has {track.duration_s:.1f} s, less than a clip may have ({LONGEST_S:g} s)"
            )
    # A mixture is not used, and its rate and length need not be those of the stems.
    return [replace(track, mixture=None) for track in tracks]


def _write_clips(out: Path, one: PatternClass, split: str, paths: Sequence[Path]) -> list[str]:
    """Clips of recordings as files; their names below `out`."""
    names = []
    for number, clip in enumerate(condition([_read_recording(path) for path in paths])):
        name = f"{_clip_folder(one.name, split)}/{number:04}.wav"
        _write(out / name, clip, RATE)
        names.append(name)
    return names


def _read_recording(path: Path) -> Float:
    """(2, N) at `RATE`."""
    audio, rate = read_excerpt(path), read_info(path).sample_rate
    audio = np.repeat(audio, 2, axis=0) if len(audio) == 1 else audio[:2]
    return audio if rate == RATE else resample(audio, rate, RATE)


def _write_song(
    plan: Plan,
    out: Path,
    set_name: str,
    track: Track,
    classes: Sequence[PatternClass],
    clips: Mapping[str, Sequence[str]],
) -> list[Placement]:
    """A song of a set: stems that get clips are written, the others are the same files as before."""
    rate, n_song = track.sample_rate, track.n_samples
    chosen = _choose(_rng(plan, set_name, track.name), plan, out, classes, clips, rate, n_song)
    folder = f"{set_name}/test/{track.name}"
    (out / folder).mkdir(parents=True)
    for stem in plan.stems:
        added = [(placement, audio) for placement, audio in chosen if placement.stem == stem]
        if not added:
            if stem in track.stems:
                _link(track.stems[stem].path, out / folder / f"{stem}{track.stems[stem].path.suffix}")
            continue
        total = track.read(stem, 0, n_song, sample_rate=rate).copy()
        for placement, audio in added:
            start = round(placement.start_s * rate)
            total[:, start : start + audio.shape[1]] += audio
        _write(out / folder / f"{stem}.wav", total, rate)
    return [placement for placement, _ in chosen]


def _choose(
    rng: np.random.Generator,
    plan: Plan,
    out: Path,
    classes: Sequence[PatternClass],
    clips: Mapping[str, Sequence[str]],
    rate: int,
    n_song: int,
) -> list[tuple[Placement, Float]]:
    """Clips of random classes until they are long enough, with their places."""
    drawn: list[tuple[PatternClass, str, bool, Float]] = []
    n_wanted = plan.coverage * n_song
    n_drawn = 0
    while classes and n_drawn < n_wanted:
        one = classes[int(rng.integers(len(classes)))]
        name = clips[one.name][int(rng.integers(len(clips[one.name])))]
        is_reversed = one.reverses and bool(rng.random() < 0.5)
        audio = read_clip(out / name, rate, is_reversed=is_reversed)
        if n_drawn + audio.shape[1] > n_song:
            break
        drawn.append((one, name, is_reversed, audio))
        n_drawn += audio.shape[1]
    starts = place(rng, [audio.shape[1] for *_, audio in drawn], n_song)
    return [
        (
            Placement(
                class_name=one.name,
                stem=one.stem,
                clip=name,
                start_s=start / rate,
                end_s=(start + audio.shape[1]) / rate,
                is_reversed=is_reversed,
            ),
            audio,
        )
        for start, (one, name, is_reversed, audio) in zip(starts, drawn, strict=True)
    ]


def _clip_folder(class_name: str, split: str) -> str:
    return f"clips/{split}/{class_name}"


def _rng(plan: Plan, *names: str) -> np.random.Generator:
    """Of its own for each purpose, so that another class or song more changes nothing elsewhere."""
    return np.random.default_rng([plan.seed, *("/".join(names).encode())])


def _write(path: Path, audio: Float, rate: int) -> None:
    """As 32-bit floating point: what clips add may be above full scale, and sums stay exact."""
    info = AudioInfo(sample_rate=rate, n_channels=2, n_samples=None, subtype="FLOAT")
    with StemWriter({"audio": path}, Encoding(depth="float32"), info) as writer:
        writer.write({"audio": audio})
        writer.finish()


def _link(source: Path, target: Path) -> None:
    """The same file under a second name where the disk can do that, otherwise a copy."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
