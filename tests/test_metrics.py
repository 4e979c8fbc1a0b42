"""The SDR family: known values by construction, the rules for silence, and museval as the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dttnet.errors import UsageError
from dttnet.metrics import Scorer, csdr_pooled, csdr_sisec, museval_windows, si_sdr, usdr, window_sdr

RATE = 8000
"""Low, so that museval takes a second for what it needs half a minute for at 44.1 kHz."""

Float = NDArray[np.float32]


def noise(*shape: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def at_sdr(reference: NDArray[Any], db: float) -> NDArray[Any]:
    """An estimate with exactly this SDR in all windows: the error is the reference, scaled."""
    return reference * (1 - 10 ** (-db / 20))


def score(reference: Float, estimate: Float, *, window: int = RATE, block: int = 1 << 18) -> Scorer:
    scorer = Scorer(window=window)
    for start in range(0, reference.shape[1], block):
        scorer.push(reference[:, start : start + block], estimate[:, start : start + block])
    return scorer


# Known values


@pytest.mark.parametrize("db", [-10.0, 0.0, 7.25, 60.0])
def test_usdr_and_windows_of_an_estimate_with_a_known_error(db: float) -> None:
    reference = noise(2, 3 * RATE).astype(np.float64)
    estimate = at_sdr(reference, db)
    energy = np.sum(reference**2)
    with_epsilon = 10 * np.log10((energy + 1e-7) / (energy * 10 ** (-db / 10) + 1e-7))
    assert usdr(reference, estimate) == pytest.approx(with_epsilon, abs=1e-9)
    assert with_epsilon == pytest.approx(db, abs=1e-4)
    assert window_sdr(reference, estimate, window=RATE) == pytest.approx([db] * 3, abs=1e-9)


def test_silent_and_perfect_estimates() -> None:
    reference = noise(2, 2 * RATE)
    silence = np.zeros_like(reference)
    energy = float(np.sum(reference.astype(np.float64) ** 2))
    assert usdr(reference, silence) == 0
    assert usdr(reference, reference) == pytest.approx(10 * np.log10(energy / 1e-7), abs=1e-9)
    assert list(window_sdr(reference, reference, window=RATE)) == [np.inf, np.inf]
    assert si_sdr(reference, reference) == np.inf
    assert np.isnan(si_sdr(reference, silence))
    assert np.isnan(si_sdr(silence, reference))
    assert usdr(silence, silence) == 0


def test_the_loudest_part_of_a_track_decides_its_usdr_but_not_its_windows() -> None:
    reference = np.concatenate([noise(2, RATE), 100 * noise(2, RATE)], axis=1)
    error = np.concatenate([noise(2, RATE, seed=1), np.zeros((2, RATE), np.float32)], axis=1)
    assert usdr(reference, reference + error) == pytest.approx(40, abs=0.3)  # the energy of noise, to a few %
    windows = window_sdr(reference, reference + error, window=RATE)
    assert windows[0] == pytest.approx(0, abs=0.3)
    assert windows[1] == np.inf


def test_a_silent_estimate_has_no_si_sdr_however_its_sums_are_rounded() -> None:
    for seed in range(10):
        reference = noise(2, 2 * RATE, seed=seed)
        scorer = Scorer(window=RATE)
        for block in np.array_split(reference, 7, axis=1):  # none of which ends with a window
            scorer.push(block, np.zeros_like(block))
        assert np.isnan(scorer.si_sdr)


def test_si_sdr_does_not_change_with_the_gain_of_the_estimate() -> None:
    reference = noise(2, RATE).astype(np.float64)
    error = noise(2, RATE, seed=1).astype(np.float64)
    error -= reference * np.sum(error * reference) / np.sum(reference**2)  # orthogonal: a is 1
    error *= np.sqrt(np.sum(reference**2) / np.sum(error**2)) * 10 ** (-12.5 / 20)
    for gain in (1.0, 0.01, 3.0, -2.0):
        # Rounding in float64, of differences of sums for gains far from 1.
        assert si_sdr(reference, gain * (reference + error)) == pytest.approx(12.5, abs=1e-8)
    assert si_sdr(reference, 0.5 * reference) > 120


def test_si_sdr_is_what_its_definition_says() -> None:
    reference, estimate = noise(2, 1000), noise(2, 1000, seed=1) + noise(2, 1000)
    s, e = reference.astype(np.float64).ravel(), estimate.astype(np.float64).ravel()
    target = s * (e @ s) / (s @ s)
    expected = 10 * np.log10(target @ target / ((target - e) @ (target - e)))
    assert si_sdr(reference, estimate) == pytest.approx(expected, abs=1e-10)


def test_differences_of_float32_samples_are_not_rounded() -> None:
    reference = noise(2, RATE)
    estimate = np.nextafter(reference, np.float32(np.inf))
    error = np.sum((reference.astype(np.float64) - estimate.astype(np.float64)) ** 2)
    expected = 10 * np.log10(np.sum(reference.astype(np.float64) ** 2) / error)
    assert window_sdr(reference, estimate, window=RATE)[0] == pytest.approx(expected, abs=1e-9)


# Windows and blocks


@pytest.mark.parametrize(
    ("n_samples", "n_windows"),
    [(0, 0), (1, 1), (99, 1), (100, 1), (101, 1), (199, 1), (200, 2), (201, 2), (1050, 10)],
)
def test_the_last_partial_window_is_left_out_unless_it_is_the_only_one(n_samples: int, n_windows: int) -> None:
    reference = noise(2, n_samples)
    scorer = score(reference, reference * 0.9, window=100)
    assert scorer.n_windows == len(scorer.window_sdr) == len(scorer.silent_windows) == n_windows


def test_the_last_partial_window_counts_in_usdr() -> None:
    reference = noise(2, 150)
    estimate = reference.copy()
    estimate[:, 120:] = 0
    assert window_sdr(reference, estimate, window=100)[0] == np.inf
    assert usdr(reference, estimate) < 20


@pytest.mark.parametrize("block", [1, 7, 99, 100, 101, 1000])
def test_blocks_of_any_length_give_the_same_scores(block: int) -> None:
    reference, estimate = noise(2, 1234), noise(2, 1234, seed=1)
    whole, parts = score(reference, estimate, window=100), score(reference, estimate, window=100, block=block)
    # The order of additions in float64.
    assert parts.window_sdr == pytest.approx(whole.window_sdr, abs=1e-11)
    assert (parts.usdr, parts.si_sdr) == pytest.approx((whole.usdr, whole.si_sdr), abs=1e-11)
    assert parts.n_samples == 1234


# Aggregation


def test_the_two_csdr_differ_in_how_they_weigh_tracks() -> None:
    short, long = np.array([10.0, 12.0]), np.array([0.0, 1.0, 2.0, 3.0, np.nan])
    assert csdr_pooled([short, long]) == 2.5
    assert csdr_sisec([short, long]) == (11 + 1.5) / 2


def test_undefined_windows_are_left_out_and_nothing_at_all_is_nan() -> None:
    assert np.isnan(csdr_pooled([]))
    assert np.isnan(csdr_sisec([np.array([np.nan])]))
    assert csdr_sisec([np.array([np.nan]), np.array([3.0, np.inf, 5.0])]) == 4
    assert csdr_pooled([np.array([3.0, np.inf, 5.0])]) == 5


def test_a_silent_window_of_one_stem_is_left_out_for_all_by_museval_and_for_itself_by_the_paper() -> None:
    vocals, drums = noise(2, 3 * RATE), noise(2, 3 * RATE, seed=1)
    vocals[:, :RATE] = 0
    stems = {"vocals": score(vocals, vocals + 0.1), "drums": score(drums, drums + 0.1)}
    assert list(np.isnan(stems["vocals"].window_sdr)) == [True, False, False]
    assert not np.isnan(stems["drums"].window_sdr).any()
    for windows in museval_windows(stems).values():
        assert list(np.isnan(windows)) == [True, False, False]


# museval


def evaluate(museval: Any, references: Sequence[Float], estimates: Sequence[Float]) -> NDArray[np.float64]:
    sdr: NDArray[np.float64] = museval.evaluate(
        [reference.T for reference in references], [estimate.T for estimate in estimates], win=RATE, hop=RATE
    )[0]
    return sdr


def ours(references: Sequence[Float], estimates: Sequence[Float]) -> NDArray[np.float64]:
    stems = {str(i): score(*pair) for i, pair in enumerate(zip(references, estimates, strict=True))}
    return np.array(list(museval_windows(stems).values()))


@pytest.mark.parametrize("n_samples", [600, RATE - 1, RATE, RATE + 1, 2 * RATE - 1, 2 * RATE + 4321])
def test_equal_to_museval_for_lengths_around_windows(museval: Any, n_samples: int) -> None:
    references = [noise(1, n_samples, seed=seed) for seed in range(2)]
    estimates = [references[0] + 0.3 * references[1], 0.01 * noise(1, n_samples, seed=9)]
    expected = evaluate(museval, references, estimates)
    result = ours(references, estimates)
    assert result.shape == expected.shape
    assert result == pytest.approx(expected, abs=1e-6)  # the promise; it is 1e-12 in fact


def test_equal_to_museval_where_windows_are_silent(museval: Any) -> None:
    n_samples = 7 * RATE + 100
    references = [noise(2, n_samples, seed=seed) for seed in range(2)]
    estimates = [at_sdr(references[0], 5), references[1] + 1e-4 * noise(2, n_samples, seed=9)]
    references[0][:, :RATE] = 0
    estimates[1][:, 2 * RATE : 3 * RATE] = 0
    references[1][1, 4 * RATE : 5 * RATE] = -references[1][0, 4 * RATE : 5 * RATE]  # the channels cancel
    estimates[0][:, 5 * RATE : 6 * RATE - 1] = 0  # but for a sample
    expected = evaluate(museval, references, estimates)
    assert list(np.isnan(expected[0])) == [True, False, True, False, True, False, False]
    assert ours(references, estimates) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_a_stem_that_museval_refuses_does_not_change_the_others(museval: Any) -> None:
    references = [noise(1, 2 * RATE, seed=seed) for seed in range(2)]
    estimates = [references[0] * 0.8, references[1] + 0.2 * references[0]]
    silence = np.zeros_like(references[0])
    with pytest.raises(ValueError, match="non-silent"):
        evaluate(museval, [*references, silence], [*estimates, references[0]])
    expected = evaluate(museval, references, estimates)
    for third in ((silence, references[0]), (references[0], silence)):
        result = ours([*references, third[0]], [*estimates, third[1]])
        assert result[:2] == pytest.approx(expected, abs=1e-6)
        assert np.isnan(result[2]).all()


# Refusals


@pytest.mark.parametrize(
    ("reference", "estimate", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"shapes \(2, 3\) and \(2, 4\)"),
        (np.zeros(3), np.zeros(3), r"the reference has the shape \(3,\)"),
        (np.zeros((2, 3)), np.zeros((0, 3)), r"the estimate has the shape \(0, 3\)"),
        (np.zeros((2, 3), np.int16), np.zeros((2, 3)), "the reference holds int16"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), "the estimate holds NaN"),
    ],
)
def test_what_is_no_pair_of_signals_is_refused(reference: Any, estimate: Any, message: str) -> None:
    for metric in (usdr, si_sdr):
        with pytest.raises(UsageError, match=message):
            metric(reference, estimate)
    with pytest.raises(UsageError, match="window is 0"):
        window_sdr(reference, estimate, window=0)
