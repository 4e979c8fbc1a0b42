"""The transform: the golden numbers, perfect reconstruction, and the packed layout."""

from __future__ import annotations

import numpy as np
import pytest

import reference
from dttnet.config import Transform
from dttnet.errors import ModelError
from dttnet.stft import istft, pack, stft, unpack


def centred(audio: np.ndarray, transform: Transform) -> np.ndarray:
    half = transform.n_fft // 2
    return stft(np.pad(audio, [(0, 0)] * (audio.ndim - 1) + [(half, half)], mode="reflect"), transform)


def test_packed_spectrum_is_that_of_the_reference() -> None:
    golden = np.load(reference.GOLDEN / "stft.npz")
    packed = pack(centred(reference.noise((1, 2, 64512), 4), Transform()))
    assert packed.dtype == np.float32
    ours = packed.transpose(0, 1, 3, 2)[:, :, ::16, ::4]
    # The two programs' float32 FFTs round differently: 1e-7 relative is usual, 1e-5 is what is promised.
    assert np.linalg.norm(ours - golden["s_sub"]) <= 1e-5 * np.linalg.norm(golden["s_sub"])
    assert np.linalg.norm(packed) == pytest.approx(float(golden["s_norm"]), rel=1e-5)


@pytest.mark.parametrize(("n_fft", "hop"), [(6144, 1024), (512, 128), (256, 128), (64, 8)])
def test_inverse_returns_the_input_when_all_bins_are_kept(n_fft: int, hop: int) -> None:
    transform = Transform(n_fft=n_fft, hop=hop, n_bins=n_fft // 2 + 1)
    audio = reference.noise((3, 2, 40 * hop), 5)
    back = istft(centred(audio, transform), transform)
    assert back.dtype == np.float32
    assert back.shape == audio.shape
    # The samples are below 0.5: a few float32 roundings.
    np.testing.assert_allclose(back, audio, atol=1e-6)


def test_bins_above_the_band_are_zero_at_the_inverse() -> None:
    full = Transform(n_fft=512, hop=128, n_bins=257)
    low = Transform(n_fft=512, hop=128, n_bins=100)
    spectrum = centred(reference.noise((2, 128 * 50), 6), full)
    masked = spectrum.copy()
    masked[..., 100:] = 0
    np.testing.assert_array_equal(istft(spectrum[..., :100], low), istft(masked, full))


def test_unpack_undoes_pack() -> None:
    spectrum = centred(reference.noise((3, 2, 128 * 20), 7), Transform(n_fft=512, hop=128, n_bins=200))
    np.testing.assert_array_equal(unpack(pack(spectrum)), spectrum)


def test_packed_channels_are_left_real_left_imaginary_right_real_right_imaginary() -> None:
    spectrum = np.array([[[1 + 2j]], [[3 + 4j]]], np.complex64)
    assert pack(spectrum).ravel().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "values",
    [{"n_fft": 511}, {"hop": 0}, {"hop": 5000}, {"hop": 1000}, {"n_bins": 0}, {"n_bins": 4000}, {"n_channels": 1}],
)
def test_impossible_transforms_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=next(iter(values))):
        Transform(**values)
