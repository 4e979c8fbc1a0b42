"""From a run to a model: an ONNX file that `dttnet separate -n` takes, and the card that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dttnet.config import DTTNetConfig, NetworkCard, network_config
from dttnet.errors import UsageError
from dttnet.files import whole_file
from dttnet.nn.build import build_network
from dttnet.runtime.onnx import read_card
from dttnet.training.adapt import take_stems
from dttnet.training.experiment import Experiment
from dttnet.training.export import ParityReport, export
from dttnet.training.start import RunCheckpoint, Start, find_checkpoint, read_checkpoint

UNSTATED = "not stated: ask whoever gave you the file"


@dataclass(frozen=True, kw_only=True)
class Release:
    """What `release` made."""

    path: Path
    card_path: Path
    card: NetworkCard
    step: int
    report: ParityReport


def release(
    run: Path,
    folder: Path,
    *,
    which: str = "best",
    stems: Sequence[str] | None = None,
    licence: str = "",
    training_data: str = "",
    quality: str = "",
    half_weights: bool = False,
) -> Release:
    """Export a checkpoint into the model `folder`, as `STEMS.onnx` and `STEMS.md`.

    Args:
        run: Folder of a run, or a checkpoint.
        which: "best" or "last" checkpoint of the run.
        stems: Some of the run's; None is all.
        licence: Of the weights.
        training_data: In words, in place of what the run knows.
        quality: In words, in place of the run's validation scores.
        half_weights: See `export`.

    Raises:
        ModelError: There is no checkpoint, or the exported network does not compute what the trained one does.
        UsageError: The run has not these stems, or is of an architecture that some stems cannot be taken from.
    """
    checkpoint = read_checkpoint(find_checkpoint(run, which=which))
    config = checkpoint.experiment.network_config
    start = Start(name=str(checkpoint.path), card=checkpoint.card, state=checkpoint.state)
    # Such estimates mean nothing until they are made to add up: here by the network itself, at no cost.
    adds_up = (
        isinstance(config, DTTNetConfig)
        and config.mask
        and (checkpoint.experiment.loss.consistent or config.masks_add_up)
    )
    known = checkpoint.card.stems
    unknown = [stem for stem in stems or () if stem not in known]
    if unknown:
        raise UsageError(f"{run}: gives {', '.join(known)}, but not {', '.join(unknown)}")
    if adds_up or (stems is not None and tuple(stems) != known):
        start = take_stems(start, stems or known, adds_up=adds_up)
    network = build_network(network_config(dict(start.card.hyperparameters)))
    start.load_into(network)
    card = replace(
        start.card,
        licence=licence or UNSTATED,
        training_data=training_data or checkpoint.card.training_data,
        quality=quality or _quality(checkpoint, start.card.stems),
        source=f"dttnet train, {checkpoint.step} steps",
    )
    path = folder / f"{'-'.join(card.stems)}.onnx"
    for other in sorted(set(folder.glob("*.onnx")) - {path}):
        own, new = set(read_card(other).stems), set(card.stems)
        # Networks of the same stems would be averaged.
        if own != new and own & new:
            twice = ", ".join(sorted(own & new))
            raise UsageError(f"{other}: gives {twice} already; remove it, or choose another folder")
    report = export(network, card, path, half_weights=half_weights)
    card_path = path.with_suffix(".md")
    with whole_file(card_path) as partial:
        partial.write_text(_text(card, checkpoint, path, report), encoding="utf-8")
    return Release(path=path, card_path=card_path, card=card, step=checkpoint.step, report=report)


def _quality(checkpoint: RunCheckpoint, stems: Sequence[str]) -> str:
    if not checkpoint.usdr:
        return ""
    scores = ", ".join(f"{stem} {value:.2f} dB" for stem, value in checkpoint.usdr.items() if stem in stems)
    validation = checkpoint.experiment.validation
    limits = [f"at most {validation.max_tracks}"] if validation.max_tracks is not None else []
    limits += [f"{validation.max_seconds:g} s of each"] if validation.max_seconds is not None else []
    limited = f" ({', '.join(limits)})" if limits else ""
    return f"uSDR on the run's validation tracks{limited}: {scores}"


def _text(card: NetworkCard, checkpoint: RunCheckpoint, path: Path, report: ParityReport) -> str:
    experiment = checkpoint.experiment
    rows = {
        "stems": ", ".join(card.stems),
        "licence of the weights": card.licence,
        "training data": card.training_data,
        "training": f"{checkpoint.step} steps of {_batch(experiment)}, seed {experiment.seed}",
        "weights": "exponential moving average" if experiment.ema_decay is not None else "of the last step",
        "quality": card.quality or "not measured",
        "highest frequency": f"{card.transform.band_limit_hz / 1000:.1f} kHz",
        "export": str(report),
    }
    lines = [f"# {path.name}", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    lines += ["", "The whole configuration:", "", "```yaml", experiment.to_yaml().strip(), "```", ""]
    return "\n".join(lines)


def _batch(experiment: Experiment) -> str:
    seconds = experiment.n_samples / experiment.transform_config.sample_rate
    n_examples = experiment.batch_size * experiment.accumulate
    return f"{n_examples} examples of {seconds:.2f} s"
