"""Bring the album "everything is free" (Software-Entwicklungskit, CC0 1.0) into the layout of MUSDB18-HQ.

python recipes/everything_is_free/prepare.py SOURCE OUT

SOURCE has train/SONG/STEM.ogg and test/SONG/STEM.ogg; a stem that a song lacks becomes a silent file. OUT gets
train|valid|test/SONG/{mixture,vocals,drums,bass,other}.wav, 16 bits, all files of a song as long as its longest. The
mixture is the sum of the stems as written, so they add up exactly.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from dttnet.dataset import MIXTURE, STEMS, Track, load_dataset

BLOCK = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--valid", default="lithium", help="Training song that goes to valid/ (default: %(default)s).")
    arguments = parser.parse_args()
    tracks = load_dataset(arguments.source).tracks
    names = {track.name for track in tracks if track.split == "train"}
    if arguments.valid not in names:
        sys.exit(f"--valid {arguments.valid}: no training song is called so ({', '.join(sorted(names))})")
    for track in tqdm(tracks, unit="song"):
        split = "valid" if track.name == arguments.valid else track.split
        write_track(track, arguments.out / split / track.name)


def write_track(track: Track, folder: Path) -> None:
    if folder.exists():
        sys.exit(f"{folder}: is there already; remove it, or give another OUT")
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    gain = find_gain(track)
    files = {
        name: soundfile.SoundFile(partial / f"{name}.wav", "w", track.sample_rate, 2, "PCM_16")
        for name in (*STEMS, MIXTURE)
    }
    for start in range(0, track.n_samples, BLOCK):
        n_samples = min(BLOCK, track.n_samples - start)
        total = np.zeros((n_samples, 2), np.int32)
        for stem in STEMS:
            rounded = np.rint(track.read(stem, start, n_samples).T * (gain * 32768)).astype(np.int32)
            total += rounded
            files[stem].write(rounded.astype(np.int16))
        files[MIXTURE].write(total.astype(np.int16))
    for file in files.values():
        file.close()
    partial.rename(folder)


def find_gain(track: Track) -> float:
    """1, or what keeps the loudest sample of stems and mixture inside 16 bits."""
    peak = 0.0
    for start in range(0, track.n_samples, BLOCK):
        n_samples = min(BLOCK, track.n_samples - start)
        blocks = [track.read(stem, start, n_samples) for stem in STEMS]
        peak = max(peak, *(float(np.abs(block).max()) for block in (*blocks, sum(blocks))))
    return min(1.0, 32760 / 32768 / peak)


if __name__ == "__main__":
    main()
