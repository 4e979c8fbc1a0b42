"""What Lightning trains: a network, its loss, its optimiser, and how it is validated.

Shapes: B batch, S stems, C channels, N samples, T frames, F bins.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from dttnet.config import NetworkCard
from dttnet.dataset import Track
from dttnet.errors import ModelError
from dttnet.metrics import usdr
from dttnet.runtime.torch import TorchNetwork
from dttnet.separator import Separator
from dttnet.training.experiment import Experiment, OptimizerConfig
from dttnet.training.losses import build_loss
from dttnet.training.optimizer import OPTIMIZERS
from dttnet.training.transform import SpectralTransform

# Estimates this far below the truth are silence to a listener.
SILENT_DB = -40.0


@dataclass(frozen=True, kw_only=True)
class Validated:
    """A track that was separated in a validation: stem to (C, N) each."""

    name: str
    sample_rate: int
    references: Mapping[str, NDArray[np.float32]]
    estimates: Mapping[str, NDArray[np.float32]]


class Task(L.LightningModule):
    """Training and validation of one network.

    Args:
        experiment: What to do.
        network: (B, 2C, T, F) -> (B, S, 2C, T, F).
        card: Of the network, for the separator that validates.
        tracks: To validate with.
        data: What is trained on, to be told from other data when a run goes on.

    Attributes:
        usdr: Score of each stem in the last validation, in dB; empty before the first.
        validated_step: Step of it, -1 before the first.
        validated: The first track of the last validation, on the first process.
    """

    def __init__(
        self,
        experiment: Experiment,
        network: nn.Module,
        card: NetworkCard,
        tracks: Sequence[Track] = (),
        *,
        data: str = "",
    ) -> None:
        super().__init__()
        self.experiment = experiment
        self.network = network
        self.card = card
        self.transform = SpectralTransform(card.transform)
        self.loss = build_loss(experiment.loss, self.transform, len(card.stems))
        self.tracks = tracks
        self.data = data
        self._losses: deque[Tensor] = deque(maxlen=experiment.log_every * experiment.accumulate)
        self.usdr: dict[str, float] = {}
        self.validated_step = -1
        self.validated: Validated | None = None
        self._scores: list[Tensor] = []

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        """`mixture` (B, C, N) and `stems` (B, S, C, N) -> loss."""
        mixture, stems = batch["mixture"], batch["stems"]
        # Half precision has too few digits for transforms and sums; the network alone runs in it.
        with torch.autocast(self.device.type, enabled=False):
            packed = self.transform.pack(mixture)
        out = self.network(packed)
        with torch.autocast(self.device.type, enabled=False):
            out = out.float()
            if self.experiment.loss.consistent:
                out = out + (packed - out.sum(1)).unsqueeze(1) / out.shape[1]
            loss = self.loss(out, self.transform.unpack(out, mixture.shape[-1]), stems)
        # One batch says little: the mean of those since the last entry of the log.
        self._losses.append(loss.detach())
        self.log("train/loss", torch.stack(list(self._losses)).mean(), prog_bar=True, batch_size=len(mixture))
        # Lightning's own count for logs loses a step when a run goes on.
        self.log("step", float(self.trainer.global_step + 1))
        self.log("train/rate", self.optimizers(use_pl_optimizer=False).param_groups[0]["lr"])  # type: ignore[union-attr]  # there is one
        return loss

    def validation_step(self, number: int, index: int) -> None:
        """Separate one track as the runtime does, and score it; -1 is no track, where other processes have one."""
        stems = self.card.stems
        scores = torch.full((2, len(stems)), torch.nan, dtype=torch.float64)
        if number >= 0:
            track = self.tracks[number]
            rate = self.card.transform.sample_rate
            start, n_samples = excerpt_of(track, rate, self.experiment.validation.max_seconds)
            references = {stem: track.read(stem, start, n_samples, sample_rate=rate) for stem in stems}
            separator = Separator([TorchNetwork(self.network, self.card)], stems=stems)
            mixture = track.read("mixture", start, n_samples, sample_rate=rate)
            estimates = separator.separate(mixture, rate)
            for position, stem in enumerate(stems):
                if references[stem].any():  # a silent reference has no SDR
                    scores[0, position] = usdr(references[stem], estimates[stem])
                    scores[1, position] = level_db(estimates[stem], references[stem])
            if index == 0 and self.trainer.is_global_zero:
                self.validated = Validated(
                    name=track.name, sample_rate=rate, references=references, estimates=estimates
                )
        self._scores.append(scores)

    def on_validation_epoch_end(self) -> None:
        scores = torch.stack(self._scores)  # (tracks, 2, S)
        self._scores.clear()
        if self.trainer.world_size > 1:
            # Every process has as many entries.
            gathered: Any = self.all_gather(scores.to(self.device, torch.float32))
            scores = gathered.flatten(0, 1).cpu().double()
        sdr = scores[:, 0].nanmean(0)
        levels = scores[:, 1].nanmean(0)
        values = {"val/usdr": float(sdr.nanmean())}
        self.usdr = {
            stem: value for stem, value in zip(self.card.stems, sdr.tolist(), strict=True) if not math.isnan(value)
        }
        self.validated_step = self.trainer.global_step
        for stem, value, level in zip(self.card.stems, sdr.tolist(), levels.tolist(), strict=True):
            values |= {f"val/usdr_{stem}": value, f"val/level_{stem}": level}
        self.log("step", float(self.trainer.global_step))
        for name, value in values.items():
            if math.isnan(value) and name != "val/usdr":
                continue
            # The device's own float, or a GPU's collective would meet a CPU's number.
            number = torch.tensor(value, dtype=torch.float32, device=self.device)
            self.log(name, number, prog_bar=name == "val/usdr", rank_zero_only=False, sync_dist=False)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        config = self.experiment.optimizer
        options: dict[str, Any] = {"lr": config.rate, "eps": config.eps}
        if config.weight_decay is not None:
            options["weight_decay"] = config.weight_decay
        # One kernel for all tensors in place of several for each. It unscales gradients itself, too late to clip them.
        precision = self.trainer.precision_plugin
        clips_scaled = self.experiment.gradient_clip is not None and isinstance(precision, MixedPrecision)
        fused = self.trainer.strategy.root_device.type == "cuda" and not clips_scaled
        optimizer = OPTIMIZERS[config.kind](self.network, fused=fused, **options)
        steps = self.experiment.steps
        schedule = LambdaLR(optimizer, lambda step: rate_share(config, step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["experiment"] = self.experiment.to_yaml()
        checkpoint["card"] = self.card.to_dict()
        checkpoint["data"] = self.data
        checkpoint["usdr"] = self.usdr
        checkpoint["validated_step"] = self.validated_step
        bad = [name for name, tensor in self.network.state_dict().items() if not tensor.isfinite().all()]
        if bad:
            raise ModelError(f"not saved: {bad[0]} and {len(bad) - 1} more tensors hold NaN or infinite values")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.usdr = dict(checkpoint["usdr"])
        self.validated_step = checkpoint["validated_step"]


def rate_share(config: OptimizerConfig, step: int, steps: int) -> float:
    """Learning rate at a step, as a share of `config.rate`."""
    share = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "exponential":
        share *= config.decay ** (step // config.decay_every)
    elif config.schedule == "cosine":
        phase = min(step / steps, 1.0)
        share *= config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * phase))
    return share


def excerpt_of(track: Track, sample_rate: int, max_seconds: float | None) -> tuple[int, int]:
    """First sample and number of samples that are validated: all, or the middle."""
    n_samples = -(-track.n_samples * sample_rate // track.sample_rate)
    n_wanted = n_samples if max_seconds is None else min(n_samples, int(max_seconds * sample_rate))
    return (n_samples - n_wanted) // 2, n_wanted


def level_db(estimate: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Energy of an estimate against that of its reference, which must not be silent."""
    energy = float(np.sum(np.square(reference, dtype=np.float64)))
    return 10 * math.log10(max(float(np.sum(np.square(estimate, dtype=np.float64))) / energy, 1e-12))
