"""The commands `dttnet patterns ...`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dttnet.exit_codes import with_exit_codes
from dttnet.options import soundfonts_option, split_names, workers_option


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
    from dttnet import store
    from dttnet.errors import MissingExtraError, UsageError
    from dttnet.evaluate import ModelSettings, with_few_threads
    from dttnet.pattern_report import draw, examine, write
    from dttnet.patterns import read_manifest

    def say(line: str) -> None:
        click.echo(line, err=True)

    known = read_manifest(sets)["stems"]
    if stem not in known:
        raise UsageError(f"--stem {stem}: the sets have {', '.join(known)}")
    names = [store.find(model).name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"several models are named {', '.join(twice)}: rename their folders or files")
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


@patterns.command()
@click.argument("sources", type=click.Path(path_type=Path), metavar="SOURCES")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option("--count", type=click.IntRange(min=3), default=60, show_default=True, help="Clips of each class.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@soundfonts_option
@workers_option
@with_exit_codes
def clips(
    sources: Path, out: Path, *, count: int, seed: int, soundfonts: tuple[Path, ...], workers: int | None
) -> None:
    """Make an open set of clips of sounds that separators mistake.

    SOURCES is a folder of notes, hits and voices whose licences are known (docs/open_songs.md). OUT becomes what
    `patterns build` reads: a folder of clips for each class and classes.yaml. Clip i of a class depends on the seed,
    the class, i and the sources alone; OUT/CREDITS.md says whose they are.

    Exit code: 0 done; 1 a source cannot be read or a clip not be written; 2 wrong usage; 3 a package is missing.
    """
    from tqdm import tqdm

    from dttnet.cpus import count_cpus
    from dttnet.errors import MissingExtraError

    try:
        from dttnet.songs.build import CREDITS
        from dttnet.songs.clips import Plan, build
    except ImportError as error:
        raise MissingExtraError("Making clips", "songs") from error

    plan = Plan(sources=sources, out=out, n_clips=count, seed=seed, soundfonts=soundfonts)
    with tqdm(desc="clips", leave=False, disable=None, file=sys.stderr) as bar:
        manifest = build(plan, n_workers=workers or count_cpus(), report=lambda *_: bar.update())
    for name, made in manifest["clips"].items():
        minutes = sum(clip["duration_s"] for clip in made) / 60
        click.echo(f"{name} ({manifest['classes'][name]['stem']}): {len(made)} clips, {minutes:.1f} minutes")
    click.echo(f"{len(manifest['sources'])} sources; whose they are is in {out / CREDITS}")
