"""What coarser arithmetic does to a network's speed and output: why float32 is the default.

    python benchmarks/arithmetic.py MODEL.onnx SONG [SONG ...] [--threads 1] [--chunks 8]

Each SONG is an audio file at the network's rate; the first one is measured with, the others calibrate the ranges of
int8. Printed for each kind of arithmetic: milliseconds per chunk of 64 frames, how often that fits in float32's, and
for each stem how far below float32's output the difference from it is, in dB of energy. Half precision is measured with
the engines that are installed, where the processor has arithmetic for it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from dttnet.config import NetworkCard
from dttnet.runtime import Network
from dttnet.runtime.choice import computes_in, is_installed, open_networks
from dttnet.runtime.onnx import OnnxNetwork, read_card
from dttnet.runtime.telemetry import without_telemetry
from dttnet.stft import pack, stft

with without_telemetry():
    import onnxruntime as ort
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

N_FRAMES = 64


def chunks(song: Path, card: NetworkCard, n_chunks: int) -> Iterator[np.ndarray]:
    """Packed spectra of chunks from all over a song."""
    transform = card.transform
    n_samples = transform.n_fft + (N_FRAMES - 1) * transform.hop
    with soundfile.SoundFile(song) as file:
        if file.samplerate != transform.sample_rate or file.channels != 2:
            raise SystemExit(f"{song}: give stereo at {transform.sample_rate} Hz")
        for number in range(n_chunks):
            file.seek(int((number + 0.5) / n_chunks * (file.frames - n_samples)))
            samples = file.read(n_samples, dtype="float32").T
            yield pack(stft(np.ascontiguousarray(samples)[None], transform))


class Calibration(CalibrationDataReader):
    def __init__(self, spectra: list[np.ndarray], name: str) -> None:
        self._left = iter([{name: packed} for packed in spectra])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


def quantised(model: Path, spectra: list[np.ndarray], folder: Path) -> Iterator[tuple[str, Path]]:
    """int8 versions of a network: per channel, ranges of activations from music."""
    prepared = folder / "prepared.onnx"
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    name = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    for operators in (["Conv"], ["Conv", "MatMul", "Gemm"]):
        path = folder / f"{'-'.join(operators)}.onnx"
        quantize_static(
            prepared,
            path,
            Calibration(spectra, name),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=operators,
        )
        yield f"int8 {', '.join(operators)}", path
    path = folder / "dynamic.onnx"
    # The only int8 that ONNX Runtime has for an LSTM: ranges are measured while it runs.
    quantize_dynamic(
        prepared, path, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["LSTM", "MatMul"]
    )
    yield "int8 LSTM, MatMul (dynamic)", path


def run(network: Network, spectra: list[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """Median seconds of a chunk, and the outputs."""
    network(spectra[0])
    times, outputs = [], []
    for packed in spectra:
        started = time.perf_counter()
        outputs.append(network(packed))
        times.append(time.perf_counter() - started)
    return statistics.median(times), outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chunks", type=int, default=8, help="of each song")
    args = parser.parse_args()
    if len(args.songs) < 2:
        raise SystemExit("give a song to measure with and at least one to calibrate with")

    card = read_card(args.model)
    spectra = list(chunks(args.songs[0], card, args.chunks))
    base_s, expected = run(OnnxNetwork(args.model, threads=args.threads), spectra)
    energy = sum(np.sum(one.astype(np.float64) ** 2, axis=(0, 2, 3, 4)) for one in expected)
    print(f"| arithmetic | ms | times as fast | {' | '.join(card.stems)} |")
    print("|---|---|---|" + "---|" * len(card.stems))
    print(f"| float32 | {1000 * base_s:.0f} | 1 |" + " |" * len(card.stems), flush=True)

    def report(name: str, network: Network) -> None:
        seconds, outputs = run(network, spectra)
        error = sum(np.sum((y - x) ** 2, axis=(0, 2, 3, 4)) for y, x in zip(outputs, expected, strict=True))
        ratios = " | ".join(f"{value:.1f}" for value in 10 * np.log10(energy / np.maximum(error, 1e-30)))
        print(f"| {name} | {1000 * seconds:.0f} | {base_s / seconds:.2f} | {ratios} |", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        calibration = [packed for song in args.songs[1:] for packed in chunks(song, card, args.chunks)]
        for name, path in quantised(args.model, calibration, Path(folder)):
            # Quantising drops what the file says of itself.
            quantised_network = OnnxNetwork(args.model, threads=args.threads)
            quantised_network._session = ort.InferenceSession(str(path), options(args.threads))
            report(name, quantised_network)
    for engine, precision in itertools.product(("torch", "openvino"), ("bfloat16", "float16")):
        if is_installed(engine) and computes_in(engine, "cpu", precision):
            opened = open_networks([args.model], engine=engine, device="cpu", threads=args.threads, precision=precision)
            report(f"{precision}, {engine}", opened.networks[0])


def options(threads: int) -> ort.SessionOptions:
    made = ort.SessionOptions()
    made.intra_op_num_threads = threads
    made.log_severity_level = 3
    return made


if __name__ == "__main__":
    main()
