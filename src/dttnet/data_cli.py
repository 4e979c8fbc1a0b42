"""The commands `dttnet data ...`."""

from __future__ import annotations

import json
import sys
import threading
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dttnet.exit_codes import SOME_FAILED, with_exit_codes
from dttnet.options import soundfonts_option, split_names, workers_option

if TYPE_CHECKING:
    from dttnet.data_check import Report

_MAX_LINES = 8


@click.group()
def data() -> None:
    """Folders of stems to train and evaluate with."""


@data.command()
@click.argument("roots", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="ROOT...")
@click.option(
    "--stems",
    callback=split_names,
    default=None,
    help="Names of the stems, separated by commas.  [default: the usual four]",
)
@click.option("--threads", type=click.IntRange(min=1), default=None, help="[default: all CPUs]")
@click.option("--all", "in_full", is_flag=True, help=f"List everything, not only {_MAX_LINES} of a kind.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on standard output.")
@with_exit_codes
def check(
    roots: tuple[Path, ...], *, stems: tuple[str, ...] | None, threads: int | None, in_full: bool, as_json: bool
) -> None:
    """Decode all stems below ROOT and say what is wrong with them.

    Knows ROOT/train|valid|test/TRACK/STEM.wav (MUSDB18-HQ), ROOT/TRACK/STEM.wav and ROOT/STEM/*.wav, in any format.
    Give all folders that you train and test with at once: the same audio in both is looked for.

    Exit code: 0 nothing, or only notes; 1 problems, or a file that cannot be read; 2 wrong usage.
    """
    from tqdm import tqdm

    from dttnet.data_check import check as check_datasets
    from dttnet.dataset import STEMS, load_dataset

    names = stems or STEMS
    datasets = [load_dataset(root, stems=names) for root in roots]
    clips = [clip for dataset in datasets for track in dataset.tracks for clip in track.clips]
    clips += [clip for dataset in datasets for loose in dataset.loose.values() for clip in loose]
    total_s = sum(clip.duration_s for clip in clips)
    bar_format = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left"
    lock = threading.Lock()
    with tqdm(total=total_s, desc="checking", leave=False, disable=None, bar_format=bar_format, file=sys.stderr) as bar:

        def update(done_s: float) -> None:
            with lock:
                bar.update(min(done_s, total_s - bar.n))

        report = check_datasets(datasets, threads=threads, progress=update)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        _print(report, names, in_full=in_full)
    if report.n_problems:
        sys.exit(SOME_FAILED)


@data.command("build-open")
@click.argument("sources", type=click.Path(path_type=Path), metavar="SOURCES")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--songs", "n_songs", type=click.IntRange(min=0), default=60, show_default=True, help="Of the training split."
)
@click.option("--valid", "n_valid", type=click.IntRange(min=0), default=0, show_default=True, help="Of other sources.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--without",
    callback=split_names,
    default=None,
    help="What songs shall not have, separated by commas: playing, fonts, production, structure, singing, album.",
)
@click.option(
    "--styles",
    callback=split_names,
    default=None,
    help="Songs in these alone, separated by commas (techno,house), and no excerpts of the album.",
)
@soundfonts_option
@workers_option
@with_exit_codes
def build_open(
    sources: Path,
    out: Path,
    *,
    n_songs: int,
    n_valid: int,
    seed: int,
    without: tuple[str, ...] | None,
    styles: tuple[str, ...] | None,
    soundfonts: tuple[Path, ...],
    workers: int | None,
) -> None:
    """Make songs of openly licensed sources, as stems to train with.

    SOURCES is a folder of notes, hits and voices whose licences are known (docs/open_songs.md). OUT gets a folder for
    each song, in the layout that all commands read; the same command goes on with a folder that was stopped, and
    --songs may grow. Song i depends on the seed, i, the sources, --without and --styles alone.

    Exit code: 0 done; 1 a source cannot be read or a song not be written; 2 wrong usage; 3 a package is missing.
    """
    from tqdm import tqdm

    from dttnet.cpus import count_cpus
    from dttnet.errors import MissingExtraError

    try:
        from dttnet.songs.build import CREDITS, Job, Plan, build
        from dttnet.songs.library import Library
        from dttnet.songs.studio import Features
    except ImportError as error:
        raise MissingExtraError("Making songs", "songs") from error

    plan = Plan(
        sources=sources,
        out=out,
        n_songs=n_songs,
        n_valid=n_valid,
        seed=seed,
        features=Features.without(without or ()),
        styles=styles or (),
        soundfonts=soundfonts,
    )
    missing = Library(sources, soundfonts=soundfonts).missing
    if missing:
        names = ", ".join(source.folder or source.soundfont for source in missing)
        click.echo(f"not there, and done without: {names}", err=True)
    with tqdm(total=len(plan.jobs()), desc="songs", leave=False, disable=None, file=sys.stderr) as bar:

        def report(_: Job, _duration_s: float) -> None:
            bar.update()

        manifest = build(plan, n_workers=workers or count_cpus(), report=report)
    for split, facts in manifest["splits"].items():
        click.echo(f"{split}: {facts['songs']} songs, {facts['hours']:.2f} hours")
    click.echo(f"{len(manifest['sources'])} sources; whose they are is in {out / CREDITS}")


def _print(report: Report, stems: tuple[str, ...], *, in_full: bool) -> None:
    click.echo(", ".join(report.roots))
    click.echo("\nMinutes that sound, of all minutes:\n")
    columns = (*stems, "mixture")
    click.echo(f"{'':10}{'tracks':>7}" + "".join(f"{name:>17}" for name in columns))
    for split, n_tracks in report.n_tracks.items():
        cells = []
        for name in columns:
            duration_s = report.duration_s.get(split, {}).get(name)
            sounding_s = report.sounding_s.get(split, {}).get(name, 0.0)
            cells.append("-" if duration_s is None else f"{sounding_s / 60:.1f} of {duration_s / 60:.1f}")
        click.echo(f"{split:10}{n_tracks:>7}" + "".join(f"{cell:>17}" for cell in cells))
    for level, group in groupby(report.findings, key=lambda finding: finding.level):
        findings = sorted(group, key=lambda finding: finding.kind)
        click.echo(f"\n{len(findings)} {level}{'s' * (len(findings) > 1)}")
        for kind, same in groupby(findings, key=lambda finding: finding.kind):
            listed = list(same)
            shown = listed if in_full or len(listed) <= _MAX_LINES else listed[: _MAX_LINES - 1]
            click.echo(f"\n  {kind}")
            for finding in shown:
                click.echo(f"    {finding.where}: {finding.message}")
            if len(shown) < len(listed):
                click.echo(f"    ... and {len(listed) - len(shown)} more (--all lists them)")
    click.echo(
        "\nThe same audio is found at another level, start or format, cut out or equalised; not at another speed, and "
        "not as a short sample in another song."
    )
