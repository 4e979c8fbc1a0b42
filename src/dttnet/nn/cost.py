"""What a network costs: parameters, and multiply-accumulates (MAC) per second of audio.

Counted are the products of matrices: convolutions, linear layers, RNNs and attention. Left out is what is done element
by element (normalisation, activations, gates, masks, biases) and the transform, together some per cent. Chunks that
overlap make a song cost more: by 11 % at an overlap of a tenth. Counters that know no RNNs find less: 31.1 in place of
40.9 GMAC per second for the vocals network of DTTNet's paper.

Shapes: B batch, C channels, T frames, F bins.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from dttnet.config import NetworkCard
from dttnet.nn.bsrnn import Attention
from dttnet.nn.dual_path import AttentionUnit, DualPath


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def gmac_per_second(network: nn.Module, card: NetworkCard) -> float:
    """Thousand million multiply-accumulates per second of audio, all stems of the network together.

    Only attention costs more per second in longer chunks: it is counted for chunks of `card.n_frames`.
    """
    transform = card.transform
    silence = torch.zeros(1, 2 * transform.n_channels, card.frame_multiple, transform.n_bins)
    macs = count_macs(network, silence, n_frames=card.n_frames)
    return macs / card.frame_multiple * transform.sample_rate / transform.hop / 1e9


def count_macs(network: nn.Module, x: Tensor, *, n_frames: int | None = None) -> int:
    """Multiply-accumulates for the input (B, C, T, F), in evaluation mode.

    Args:
        n_frames: Frames that attention sees, where that is not T: what the T frames cost in a chunk of so many.
    """
    total = 0
    # Frames of a chunk, for one of x.
    ratio = (n_frames or x.shape[2]) / x.shape[2]

    def add(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        total += _macs(module, inputs[0], output, ratio)

    counted = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.LSTM, nn.GRU, Attention, DualPath)
    hooks = [module.register_forward_hook(add) for module in network.modules() if isinstance(module, counted)]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(x)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total


def _macs(module: nn.Module, x: Tensor, y: Any, ratio: float) -> int:
    """Of one layer that made `y` of `x`, where attention along time sees `ratio` times the frames."""
    match module:
        case nn.ConvTranspose2d():
            # The weight is (C_in, C_out, ...): every element that goes in meets all of the rest.
            return x.numel() * module.weight[0].numel()
        case nn.Conv1d() | nn.Conv2d():
            return int(y.numel()) * module.weight[0].numel()
        case nn.Linear():
            return int(y.numel()) * module.in_features
        case nn.LSTM() | nn.GRU():
            return math.prod(x.shape[:2]) * sum(weight.numel() for weight in module.parameters() if weight.ndim == 2)
        case Attention():
            return round(math.prod(x.shape[:3]) * x.shape[2] * ratio * module.n_attended)
        case DualPath():
            # Its layers are counted by themselves; here is what its attention multiplies.
            along_time = sum(isinstance(unit, AttentionUnit) for unit in module.along_time)
            along_frequency = sum(isinstance(unit, AttentionUnit) for unit in module.along_frequency)
            return round(2 * x.numel() * (along_time * x.shape[2] * ratio + along_frequency * x.shape[3]))
        case _:
            raise NotImplementedError(type(module))
