"""Mixture consistency: estimates that add up to the mixture.

Wisdom et al., "Differentiable consistency constraints for improved deep speech enhancement" (ICASSP 2019), section 3:
the estimates are moved by the least squares amount that makes them sum to the mixture. Above the band of the networks,
where they say nothing, each stem goes on with the share of the mixture that it has at the upper end of the band.

Shapes: B batch, C channels, T frames, F bins, ... packed spectrum.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Complex = NDArray[np.complex64]

_TOP = 0.7
"""Where the upper end of a band begins, as a share of its bins: the half octave below its end."""
_FAINT = 1e-3
"""Against the treble, what is too little below it to tell whose it is: the side lobes of the window."""


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


def upper_end(n_bins: int) -> slice:
    """The bins by whose energy the treble above a band of `n_bins` is shared."""
    return slice(int(_TOP * n_bins), n_bins)


def treble_shares(estimates: Sequence[Complex], mixture: Complex, treble: Complex) -> list[Float]:
    """What of the mixture above the networks' band is each stem's: its share of the energy at the band's upper end.

    Args:
        estimates: (B, C, T, F) of each stem, the `upper_end` alone.
        mixture: (B, C, T, F), as well.
        treble: (B, C, T, F') of the mixture, above the band.

    Returns:
        (B, C, T, 1) for each stem, for each frame and channel. What the mixture has beside the stems counts as one
        more, so that they are at most one in all. Treble that is much louder than what is below it is no continuation,
        and shared less.
    """
    energies = [_energy(estimate) for estimate in estimates]
    missing = functools.reduce(np.subtract, estimates, mixture)
    total = np.maximum(functools.reduce(np.add, energies, _energy(missing)), _FAINT * _energy(treble))
    np.maximum(total, np.finfo(np.float32).tiny, out=total)  # silence has no shares
    return [energy / total for energy in energies]


def _energy(spectrum: Complex) -> Float:
    """(..., F) -> (..., 1)."""
    return np.asarray((spectrum.real**2 + spectrum.imag**2).sum(axis=-1, keepdims=True))
