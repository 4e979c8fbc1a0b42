"""Errors of this package become one line on standard error and an exit code."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import click

from dttnet.errors import DttnetError

P = ParamSpec("P")

SOME_FAILED = 1
INTERRUPTED = 130


def with_exit_codes(command: Callable[P, None]) -> Callable[P, None]:
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except DttnetError as error:
            click.echo(f"dttnet: {error}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read our output has gone: click ends quietly
            click.echo(f"dttnet: {error.filename or 'system'}: {error.strerror or error}", err=True)
            sys.exit(DttnetError.exit_code)
        except KeyboardInterrupt:
            click.echo("dttnet: interrupted; unfinished files were removed", err=True)
            sys.exit(INTERRUPTED)

    return wrapped
