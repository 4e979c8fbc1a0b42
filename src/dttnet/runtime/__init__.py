"""Engines that run a network: packed spectrum in, packed spectra out. One module per engine.

An engine is anything with this shape; the separator knows nothing else of it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dttnet.config import NetworkCard


class Network(Protocol):
    """A network that is ready to run. Calls from several threads at once are allowed."""

    @property
    def card(self) -> NetworkCard: ...

    @property
    def engine(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str:
        """Of the arithmetic: float32, bfloat16, float16."""
        ...

    @property
    def n_parallel(self) -> int:
        """Calls at once that keep the device busy; more cost memory and gain nothing."""
        ...

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 2C, T, F) -> (B, S, 2C, T, F)."""
        ...
