"""Batches of examples in a fixed order, from any point on and for any number of processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sized
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from dttnet.errors import UsageError


class Order(Sampler[int]):
    """Which examples a process sees: batch k holds the `batch_size` examples from k * batch_size on, and each process
    an equal share of them. So any number of processes sees the same, and may change from one start to the next.

    Attributes:
        share: Examples of a batch that are this process's.
        first_batch: Where the next round starts; the rounds after it start at 0.

    Raises:
        UsageError: The batch cannot be shared out equally.
    """

    def __init__(self, *, n_batches: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        if batch_size % world_size:
            raise UsageError(f"batch_size is {batch_size}: {world_size} devices cannot share it equally")
        self.n_batches = n_batches
        self.batch_size = batch_size
        self.share = batch_size // world_size
        self.first_batch = 0
        self._rank = rank

    def __iter__(self) -> Iterator[int]:
        first, self.first_batch = self.first_batch, 0
        for batch in range(first, self.n_batches):
            start = batch * self.batch_size + self._rank * self.share
            yield from range(start, start + self.share)

    def __len__(self) -> int:
        return self.n_batches * self.share


class ResumableLoader(DataLoader[Any]):
    """A DataLoader that goes on where a checkpoint was made: Lightning stores and restores the state of loaders that
    have one.

    What counts is how many batches training used, which workers that read ahead do not know: training says so.
    """

    def __init__(self, dataset: Dataset[Any] | Sized, order: Order, *, n_workers: int, pin_memory: bool) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]  # anything with len and [] will do
            batch_size=order.share,
            sampler=order,
            num_workers=n_workers,
            pin_memory=pin_memory,
            persistent_workers=n_workers > 0,
            prefetch_factor=4 if n_workers else None,
            worker_init_fn=_leave_signals_to_training,
        )
        self.order = order
        self.n_used = 0

    def close(self) -> None:
        """End the workers. They are deaf to the signal with which Python would end them: after an error it would wait
        for them for ever."""
        iterator, self._iterator = self._iterator, None
        if self.num_workers and iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]  # of the iterator with workers

    def state_dict(self) -> dict[str, int]:
        return {"n_used": self.n_used}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.order.first_batch = self.n_used = state["n_used"]


def _leave_signals_to_training(_: int) -> None:
    """Ctrl-C and batch systems signal all processes of a run; training still needs its workers to end the step."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
