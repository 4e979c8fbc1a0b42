"""The same song in other forms, and what a model makes of it: a table of docs/quality.md.

    python benchmarks/disguises.py SONGS MODEL [--split test] [--limit N] [--start 80] [--seconds 60]

SONGS is a folder that `dttnet data check` reads, MODEL a name or a folder. All stems of an excerpt are changed alike,
so that they still add up to what is separated, and uSDR is against the changed ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dttnet import Separator, evaluate
from dttnet.dataset import STEMS, load_dataset
from dttnet.metrics import usdr

Stems = NDArray[np.float64]
"""(S, 2, N)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("model")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="songs, at most")
    parser.add_argument("--start", type=float, default=80, help="of the excerpt, in seconds")
    parser.add_argument("--seconds", type=float, default=60, help="of each song, at most")
    args = parser.parse_args()
    separator = Separator(args.model)
    rate = separator.transform.sample_rate
    excerpts = []
    for track in evaluate.select_tracks(load_dataset(args.songs), args.split)[: args.limit]:
        n_samples = min(round(args.seconds * rate), track.n_samples)
        start = min(round(args.start * rate), track.n_samples - n_samples)
        excerpts.append(np.stack([track.read(stem, start, n_samples, sample_rate=rate) for stem in STEMS]))
    print("| uSDR, dB | vocals | drums | bass | other | mean |\n|---|---:|---:|---:|---:|---:|")
    for name, change in disguises(rate).items():
        rows = [score(separator, change(stems.astype(np.float64)).astype(np.float32), rate) for stems in excerpts]
        means = np.nanmean(rows, axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in [*means, means.mean()]) + " |", flush=True)


def score(separator: Separator, stems: NDArray[np.float32], rate: int) -> list[float]:
    estimates = separator.separate(stems.sum(0), rate)
    # A silent stem has no SDR.
    return [usdr(stem, estimates[name]) if stem.any() else np.nan for name, stem in zip(STEMS, stems, strict=True)]


def disguises(rate: int) -> dict[str, Callable[[Stems], Stems]]:
    low = {khz: signal.butter(8, 1000 * khz, "lowpass", fs=rate, output="sos") for khz in (16, 8, 4)}
    high = signal.butter(2, 120, "highpass", fs=rate, output="sos")
    return {
        "as it is": lambda stems: stems,
        **{f"{db:+d} dB": lambda stems, db=db: stems * 10 ** (db / 20) for db in (-30, -20, -10, 6, 12)},
        "mono": lambda stems: np.repeat(stems.mean(1, keepdims=True), 2, axis=1),
        "on the left only": lambda stems: stems * np.array([1.0, 0.0])[:, None],
        "sides swapped": lambda stems: stems[:, ::-1],
        "right side inverted": lambda stems: stems * np.array([1.0, -1.0])[:, None],
        **{f"up to {khz} kHz": lambda stems, khz=khz: signal.sosfilt(low[khz], stems) for khz in low},
        "from 120 Hz": lambda stems: signal.sosfilt(high, stems),
        "with hiss at -50 dB": hissing,
        "peaks 9 dB into a limiter": limited,
    }


def hissing(stems: Stems) -> Stems:
    """With white noise that belongs to the last stem."""
    stems = stems.copy()
    stems[-1] += 10 ** (-50 / 20) * np.random.default_rng(0).standard_normal(stems.shape[1:])
    return stems


def limited(stems: Stems) -> Stems:
    """The mixture bent as by a limiter, and each stem by the gain that it gets at every sample."""
    mixture = stems.sum(0)
    driven = mixture * 10 ** (9 / 20) / np.abs(mixture).max()
    gain = np.divide(np.tanh(driven), mixture, out=np.ones_like(mixture), where=np.abs(mixture) > 1e-9)
    return stems * gain


if __name__ == "__main__":
    main()
