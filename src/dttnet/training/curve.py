"""The learning curve of a run: loss and validation scores over its steps, whatever number of starts it took."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

from dttnet.files import whole_file

LOGS = "logs"
CURVE = "curve.png"
_START = "from_step_"


def folder_of_start(first_step: int) -> str:
    """Name of the folder in `logs` for what is logged from this step on."""
    return f"{_START}{first_step}"


def read_metrics(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Name to (steps done, value), in the order of the steps.

    What a start logged beyond the step that the next one began at was lost with it, and is left out.
    """
    starts = sorted((int(path.name.removeprefix(_START)), path) for path in (run / LOGS).glob(f"{_START}*"))
    ends = [first_step for first_step, _ in starts[1:]] + [None]
    series: dict[str, list[tuple[int, float]]] = {}
    for (_, folder), end in zip(starts, ends, strict=True):
        path = folder / "metrics.csv"
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(float(row["step"]))
                if end is not None and step > end:
                    break
                for name, value in row.items():
                    if name not in ("step", "epoch") and value:
                        series.setdefault(name, []).append((step, float(value)))
    return series


def draw_curve(run: Path) -> Path | None:
    """Write `curve.png` into the folder of a run; None if nothing was logged yet."""
    series = read_metrics(run)
    if "train/loss" not in series:
        return None
    figure = Figure(figsize=(8, 6), layout="constrained")
    loss, score = figure.subplots(2, 1, sharex=True)
    loss.plot(*zip(*series["train/loss"], strict=True), linewidth=0.8)
    loss.set_ylabel("training loss")
    for name, points in series.items():
        if name.startswith("val/usdr"):
            label = name.removeprefix("val/usdr").removeprefix("_") or "mean"
            score.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
    score.set_ylabel("validation uSDR in dB")
    score.set_xlabel("steps")
    for axes in (loss, score):
        axes.grid(alpha=0.3)
    if score.lines:
        score.legend()
    path = run / CURVE
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=100)
    return path
