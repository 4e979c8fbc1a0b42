"""How many training examples a core makes, and how many cores feed a GPU.

python benchmarks/loader.py [--root ROOT] [--gpu-examples-per-s X]

Without --root, four made-up songs are written to a temporary folder, once per format. Times are of one process, in CPU
seconds, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from dttnet.dataset import STEMS, Dataset, load_dataset
from dttnet.training.augment import AugmentConfig
from dttnet.training.data import DataConfig, Examples

RATE = 44100
SETTINGS = {
    "no augmentation": DataConfig(augment=AugmentConfig(probability=0)),
    "gain, polarity, swap, silence": DataConfig(
        augment=AugmentConfig(probability=0, gain_db=10, polarity=0.5, swap=0.5, silence=0.1)
    ),
    "pitch and tempo by resampling": DataConfig(augment=AugmentConfig(method="resample")),
    "pitch and tempo, one track": DataConfig(same_track_ratio=1),
    "pitch and tempo, rest together": DataConfig(augment=AugmentConfig(rest_together=True)),
    "pitch and tempo (the paper's)": DataConfig(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="Stems to read in place of made-up ones.")
    parser.add_argument("--formats", default="wav,flac,ogg", help="Of the made-up ones (default: %(default)s).")
    parser.add_argument("--targets", default="vocals", help="Separated by commas (default: %(default)s).")
    parser.add_argument("--n-samples", type=int, default=261_120, help="Per example (default: the paper's 5.92 s).")
    parser.add_argument("--examples", type=int, default=24, help="Examples to time (default: %(default)s).")
    parser.add_argument(
        "--gpu-examples-per-s", type=float, default=50.0, help="What a GPU takes (default: %(default)s)."
    )
    arguments = parser.parse_args()
    targets = arguments.targets.split(",")
    print(f"targets {arguments.targets}, examples of {arguments.n_samples / RATE:.2f} s\n")
    print("| files | setting | examples/s per core | seconds of stems/s per core | cores per GPU |")
    print("|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, dataset in find_data(arguments.root, arguments.formats.split(","), Path(folder)):
            for setting, config in SETTINGS.items():
                examples = Examples(
                    [(dataset, 1.0)],
                    targets=targets,
                    n_samples=arguments.n_samples,
                    sample_rate=RATE,
                    seed=0,
                    config=config,
                    n_examples=arguments.examples + 1,
                )
                per_s = measure(examples)
                stems_s = per_s * len(dataset.stems) * arguments.n_samples / RATE
                cores = arguments.gpu_examples_per_s / per_s
                print(f"| {name} | {setting} | {per_s:.1f} | {stems_s:.0f} | {cores:.1f} |", flush=True)


def measure(examples: Examples) -> float:
    """Examples per CPU second."""
    examples[len(examples) - 1]  # imports, and files into the system's cache
    started = time.process_time()
    for index in range(len(examples) - 1):
        examples[index]
    return (len(examples) - 1) / (time.process_time() - started)


def find_data(root: Path | None, formats: list[str], folder: Path) -> list[tuple[str, Dataset]]:
    if root is not None:
        dataset = load_dataset(root)
        tracks = tuple(track for track in dataset.tracks if track.split in ("train", ""))
        return [(root.name, replace(dataset, tracks=tracks))]
    found = []
    for name in formats:
        for number in range(4):
            write_song(folder / name / f"song {number}", name, seed=number)
        found.append((name, load_dataset(folder / name, cache=False)))
    return found


def write_song(folder: Path, name: str, *, seed: int) -> None:
    """A minute of noise that swells and fades, different left and right."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    n_samples = 60 * RATE
    for stem in STEMS:
        steps = rng.uniform(0, 0.5, n_samples // (RATE // 4) + 1)
        level = np.interp(np.arange(n_samples), np.arange(len(steps)) * (RATE // 4), steps)
        samples = np.cumsum(rng.standard_normal((n_samples, 2)), axis=0)
        samples -= np.stack([np.convolve(channel, np.ones(200) / 200, "same") for channel in samples.T], axis=1)
        samples *= 0.3 * level[:, None] / np.abs(samples).max()
        with soundfile.SoundFile(folder / f"{stem}.{name}", "w", RATE, 2) as file:
            for start in range(0, n_samples, 4096):  # libsndfile's Vorbis encoder keeps a call on the stack
                file.write(samples[start : start + 4096])


if __name__ == "__main__":
    main()
