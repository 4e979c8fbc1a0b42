"""A ledger of trainings: a table of what they came to, and their learning curves in one picture.

    python recipes/ledger.py WORK NAME... -o docs/images/ladder.png

WORK is what the script `train_and_score` filled with these names. Tables go to standard output, as Markdown.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from dttnet import store
from dttnet.dataset import STEMS
from dttnet.runtime.onnx import read_card
from dttnet.training.curve import read_metrics
from dttnet.training.experiment import read_experiment

COLUMNS = (*STEMS, "mean")
SCORED = {"test": "Test song", "unseen": "Validation songs"}


def costs(work: Path, names: list[str]) -> list[str]:
    """What each network is and how long it learned."""
    lines = ["| | | GMAC/s | parameters | steps | loss at the end |", "|---|---|---:|---:|---:|---:|"]
    for name in names:
        (file,) = store.find(str(work / "models" / name)).files
        card = read_card(file)
        config = work / "runs" / name / "config.yaml"
        description = read_experiment(config.read_text(encoding="utf-8"), str(config)).description
        step, loss = read_metrics(work / "runs" / name)["train/loss"][-1]
        lines.append(
            f"| {name} | {description} | {card.gmac_per_second:.2f} | {card.n_parameters / 1e6:.2f} M "
            f"| {step} | {loss:.4f} |"
        )
    return lines


def scores(work: Path, names: list[str], where: str) -> list[str]:
    """uSDR of each name."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
    for name in names:
        summary = json.loads((work / "scores" / f"{name}-{where}" / "summary.json").read_text(encoding="utf-8"))
        values = summary["methods"]["estimates"]["usdr"]
        lines.append(f"| {name} | " + " | ".join(f"{values[column]:.2f}" for column in COLUMNS) + " |")
    return lines


def draw(work: Path, names: list[str], path: Path) -> None:
    """Validation uSDR over the steps, a panel for each stem, and the training loss."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True).ravel()
    metrics = [*(f"val/usdr_{stem}" for stem in STEMS), "val/usdr", "train/loss"]
    for name in names:
        series = read_metrics(work / "runs" / name)
        for panel, metric in zip(panels, metrics, strict=True):
            if series.get(metric):
                panel.plot(*zip(*series[metric], strict=True), marker="." if metric != "train/loss" else "", label=name)
    for panel, title in zip(panels, (*COLUMNS, "training loss (on its own songs)"), strict=True):
        panel.set_title(title)
        panel.grid(alpha=0.3)
    for panel in panels[::3]:
        panel.set_ylabel("validation uSDR in dB")
    panels[0].legend()
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("-o", "--out", type=Path, required=True, help="picture of the learning curves")
    args = parser.parse_args()
    print("\n".join(costs(args.work, args.names)))
    for where, title in SCORED.items():
        print("\n".join(["", f"{title}, uSDR in dB:", "", *scores(args.work, args.names, where)]))
    draw(args.work, args.names, args.out)


if __name__ == "__main__":
    main()
