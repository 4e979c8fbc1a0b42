"""RNNs along time and along frequency in turns, as in BSRNN (arXiv 2209.15174, section II-B), or what may stand in
their place.

In DTTNet's Improved Dual-Path Module (IDPM; arXiv 2309.08684, section 3.3 and figure 3) the C channels are split into H
heads that share the weights; afterwards the heads are merged again.

Shapes: B batch, H heads, C channels, T frames, F bins, L sequence length.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dttnet.config import PathType, RNNType
from dttnet.nn.tfc_tdf import count_groups

_RNNS: dict[RNNType, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class PathUnit(nn.Module):
    """(B, L, C) -> (B, L, C): something on top of the input.

    Attributes:
        added: The layers whose outputs are added to the input.
    """

    added: tuple[nn.Module, ...]

    def silence(self) -> None:
        """Let nothing be added: the unit gives its input until it is trained."""
        for layer in self.added:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)


class RNNUnit(PathUnit):
    """Group normalisation, bidirectional RNN C -> 2C per direction, linear 4C -> C, plus the input."""

    def __init__(self, n_channels: int, *, rnn: RNNType, n_groups: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(n_groups, n_channels, eps)
        self.rnn = _RNNS[rnn](n_channels, 2 * n_channels, batch_first=True, bidirectional=True)
        self.project = nn.Linear(4 * n_channels, n_channels)
        self.added = (self.project,)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        y, _ = self.rnn(_normalise(x, self.norm))
        out: Tensor = x + self.project(y)
        return out


class AttentionUnit(PathUnit):
    """Every position attends to all others (Vaswani et al., arXiv 1706.03762), then a perceptron: each behind a group
    normalisation and on top of its input. Where a position is, the convolutions before it have to say."""

    def __init__(self, n_channels: int, *, n_groups: int) -> None:
        super().__init__()
        self.n_heads = count_groups(n_channels)
        self.norm_in = nn.GroupNorm(n_groups, n_channels)
        self.attended = nn.Linear(n_channels, 3 * n_channels)
        self.project = nn.Linear(n_channels, n_channels)
        self.norm_out = nn.GroupNorm(n_groups, n_channels)
        self.perceptron = _perceptron(n_channels)
        self.added = (self.project, self.perceptron[-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        batch, length, n_channels = x.shape
        y = self.attended(_normalise(x, self.norm_in))
        query, key, value = y.reshape(batch, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)  # (B, H, L, C / H)
        x = x + self.project(seen.transpose(1, 2).reshape(batch, length, n_channels))
        out: Tensor = x + self.perceptron(_normalise(x, self.norm_out))
        return out


class ConvolutionUnit(PathUnit):
    """A convolution of each channel with `kernel_size` positions, group normalisation and a perceptron, on top of the
    input (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545, section 2.6)."""

    def __init__(self, n_channels: int, *, n_groups: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_channels, n_channels, kernel_size, padding=kernel_size // 2, groups=n_channels)
        self.norm = nn.GroupNorm(n_groups, n_channels)
        self.perceptron = _perceptron(n_channels)
        self.added = (self.perceptron[-1],)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, L, C)."""
        y = self.norm(self.conv(x.transpose(1, 2))).transpose(1, 2)
        out: Tensor = x + self.perceptron(y)
        return out


def _perceptron(n_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_channels, 4 * n_channels), nn.GELU(), nn.Linear(4 * n_channels, n_channels))


def _normalise(x: Tensor, norm: nn.Module) -> Tensor:
    """(B, L, C) through a normalisation of (B, C, L)."""
    y: Tensor = norm(x.transpose(1, 2))
    return y.transpose(1, 2)


def run_pair(x: Tensor, *, along_time: nn.Module, along_frequency: nn.Module) -> Tensor:
    """(B, F, T, C) -> (B, F, T, C): every bin along time, then every frame along frequency."""
    batch, n_bins, n_frames, n_channels = x.shape
    y: Tensor = along_time(x.reshape(-1, n_frames, n_channels))
    y = y.reshape(batch, n_bins, n_frames, n_channels).transpose(1, 2)
    y = along_frequency(y.reshape(-1, n_bins, n_channels))
    return y.reshape(batch, n_frames, n_bins, n_channels).transpose(1, 2)


class DualPath(nn.Module):
    """`n_layers` pairs of a unit along time and one along frequency, with `n_heads` heads."""

    def __init__(self, n_channels: int, *, n_layers: int, n_heads: int, path: PathType) -> None:
        super().__init__()
        self.n_heads = n_heads
        n_head_channels = n_channels // n_heads
        n_groups = count_groups(n_head_channels)

        def unit() -> PathUnit:
            match path:
                case "attention":
                    return AttentionUnit(n_head_channels, n_groups=n_groups)
                case "convolution":
                    return ConvolutionUnit(n_head_channels, n_groups=n_groups)
                case _:
                    return RNNUnit(n_head_channels, rnn=path, n_groups=n_groups)

        self.along_time = nn.ModuleList(unit() for _ in range(n_layers))
        self.along_frequency = nn.ModuleList(unit() for _ in range(n_layers))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C, T, F)."""
        batch, n_channels, n_frames, n_bins = x.shape
        n_head_channels = n_channels // self.n_heads
        # Heads join the batch; channels go last, where the RNNs want them.
        y = x.reshape(batch * self.n_heads, n_head_channels, n_frames, n_bins).permute(0, 3, 2, 1)
        for along_time, along_frequency in zip(self.along_time, self.along_frequency, strict=True):
            y = run_pair(y, along_time=along_time, along_frequency=along_frequency)
        return y.permute(0, 3, 2, 1).reshape(batch, n_channels, n_frames, n_bins)
