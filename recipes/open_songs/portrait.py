"""Statistics and pictures of sets of songs, side by side.

    python recipes/open_songs/portrait.py made=SONGS real=STEMS -o DIR

Each set is a folder of tracks as `dttnet train` reads them (ROOT/train/TRACK/vocals.wav). DIR gets statistics.md,
statistics.png, spectra.png and sheet-1.jpg ... with spectrograms of some songs of each set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from dttnet.dataset import load_dataset
from dttnet.songs.portrait import compare, describe, draw_sheet, draw_spectra, draw_statistics, read_song


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=ROOT")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for table and pictures")
    parser.add_argument("--songs", type=int, default=40, help="most songs of a set that are measured")
    parser.add_argument("--seconds", type=float, default=60, help="of each song, from its middle")
    parser.add_argument("--sheets", type=int, default=2, help="sheets of spectrograms, with 2 songs of each set")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    tracks = {}
    for word in args.sets:
        name, _, root = word.partition("=")
        found = load_dataset(root).tracks
        tracks[name] = [found[k] for k in rng.permutation(len(found))[: args.songs]]
    sets = {
        name: [describe(read_song(track, duration_s=args.seconds)) for track in chosen]
        for name, chosen in tracks.items()
    }
    table = compare(sets)
    (args.out / "statistics.md").write_text(table, encoding="utf-8")
    print(table)
    draw_statistics(sets, args.out / "statistics.png")
    draw_spectra(sets, args.out / "spectra.png")
    for sheet in range(args.sheets):
        songs = [
            (f"{name}, {track.name}", read_song(track, duration_s=args.seconds))
            for name, chosen in tracks.items()
            for track in chosen[2 * sheet : 2 * sheet + 2]
        ]
        draw_sheet(songs, args.out / f"sheet-{sheet + 1}.jpg")


if __name__ == "__main__":
    main()
