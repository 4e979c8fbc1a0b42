"""The ledger of the ladder: a table of scores, and the learning curves of all rungs in one picture.

    python recipes/open_songs/ledger.py WORK -o docs/images/ladder.png

WORK is what the script `ladder` filled. The table goes to standard output, as Markdown.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from dttnet.dataset import STEMS
from dttnet.training.curve import read_metrics

RUNGS = {
    "first": "the recipe of the model `small`",
    "notes": "notes, hits, voices and the album, one after the other",
    "fonts": "+ music played on them and on sound fonts",
    "production": "+ amplifiers and production",
    "structure": "+ song structure",
    "singing": "+ sung voices: the finished set",
}
COLUMNS = (*STEMS, "mean")


def row(name: str, scores: dict[str, float]) -> str:
    return f"| {name} | " + " | ".join(f"{scores[column]:.2f}" for column in COLUMNS) + " |"


def table(work: Path, where: str) -> list[str]:
    """uSDR of each rung that is there, and of the mixture."""
    lines, mixture = [], None
    for rung, name in RUNGS.items():
        path = work / "scores" / f"{rung}-{where}" / "summary.json"
        if path.is_file():
            methods = json.loads(path.read_text())["methods"]
            lines.append(row(name, methods["estimates"]["usdr"]))
            mixture = row("the mixture", methods["mixture"]["usdr"])
    return [*lines, mixture] if mixture else lines


def draw(work: Path, path: Path) -> None:
    """Validation uSDR of each rung over its steps, a panel for each stem."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True).ravel()
    for rung in RUNGS:
        if not (work / "runs" / rung).is_dir():
            continue
        series = read_metrics(work / "runs" / rung)
        names = [*(f"val/usdr_{stem}" for stem in STEMS), "val/usdr", "train/loss"]
        for panel, name in zip(panels, names, strict=True):
            if series.get(name):
                panel.plot(*zip(*series[name], strict=True), marker="." if name != "train/loss" else "", label=rung)
    for panel, title in zip(panels, (*COLUMNS, "training loss (on its own songs)"), strict=True):
        panel.set_title(title)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("validation uSDR in dB")
    panels[3].set_ylabel("validation uSDR in dB")
    panels[0].legend()
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True, help="picture of the learning curves")
    args = parser.parse_args()
    for where, title in (("test", "Test song"), ("unseen", "Validation songs")):
        print(f"{title}, uSDR in dB:\n\n| | " + " | ".join(COLUMNS) + " |\n|---" + "|---:" * len(COLUMNS) + "|")
        print("\n".join(table(args.work, where)) + "\n")
    draw(args.work, args.out)


if __name__ == "__main__":
    main()
