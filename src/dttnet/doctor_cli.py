"""The command `dttnet doctor`."""

from __future__ import annotations

import json

import click

from dttnet.errors import DeviceError
from dttnet.exit_codes import with_exit_codes


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@with_exit_codes
def doctor(*, as_json: bool) -> None:
    """What is installed, what `auto` takes and why not something faster, and whether it works.

    Each engine is tried, and each model of this package.

    Exit code: 0 all is well, 3 something is broken.
    """
    from dttnet.doctor import TEST_S, diagnose

    found = diagnose()
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        click.echo(f"{found.system}, {found.n_cpus} CPUs")
        click.echo(", ".join(f"{package} {version}" for package, version in found.versions.items()))
        click.echo(f"\nauto takes {found.takes}")
        for reason in found.passed_over:
            click.echo(f"  not {reason}")
        click.echo(f"\nengines, with {TEST_S:g} s of noise on the CPU")
        for engine in found.engines:
            if engine.seconds is None:
                click.echo(f"  {engine.name}: {engine.problem or 'not installed'}")
                continue
            click.echo(
                f"  {engine.name}: {engine.problem or 'ok'}, {engine.seconds:.1f} s with its start, "
                f"{engine.difference_db:.0f} dB from ONNX Runtime; devices: {', '.join(engine.devices)}"
            )
        click.echo("\nmodels")
        for name, problems in found.models.items():
            click.echo(f"  {name}: {'; '.join(problems) or 'ok'}")
    if found.problems:
        raise DeviceError("; ".join(found.problems))
