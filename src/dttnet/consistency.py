"""Mixture consistency: estimates that add up to the mixture.

Wisdom et al., "Differentiable consistency constraints for improved deep speech enhancement" (ICASSP 2019), section 3:
the estimates are moved by the least squares amount that makes them sum to the mixture.

Shapes: B batch, S stems, ... packed spectrum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


def project(estimates: Float, mixture: Float) -> None:
    """Move the estimates, in place, so that they add up: each by an equal share of what is missing.

    Args:
        estimates: (B, S, ...); afterwards their sum over S is the mixture, to float32 rounding.
        mixture: (B, ...).
    """
    missing = mixture - estimates.sum(axis=1)
    missing /= estimates.shape[1]
    estimates += missing[:, None]
