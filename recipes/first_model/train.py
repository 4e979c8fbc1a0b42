"""Train the first model: one small joint network, on two CPU cores, from the pools that `render.py` makes.

    python recipes/first_model/train.py POOLS RUN --config recipes/first_model/network.json --steps 6000

Random mixing: every stem of an example is an excerpt of an independently drawn pool. L1 between waveforms (the
paper's loss) after the mixture-consistency projection that the runtime applies, AdamW, a cosine decay, EMA.
RUN/checkpoint.pt is rewritten every few minutes; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import queue
import threading
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dttnet.config import DTTNetConfig, Transform
from dttnet.nn.dttnet import DTTNet

STEMS = ("vocals", "drums", "bass", "other")
# Level of a stem in the mixture, in dB of full scale (RMS), before the spread below: a typical pop balance.
LEVEL_DB = {"vocals": -20.0, "drums": -20.0, "bass": -20.5, "other": -20.0}
LEVEL_SPREAD_DB = 4.5
# Vocals are what most people want, and what is hardest to get from few singers.
LOSS_WEIGHT = {"vocals": 2.0, "drums": 1.0, "bass": 1.0, "other": 1.0}
# How often each kind of pool is drawn, within its stem; pools of less than a quarter of an hour less often.
POOL_WEIGHTS = {"album": 1.0, "notes": 0.8, "hits": 1.0, "soundfont": 1.0, "sung": 1.0, "speech": 0.5}


class Pools:
    """Random excerpts of pre-rendered stems: (C, N) float32 at 44.1 kHz."""

    def __init__(self, root: Path) -> None:
        self.pools: dict[str, list[NDArray[np.int16]]] = {stem: [] for stem in STEMS}
        self.weights: dict[str, list[float]] = {stem: [] for stem in STEMS}
        for path in sorted(root.glob("*.npy")):
            stem, kind = path.stem.split("-", 1)
            pool = np.load(path, mmap_mode="r")
            self.pools[stem].append(pool)
            self.weights[stem].append(POOL_WEIGHTS[kind] * min(1.0, len(pool) / (15 * 60 * 44100)))

    def excerpt(self, stem: str, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
        weights = np.array(self.weights[stem])
        for _ in range(4):  # prefer excerpts that sound
            pool = self.pools[stem][rng.choice(len(weights), p=weights / weights.sum())]
            speed = 2 ** rng.uniform(-2 / 12, 2 / 12)  # pitch and tempo together, as a tape does
            n_source = int(n_samples * speed) + 2
            start = rng.integers(0, len(pool) - n_source)
            source = pool[start : start + n_source].astype(np.float32).T / 32768
            if np.abs(source).max() > 0.01:
                break
        position = np.arange(n_samples) * speed
        whole = position.astype(np.int64)
        part = (position - whole).astype(np.float32)
        return source[:, whole] * (1 - part) + source[:, whole + 1] * part


def example(pools: Pools, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Four stems (S, C, N) of a random mix."""
    stems = np.zeros((len(STEMS), 2, n_samples), np.float32)
    overall_db = rng.normal(2.0, 4.0)
    for index, stem in enumerate(STEMS):
        if rng.random() < 0.08:
            continue
        audio = pools.excerpt(stem, n_samples, rng)
        rms = float(np.sqrt(np.mean(audio**2)))
        if rms < 1e-4:
            continue
        level_db = LEVEL_DB[stem] + rng.normal(0, LEVEL_SPREAD_DB) + overall_db
        gain = min(10 ** (level_db / 20) / rms, 20.0)
        if rng.random() < 0.5:
            gain = -gain
        if rng.random() < 0.5:
            audio = audio[::-1]
        stems[index] = audio * gain
    if rng.random() < 0.15:  # lossy or old recordings: nothing above some frequency
        spectrum = np.fft.rfft(stems)
        spectrum[..., int(rng.uniform(9000, 16000) / 44100 * n_samples) :] = 0
        stems = np.fft.irfft(spectrum, n_samples).astype(np.float32)
    peak = np.abs(stems.sum(0)).max()
    return stems / max(1.0, float(peak))


def batches(
    pools: Pools, batch_size: int, n_samples: int, seed: int, first_step: int
) -> queue.Queue[Tensor | Exception]:
    """Batches (B, S, C, N) made ahead by a thread, or what stopped it; step n is the same whenever it is made."""
    ready: queue.Queue[Tensor | Exception] = queue.Queue(maxsize=8)

    def work() -> None:
        try:
            for step in itertools.count(first_step):
                rng = np.random.default_rng((seed, step))
                ready.put(torch.from_numpy(np.stack([example(pools, n_samples, rng) for _ in range(batch_size)])))
        except Exception as error:  # whatever it is, training must not wait for ever
            ready.put(error)

    threading.Thread(target=work, daemon=True).start()
    return ready


class Task:
    """Loss of a network on stems, through the model's transform."""

    def __init__(self, network: DTTNet, transform: Transform) -> None:
        self.network = network
        self.transform = transform
        self.window = torch.hann_window(transform.n_fft)

    def loss(self, stems: Tensor) -> Tensor:
        t = self.transform
        batch, n_stems, n_channels, n_samples = stems.shape
        mixture = stems.sum(1)
        spectrum = torch.stft(
            mixture.flatten(0, 1), t.n_fft, t.hop, window=self.window, center=True, return_complex=True
        )
        kept = spectrum[:, : t.n_bins].unflatten(0, (batch, n_channels)).transpose(2, 3)  # (B, C, T, F)
        packed = torch.view_as_real(kept).permute(0, 1, 4, 2, 3).flatten(1, 2)
        out = self.network(packed)
        out = out + (packed[:, None] - out.sum(1, keepdim=True)) / n_stems
        estimate = torch.view_as_complex(out.unflatten(2, (n_channels, 2)).permute(0, 1, 2, 5, 4, 3).contiguous())
        full = torch.nn.functional.pad(estimate, (0, 0, 0, t.n_fft // 2 + 1 - t.n_bins))
        audio = torch.istft(full.flatten(0, 2), t.n_fft, t.hop, window=self.window, length=n_samples)
        weights = torch.tensor([LOSS_WEIGHT[stem] for stem in STEMS])
        return ((audio.view_as(stems) - stems).abs().mean((0, 2, 3)) * weights).sum() / weights.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, required=True, help="JSON of a DTTNetConfig")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--stop-at", type=int, help="stop early at this step; the schedule stays that of --steps")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    config = DTTNetConfig.from_dict(json.loads(args.config.read_text()))
    transform = Transform(n_bins=config.n_bins)
    network = DTTNet(config)
    ema = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=False
    )
    optimiser = torch.optim.AdamW(network.parameters(), args.rate, weight_decay=1e-2)
    task = Task(network, transform)

    args.run.mkdir(parents=True, exist_ok=True)
    checkpoint = args.run / "checkpoint.pt"
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        step = state["step"]
        network.load_state_dict(state["network"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])

    def save() -> None:
        # The running statistics of the norms follow the network; the EMA is of the parameters.
        ema_weights = {**network.state_dict(), **dict(ema.module.named_parameters())}
        state = {
            "step": step,
            "config": config.to_dict(),
            "network": network.state_dict(),
            "ema": ema.state_dict(),
            "ema_weights": {name: tensor.detach().clone() for name, tensor in ema_weights.items()},
            "optimiser": optimiser.state_dict(),
        }
        torch.save(state, checkpoint.with_suffix(".partial"))
        checkpoint.with_suffix(".partial").rename(checkpoint)

    source = batches(Pools(args.pools), args.batch, (args.frames - 1) * transform.hop, args.seed, step)
    losses: list[float] = []
    started = time.perf_counter()
    network.train()
    while step < (args.stop_at or args.steps):
        warmup = min(1.0, (step + 1) / 100)
        rate = args.rate * warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        stems = source.get()
        if isinstance(stems, Exception):
            raise stems
        loss = task.loss(stems)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        ema.update_parameters(network)
        step += 1
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise SystemExit(f"step {step}: the loss is {losses[-1]}; the last checkpoint is {checkpoint}")
        if step % 100 == 0:
            seconds = (time.perf_counter() - started) / len(losses)
            with (args.run / "log.csv").open("a", newline="") as file:
                csv.writer(file).writerow(
                    [step, f"{np.mean(losses[-100:]):.6f}", f"{rate:.2e}", f"{seconds:.3f}", f"{time.time():.0f}"]
                )
        if step % 200 == 0:
            save()
    save()


if __name__ == "__main__":
    main()
