"""Signal-to-distortion ratios of estimated stems, on arrays.

With s the reference and e the estimate, both (C, N), and sums over channels and samples:

* SDR of an excerpt: 10 log10(sum s^2 / sum (s - e)^2). In BSSEval v4 with the settings of SiSEC 2018 (Stöter, Liutkus &
  Ito 2018) this is what the SDR comes to, whatever the distortion filters.
* uSDR: the SDR of a whole track, with 1e-7 added to both sums (Mitsufuji et al. 2022, "Music Demixing Challenge 2021").
* cSDR: medians of the SDR of windows of one second. There are two in use: `csdr_pooled` and `csdr_sisec`.
* SI-SDR: the SDR after scaling the reference by its least-squares fit to the estimate (Le Roux et al. 2019).

All sums are float64. An undefined number is NaN, never an error: see each function for when.

Shapes: C channels, N samples, W windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from dttnet.errors import UsageError

Audio = NDArray[np.floating]
Decibels = NDArray[np.float64]

WINDOW_S = 1.0
"""Of cSDR, in the paper and in museval."""

_USDR_EPSILON = 1e-7


class Scorer:
    """Sums of one stem of one track, from which all its metrics follow. The samples may come in blocks of any lengths.

    Windows are those of museval: one after another from the start, the last partial one is left out; what is shorter
    than a window is a window.

    Args:
        window: Samples per window: a second, as a rule.

    Raises:
        UsageError: The window has no samples.
    """

    def __init__(self, *, window: int) -> None:
        if window < 1:
            raise UsageError(f"window is {window} samples: give at least 1")
        self._window = window
        self._n_samples = 0
        # One number per window, the partial one too.
        self._signal: list[float] = []
        self._error: list[float] = []
        self._reference_sounds: list[bool] = []
        self._estimate_sounds: list[bool] = []
        self._cross = 0.0
        self._estimate_is_silent = True

    def push(self, reference: Audio, estimate: Audio) -> None:
        """Append a block (C, n) of both.

        Raises:
            UsageError: See `validate`.
        """
        validate(reference, estimate)
        start = 0
        while start < reference.shape[1]:
            done = self._n_samples % self._window
            if not done:
                self._signal.append(0.0)
                self._error.append(0.0)
                self._reference_sounds.append(False)
                self._estimate_sounds.append(False)
            piece = slice(start, start + self._window - done)
            # In float64, or the difference of float32 samples would be rounded before it is squared.
            s = reference[:, piece].astype(np.float64)
            e = estimate[:, piece].astype(np.float64)
            d = s - e
            self._signal[-1] += float(np.einsum("cn,cn", s, s))
            self._error[-1] += float(np.einsum("cn,cn", d, d))
            self._cross += float(np.einsum("cn,cn", s, d))
            self._estimate_is_silent &= not e.any()
            # museval calls a window silent where the channels add up to zero.
            self._reference_sounds[-1] |= bool(s.sum(axis=0).any())
            self._estimate_sounds[-1] |= bool(e.sum(axis=0).any())
            self._n_samples += s.shape[1]
            start += s.shape[1]

    @property
    def n_samples(self) -> int:
        """Pushed so far."""
        return self._n_samples

    @property
    def n_windows(self) -> int:
        return max(self._n_samples // self._window, min(self._n_samples, 1))

    @property
    def reference_is_silent(self) -> bool:
        """All samples of the reference are zero."""
        return not sum(self._signal)

    @property
    def usdr(self) -> float:
        """In dB. With a silent reference and an estimate that is not, it is far below zero and says little."""
        ratio = (sum(self._signal) + _USDR_EPSILON) / (sum(self._error) + _USDR_EPSILON)
        return float(10 * np.log10(ratio))

    @property
    def si_sdr(self) -> float:
        """In dB; NaN where the reference or the estimate is silent, infinite where they differ by a gain only."""
        signal, error, cross = sum(self._signal), sum(self._error), self._cross
        if not signal or self._estimate_is_silent:
            return np.nan
        # With d = s - e: the scale is <e, s> / <s, s> = 1 - <d, s> / <s, s>, and what remains of e is what of d is
        # orthogonal to s. From d, not from e, or good estimates would be lost in the rounding of a difference.
        target = (signal - cross) ** 2 / signal
        rest = max(error - cross**2 / signal, 0.0)
        return float(_db(np.array([target]), np.array([rest]))[0])

    @property
    def window_sdr(self) -> Decibels:
        """(W,) in dB: NaN where the reference is silent, infinite where the estimate equals it."""
        n = self.n_windows
        return _db(np.array(self._signal[:n]), np.array(self._error[:n]))

    @property
    def silent_windows(self) -> NDArray[np.bool_]:
        """(W,): the reference or the estimate is silent as museval has it, its channels add up to zero."""
        sounding = np.logical_and(self._reference_sounds, self._estimate_sounds)
        return np.asarray(~sounding[: self.n_windows], np.bool_)


def validate(reference: Audio, estimate: Audio) -> None:
    """Check what all metrics need.

    Raises:
        UsageError: The two are not (C, N) floating point arrays of one shape, or hold NaN or infinite samples.
    """
    for name, audio in (("reference", reference), ("estimate", estimate)):
        if audio.ndim != 2 or not audio.shape[0]:
            raise UsageError(f"the {name} has the shape {audio.shape}: give (channels, samples)")
        if not np.issubdtype(audio.dtype, np.floating):
            raise UsageError(f"the {name} holds {audio.dtype}: give floating point samples")
    if reference.shape != estimate.shape:
        raise UsageError(
            f"reference and estimate have the shapes {reference.shape} and {estimate.shape}: make them one"
        )
    for name, audio in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(audio).all():
            raise UsageError(f"the {name} holds NaN or infinite samples")


def usdr(reference: Audio, estimate: Audio) -> float:
    """uSDR in dB, 10 log10((sum s^2 + 1e-7) / (sum (s - e)^2 + 1e-7)) (Mitsufuji et al. 2022).

    A silent estimate has 0 dB. With a silent reference the number says little; `evaluate` leaves it out of means.

    Args:
        reference: (C, N).
        estimate: (C, N).

    Raises:
        UsageError: See `validate`.
    """
    return _score(reference, estimate, window=max(reference.shape[-1], 1)).usdr


def si_sdr(reference: Audio, estimate: Audio) -> float:
    """Scale-invariant SDR in dB (Le Roux et al. 2019, "SDR - half-baked or well done?"), one scale for all channels.

    10 log10(sum (a s)^2 / sum (a s - e)^2) with a = sum (e s) / sum s^2. NaN where the reference or the estimate is
    silent.

    Args:
        reference: (C, N).
        estimate: (C, N).

    Raises:
        UsageError: See `validate`.
    """
    return _score(reference, estimate, window=max(reference.shape[-1], 1)).si_sdr


def window_sdr(reference: Audio, estimate: Audio, *, window: int) -> Decibels:
    """SDR of each window, (W,) in dB: NaN where the reference is silent, infinite where the estimate equals it.

    Args:
        reference: (C, N).
        estimate: (C, N).
        window: Samples per window. The last partial window is left out, see `Scorer`.

    Raises:
        UsageError: See `validate` and `Scorer`.
    """
    return _score(reference, estimate, window=window).window_sdr


def museval_windows(stems: Mapping[str, Scorer]) -> dict[str, Decibels]:
    """SDR of each window as museval gives it for the stems of one track: (W,) in dB for each.

    A window in which any of the stems is silent, in the reference or in the estimate, is NaN for all of them. A stem
    that is silent in all windows is NaN, and the others are what museval gives without it: with it, museval stops.
    """
    silent = {stem: scorer.silent_windows for stem, scorer in stems.items()}
    counted = [windows for windows in silent.values() if not windows.all()]
    left_out = np.logical_or.reduce(counted) if counted else np.False_
    return {stem: np.where(left_out | silent[stem], np.nan, scorer.window_sdr) for stem, scorer in stems.items()}


def csdr_pooled(tracks: Iterable[Decibels]) -> float:
    """cSDR of the DTTNet paper in dB: the median over all windows of all tracks, pooled. NaN windows are left out.

    Args:
        tracks: `window_sdr` of one stem in each track.
    """
    windows = np.concatenate([np.zeros(0), *tracks])
    return _median(windows[~np.isnan(windows)])


def csdr_sisec(tracks: Iterable[Decibels]) -> float:
    """cSDR of SiSEC 2018 and museval in dB: the median over tracks of the median over a track's windows.

    NaN windows are left out, and so are infinite ones: museval's files have no others than finite ones. Tracks of
    which nothing is left are left out.

    Args:
        tracks: `museval_windows` of one stem in each track.
    """
    medians = np.array([_median(windows[np.isfinite(windows)]) for windows in tracks])
    return _median(medians[~np.isnan(medians)])


def _score(reference: Audio, estimate: Audio, *, window: int) -> Scorer:
    scorer = Scorer(window=window)
    scorer.push(reference, estimate)
    return scorer


def _median(values: Decibels) -> float:
    """Of no values: NaN, without numpy's warning."""
    return float(np.median(values)) if values.size else np.nan


def _db(power: Decibels, error: Decibels) -> Decibels:
    """10 log10(power / error): NaN where there is no power, infinite where there is no error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result = 10 * np.log10(power / error)
    return np.where(power > 0, result, np.nan)
