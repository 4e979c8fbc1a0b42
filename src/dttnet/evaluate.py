"""Evaluation of stems against their references, from files or by a model: track by track, resumable, in parallel.

Everything is read in blocks, so memory does not depend on the length of a track.

Shapes: N samples. Audio is (2, N) float32: a mono file stands on both channels.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dttnet.audio import AUDIO_SUFFIXES, BLOCK, AudioInfo, AudioReader, Encoding, Resampler, StemWriter, open_audio
from dttnet.chunks import SampleQueue
from dttnet.cpus import count_cpus
from dttnet.dataset import MIXTURE, Clip, Dataset, Track
from dttnet.errors import AudioError, DttnetError, UsageError
from dttnet.metrics import WINDOW_S, Scorer
from dttnet.oracle import IdealRatioMask
from dttnet.scores import BASELINES, ESTIMATES, ORACLE, SILENCE, TrackScores, full_name, score_stems, write_text
from dttnet.separator import DEFAULT_QUALITY, Separator
from dttnet.workers import UNBROKEN, worker_pool

Float = NDArray[np.float32]

NO_ESTIMATE = "no estimate"
SILENT_REFERENCE = "silent reference"
_SAVED = "estimates saved"

FOLDERS = ("{track}/{stem}.{ext}", "{split}/{track}/{stem}.{ext}")
"""Where estimates are looked for, unless a template says otherwise."""

_SUFFIXES = sorted({*AUDIO_SUFFIXES, *(suffix.upper() for suffix in AUDIO_SUFFIXES)})


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Estimates that a model makes: the arguments of a `Separator`."""

    model: str
    device: str = "auto"
    threads: int | None = None
    quality: str = DEFAULT_QUALITY
    overlap: float | None = None
    chunk_edges: Literal["neighbours", "reflect"] = "neighbours"
    adds_up: bool = True


@dataclass(frozen=True, kw_only=True)
class Job:
    """One track: what to score, and where the scores go.

    Attributes:
        stems: Those to score. A stem that has no reference or no estimate is left out, and the scores say so.
        output: File of the scores.
        made_with: What the scores depend on: a file with other values is made again.
        files: Stem to estimate, if these are files.
        model: Settings of the model, if it makes the estimates.
        saved: Stem to the file that its estimate is written to.
        baselines: Score `scores.BASELINES` too.
    """

    track: Track
    stems: tuple[str, ...]
    output: Path
    made_with: Mapping[str, Any]
    files: Mapping[str, Path]
    model: ModelSettings | None
    saved: Mapping[str, Path]
    baselines: bool

    @property
    def full_name(self) -> str:
        return full_name(self.track.name, self.track.split)

    def noted(self, *, saved: bool) -> dict[str, Any]:
        """What the file of the scores says that they were made with, and whether estimates were written beside."""
        return {**self.made_with, **({_SAVED: True} if saved else {})}

    def read_scores(self) -> TrackScores | None:
        """What an earlier run wrote, if it is whole and depends on the same things."""
        try:
            scores = TrackScores.from_json(self.output.read_text(encoding="utf-8"))
        except (OSError, ValueError, LookupError, TypeError):
            return None
        was_saved = bool(scores.made_with.get(_SAVED))
        is_same = scores.made_with == self.noted(saved=was_saved)
        has_all = not self.baselines or scores.methods.keys() >= {*BASELINES}
        # Files that are there may be of other settings, if these wrote none.
        has_saved = not self.saved or (was_saved and all(os.path.exists(path) for path in self.saved.values()))
        return scores if is_same and has_all and has_saved else None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job: scores or an error. `is_skipped`: the scores are those of an earlier run."""

    job: Job
    scores: TrackScores | None = None
    error: str | None = None
    is_skipped: bool = False
    seconds: float = 0.0


def select_tracks(dataset: Dataset, split: str | None = None) -> list[Track]:
    """The tracks of a split; "all" for all, None for "test" if there is one and else for all.

    Raises:
        UsageError: There are none; the message says what there is.
    """
    splits = sorted({track.split for track in dataset.tracks})
    if split is None:
        split = "test" if "test" in splits else "all"
    tracks = [track for track in dataset.tracks if split in ("all", track.split)]
    if not tracks:
        there = ", ".join(name or "tracks without a split" for name in splits)
        what = f"there are: {there}" if there else "it has loose files only, which are not aligned"
        raise UsageError(f"{dataset.root}: no tracks in the split {split!r} ({what})")
    return tracks


def plan_files(
    tracks: Sequence[Track],
    folder: Path,
    *,
    stems: Sequence[str],
    out: Path,
    template: str | None = None,
    baselines: bool = False,
) -> list[Job]:
    """Jobs for estimates in files, in any format and at any rate, made by any program.

    Args:
        tracks: The references.
        folder: Where the estimates are.
        stems: Those to look for. One that has no file in any track is not scored.
        out: Folder of the scores.
        template: Where an estimate is in the folder; {track}, {stem}, {split} and {ext} (any format) are filled in.
            None looks in all of `FOLDERS`.
        baselines: Score `scores.BASELINES` too.

    Raises:
        UsageError: No folder, no estimates in it, two for one stem or one for two, or a template that is broken.
    """
    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: {'not a folder' if os.path.exists(folder) else 'there is no such folder'}")
    found = {
        id(track): {stem: path for stem in stems if (path := _find_estimate(folder, track, stem, template)) is not None}
        for track in tracks
    }
    given = tuple(stem for stem in stems if any(stem in files for files in found.values()))
    if not given:
        looked_for = template or " or ".join(FOLDERS)
        raise UsageError(
            f"{folder}: no estimates of {', '.join(stems)} for any of {len(tracks)} tracks; looked for {looked_for} "
            f"with the names of the references, as {tracks[0].name!r}"
        )
    _check_shared(tracks, found)
    return [
        Job(
            track=track,
            stems=given,
            output=output,
            made_with=_dependencies(track, given, {"estimates": _stamps(found[id(track)])}),
            files=found[id(track)],
            model=None,
            saved={},
            baselines=baselines,
        )
        for track, output in zip(tracks, _outputs(tracks, out), strict=True)
    ]


def plan_model(
    tracks: Sequence[Track],
    settings: ModelSettings,
    *,
    stems: Sequence[str],
    out: Path,
    save_to: Path | None = None,
    baselines: bool = False,
) -> list[Job]:
    """Jobs for estimates that a model makes.

    Args:
        tracks: The references.
        settings: The model, and how it runs.
        stems: Those to score. One that the model does not give is not scored.
        out: Folder of the scores.
        save_to: Folder for the estimates, TRACK/STEM.wav in float32; None does not write them.
        baselines: Score `scores.BASELINES` too.

    Raises:
        UsageError: The model gives none of the stems.
        ModelError, DeviceError: See `Separator`.
    """
    separator = _separator(settings)
    given = tuple(stem for stem in stems if stem in separator.stems)
    if not given:
        raise UsageError(
            f"model {separator.model.name!r} gives {', '.join(separator.stems)}, none of {', '.join(stems)}"
        )
    facts = {
        "model": separator.model.name,
        "model_sha256": separator.model.sha256,
        "device": separator.device,
        "quality": settings.quality,
        "overlap": settings.overlap,
        "chunk_edges": settings.chunk_edges,
        "adds_up": settings.adds_up,
    }
    outputs = _outputs(tracks, out)
    return [
        Job(
            track=track,
            stems=given,
            output=output,
            made_with=_dependencies(track, given, facts),
            files={},
            model=settings,
            saved={
                stem: save_to / output.parent.name / track.name / f"{stem}.wav" for stem in given if save_to is not None
            },
            baselines=baselines,
        )
        for track, output in zip(tracks, outputs, strict=True)
    ]


def run(jobs: Sequence[Job], *, n_workers: int = 1, report: Callable[[Outcome], None] | None = None) -> list[Outcome]:
    """Score all tracks that are not scored yet.

    A track that fails does not stop the others. Where this process is interrupted or killed, its workers end too; what
    they had finished is on disk, whole.

    Args:
        jobs: From `plan_files` or `plan_model`.
        n_workers: Processes. With 1 all is done in this one.
        report: Called with each outcome, in the order in which they come.

    Returns:
        One outcome per job, in the order of the jobs.
    """
    if n_workers < 1:
        raise UsageError(f"n_workers is {n_workers}: give at least 1")
    outcomes: dict[int, Outcome] = {}

    def finish(index: int, outcome: Outcome) -> None:
        outcomes[index] = outcome
        if report is not None:
            report(outcome)

    waiting: list[int] = []
    for index, job in enumerate(jobs):
        if (scores := job.read_scores()) is not None:
            finish(index, Outcome(job=job, scores=scores, is_skipped=True))
        else:
            waiting.append(index)
    n_workers = min(n_workers, len(waiting))
    if n_workers <= 1:
        for index in waiting:
            finish(index, _attempt(jobs[index]))
    else:
        if any(job.model is not None for job in jobs):
            _separator.cache_clear()  # of planning: the workers have their own
        for index, outcome in _attempt_in_parallel({index: jobs[index] for index in waiting}, n_workers):
            finish(index, outcome)
    return [outcomes[index] for index in range(len(jobs))]


def score(job: Job) -> TrackScores:
    """Score one track.

    Raises:
        AudioError: A file cannot be read, or an estimate not be written.
        ModelError: The network gave something that is not a number.
        UsageError: There is no estimate of any stem.
    """
    track = job.track
    estimated = job.stems if job.model is not None else tuple(job.files)
    left_out = {stem: NO_ESTIMATE for stem in job.stems if stem not in estimated}
    left_out |= {stem: SILENT_REFERENCE for stem in estimated if stem not in track.stems}
    scored = [stem for stem in estimated if stem in track.stems]
    if not estimated:
        raise UsageError(f"{job.full_name}: there is no estimate of {' or '.join(job.stems)}")

    window = max(round(WINDOW_S * track.sample_rate), 1)
    methods = (ESTIMATES, *BASELINES) if job.baselines else (ESTIMATES,)
    scorers = {method: {stem: Scorer(window=window) for stem in scored} for method in methods}
    with ExitStack() as stack:
        references = _References(job, scored, stack)
        if job.model is not None:
            blocks = _separate(job, references, stack)
            sources: list[_Source] = []
        else:
            files = {stem: _Source.open(job.files[stem], track.sample_rate, stack) for stem in scored}
            blocks = _read(files, references)
            sources = list(files.values())
        oracle = IdealRatioMask(scored) if job.baselines and scored else None

        def push(method: str, references: Mapping[str, Float], estimates: Mapping[str, Float]) -> None:
            for stem, reference in references.items():
                scorers[method][stem].push(reference, estimates[stem])

        for stems, mixture, estimates in blocks:
            push(ESTIMATES, stems, estimates)
            if oracle is not None:
                push(MIXTURE, stems, dict.fromkeys(stems, mixture))
                push(SILENCE, stems, dict.fromkeys(stems, np.zeros_like(mixture)))
                for masked in oracle.push(stems, mixture):
                    push(ORACLE, *masked)
        for masked in oracle.flush() if oracle is not None else ():
            push(ORACLE, *masked)
        warnings = references.warnings()
        for stem, source in zip(scored, sources, strict=False):
            warnings += source.warnings(reference=track.stems[stem])
    for stem in scored:
        if scorers[ESTIMATES][stem].reference_is_silent:
            left_out[stem] = SILENT_REFERENCE
            for method in methods:
                del scorers[method][stem]
    return TrackScores(
        track=track.name,
        split=track.split,
        duration_s=track.duration_s,
        methods={method: score_stems(scorers[method]) for method in methods},
        left_out=left_out,
        made_with=job.noted(saved=bool(job.saved)),
        warnings=tuple(warnings),
    )


def default_workers(n_tracks: int, *, has_model: bool) -> int:
    """One process per CPU for files. A model uses all CPUs by itself."""
    return 1 if has_model else max(min(count_cpus(), n_tracks), 1)


def with_few_threads(settings: ModelSettings, n_workers: int) -> ModelSettings:
    """Settings with which this many models share the CPUs, unless they name a number of threads."""
    if n_workers == 1 or settings.threads is not None:
        return settings
    return replace(settings, threads=max(count_cpus() // n_workers, 1))


# Planning


def _outputs(tracks: Sequence[Track], out: Path) -> list[Path]:
    """OUT/SPLIT/TRACK.json. Tracks without a split go to "test", where museval looks."""
    outputs = [out / (track.split or "test") / f"{track.name}.json" for track in tracks]
    if len(set(outputs)) < len(outputs):
        twice = next(path for path in outputs if outputs.count(path) > 1)
        raise UsageError(f"{twice}: would hold the scores of two tracks of one name; choose a --split")
    there = next(folder for folder in (out, *out.parents) if os.path.isdir(folder))
    for output in outputs:
        try:
            (there / output.name).lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise UsageError(f"{output}: too long a name for a file; rename the folder of the track") from error
    return outputs


def _find_estimate(folder: Path, track: Track, stem: str, template: str | None) -> Path | None:
    found = []
    for pattern in FOLDERS if template is None else (template,):
        try:
            names = dict.fromkeys(
                pattern.format(track=track.name, stem=stem, split=track.split or "test", ext=suffix[1:])
                for suffix in _SUFFIXES
            )
        except (ValueError, LookupError, AttributeError) as error:
            raise UsageError(
                f"--filename {pattern!r}: {error}; use {{track}}, {{stem}}, {{split}} and {{ext}}"
            ) from error
        found += [folder / name for name in names if os.path.isfile(folder / name)]
    # A file system that knows no capitals finds one file by two names.
    different = {(path.stat().st_dev, path.stat().st_ino): path for path in found}
    if len(different) > 1:
        raise UsageError(f"{found[0]} and {found[1]}: two estimates of one stem; choose with --filename, or remove one")
    return found[0] if found else None


def _check_shared(tracks: Sequence[Track], found: Mapping[int, Mapping[str, Path]]) -> None:
    """No file may count as the estimate of two stems or tracks."""
    uses: dict[Path, str] = {}
    for track in tracks:
        for stem, path in found[id(track)].items():
            use = f"{stem} of {full_name(track.name, track.split)!r}"
            if path in uses:
                raise UsageError(
                    f"{path}: would be the estimate of {uses[path]} and of {use}; give a --filename with {{stem}} and "
                    "{track}, and {split} where several splits have tracks of one name"
                )
            uses[path] = use


def _dependencies(track: Track, stems: Sequence[str], facts: Mapping[str, Any]) -> dict[str, Any]:
    files = {stem: clip.path for stem, clip in track.stems.items()}
    if track.mixture is not None:
        files["mixture"] = track.mixture.path
    return {"dttnet": version("dttnet"), "stems": list(stems), "references": _stamps(files), **facts}


def _stamps(files: Mapping[str, Path]) -> dict[str, list[Any]]:
    """Name, size and time of change of each: without the folder, which may be moved."""
    stats = {stem: path.stat() for stem, path in files.items()}
    return {stem: [files[stem].name, stat.st_size, stat.st_mtime_ns] for stem, stat in stats.items()}


@functools.lru_cache(maxsize=1)
def _separator(settings: ModelSettings) -> Separator:
    """One per process."""
    return Separator(
        settings.model,
        device=settings.device,
        threads=settings.threads,
        quality=settings.quality,
        overlap=settings.overlap,
        chunk_edges=settings.chunk_edges,
        adds_up=settings.adds_up,
    )


# Working through the jobs


def _attempt(job: Job) -> Outcome:
    started = time.perf_counter()
    try:
        scores = score(job)
        with UNBROKEN:
            write_text(job.output, scores.to_json())
    except (DttnetError, OSError) as error:
        message = str(error)
        with contextlib.suppress(OSError):  # what can be neither read nor removed is no score of an earlier run
            job.output.unlink(missing_ok=True)
        return Outcome(job=job, error=message if job.track.name in message else f"{job.full_name}: {message}")
    return Outcome(job=job, scores=scores, seconds=time.perf_counter() - started)


def _attempt_in_parallel(jobs: Mapping[int, Job], n_workers: int) -> Iterator[tuple[int, Outcome]]:
    with worker_pool(n_workers) as pool:
        futures: dict[Future[Outcome], int] = {pool.submit(_attempt, job): index for index, job in jobs.items()}
        for future in as_completed(futures):
            index = futures[future]
            try:
                yield index, future.result()
            except BrokenProcessPool:
                reason = "a worker process died, maybe for lack of memory: use fewer --jobs"
                yield index, Outcome(job=jobs[index], error=f"{jobs[index].full_name}: {reason}")


# Samples

Blocks = Iterator[tuple[dict[str, Float], Float, Mapping[str, Float]]]
"""References by stem, mixture and estimates by stem, (2, n) each."""


class _Source:
    """An open file as (2, N) at some rate, with zeros after its end."""

    def __init__(self, path: Path, reader: AudioReader, sample_rate: int) -> None:
        self._path = path
        self._reader = reader
        self._sample_rate = sample_rate
        self._blocks = _convert(reader, sample_rate)
        self._queue = SampleQueue((2,))
        self._n_missing = 0

    @classmethod
    def open(cls, path: Path, sample_rate: int, stack: ExitStack) -> _Source:
        return cls(path, stack.enter_context(open_audio(path)), sample_rate)

    def take(self, n_samples: int) -> Float:
        """The next (2, n_samples)."""
        while len(self._queue) < n_samples:
            try:
                block = next(self._blocks, None)
            except AudioError as error:
                raise error if str(self._path) in str(error) else AudioError(f"{self._path}: {error}") from error
            if block is None:
                n_rest = n_samples - len(self._queue)
                self._n_missing += n_rest
                block = np.zeros((2, n_rest), np.float32)
            elif not np.isfinite(block).all():
                raise AudioError(f"{self._path}: holds samples that are not finite numbers (NaN or infinite)")
            self._queue.push(block)
        return self._queue.pop(n_samples)

    def warnings(self, *, reference: Clip | None = None) -> list[str]:
        """What a person should know of the file when all of the track was taken from it.

        Args:
            reference: Of an estimate: what it was compared with.
        """
        info = self._reader.info
        warnings = list(self._reader.warnings)
        resampled = info.sample_rate != self._sample_rate
        if resampled:
            warnings.append(f"{self._path}: resampled from {info.sample_rate} to {self._sample_rate} Hz")
        if info.n_channels > 2:
            warnings.append(f"{self._path}: has {info.n_channels} channels; the first two are used")
        if reference is not None:
            if (info.n_channels == 1) != (reference.n_channels == 1):
                mono = "mono, and its reference is not" if info.n_channels == 1 else "not mono, and its reference is"
                warnings.append(f"{self._path}: is {mono}; the mono one is used for both channels")
            n_more = len(self._queue) + sum(block.shape[1] for block in self._blocks)
            for n_samples, what, done in ((self._n_missing, "shorter", "padded with zeros"), (n_more, "longer", "cut")):
                if n_samples > resampled:  # resampling may round the length
                    seconds = n_samples / self._sample_rate
                    warnings.append(
                        f"{self._path}: {n_samples} samples ({seconds:.3f} s) {what} than the track: {done}"
                    )
        return warnings


def _convert(reader: AudioReader, sample_rate: int) -> Iterator[Float]:
    """The blocks of a file as (2, n) at another rate."""
    info = reader.info
    resampler = Resampler(info.sample_rate, sample_rate, 2) if info.sample_rate != sample_rate else None
    for block in reader.blocks():
        pair = np.concatenate([block, block]) if block.shape[0] == 1 else block[:2]
        yield pair if resampler is None else resampler.push(pair)
    if resampler is not None:
        yield resampler.push(np.zeros((2, 0), np.float32), last=True)


class _References:
    """The references of a track in blocks, with the mixture where it is needed."""

    def __init__(self, job: Job, scored: Sequence[str], stack: ExitStack) -> None:
        track = job.track
        self.n_samples = track.n_samples
        self._scored = scored
        needs_mixture = job.baselines or job.model is not None
        needs_sum = needs_mixture and track.mixture is None
        needed = track.stems if needs_sum else scored
        self._stems = {stem: _Source.open(track.stems[stem].path, track.sample_rate, stack) for stem in needed}
        self._mixture = (
            _Source.open(track.mixture.path, track.sample_rate, stack)
            if needs_mixture and track.mixture is not None
            else None
        )
        self._adds = needs_sum

    def blocks(self) -> Iterator[tuple[dict[str, Float], Float]]:
        """Stem to (2, n), and the mixture (2, n), zeros where nothing needs it; n is the same for all."""
        for start in range(0, self.n_samples, BLOCK):
            n_block = min(BLOCK, self.n_samples - start)
            stems = {stem: source.take(n_block) for stem, source in self._stems.items()}
            if self._mixture is not None:
                mixture = self._mixture.take(n_block)
            else:
                mixture = np.zeros((2, n_block), np.float32)
                for block in stems.values() if self._adds else ():
                    mixture += block
            yield {stem: stems[stem] for stem in self._scored}, mixture

    def warnings(self) -> list[str]:
        sources = [*self._stems.values(), *([self._mixture] if self._mixture is not None else [])]
        return [warning for source in sources for warning in source.warnings()]


def _read(files: Mapping[str, _Source], references: _References) -> Blocks:
    for stems, mixture in references.blocks():
        yield stems, mixture, {stem: source.take(mixture.shape[1]) for stem, source in files.items()}


def _separate(job: Job, references: _References, stack: ExitStack) -> Blocks:
    assert job.model is not None
    separator = _separator(job.model)
    rate = job.track.sample_rate
    writer = None
    if job.saved:
        info = AudioInfo(sample_rate=rate, n_channels=2, n_samples=references.n_samples, subtype="FLOAT")
        writer = stack.enter_context(StemWriter(job.saved, Encoding(depth="float32"), info))
    waiting: dict[str, SampleQueue] = {}
    mixtures = SampleQueue((2,))

    def feed() -> Iterator[Float]:
        for stems, mixture in references.blocks():
            for stem, block in stems.items():
                waiting.setdefault(stem, SampleQueue((2,))).push(block)
            mixtures.push(mixture)
            yield mixture

    for part in separator.stream(feed(), rate):
        n_part = part[separator.stems[0]].shape[1]
        if not n_part:
            continue
        if writer is not None:
            writer.write(part)
        yield {stem: queue.pop(n_part) for stem, queue in waiting.items()}, mixtures.pop(n_part), part
    if writer is not None:
        with UNBROKEN:
            writer.finish()
