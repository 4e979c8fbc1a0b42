"""The transform in torch and the losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dttnet.config import Transform
from dttnet.errors import UsageError
from dttnet.stft import pack, stft
from dttnet.training.losses import LOSSES, LossConfig, build_loss
from dttnet.training.transform import SpectralTransform

TRANSFORM = Transform(n_fft=512, hop=128, n_bins=257)
N_SAMPLES = 31 * 128


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loss_of(config: LossConfig, estimates: Tensor, stems: Tensor) -> Tensor:
    transform = SpectralTransform(TRANSFORM)
    loss = build_loss(config, transform, stems.shape[1])
    return loss(transform.pack(estimates), estimates, stems)


def test_the_transform_is_that_of_the_runtime() -> None:
    audio = noise(3, 2, N_SAMPLES)
    half = TRANSFORM.n_fft // 2
    reflected = np.pad(audio.numpy(), ((0, 0), (0, 0), (half, half)), mode="reflect")
    expected = pack(stft(reflected, TRANSFORM))
    packed = SpectralTransform(TRANSFORM).pack(audio).numpy()
    assert packed.shape == (3, 4, 32, 257)
    # float32 rounding of two Fourier transforms, of values up to about a hundred.
    np.testing.assert_allclose(packed, expected, atol=1e-4)


def test_unpacking_undoes_packing() -> None:
    transform = SpectralTransform(TRANSFORM)
    audio = noise(2, 3, 2, N_SAMPLES)
    back = transform.unpack(transform.pack(audio), N_SAMPLES)
    # float32 rounding there and back.
    torch.testing.assert_close(back, audio, atol=1e-5, rtol=0)


def test_bins_the_network_does_not_see_are_silent() -> None:
    narrow = SpectralTransform(Transform(n_fft=512, hop=128, n_bins=10))
    spectrum = SpectralTransform(TRANSFORM).pack(narrow.unpack(narrow.pack(noise(1, 2, N_SAMPLES)), N_SAMPLES))
    # A window's side lobes reach a few bins further; the frames at the ends see a reflection, which has a kink.
    assert spectrum[..., 4:-4, 16:].abs().max() < 1e-3 * spectrum.abs().max()


@pytest.mark.parametrize("kind", LOSSES)
def test_a_perfect_estimate_costs_nothing(kind: str) -> None:
    stems = noise(2, 3, 2, N_SAMPLES)
    assert loss_of(LossConfig(kind=kind), stems.clone(), stems) == 0


@pytest.mark.parametrize("kind", LOSSES)
def test_the_same_batch_twice_costs_the_same(kind: str) -> None:
    stems, estimates = noise(2, 3, 2, N_SAMPLES), noise(2, 3, 2, N_SAMPLES, seed=1)
    once = loss_of(LossConfig(kind=kind, quantile=1.0), estimates, stems)
    twice = loss_of(LossConfig(kind=kind, quantile=1.0), estimates.repeat(2, 1, 1, 1), stems.repeat(2, 1, 1, 1))
    # The mean of twice as many float32 numbers rounds otherwise.
    torch.testing.assert_close(once, twice, rtol=1e-5, atol=0)


def test_l1_is_the_mean_absolute_difference() -> None:
    stems = torch.zeros(2, 2, 2, N_SAMPLES)
    estimates = stems.clone()
    estimates[:, 0] = 0.25
    assert loss_of(LossConfig(), estimates, stems) == 0.125


def test_stems_weigh_what_they_are_given() -> None:
    stems = torch.zeros(2, 2, 2, N_SAMPLES)
    estimates = stems.clone()
    estimates[:, 0] = 0.25
    estimates[:, 1] = 0.5
    # Three quarters of the weight on the first.
    assert loss_of(LossConfig(stem_weights=[3.0, 1.0]), estimates, stems) == pytest.approx(0.75 * 0.25 + 0.25 * 0.5)


def test_l1_spectrum_adds_the_spectrum_of_the_network_itself() -> None:
    transform = SpectralTransform(TRANSFORM)
    loss = build_loss(LossConfig(kind="l1_spectrum", spectrum_weight=0.5), transform, 1)
    stems = torch.zeros(1, 1, 2, N_SAMPLES)
    packed = torch.full_like(transform.pack(stems), 3.0)
    assert loss(packed, stems, stems) == 0.5 * 3.0


@pytest.mark.parametrize("per", ["item", "frame"])
def test_the_worst_elements_are_left_out_of_quantile_mse(per: str) -> None:
    stems = torch.zeros(4, 1, 2, N_SAMPLES)
    estimates = 0.1 * torch.ones_like(stems)
    estimates[3] = 100.0  # a mislabelled example
    estimates.requires_grad_()
    loss = loss_of(LossConfig(kind="quantile_mse", per=per, quantile=0.5), estimates, stems)
    loss.backward()
    # Three of four examples with an error of 0.01.
    assert float(loss.detach()) == pytest.approx(0.75 * 0.01)
    assert estimates.grad is not None
    assert estimates.grad[3].abs().max() == 0
    assert estimates.grad[0].abs().max() > 0


def test_one_bad_second_costs_an_item_but_only_its_own_frames() -> None:
    stems = torch.zeros(2, 1, 2, N_SAMPLES)
    estimates = 0.1 * torch.ones_like(stems)
    estimates[1, ..., :256] = 100.0  # two frames
    estimates.requires_grad_()
    loss_of(LossConfig(kind="quantile_mse", per="frame", quantile=0.9), estimates, stems).backward()
    assert estimates.grad is not None
    assert estimates.grad[1, ..., :256].abs().max() == 0
    assert estimates.grad[1, ..., 256:].abs().min() > 0


def test_multi_resolution_adds_the_spectra_of_every_resolution() -> None:
    stems, estimates = noise(1, 2, 2, 16384), noise(1, 2, 2, 16384, seed=1)
    values = {}
    for sizes in ([512], [4096], [512, 4096]):
        config = LossConfig(kind="multi_resolution", window_sizes=sizes, spectrum_weight=2.0)
        values[len(sizes), sizes[0]] = loss_of(config, estimates, stems)
    waveform = loss_of(LossConfig(), estimates, stems)
    # Each resolution has an equal share. float32 means of different lengths.
    torch.testing.assert_close(values[2, 512], (values[1, 512] + values[1, 4096]) / 2, rtol=1e-5, atol=0)
    # The difference is noise of variance 2; the window's energy is divided out, so real and imaginary parts have
    # variance 1 each, and mean absolute values of sqrt(2 / pi). Few frames, some of them half reflected: 5 %.
    for size in (512, 4096):
        spectral = float(values[1, size] - waveform) / 2.0
        assert spectral == pytest.approx((2 / torch.pi) ** 0.5, rel=0.05)


def test_decibels_count_every_example_alike_down_to_what_is_inaudible() -> None:
    stems = noise(1, 2, 2, N_SAMPLES)
    estimates = stems + 0.1 * noise(1, 2, 2, N_SAMPLES, seed=1)
    config = LossConfig(kind="decibels")
    loss = loss_of(config, estimates, stems)
    # Errors 23 dB below the energy of both stems, which is 30 dB above the threshold: 7 dB, and log10(1 + x) for
    # log10(x). Noise of 16000 samples has an energy known to a per cent.
    assert float(loss) == pytest.approx(10 * np.log10(1 + 10**0.7), abs=0.1)
    # Of the energy 1e-5 is added, 1e-3 of these.
    assert float(loss_of(config, 0.1 * estimates, 0.1 * stems)) == pytest.approx(float(loss), rel=1e-3)
    assert float(loss_of(config, 1e-4 * estimates, 1e-4 * stems)) < 0.05  # 20 dB below the threshold
    # A silent stem is measured by what sounds beside it.
    silent = stems * torch.tensor([1.0, 0.0])[:, None, None]
    leaking = silent + 0.1 * noise(1, 2, 2, N_SAMPLES, seed=1)
    # Half the energy is gone: the errors are 3 dB more of it.
    assert float(loss_of(config, leaking, silent)) == pytest.approx(10 * np.log10(1 + 10), abs=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "l2"}, "loss.kind is 'l2': give one of l1, l1_spectrum"),
        ({"quantile": 0.0}, "loss.quantile is 0.0"),
        ({"per": "song"}, "loss.per is 'song'"),
        ({"spectrum_weight": -1.0}, "loss.spectrum_weight is -1.0"),
        ({"window_sizes": [8]}, r"loss.window_sizes are \[8\]"),
    ],
)
def test_a_loss_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LossConfig(**values)  # type: ignore[arg-type]  # of several types


def test_weights_must_be_one_per_stem() -> None:
    with pytest.raises(UsageError, match=r"loss.stem_weights are \[1.0, 2.0\]: give one per stem \(4\)"):
        build_loss(LossConfig(stem_weights=[1.0, 2.0]), SpectralTransform(TRANSFORM), 4)
    with pytest.raises(UsageError, match="none negative or infinite, not all zero"):
        build_loss(LossConfig(stem_weights=[1.0, float("nan")]), SpectralTransform(TRANSFORM), 2)


def test_windows_of_a_loss_fit_into_an_example() -> None:
    audio = noise(1, 2, 2, 1024)
    loss_of(LossConfig(kind="multi_resolution", window_sizes=[2046]), audio, audio)
    with pytest.raises(UsageError, match=r"loss\.window_sizes has 2048 samples, an example 1024"):
        loss_of(LossConfig(kind="multi_resolution", window_sizes=[512, 2048]), audio, audio)
