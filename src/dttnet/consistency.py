"""Mixture consistency: estimates that add up to the mixture.

Wisdom et al., "Differentiable consistency constraints for improved deep speech enhancement" (ICASSP 2019), section 3:
the estimates are moved by the least squares amount that makes them sum to the mixture.

Shapes: B batch, ... packed spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


def missing_shares(estimates: Sequence[Float], mixture: Float) -> list[Float]:
    """What to add to each estimate so that they add up: an equal share of what is missing.

    Args:
        estimates: (B, ...) of each stem.
        mixture: (B, ...).

    Returns:
        (B, ...) for each stem. The estimates with them sum to the mixture, to float32 rounding.
    """
    missing = mixture - estimates[0]
    for estimate in estimates[1:]:
        missing -= estimate
    missing /= len(estimates)
    return [missing] * len(estimates)
