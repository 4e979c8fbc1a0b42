"""The commands `dttnet train` and `dttnet export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dttnet import exit_codes
from dttnet.errors import MissingExtraError, UsageError
from dttnet.exit_codes import with_exit_codes
from dttnet.options import split_names

if TYPE_CHECKING:
    from dttnet.training.trainer import Root


@click.command()
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--data", "roots", multiple=True, metavar="ROOT[=WEIGHT]", help="Folder of stems; several mix.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=None, help="Run folder.  [default: runs/CONFIG]")
@click.option("--from", "start", default=None, metavar="MODEL", help="Start from a model, an ONNX file or a run.")
@with_exit_codes
def train(
    config: str, overrides: tuple[str, ...], *, roots: tuple[str, ...], out: Path | None, start: str | None
) -> None:
    """Train a network.

    CONFIG is a YAML file or a configuration of the package; KEY=VALUE changes it: `steps=2000 optimizer.rate=1e-3`. The
    same command goes on with a run that was stopped, and ends with the same weights.

    Exit code: 0 all steps done, 130 stopped on request, otherwise as `dttnet separate`.
    """
    try:
        from dttnet.training.experiment import load_experiment
        from dttnet.training.start import find_start
        from dttnet.training.trainer import fit
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    experiment = load_experiment(config, overrides)
    if not roots:
        raise UsageError("--data is missing: give the folder of your stems")
    run = out or Path("runs") / Path(config).stem
    result = fit(
        experiment,
        [_root(root) for root in roots],
        run,
        start=find_start(start) if start is not None else None,
        report=lambda line: click.echo(f"dttnet: {line}", err=True),
        progress=sys.stderr.isatty(),
    )
    if not result.is_first_process:
        return
    if result.best is not None and result.best_usdr is not None:
        click.echo(f"{run}: best uSDR {result.best_usdr:.2f} dB ({result.best.name})")
    if result.interrupted:
        click.echo(f"{run}: stopped; the same command goes on from step {result.step}", err=True)
        sys.exit(exit_codes.INTERRUPTED)
    click.echo(f"{run}: {result.step} steps done. Next: dttnet export {run} -o MODEL")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the model.")
@click.option("--which", type=click.Choice(["best", "last"]), default="best", show_default=True)
@click.option("--stems", callback=split_names, default=None, help="Only these of the run, separated by commas.")
@click.option("--licence", default="", help="Of the weights: you decide; it goes into the model's card.")
@click.option("--training-data", default="", help="In words, in place of what the run knows.")
@click.option("--float16", "half_weights", is_flag=True, help="Half the size; the sound changes by less than -40 dB.")
@with_exit_codes
def export(
    run: Path,
    *,
    out: Path,
    which: str,
    stems: tuple[str, ...] | None,
    licence: str,
    training_data: str,
    half_weights: bool,
) -> None:
    """Make a model of a run: `dttnet separate -n MODEL SONG` takes it.

    RUN is the folder of a run or one of its checkpoints. Runs of other stems exported into the same folder make one
    model.
    """
    try:
        from dttnet.training.release import release
    except ModuleNotFoundError as error:
        raise MissingExtraError("Export", "train") from error

    result = release(
        run, out, which=which, stems=stems, licence=licence, training_data=training_data, half_weights=half_weights
    )
    click.echo(f"{result.path}: {', '.join(result.card.stems)}, step {result.step}")
    click.echo(f"  {result.report}")
    click.echo(f"  card: {result.card_path}")
    click.echo(f"Use it with: dttnet separate -n {out} SONG")


def _root(text: str) -> Root:
    from dttnet.training.trainer import Root

    path, equals, weight = text.rpartition("=")
    # A folder may have an equals sign in its name.
    if not equals or Path(text).exists():
        return Root(path=Path(text))
    try:
        value = float(weight)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise UsageError(f"--data {text}: the weight behind = must be a positive number, is {weight!r}")
    return Root(path=Path(path), weight=value)
