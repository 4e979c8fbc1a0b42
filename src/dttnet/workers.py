"""Worker processes that end with the process that started them, however it dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection

UNBROKEN = threading.Lock()
"""A worker that holds it finishes what it does before it ends with its parent: hold it while something is written."""


@contextlib.contextmanager
def worker_pool(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes (not forked: engines have threads). After an error in the block they end at once."""
    context = multiprocessing.get_context("spawn")
    # The workers hold one end of a pipe, and end when this process lets go of the other one.
    held_by_workers, held_here = context.Pipe(duplex=False)
    with (
        held_by_workers,
        held_here,
        ProcessPoolExecutor(n_workers, mp_context=context, initializer=_join, initargs=(held_by_workers,)) as pool,
    ):
        try:
            yield pool
        except BaseException:  # Ctrl-C too ends the workers
            held_here.close()
            raise


def _join(parent: Connection) -> None:
    """Begin the life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes; the parent ends this one
    # When one worker has ended, the pool ends the others, whatever they are doing.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=_leave, daemon=True).start())

    def follow() -> None:
        try:
            parent.recv()
        except (EOFError, OSError):
            _leave()

    threading.Thread(target=follow, daemon=True).start()


def _leave() -> None:
    """End this process, not before what is unbroken is done: never in the thread that does it."""
    with UNBROKEN:
        os._exit(1)
