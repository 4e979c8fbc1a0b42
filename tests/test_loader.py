"""The order of the examples: the same for any number of processes, from any point on."""

from __future__ import annotations

import pytest

from dttnet.errors import UsageError
from dttnet.training.loader import Order, ResumableLoader


class Numbers:
    """Example i is i."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        return index


def loader(order: Order, n_workers: int = 0) -> ResumableLoader:
    return ResumableLoader(Numbers(1000), order, n_workers=n_workers, pin_memory=False)


def test_two_processes_see_together_what_one_sees() -> None:
    alone = [batch.tolist() for batch in loader(Order(n_batches=5, batch_size=4))]
    pairs = zip(*(loader(Order(n_batches=5, batch_size=4, rank=rank, world_size=2)) for rank in range(2)), strict=True)
    assert [[*first.tolist(), *second.tolist()] for first, second in pairs] == alone


def test_a_batch_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(UsageError, match="batch_size is 4: 3 devices cannot share it equally"):
        Order(n_batches=5, batch_size=4, world_size=3)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
@pytest.mark.parametrize("n_workers", [0, 2])
def test_going_on_gives_the_batches_that_are_left(n_workers: int) -> None:
    whole = [batch.tolist() for batch in loader(Order(n_batches=6, batch_size=3))]
    stopped = loader(Order(n_batches=6, batch_size=3), n_workers)
    stopped.n_used = 4
    again = loader(Order(n_batches=6, batch_size=3), n_workers)
    again.load_state_dict(stopped.state_dict())
    assert len(again) == 6
    assert [batch.tolist() for batch in again] == whole[4:]
    # What was skipped once is not skipped again.
    assert [batch.tolist() for batch in again] == whole
