"""A training run from its configuration to its checkpoints, by way of Lightning."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from dttnet.config import DTTNetConfig, NetworkCard
from dttnet.cpus import count_cpus
from dttnet.dataset import Dataset, Track, load_dataset
from dttnet.errors import DeviceError, DttnetError, UsageError
from dttnet.files import whole_file
from dttnet.nn.build import build_network
from dttnet.training.adapt import (
    change_depth,
    exchange_path,
    join_heads,
    level_input,
    repeat_bins,
    repeat_channels,
    take_stems,
)
from dttnet.training.callbacks import BestCheckpoints, Guard, LastCheckpoint, MovingAverage, Pictures, Report, Stopped
from dttnet.training.curve import LOGS, draw_curve, folder_of_start
from dttnet.training.data import Examples
from dttnet.training.distributed import SyncBatchNorm
from dttnet.training.experiment import PRECISIONS, Experiment, differences, read_experiment
from dttnet.training.loader import Order, ResumableLoader
from dttnet.training.start import CHECKPOINTS, LAST, RunCheckpoint, Start, read_checkpoint
from dttnet.training.task import Task

CONFIG = "config.yaml"
_TRAINED = ("train", "")
"""Splits that are trained on."""


@dataclass(frozen=True, kw_only=True)
class Root:
    """A folder of stems and how often it is drawn from, against the others."""

    path: Path
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """What a run came to.

    Attributes:
        step: Steps done, of all there are; if it was interrupted, those that were saved.
        interrupted: It was asked to stop; the same call goes on.
        is_first_process: Of those that train together: the one that talks to people.
        best_usdr: Of all validations, in dB; None without one.
        best: Checkpoint of it.
    """

    run: Path
    step: int
    interrupted: bool
    is_first_process: bool
    best_usdr: float | None
    best: Path | None


def fit(
    experiment: Experiment,
    roots: Sequence[Root],
    run: Path,
    *,
    start: Start | None = None,
    report: Report = lambda _: None,
    progress: bool = False,
) -> FitReport:
    """Train; or go on, where `run` holds a run of the same experiment.

    Args:
        experiment: What to do.
        roots: Data; see `dttnet.dataset.load_dataset`. Tracks of the splits "train" and "" are trained on, those of
            "valid" validated.
        run: Folder of the run: `config.yaml`, `checkpoints/`, `logs/`, `curve.png` and TensorBoard's files.
        start: Model to start from; None is random weights.
        report: See `Report`.
        progress: Show a bar.

    Raises:
        UsageError: The folder holds another experiment, there is no data, or a value does not fit.
        ModelError: Training diverged, or the model to start from is another network.
        DeviceError: The accelerator is not there.
    """
    experiment = _complete(experiment, start)
    config = experiment.network_config
    datasets = [(load_dataset(root.path, stems=experiment.mixture_stems), root.weight) for root in roots]
    tracks = _validation_tracks(datasets, experiment)
    last = run / CHECKPOINTS / LAST
    if not _rank():  # the others would meet files of the first
        _check_run(experiment, run)
    else:
        report = _say_nothing
    data = _fingerprint(datasets)
    saved = _saved(last)
    first_step = saved.step if saved else 0
    resumes = first_step > 0
    if resumes:
        report(f"{run}: goes on at step {first_step}")
    for dataset, _ in datasets:
        _report_unused(dataset, report)
    if not tracks:
        report("the data has no tracks of a split 'valid': nothing is validated, and only the last checkpoint is kept")

    L.seed_everything(experiment.seed, verbose=False)
    if experiment.hardware.threads is not None:
        torch.set_num_threads(experiment.hardware.threads)
    network = build_network(config)
    if start is not None:
        _adapt(start, experiment).load_into(network)
    if experiment.hardware.compile:
        network.compile()
    card = NetworkCard(
        stems=tuple(experiment.stems),
        transform=experiment.transform_config,
        n_frames=experiment.n_frames,
        frame_multiple=config.frame_multiple,
        hyperparameters=config.to_dict(),
        licence="",
        training_data=_describe(datasets, experiment, start),
    )
    trained_on = saved.card.training_data if saved else ""
    if resumes and trained_on != card.training_data:
        # Or the card would forget what the weights come from.
        raise UsageError(
            f"{run}: was trained on other data, or from another start; choose another folder, or undo: "
            f"{trained_on} -> {card.training_data}"
        )
    if resumes and saved and saved.data not in ("", data):
        raise UsageError(
            f"{run}: was trained on other files than these, which are as many and as long ({trained_on}); choose "
            "another folder for the run"
        )
    task = Task(experiment, network, card, tracks, data=data)
    last_checkpoint = LastCheckpoint(last, every=experiment.save_every, report=report)
    best = BestCheckpoints(
        dirpath=run / CHECKPOINTS,
        filename="best-{step}-{val/usdr:.4f}",
        auto_insert_metric_name=False,
        monitor="val/usdr",
        mode="max",
        save_top_k=experiment.validation.keep,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    with _quiet():
        trainer = _trainer(
            experiment,
            run,
            # The last checkpoint keeps what the other knows of the best ones.
            [*([best] if tracks else []), last_checkpoint],
            report,
            first_step=first_step,
            progress=progress,
        )
        if trainer.is_global_zero:
            with whole_file(run / CONFIG) as partial:
                partial.write_text(experiment.to_yaml(), encoding="utf-8")
        loader = _loader(experiment, datasets, trainer)
        validation = _validation_loader(tracks, trainer) if tracks else None
        try:
            trainer.fit(task, loader, validation, ckpt_path=last if resumes else None, weights_only=True)
        except (Stopped, SystemExit):  # Lightning makes an exit of a second Ctrl-C
            if not last_checkpoint.interrupted:
                raise
        except DttnetError as error:
            # That of a worker has its traceback before it, as text.
            name = f"{type(error).__module__}.{type(error).__qualname__}: "
            if name not in str(error):
                raise
            raise type(error)(str(error).rpartition(name)[2].strip()) from error
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"{trainer.strategy.root_device} is out of memory: make batch_size smaller and accumulate larger"
            ) from error
        finally:
            loader.close()
    if trainer.is_global_zero:
        draw_curve(run)
    step = trainer.global_step
    if last_checkpoint.interrupted:
        saved = _saved(last)
        step = saved.step if saved else 0
    return FitReport(
        run=run,
        step=step,
        interrupted=last_checkpoint.interrupted,
        is_first_process=trainer.is_global_zero,
        best_usdr=None if best.best_model_score is None else float(best.best_model_score),
        best=Path(best.best_model_path) if best.best_model_path else None,
    )


def _complete(experiment: Experiment, start: Start | None) -> Experiment:
    """The experiment with all that follows from the model it starts from and from its length."""
    if start is not None and experiment.network and "architecture" not in experiment.network:
        raise UsageError(
            f"network has {', '.join(experiment.network)} but no architecture: give a configuration with the whole "
            f"network, or leave network out to take that of {start.name}"
        )
    if not experiment.network:
        if start is None:
            raise UsageError("the configuration names no network: give it one, or a model to start from")
        card = start.card
        own = card.transform.to_dict()
        changed = [name for name, value in experiment.transform.items() if own.get(name) != value]
        if changed:
            raise UsageError(
                f"transform.{changed[0]} is {experiment.transform[changed[0]]}, that of {start.name} is "
                f"{own.get(changed[0])}: leave it out, or give a configuration with the whole network"
            )
        follows = ("n_bins", "n_stems")
        network = {name: value for name, value in card.hyperparameters.items() if name not in follows}
        stems = experiment.stems or list(card.stems)
        unknown = [stem for stem in stems if stem not in card.stems]
        if unknown:
            raise UsageError(
                f"{start.name} gives {', '.join(card.stems)}: it has no {', '.join(unknown)} to start from"
            )
        # Users get the stems of a model that gives all of them made to add up: learn for that.
        adds_up = set(stems) == set(experiment.mixture_stems)
        if not adds_up:
            network.pop("masks_add_up", None)
        experiment = replace(
            experiment,
            stems=stems,
            transform=card.transform.to_dict(),
            network=network,
            loss=replace(experiment.loss, consistent=adds_up),
        )
    # A run shorter than the interval is validated at its end.
    every = min(experiment.validation.every, experiment.steps)
    return replace(experiment, validation=replace(experiment.validation, every=every))


def _adapt(start: Start, experiment: Experiment) -> Start:
    """The start, with the stems, bins, channels and dual path of the experiment where they can be made of its own."""
    stems = experiment.stems
    if set(stems) <= set(start.card.stems) and stems != list(start.card.stems):
        start = take_stems(start, stems, adds_up=set(start.card.stems) == set(experiment.mixture_stems))
    n_bins = experiment.transform_config.n_bins
    if n_bins > start.card.transform.n_bins:
        start = repeat_bins(start, n_bins)
    config = experiment.network_config
    if not isinstance(config, DTTNetConfig):
        return start
    known = start.card.hyperparameters
    if config.growth > known.get("growth", config.growth):
        start = repeat_channels(start, config.growth, seed=experiment.seed)
        known = start.card.hyperparameters
    n_layers, n_heads = config.n_dual_path_layers, config.n_heads
    if config.rnn != known.get("rnn", config.rnn):
        start = exchange_path(start, config.rnn, n_layers=n_layers, n_heads=n_heads, seed=experiment.seed)
        known = start.card.hyperparameters
    if n_heads != known.get("n_heads", n_heads):
        start = join_heads(start, n_heads)
    if n_layers != known.get("n_dual_path_layers", n_layers):
        start = change_depth(start, n_layers, seed=experiment.seed)
    if config.input_rms != known.get("input_rms", 0.0):
        start = level_input(start, config.input_rms)
    return start


def _validation_tracks(datasets: Sequence[tuple[Dataset, float]], experiment: Experiment) -> list[Track]:
    tracks = [track for dataset, _ in datasets for track in dataset.tracks if track.split == "valid"]
    return tracks[: experiment.validation.max_tracks]


def _report_unused(dataset: Dataset, report: Report) -> None:
    if dataset.remark:
        report(dataset.remark)
    names = [track.name for track in dataset.incomplete if track.split in _TRAINED]
    if names:
        report(
            f"{dataset.root}: {len(names)} of the tracks to train with have a mixture but lack stems, such as "
            f"{names[0]}: only their stems are heard, never what else is in the mixture"
        )


def _rank() -> int:
    """Of this process among those that train together, as its launcher says; also before there is a trainer."""
    rank: int | None = getattr(rank_zero_only, "rank", None)
    return rank or 0


def _say_nothing(_: str) -> None:
    """The report of the processes that are not the first."""


def _saved(last: Path) -> RunCheckpoint | None:
    """A run's last checkpoint, if it has one."""
    return read_checkpoint(last) if last.is_file() else None


def _fingerprint(datasets: Sequence[tuple[Dataset, float]]) -> str:
    """The same for the same files by name, length and rate in the same order, wherever their folder is."""
    summed = hashlib.sha256()
    for dataset, weight in datasets:
        files = [
            (track.name, stem, clip.n_samples, clip.sample_rate)
            for track in _training_tracks(dataset)
            for stem, clip in track.stems.items()
        ]
        files += [
            (clip.path.name, stem, clip.n_samples, clip.sample_rate)
            for stem, clips in dataset.loose.items()
            for clip in clips
        ]
        summed.update(repr((weight, files)).encode())
    return summed.hexdigest()


def _check_run(experiment: Experiment, run: Path) -> None:
    """A run goes on only as what it was, and nothing that is no run is written into."""
    config = run / CONFIG
    if not config.is_file():
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            raise UsageError(f"{run}: exists and is not the folder of a run; choose another one")
        return
    if not list((run / CHECKPOINTS).glob("*.ckpt")):
        return
    changed = differences(read_experiment(config.read_text(encoding="utf-8"), str(config)), experiment)
    if changed:
        raise UsageError(
            f"{run}: holds a run of another experiment; choose another folder, or undo: " + "; ".join(changed)
        )


def _trainer(
    experiment: Experiment,
    run: Path,
    checkpoints: list[Callback],
    report: Report,
    *,
    first_step: int,
    progress: bool,
) -> L.Trainer:
    hardware = experiment.hardware
    tensorboard = TensorBoardLogger(run, name="", version="")
    callbacks: list[Callback] = []
    if experiment.ema_decay is not None:
        callbacks.append(MovingAverage(experiment.ema_decay))
    callbacks += [
        Guard(every=experiment.log_every, report=report),
        Pictures(tensorboard),
        *checkpoints,
    ]
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=10))  # each refresh waits for the device
    on_cuda = hardware.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    precision = hardware.precision if hardware.precision != "auto" else "float16" if on_cuda else "float32"
    try:
        trainer = L.Trainer(
            accelerator=hardware.accelerator,
            devices=hardware.devices or "auto",
            num_nodes=hardware.n_nodes,
            strategy=hardware.strategy,
            precision=PRECISIONS[precision],  # type: ignore[arg-type]  # one of Lightning's literals
            max_epochs=-1,
            max_steps=experiment.steps,
            accumulate_grad_batches=experiment.accumulate,
            gradient_clip_val=experiment.gradient_clip,
            val_check_interval=experiment.validation.every * experiment.accumulate,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=experiment.log_every,
            callbacks=callbacks,
            logger=[CSVLogger(run, name=LOGS, version=folder_of_start(first_step)), tensorboard],
            plugins=[SyncBatchNorm()] if experiment.sync_batchnorm and not on_cuda else None,
            sync_batchnorm=experiment.sync_batchnorm and on_cuda,
            benchmark=on_cuda,
            enable_progress_bar=progress,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise DeviceError(f"hardware: {(str(error).splitlines() or ['cannot be used'])[0]}") from error
    # Lightning would take bfloat16 on a CPU, and go on.
    if trainer.precision != PRECISIONS[precision]:
        raise DeviceError(
            f"hardware.precision is {precision}, which {trainer.strategy.root_device.type} cannot be trained in: give "
            "bfloat16 or float32"
        )
    return trainer


def _loader(experiment: Experiment, datasets: Sequence[tuple[Dataset, float]], trainer: L.Trainer) -> ResumableLoader:
    order = Order(
        n_batches=experiment.steps * experiment.accumulate,
        batch_size=experiment.batch_size,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )
    examples = Examples(
        [(replace(dataset, tracks=_training_tracks(dataset)), weight) for dataset, weight in datasets],
        targets=experiment.stems,
        n_samples=experiment.n_samples,
        sample_rate=experiment.transform_config.sample_rate,
        seed=experiment.seed,
        config=experiment.data,
        n_examples=order.n_batches * order.batch_size,
    )
    on_cuda = trainer.strategy.root_device.type == "cuda"
    n_workers = experiment.hardware.n_workers
    if n_workers is None:
        n_workers = max(1, count_cpus() // trainer.num_devices - 1) if on_cuda else 1
    return ResumableLoader(examples, order, n_workers=n_workers, pin_memory=on_cuda)


def _training_tracks(dataset: Dataset) -> tuple[Track, ...]:
    return tuple(track for track in dataset.tracks if track.split in _TRAINED)


def _validation_loader(tracks: Sequence[Track], trainer: L.Trainer) -> DataLoader[int]:
    """Numbers of the tracks of this process; -1 where others have one more, so that all do as many steps."""
    n_each = -(-len(tracks) // trainer.world_size)
    mine = list(range(trainer.global_rank, len(tracks), trainer.world_size))
    mine += [-1] * (n_each - len(mine))
    return DataLoader(mine, batch_size=None)  # type: ignore[arg-type]  # a list will do


def _describe(datasets: Sequence[tuple[Dataset, float]], experiment: Experiment, start: Start | None) -> str:
    """What was trained on, in words, for the card."""
    parts = []
    # A folder of validation songs alone is not trained on.
    with_tracks = [(dataset, weight, _training_tracks(dataset)) for dataset, weight in datasets]
    trained_on = [one for one in with_tracks if one[2] or one[0].loose]
    for dataset, weight, tracks in trained_on:
        hours = sum(track.duration_s for track in tracks) / 3600
        facts = [f"{len(tracks)} tracks, {hours:.1f} h"] if tracks else []
        for stem, clips in dataset.loose.items():
            loose_hours = sum(clip.duration_s for clip in clips) / 3600
            facts.append(f"{len(clips)} loose files of {stem}, {loose_hours:.1f} h")
        share = f", weight {weight:g}" if len(trained_on) > 1 else ""
        parts.append(f"{dataset.root.resolve().name} ({'; '.join(facts)}{share})")
    text = "; ".join(parts)
    laid = experiment.data.clips
    if laid.sets is not None:
        left_out = f" without {', '.join(laid.without)}" if laid.without else ""
        text += f"; over {laid.share:.0%} of the examples clips of {Path(laid.sets).resolve().name}{left_out}"
    if start is not None:
        text += f"; started from {start.name} ({start.card.training_data or 'trained on unknown data'})"
    return text


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's banners and advice are for those who write code with it; ours come through `report`."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
