"""BSRNN: band-split RNN (Luo, Yu, arXiv 2209.15174).

With the parts that its open replication found to help (arXiv 2603.09187), all of them optional: one network for several
stems, audio channels that see each other (TAC), and attention along time.

Shapes: B batch, S stems, C audio channels, T frames, F bins, K bands, N channels of a band. The audio channels are
worked on as mono: they join the batch. A packed spectrum is (B, 2C, T, F), L.re, L.im, R.re, R.im.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dttnet.config import BSRNNConfig
from dttnet.nn.dual_path import RNNUnit, run_pair
from dttnet.nn.mask import apply_mask

_EPS = 1e-7
# Of the hidden layers: mask estimation (paper, section II-C) and TAC.
_MASK_FACTOR = 4
_TAC_FACTOR = 3


class BandSplit(nn.Sequential):
    """Normalisation of a band's real and imaginary rows (B, 2 * width, T) and a linear layer to (B, N, T)."""

    def __init__(self, width: int, n_channels: int) -> None:
        super().__init__(nn.GroupNorm(1, 2 * width, _EPS), nn.Conv1d(2 * width, n_channels, 1))


class MaskEstimation(nn.Sequential):
    """(B, N, T) -> a band's complex mask (B, 2 * width, T), real and then imaginary rows."""

    def __init__(self, width: int, n_channels: int) -> None:
        n_hidden = _MASK_FACTOR * n_channels
        super().__init__(
            nn.GroupNorm(1, n_channels, _EPS),
            nn.Conv1d(n_channels, n_hidden, 1),
            nn.Tanh(),
            nn.Conv1d(n_hidden, n_hidden, 1),
            nn.Tanh(),
            nn.Conv1d(n_hidden, 4 * width, 1),
            nn.GLU(1),
        )


class StemMask(nn.Module):
    """A stem's complex mask, band by band."""

    def __init__(self, config: BSRNNConfig) -> None:
        super().__init__()
        self.bands = nn.ModuleList(MaskEstimation(width, config.n_channels) for width in config.band_widths)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """K times (B, N, T) -> (B, 2, T, F)."""
        parts = [estimate(band).unflatten(1, (2, -1)) for estimate, band in zip(self.bands, features, strict=True)]
        return torch.cat(parts, 2).transpose(2, 3)


class TAC(nn.Module):
    """Transform, average, concatenate: each audio channel learns of the mean of all (Luo et al., arXiv 1910.14104)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        n_hidden = _TAC_FACTOR * n_channels
        self.transform = nn.Linear(n_channels, n_hidden)
        self.average = nn.Linear(n_hidden, n_hidden)
        self.concatenate = nn.Linear(2 * n_hidden, n_channels)
        self.activation = nn.PReLU()  # one for all three

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ..., N) -> (B, C, ..., N)."""
        each = self.activation(self.transform(x))
        mean = self.activation(self.average(each.mean(1, keepdim=True))).expand_as(each)
        out: Tensor = x + self.activation(self.concatenate(torch.cat([each, mean], -1)))
        return out


class Projection(nn.Sequential):
    """(B, T, K, N) -> (B, T, K, n_out), each frame normalised over bands and channels."""

    def __init__(self, n_channels: int, n_out: int, n_bands: int) -> None:
        super().__init__(nn.Linear(n_channels, n_out), nn.PReLU(), nn.LayerNorm((n_bands, n_out), _EPS))


class Attention(nn.Module):
    """Self-attention along time, in which all bands of a frame attend together (TF-GridNet, arXiv 2211.12433)."""

    def __init__(self, n_channels: int, n_bands: int, *, n_heads: int, n_attention_channels: int) -> None:
        super().__init__()

        def heads(n_out: int) -> nn.ModuleList:
            return nn.ModuleList(Projection(n_channels, n_out, n_bands) for _ in range(n_heads))

        # Numbers that a pair of frames multiplies per band: its queries with keys, and weights with values.
        self.n_attended = n_heads * n_attention_channels + n_channels
        self.queries = heads(n_attention_channels)
        self.keys = heads(n_attention_channels)
        self.values = heads(n_channels // n_heads)
        self.project = Projection(n_channels, n_channels, n_bands)

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, T, N) -> (B, K, T, N)."""
        frames = x.transpose(1, 2)
        queries, keys, values = (
            torch.stack([head(frames) for head in heads], 1) for heads in (self.queries, self.keys, self.values)
        )  # (B, H, T, K, n)
        seen = F.scaled_dot_product_attention(queries.flatten(3), keys.flatten(3), values.flatten(3))
        y = seen.reshape(values.shape).permute(0, 2, 3, 1, 4).flatten(3)  # (B, T, K, H * n)
        out: Tensor = x + self.project(y).transpose(1, 2)
        return out


class Layer(nn.Module):
    """RNN units along time and along the bands, then TAC and attention if there are any."""

    def __init__(self, config: BSRNNConfig) -> None:
        super().__init__()
        n_channels = config.n_channels
        self.n_audio_channels = config.n_audio_channels
        self.along_time = RNNUnit(n_channels, rnn=config.rnn, n_groups=1, eps=_EPS)
        self.along_bands = RNNUnit(n_channels, rnn=config.rnn, n_groups=1, eps=_EPS)
        self.tac = TAC(n_channels) if config.tac else None
        self.attention = (
            Attention(
                n_channels,
                len(config.band_widths),
                n_heads=config.n_attention_heads,
                n_attention_channels=config.attention_channels,
            )
            if config.n_attention_heads
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B * C, K, T, N) -> (B * C, K, T, N)."""
        x = run_pair(x, along_time=self.along_time, along_frequency=self.along_bands)
        if self.tac is not None:
            x = self.tac(x.reshape(-1, self.n_audio_channels, *x.shape[1:])).flatten(0, 1)
        if self.attention is not None:
            x = self.attention(x)
        return x


class BSRNN(nn.Module):
    """Packed spectrum of a mixture -> packed spectra of the stems, by complex masks."""

    edges = ("split", "masks")
    """The layers that take the spectrum in and give spectra out."""

    def __init__(self, config: BSRNNConfig) -> None:
        super().__init__()
        self.config = config
        self.split = nn.ModuleList(BandSplit(width, config.n_channels) for width in config.band_widths)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_dual_path_layers))
        self.masks = nn.ModuleList(StemMask(config) for _ in range(config.n_stems))

    def forward(self, mixture: Tensor) -> Tensor:
        """(B, 2C, T, F) -> (B, S, 2C, T, F)."""
        batch, n_packed, n_frames, n_bins = mixture.shape
        spectrum = mixture.reshape(-1, 2, n_frames, n_bins).transpose(2, 3)
        bands = torch.split(spectrum, list(self.config.band_widths), 2)
        x = torch.stack([split(band.flatten(1, 2)) for split, band in zip(self.split, bands, strict=True)], 1)
        x = x.transpose(2, 3)  # (B * C, K, T, N)
        for layer in self.layers:
            x = layer(x)
        features = x.transpose(2, 3).unbind(1)
        masks = [stem(features).reshape(batch, n_packed, n_frames, n_bins) for stem in self.masks]
        return apply_mask(torch.stack(masks, 1), mixture)
