"""Speed and memory of separation: our engines, the same networks in eager PyTorch, and other programs, in one run.

    python benchmarks/speed.py [--threads 2] [--seconds 46] [--runs 5] [--peers PYTHON] [--only NAME,NAME]

Each side is a process of its own that separates the same noise whenever it is its turn; sides alternate, and the
median of the runs after the first is printed. Real-time factor: seconds of work per second of audio. 46 seconds fill
eight segments of HT Demucs, which pads the last one: of 12 seconds it makes three segments of 7.8 s, 1.44 times as much
work per second. Peak memory is that of the whole process, which holds the song and its stems. The machine's peak is the
fastest of many matrix products in float32.

PYTHON is an interpreter of an environment in which the peers are, which never belong to ours:

    python -m venv peers && peers/bin/pip install torch demucs tqdm && peers/bin/pip install --no-deps openunmix

(Open-Unmix imports torchaudio for reading files alone, and gets an empty module of that name here.) The peers have
random weights, which cost the same arithmetic as trained ones: HT Demucs as published, with its own overlap of chunks;
Open-Unmix "umxhq" without its Wiener filter.
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
from collections.abc import Callable
from pathlib import Path

import numpy as np

RATE = 44100


# ------------------------------------------------------------------------------------------------ in the workers


def dttnet(options: dict[str, object]) -> Callable[[np.ndarray], object]:
    from dttnet import Separator

    separator = Separator(device="cpu", **options)
    return lambda mix: separator.separate(mix, RATE)


def demucs(options: dict[str, object]) -> Callable[[np.ndarray], object]:
    import torch
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    torch.set_num_threads(options["threads"])
    model = HTDemucs(["drums", "bass", "other", "vocals"], bottom_channels=512, segment=39 / 5).eval()

    def separate(mix: np.ndarray) -> object:
        with torch.no_grad():
            return apply_model(model, torch.from_numpy(mix)[None], shifts=0, split=True, overlap=0.25)

    return separate


def openunmix(options: dict[str, object]) -> Callable[[np.ndarray], object]:
    import types

    import torch

    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    from openunmix.model import OpenUnmix, Separator

    torch.set_num_threads(options["threads"])
    models = {
        stem: OpenUnmix(nb_bins=2049, nb_channels=2, hidden_size=512, nb_layers=3, max_bin=1487)
        for stem in ("vocals", "drums", "bass", "other")
    }
    separator = Separator(models, niter=0, n_fft=4096, n_hop=1024, nb_channels=2, sample_rate=RATE).eval()

    def separate(mix: np.ndarray) -> object:
        with torch.no_grad():
            return separator(torch.from_numpy(mix)[None])

    return separate


def work(kind: str, options: dict[str, object], seconds: float) -> None:
    """Separate once for every line on standard input; answer with seconds and peak memory."""
    separate = {"dttnet": dttnet, "demucs": demucs, "openunmix": openunmix}[kind](options)
    mix = 0.1 * np.random.default_rng(0).standard_normal((2, int(seconds * RATE)), np.float32)
    for _ in sys.stdin:
        started = time.perf_counter()
        separate(mix)
        print(json.dumps([time.perf_counter() - started, peak_bytes()]), flush=True)


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started us
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# ------------------------------------------------------------------------------------------------ in the parent


def export_paper_networks(folder: Path) -> float:
    """The paper's network for each stem, with random weights; GMAC per second of audio of one."""
    import torch

    from dttnet.config import DTTNetConfig, NetworkCard, Transform
    from dttnet.nn.cost import gmac_per_second
    from dttnet.nn.dttnet import DTTNet
    from dttnet.training.export import export

    torch.manual_seed(0)
    config = DTTNetConfig()
    network = DTTNet(config)
    for stem in ("vocals", "drums", "bass", "other"):
        card = NetworkCard(
            stems=(stem,),
            transform=Transform(),
            n_frames=256,
            frame_multiple=config.frame_multiple,
            hyperparameters=config.to_dict(),
            licence="none: random weights",
            training_data="none",
        )
        export(network, card, folder / f"{stem}.onnx")
    return gmac_per_second(network, card)


def matmul_gflops(threads: int) -> float:
    """The machine's peak: the fastest of many products of matrices that fit its caches."""
    import torch

    torch.set_num_threads(threads)
    n = 1536
    a, b = torch.rand(n, n), torch.rand(n, n)
    times = []
    for _ in range(30):
        started = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - started)
    return 2 * n**3 / min(times) / 1e9


def measure(
    sides: dict[str, tuple[str, str, dict[str, object]]], seconds: float, runs: int
) -> dict[str, tuple[float, float]]:
    """Median real-time factor and peak memory in MB of each side: (interpreter, kind, options)."""
    workers = {
        name: subprocess.Popen(
            [python, __file__, "--worker", kind, json.dumps(options), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for name, (python, kind, options) in sides.items()
    }
    answers: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
    for _ in range(runs + 1):
        for name, process in workers.items():
            process.stdin.write("go\n")
            answers[name].append(json.loads(process.stdout.readline()))
    for process in workers.values():
        process.stdin.close()
        process.wait()
    # The first run of each warms up.
    return {
        name: (statistics.median(run[0] for run in found[1:]) / seconds, found[-1][1] / 1e6)
        for name, found in answers.items()
    }


def start_up() -> dict[str, float]:
    """Median seconds of: importing the package, the help of the command, a second of audio from file to files."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(f"{folder}/a.wav", 0.1 * np.random.default_rng(0).standard_normal((RATE, 2)), RATE)
        commands = {
            "import dttnet": ["-c", "import dttnet"],
            "dttnet --help": ["-m", "dttnet", "--help"],
            "one second of audio": ["-m", "dttnet", "separate", f"{folder}/a.wav", "-o", f"{folder}/out"],
        }
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(6):
            for name, arguments in commands.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
                found[name].append(time.perf_counter() - started)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def main() -> None:
    if "--worker" in sys.argv:
        kind, options, seconds = sys.argv[2:]
        return work(kind, json.loads(options), float(seconds))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=46, help="of audio")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each side, after one warm-up")
    parser.add_argument("--peers", help="interpreter that has demucs and openunmix")
    parser.add_argument("--only", type=lambda text: text.split(","), help="these sides")
    args = parser.parse_args()

    from dttnet import store
    from dttnet.runtime.choice import computes_in, is_installed

    threads = {"threads": args.threads}
    with tempfile.TemporaryDirectory() as folder:
        cost = export_paper_networks(Path(folder))
        paper = {"model": folder, **threads}
        one = {**paper, "stems": ["vocals"]}
        sides: dict[str, tuple[str, str, dict[str, object]]] = {}
        for name in store.shipped():
            sides[name] = (sys.executable, "dttnet", {"model": name, **threads})
        sides["paper x1"] = (sys.executable, "dttnet", one)
        sides["paper x1 low memory"] = (sys.executable, "dttnet", {**one, "low_memory": True})
        sides["paper x1 eager"] = (
            sys.executable,
            "dttnet",
            {**one, "engine": "torch", "overlap": 0, "chunk_frames": 256},
        )
        if is_installed("openvino"):
            openvino = {**one, "engine": "openvino"}
            sides["paper x1 openvino"] = (sys.executable, "dttnet", openvino)
            if computes_in("openvino", "cpu", "bfloat16"):
                half = {"engine": "openvino", "precision": "bfloat16"}
                sides["paper x1 openvino bfloat16"] = (sys.executable, "dttnet", {**one, **half})
                sides["paper x4 openvino bfloat16"] = (sys.executable, "dttnet", {**paper, **half})
        sides["paper x4"] = (sys.executable, "dttnet", paper)
        if args.peers:
            sides["HT Demucs"] = (args.peers, "demucs", dict(threads))
            sides["Open-Unmix"] = (args.peers, "openunmix", dict(threads))
        sides = {name: side for name, side in sides.items() if args.only is None or name in args.only}
        peak = matmul_gflops(args.threads)
        found = measure(sides, args.seconds, args.runs)

    print(f"{args.seconds:.0f} s of stereo noise, {args.threads} threads, median of {args.runs} alternating runs")
    print(f"matrix product: {peak:.0f} GFLOP/s; the paper's network: {cost:.1f} GMAC per second of audio and stem\n")
    print(f"{'':22} {'RTF':>7} {'peak MB':>8}")
    for name, (factor, memory) in found.items():
        print(f"{name:22} {factor:7.3f} {memory:8.0f}")
    print()
    for base in ("paper x1 eager", "HT Demucs", "Open-Unmix"):
        for name in found:
            is_fair = name.startswith("paper x1") == (base == "paper x1 eager")
            if base in found and name != base and is_fair:
                print(f"{name} is {found[base][0] / found[name][0]:.2f} times as fast as {base}")
    if "paper x1" in found:
        print(f"\npaper x1: {2 * cost / found['paper x1'][0] / peak:.0%} of the matrix product's speed")
    for name, seconds in start_up().items():
        print(f"{name}: {seconds:.2f} s")
    return None


if __name__ == "__main__":
    main()
