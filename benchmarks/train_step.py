"""Time and memory of a training step, in several ways of running it, one after another in one process.

    python benchmarks/train_step.py dttnet_vocals batch_size=8

Batches are noise that lies on the device, so nothing waits for data: compare with `benchmarks/loader.py`. The first row
is eager PyTorch in float16 (on a CPU float32) as the reference implementation trains; the last column is against it.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from dttnet.nn.build import build_network
from dttnet.training.experiment import Experiment, load_experiment
from dttnet.training.losses import build_loss
from dttnet.training.transform import SpectralTransform


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a step is run."""

    name: str
    dtype: torch.dtype | None = None
    compiled: bool = False
    channels_last: bool = False
    fused: bool = False


def ways(device: torch.device) -> list[Way]:
    if device.type == "cpu":
        return [
            Way(name="eager float32"),
            Way(name="bfloat16", dtype=torch.bfloat16),
            Way(name="compiled float32", compiled=True),
        ]
    return [
        Way(name="eager float16", dtype=torch.float16),
        Way(name="eager float32"),
        Way(name="float16, fused optimiser", dtype=torch.float16, fused=True),
        Way(name="bfloat16, fused optimiser", dtype=torch.bfloat16, fused=True),
        Way(name="bfloat16, channels last, fused", dtype=torch.bfloat16, channels_last=True, fused=True),
        Way(name="bfloat16, compiled, fused", dtype=torch.bfloat16, compiled=True, fused=True),
        Way(name="float16, compiled, fused", dtype=torch.float16, compiled=True, fused=True),
        Way(
            name="bfloat16, compiled, channels last, fused",
            dtype=torch.bfloat16,
            compiled=True,
            channels_last=True,
            fused=True,
        ),
    ]


class Step:
    """A network with its loss and optimiser; calling it does one step."""

    def __init__(self, experiment: Experiment, way: Way, device: torch.device) -> None:
        torch.manual_seed(0)
        self.way = way
        self.device = device
        self.network: nn.Module = build_network(experiment.network_config).to(device).train()
        if way.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has no overload for it
        if way.compiled:
            self.network.compile()
        self.transform = SpectralTransform(experiment.transform_config).to(device)
        self.loss = build_loss(experiment.loss, self.transform, len(experiment.stems))
        if isinstance(self.loss, nn.Module):
            self.loss.to(device)
        options = {"fused": True} if way.fused else {}
        self.optimizer = torch.optim.AdamW(self.network.parameters(), experiment.optimizer.rate, **options)
        self.scaler = torch.amp.GradScaler(device.type, enabled=way.dtype is torch.float16)

    def __call__(self, mixture: Tensor, stems: Tensor) -> None:
        half = (
            torch.autocast(self.device.type, dtype=self.way.dtype)
            if self.way.dtype is not None
            else contextlib.nullcontext()
        )
        torch.backends.cudnn.benchmark = True
        packed = self.transform.pack(mixture)
        if self.way.channels_last:
            packed = packed.contiguous(memory_format=torch.channels_last)
        with half:
            out = self.network(packed)
        out = out.float()
        loss = self.loss(out, self.transform.unpack(out, mixture.shape[-1]), stems)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()


def seconds(call: Callable[[], None], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    wait()
    started = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="", help="Only ways whose names hold this.")
    args = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    experiment = load_experiment(args.config, args.overrides)
    batch, n_samples = experiment.batch_size, experiment.n_samples
    stems = 0.1 * torch.randn(batch, len(experiment.stems), 2, n_samples, device=device)
    mixture = stems.sum(1) + 0.1 * torch.randn(batch, 2, n_samples, device=device)
    audio_s = batch * n_samples / experiment.transform_config.sample_rate
    print(f"{args.config}: {batch} examples of {audio_s / batch:.2f} s, on {device}, {torch.get_num_threads()} threads")

    results: dict[str, tuple[float, float]] = {}
    for way in ways(device):
        if args.only not in way.name:
            continue
        # One at a time: memory is measured too.
        step = Step(experiment, way, device)
        try:
            for _ in range(3):
                step(mixture, stems)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            times = [seconds(partial(step, mixture, stems), device) for _ in range(args.runs)]
        except torch.OutOfMemoryError:
            print(f"{way.name}: out of memory")
            continue
        peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan")
        results[way.name] = (statistics.median(times), peak)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    base = next(iter(results.values()))[0]
    print(
        "| way | s per step | examples per s | audio s per s | peak GB | against the first |\n|---|---|---|---|---|---|"
    )
    for name, (median, peak) in results.items():
        rates = f"{batch / median:.1f} | {audio_s / median:.0f}"
        print(f"| {name} | {median:.4f} | {rates} | {peak:.1f} | {base / median:.2f} |")


if __name__ == "__main__":
    main()
