"""Options that several commands have, and what they do with them."""

from __future__ import annotations

from pathlib import Path

import click

soundfonts_option = click.option(
    "--soundfont",
    "soundfonts",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A General MIDI sound font; may be repeated.  [default: those installed in the system]",
)
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), default=None, help="Processes.  [default: all CPUs]"
)


def split_names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Callback of an option: names separated by commas."""
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(","))
    if not all(names):
        raise click.BadParameter(f"{value!r}: give names, separated by commas")
    return names
