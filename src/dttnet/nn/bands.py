"""Bands of different resolution: the higher a band, the more neighbouring bins share a position.

Music is dense at the bottom and sparse at the top, and a network costs positions times channels. Band-split RNN (arXiv
2209.15174) has bands of one position each, SCNet (arXiv 2401.13276, section 2.2) convolutions with larger strides for
higher bands; here a UNet goes over the positions of all bands, one band after the other.

Shapes: B batch, S stems, C channels, T frames, F bins, P positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def fold(x: Tensor, n_bins: int) -> Tensor:
    """(B, C, T, P * n_bins) -> (B, C * n_bins, T, P), channel-major: neighbouring bins become channels."""
    batch, n_channels, n_frames, _ = x.shape
    return x.reshape(batch, n_channels, n_frames, -1, n_bins).permute(0, 1, 4, 2, 3).flatten(1, 2)


def unfold(x: Tensor, n_bins: int) -> Tensor:
    """The inverse of `fold`."""
    batch, _, n_frames, n_positions = x.shape
    return x.reshape(batch, -1, n_bins, n_frames, n_positions).permute(0, 1, 3, 4, 2).flatten(3, 4)


def fold_bands(x: Tensor, widths: Sequence[int], folds: Sequence[int]) -> list[Tensor]:
    """(B, C, T, F) -> of each band (B, C * fold, T, width / fold)."""
    return [fold(band, n_bins) for band, n_bins in zip(torch.split(x, list(widths), 3), folds, strict=True)]


class BandsIn(nn.Module):
    """Of each band (B, C * fold, T, P) -> (B, n_out, T, P of all): a linear map each, one normalisation, ReLU."""

    def __init__(self, n_channels: int, n_out: int, folds: Sequence[int], norm: nn.Module) -> None:
        super().__init__()
        self.bands = nn.ModuleList(nn.Conv2d(n_channels * n_bins, n_out, 1) for n_bins in folds)
        self.norm = norm

    def forward(self, *bands: Tensor) -> Tensor:
        joined = torch.cat([conv(band) for conv, band in zip(self.bands, bands, strict=True)], 3)
        return torch.relu(self.norm(joined))


class BandsOut(nn.Module):
    """Of each band (B, n_in + n_skipped * fold, T, P) -> (B, n_out, T, width): a linear map each."""

    def __init__(self, n_in: int, n_skipped: int, n_out: int, folds: Sequence[int]) -> None:
        super().__init__()
        self.folds = list(folds)
        self.bands = nn.ModuleList(nn.Conv2d(n_in + n_skipped * n_bins, n_out * n_bins, 1) for n_bins in folds)

    def forward(self, *bands: Tensor) -> list[Tensor]:
        parts = zip(self.bands, bands, self.folds, strict=True)
        return [unfold(conv(band), n_bins) for conv, band, n_bins in parts]
