"""Speed and memory of our runtime against the same networks in eager PyTorch, on the same cores, in one run.

    python benchmarks/speed.py [--threads 2] [--seconds 60] [--runs 5]

Both sides separate the same noise with the same chunks, transforms and overlap-add; only the engine differs. Runs
alternate between the two, each side in a process of its own; the median of the runs is printed, and the ratio of the
medians. Real-time factor: seconds of work per second of audio. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PAPER = "paper, vocals"
SHIPPED = "shipped"


def worker(side: str, path: str, threads: int, seconds: float) -> None:
    """Separate once for every line on standard input; answer with seconds and peak memory."""
    from dttnet import Separator

    engine = "torch" if side == "eager" else "onnxruntime"
    separator = Separator(path, engine=engine, device="cpu", threads=threads)
    mix = 0.1 * np.random.default_rng(0).standard_normal((2, int(seconds * 44100)), np.float32)
    for _ in sys.stdin:
        started = time.perf_counter()
        separator.separate(mix, 44100)
        print(json.dumps([time.perf_counter() - started, peak_bytes()]), flush=True)


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started us
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def export_paper_network(folder: Path) -> Path:
    import torch

    from dttnet.config import DTTNetConfig, NetworkCard, Transform
    from dttnet.nn.dttnet import DTTNet
    from dttnet.training.export import export

    torch.manual_seed(0)
    config = DTTNetConfig()
    card = NetworkCard(
        stems=("vocals",),
        transform=Transform(),
        n_frames=256,
        frame_multiple=config.frame_multiple,
        hyperparameters=config.to_dict(),
        licence="none: random weights",
        training_data="none",
    )
    export(DTTNet(config), card, folder / "paper.onnx")
    return folder / "paper.onnx"


def compare(path: Path, threads: int, seconds: float, runs: int) -> dict[str, tuple[float, float]]:
    """Median real-time factor and peak memory in MB of both sides."""
    workers = {
        side: subprocess.Popen(
            [sys.executable, __file__, "--worker", side, str(path), str(threads), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for side in ("onnx", "eager")
    }
    answers: dict[str, list[tuple[float, float]]] = {side: [] for side in workers}
    for _ in range(runs + 1):
        for side, process in workers.items():
            process.stdin.write("go\n")
            answers[side].append(json.loads(process.stdout.readline()))
    for process in workers.values():
        process.stdin.close()
        process.wait()
    # The first run of each warms up.
    return {
        side: (statistics.median(run[0] for run in found[1:]) / seconds, found[-1][1] / 1e6)
        for side, found in answers.items()
    }


def main() -> None:
    if "--worker" in sys.argv:
        side, path, threads, seconds = sys.argv[2:]
        return worker(side, path, int(threads), float(seconds))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="of audio")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each side, after one warm-up")
    args = parser.parse_args()

    from dttnet import store

    print(f"{args.seconds:.0f} s of stereo noise, {args.threads} threads, median of {args.runs} alternating runs\n")
    print(f"{'network':16} {'stems':>5} {'engine':8} {'RTF':>7} {'RTF/stem':>9} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        networks = {
            SHIPPED: (store.find(store.DEFAULT_MODEL).files[0], 4),
            PAPER: (export_paper_network(Path(folder)), 1),
        }
        for name, (path, n_stems) in networks.items():
            found = compare(path, args.threads, args.seconds, args.runs)
            for side, (factor, peak) in found.items():
                print(f"{name:16} {n_stems:5} {side:8} {factor:7.3f} {factor / n_stems:9.3f} {peak:8.0f}")
            print(f"{name:16} {'':5} onnx is {found['eager'][0] / found['onnx'][0]:.2f} times as fast as eager\n")
    return None


if __name__ == "__main__":
    main()
