"""How the estimates of a model are best made to add up to the song: uSDR of each way, per stem.

    python benchmarks/combining.py SONGS [--model NAME] [--split test]

SONGS is a folder that `dttnet data check` reads. The ways differ in who gets what the estimates together lack of the
mixture. Printed is a Markdown table: the mean over all tracks, in dB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from dttnet import Separator, consistency, store
from dttnet.dataset import STEMS, Track, load_dataset
from dttnet.metrics import usdr

Float = NDArray[np.float32]
Way = Callable[[Sequence[Float], Float], list[Float]]
"""Like `consistency.missing_shares`: estimates (B, 2C, T, F) of each stem and the mixture, to what each gets."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default=store.DEFAULT_MODEL)
    args = parser.parse_args()
    separator = Separator(args.model)
    tracks = [track for track in load_dataset(args.songs).tracks if track.split == args.split]
    print("| what is missing becomes | " + " | ".join(separator.stems) + " | mean |")
    print("|---|" + "---:|" * (len(separator.stems) + 1))
    for name, way in ways(separator.stems).items():
        with patch("dttnet.separator.missing_shares", way):
            scores = np.nanmean([score(separator, track) for track in tracks], axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in (*scores, scores.mean())) + " |", flush=True)


def ways(stems: tuple[str, ...]) -> dict[str, Way]:
    """By name."""

    def weighted(weigh: Callable[[Sequence[Float]], list[Float]]) -> Way:
        def way(estimates: Sequence[Float], mixture: Float) -> list[Float]:
            missing = mixture - sum(estimates)
            weights = weigh(estimates)
            total = sum(weights)
            return [weight / total * missing for weight in weights]

        return way

    def energies(estimates: Sequence[Float]) -> list[Float]:
        return [energy(estimate) for estimate in estimates]

    return {
        "every stem's, in equal shares": consistency.missing_shares,
        "other's": weighted(lambda _: [np.float32(stem == "other") for stem in stems]),
        "every stem's, by its magnitude": weighted(lambda estimates: [np.sqrt(one) for one in energies(estimates)]),
        "every stem's, by its energy": weighted(energies),
        "nobody's (but other's, in the end)": lambda estimates, _: [np.zeros_like(one) for one in estimates],
    }


def energy(estimate: Float) -> Float:
    """(B, 2C, T, F), the same for the real and the imaginary part of a bin."""
    parts = estimate.reshape(len(estimate), -1, 2, *estimate.shape[2:])
    both = np.square(parts).sum(axis=2, keepdims=True).repeat(2, axis=2)
    return both.reshape(estimate.shape) + np.float32(1e-12)


def score(separator: Separator, track: Track) -> list[float]:
    rate = track.sample_rate
    audio = {stem: track.read(stem, 0, track.n_samples, sample_rate=rate) for stem in (*STEMS, "mixture")}
    estimates = separator.separate(audio["mixture"], rate)
    return [usdr(audio[stem], estimates[stem]) if audio[stem].any() else float("nan") for stem in separator.stems]


if __name__ == "__main__":
    main()
