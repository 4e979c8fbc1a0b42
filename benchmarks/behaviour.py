"""What a model does with audio that is not a whole song: how far below the input each stem is.

    python benchmarks/behaviour.py SONGS [--speech DIR] [--model NAME] [--split test] [--seconds 60]

SONGS is a folder that `dttnet data check` reads. Of each track with all four stems the model gets the mixture without
vocals (an instrumental), the vocals alone (a cappella), and each of the other stems alone; besides, speech, noise, a
sine and silence. Printed is a Markdown table: energy of each estimate against that of the input in dB, over all tracks
together. Where a stem is not in the input, lower is better.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dttnet import Separator, store
from dttnet.audio import read_excerpt, read_info
from dttnet.dataset import STEMS, Track, load_dataset

Float = NDArray[np.float32]
Input = tuple[Float, int]
"""(2, N) and its rate in Hz."""

_RATE = 44100
_N_SPEECH = 50
"""About so many recordings of speech, evenly out of all."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("--speech", type=Path, help="folder with recordings of speech")
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default=store.DEFAULT_MODEL)
    parser.add_argument("--seconds", type=float, default=np.inf, help="of each track, from its middle on; all")
    args = parser.parse_args()
    separator = Separator(args.model)
    print("| input | " + " | ".join(separator.stems) + " |")
    print("|---|" + "---:|" * len(separator.stems))
    for name, inputs in inputs_of(args.songs, args.split, args.speech, args.seconds):
        energy = dict.fromkeys(("input", *separator.stems), 0.0)
        for audio, rate in inputs:
            energy["input"] += sum_of_squares(audio)
            for stem, estimate in separator.separate(audio, rate).items():
                energy[stem] += sum_of_squares(estimate)
        levels = [below(energy[stem], energy["input"]) for stem in separator.stems]
        print(f"| {name} | " + " | ".join(levels) + " |", flush=True)


def inputs_of(songs: Path, split: str, speech: Path | None, seconds: float) -> Iterator[tuple[str, Iterator[Input]]]:
    dataset = load_dataset(songs)
    tracks = [track for track in dataset.tracks if track.split == split and set(STEMS) <= set(track.stems)]
    parts = {"instrumental": [stem for stem in STEMS if stem != "vocals"], "vocals alone": ["vocals"]}
    parts |= {f"{stem} alone": [stem] for stem in STEMS if stem != "vocals"}
    for name, stems in parts.items():
        yield name, ((sum_of(track, stems, seconds), track.sample_rate) for track in tracks)
    if speech is not None:
        files = sorted(path for path in speech.rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))
        some = files[:: max(1, len(files) // _N_SPEECH)]
        yield "speech", ((read_excerpt(file), read_info(file).sample_rate) for file in some)
    rng = np.random.default_rng(0)
    yield "white noise", iter([(0.1 * rng.standard_normal((2, 20 * _RATE)).astype(np.float32), _RATE)])
    sine = np.sin(2 * np.pi * 440 * np.arange(20 * _RATE) / _RATE).astype(np.float32)
    yield "sine, 440 Hz", iter([(0.3 * np.stack([sine, sine]), _RATE)])
    yield "silence", iter([(np.zeros((2, 20 * _RATE), np.float32), _RATE)])


def sum_of(track: Track, stems: list[str], seconds: float) -> Float:
    n_samples = int(min(seconds * track.sample_rate, track.n_samples))
    start = min(track.n_samples // 2, track.n_samples - n_samples)
    total = np.zeros((2, n_samples), np.float32)
    for stem in stems:
        total += track.read(stem, start, n_samples, sample_rate=track.sample_rate)
    return total


def sum_of_squares(audio: Float) -> float:
    return float(np.vdot(audio, audio))


def below(energy: float, reference: float) -> str:
    if not energy:
        return "silent"
    return f"{10 * np.log10(energy / reference):.1f}" if reference else "NOT SILENT"


if __name__ == "__main__":
    main()
