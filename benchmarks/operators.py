"""Where a network's time goes in ONNX Runtime: milliseconds by operator, and the slowest nodes.

python benchmarks/operators.py MODEL.onnx [--frames 128] [--threads 1] [--runs 5] [--nodes 10]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from dttnet.runtime.onnx import read_card
from dttnet.runtime.telemetry import without_telemetry

with without_telemetry():
    import onnxruntime as ort


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--frames", type=int, default=128, help="of a chunk")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="counted, after one that is not")
    parser.add_argument("--nodes", type=int, default=10, help="so many of the slowest")
    args = parser.parse_args()

    transform = read_card(args.model).transform
    rng = np.random.default_rng(0)
    packed = rng.standard_normal((1, 2 * transform.n_channels, args.frames, transform.n_bins), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(str(args.model), options, providers=["CPUExecutionProvider"])
        for _ in range(args.runs + 1):
            session.run(None, {session.get_inputs()[0].name: packed})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))

    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("kernel_time")]
    kernels = kernels[len(kernels) // (args.runs + 1) :]
    by_operator: Counter[str] = Counter()
    by_node: Counter[str] = Counter()
    for event in kernels:
        ms = event["dur"] / 1000 / args.runs
        by_operator[event["args"]["op_name"]] += ms
        by_node[event["name"].removesuffix("_kernel_time")] += ms
    total = sum(by_operator.values())
    audio_s = args.frames * transform.hop / transform.sample_rate
    print(
        f"{total:.0f} ms for {args.frames} frames, {total / 1000 / audio_s:.3f} of real time, {args.threads} threads\n"
    )
    print("| operator | ms | share |\n|---|---|---|")
    for name, ms in by_operator.most_common():
        if ms >= 0.01 * total:
            print(f"| {name} | {ms:.1f} | {ms / total:.0%} |")
    print()
    for name, ms in by_node.most_common(args.nodes):
        print(f"{ms:8.2f} ms {name}")


if __name__ == "__main__":
    main()
