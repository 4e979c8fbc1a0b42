"""Spectrograms of a set of clips: a row for each class, some clips beside each other.

    python recipes/patterns/sheet.py CLIPS -o docs/images/patterns_clips.jpg

CLIPS is a folder of recordings for each class, such as `dttnet patterns clips` makes. Of each class the first clips are
drawn, in the order of their names: sounds as high as ears space them, from 50 Hz to 16 kHz, over LONGEST seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage, signal

from dttnet.audio import AUDIO_SUFFIXES, read_excerpt, read_info

LONGEST = 6.0
LOW_HZ, HIGH_HZ = 50.0, 16_000.0


def draw_sheet(clips: Path, path: Path, *, n_clips: int) -> None:
    """Write the picture."""
    folders = sorted(folder for folder in clips.iterdir() if folder.is_dir())
    figure = Figure(figsize=(1.75 * n_clips, 0.95 * len(folders)))
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(folders), n_clips, squeeze=False)
    figure.subplots_adjust(left=0.1, right=0.995, bottom=0.025, top=0.995, wspace=0.04, hspace=0.08)
    for row, folder in zip(panels, folders, strict=True):
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
        for panel, file in zip(row, files[:n_clips], strict=False):
            draw_spectrogram(panel, file)
        for panel in row:
            panel.set_xticks([])
            panel.set_yticks([])
        row[0].set_yticks(np.log2([100, 1000, 10_000]), ["100", "1k", "10k"], fontsize=6)
        row[0].set_ylabel(folder.name, fontsize=8)
    for panel in panels[-1]:
        panel.set_xticks([0, 2, 4, 6], ["0 s", "2", "4", "6"], fontsize=6)
    figure.savefig(path, dpi=90, pil_kwargs={"quality": 60})


def draw_spectrogram(panel: Any, file: Path) -> None:
    """Of the sum of the channels, 70 dB below the loudest moment."""
    rate = read_info(file).sample_rate
    x = read_excerpt(file, n_samples=round(LONGEST * rate)).mean(axis=0)
    _, times_s, power = signal.spectrogram(x, rate, "hann", nperseg=2048, noverlap=1536, scaling="spectrum")
    octaves = np.linspace(np.log2(LOW_HZ), np.log2(HIGH_HZ), 160)
    at = 2**octaves / (rate / 2) * (len(power) - 1)
    level_db = 10 * np.log10(power + 1e-14)
    level_db = ndimage.map_coordinates(
        level_db, np.meshgrid(at, np.arange(len(times_s)), indexing="ij"), order=1, mode="nearest"
    )
    highest = float(level_db.max())
    panel.imshow(
        level_db, origin="lower", aspect="auto", vmin=highest - 70, vmax=highest, cmap="magma",
        extent=(0, len(x) / rate, octaves[0], octaves[-1]),
    )  # fmt: skip  # many settings, few lines
    panel.set_xlim(0, LONGEST)
    panel.set_facecolor("black")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True, help="a JPEG")
    parser.add_argument("--clips-each", type=int, default=7, help="of each class")
    args = parser.parse_args()
    draw_sheet(args.clips, args.out, n_clips=args.clips_each)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
