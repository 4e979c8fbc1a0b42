"""The short-time Fourier transform of `dttnet.stft`, in torch, so that a loss can look at waveforms.

Shapes: B batch, S stems, C channels, N samples, T frames, F bins.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dttnet.config import Transform


class SpectralTransform(nn.Module):
    """Waveforms <-> the packed spectra a network works on.

    Frames are centred and the ends of an excerpt are reflected, as in the reference recipes: an excerpt of
    `hop * (T - 1)` samples has T frames.
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform
        # Made from the transform, so it is in no checkpoint.
        self.register_buffer("window", torch.hann_window(transform.n_fft), persistent=False)
        self.window: Tensor

    def pack(self, audio: Tensor) -> Tensor:
        """(..., C, N) -> (..., 2C, T, F)."""
        t = self.transform
        *outer, n_channels, n_samples = audio.shape
        spectrum = torch.stft(
            audio.reshape(-1, n_samples), t.n_fft, t.hop, window=self.window, center=True, return_complex=True
        )
        parts = torch.view_as_real(spectrum[:, : t.n_bins].transpose(1, 2))  # (... * C, T, F, 2)
        return parts.movedim(-1, 1).reshape(*outer, 2 * n_channels, *parts.shape[1:3])

    def unpack(self, packed: Tensor, n_samples: int) -> Tensor:
        """(..., 2C, T, F) -> (..., C, N); the bins above F are zero."""
        t = self.transform
        *outer, n_packed, n_frames, n_bins = packed.shape
        parts = packed.reshape(-1, 2, n_frames, n_bins).permute(0, 3, 2, 1)  # (... * C, F, T, 2)
        spectrum = torch.view_as_complex(parts.contiguous())
        spectrum = nn.functional.pad(spectrum, (0, 0, 0, t.n_fft // 2 + 1 - n_bins))
        audio = torch.istft(spectrum, t.n_fft, t.hop, window=self.window, length=n_samples)
        return audio.reshape(*outer, n_packed // 2, n_samples)
