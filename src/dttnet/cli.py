"""The command `dttnet`: thin calls into the library. Heavy imports wait until a command needs them."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dttnet import exit_codes
from dttnet.bench_cli import bench
from dttnet.data_cli import data
from dttnet.doctor_cli import doctor
from dttnet.errors import DttnetError
from dttnet.evaluate_cli import evaluate
from dttnet.exit_codes import with_exit_codes
from dttnet.models_cli import models
from dttnet.options import split_names
from dttnet.patterns_cli import patterns
from dttnet.train_cli import export, train

if TYPE_CHECKING:
    from dttnet.audio import Encoding
    from dttnet.jobs import Job
    from dttnet.separator import FileReport, Separator


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dttnet")
def main() -> None:
    """Music source separation: vocals, drums, bass and everything else of a song."""


main.add_command(models)
main.add_command(doctor)
main.add_command(bench)
main.add_command(patterns)
main.add_command(data)
main.add_command(evaluate)
main.add_command(train)
main.add_command(export)


@main.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-n", "--name", "model", default=None, help="Model: a name of `dttnet models list`, a folder or a file.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("separated"), show_default=True)
@click.option("--filename", "template", default=None, help='Under OUT/MODEL.  [default: "{track}/{stem}.{ext}"]')
@click.option("--stems", callback=split_names, default=None, help="Only these, separated by commas.")
@click.option("--two-stems", default=None, metavar="STEM", help="STEM and no_STEM, for the cost of one network.")
@click.option("--rest", is_flag=True, help="With --stems: also write the rest of the song.")
@click.option("--format", "format_", type=click.Choice(["wav", "flac", "mp3", "ogg", "opus"]), default="wav")
@click.option("--int24", "depth", flag_value="int24", help="24-bit samples.  [default: the source's depth or better]")
@click.option("--float32", "depth", flag_value="float32", help="32-bit floating point samples: never clip.")
@click.option("--mp3-bitrate", type=int, default=320, show_default=True, help="In kbit/s.")
@click.option("--quality", default="balanced", show_default=True, help="Also fast, best: see docs/speed.md.")
@click.option("--low-memory", is_flag=True, help="Shorter chunks, one at a time: somewhat slower.")
@click.option("--overlap", type=float, default=None, help="Of chunks, 0 to 0.9.  [default: that of the quality]")
@click.option("--engine", default="auto", show_default=True, help="onnxruntime, openvino, torch.")
@click.option("-d", "--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")
@click.option("--precision", default="float32", show_default=True, help="Of the arithmetic: also bfloat16, float16.")
@click.option("--compile", "compiled", is_flag=True, help="For this machine, with the engine torch: takes minutes.")
@click.option("--threads", type=int, default=None, help="Of the CPU.  [default: all physical cores]")
@click.option("--raw", is_flag=True, help="The networks' bare estimates: they need not add up to the song.")
@click.option("--skip-existing", is_flag=True, help="Leave out songs whose files are all there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per song on standard output.")
@with_exit_codes
def separate(
    inputs: tuple[str, ...],
    *,
    model: str | None,
    out: Path,
    template: str | None,
    stems: tuple[str, ...] | None,
    two_stems: str | None,
    rest: bool,
    format_: Any,
    depth: Any,
    mp3_bitrate: int,
    quality: str,
    low_memory: bool,
    overlap: float | None,
    engine: str,
    device: str,
    precision: str,
    compiled: bool,
    threads: int | None,
    raw: bool,
    skip_existing: bool,
    as_json: bool,
) -> None:
    """Separate songs into stems.

    INPUT is a file, a folder (with those below it) or a glob. The stems are written to OUT/MODEL/TRACK/STEM.wav: same
    sample rate, length and channels as the song, and together they are the song.

    Exit code: 0 all done, 1 some failed, 2 wrong usage, 3 model or environment, 130 interrupted.
    """
    from dttnet import jobs, store
    from dttnet.audio import Encoding
    from dttnet.separator import Separator

    if two_stems is not None and (stems is not None or rest):
        raise click.UsageError("give --two-stems or --stems, not both")
    if rest and stems is None:
        raise click.UsageError("--rest goes with --stems")
    complement = f"no_{two_stems}" if two_stems is not None else "rest" if rest else None
    wanted = (two_stems,) if two_stems is not None else stems
    encoding = Encoding(format=format_, depth=depth, mp3_bitrate_kbps=mp3_bitrate)
    model = model or store.DEFAULT_MODEL
    # A second run over the same folder must not separate the stems of the first, nor those of another model.
    names = {store.find(model).name, *store.shipped()}
    sources = jobs.find_inputs(inputs, leave_out=[out, *(out / name for name in names)])
    separator = Separator(
        model,
        stems=wanted,
        complement=complement,
        adds_up=not raw,
        engine=engine,
        device=device,
        precision=precision,
        compiled=compiled,
        threads=threads,
        quality=quality,
        low_memory=low_memory,
        overlap=overlap,
    )
    planned = jobs.plan(
        sources,
        out=out,
        template=template or jobs.DEFAULT_TEMPLATE,
        model=separator.model.name,
        stems=separator.stems,
        ext=format_,
    )
    for warning in separator.warnings:
        click.echo(f"dttnet: warning: {warning}; goes on with {separator.engine} on {separator.device}", err=True)
    with _terminating():
        failed = _run(planned, separator, encoding, skip_existing=skip_existing, as_json=as_json)
    if failed:
        if len(planned) > 1:
            click.echo(f"dttnet: {failed} of {len(planned)} songs failed", err=True)
        sys.exit(exit_codes.SOME_FAILED)


def _run(planned: list[Job], separator: Separator, encoding: Encoding, *, skip_existing: bool, as_json: bool) -> int:
    """Work through the songs; return how many failed."""
    failed = 0
    facts = {"model": separator.model.name, "model_sha256": separator.model.sha256}
    facts |= {"engine": separator.engine, "device": separator.device}
    for number, job in enumerate(planned, 1):
        record: dict[str, Any] = {"input": str(job.source), "status": "done", **facts}
        title = f"[{number}/{len(planned)}] {job.source}"
        if skip_existing and job.is_done:
            record["status"] = "skipped"
            record["outputs"] = {stem: str(path) for stem, path in job.outputs.items()}
            click.echo(f"{title}: skipped, its files are there", err=True)
        else:
            started = time.perf_counter()
            try:
                with _progress(title) as progress:
                    report = separator.separate_file(job.source, job.outputs, encoding=encoding, progress=progress)
            except DttnetError as error:
                failed += 1
                message = str(error) if str(job.source) in str(error) else f"{job.source}: {error}"
                record |= {"status": "failed", "error": message}
                click.echo(f"dttnet: {message}", err=True)
            else:
                seconds = time.perf_counter() - started
                record |= _facts_of(report, seconds)
                _print_result(title, record)
        if as_json:
            # ASCII: names may hold bytes that are no text, and the terminal's encoding may lack letters.
            click.echo(json.dumps(record))
    return failed


def _facts_of(report: FileReport, seconds: float) -> dict[str, Any]:
    return {
        "outputs": {stem: str(path) for stem, path in report.outputs.items()},
        "duration_s": round(report.duration_s, 3),
        "seconds": round(seconds, 3),
        "real_time_factor": round(seconds / report.duration_s, 4),
        "peak": report.peak,
        "gain": report.gain,
        "null_db": None if report.null_db is None else round(report.null_db, 1),
        "warnings": list(report.warnings),
    }


def _print_result(title: str, record: dict[str, Any]) -> None:
    folder = Path(next(iter(record["outputs"].values()))).parent
    stems = ", ".join(record["outputs"])
    speed = 1 / record["real_time_factor"] if record["real_time_factor"] else float("inf")
    where = f"{record['engine']} on {record['device']}"
    click.echo(f"{title}: {stems} in {folder} ({record['seconds']:.1f} s, {speed:.0f} x real time, {where})", err=True)
    for warning in record["warnings"]:
        click.echo(f"dttnet: warning: {warning}", err=True)


@contextlib.contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with the time left on a terminal, nothing elsewhere: the line about the result says enough."""
    from tqdm import tqdm

    hidden = True if sys.stderr is None else None  # None lets tqdm see whether it is a terminal
    bar_format = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left"
    with tqdm(total=None, desc=title, leave=False, disable=hidden, bar_format=bar_format, file=sys.stderr) as bar:

        def update(done: int, total: int | None) -> None:
            bar.total = max(total, done) if total is not None else None
            bar.update(done - bar.n)

        yield update


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """A polite kill cleans up as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
