"""What training makes small: the losses of the three systems, and one more.

Every loss gets the estimates twice, as packed spectra and as waveforms, and the true waveforms; it is a mean, so it
does not depend on the size of the batch.

Shapes: B batch, S stems, C channels, N samples, T frames, F bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from dttnet.errors import UsageError
from dttnet.training.transform import SpectralTransform

# Energy per sample of 50 dB below full scale: in examples below it errors need not get smaller with the stems.
_QUIET = 1e-5


@dataclass
class LossConfig:
    """Which loss, and how.

    Attributes:
        kind: "l1" (DTTNet, arXiv 2309.08684, section 4.2), "l1_spectrum" (BSRNN, arXiv 2209.15174, section III-C),
            "quantile_mse" (TFC-TDF UNet v3, arXiv 2306.09382, section 3), "multi_resolution" or "decibels".
        consistent: Move the estimates before the loss as the runtime does (mixture consistency); needs a network that
            gives all stems of the mixture.
        stem_weights: One per stem; empty is equal weights. Not for "quantile_mse".
        spectrum_weight: Of the spectra against the waveform, for "l1_spectrum" and "multi_resolution".
        quantile: For "quantile_mse": elements with a higher error are left out.
        per: For "quantile_mse", what an element is: an "item" of the batch (a stem of an example) or a "frame".
        window_sizes: For "multi_resolution", in samples.
        best_db: For "decibels": errors so far below the energy of all stems together are as good as none.
    """

    kind: str = "l1"
    consistent: bool = False
    stem_weights: list[float] = field(default_factory=list)
    spectrum_weight: float = 1.0
    quantile: float = 0.93
    per: str = "frame"
    window_sizes: list[int] = field(default_factory=lambda: [4096, 2048, 1024, 512, 256])
    best_db: float = 30.0

    def __post_init__(self) -> None:
        _require(self.kind in LOSSES, f"loss.kind is {self.kind!r}: give one of {', '.join(LOSSES)}")
        _require(0 < self.quantile <= 1, f"loss.quantile is {self.quantile}: give more than 0, at most 1")
        _require(self.per in ("item", "frame"), f"loss.per is {self.per!r}: give item or frame")
        _require(self.spectrum_weight >= 0, f"loss.spectrum_weight is {self.spectrum_weight}: it must not be negative")
        _require(
            all(size >= 16 for size in self.window_sizes),
            f"loss.window_sizes are {list(self.window_sizes)}: give at least 16 samples each",
        )


class Loss(Protocol):
    def __call__(self, packed: Tensor, estimates: Tensor, stems: Tensor) -> Tensor:
        """Packed estimates (B, S, 2C, T, F), the same as waveforms (B, S, C, N), true stems (B, S, C, N)."""
        ...


def build_loss(config: LossConfig, transform: SpectralTransform, n_stems: int) -> Loss:
    """The loss a config asks for.

    Raises:
        UsageError: There is not one weight per stem.
    """
    given = list(config.stem_weights) or [1.0] * n_stems
    _require(
        len(given) == n_stems and min(given) >= 0 and 0 < sum(given) < math.inf,
        f"loss.stem_weights are {given}: give one per stem ({n_stems}), none negative or infinite, not all zero",
    )
    weights = torch.tensor(given) * n_stems / sum(given)
    return LOSSES[config.kind](config, transform, weights)


class L1(nn.Module):
    """Mean absolute difference of the waveforms."""

    def __init__(self, config: LossConfig, transform: SpectralTransform, weights: Tensor) -> None:
        super().__init__()
        self.config = config
        # A list, or a module that only borrows the transform would own it too.
        self.borrowed = [transform]
        self.register_buffer("weights", weights[:, None, None], persistent=False)
        self.weights: Tensor

    def forward(self, packed: Tensor, estimates: Tensor, stems: Tensor) -> Tensor:  # noqa: ARG002  # the protocol
        return self.mean((estimates - stems).abs())

    def mean(self, differences: Tensor) -> Tensor:
        """Weighted mean of (B, S, ...)."""
        return (differences.flatten(2).unsqueeze(2) * self.weights).mean()


class L1Spectrum(L1):
    """`L1`, plus the mean absolute difference of the real and imaginary parts of the spectra, which are not normalised.

    The estimate's spectrum is the network's own, not that of its waveform.
    """

    def forward(self, packed: Tensor, estimates: Tensor, stems: Tensor) -> Tensor:
        (transform,) = self.borrowed
        spectral = self.mean((packed - transform.pack(stems)).abs())
        return self.mean((estimates - stems).abs()) + self.config.spectrum_weight * spectral


class QuantileMSE(L1):
    """Mean squared error of the waveforms without the elements above a quantile of the batch.

    Mislabelled or bleeding training data gives the largest errors; leaving them out keeps them from leading.
    """

    def forward(self, packed: Tensor, estimates: Tensor, stems: Tensor) -> Tensor:  # noqa: ARG002  # the protocol
        errors = (estimates - stems).square()
        if self.config.per == "frame":
            (transform,) = self.borrowed
            hop = transform.transform.hop
            n_frames = errors.shape[-1] // hop
            whole = errors[..., : n_frames * hop]
            errors = whole.reshape(*errors.shape[:3], n_frames, hop).mean((2, 4))  # (B, S, frames)
        else:
            errors = errors.mean((2, 3))
        # Each stem has its own scale of errors, so its own threshold.
        by_stem = errors.transpose(0, 1).flatten(1)
        thresholds = torch.quantile(by_stem.detach(), self.config.quantile, dim=1, keepdim=True)
        return torch.where(by_stem <= thresholds, by_stem, 0).mean()


class MultiResolution(L1):
    """`L1`, plus the mean absolute difference of complex spectra in several resolutions.

    In the manner of Guso et al., "On loss functions and evaluation metrics for music source separation" (ICASSP
    2022), and of Lu et al. (arXiv 2309.02612, section 3.4), with the spectra scaled to the size of the samples.
    """

    def __init__(self, config: LossConfig, transform: SpectralTransform, weights: Tensor) -> None:
        super().__init__(config, transform, weights)
        for size in config.window_sizes:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)

    def forward(self, packed: Tensor, estimates: Tensor, stems: Tensor) -> Tensor:  # noqa: ARG002  # the protocol
        difference = estimates - stems
        n_samples, largest = difference.shape[-1], max(self.config.window_sizes, default=0)
        _require(
            largest // 2 < n_samples,
            f"loss.window_sizes has {largest} samples, an example {n_samples}: give at most twice as many",
        )
        total = self.mean(difference.abs())
        for size in self.config.window_sizes:
            window: Tensor = self.get_buffer(f"window_{size}")
            # The transform is linear: that of the difference is the difference of the two.
            spectrum = torch.stft(
                difference.flatten(0, 2), size, size // 4, window=window, center=True, return_complex=True
            )
            parts = torch.view_as_real(spectrum).abs() * window.square().sum().rsqrt()
            share = self.config.spectrum_weight / len(self.config.window_sizes)
            total = total + share * self.mean(parts.reshape(*difference.shape[:2], -1))
        return total


class Decibels(L1):
    """Mean error in dB, so that a quiet example counts as a loud one does, as it does in the scores.

    The negative thresholded signal-to-noise ratio of Wisdom et al. (arXiv 2006.12701, section 3.1), moved to be 0 for a
    perfect estimate: 10 log10(1 + error / threshold). The threshold is `best_db` below the energy of all the stems of
    the example together, so that it also holds for a stem that is silent.
    """

    def forward(self, packed: Tensor, estimates: Tensor, stems: Tensor) -> Tensor:  # noqa: ARG002  # the protocol
        errors = (estimates - stems).square().mean((2, 3))  # (B, S)
        energies = stems.square().mean((2, 3)).sum(1, keepdim=True)
        thresholds = (energies + _QUIET) * 10 ** (-self.config.best_db / 10)
        return self.mean(10 * torch.log10(1 + errors / thresholds).unsqueeze(2))


LOSSES: dict[str, type[L1]] = {
    "l1": L1,
    "l1_spectrum": L1Spectrum,
    "quantile_mse": QuantileMSE,
    "multi_resolution": MultiResolution,
    "decibels": Decibels,
}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)
