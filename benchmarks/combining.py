"""How the estimates of a model of vocals, drums, bass and other are best combined: the tables of docs/quality.md.

    python benchmarks/combining.py SONGS MODEL [--split test] [--limit N]

SONGS is a folder that `dttnet data check` reads, MODEL a name or a folder; it should hear the whole spectrum. Two
questions, answered in uSDR: who gets what the bare estimates lack of the mixture, and, if a network heard nothing above
14.7 kHz (2048 bins of 6144, as in arXiv 2309.08684, section 4.1), who should get what is there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dttnet import Separator, evaluate
from dttnet.config import Transform
from dttnet.consistency import treble_shares, upper_end
from dttnet.dataset import STEMS, load_dataset
from dttnet.stft import istft, pack, stft

Float = NDArray[np.float32]

N_FFT, HOP = 6144, 1024
WHOLE = Transform(n_fft=N_FFT, hop=HOP, n_bins=N_FFT // 2 + 1)
N_BINS = 2048
BLOCK_S = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("model")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="songs, at most")
    args = parser.parse_args()
    separator = Separator(args.model, adds_up=False)
    scores: defaultdict[str, list[Float]] = defaultdict(list)
    for track in evaluate.select_tracks(load_dataset(args.songs), args.split)[: args.limit]:
        rate = separator.transform.sample_rate
        truth = np.stack([track.read(stem, 0, track.n_samples, sample_rate=rate) for stem in STEMS])
        bare = np.stack([*separator.separate(truth.sum(0), rate).values()])
        errors: defaultdict[str, Float] = defaultdict(lambda: np.zeros(len(STEMS)))
        for block_truth, block_bare in zip(blocks(truth, rate), blocks(bare, rate), strict=True):
            for name, estimates in combined(block_bare, block_truth.sum(0)):
                errors[name] += np.square(estimates - inner(block_truth)).sum((1, 2))
        energy = np.square(truth, dtype=np.float64).sum((1, 2))
        for name, error in errors.items():
            # A silent stem has no SDR.
            scores[name].append(np.where(energy > 0, 10 * np.log10(np.maximum(energy, 1e-9) / error), np.nan))
    print("| uSDR, dB | vocals | drums | bass | other | mean |\n|---|---:|---:|---:|---:|---:|")
    for name, rows in scores.items():
        means = np.nanmean(rows, axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in [*means, means.mean()]) + " |")


def blocks(audio: Float, rate: int) -> Iterator[Float]:
    """(..., N) -> blocks with a window more on both sides; what `inner` leaves of them is all of it, and silence."""
    core = -(-BLOCK_S * rate // HOP) * HOP
    n_samples = audio.shape[-1]
    n_blocks = -(-n_samples // core)
    around = [(0, 0)] * (audio.ndim - 1) + [(N_FFT, n_blocks * core - n_samples + N_FFT)]
    padded = np.pad(audio, around)
    for start in range(0, n_blocks * core, core):
        yield padded[..., start : start + core + 2 * N_FFT]


def inner(block: Float) -> Float:
    return block[..., N_FFT:-N_FFT]


def combined(bare: Float, mixture: Float) -> Iterator[tuple[str, Float]]:
    """(name, estimates (S, 2, N)) of all ways, for one block."""
    spectra, whole = stft(bare, WHOLE), stft(mixture, WHOLE)
    missing = whole - spectra.sum(0)
    sizes = np.abs(spectra)

    def back(made: NDArray[np.complex64]) -> Float:
        half = N_FFT // 2
        return istft(made.astype(np.complex64), WHOLE)[..., half:-half]

    def weights(*shares: float) -> Float:
        return np.array(shares, np.float32).reshape(len(STEMS), 1, 1, 1)

    yield "as they are", back(spectra)
    equal = spectra + missing / len(STEMS)
    yield "what is missing: equal shares", back(equal)
    yield '"other" has it', back(spectra + missing * weights(0, 0, 0, 1))
    yield "in proportion to the estimates' magnitudes", back(spectra + missing * sizes / (sizes.sum(0) + 1e-9))
    yield "the mixture times each magnitude's share of all", back(whole * sizes / (sizes.sum(0) + 1e-9))

    def topped(treble: NDArray[np.complex64]) -> Float:
        return back(np.concatenate([equal[..., :N_BINS], treble], axis=-1))

    treble = whole[..., N_BINS:]
    yield "treble: the network's own", topped(equal[..., N_BINS:])
    yield "nobody has it", topped(treble * weights(0, 0, 0, 0))
    yield '"other" has all of it', topped(treble * weights(0, 0, 0, 1))
    yield "drums have all of it", topped(treble * weights(0, 1, 0, 0))
    yield "equal shares of it", topped(treble * weights(0.25, 0.25, 0.25, 0.25))
    end = upper_end(N_BINS)
    estimates = list(pack(equal[..., end])[:, np.newaxis])
    shares = treble_shares(estimates, pack(whole[np.newaxis, ..., end]), treble[np.newaxis])
    yield "shares of the energy below it", topped(treble * np.concatenate(shares))


if __name__ == "__main__":
    main()
