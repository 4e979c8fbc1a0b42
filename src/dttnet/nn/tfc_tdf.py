"""Time-frequency convolutions with a time-distributed fully connected layer (TFC-TDF).

Choi et al., "Investigating U-Nets with various intermediate blocks for spectrogram-based singing voice
separation" (ISMIR 2020); in the form of DTTNet, arXiv 2309.08684, section 3.2 and figure 2.

Shapes: B batch, C channels, T frames, F bins. All maps are (B, C, T, F), so that the TDF acts on the last axis.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from dttnet.config import NormType


def count_groups(n_channels: int) -> int:
    """Groups of a group normalisation: of 16 channels each as in the paper, or of the next number that divides them."""
    return next(n for n in range(max(1, n_channels // 16), 0, -1) if n_channels % n == 0)


def norm_layer(kind: NormType, n_channels: int) -> nn.Module:
    """Normalisation of a (B, C, T, F) map over its channels."""
    if kind == "batch":
        return nn.BatchNorm2d(n_channels)
    if kind == "group":
        return nn.GroupNorm(count_groups(n_channels), n_channels)
    return nn.InstanceNorm2d(n_channels, affine=True)


class ConvUnit(nn.Sequential):
    """A convolution (with bias), normalisation, ReLU."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__(conv, norm, nn.ReLU())


class TFC(nn.Sequential):
    """A row of `n_convs` convolution units that keep the shape (B, C, T, F)."""

    def __init__(self, n_channels: int, *, n_convs: int, kernel_size: int, norm: NormType) -> None:
        super().__init__(
            *(
                ConvUnit(
                    nn.Conv2d(n_channels, n_channels, kernel_size, padding=kernel_size // 2),
                    norm_layer(norm, n_channels),
                )
                for _ in range(n_convs)
            )
        )


class TDF(nn.Sequential):
    """Fully connected layers along F, the same for every frame and channel: F -> F / factor -> F, or F -> F."""

    def __init__(self, n_channels: int, n_bins: int, *, bottleneck_factor: int | None, norm: NormType) -> None:
        sizes = [n_bins, n_bins] if bottleneck_factor is None else [n_bins, n_bins // bottleneck_factor, n_bins]
        super().__init__(
            *(
                ConvUnit(nn.Linear(n_in, n_out, bias=False), norm_layer(norm, n_channels))
                for n_in, n_out in pairwise(sizes)
            )
        )


class TFCTDF(nn.Module):
    """TFC, TDF with a skip, TFC, and a convolution unit as the residual path around all three."""

    def __init__(
        self,
        n_channels: int,
        n_bins: int,
        *,
        n_convs: int,
        kernel_size: int,
        bottleneck_factor: int | None,
        norm: NormType,
    ) -> None:
        super().__init__()
        self.tfc_in = TFC(n_channels, n_convs=n_convs, kernel_size=kernel_size, norm=norm)
        self.tdf = TDF(n_channels, n_bins, bottleneck_factor=bottleneck_factor, norm=norm)
        self.tfc_out = TFC(n_channels, n_convs=n_convs, kernel_size=kernel_size, norm=norm)
        self.residual = TFC(n_channels, n_convs=1, kernel_size=kernel_size, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C, T, F)."""
        y: Tensor = self.tfc_in(x)
        y = y + self.tdf(y)
        out: Tensor = self.tfc_out(y) + self.residual(x)
        return out


def split_subbands(x: Tensor, n_subbands: int) -> Tensor:
    """(B, C, T, K * F) -> (B, C * K, T, F), channel-major (TFC-TDF UNet v3, arXiv 2306.09382, section 2.2)."""
    if n_subbands == 1:
        return x
    batch, n_channels, n_frames, _ = x.shape
    return x.reshape(batch, n_channels, n_frames, n_subbands, -1).permute(0, 1, 3, 2, 4).flatten(1, 2)


def join_subbands(x: Tensor, n_subbands: int) -> Tensor:
    """The inverse of `split_subbands`."""
    if n_subbands == 1:
        return x
    batch, _, n_frames, n_bins = x.shape
    return x.reshape(batch, -1, n_subbands, n_frames, n_bins).permute(0, 1, 3, 2, 4).flatten(3, 4)
