"""The multichannel Wiener filter: what it computes, that it adds up, and that it hears where stems are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dttnet.metrics import usdr
from dttnet.wiener import spatial_covariances, wiener_filter

Float = NDArray[np.float32]


def spectra(n_stems: int = 3, *, n_frames: int = 40, seed: int = 0, spread: float = 1.0) -> list[Float]:
    """(2, 4, T, F) of each stem, at levels and places of its own, which lie about the middle with some spread."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_stems):
        sound = rng.standard_normal((2, 2, n_frames, 30)) * 10.0 ** rng.uniform(-2, 2)
        left, right = 1 + spread * rng.standard_normal(2)
        diffuse = 0.2 * rng.standard_normal((2, 4, n_frames, 30))
        found.append((np.concatenate([left * sound, right * sound], axis=1) + diffuse).astype(np.float32))
    return found


def mixture_of(stems: list[Float]) -> Float:
    return np.sum(stems, axis=0, dtype=np.float32)


def filtered(estimates: list[Float], mixture: Float) -> list[Float]:
    return wiener_filter(estimates, mixture, spatial_covariances(estimates))


def as_complex(packed: Float) -> NDArray[np.complex128]:
    """(B, 4, T, F) -> (B, T, F, 2)."""
    double = packed.astype(np.float64)
    return np.moveaxis(double[:, 0::2] + 1j * double[:, 1::2], 1, -1)


def test_it_is_the_formula() -> None:
    estimates = spectra(spread=0.03)  # near enough for the trust to matter
    mixture = mixture_of(spectra(seed=1))
    covariances, magnitudes = [], []
    for estimate in map(as_complex, estimates):
        covariance = np.einsum("btfc,btfd->bfcd", estimate, estimate.conj())
        covariance /= np.trace(covariance, axis1=-2, axis2=-1).real[..., None, None] / 2
        covariances.append(covariance + 1e-3 * np.eye(2))
        magnitudes.append(np.sqrt((np.abs(estimate) ** 2).mean(axis=-1)))
    whole = sum(
        magnitude[..., None, None] * covariance[:, None]
        for magnitude, covariance in zip(magnitudes, covariances, strict=True)
    )
    solved = np.linalg.solve(whole, as_complex(mixture)[..., None])[..., 0]
    bare = [covariance - 1e-3 * np.eye(2) for covariance in covariances]
    energies = np.array([(np.abs(as_complex(estimate)) ** 2).sum(axis=(1, 3)) for estimate in estimates])
    shares = (energies / energies.sum(axis=0))[..., None, None]
    mean = (shares * bare).sum(axis=0)
    diversity = (shares * np.abs(bare - mean) ** 2).sum(axis=(0, -2, -1)) / (np.abs(mean) ** 2).sum(axis=(-2, -1))
    trust = (diversity / (diversity + 5e-3))[:, None, :, None]
    assert 0.1 < trust.mean() < 0.9
    for out, estimate, magnitude, covariance in zip(
        filtered(estimates, mixture), estimates, magnitudes, covariances, strict=True
    ):
        expected = trust * np.einsum("btf,bfcd,btfd->btfc", magnitude, covariance, solved)
        expected += (1 - trust) * as_complex(estimate)
        # float32, of which the inverse loses up to three digits where a stem is in one place.
        assert np.abs(as_complex(out) - expected).max() < 1e-3 * np.abs(expected).max()


def test_what_adds_up_still_does() -> None:
    estimates = spectra()
    mixture = mixture_of(estimates)
    total = mixture_of(filtered(estimates, mixture))
    np.testing.assert_allclose(total, mixture, atol=1e-4 * float(np.abs(mixture).max()))  # as above


def test_stems_in_places_of_their_own_leave_each_other() -> None:
    left, right = spectra(2, seed=3)
    left[:, 2:] *= np.float32(0.1)
    right[:, :2] *= np.float32(0.1)
    right *= np.linalg.norm(left) / np.linalg.norm(right)
    share = np.float32(0.3)
    estimates = [left + share * (right - left), right + share * (left - right)]
    for truth, before, after in zip((left, right), estimates, filtered(estimates, left + right), strict=True):
        assert usdr(truth.reshape(2, -1), after.reshape(2, -1)) > usdr(truth.reshape(2, -1), before.reshape(2, -1)) + 4


def test_a_power_of_two_changes_no_digit() -> None:
    estimates = spectra()
    mixture = mixture_of(estimates)
    soft = filtered([estimate / 64 for estimate in estimates], mixture / 64)
    for one, other in zip(filtered(estimates, mixture), soft, strict=True):
        np.testing.assert_array_equal(one / 64, other)


def test_where_nothing_is_known_of_places_the_estimates_stay() -> None:
    estimates = spectra()
    covariances = spatial_covariances(estimates)
    covariances[1] = 0
    for out, estimate in zip(wiener_filter(estimates, mixture_of(estimates), covariances), estimates, strict=True):
        np.testing.assert_array_equal(out[1], estimate[1])
        assert not np.array_equal(out[0], estimate[0])


def test_stems_that_are_all_in_one_place_stay_as_they_were_estimated() -> None:
    (sound,) = spectra(1)
    sound[:, 2:] = np.float32(0.5) * sound[:, :2]
    estimates = [gain * sound for gain in (np.float32(0.5), np.float32(0.75))]
    for out, estimate in zip(filtered(estimates, sound), estimates, strict=True):
        # What rounding makes of their covariances' differences.
        np.testing.assert_allclose(out, estimate, atol=1e-5 * float(np.abs(sound).max()))


@pytest.mark.parametrize("n_silent", [1, 2])
def test_a_stem_that_is_silent_stays_silent(n_silent: int) -> None:
    estimates = spectra(2)
    for estimate in estimates[:n_silent]:
        estimate[:] = 0
    for out in filtered(estimates, mixture_of(spectra(2)))[:n_silent]:
        np.testing.assert_array_equal(out, 0)
