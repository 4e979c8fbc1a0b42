"""The short-time Fourier transform of `dttnet.stft`, in torch, so that a loss can look at waveforms.

Not `torch.stft` and `torch.istft`: those hold the bins of a frame apart in memory, which costs a twentieth of a step of
a small network on a CPU.

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
        centred = nn.functional.pad(audio.reshape(-1, n_samples), (t.n_fft // 2, t.n_fft // 2), mode="reflect")
        spectrum = torch.fft.rfft(centred.unfold(-1, t.n_fft, t.hop) * self.window)
        parts = torch.view_as_real(spectrum[..., : t.n_bins])  # (... * C, T, F, 2)
        return parts.movedim(-1, 1).reshape(*outer, 2 * n_channels, *parts.shape[1:3])

    def unpack(self, packed: Tensor, n_samples: int) -> Tensor:
        """(..., 2C, T, F) -> (..., C, N); the bins above F are zero."""
        t = self.transform
        *outer, n_packed, n_frames, n_bins = packed.shape
        real, imaginary = packed.reshape(-1, 2, n_frames, n_bins).unbind(1)
        frames = torch.fft.irfft(torch.complex(real, imaginary), t.n_fft) * self.window
        weight = self._overlap_add(self.window.square().expand(1, n_frames, -1))
        middle = slice(t.n_fft // 2, t.n_fft // 2 + n_samples)
        audio = self._overlap_add(frames)[:, middle] / weight[:, middle]
        audio = nn.functional.pad(audio, (0, n_samples - audio.shape[-1]))
        return audio.reshape(*outer, n_packed // 2, n_samples)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """(..., T, n_fft) -> (..., hop * (T - 1) + n_fft)."""
        # A frame is a whole number of hops. Taking the pieces apart in one go has one copy as its derivative.
        pieces = frames.reshape(*frames.shape[:-1], -1, self.transform.hop).unbind(-2)
        after = len(pieces) - 1
        summed = sum(nn.functional.pad(piece, (0, 0, k, after - k)) for k, piece in enumerate(pieces))
        assert isinstance(summed, Tensor)
        return summed.flatten(-2)
