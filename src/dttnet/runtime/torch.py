"""Networks in torch, run by torch: what is being trained separates through the same code as what is shipped."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dttnet.config import NetworkCard


class TorchNetwork:
    """A torch network as an engine.

    Args:
        network: (B, 2C, T, F) -> (B, S, 2C, T, F); run where its parameters are, in the mode it is in.
        card: What it is.
    """

    def __init__(self, network: nn.Module, card: NetworkCard) -> None:
        self.card = card
        self._network = network

    @property
    def device(self) -> str:
        return str(self._where)

    @property
    def _where(self) -> torch.device:
        return next(self._network.parameters()).device

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 2C, T, F) -> (B, S, 2C, T, F)."""
        with torch.inference_mode():
            # Not by way of __call__: a compiled network would be compiled again for every length of a last chunk.
            out = self._network.forward(torch.from_numpy(packed).to(self._where))
        result: NDArray[np.float32] = out.float().cpu().numpy()
        return result
