"""Short-time Fourier transform and inverse in numpy, for the transform of `dttnet.config.Transform`.

The numbers are those of `torch.stft(..., window=hann_window(n_fft), center=True, normalized=False)` and `torch.istft`,
which the networks were trained with, in float32.

Shapes: ... any leading axes, C channels, N samples, T frames, F kept bins. Spectra are (..., T, F) complex64, packed
spectra (..., 2C, T, F) float32 with the channel order L.re, L.im, R.re, R.im.
"""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dttnet.config import Transform

Float = NDArray[np.float32]
Complex = NDArray[np.complex64]


@functools.lru_cache(maxsize=8)
def _window(n_fft: int) -> Float:
    """Periodic Hann window, computed in float64."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    window.flags.writeable = False
    return window


def stft(audio: Float, transform: Transform) -> Complex:
    """Frames of `audio` without any padding: frame t starts at sample t * hop.

    Args:
        audio: (..., n_fft + (T - 1) * hop) float32. The caller has put n_fft / 2 samples of context at both ends.

    Returns:
        (..., T, F) complex64.
    """
    *leading, n_samples = audio.shape
    n_frames = (n_samples - transform.n_fft) // transform.hop + 1
    spectrum = np.empty((*leading, n_frames, transform.n_bins), np.complex64)
    window = _window(transform.n_fft)
    for row in np.ndindex(*leading):  # row by row: the frames of all at once would not fit any cache
        frames = np.lib.stride_tricks.sliding_window_view(audio[row], transform.n_fft)[:: transform.hop]
        spectrum[row] = np.fft.rfft(frames * window)[:, : transform.n_bins]
    return spectrum


def istft(spectrum: Complex, transform: Transform) -> Float:
    """The samples between the centres of the first and the last frame.

    Weighted overlap-add divided by the sum of the squared windows (Griffin & Lim 1984). The outer n_fft / 2 samples
    at both ends are covered by fewer frames than the rest.

    Args:
        spectrum: (..., T, F) complex64 of the kept bins; those above are zero.

    Returns:
        (..., (T - 1) * hop) float32.
    """
    n_fft, hop = transform.n_fft, transform.hop
    *leading, n_frames, _ = spectrum.shape
    n_samples = (n_frames - 1) * hop
    inner = slice(n_fft // 2, n_fft // 2 + n_samples)
    envelope = _envelope(n_fft, hop, n_frames)[inner]
    window = _window(n_fft)
    audio = np.empty((*leading, n_samples), np.float32)
    for row in np.ndindex(*leading):
        # irfft pads the missing bins with zeros. numpy keeps single precision; its types do not say so.
        frames = cast("Float", np.fft.irfft(spectrum[row], n_fft))
        frames *= window
        np.divide(_overlap_add(frames, hop)[inner], envelope, out=audio[row])
    return audio


@functools.lru_cache(maxsize=8)
def _envelope(n_fft: int, hop: int, n_frames: int) -> Float:
    """Sum of the squared windows of `n_frames` frames."""
    envelope = _overlap_add(np.broadcast_to(_window(n_fft) ** 2, (n_frames, n_fft)), hop)
    envelope.flags.writeable = False
    return envelope


def _overlap_add(frames: Float, hop: int) -> Float:
    """(..., T, n_fft) -> (..., n_fft + (T - 1) * hop): `hop` divides n_fft, so whole blocks are added."""
    *leading, n_frames, n_fft = frames.shape
    n_blocks = n_fft // hop
    blocks = frames.reshape(*leading, n_frames, n_blocks, hop)
    audio = np.zeros((*leading, n_frames + n_blocks - 1, hop), np.float32)
    for block in range(n_blocks):
        audio[..., block : block + n_frames, :] += blocks[..., block, :]
    return audio.reshape(*leading, -1)


def pack(spectrum: Complex) -> Float:
    """(..., C, T, F) complex64 -> (..., 2C, T, F) float32."""
    *leading, n_channels, n_frames, n_bins = spectrum.shape
    packed = np.stack([spectrum.real, spectrum.imag], axis=-3)
    return packed.reshape(*leading, 2 * n_channels, n_frames, n_bins)


def unpack(packed: Float) -> Complex:
    """(..., 2C, T, F) float32 -> (..., C, T, F) complex64."""
    *leading, n_packed, n_frames, n_bins = packed.shape
    spectrum = np.empty((*leading, n_packed // 2, n_frames, n_bins), np.complex64)
    spectrum.real = packed[..., 0::2, :, :]
    spectrum.imag = packed[..., 1::2, :, :]
    return spectrum
