"""The command `dttnet bench`."""

from __future__ import annotations

import json
import math
import platform

import click

from dttnet.exit_codes import with_exit_codes


@click.command()
@click.option("-n", "--name", "model", default=None, help="Model: a name of `dttnet models list`, a folder or a file.")
@click.option(
    "--engine", default="auto", show_default=True, help="onnxruntime, openvino, torch; auto is all there are."
)
@click.option("--seconds", type=click.FloatRange(min=1), default=20.0, show_default=True, help="Of noise.")
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Of which the median counts.")
@click.option("--threads", type=click.IntRange(1), default=None, help="Of the CPU.  [default: all physical cores]")
@click.option("--low-memory", is_flag=True, help="As of `dttnet separate`.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@with_exit_codes
def bench(
    *,
    model: str | None,
    engine: str,
    seconds: float,
    runs: int,
    threads: int | None,
    low_memory: bool,
    as_json: bool,
) -> None:
    """How fast this machine separates, with each engine and precision that is installed.

    Real-time factor: seconds of work per second of audio; start: seconds until the networks are ready; peak memory of
    the whole process, without that of a GPU.

    Exit code: 0 all that is installed ran, 3 something did not.
    """
    from dttnet import store
    from dttnet.bench import measure, sides
    from dttnet.cpus import count_cores
    from dttnet.errors import DeviceError

    if not math.isfinite(seconds):
        raise click.UsageError(f"--seconds is {seconds}: give a number of seconds")
    planned = sides(model or store.DEFAULT_MODEL, engine=engine, threads=threads, low_memory=low_memory)
    machine = f"{platform.platform()}, {platform.machine()}, {threads or count_cores()} threads"
    if not as_json:
        click.echo(f"{machine}; {seconds:g} s of stereo noise, median of {runs} runs, model {planned[0].model}\n")
        click.echo(f"{'engine':12} {'device':8} {'precision':9} {'stems':12} {'RTF':>7} {'start s':>7} {'peak MB':>7}")
    results = []
    for side in planned:
        result = measure(side, seconds=seconds, runs=runs)
        results.append(result)
        if not as_json:
            wanted = "all" if side.stems is None else ", ".join(side.stems)
            name = f"{side.engine:12} {side.device:8} {side.precision:9} {wanted:12}"
            if result.real_time_factor is None:
                click.echo(f"{name} {result.problem}")
            else:
                click.echo(f"{name} {result.real_time_factor:7.3f} {result.start_s:7.2f} {result.peak_mb:7.0f}")
    if as_json:
        click.echo(json.dumps({"machine": machine, "seconds": seconds, "results": [one.to_dict() for one in results]}))
    broken = [result for result in results if result.problem]
    if broken:
        raise DeviceError("; ".join(f"{one.side.engine} on {one.side.device}: {one.problem}" for one in broken))
