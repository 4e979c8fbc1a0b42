"""The command `dttnet evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dttnet import exit_codes
from dttnet.exit_codes import with_exit_codes
from dttnet.options import split_names

if TYPE_CHECKING:
    from dttnet.evaluate import Job, Outcome


@click.command()
@click.argument("root", type=click.Path(path_type=Path))
@click.option("-n", "--model", "--name", default=None, help="A name of `dttnet models list`, a folder or a file.")
@click.option("--estimates", type=click.Path(path_type=Path), default=None, help="Folder of stems made by any tool.")
@click.option(
    "--filename",
    "template",
    default=None,
    help='Of --estimates.  [default: "{track}/{stem}.{ext}" and "{split}/{track}/{stem}.{ext}"]',
)
@click.option("--split", default=None, help="test, valid, train or all.  [default: test if there is one, else all]")
@click.option(
    "--stems",
    callback=split_names,
    default="vocals,drums,bass,other",
    show_default=True,
    help="All that the songs are the sum of.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), default=None, help="[default: evaluation/NAME]")
@click.option(
    "--baselines", is_flag=True, help="Also score the mixture, silence and the ideal ratio mask as estimates."
)
@click.option("--save-estimates", is_flag=True, help="With --model: write the stems to OUT/estimates.")
@click.option("-j", "--jobs", "n_jobs", type=click.IntRange(min=1), default=None, help="Tracks at a time.")
@click.option("--quality", default=None, help="Of the model's work: fast, balanced, best.  [default: balanced]")
@click.option("--overlap", type=float, default=None, help="Of its chunks, 0 to 0.9.  [default: that of the quality]")
@click.option("--reference-chunks", is_flag=True, help="Cut songs as the paper's program does, without overlap.")
@click.option("-d", "--device", default="auto", show_default=True, help="Of the model: auto, cpu, cuda, ...")
@click.option("--threads", type=int, default=None, help="Of the model, per track.  [default: all CPUs over --jobs]")
@click.option("--raw", is_flag=True, help="The networks' bare estimates: they need not add up to the song.")
@with_exit_codes
def evaluate(
    root: Path,
    *,
    model: str | None,
    estimates: Path | None,
    template: str | None,
    split: str | None,
    stems: tuple[str, ...],
    out: Path | None,
    baselines: bool,
    save_estimates: bool,
    n_jobs: int | None,
    quality: str | None,
    overlap: float | None,
    reference_chunks: bool,
    device: str,
    threads: int | None,
    raw: bool,
) -> None:
    """Measure how well the songs in ROOT are separated, by a model or by any tool: uSDR, cSDR and SI-SDR.

    ROOT is laid out as MUSDB18-HQ, or holds a folder of stems per song. Scores of each song go to OUT/SPLIT/SONG.json,
    which museval reads, and are not made again if they are there; the tables beside those of the paper go to the
    terminal, OUT/summary.md and summary.json, a picture to OUT/distribution.png. The docs define all numbers.

    Exit code: 0 all done, 1 some songs failed or lack an estimate, 2 wrong usage, 3 model or environment,
    130 interrupted.
    """
    from dttnet import evaluate as evaluation
    from dttnet import store
    from dttnet.dataset import load_dataset
    from dttnet.separator import DEFAULT_QUALITY

    if (model is None) == (estimates is None):
        raise click.UsageError("give --model or --estimates, one of them")
    of_model = {
        "--quality": quality is not None,
        "--overlap": overlap is not None,
        "--reference-chunks": reference_chunks,
        "--threads": threads is not None,
        "--raw": raw,
        "--save-estimates": save_estimates,
    }
    if model is None and any(of_model.values()):
        given = ", ".join(option for option, is_given in of_model.items() if is_given)
        raise click.UsageError(f"{given}: only with --model")
    if reference_chunks and (quality is not None or overlap is not None):
        raise click.UsageError("give --reference-chunks or what replaces it, --quality and --overlap, not both")
    if template is not None and estimates is None:
        raise click.UsageError("--filename goes with --estimates")
    dataset = load_dataset(root, stems=stems)
    if dataset.remark:
        click.echo(f"dttnet: warning: {dataset.remark}", err=True)
    tracks = evaluation.select_tracks(dataset, split)
    n_jobs = n_jobs or evaluation.default_workers(len(tracks), has_model=model is not None)
    if estimates is not None:
        name = estimates.resolve().name
        out = out or Path("evaluation") / name
        jobs = evaluation.plan_files(tracks, estimates, stems=stems, out=out, template=template, baselines=baselines)
    else:
        assert model is not None
        settings = evaluation.ModelSettings(
            model=model,
            device=device,
            threads=threads,
            quality=quality or DEFAULT_QUALITY,
            overlap=0 if reference_chunks else overlap,
            chunk_edges="reflect" if reference_chunks else "neighbours",
            adds_up=not raw,
        )
        settings = evaluation.with_few_threads(settings, n_jobs)
        name = store.find(model).name
        out = out or Path("evaluation") / name
        jobs = evaluation.plan_model(
            tracks,
            settings,
            stems=stems,
            out=out,
            save_to=out / "estimates" if save_estimates else None,
            baselines=baselines,
        )
    missing = _run(name, jobs, stems, out, n_jobs)
    if missing:
        sys.exit(exit_codes.SOME_FAILED)


def _run(name: str, jobs: list[Job], stems: tuple[str, ...], out: Path, n_jobs: int) -> int:
    """Score, sum up and write; return how many tracks failed or lack an estimate."""
    from dttnet import evaluate as evaluation
    from dttnet.errors import MissingExtraError
    from dttnet.scores import Summary, draw, write_text

    n_done = 0

    def report(outcome: Outcome) -> None:
        nonlocal n_done
        n_done += 1
        _print_outcome(f"[{n_done}/{len(jobs)}] {outcome.job.full_name}", outcome)

    outcomes = evaluation.run(jobs, n_workers=n_jobs, report=report)
    summary = Summary(
        name=name,
        stems=stems,
        tracks=tuple(outcome.scores for outcome in outcomes if outcome.scores is not None),
        failed={outcome.job.full_name: outcome.error for outcome in outcomes if outcome.error is not None},
    )
    if summary.tracks:
        write_text(out / "summary.json", summary.to_json())
        write_text(out / "summary.md", summary.to_markdown())
        try:
            draw(summary, out / "distribution.png")
        except MissingExtraError as error:
            click.echo(f"dttnet: {error}", err=True)
        click.echo(summary.to_text())
        click.echo(f"dttnet: summary.json, summary.md and the scores of each track are in {out}", err=True)
    else:
        for earlier in ("summary.json", "summary.md", "distribution.png"):
            (out / earlier).unlink(missing_ok=True)
    if summary.failed:
        click.echo(f"dttnet: {len(summary.failed)} of {len(jobs)} tracks failed", err=True)
    incomplete = [track for track in summary.tracks if evaluation.NO_ESTIMATE in track.left_out.values()]
    return len(summary.failed) + len(incomplete)


def _print_outcome(title: str, outcome: Outcome) -> None:
    from dttnet.scores import ESTIMATES

    if outcome.scores is None:
        click.echo(f"dttnet: {outcome.error}", err=True)
        return
    usdr = ", ".join(f"{stem} {one.usdr:.2f}" for stem, one in outcome.scores.methods[ESTIMATES].items())
    how = "scored before" if outcome.is_skipped else f"{outcome.seconds:.1f} s"
    click.echo(f"{title}: uSDR {usdr or '-'} ({how})", err=True)
    for stem, reason in outcome.scores.left_out.items():
        click.echo(f"dttnet: warning: {outcome.job.full_name}: {stem} is left out: {reason}", err=True)
    for warning in outcome.scores.warnings:
        click.echo(f"dttnet: warning: {warning}", err=True)
