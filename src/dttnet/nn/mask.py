"""Complex masks on packed spectra, in real arithmetic: the exported graph holds no complex numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def add_up(masks: Tensor) -> Tensor:
    """Packed masks (B, S, C, T, F), moved by equal shares so that their sum over the stems is one, a real number."""
    # One belongs to the real channels alone.
    one = torch.tensor([1.0, 0.0], dtype=masks.dtype, device=masks.device).repeat(masks.shape[2] // 2)[:, None, None]
    return masks + one / masks.shape[1] - masks.mean(1, keepdim=True)


def limit(masks: Tensor, largest: float) -> Tensor:
    """Packed masks (B, S, C, T, F) with no magnitude above `largest`; phases stay."""
    squared = masks.square()
    power = squared[:, :, 0::2] + squared[:, :, 1::2]
    scale = (power / largest**2).clamp(min=1).rsqrt()
    return masks * scale.repeat_interleave(2, 2)


def apply_mask(mask: Tensor, x: Tensor) -> Tensor:
    """Complex product of a packed mask (B, S, C, T, F) and a packed spectrum (B, C, T, F)."""
    real, imag = x[:, None, 0::2], x[:, None, 1::2]
    mask_real, mask_imag = mask[:, :, 0::2], mask[:, :, 1::2]
    product = torch.stack([mask_real * real - mask_imag * imag, mask_real * imag + mask_imag * real], 3)
    return product.flatten(2, 3)
