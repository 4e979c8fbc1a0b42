"""How many training examples a core makes, and how many cores feed a GPU.

python benchmarks/loader.py [--root ROOT] [--gpu-examples-per-s X] [--workers 1 2 4 8]

Without --root, four made-up songs are written to a temporary folder, once per format. Times are of one process, in CPU
seconds, so that other work on the machine counts little. --workers measures instead what a DataLoader with so many
processes gives, in batches and in seconds of the clock.
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
BATCH = 4
SETTINGS = {
    "no augmentation": DataConfig(augment=AugmentConfig(probability=0)),
    "gain, polarity, swap, silence": DataConfig(
        augment=AugmentConfig(probability=0, gain_db=10, polarity=0.5, swap=0.5, silence=0.1)
    ),
    "pitch and tempo by resampling": DataConfig(augment=AugmentConfig(method="resample")),
    "pitch and tempo by WSOLA": DataConfig(augment=AugmentConfig(method="wsola")),
    "pitch and tempo, one track": DataConfig(same_track_ratio=1),
    "pitch and tempo (default)": DataConfig(),
    "pitch and tempo, each stem its own (the paper's)": DataConfig(augment=AugmentConfig(rest_together=False)),
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
    parser.add_argument("--workers", type=int, nargs="+", help="Numbers of processes to measure.")
    arguments = parser.parse_args()
    targets = arguments.targets.split(",")
    print(f"targets {arguments.targets}, examples of {arguments.n_samples / RATE:.2f} s\n")
    counts = [f"with {n} workers" for n in arguments.workers or ()]
    columns = counts or ["examples/s per core", "seconds of stems/s per core", "cores per GPU"]
    print(f"| files | setting | {' | '.join(columns)} |\n|---|---|{'---:|' * len(columns)}")
    with tempfile.TemporaryDirectory() as folder:
        for name, dataset in find_data(arguments.root, arguments.formats.split(","), Path(folder)):
            for setting, config in SETTINGS.items():
                n_examples = arguments.examples * max(arguments.workers or [1]) + 1
                examples = Examples(
                    [(dataset, 1.0)],
                    targets=targets,
                    n_samples=arguments.n_samples,
                    sample_rate=RATE,
                    seed=0,
                    config=config,
                    n_examples=n_examples,
                )
                if arguments.workers:
                    cells = [f"{measure_workers(examples, n_workers=n):.1f}" for n in arguments.workers]
                else:
                    per_s = measure(examples)
                    stems_s = per_s * len(dataset.stems) * arguments.n_samples / RATE
                    cells = [f"{per_s:.1f}", f"{stems_s:.0f}", f"{arguments.gpu_examples_per_s / per_s:.1f}"]
                print(f"| {name} | {setting} | {' | '.join(cells)} |", flush=True)


def measure_workers(examples: Examples, *, n_workers: int) -> float:
    """Examples per second of a DataLoader, from its second batch per worker on."""
    from torch.utils.data import DataLoader

    loader = DataLoader(examples, batch_size=BATCH, num_workers=n_workers, prefetch_factor=2)  # type: ignore[arg-type]  # len and [] will do
    started, n_done = 0.0, 0
    for number, _ in enumerate(loader):
        if number == n_workers:
            started = time.perf_counter()
        elif number > n_workers:
            n_done += BATCH
    return n_done / (time.perf_counter() - started)


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
