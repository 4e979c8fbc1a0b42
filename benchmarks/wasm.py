"""The models in WebAssembly, as browsers run them: real-time factor of the network on one thread, and what differs.

    npm install --prefix FOLDER onnxruntime-web
    python benchmarks/wasm.py FOLDER

Needs node. ONNX Runtime runs them before that, on one thread too.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from dttnet import store
from dttnet.runtime.onnx import OnnxNetwork

N_FRAMES = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with node_modules/onnxruntime-web")
    parser.add_argument("--models", nargs="*", default=["fast", "default"])
    args = parser.parse_args()
    print(f"{'':10} {'native':>7} {'wasm':>7}  difference")
    for name in args.models:
        (path,) = store.find(name).files
        network = OnnxNetwork(path, threads=1)
        transform = network.card.transform
        packed = np.random.default_rng(0).standard_normal((1, 4, N_FRAMES, transform.n_bins), np.float32)
        expected = network(packed)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            network(packed)
            seconds.append(time.perf_counter() - started)
        with tempfile.TemporaryDirectory() as place:
            given, found = Path(place, "in"), Path(place, "out")
            packed.tofile(given)
            script = Path(__file__).with_suffix(".mjs")
            sizes = [str(N_FRAMES), str(transform.n_bins)]
            command = ["node", script, args.folder.resolve(), path, given, found, *sizes]
            wasm_s = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            other = np.fromfile(found, np.float32).reshape(expected.shape)
        audio_s = N_FRAMES * transform.hop / transform.sample_rate
        error = np.linalg.norm(other - expected) / np.linalg.norm(expected)
        print(f"{name:10} {min(seconds) / audio_s:7.3f} {wasm_s / audio_s:7.3f}  {20 * np.log10(error):.0f} dB")


if __name__ == "__main__":
    main()
