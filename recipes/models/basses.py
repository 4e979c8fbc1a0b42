"""Made songs by their basses, as folders of links: so that what few songs have is heard in more of the examples.

    python recipes/models/basses.py SONGS... --deep OUT --growling OUT

SONGS are folders of `dttnet data build-open`. Deep are those below 120 Hz with short notes, which separators take for
kicks; growling are those with much of their energy above 250 Hz, which they take for other instruments.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dttnet.audio import read_excerpt
from dttnet.songs.signals import RATE

_HOP = RATE // 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", nargs="+", type=Path, metavar="SONGS")
    parser.add_argument("--deep", type=Path, required=True, metavar="OUT")
    parser.add_argument("--growling", type=Path, required=True, metavar="OUT")
    args = parser.parse_args()
    for songs in args.songs:
        for notes in sorted(songs.glob("train/*/song.json")):
            bass = notes.with_name("bass.flac")
            if json.loads(notes.read_text(encoding="utf-8"))["kind"] != "made" or not bass.is_file():
                continue
            middle = read_excerpt(bass).mean(0, dtype=np.float64)
            below_120_hz, above_250_hz = shares(middle)
            is_deep = below_120_hz >= 0.9 and above_250_hz <= 0.05 and median_note_s(middle) < 0.4
            # What has hardly anything below 250 Hz is no bass that bands know.
            is_growling = 0.22 < above_250_hz < 0.7
            for is_one, out in ((is_deep, args.deep), (is_growling, args.growling)):
                if is_one:
                    link = out / "train" / f"{songs.name}_{notes.parent.name}"
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(notes.parent.resolve(), target_is_directory=True)
                    print(link)


def shares(bass: NDArray[np.float64]) -> tuple[float, float]:
    """Of the energy of (N,), what lies below 120 Hz, and from 250 Hz on."""
    hz, power = signal.welch(bass, RATE, nperseg=16384)
    total = max(power.sum(), 1e-30)
    return float(power[hz < 120].sum() / total), float(power[hz >= 250].sum() / total)


def median_note_s(bass: NDArray[np.float64]) -> float:
    """How long (N,) sounds without a gap, where that is more than 30 ms; infinite where it never does."""
    # Around each hop, where `envelope` has it from hop to hop: so the shipped models' songs were chosen, one by a hop.
    level = np.sqrt(signal.fftconvolve(bass**2, np.ones(_HOP) / _HOP, "same").clip(0))[::_HOP]
    sounds = level > 0.1 * np.percentile(level, 98)
    n_hops = [sum(1 for _ in stretch) for is_on, stretch in itertools.groupby(sounds) if is_on]
    longer = [n for n in n_hops if n > 3]
    return float(np.median(longer)) * _HOP / RATE if longer else np.inf


if __name__ == "__main__":
    main()
