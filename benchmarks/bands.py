"""What becomes of recorded bands: the tables of docs/quality.md.

    python benchmarks/bands.py [MODEL ...] --excerpt FILE.stem.mp4 --guitars SONGS [--made MADE]

MODELs are names or folders. The songs they learn from are made: this asks whether they know what real bands sound like.
Both sources may be measured but not trained on: their licences, CC BY-NC-SA and CC BY-SA, would not let everybody use
the weights. Needs the extra `formats`.

FILE is an excerpt of 6 s with all four stems in the order of MUSDB18 (mixture, drums, bass, other, vocals), in the
package `stempeg` on PyPI. SONGS has FOLDER/SONG/guitar.ogg and song.ogg, a guitar and the rest: the Debian packages
`fretsonfire-songs-muldjord` and `fretsonfire-songs-sectoid` put them into /usr/share/games/fretsonfire/data/songs. Most
have another guitar in the rest; where none is, "other" should be the guitar, and has a uSDR.
MADE is a folder of `dttnet data build-open`, whose spectra are put beside theirs.

A share is <estimate, stem> / <stem, stem>: how much of a stem is found in an estimate, as what sounds beside it has
little to do with it. Over the estimates of a mixture, shares add up to about 1.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dttnet import Separator
from dttnet.audio import read_excerpt, read_info
from dttnet.dataset import STEMS, Track, load_dataset
from dttnet.metrics import usdr
from dttnet.oracle import IdealRatioMask

Float = NDArray[np.float32]

OCTAVES_HZ = (0, 60, 120, 250, 500, 1000, 2000, 4000, 8000, 22050)

ONLY_GUITARS = ("mutilated_mime", "Metal madness")
"""Songs whose rest has no other guitar: of it alone `default` gives -18 dB and less to "other", of the rest of the
others -12 dB and more (40 s of each)."""

_ORDER = ("mixture", "drums", "bass", "other", "vocals")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--excerpt", type=Path)
    parser.add_argument("--guitars", type=Path)
    parser.add_argument("--made", type=Path)
    parser.add_argument("--seconds", type=float, default=40, help="of each song with guitars: where they are loudest")
    args = parser.parse_args()
    separators = {name: Separator(name) for name in args.models}
    folders = sorted(path.parent for path in args.guitars.glob("*/*/guitar.ogg")) if args.guitars else []
    if args.excerpt and separators:
        score_excerpt(args.excerpt, separators)
    if folders:
        follow_guitars(folders, separators, args.seconds)
    if args.made:
        compare_octaves(args.excerpt, folders, load_dataset(args.made).tracks)


def compare_octaves(excerpt: Path | None, folders: Sequence[Path], made: Sequence[Track]) -> None:
    """Prints each octave's share of the energy, in dB, and what percentage is above 250 Hz."""
    edges = ", ".join(f"to {hz}" for hz in OCTAVES_HZ[1:-1])
    print(f"\nshare of the energy in octaves ({edges} and above), dB; above 250 Hz, %")
    if excerpt:
        stems, rate = read_stems(excerpt)
        for stem in STEMS:
            print_octaves(f"excerpt: {stem}", [octaves(stems[stem], rate)])
    for folder in folders:
        path = folder / "guitar.ogg"
        print_octaves(f"guitars: {folder.name}", [octaves(read_excerpt(path), read_info(path).sample_rate)])
    for stem in STEMS:
        found = []
        for track in made:
            audio = track.read(stem, 0, track.n_samples, sample_rate=track.sample_rate)
            if audio.any():
                found.append(octaves(audio, track.sample_rate))
        print_octaves(f"made, median: {stem}", found)


def octaves(audio: Float, rate: int) -> NDArray[np.float64]:
    """Share of the energy of the middle of (2, N) in each octave."""
    hz, power = signal.welch(audio.mean(0), rate, nperseg=8192)
    return np.array(
        [power[(hz >= low) & (hz < high)].sum() / power.sum() for low, high in itertools.pairwise(OCTAVES_HZ)]
    )


def print_octaves(name: str, found: Sequence[NDArray[np.float64]]) -> None:
    levels_db = np.median(10 * np.log10(np.maximum(found, 1e-9)), axis=0)
    treble = np.median(np.sum(found, axis=1, where=np.array(OCTAVES_HZ[:-1]) >= 250))
    print(f"{name:32} " + " ".join(f"{level_db:6.1f}" for level_db in levels_db) + f" {100 * treble:6.1f} %")


def score_excerpt(path: Path, separators: Mapping[str, Separator]) -> None:
    stems, rate = read_stems(path)
    mixture = np.sum([*stems.values()], axis=0)
    estimates = {name: separator.separate(mixture, rate) for name, separator in separators.items()}
    print("| uSDR, dB | " + " | ".join(STEMS) + " | mean |\n|---|" + "---:|" * 5)
    for name, found in {**estimates, "ideal ratio mask": masked(stems, mixture)}.items():
        scores = [usdr(stems[stem], found[stem]) for stem in STEMS]
        print(f"| {name} | " + " | ".join(f"{score:.2f}" for score in [*scores, np.mean(scores)]) + " |")
    for name, found in estimates.items():
        print(f"\n| `{name}`: share of | " + " | ".join(f"in {stem}" for stem in STEMS) + " |\n|---|" + "---:|" * 4)
        for stem in STEMS:
            print(f"| {stem} | " + " | ".join(f"{share:.2f}" for share in shares(stems[stem], found)) + " |")


def follow_guitars(folders: Sequence[Path], separators: Mapping[str, Separator], longest_s: float) -> None:
    for name, separator in separators.items():
        heads = [*(f"in {stem}" for stem in STEMS), "uSDR of other, dB"]
        print(f"\n| `{name}`: guitars | " + " | ".join(heads) + " |\n|---|" + "---:|" * 5)
        rows = []
        for folder in folders:
            guitar, rest, rate = read_loudest(folder, longest_s)
            found = separator.separate(guitar + rest, rate)
            score = usdr(guitar, found["other"]) if folder.name in ONLY_GUITARS else math.nan
            rows.append([*shares(guitar, found), score])
            print(f"| {folder.name} | " + " | ".join(cell(value) for value in rows[-1]) + " |", flush=True)
        print("| mean | " + " | ".join(cell(value) for value in np.nanmean(rows, axis=0)) + " |")


def cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def read_loudest(folder: Path, longest_s: float) -> tuple[Float, Float, int]:
    """Guitar and rest, each (2, N), where the guitar has the most energy, and their sample rate."""
    guitar, rest = (read_excerpt(folder / name) for name in ("guitar.ogg", "song.ogg"))
    rate = read_info(folder / "guitar.ogg").sample_rate
    n_samples = min(round(longest_s * rate), guitar.shape[1], rest.shape[1])
    energy = np.concatenate([[0], np.cumsum(guitar.astype(np.float64) ** 2, axis=1).sum(0)])
    start = int(np.argmax(energy[n_samples:] - energy[:-n_samples]))
    return guitar[:, start : start + n_samples], rest[:, start : start + n_samples], rate


def read_stems(path: Path) -> tuple[dict[str, Float], int]:
    """The four stems, each (2, N), and their sample rate."""
    stems = {}
    for stem in STEMS:
        with av.open(str(path)) as container:
            stream = container.streams.audio[_ORDER.index(stem)]
            stems[stem] = np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1)
            rate = stream.rate
    return stems, rate


def masked(stems: Mapping[str, Float], mixture: Float) -> dict[str, Float]:
    mask = IdealRatioMask(STEMS)
    estimates = [estimate for _, estimate in [*mask.push(stems, mixture), *mask.flush()]]
    return {stem: np.concatenate([estimate[stem] for estimate in estimates], axis=1) for stem in STEMS}


def shares(stem: Float, estimates: Mapping[str, Float]) -> list[float]:
    reference = stem.astype(np.float64).ravel()
    return [float(estimates[name].ravel() @ reference / (reference @ reference)) for name in STEMS]


if __name__ == "__main__":
    main()
