"""DTTNet: a dual-path TFC-TDF UNet on the complex spectrogram (arXiv 2309.08684, section 3, figure 1).

Shapes: B batch, S stems, C channels, T frames, F bins. A packed spectrum is (B, C, T, F) with the channel order
L.re, L.im, R.re, R.im.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dttnet.config import DTTNetConfig
from dttnet.nn.bands import BandsIn, BandsOut, fold_bands
from dttnet.nn.dual_path import DualPath
from dttnet.nn.mask import add_up, apply_mask
from dttnet.nn.tfc_tdf import TFCTDF, ConvUnit, join_subbands, norm_layer, split_subbands

_LEAST_RMS = 3e-4
"""Of a packed spectrum, 100 dB below that of white noise at full scale: what is softer is silence."""


class DTTNet(nn.Module):
    """Packed spectrum of a mixture -> packed spectra of the stems."""

    edges = ("first", "last")
    """The layers that take the spectrum in and give spectra out."""

    def __init__(self, config: DTTNetConfig) -> None:
        super().__init__()
        self.config = config
        n_packed = 2 * config.n_audio_channels
        n_bins = config.n_positions
        growth = config.growth
        channels = [growth * (scale + 1) for scale in range(config.n_scales)]

        def block(n_channels: int, scale: int) -> TFCTDF:
            return TFCTDF(
                n_channels,
                n_bins // 2**scale,
                n_convs=config.convs_per_block,
                kernel_size=config.kernel_size,
                bottleneck_factor=config.bottleneck_factor,
                norm=config.norm,
            )

        def down(n_channels: int) -> ConvUnit:
            n_out = n_channels + growth
            return ConvUnit(nn.Conv2d(n_channels, n_out, 2, stride=2), norm_layer(config.norm, n_out))

        def up(n_channels: int) -> ConvUnit:
            n_in = n_channels + growth
            conv = nn.ConvTranspose2d(n_in, n_channels, 2, stride=2)
            return ConvUnit(conv, norm_layer(config.norm, n_channels))

        n_out = config.n_stems * n_packed
        n_skipped = n_packed * config.spectrum_skip
        first_norm = norm_layer(config.norm, growth)
        self.first: nn.Module
        self.last: nn.Module
        if config.band_widths:
            self.first = BandsIn(n_packed, growth, config.band_folds, first_norm)
            self.last = BandsOut(growth, n_skipped, n_out, config.band_folds)
        else:
            n = config.n_subbands
            self.first = ConvUnit(nn.Conv2d(n_packed * n, growth, 1), first_norm)
            self.last = nn.Conv2d(growth + n_skipped * n, n_out * n, 1)
        self.encoder = nn.ModuleList(block(n, scale) for scale, n in enumerate(channels))
        self.down = nn.ModuleList(down(n) for n in channels)
        self.latent = block(config.latent_channels, config.n_scales)
        self.dual_path = DualPath(
            config.latent_channels, n_layers=config.n_dual_path_layers, n_heads=config.n_heads, path=config.rnn
        )
        self.up = nn.ModuleList(up(n) for n in reversed(channels))
        self.decoder = nn.ModuleList(block(n, scale) for scale, n in reversed(list(enumerate(channels))))

    def forward(self, mixture: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, S, C, T, F); T must be a multiple of 2^n_scales."""
        gain = _gain(mixture, self.config.input_rms) if self.config.input_rms else None
        seen = mixture if gain is None else mixture * gain
        parts = self._split(_compress(seen, self.config.compression))
        x = self.first(*parts)
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.dual_path(self.latent(x))
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(up(x) * skips.pop())
        features = torch.split(x, [part.shape[3] for part in parts], 3) if len(parts) > 1 else [x]
        if self.config.spectrum_skip:
            features = [torch.cat(pair, 1) for pair in zip(features, parts, strict=True)]
        if not self.config.band_widths:
            return self._finish(join_subbands(self.last(*features), self.config.n_subbands), mixture, gain)
        # Band by band: what is done to all bins of all stems is bound by memory, and a band stays in the cache.
        bands = zip(self.last(*features), torch.split(mixture, list(self.config.band_widths), 3), strict=True)
        return torch.cat([self._finish(given, of_band, gain) for given, of_band in bands], 4)

    def _finish(self, given: Tensor, mixture: Tensor, gain: Tensor | None) -> Tensor:
        """What the last layer gives, (B, S * C, T, F), as packed spectra of the stems (B, S, C, T, F)."""
        x = given.reshape(given.shape[0], self.config.n_stems, -1, *given.shape[2:])
        if not self.config.mask:
            return x if gain is None else x / gain[:, None]
        if self.config.masks_add_up:
            x = add_up(x)
        # A limit stops the gradients of what is beyond it.
        return apply_mask(x, mixture, largest=0.0 if self.training else self.config.mask_limit)

    def _split(self, spectrum: Tensor) -> list[Tensor]:
        """(B, C, T, F) -> what each band's layers see, (B, C * n, T, F / n)."""
        if self.config.band_widths:
            return fold_bands(spectrum, self.config.band_widths, self.config.band_folds)
        return [split_subbands(spectrum, self.config.n_subbands)]


def _gain(x: Tensor, rms: float) -> Tensor:
    """What brings each packed spectrum (B, C, T, F) to this root mean square, (B, 1, 1, 1)."""
    return rms / x.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=_LEAST_RMS)


def _compress(x: Tensor, power: float) -> Tensor:
    """Raise the magnitudes of a packed spectrum (B, C, T, F) to `power`, keep the phases."""
    if power == 1:
        return x
    squared = x.square()
    magnitude_squared = squared[:, 0::2] + squared[:, 1::2]
    # A power, as engines compute it much faster.
    scale = torch.exp((power - 1) / 2 * torch.log(magnitude_squared + 1e-8))
    return x * scale.repeat_interleave(2, 1)
