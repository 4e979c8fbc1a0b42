"""Batches of examples in a fixed order, from any point on and for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler


class Order(Sampler[int]):
    """Which examples a process sees: batch k of process r of R holds `batch_size` examples from
    (k * R + r) * batch_size on, so R processes see together what one with batches R times as large sees.

    Attributes:
        first_batch: Where the next round starts; the rounds after it start at 0.
    """

    def __init__(self, *, n_batches: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.n_batches = n_batches
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.first_batch = 0

    def __iter__(self) -> Iterator[int]:
        first, self.first_batch = self.first_batch, 0
        for batch in range(first, self.n_batches):
            start = (batch * self.world_size + self.rank) * self.batch_size
            yield from range(start, start + self.batch_size)

    def __len__(self) -> int:
        return self.n_batches * self.batch_size


class ResumableLoader(DataLoader[Any]):
    """A DataLoader that goes on where a checkpoint was made: Lightning stores and restores the state of loaders that
    have one.

    What counts is how many batches training used, which workers that read ahead do not know: training says so.
    """

    def __init__(self, dataset: Dataset[Any] | Sized, order: Order, *, n_workers: int, pin_memory: bool) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]  # anything with len and [] will do
            batch_size=order.batch_size,
            sampler=order,
            num_workers=n_workers,
            pin_memory=pin_memory,
            persistent_workers=n_workers > 0,
            prefetch_factor=4 if n_workers else None,
        )
        self.order = order
        self.n_used = 0

    def state_dict(self) -> dict[str, int]:
        return {"n_used": self.n_used}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.order.first_batch = self.n_used = state["n_used"]
