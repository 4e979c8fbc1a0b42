"""Complex masks on packed spectra, in real arithmetic: the exported graph holds no complex numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def add_up(masks: Tensor) -> Tensor:
    """Packed masks (B, S, C, T, F), moved by equal shares so that their sum over the stems is one, a real number."""
    # One belongs to the real channels alone.
    one = torch.tensor([1.0, 0.0], dtype=masks.dtype, device=masks.device).repeat(masks.shape[2] // 2)[:, None, None]
    return masks + one / masks.shape[1] - masks.mean(1, keepdim=True)


def apply_mask(mask: Tensor, x: Tensor, *, largest: float = 0.0) -> Tensor:
    """Complex product of a packed mask (B, S, C, T, F) and a packed spectrum (B, C, T, F).

    Args:
        largest: Magnitudes of the mask above it are made that small, phases stay; 0 is no limit.
    """
    mask_real, mask_imag = mask[:, :, 0::2], mask[:, :, 1::2]
    # On the spectrum, which is smaller than what comes of it.
    x = largest * x if largest not in (0.0, 1.0) else x
    real, imag = x[:, None, 0::2], x[:, None, 1::2]
    product = [mask_real * real - mask_imag * imag, mask_real * imag + mask_imag * real]
    if largest:
        size = (mask_real.square() + mask_imag.square()).clamp(min=largest**2).sqrt()
        product = [part / size for part in product]
    return torch.stack(product, 3).flatten(2, 3)
