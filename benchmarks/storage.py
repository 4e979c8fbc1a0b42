"""How weights may be stored: the size of a model's files, and how far its estimates are from those of float32.

    python benchmarks/storage.py MODEL SONG [--start 60] [--seconds 30]

MODEL is a folder that `dttnet export` wrote without --float16. 8-bit numbers have a scale for each output channel; the
engine computes in float32 all the same. Printed is a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, numpy_helper

from dttnet import Separator, store
from dttnet.audio import read_excerpt, read_info
from dttnet.nn.graph import MIN_VALUES, halve_weights

Float = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("song", type=Path)
    parser.add_argument("--start", type=float, default=60)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    rate = read_info(args.song).sample_rate
    mixture = read_excerpt(args.song, start=round(args.start * rate), n_samples=round(args.seconds * rate))
    model = store.find(args.model)
    reference = Separator(args.model).separate(mixture, rate)
    n_values = sum(int(np.prod(tensor.dims)) for file in model.files for tensor in onnx.load(file).graph.initializer)
    print("| stored as | MB | " + " | ".join(reference) + " |\n|---|---:|" + "---:|" * len(reference))
    ways: dict[str, tuple[int, Callable[[GraphProto], None]]] = {
        "float16": (2, halve_weights),
        "8-bit numbers": (1, to_whole_numbers),
    }
    for name, (n_bytes, change) in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            for file in model.files:
                proto = onnx.load(file)
                change(proto.graph)
                onnx.save(proto, Path(folder) / file.name)
            estimates = Separator(folder).separate(mixture, rate)
        ratios = [signal_to_noise(reference[stem], estimates[stem]) for stem in reference]
        print(f"| {name} | {n_values * n_bytes / 1e6:.1f} | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |")


def to_whole_numbers(graph: GraphProto) -> None:
    """Round weights to what 8 bits and a scale per output channel can hold."""
    transposed = {node.input[1] for node in graph.node if node.op_type == "ConvTranspose"}
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < MIN_VALUES:
            continue
        values = numpy_helper.to_array(tensor)
        # The tensors are torch's: (out, in, ...), but for transposed convolutions, and RNNs with a direction first.
        kept = {0, 1} if values.ndim == 3 else {1} if tensor.name in transposed else {0}
        axes = tuple(axis for axis in range(values.ndim) if axis not in kept)
        scale = np.maximum(np.abs(values).max(axes, keepdims=True), 1e-12) / 127
        rounded = (np.round(values / scale) * scale).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))


def signal_to_noise(reference: Float, estimate: Float) -> float:
    noise = np.sum(np.square(reference - estimate, dtype=np.float64))
    return float(10 * np.log10(np.sum(np.square(reference, dtype=np.float64)) / noise))


if __name__ == "__main__":
    main()
