"""What overlap and chunk length do to quality, speed and memory: how the defaults were chosen.

    python benchmarks/chunking.py SONG [--model NAME] [--start 120] [--seconds 100] [--threads 2]

SONG is a folder with vocals, drums, bass and other as audio files of one length and rate. Each setting runs in a
process of its own on a part of the song; printed are the mean uSDR over the stems, the real-time factor and the peak
memory of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from dttnet import store
from dttnet.dataset import STEMS
from dttnet.metrics import usdr

OVERLAPS = (0.0, 0.1, 0.25, 0.5, 0.75)
FRAMES = (64, 128, 256, 512, 1024)


def measure(song: Path, model: str, start: float, seconds: float, threads: int, overlap: float, frames: int) -> None:
    from dttnet import Separator

    rate = soundfile.info(next(song.glob("vocals.*"))).samplerate
    stems = {
        stem: soundfile.read(
            next(song.glob(f"{stem}.*")), int(seconds * rate), int(start * rate), dtype="float32", always_2d=True
        )[0].T
        for stem in STEMS
    }
    separator = Separator(model, device="cpu", threads=threads, overlap=overlap, chunk_frames=frames)
    mixture = sum(stems.values())
    started = time.perf_counter()
    estimates = separator.separate(mixture, rate)
    factor = (time.perf_counter() - started) / seconds
    scores = [usdr(stems[stem], estimates[stem]) for stem in STEMS]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(json.dumps([float(np.mean(scores)), factor, peak_mb]))


def main() -> None:
    if "--worker" in sys.argv:
        song, model, *numbers, frames = sys.argv[2:]
        start, seconds, threads, overlap = map(float, numbers)
        return measure(Path(song), model, start, seconds, int(threads), overlap, int(frames))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("--model", default=store.DEFAULT_MODEL)
    parser.add_argument("--start", type=float, default=120)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    print(f"{'frames':>6} {'overlap':>7} {'mean uSDR dB':>12} {'RTF':>7} {'peak MB':>8}")
    # One axis at a time, through the defaults.
    settings = [(256, overlap) for overlap in OVERLAPS] + [(frames, 0.1) for frames in FRAMES if frames != 256]
    for frames, overlap in settings:
        fixed = [str(args.song), args.model, str(args.start), str(args.seconds), str(args.threads)]
        command = [sys.executable, __file__, "--worker", *fixed, str(overlap), str(frames)]
        quality, factor, peak = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(f"{frames:6} {overlap:7.2f} {quality:12.3f} {factor:7.3f} {peak:8.0f}", flush=True)
    return None


if __name__ == "__main__":
    main()
