"""Complex masks on packed spectra, in real arithmetic: the exported graph holds no complex numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def apply_mask(mask: Tensor, x: Tensor) -> Tensor:
    """Complex product of a packed mask (B, S, C, T, F) and a packed spectrum (B, C, T, F)."""
    real, imag = x[:, None, 0::2], x[:, None, 1::2]
    mask_real, mask_imag = mask[:, :, 0::2], mask[:, :, 1::2]
    product = torch.stack([mask_real * real - mask_imag * imag, mask_real * imag + mask_imag * real], 3)
    return product.flatten(2, 3)
