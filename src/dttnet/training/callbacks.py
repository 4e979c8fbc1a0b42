"""What happens beside the steps of a run: the average of the weights, checkpoints, warnings, pictures."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dttnet.errors import ModelError
from dttnet.training.loader import ResumableLoader
from dttnet.training.task import SILENT_DB, Task, Validated

Report = Callable[[str], None]
"""Called with one line that a person should read."""


class Stopped(Exception):  # noqa: N818  # not an error
    """A run was asked to stop, and has saved where it was."""


class MovingAverage(WeightAveraging):
    """Exponential moving average of the weights and of the statistics of the normalisations.

    Validated, saved (as `state_dict`) and exported in the place of the weights themselves. In the first steps the decay
    is (1 + n) / (10 + n), or the average would remember the random start.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._n_updates = 0
        super().__init__(use_buffers=True, multi_avg_fn=self._average)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        if step_idx is None:
            return False
        self._n_updates = step_idx
        return True

    def _average(self, averages: Any, current: Any, n_averaged: Tensor | int) -> None:
        decay = min(self._decay, (1 + self._n_updates) / (10 + self._n_updates))
        get_ema_multi_avg_fn(decay)(averages, current, n_averaged)  # type: ignore[no-untyped-call]  # it has none


class BestCheckpoints(ModelCheckpoint):
    """Those with the best scores, also of a run whose folder was moved or copied: Lightning would forget them."""

    @property
    def state_key(self) -> str:
        # As Lightning's own, or runs that were begun with that would lose theirs.
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        paths = {name: here(path) for name, path in state_dict.items() if name.endswith("_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})


class LastCheckpoint(Checkpoint):
    """`last.ckpt`: every so many steps, around validations, at the end, and when somebody asks the run to stop.

    The first Ctrl-C or SIGTERM lets the step come to its end (or the track that is being validated), saves, and raises
    `Stopped`; the second stops at once. What was saved before a validation that did not come to its end makes up for it
    when the run goes on.

    Attributes:
        interrupted: Somebody asked.
    """

    def __init__(self, path: Path, *, every: int, report: Report) -> None:
        self.path = path
        self.interrupted = False
        self._every = every
        self._report = report
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._interrupt)
        assert isinstance(pl_module, Task)
        step = trainer.global_step
        is_due = step > 0 and step % pl_module.experiment.validation.every == 0 and trainer.val_dataloaders is not None
        if is_due and pl_module.validated_step != step:
            # As `lightning.pytorch.loops.training_epoch_loop` does after a step.
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        if self.interrupted:
            signal.signal(number, self._previous[signal.Signals(number)])
            raise KeyboardInterrupt
        self.interrupted = True
        self._report("stopping; once more stops at once, and loses what was not saved")

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, Task)
        loader = trainer.train_dataloader
        assert isinstance(loader, ResumableLoader)
        loader.n_used = trainer.global_step * trainer.accumulate_grad_batches
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        step = trainer.global_step
        stop = self._is_asked_to_stop(trainer)
        every = (self._every, pl_module.experiment.validation.every)
        if stop or step == trainer.max_steps or any(step % interval == 0 for interval in every):
            self._save(trainer)
        if stop:
            # Not `trainer.should_stop`: that would validate first.
            raise Stopped

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._is_asked_to_stop(trainer):
            raise Stopped

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save(trainer)  # with the scores

    def _is_asked_to_stop(self, trainer: L.Trainer) -> bool:
        if trainer.world_size == 1:
            return self.interrupted
        return trainer.strategy.reduce_boolean_decision(self.interrupted, all=False)

    def _save(self, trainer: L.Trainer) -> None:
        # Beside the old one, which is the only way back until the new one is whole.
        partial = self.path.with_name(f".{self.path.name}")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            partial.replace(self.path)


class Guard(Callback):
    """Says how a run goes, and when it goes wrong: stops it when the loss is no number, warns when it grows or an
    estimate is silent."""

    def __init__(self, *, every: int, report: Report) -> None:
        self._every = every
        self._report = report
        self._sum: Tensor | None = None
        self._n = 0
        self._lowest = float("inf")
        self._has_warned = False

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = outputs["loss"].detach() * trainer.accumulate_grad_batches
        # Summed on the device: looking at every loss would make the processor wait for it.
        self._sum = loss if self._sum is None else self._sum + loss
        self._n += 1
        if self._n < self._every and trainer.global_step > 1:
            return
        # Of all processes, so that they all come to the same decision.
        mean = float(trainer.strategy.reduce(self._sum / self._n, reduce_op="mean"))
        self._sum, self._n = None, 0
        step = trainer.global_step
        if not np.isfinite(mean):
            raise ModelError(
                f"the loss is {mean} at step {step}: training diverged. Lower optimizer.rate, set gradient_clip, or "
                "use bfloat16 in place of float16; the last checkpoint is from before"
            )
        if mean > 10 * self._lowest and not self._has_warned:
            self._has_warned = True
            self._report(
                f"step {step}: the loss is {mean:.3g}, ten times its lowest ({self._lowest:.3g}): training diverges. "
                "Lower optimizer.rate or set gradient_clip"
            )
        self._lowest = min(self._lowest, mean)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        scores = ", ".join(f"{stem} {value:.2f}" for stem, value in pl_module.usdr.items())
        self._report(f"step {trainer.global_step}: validation uSDR in dB: {scores or 'all references are silent'}")
        for stem in pl_module.card.stems:
            level = trainer.callback_metrics.get(f"val/level_{stem}")
            if level is not None and float(level) < SILENT_DB:
                self._report(
                    f"step {trainer.global_step}: {stem} has collapsed to silence: the estimates are "
                    f"{-float(level):.0f} dB below the truth"
                )


class Pictures(Callback):
    """Sound and spectrograms of the first validation track, truth and estimate, in TensorBoard."""

    def __init__(self, logger: TensorBoardLogger, *, max_seconds: float = 10.0) -> None:
        self._logger = logger
        self._max_seconds = max_seconds

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        if pl_module.validated is None or not trainer.is_global_zero:
            return
        shown = _loudest(pl_module.validated, self._max_seconds)
        writer = self._logger.experiment
        step = trainer.global_step
        for stem in pl_module.card.stems:
            for what, tracks in (("truth", shown.references), ("estimate", shown.estimates)):
                mono = torch.from_numpy(tracks[stem].mean(0)).clamp(-1, 1)
                writer.add_audio(f"{stem}/{what}", mono[None], step, sample_rate=shown.sample_rate)
        writer.add_figure(f"spectrograms/{shown.name}", draw_spectrograms(shown), step)
        writer.flush()


def _loudest(track: Validated, max_seconds: float) -> Validated:
    """The part of a track in which most is going on."""
    n_wanted = int(max_seconds * track.sample_rate)
    mixture = np.sum([reference.mean(0) for reference in track.references.values()], axis=0)
    energy = np.concatenate([[0.0], np.cumsum(np.square(mixture, dtype=np.float64))])
    if len(mixture) <= n_wanted:
        return track
    start = int(np.argmax(energy[n_wanted:] - energy[:-n_wanted]))

    def cut(tracks: Any) -> dict[str, Any]:
        return {stem: samples[:, start : start + n_wanted] for stem, samples in tracks.items()}

    return Validated(
        name=track.name,
        sample_rate=track.sample_rate,
        references=cut(track.references),
        estimates=cut(track.estimates),
    )


def draw_spectrograms(track: Validated) -> Any:
    """A matplotlib figure: a row per stem, truth on the left, estimate on the right, in dB."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 2.5 * len(track.references)), layout="constrained")
    axes = figure.subplots(len(track.references), 2, squeeze=False, sharex=True, sharey=True)
    for row, stem in zip(axes, track.references, strict=True):
        for axis, what, tracks in zip(row, ("truth", "estimate"), (track.references, track.estimates), strict=True):
            mono = torch.from_numpy(tracks[stem].mean(0))
            spectrum = torch.stft(mono, 2048, 512, window=torch.hann_window(2048), return_complex=True).abs()
            extent = (0.0, len(mono) / track.sample_rate, 0.0, track.sample_rate / 2000)
            # The floor is that of 16 bits; silence has a logarithm too.
            decibels = 20 * torch.log10(spectrum / 1024 + 1e-6)
            axis.imshow(decibels, origin="lower", aspect="auto", extent=extent, vmin=-100, vmax=-20)
            axis.set_title(f"{stem}: {what}")
    figure.supxlabel("s")
    figure.supylabel("kHz")
    return figure
