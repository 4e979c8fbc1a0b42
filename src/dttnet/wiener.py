"""Multichannel Wiener filter: what the two channels say about the estimates.

Networks estimate each stem for itself, and their masks hardly use that an instrument stays where it was mixed to. Here
each stem is taken for a Gaussian process of its estimate's magnitude in every bin and frame and of one spatial
covariance per bin (Duong et al., "Under-determined reverberant audio source separation using a full-rank spatial
covariance model", IEEE TASLP 2010, section III), with magnitudes in the place of powers (Liutkus and Badeau,
"Generalized Wiener filtering with fractional power spectrograms", ICASSP 2015). The filter that is the best for such
stems gives their mean, knowing the mixture. Where all stems lie in one place, as they do at the bottom of most songs
and in mono, it would only share the mixture by magnitudes, which is worse than the networks' masks: there these stay.

Shapes: B batch, T frames, F bins. Spectra are packed: left real, left imaginary, right real, right imaginary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_BLOCK = 16
"""Frames that are worked on at once: they stay in the processor's cache."""
_TINY = np.finfo(np.float32).tiny
_LOADING = np.float32(1e-3)
"""Of each stem's energy on both sides, what its channels do not share: without it, what is in one place of the stereo
image could not be inverted in float32."""

_NEAR = np.float32(5e-3)
"""The diversity of places in a bin with which half of the filter's output is taken, and half of the estimate."""


def spatial_covariances(estimates: Sequence[Float]) -> Float:
    """(B, 4, T, F) of each of S stems -> (B, S, 4, F): over all frames its energy left and right, and the product of
    left and the conjugate of right, real and imaginary."""
    n_chunks, _, _, n_bins = estimates[0].shape
    sums = np.empty((n_chunks, len(estimates), 4, n_bins), np.float32)
    for number, estimate in enumerate(estimates):
        for item, out in zip(estimate, sums[:, number], strict=True):
            left, right = item[:2], item[2:]
            np.einsum("ctf,ctf->f", left, left, out=out[0])
            np.einsum("ctf,ctf->f", right, right, out=out[1])
            np.einsum("ctf,ctf->f", left, right, out=out[2])
            out[3] = np.einsum("tf,tf->f", left[1], right[0]) - np.einsum("tf,tf->f", left[0], right[1])
    return sums


def wiener_filter(estimates: Sequence[Float], mixture: Float, covariances: Float) -> list[Float]:
    """What each stem is most likely, given the mixture.

    Args:
        estimates: (B, 4, T, F) of each stem: together all of the mixture, or nearly.
        mixture: (B, 4, T, F).
        covariances: (B, S, 4, F), as `spatial_covariances` gives them; their level does not matter. Where those of all
            stems are zero the estimates are left as they are.

    Returns:
        (B, 4, T, F) of each stem. They add up to what the estimates do or nearer to the mixture, but for 1e-4 of it.
    """
    filtered = [np.empty_like(mixture) for _ in estimates]
    for b, known in enumerate(covariances):
        if not known.any():
            for estimate, out in zip(estimates, filtered, strict=True):
                out[b] = estimate[b]
            continue
        energies = known[:, 0] + known[:, 1]
        shapes = known / np.maximum(energies * np.float32(0.5), _TINY)[:, np.newaxis]
        trust = _trust(shapes, energies)
        shapes[:, :2] += _LOADING
        for start in range(0, mixture.shape[2], _BLOCK):
            here = np.s_[b, :, start : start + _BLOCK]
            _filter_block(
                [estimate[here] for estimate in estimates],
                mixture[here],
                shapes,
                trust,
                [out[here] for out in filtered],
            )
    return filtered


def _trust(shapes: Float, energies: Float) -> Float:
    """How much of the filter's output is taken, from 0 where all stems are in one place to nearly 1: (F,), of the
    normalised covariances (S, 4, F) and their energies (S, F).

    It follows the variance of the stems' normalised covariances, weighted by energy, against the square of their mean.
    """
    total = np.maximum(energies.sum(axis=0), _TINY)
    shares = (energies / total)[:, np.newaxis]
    mean = (shares * shapes).sum(axis=0)
    diversity = (shares * (shapes - mean) ** 2).sum(axis=0)
    # Left with right stands twice in a covariance matrix.
    twice = np.array([[1], [1], [2], [2]], np.float32)
    ratio = (twice * diversity).sum(axis=0) / np.maximum((twice * mean**2).sum(axis=0), _TINY)
    trust: Float = ratio / (ratio + _NEAR)
    return trust


def _filter_block(estimates: list[Float], mixture: Float, shapes: Float, trust: Float, out: list[Float]) -> None:
    """(4, t, F) of each stem and the mixture, (S, 4, F) of the covariances, (F,) of the trust."""
    magnitudes = [np.sqrt((estimate**2).sum(axis=0) * np.float32(0.5)) for estimate in estimates]
    # The covariance of the mixture, that of its left and right, and of left with right.
    left, right, real, imag = (
        sum(magnitude * shape[entry] for magnitude, shape in zip(magnitudes, shapes, strict=True)) for entry in range(4)
    )
    scale = trust / np.maximum(left * right - real**2 - imag**2, _TINY)  # nothing at all stays nothing
    left_real, left_imag, right_real, right_imag = mixture
    # The inverse times the mixture.
    a_real = (right * left_real - real * right_real + imag * right_imag) * scale
    a_imag = (right * left_imag - real * right_imag - imag * right_real) * scale
    b_real = (left * right_real - real * left_real - imag * left_imag) * scale
    b_imag = (left * right_imag - real * left_imag + imag * left_real) * scale
    kept = 1 - trust
    for estimate, magnitude, (own_left, own_right, own_real, own_imag), to in zip(
        estimates, magnitudes, shapes, out, strict=True
    ):
        to[0] = (own_left * a_real + own_real * b_real - own_imag * b_imag) * magnitude
        to[1] = (own_left * a_imag + own_real * b_imag + own_imag * b_real) * magnitude
        to[2] = (own_right * b_real + own_real * a_real + own_imag * a_imag) * magnitude
        to[3] = (own_right * b_imag + own_real * a_imag - own_imag * a_real) * magnitude
        to += kept * estimate
