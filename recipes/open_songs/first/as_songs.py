"""The pools of the first recipe as songs, so that the yardstick of recipes/open_songs can be trained on them.

    python recipes/open_songs/first/render.py SOURCES POOLS --without-held-out
    python recipes/open_songs/first/as_songs.py POOLS WORK/songs/first --songs 320

Each song is a minute of unrelated stems, drawn and levelled as the package's first model heard them in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 44100
STEMS = ("vocals", "drums", "bass", "other")
# Level of a stem in dB of full scale (RMS), before the spread below: a typical pop balance.
LEVEL_DB = {"vocals": -20.0, "drums": -20.0, "bass": -20.5, "other": -20.0}
LEVEL_SPREAD_DB = 4.5
# How often each kind of pool is drawn, within its stem; pools of less than a quarter of an hour less often.
POOL_WEIGHTS = {"album": 1.0, "notes": 0.8, "hits": 1.0, "soundfont": 1.0, "sung": 1.0, "speech": 0.5}


class Pools:
    """Pre-rendered audio of each stem, (N, 2) int16 at 44.1 kHz, and how often each is drawn."""

    def __init__(self, root: Path) -> None:
        self.pools: dict[str, list[NDArray[np.int16]]] = {stem: [] for stem in STEMS}
        self.weights: dict[str, list[float]] = {stem: [] for stem in STEMS}
        for path in sorted(root.glob("*.npy")):
            stem, kind = path.stem.split("-", 1)
            pool = np.load(path, mmap_mode="r")
            self.pools[stem].append(pool)
            self.weights[stem].append(POOL_WEIGHTS[kind] * min(1.0, len(pool) / (15 * 60 * RATE)))


def stem_of(pools: Pools, stem: str, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) float32 from one of the stem's pools, as loud as stems are."""
    weights = np.array(pools.weights[stem])
    pool = pools.pools[stem][rng.choice(len(weights), p=weights / weights.sum())]
    start = rng.integers(0, max(1, len(pool) - n_samples))
    x = pool[start : start + n_samples].astype(np.float32) / 32768
    x = np.pad(x, ((0, n_samples - len(x)), (0, 0)))
    seconds = np.sqrt((x[: n_samples // RATE * RATE].reshape(-1, RATE * 2) ** 2).mean(axis=1))
    sounding = seconds[seconds > 1e-4]
    if not len(sounding):
        return x
    level_db = LEVEL_DB[stem] + rng.normal(0, LEVEL_SPREAD_DB)
    return x * min(10 ** (level_db / 20) / float(np.sqrt((sounding**2).mean())), 0.98 / float(np.abs(x).max()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--songs", type=int, default=320)
    parser.add_argument("--seconds", type=float, default=61)
    args = parser.parse_args()
    pools = Pools(args.pools)
    for index in range(args.songs):
        rng = np.random.default_rng((0, index))
        folder = args.out / "train" / f"{index:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        for stem in STEMS:
            x = stem_of(pools, stem, round(args.seconds * RATE), rng)
            soundfile.write(folder / f"{stem}.flac", x, RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
