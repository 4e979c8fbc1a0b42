"""RNNs along time and along frequency in turns, as in BSRNN (arXiv 2209.15174, section II-B).

In DTTNet's Improved Dual-Path Module (IDPM; arXiv 2309.08684, section 3.3 and figure 3) the C channels are split into H
heads that share the weights; afterwards the heads are merged again.

Shapes: B batch, H heads, C channels, T frames, F bins, L sequence length.
"""

from __future__ import annotations

from torch import Tensor, nn

from dttnet.config import RNNType
from dttnet.nn.tfc_tdf import count_groups

_RNNS: dict[RNNType, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class RNNUnit(nn.Module):
    """Group normalisation, bidirectional RNN C -> 2C per direction, linear 4C -> C, plus the input."""

    def __init__(self, n_channels: int, *, rnn: RNNType, n_groups: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(n_groups, n_channels, eps)
        self.rnn = _RNNS[rnn](n_channels, 2 * n_channels, batch_first=True, bidirectional=True)
        self.project = nn.Linear(4 * n_channels, n_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        y = self.norm(x.transpose(1, 2)).transpose(1, 2)
        y, _ = self.rnn(y)
        out: Tensor = x + self.project(y)
        return out


def run_pair(x: Tensor, *, along_time: nn.Module, along_frequency: nn.Module) -> Tensor:
    """(B, F, T, C) -> (B, F, T, C): every bin along time, then every frame along frequency."""
    batch, n_bins, n_frames, n_channels = x.shape
    y: Tensor = along_time(x.reshape(-1, n_frames, n_channels))
    y = y.reshape(batch, n_bins, n_frames, n_channels).transpose(1, 2)
    y = along_frequency(y.reshape(-1, n_bins, n_channels))
    return y.reshape(batch, n_frames, n_bins, n_channels).transpose(1, 2)


class DualPath(nn.Module):
    """`n_layers` pairs of an RNN unit along time and one along frequency, with `n_heads` heads."""

    def __init__(self, n_channels: int, *, n_layers: int, n_heads: int, rnn: RNNType) -> None:
        super().__init__()
        self.n_heads = n_heads
        n_head_channels = n_channels // n_heads

        def units() -> nn.ModuleList:
            n_groups = count_groups(n_head_channels)
            return nn.ModuleList(RNNUnit(n_head_channels, rnn=rnn, n_groups=n_groups) for _ in range(n_layers))

        self.along_time = units()
        self.along_frequency = units()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C, T, F)."""
        batch, n_channels, n_frames, n_bins = x.shape
        n_head_channels = n_channels // self.n_heads
        # Heads join the batch; channels go last, where the RNNs want them.
        y = x.reshape(batch * self.n_heads, n_head_channels, n_frames, n_bins).permute(0, 3, 2, 1)
        for along_time, along_frequency in zip(self.along_time, self.along_frequency, strict=True):
            y = run_pair(y, along_time=along_time, along_frequency=along_frequency)
        return y.permute(0, 3, 2, 1).reshape(batch, n_channels, n_frames, n_bins)
