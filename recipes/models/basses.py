"""Made songs by their basses, as folders of links: so that what few songs have is heard in more of the examples.

    python recipes/models/basses.py SONGS... --deep OUT --growling OUT

SONGS are folders of `dttnet data build-open`. Deep are those below 120 Hz with short notes, which separators take for
kicks; growling are those with much of their energy above 250 Hz, which they take for other instruments.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dttnet.audio import read_excerpt
from dttnet.songs.signals import RATE

_FRAME = RATE // 100


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
            x = read_excerpt(bass).mean(0, dtype=np.float64)
            for is_one, out in ((is_deep, args.deep), (is_growling, args.growling)):
                if is_one(x):
                    link = out / "train" / f"{songs.name}_{notes.parent.name}"
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(notes.parent.resolve(), target_is_directory=True)
                    print(link)


def is_deep(bass: NDArray[np.float64]) -> bool:
    """Of (N,) samples at 44.1 kHz."""
    return share(bass, 0, 120) >= 0.9 and share(bass, 250, RATE) <= 0.05 and median_note_s(bass) < 0.4


def is_growling(bass: NDArray[np.float64]) -> bool:
    """Of (N,) samples at 44.1 kHz. What has hardly anything below 250 Hz is left out: no bass that bands know."""
    return 0.22 < share(bass, 250, RATE) < 0.7


def share(bass: NDArray[np.float64], low_hz: float, high_hz: float) -> float:
    """Of the energy, what lies from one frequency to another."""
    hz, power = signal.welch(bass, RATE, nperseg=16384)
    return float(power[(hz >= low_hz) & (hz < high_hz)].sum() / max(power.sum(), 1e-30))


def median_note_s(bass: NDArray[np.float64]) -> float:
    """How long it sounds without a gap, where that is more than 30 ms; infinite where it never does."""
    level = np.sqrt(signal.fftconvolve(bass**2, np.ones(_FRAME) / _FRAME, "same").clip(0))[::_FRAME]
    sounds = level > 0.1 * np.percentile(level, 98)
    edges = np.flatnonzero(np.diff(sounds.astype(int), prepend=0, append=0))
    lengths_s = (edges[1::2] - edges[::2]) * _FRAME / RATE
    longer = lengths_s[lengths_s > 0.03]
    return float(np.median(longer)) if longer.size else np.inf


if __name__ == "__main__":
    main()
