"""From a configuration to its network: the only place that knows all architectures."""

from __future__ import annotations

from torch import nn

from dttnet.config import BSRNNConfig, DTTNetConfig, NetworkConfig, TFCTDFUNetConfig
from dttnet.nn.bsrnn import BSRNN
from dttnet.nn.dttnet import DTTNet
from dttnet.nn.tfc_tdf_unet_v3 import TFCTDFUNet


def build_network(config: NetworkConfig) -> nn.Module:
    """A network with random weights: packed spectrum (B, 2C, T, F) -> packed spectra (B, S, 2C, T, F).

    T must be a multiple of `config.frame_multiple`.
    """
    match config:
        case DTTNetConfig():
            return DTTNet(config)
        case TFCTDFUNetConfig():
            return TFCTDFUNet(config)
        case BSRNNConfig():
            return BSRNN(config)
