"""Where something holds without a gap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spans(holds: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(n, 2): the first index and the one after the last of each run of true values in (N,), in their order."""
    return np.flatnonzero(np.diff(holds, prepend=False, append=False)).reshape(-1, 2)


def count_in_long_spans(holds: NDArray[np.bool_], *, at_least: int) -> int:
    """How many true values of (C, N) lie in runs of `at_least`, each row for itself."""
    lengths = [np.diff(spans(row), axis=1) for row in holds]
    return sum(int(length[length >= at_least].sum()) for length in lengths)
