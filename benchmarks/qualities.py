"""What overlap, chunk length and swapped sides do to quality, speed and memory: why the defaults are what they are.

    python benchmarks/qualities.py SONG [--model NAME] [--start 100] [--seconds 100] [--threads 2] [-o PICTURE]

SONG is a folder with vocals, drums, bass and other as audio files of one length and rate. Each setting runs in a
process of its own on a part of the song; printed are the mean uSDR over the stems, the real-time factor and the peak
memory of the process, which holds that part and its stems.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from dttnet import Separator, store
from dttnet.bench import peak_bytes
from dttnet.dataset import STEMS
from dttnet.metrics import usdr
from dttnet.runtime import Network
from dttnet.runtime.choice import open_networks
from dttnet.separator import DEFAULT_QUALITY, QUALITIES

Float = NDArray[np.float32]

_OVERLAP = QUALITIES[DEFAULT_QUALITY].overlap
SETTINGS: dict[str, dict[str, object]] = {
    **{f"--quality {name}": {"quality": name} for name in QUALITIES},
    "--low-memory": {"low_memory": True},
    **{f"overlap {overlap}": {"overlap": overlap} for overlap in (0, 0.1, 0.25, 0.5, 0.75)},
    **{f"{frames} frames": {"chunk_frames": frames} for frames in (64, 256, 512)},
    f"best, overlap {_OVERLAP}": {"quality": "best", "overlap": _OVERLAP},
    "inverted too": {"inverts": True},
}


class Inverting:
    """A network, averaged with what it gives for the song of opposite polarity."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.card, self.engine, self.device = network.card, network.engine, network.device
        self.precision, self.n_parallel = network.precision, network.n_parallel

    def __call__(self, packed: Float) -> Float:
        return (self._network(packed) - self._network(-packed)) * np.float32(0.5)


def measure(song: Path, model: str, start: float, seconds: float, threads: int, options: dict[str, object]) -> None:
    rate = soundfile.info(next(song.glob("vocals.*"))).samplerate
    stems = {
        stem: soundfile.read(
            next(song.glob(f"{stem}.*")), int(seconds * rate), int(start * rate), dtype="float32", always_2d=True
        )[0].T
        for stem in STEMS
    }
    if options.pop("inverts", False):
        networks = open_networks(store.find(model).files, device="cpu", threads=threads, n_parallel=2).networks
        separator = Separator([Inverting(network) for network in networks], **options)
    else:
        separator = Separator(model, device="cpu", threads=threads, **options)
    mixture = sum(stems.values())
    separator.separate(mixture[:, :rate], rate)
    started = time.perf_counter()
    estimates = separator.separate(mixture, rate)
    factor = (time.perf_counter() - started) / seconds
    scores = [usdr(stems[stem], estimates[stem]) for stem in STEMS]
    print(json.dumps([float(np.mean(scores)), factor, peak_bytes() / 1e6]))


def draw(found: dict[str, tuple[float, float, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    lines: list[str] = []
    for name, (quality, factor, _) in sorted(found.items(), key=lambda item: item[1][1]):
        is_preset = name.startswith("--quality")
        axes.plot(factor, quality, "o" if is_preset else ".", color="tab:red" if is_preset else "tab:gray")
        lines.append(f"{factor:.3f}  {name}")
        axes.annotate(str(len(lines)), (factor, quality), textcoords="offset points", xytext=(4, 4), fontsize=8)
    # A list beside the picture: names beside points that lie near each other would cover each other.
    text = "\n".join(f"{number:2} {line}" for number, line in enumerate(lines, 1))
    axes.text(1.02, 0.5, text, transform=axes.transAxes, fontsize=8, va="center", family="monospace")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("real-time factor")
    axes.set_ylabel("mean uSDR of the four stems, dB")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    if "--worker" in sys.argv:
        song, model, *numbers, threads, options = sys.argv[2:]
        start, seconds = map(float, numbers)
        return measure(Path(song), model, start, seconds, int(threads), json.loads(options))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("--model", default=store.DEFAULT_MODEL)
    parser.add_argument("--start", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, help="picture of quality against speed")
    args = parser.parse_args()

    print(f"| {'setting':18} | mean uSDR dB | RTF | peak MB |\n|---|---|---|---|")
    found = {}
    for name, options in SETTINGS.items():
        fixed = [str(args.song), args.model, str(args.start), str(args.seconds), str(args.threads)]
        command = [sys.executable, __file__, "--worker", *fixed, json.dumps(options)]
        answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        found[name] = quality, factor, peak = tuple(answer)
        print(f"| {name:18} | {quality:.3f} | {factor:.3f} | {peak:.0f} |", flush=True)
    if args.out:
        draw(found, args.out)
    return None


if __name__ == "__main__":
    main()
