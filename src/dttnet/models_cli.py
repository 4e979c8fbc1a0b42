"""The commands `dttnet models ...`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dttnet.errors import MissingExtraError, ModelError
from dttnet.exit_codes import with_exit_codes
from dttnet.options import split_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dttnet.comparison import Row
    from dttnet.config import NetworkCard


@click.group()
def models() -> None:
    """The models there are, and how to bring your own."""


@models.command("list")
@with_exit_codes
def list_() -> None:
    """Models of this package, and published checkpoints that `models import` reads."""
    from dttnet import store
    from dttnet.runtime.onnx import read_card

    click.echo("In this package (use with `dttnet separate -n NAME`):\n")
    for name in store.shipped():
        model = store.find(name)
        default = " (default)" if name == store.DEFAULT_MODEL else ""
        for file in model.files:
            card = read_card(file)
            click.echo(f"  {name}{default}: {', '.join(card.stems)}")
            click.echo(f"    {_facts(card, file)}")
            click.echo(f"    licence: {card.licence}")
            click.echo(f"    training data: {card.training_data}")
            click.echo(f"    quality: {card.quality or 'not measured'}")
        if companions := store.companions_of(name):
            click.echo(f"    with --quality best: the mean of what it and {', '.join(companions)} give")
    click.echo("\nPublished by others (get the file, then `dttnet models import FILE --stem STEM -o FOLDER`):\n")
    for entry in store.published():
        click.echo(f"  {entry.file}: {entry.stem}; {entry.where}")
    click.echo(f"\n  Licence of all of these: {store.PUBLISHED_LICENCE}. Trained on {store.PUBLISHED_TRAINING_DATA}.")
    click.echo(
        "\nOf the networks it is compared with, `dttnet models import` reads, licences and data being said there:\n"
    )
    for title, where in store.BASELINES.items():
        click.echo(f"  {title}: {where}")


@models.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Everything the files say, as JSON.")
@with_exit_codes
def show(name: str, *, as_json: bool) -> None:
    """All that is known of the model NAME (a name of `models list`, a folder or a file)."""
    from dttnet import store
    from dttnet.runtime.onnx import read_card

    model = store.find(name)
    cards = [(file, read_card(file)) for file in model.files]
    if as_json:
        networks = [{"file": str(file), "sha256": store.file_sha256(file), **card.to_dict()} for file, card in cards]
        click.echo(json.dumps({"name": model.name, "sha256": model.sha256, "networks": networks}, indent=2))
        return
    for file, card in cards:
        click.echo(f"{model.name}: {', '.join(card.stems)}")
        for title, value in (
            ("file", file),
            ("sha256", store.file_sha256(file)),
            ("size, band", _facts(card, file)),
            ("cost", _cost(card)),
            ("licence", card.licence),
            ("training data", card.training_data),
            ("quality", card.quality or "not measured"),
            ("source", card.source or "unknown"),
            ("source sha256", card.source_sha256 or "-"),
            ("transform", ", ".join(f"{key} {number}" for key, number in card.transform.to_dict().items())),
            ("network", ", ".join(f"{key} {number}" for key, number in card.hyperparameters.items())),
        ):
            click.echo(f"  {title + ':':15} {value}")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@with_exit_codes
def verify(names: tuple[str, ...]) -> None:
    """Check the models of this package, or NAME...: their hashes, that they load, and that they compute what their
    source computed."""
    from dttnet import store
    from dttnet.doctor import check_model

    problems = []
    for name in names or store.shipped():
        model = store.find(name)
        found = check_model(model)
        problems += [f"{name}: {problem}" for problem in found]
        if not found:
            click.echo(f"{name}: ok ({len(model.files)} file{'s' * (len(model.files) > 1)}, sha256 {model.sha256})")
    if problems:
        raise ModelError("\n".join(problems))


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME_OR_FILE]...")
@click.option("--paper", is_flag=True, help="Also the papers' networks at full size, with random weights.")
@click.option(
    "--seconds", type=click.FloatRange(1, 600), default=20, show_default=True, help="Of noise, for the speed."
)
@click.option("--no-speed", is_flag=True, help="Measure no speed.")
@click.option("--threads", type=click.IntRange(1), default=None, help="Of the CPU.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per model.")
@with_exit_codes
def compare(
    names: tuple[str, ...], *, paper: bool, seconds: float, no_speed: bool, threads: int | None, as_json: bool
) -> None:
    """Parameters, cost, speed and quality of the models of this package, or of NAME_OR_FILE...

    Parameters in millions; thousand million multiply-accumulates (GMAC) per second of audio and real-time factor
    (seconds of work per second of audio, measured now) for all stems of a model together.
    """
    from dttnet import store
    from dttnet.comparison import compare as compare_model

    n_seconds = None if no_speed else seconds

    def rows() -> Iterator[Row]:
        for name in names or store.shipped():
            yield compare_model(name, seconds=n_seconds, threads=threads)
        if paper:
            try:
                from dttnet.training.paper import paper_rows
            except ImportError as error:
                raise MissingExtraError("Building the papers' networks", "train") from error
            yield from paper_rows(seconds=n_seconds, threads=threads)

    if not as_json:
        click.echo(_COLUMNS.format("model", "M par.", "GMAC/s", "RTF", "stems", "quality"))
    for row in rows():  # as they come: one may take a minute
        click.echo(json.dumps(row.to_dict()) if as_json else _line(row))


@models.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), default=None, help="YAML published with it (MDX23C).")
@click.option(
    "--stem",
    "stems",
    callback=split_names,
    default=None,
    help="What the network separates (several: a,b, in the order of its outputs).  [default: what the YAML says]",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of the model.")
@with_exit_codes
def import_(file: Path, *, config: Path | None, stems: tuple[str, ...] | None, out: Path) -> None:
    """Convert a published checkpoint (Lightning, state dict or safetensors) of a DTTNet, a TFC-TDF UNet v3 (MDX23C) or
    a BSRNN.

    Networks of several stems imported into one folder make one model: `dttnet separate -n FOLDER`.
    """
    try:
        from dttnet.training.conversion import convert
    except ImportError as error:
        raise MissingExtraError("Importing checkpoints", "train") from error

    result = convert(file, stems, out, config=config)
    click.echo(f"{result.path}: {_facts(result.card, result.path)}")
    click.echo(f"  {result.report}")
    click.echo(f"  source sha256: {result.card.source_sha256}")
    if result.assumed:
        values = ", ".join(f"{name} {value}" for name, value in result.assumed.items())
        click.echo(f"  the file does not say, and was taken to have: {values}")
    if result.published is not None:
        click.echo(f"  recognised as {result.published.file}")
    click.echo(f"  licence: {result.card.licence}; training data: {result.card.training_data}")
    click.echo(f"Use it with: dttnet separate -n {out} SONG")


_COLUMNS = "{:24} {:>7} {:>7} {:>6}  {:26} {}"


def _line(row: Row) -> str:
    return _COLUMNS.format(
        row.name,
        "?" if row.n_parameters is None else f"{row.n_parameters / 1e6:.2f}",
        "?" if row.gmac_per_second is None else f"{row.gmac_per_second:.1f}",
        "-" if row.real_time_factor is None else f"{row.real_time_factor:.2f}",
        ", ".join(row.stems),
        row.quality or "not measured",
    )


def _facts(card: NetworkCard, file: Path) -> str:
    size_mb = file.stat().st_size / 1e6
    return (
        f"{size_mb:.1f} MB, {card.transform.sample_rate} Hz, stems up to {card.transform.band_limit_hz / 1000:.1f} kHz"
    )


def _cost(card: NetworkCard) -> str:
    if not card.n_parameters:
        return "unknown"
    return f"{card.n_parameters / 1e6:.2f} M parameters, {card.gmac_per_second:.1f} GMAC per second of audio"
