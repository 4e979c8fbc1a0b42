"""What complex patterns do to models: scores of each test set, and how much of the clips goes to the wrong stem.

Sets are those of `dttnet.patterns`. Shapes: C channels (2), N samples.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dttnet import store
from dttnet.audio import read_excerpt
from dttnet.dataset import Track, load_dataset
from dttnet.errors import AudioError, MissingExtraError
from dttnet.evaluate import Job, ModelSettings, plan_model, run
from dttnet.patterns import UNTOUCHED, read_clip, read_manifest
from dttnet.scores import ESTIMATES, Summary, write_text

Float = NDArray[np.float32]

METRICS = {"csdr_pooled": "cSDR, pooled", "usdr": "uSDR"}


@dataclass(frozen=True, kw_only=True)
class Leak:
    """What the clips of a class change in the estimate of a stem, against the energy of the clips, in dB.

    Attributes:
        is_own: The clips belong to this stem: what counts is then the difference of the change from the clips, so that
            lower is better everywhere.
        inside_db: While clips sound.
        outside_db: In the rest of the songs.
    """

    class_name: str
    stem: str
    is_own: bool
    inside_db: float
    outside_db: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """All about one model."""

    model: str
    sets: Mapping[str, Summary]
    leaks: tuple[Leak, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "sets": {
                name: {
                    metric: {stem: _number(summary.value(metric, ESTIMATES, stem)) for stem in summary.stems}
                    for metric in METRICS
                }
                for name, summary in self.sets.items()
            },
            "leaks": [
                {
                    "class": leak.class_name,
                    "stem": leak.stem,
                    "own": leak.is_own,
                    "inside_db": _number(leak.inside_db),
                    "outside_db": _number(leak.outside_db),
                }
                for leak in self.leaks
            ],
        }


def examine(
    sets: Path,
    settings: ModelSettings,
    out: Path,
    *,
    n_workers: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Separate all sets with a model, or take what an earlier call has left in `out`, and compare.

    Args:
        sets: Folder that `patterns.build` made.
        settings: The model.
        out: Folder of scores and estimates: `out/MODEL/SET`.
        n_workers: Songs at a time.
        progress: Called with each set that is done.

    Raises:
        UsageError: `sets` is no such folder, or the model gives none of its stems.
        AudioError: A song cannot be separated or scored; the message names it.
    """
    manifest = read_manifest(sets)
    stems = tuple(manifest["stems"])
    name = store.find(settings.model).name
    summaries: dict[str, Summary] = {}
    jobs: dict[str, list[Job]] = {}
    for set_name in manifest["sets"]:
        folder = out / name / set_name
        tracks = load_dataset(sets / set_name, stems=stems).tracks
        jobs[set_name] = plan_model(tracks, settings, stems=stems, out=folder, save_to=folder / "estimates")
        outcomes = run(jobs[set_name], n_workers=n_workers)
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if errors:
            raise AudioError("; ".join(errors))
        scores = tuple(outcome.scores for outcome in outcomes if outcome.scores is not None)
        summaries[set_name] = Summary(name=name, stems=stems, tracks=scores)
        progress(f"{name}: {set_name}")
    leaks = []
    for class_name, facts in manifest["classes"].items():
        leaks += _leaks(
            sets, class_name, facts["stem"], manifest["sets"][class_name], jobs[class_name], jobs[UNTOUCHED]
        )
    return Report(model=name, sets=summaries, leaks=tuple(leaks))


def change_energies(
    after: Float, before: Float, clips: Sequence[tuple[int, Float]], *, is_own: bool
) -> tuple[float, float, float]:
    """What clips changed in an estimate: energy inside them, outside them, and of the clips themselves.

    Args:
        after, before: (2, N) estimates of the song with and without clips.
        clips: First sample and (2, n) of each; they do not overlap.
        is_own: The clips are subtracted from the change.
    """
    change = after.astype(np.float64) - before
    is_inside = np.zeros(change.shape[1], bool)
    of_clips = 0.0
    for start, audio in clips:
        is_inside[start : start + audio.shape[1]] = True
        of_clips += float(np.sum(audio.astype(np.float64) ** 2))
        if is_own:
            change[:, start : start + audio.shape[1]] -= audio
    energy = np.sum(change**2, axis=0)
    return float(energy[is_inside].sum()), float(energy[~is_inside].sum()), of_clips


def tables(reports: Sequence[Report]) -> str:
    """Markdown: the paper's table for each stem, and the leaks."""
    first = reports[0]
    lines = []
    stems = [stem for stem in next(iter(first.sets.values())).stems if any(_gives(one, stem) for one in reports)]
    for stem in stems:
        for metric, title in METRICS.items():
            lines += [f"| {stem}, {title}, dB | " + " | ".join(first.sets) + " |", "|---|" + "---:|" * len(first.sets)]
            for one in reports:
                if not _gives(one, stem):
                    continue
                values = [_text(summary.value(metric, ESTIMATES, stem)) for summary in one.sets.values()]
                lines.append(f"| {one.model} | " + " | ".join(values) + " |")
            lines.append("")
    lines += [
        "What clips change in the estimates, in dB of their energy, inside and outside them. In the stem that they "
        "belong to: what is missing of them or added to them. Lower is better.",
        "",
        "| class | model | " + " | ".join(stems) + " |",
        "|---|---|" + "---:|" * len(stems),
    ]
    by_class: dict[str, dict[str, dict[str, Leak]]] = defaultdict(lambda: defaultdict(dict))
    for one in reports:
        for leak in one.leaks:
            by_class[leak.class_name][one.model][leak.stem] = leak
    for class_name, of_models in by_class.items():
        for model, of_stems in of_models.items():
            cells = []
            for stem in stems:
                found = of_stems.get(stem)
                own = " (its own)" if found is not None and found.is_own else ""
                cells.append(f"{_text(found.inside_db)} / {_text(found.outside_db)}{own}" if found is not None else "")
            lines.append(f"| {class_name} | {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(reports: Sequence[Report], stem: str, path: Path) -> None:
    """Picture of one stem: its uSDR in each set, and what each class changes in it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("A picture", "plots") from error
    names = list(reports[0].sets)
    classes = list(dict.fromkeys(leak.class_name for leak in reports[0].leaks))
    figure = Figure(figsize=(10, 7), layout="constrained")
    above, below = figure.subplots(2, 1)
    width = 0.8 / len(reports)
    for number, one in enumerate(reports):
        left = (number - (len(reports) - 1) / 2) * width
        values = [summary.value("usdr", ESTIMATES, stem) for summary in one.sets.values()]
        above.bar(np.arange(len(names)) + left, values, width, label=one.model)
        of_class = {leak.class_name: leak for leak in one.leaks if leak.stem == stem}
        leaks = [of_class[name].inside_db if name in of_class else math.nan for name in classes]
        below.bar(np.arange(len(classes)) + left, leaks, width)
    owned = {leak.class_name for leak in reports[0].leaks if leak.stem == stem and leak.is_own}
    above.set(xticks=range(len(names)), xticklabels=names, ylabel=f"uSDR of {stem}, dB", title="Test sets")
    labels = [f"{name}\n(its own)" if name in owned else name for name in classes]
    below.set(xticks=range(len(classes)), xticklabels=labels, ylabel="dB of the clips' energy")
    below.set_title(f"What clips change in {stem}, inside them (its own: what is wrong with them)")
    for panel in (above, below):
        panel.tick_params("x", labelrotation=25)
    figure.legend(loc="outside right upper")
    figure.savefig(path, dpi=110)


def write(reports: Sequence[Report], out: Path) -> str:
    """Write report.md and report.json; returns the tables."""
    text = tables(reports)
    write_text(out / "report.md", text)
    write_text(out / "report.json", json.dumps([one.to_dict() for one in reports], indent=1) + "\n")
    return text


def _leaks(
    sets: Path,
    class_name: str,
    own: str,
    placements: Mapping[str, Sequence[Mapping[str, Any]]],
    after: Sequence[Job],
    before: Sequence[Job],
) -> list[Leak]:
    """Of one class, over all songs together."""
    totals: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(3))
    for with_clips, without in zip(after, before, strict=True):
        clips = _clips(sets, with_clips.track, placements[with_clips.track.name])
        for stem, path in with_clips.saved.items():
            totals[stem] += change_energies(
                read_excerpt(path), read_excerpt(without.saved[stem]), clips, is_own=stem == own
            )
    return [
        Leak(
            class_name=class_name,
            stem=stem,
            is_own=stem == own,
            inside_db=_db(inside, of_clips),
            outside_db=_db(outside, of_clips),
        )
        for stem, (inside, outside, of_clips) in totals.items()
    ]


def _clips(sets: Path, track: Track, placements: Sequence[Mapping[str, Any]]) -> list[tuple[int, Float]]:
    rate = track.sample_rate
    return [
        (round(one["start_s"] * rate), read_clip(sets / one["clip"], rate, is_reversed=one["reversed"]))
        for one in placements
    ]


def _gives(report: Report, stem: str) -> bool:
    return any(summary.of(ESTIMATES, stem) for summary in report.sets.values())


def _db(energy: float, reference: float) -> float:
    return 10 * math.log10(max(energy / reference, 1e-12))


def _text(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
