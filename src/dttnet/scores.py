"""Scores of tracks: kept in files that museval reads too, and summed up beside the numbers of the paper.

Shapes: W windows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dttnet.dataset import MIXTURE, STEMS
from dttnet.errors import MissingExtraError
from dttnet.files import whole_file
from dttnet.metrics import WINDOW_S, Decibels, Scorer, csdr_pooled, csdr_sisec, museval_windows

ESTIMATES, SILENCE, ORACLE = "estimates", "silence", "ideal ratio mask"
BASELINES = (MIXTURE, SILENCE, ORACLE)
"""What is scored: what is to be evaluated, and as baselines the mixture and nothing for every stem, and
`dttnet.oracle.IdealRatioMask`."""

METRICS = {
    "csdr_pooled": "cSDR, pooled: median of all 1 s windows of all tracks",
    "usdr": "uSDR: mean over tracks",
    "csdr_sisec": "cSDR, SiSEC (museval): median over tracks of the median over windows",
    "si_sdr": "SI-SDR: mean over tracks",
}
"""Names and titles, in the order of the tables. All in dB."""

PAPER: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "csdr_pooled": {
        "ResUNetDecouple+": (8.98, 6.62, 6.04, 5.29, 6.73),
        "Hybrid Demucs v3": (8.13, 8.24, 8.76, 5.59, 7.68),
        "HT Demucs": (7.93, 7.94, 8.48, 5.72, 7.52),
        "KUIELab-MDX-Net": (8.97, 7.20, 7.83, 5.90, 7.47),
        "BSRNN": (10.01, 9.01, 7.22, 6.70, 8.24),
        "TFC-TDF UNet v3": (9.59, 8.44, 8.45, 6.86, 8.34),
        "DTTNet": (10.12, 7.74, 7.45, 6.92, 8.06),
        "DTTNet, overlap 50 %": (10.21, 7.82, 7.55, 7.02, 8.15),
    },
    "usdr": {
        "Hybrid Demucs v3": (8.11, 8.87, 7.76, 5.39, 7.53),
        "KUIELab-MDX-Net": (9.05, 7.85, 7.12, 5.78, 7.45),
        "BSRNN": (10.04, 8.92, 6.80, 6.01, 7.94),
        "TFC-TDF UNet v3": (9.34, 8.96, 7.53, 6.32, 8.04),
        "DTTNet": (10.15, 7.54, 6.97, 6.02, 7.67),
        "DTTNet, overlap 50 %": (10.25, 7.61, 7.09, 6.13, 7.77),
    },
}
"""arXiv 2309.08684v2, table 1: MUSDB18-HQ test, 50 tracks, dB: `STEMS`, then their mean."""

_FORMAT = 1
"""Of our part of a track's file. A file with another number is made again."""


def full_name(track: str, split: str) -> str:
    """SPLIT/TRACK, as people are told: several splits may have tracks of one name."""
    return f"{split}/{track}" if split else track


@dataclass(frozen=True, kw_only=True, eq=False)  # arrays do not compare to one truth
class StemScores:
    """One stem of one track, in dB; NaN where a metric is undefined.

    Attributes:
        window_sdr: (W,), NaN where the reference is silent.
        museval_sdr: (W,), NaN where museval has no number.
    """

    usdr: float
    si_sdr: float
    window_sdr: Decibels
    museval_sdr: Decibels

    @property
    def csdr(self) -> float:
        """Median over the windows whose reference is not silent."""
        return csdr_pooled([self.window_sdr])

    @property
    def csdr_sisec(self) -> float:
        """Median over the windows that museval counts."""
        return csdr_sisec([self.museval_sdr])


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackScores:
    """All that was found out about one track.

    Attributes:
        methods: `ESTIMATES`, and the baselines if they were asked for, to stem to scores.
        left_out: Stem to the reason why it has no scores.
        made_with: What the scores depend on, as JSON has it.
        warnings: What a person should know, one sentence each.
    """

    track: str
    split: str
    duration_s: float
    methods: Mapping[str, Mapping[str, StemScores]]
    left_out: Mapping[str, str] = field(default_factory=dict)
    made_with: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return full_name(self.track, self.split)

    def to_json(self) -> str:
        """JSON as museval writes it (its SIR, ISR and SAR are NaN: not computed), and our own part under "dttnet"."""
        return json.dumps(
            {
                "targets": [
                    {"name": stem, "frames": [_museval_frame(i, sdr) for i, sdr in enumerate(scores.museval_sdr)]}
                    for stem, scores in self.methods[ESTIMATES].items()
                ],
                "dttnet": {
                    "format": _FORMAT,
                    "track": self.track,
                    "split": self.split,
                    "duration_s": self.duration_s,
                    "methods": {
                        method: {
                            stem: {
                                "usdr": scores.usdr,
                                "si_sdr": scores.si_sdr,
                                "csdr": scores.csdr,
                                "csdr_sisec": scores.csdr_sisec,
                                "window_sdr": scores.window_sdr.tolist(),
                                "museval_sdr": scores.museval_sdr.tolist(),
                            }
                            for stem, scores in stems.items()
                        }
                        for method, stems in self.methods.items()
                    },
                    "left_out": dict(self.left_out),
                    "made_with": self.made_with,
                    "warnings": self.warnings,
                },
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> TrackScores:
        """Raises ValueError, LookupError or TypeError where the text is not what `to_json` gives."""
        values = json.loads(text)["dttnet"]
        if values["format"] != _FORMAT:
            raise ValueError(f"format {values['format']}")
        return cls(
            track=values["track"],
            split=values["split"],
            duration_s=float(values["duration_s"]),
            methods={
                method: {
                    stem: StemScores(
                        usdr=float(scores["usdr"]),
                        si_sdr=float(scores["si_sdr"]),
                        window_sdr=np.array(scores["window_sdr"], np.float64),
                        museval_sdr=np.array(scores["museval_sdr"], np.float64),
                    )
                    for stem, scores in stems.items()
                }
                for method, stems in values["methods"].items()
            },
            left_out=dict(values["left_out"]),
            made_with=dict(values["made_with"]),
            warnings=tuple(values["warnings"]),
        )


def score_stems(scorers: Mapping[str, Scorer]) -> dict[str, StemScores]:
    """Scores of the stems of one track. The reference of none may be silent throughout."""
    museval = museval_windows(scorers)
    return {
        stem: StemScores(
            usdr=scorer.usdr, si_sdr=scorer.si_sdr, window_sdr=scorer.window_sdr, museval_sdr=museval[stem]
        )
        for stem, scorer in scorers.items()
    }


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Scores of all tracks of one evaluation.

    Attributes:
        name: What was evaluated.
        stems: All that the songs are the sum of.
        failed: `full_name` of a track to what went wrong.
    """

    name: str
    stems: tuple[str, ...]
    tracks: tuple[TrackScores, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that all tracks have: rows over different tracks could not be compared."""
        return tuple(
            method for method in (ESTIMATES, *BASELINES) if all(method in track.methods for track in self.tracks)
        )

    def of(self, method: str, stem: str) -> list[StemScores]:
        """The scores of a stem in the tracks that have them."""
        return [track.methods[method][stem] for track in self.tracks if stem in track.methods.get(method, {})]

    def value(self, metric: str, method: str, stem: str) -> float:
        """One number of the tables in dB, NaN if there is nothing to take it of."""
        scores = self.of(method, stem)
        if metric == "csdr_pooled":
            return csdr_pooled(one.window_sdr for one in scores)
        if metric == "csdr_sisec":
            return csdr_sisec(one.museval_sdr for one in scores)
        return _mean([getattr(one, metric) for one in scores])

    def values(self, metric: str, method: str) -> list[float]:
        """One row of a table: the stems, then their mean, NaN unless all have a number."""
        row = [self.value(metric, method, stem) for stem in self.stems]
        return [*row, float(np.mean(row))]

    def counts(self, method: str, stem: str) -> dict[str, int]:
        """Of what the numbers of a stem are taken: tracks with an estimate, those with an SI-SDR, and windows."""
        scores = self.of(method, stem)
        return {
            "tracks": len(scores),
            "tracks_si_sdr": sum(not math.isnan(one.si_sdr) for one in scores),
            "tracks_csdr_sisec": sum(not math.isnan(one.csdr_sisec) for one in scores),
            "windows": sum(len(one.window_sdr) for one in scores),
            "windows_csdr_pooled": sum(int((~np.isnan(one.window_sdr)).sum()) for one in scores),
            "windows_csdr_sisec": sum(int(np.isfinite(one.museval_sdr).sum()) for one in scores),
        }

    def left_out(self) -> dict[str, list[str]]:
        """ "STEM: REASON" to the tracks it holds for."""
        result: dict[str, list[str]] = {}
        for track in self.tracks:
            for stem, reason in track.left_out.items():
                result.setdefault(f"{stem}: {reason}", []).append(track.full_name)
        return dict(sorted(result.items()))

    def to_json(self) -> str:
        """Everything in strict JSON: undefined numbers are null, infinite ones the string "inf"."""
        result = {
            "name": self.name,
            "stems": self.stems,
            "metrics": METRICS,
            "methods": {
                method: {
                    **{
                        metric: dict(zip((*self.stems, "mean"), self.values(metric, method), strict=True))
                        for metric in METRICS
                    },
                    "counts": {stem: self.counts(method, stem) for stem in self.stems},
                }
                for method in self.methods
            },
            "paper": {
                metric: {name: dict(zip((*STEMS, "mean"), row, strict=True)) for name, row in rows.items()}
                for metric, rows in PAPER.items()
            },
            "left_out": self.left_out(),
            "failed": dict(self.failed),
            "tracks": [
                {
                    "track": track.track,
                    "split": track.split,
                    "duration_s": track.duration_s,
                    "warnings": track.warnings,
                    "methods": {
                        method: {
                            stem: {name: getattr(one, name) for name in ("usdr", "csdr", "csdr_sisec", "si_sdr")}
                            for stem, one in stems.items()
                        }
                        for method, stems in track.methods.items()
                    },
                }
                for track in self.tracks
            ],
        }
        return json.dumps(_strict(result), indent=1, allow_nan=False)

    def to_text(self) -> str:
        """Tables for a terminal."""
        width = max(len(name) for _, rows in self._tables() for name, _ in rows)
        lines = []
        for title, rows in self._tables():
            lines.append(f"{title} (dB)")
            lines.append(" " * (width + 2) + "".join(f"{name:>9}" for name in (*self.stems, "mean")))
            lines += [f"  {name:{width}}" + "".join(f"{_number(value):>9}" for value in row) for name, row in rows]
            lines.append("")
        return "\n".join([*lines, *self._notes()])

    def to_markdown(self) -> str:
        """The same as tables of Markdown."""
        lines = [f"# Evaluation of {self.name}", ""]
        for title, rows in self._tables():
            lines += [f"{title} (dB)", "", "| | " + " | ".join((*self.stems, "mean")) + " |"]
            lines.append("|---|" + "---:|" * (len(self.stems) + 1))
            lines += [f"| {_cell(name)} | " + " | ".join(map(_number, row)) + " |" for name, row in rows]
            lines.append("")
        return "\n".join([*lines, *(f"* {_cell(note)}" for note in self._notes()), ""])

    def _tables(self) -> list[tuple[str, list[tuple[str, list[float]]]]]:
        """Title and rows: what was evaluated, the baselines, the paper."""
        titles = {ESTIMATES: self.name} | {method: f"({method})" for method in BASELINES}
        tables = []
        for metric, title in METRICS.items():
            rows = [(titles[method], self.values(metric, method)) for method in self.methods]
            if self._are_the_papers:
                rows += [(f"paper: {name}", self._paper_row(row)) for name, row in PAPER.get(metric, {}).items()]
            tables.append((title, rows))
        return tables

    @property
    def _are_the_papers(self) -> bool:
        return set(self.stems) <= set(STEMS)

    def _paper_row(self, row: Sequence[float]) -> list[float]:
        """The paper's numbers of our stems, then their mean: the paper's own if these are all."""
        paper = dict(zip(STEMS, row, strict=False))
        values = [paper[stem] for stem in self.stems]
        return [*values, row[-1] if len(values) == len(STEMS) else float(np.mean(values))]

    def _notes(self) -> list[str]:
        """What the numbers are taken of, and what is missing in them."""
        total_s = sum(track.duration_s for track in self.tracks)
        notes = [f"{_count(len(self.tracks), 'track')}, {total_s / 60:.1f} minutes."]
        for stem in self.stems:
            counts = self.counts(ESTIMATES, stem)
            if counts["tracks"]:
                notes.append(
                    f"{stem}: {_count(counts['tracks'], 'track')}; of {_count(counts['windows'], 'window')} "
                    f"{counts['windows_csdr_pooled']} count in pooled cSDR (the others have a silent reference), "
                    f"{counts['windows_csdr_sisec']} in SiSEC cSDR (in the others some source is silent or perfect)."
                )
            for metric, of_metric in (("tracks_csdr_sisec", "SiSEC cSDR"), ("tracks_si_sdr", "SI-SDR")):
                if missing := counts["tracks"] - counts[metric]:
                    notes.append(f"{stem}: {of_metric} is undefined in {_count(missing, 'track')}.")
        notes += [f"Left out: {what}: {_listed(tracks)}." for what, tracks in self.left_out().items()]
        if without := [stem for stem in self.stems if not self.of(ESTIMATES, stem)]:
            notes.append(f"Without scores: {', '.join(without)}.")
        if warned := [track.full_name for track in self.tracks if track.warnings]:
            notes.append(f"With warnings (see summary.json): {_listed(warned)}.")
        if self.failed:
            notes.append(f"Failed, and not in these numbers: {_listed(list(self.failed))}.")
        if self._are_the_papers:
            notes.append("The paper's rows are of the 50 test tracks of MUSDB18-HQ: compare them with these only.")
        return notes


def draw(summary: Summary, path: Path) -> None:
    """Write a PNG with the distribution of uSDR and cSDR over the tracks, per stem.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(f"Drawing {path.name}", "plots") from error

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # not by way of pyplot, which has state and may want a display
    panels = figure.subplots(1, 2, sharey=True)
    rng = np.random.default_rng(0)
    for panel, metric, title in zip(panels, ("usdr", "csdr"), ("uSDR", "cSDR (median of 1 s windows)"), strict=True):
        for place, stem in enumerate(summary.stems):
            values = np.array([getattr(one, metric) for one in summary.of(ESTIMATES, stem)])
            values = values[np.isfinite(values)]
            if len(values):
                panel.boxplot(
                    values,
                    positions=[place],
                    widths=0.5,
                    showfliers=False,
                    manage_ticks=False,
                    medianprops={"color": "black", "linewidth": 2},
                )
                panel.plot(place + rng.uniform(-0.15, 0.15, len(values)), values, "o", markersize=3, alpha=0.5)
        panel.set_xticks(range(len(summary.stems)), summary.stems)
        panel.set_xlim(-0.6, len(summary.stems) - 0.4)
        panel.set_title(title)
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("dB")
    figure.suptitle(f"{summary.name}: {_count(len(summary.tracks), 'track')}, a dot each")
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def write_text(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all; its folder is made."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # names may hold bytes that are no text


def _museval_frame(index: int, sdr: float) -> dict[str, Any]:
    """museval has NaN in the place of what is infinite."""
    metrics = {"SDR": float(sdr) if math.isfinite(sdr) else math.nan, "SIR": math.nan, "ISR": math.nan, "SAR": math.nan}
    return {"time": index * WINDOW_S, "duration": WINDOW_S, "metrics": metrics}


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def _strict(value: Any) -> Any:
    """Numbers that JSON does not have replaced, all the way down."""
    if isinstance(value, Mapping):
        return {key: _strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _listed(names: Sequence[str]) -> str:
    return f"{_count(len(names), 'track')} ({'; '.join(names[:5])}{'; ...' if len(names) > 5 else ''})"
