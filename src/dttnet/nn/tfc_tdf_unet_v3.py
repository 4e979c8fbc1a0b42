"""TFC-TDF UNet v3 (Kim, Lee, Jung, arXiv 2306.09382): one network for all stems, known as MDX23C.

Against DTTNet: normalisation and activation come before the layers, which have no biases; skips are concatenated; the
latent part is one more TFC-TDF block.

Shapes: B batch, S stems, C channels, T frames, F bins; see `dttnet.nn.dttnet`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dttnet.config import ActivationType, TFCTDFUNetConfig
from dttnet.nn.tfc_tdf import join_subbands, norm_layer, split_subbands

_ACTIVATIONS: dict[ActivationType, type[nn.GELU] | type[nn.ReLU]] = {"gelu": nn.GELU, "relu": nn.ReLU}


class PreActivation(nn.Sequential):
    """Normalisation, activation, and then a layer."""

    def __init__(self, n_channels: int, layer: nn.Module, config: TFCTDFUNetConfig) -> None:
        super().__init__(norm_layer(config.norm, n_channels), _ACTIVATIONS[config.activation](), layer)


class Unit(nn.Module):
    """TFC, TDF with a skip, TFC, and a 1x1 convolution around all three."""

    def __init__(self, n_in: int, n_out: int, n_bins: int, config: TFCTDFUNetConfig) -> None:
        super().__init__()
        n_hidden = n_bins // config.bottleneck_factor
        self.tfc_in = PreActivation(n_in, nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), config)
        self.tdf = nn.Sequential(
            PreActivation(n_out, nn.Linear(n_bins, n_hidden, bias=False), config),
            PreActivation(n_out, nn.Linear(n_hidden, n_bins, bias=False), config),
        )
        self.tfc_out = PreActivation(n_out, nn.Conv2d(n_out, n_out, 3, padding=1, bias=False), config)
        self.residual = nn.Conv2d(n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, F) -> (B, C_out, T, F)."""
        y: Tensor = self.tfc_in(x)
        y = y + self.tdf(y)
        out: Tensor = self.tfc_out(y) + self.residual(x)
        return out


class TFCTDFUNet(nn.Module):
    """Packed spectrum of a mixture -> packed spectra of the stems."""

    edges = ("first", "last")
    """The layers that take the spectrum in and give spectra out."""

    def __init__(self, config: TFCTDFUNetConfig) -> None:
        super().__init__()
        self.config = config
        n_packed = 2 * config.n_audio_channels * config.n_subbands
        n_bins = config.n_bins // config.n_subbands
        channels = [config.n_channels + config.growth * scale for scale in range(config.n_scales)]
        n_latent = config.n_channels + config.growth * config.n_scales

        def block(n_in: int, n_out: int, scale: int) -> nn.Sequential:
            inputs = [n_in] + [n_out] * (config.units_per_block - 1)
            return nn.Sequential(*(Unit(n, n_out, n_bins // 2**scale, config) for n in inputs))

        def down(n: int) -> PreActivation:
            return PreActivation(n, nn.Conv2d(n, n + config.growth, 2, stride=2, bias=False), config)

        def up(n: int) -> PreActivation:
            n_in = n + config.growth
            return PreActivation(n_in, nn.ConvTranspose2d(n_in, n, 2, stride=2, bias=False), config)

        self.first = nn.Conv2d(n_packed, config.n_channels, 1, bias=False)
        self.encoder = nn.ModuleList(block(n, n, scale) for scale, n in enumerate(channels))
        self.down = nn.ModuleList(down(n) for n in channels)
        self.latent = block(n_latent, n_latent, config.n_scales)
        self.up = nn.ModuleList(up(n) for n in reversed(channels))
        self.decoder = nn.ModuleList(block(2 * n, n, scale) for scale, n in reversed(list(enumerate(channels))))
        self.last = nn.Sequential(
            nn.Conv2d(n_packed + config.n_channels, config.n_channels, 1, bias=False),
            _ACTIVATIONS[config.activation](),
            nn.Conv2d(config.n_channels, config.n_stems * n_packed, 1, bias=False),
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, S, C, T, F); T must be a multiple of 2^n_scales."""
        spectrum = split_subbands(mixture, self.config.n_subbands)
        x = first = self.first(spectrum)
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            x = block(x)
            skips.append(x)
            x = down(x)
        x = self.latent(x)
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([up(x), skips.pop()], 1))
        x = self.last(torch.cat([spectrum, x * first], 1))
        x = join_subbands(x, self.config.n_subbands)
        return x.reshape(x.shape[0], self.config.n_stems, -1, x.shape[2], x.shape[3])
