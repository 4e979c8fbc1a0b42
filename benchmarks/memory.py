"""Peak memory of `dttnet separate` on a long file and on a short one.

    python benchmarks/memory.py [--minutes 3 180] [-- options of dttnet separate]

Makes noise files of these lengths, separates each in a process of its own, and prints its peak memory (the largest
resident set) and time. The outputs and their temporary files need some 25 GB for three hours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

RATE = 44100


def make_noise(path: Path, minutes: float) -> None:
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16", format="RF64") as file:
        for _ in range(int(minutes * 60)):
            file.write(0.1 * rng.standard_normal((RATE, 2), np.float32))


def separate(path: Path, out: Path, options: list[str]) -> tuple[float, float]:
    """Peak memory in MB and real-time factor."""
    command = [sys.executable, "-m", "dttnet", "separate", str(path), "-o", str(out), "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    record = json.loads(process.stdout.read())
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6, record["real_time_factor"]


def main() -> None:
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 180])
    args = parser.parse_args(arguments[:split])

    first = None
    for minutes in args.minutes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "noise.rf64"
            make_noise(path, minutes)
            peak, factor = separate(path, Path(folder) / "out", arguments[split + 1 :])
        first = peak if first is None else first
        print(f"{minutes:6.1f} minutes: peak {peak:6.0f} MB ({peak - first:+.0f} MB), real-time factor {factor}")


if __name__ == "__main__":
    main()
