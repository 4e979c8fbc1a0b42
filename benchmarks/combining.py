"""How the estimates of a model of vocals, drums, bass and other are best combined: the tables of docs/quality.md.

    python benchmarks/combining.py SONGS MODEL [--split test] [--limit N]

SONGS is a folder that `dttnet data check` reads, MODEL a name or a folder; it should hear the whole spectrum. Three
questions, answered in uSDR: who gets what the bare estimates lack of the mixture; what a Wiener filter brings that
knows where the stems are in 20 s, and what ours does, which knows the past; and, if a network heard nothing above
14.7 kHz (2048 bins of 6144, as in arXiv 2309.08684, section 4.1), who should get what is there.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dttnet import Separator, evaluate
from dttnet.chunks import Chunker, ChunkPlan
from dttnet.config import Transform
from dttnet.consistency import treble_shares, upper_end
from dttnet.dataset import STEMS, Track, load_dataset
from dttnet.metrics import Scorer
from dttnet.stft import istft, pack, stft, unpack
from dttnet.wiener import spatial_covariances, wiener_filter

Float = NDArray[np.float32]

N_FFT, HOP = 6144, 1024
WHOLE = Transform(n_fft=N_FFT, hop=HOP, n_bins=N_FFT // 2 + 1)
N_BINS = 2048
PLAN = ChunkPlan(n_fft=N_FFT, hop=HOP, n_frames=868, overlap=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("model")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="songs, at most")
    args = parser.parse_args()
    bare, ours = Separator(args.model, adds_up=False), Separator(args.model)
    scores: defaultdict[str, list[list[float]]] = defaultdict(list)
    for track in evaluate.select_tracks(load_dataset(args.songs), args.split)[: args.limit]:
        for name, scorers in scored(track, bare, ours).items():
            # A silent stem has no SDR.
            scores[name].append([np.nan if scorer.reference_is_silent else scorer.usdr for scorer in scorers])
    print("| uSDR, dB | vocals | drums | bass | other | mean |\n|---|---:|---:|---:|---:|---:|")
    for name, rows in scores.items():
        means = np.nanmean(rows, axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in [*means, means.mean()]) + " |")


def scored(track: Track, bare: Separator, ours: Separator) -> dict[str, list[Scorer]]:
    """The stems' scorers, by the name of each way."""
    rate = bare.transform.sample_rate
    truth = np.stack([track.read(stem, 0, track.n_samples, sample_rate=rate) for stem in STEMS])
    given = [separator.separate(truth.sum(0), rate) for separator in (bare, ours)]
    together = np.stack([truth, *([estimates[stem] for stem in STEMS] for estimates in given)])  # (3, S, 2, N)
    found: defaultdict[str, list[Scorer]] = defaultdict(lambda: [Scorer(window=rate) for _ in STEMS])
    chunker = Chunker(PLAN, together.shape[:-1])
    for _, (references, estimates, final) in itertools.chain(chunker.push(together), chunker.flush()):
        ways = itertools.chain(
            combined(estimates, references.sum(0)),
            [("Wiener filter that knows the song so far", final[..., N_FFT:-N_FFT])],
        )
        for name, made in ways:
            for scorer, reference, estimate in zip(found[name], references, made, strict=True):
                scorer.push(reference[:, N_FFT:-N_FFT], estimate)
    return found


def combined(bare: Float, mixture: Float) -> Iterator[tuple[str, Float]]:
    """(name, estimates (S, 2, core)) of all ways, for one chunk: (S, 2, core + 2 n_fft) and (2, core + 2 n_fft)."""
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

    packed = [pack(one[np.newaxis]) for one in equal]
    filtered = wiener_filter(packed, pack(whole[np.newaxis]), spatial_covariances(packed))
    yield "Wiener filter that knows these 20 s", back(np.concatenate([unpack(one) for one in filtered]))

    def topped(treble: NDArray[np.complex64]) -> Float:
        return back(np.concatenate([equal[..., :N_BINS], treble], axis=-1))

    treble = whole[..., N_BINS:]
    yield "treble: the network's own", topped(equal[..., N_BINS:])
    yield "nobody has it", topped(treble * weights(0, 0, 0, 0))
    yield '"other" has all of it', topped(treble * weights(0, 0, 0, 1))
    yield "drums have all of it", topped(treble * weights(0, 1, 0, 0))
    yield "equal shares of it", topped(treble * weights(0.25, 0.25, 0.25, 0.25))
    end = upper_end(N_BINS)
    shares = treble_shares(
        [one[np.newaxis] for one in equal[..., end]], whole[np.newaxis, ..., end], treble[np.newaxis]
    )
    yield "shares of the energy below it", topped(treble * np.concatenate(shares))


if __name__ == "__main__":
    main()
