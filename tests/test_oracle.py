"""The ideal ratio mask: what it is, and that blocks do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

from dttnet.oracle import IdealRatioMask

Float = NDArray[np.float32]
N_SAMPLES = 300_001


def stems() -> dict[str, Float]:
    rng = np.random.default_rng(0)
    sound = 0.1 * rng.standard_normal((3, 2, N_SAMPLES)).astype(np.float32)
    # One of them rises in time and one in frequency, so that masks differ from bin to bin.
    sound[0] *= np.linspace(0, 1, N_SAMPLES, dtype=np.float32)
    sound[1] = np.diff(sound[1], prepend=0)
    return dict(zip(("vocals", "drums", "other"), sound, strict=True))


def run(stems: dict[str, Float], mixture: Float, block: int) -> list[dict[str, Float]]:
    """References and estimates."""
    oracle = IdealRatioMask(list(stems))
    parts: list[tuple[dict[str, Float], dict[str, Float]]] = []
    for start in range(0, mixture.shape[1], block):
        piece = slice(start, start + block)
        parts += oracle.push({stem: audio[:, piece] for stem, audio in stems.items()}, mixture[:, piece])
    parts += oracle.flush()
    return [
        {stem: np.concatenate([part[stem] for part in side], axis=1) for stem in stems}
        for side in zip(*parts, strict=True)
    ]


def expected_of(stem: Float, others: Float, mixture: Float) -> Float:
    settings = {"nperseg": 2048, "noverlap": 1536}
    margin = 2048  # so that all frames that reach the sound are there

    def spectrum(audio: Float) -> NDArray[np.complex64]:
        padded = np.pad(audio, [*[(0, 0)] * (audio.ndim - 1), (margin, margin)])
        return np.asarray(scipy.signal.stft(padded, **settings)[2], np.complex64)

    sizes = np.abs(spectrum(stem)), np.abs(spectrum(others)).sum(axis=0)
    mask = sizes[0] / (sizes[0] + sizes[1] + 1e-12)
    audio = scipy.signal.istft(mask * spectrum(mixture), **settings)[1]
    return np.asarray(audio[:, margin : margin + mixture.shape[1]], np.float32)


@pytest.mark.parametrize("block", [44100, 100_003, N_SAMPLES])
def test_the_mask_is_the_share_of_the_magnitudes(block: int) -> None:
    truth = stems()
    mixture = np.sum(list(truth.values()), axis=0)
    references, estimates = run(truth, mixture, block)
    for stem, audio in truth.items():
        np.testing.assert_array_equal(references[stem], audio)
        others = np.stack([other for name, other in truth.items() if name != stem])
        # float32 rounding of transforms there and back, of values up to one.
        np.testing.assert_allclose(estimates[stem], expected_of(audio, others, mixture), atol=2e-5)


def test_what_the_mixture_has_beside_the_stems_counts_as_one_more() -> None:
    truth = stems()
    mixture = np.sum(list(truth.values()), axis=0)
    _, estimates = run({"vocals": truth["vocals"]}, mixture, 50_000)
    rest = (mixture - truth["vocals"])[np.newaxis]
    np.testing.assert_allclose(estimates["vocals"], expected_of(truth["vocals"], rest, mixture), atol=2e-5)


def test_silence_gives_silence() -> None:
    silence = np.zeros((2, 5000), np.float32)
    references, estimates = run({"vocals": silence, "drums": silence}, silence, 1234)
    for side in (references, estimates):
        for audio in side.values():
            np.testing.assert_array_equal(audio, silence)
