"""The commands `dttnet patterns ...`."""

from __future__ import annotations

from pathlib import Path

import click

from dttnet.exit_codes import with_exit_codes
from dttnet.options import split_names


@click.group()
def patterns() -> None:
    """Sounds that separators take for the wrong stem: test sets, and what they show."""


@patterns.command()
@click.argument("clips", type=click.Path(path_type=Path))
@click.argument("songs", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--classes", type=click.Path(path_type=Path), default=None, help="[default: CLIPS/classes.yaml]")
@click.option("--split", default="test", show_default=True, help="Of the songs: test, valid, train or all.")
@click.option(
    "--stems",
    callback=split_names,
    default="vocals,drums,bass,other",
    show_default=True,
    help="All that the songs are the sum of.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--coverage", type=float, default=0.45, show_default=True, help="Share of a song that clips lie over.")
@with_exit_codes
def build(
    clips: Path,
    songs: Path,
    out: Path,
    *,
    classes: Path | None,
    split: str,
    stems: tuple[str, ...],
    seed: int,
    coverage: float,
) -> None:
    """Lay clips over songs: a test set for each class, one with all classes, and one untouched.

    CLIPS has a folder of recordings for each class, and classes.yaml that says which stem each belongs to:
    `guitar: other`, `riser: {stem: other, reverses: true}`. SONGS is a folder of stems. OUT gets the clips, divided
    into train, valid and test, and a folder for each set that `dttnet evaluate` reads; patterns.json says what lies
    where. Stems that get no clips are hard links to those of SONGS where the disk allows it.

    Exit code: 0 done; 1 a recording is silent, clipped or cannot be read; 2 wrong usage; 3 a package is missing.
    """
    from dttnet.patterns import Plan
    from dttnet.patterns import build as build_sets

    plan = Plan(
        clips=clips, songs=songs, out=out, classes=classes, split=split, stems=stems, seed=seed, coverage=coverage
    )
    manifest = build_sets(plan, report=lambda name: click.echo(f"{out / name}", err=True))
    for name, parts in manifest["recordings"].items():
        counts = ", ".join(f"{len(paths)} {part}" for part, paths in parts.items())
        click.echo(f"{name} ({manifest['classes'][name]['stem']}): recordings {counts}")
    click.echo(f"{out}: {len(manifest['sets'])} sets; now dttnet evaluate {out}/SET --model MODEL")


@patterns.command()
@click.argument("sets", type=click.Path(path_type=Path))
@click.option("-n", "--model", "models", multiple=True, required=True, help="A name, a folder or a file; repeat it.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder of scores and estimates.")
@click.option("--stem", default="vocals", show_default=True, help="Of the picture.")
@click.option(
    "-j", "--jobs", "n_jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Songs at a time."
)
@click.option("-d", "--device", default="auto", show_default=True, help="Of the models: auto, cpu, cuda, ...")
@with_exit_codes
def report(sets: Path, *, models: tuple[str, ...], out: Path, stem: str, n_jobs: int, device: str) -> None:
    """Scores of models on the sets of `patterns build`, and how much of each class goes to the wrong stem.

    Tables go to standard output and OUT/report.md, all numbers to report.json, a picture to report.png (with the extra
    `plots`). What is in OUT is not computed again.

    Exit code: 0 done; 1 a song failed; 2 wrong usage; 3 a model is missing or broken.
    """
    from dttnet.errors import MissingExtraError
    from dttnet.evaluate import ModelSettings, with_few_threads
    from dttnet.pattern_report import draw, examine, write

    def say(line: str) -> None:
        click.echo(line, err=True)

    reports = [
        examine(
            sets,
            with_few_threads(ModelSettings(model=model, device=device), n_jobs),
            out,
            n_workers=n_jobs,
            progress=say,
        )
        for model in models
    ]
    click.echo(write(reports, out))
    try:
        draw(reports, stem, out / "report.png")
    except MissingExtraError as error:
        say(f"dttnet: no picture: {error}")
