"""The pools of the first recipe as songs, so that the yardstick of recipes/open_songs can be trained on them.

    python recipes/first_model/render.py SOURCES POOLS --without-held-out
    python recipes/first_model/as_songs.py POOLS WORK/songs/first --songs 240

Each song is a minute of unrelated stems, drawn and levelled as train.py does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from train import LEVEL_DB, LEVEL_SPREAD_DB, STEMS, Pools

RATE = 44100


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
    parser.add_argument("--songs", type=int, default=240)
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
