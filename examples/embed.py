"""A model of dttnet in a program of your own: an ONNX file, a Fourier transform and a loop, without the package.

    python examples/embed.py MODEL.onnx SONG.wav OUT

Needs numpy, onnxruntime and soundfile; what it does is little enough for any language (docs/embedding.md). SONG has two
channels at the model's rate. The stems of `default` and `fast` are those of `dttnet separate --quality fast`, to
-100 dB.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import soundfile

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # asked for when it is loaded; else it reports to its makers
import onnxruntime

N_FRAMES = 128  # of a chunk: any number from 16 on that `frame_multiple` of the card divides
SILENCE = 2.0**-24


def separate(model: Path, audio: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """(2, N) -> (2, N) of each stem."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["dttnet"])
    stems, transform = card["stems"], card["transform"]
    n_fft, hop, n_bins = transform["n_fft"], transform["hop"], transform["n_bins"]
    if rate != transform["sample_rate"]:
        raise SystemExit(f"the song has {rate} Hz: resample it to {transform['sample_rate']} Hz first")
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)

    n_samples, longest = audio.shape[1], (N_FRAMES - 1) * hop - n_fft
    padded = np.pad(audio, ((0, 0), (n_fft, n_fft + longest))).astype(np.float32)
    out = np.zeros((len(stems), 2, n_samples + longest), np.float32)
    weights = np.zeros(n_samples + longest, np.float32)
    for start in range(0, max(n_samples - hop, 1), longest - hop):
        # The last chunk has no more frames than it needs.
        needed = -(-(n_samples - start + n_fft) // hop) + 1
        n_frames = min(N_FRAMES, -(-needed // card["frame_multiple"]) * card["frame_multiple"])
        # What a chunk gives of the song; on both sides of it the network hears n_fft samples more.
        core = (n_frames - 1) * hop - n_fft
        chunk = padded[:, start : start + core + 2 * n_fft]
        silent = np.abs(chunk).max(axis=1) < SILENCE
        chunk = np.where(silent[:, None], chunk[::-1], chunk)  # what is on one side only is heard as mono is
        frames = np.lib.stride_tricks.sliding_window_view(chunk, n_fft, axis=1)[:, ::hop] * window
        spectrum = np.fft.rfft(frames)[..., :n_bins]  # (2, T, F)
        # Left real, left imaginary, right real, right imaginary.
        packed = np.stack([spectrum.real, spectrum.imag], 1).reshape(1, 4, n_frames, n_bins)
        (estimates,) = session.run(None, {"mixture": packed.astype(np.float32)})  # (1, S, 4, T, F)
        if "other" in stems:  # all of the song: together they are the mixture
            estimates += (packed - estimates.sum(1))[:, None] / len(stems)

        spectra = estimates[0, :, 0::2] + 1j * estimates[0, :, 1::2]  # (S, 2, T, F)
        back = np.fft.irfft(spectra, n_fft) * window
        added = np.zeros((len(stems), 2, core + 2 * n_fft), np.float32)
        weight = np.zeros(core + 2 * n_fft, np.float32)
        for frame in range(n_frames):
            added[..., frame * hop : frame * hop + n_fft] += back[:, :, frame]
            weight[frame * hop : frame * hop + n_fft] += window**2
        inner = slice(n_fft, n_fft + core)
        part = added[..., inner] / weight[inner]
        part[:, silent] = 0
        # One hop of cross-fade with the chunks before and after it, or their borders would click.
        fade = min(hop, core // 2)
        ramp = ((np.arange(fade) + 0.5) / fade).astype(np.float32)
        faded = np.ones(core, np.float32)
        if start:
            faded[:fade] *= ramp
        if start + core < n_samples:
            faded[core - fade :] *= ramp[::-1]
        out[..., start : start + core] += part * faded
        weights[start : start + core] += faded
    found = dict(zip(stems, out[..., :n_samples] / weights[:n_samples], strict=True))
    # What rounding lost goes to "other", and what is above the network's highest frequency if it does not hear all.
    found["other"] = audio - sum(found[stem] for stem in stems if stem != "other")
    return found


if __name__ == "__main__":
    model, song, folder = (Path(argument) for argument in sys.argv[1:])
    samples, rate = soundfile.read(song, dtype="float32", always_2d=True)
    folder.mkdir(parents=True, exist_ok=True)
    for stem, audio in separate(model, samples.T, rate).items():
        soundfile.write(folder / f"{stem}.wav", audio.T, rate, subtype="FLOAT")
