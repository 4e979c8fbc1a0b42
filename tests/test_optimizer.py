"""The optimiser Muon: what its steps are."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from dttnet.config import BSRNNConfig, DTTNetConfig, TFCTDFUNetConfig
from dttnet.nn.build import build_network
from dttnet.training.optimizer import Muon, orthogonalize


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(*tensors: Tensor) -> list[nn.Parameter]:
    return [nn.Parameter(tensor.clone()) for tensor in tensors]


def descend(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], n_steps: int) -> None:
    """With the same gradients each time, that differ from step to step."""
    for step in range(n_steps):
        for place, parameter in enumerate(parameters):
            parameter.grad = noise(*parameter.shape, seed=100 * step + place)
        optimizer.step()


@pytest.mark.parametrize("shape", [(40, 10), (10, 40), (16, 16)])
def test_singular_values_become_about_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = noise(*shape)
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonalize(matrix) @ v.T
    # What the quintic's coefficients were chosen for: Jordan et al.
    assert found.diagonal().min() > 0.6
    assert found.diagonal().max() < 1.3
    assert values.max() > 2 * values.min()
    # float32 rounding of five iterations.
    assert (found - found.diagonal().diag()).abs().max() < 1e-3


def test_matrices_move_as_with_the_optimiser_of_torch() -> None:
    start = noise(24, 60)
    (ours,), (theirs,) = parameters(start), parameters(start)
    descend(Muon([ours], [], lr=0.1, weight_decay=0.1), [ours], 3)
    descend(torch.optim.Muon([theirs], lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), [theirs], 3)
    moved = (theirs - start).norm()
    # Theirs computes in bfloat16, with 8 bits.
    assert (ours - theirs).norm() < 0.02 * moved


def test_a_kernel_is_a_matrix_of_its_output_channels() -> None:
    start = noise(8, 4, 3, 3)
    (kernel,), (matrix,) = parameters(start), parameters(start.flatten(1))
    for parameter in (kernel, matrix):
        optimizer = Muon([parameter], [], lr=0.1)
        for step in range(3):
            parameter.grad = noise(8, 36, seed=step).view_as(parameter)
            optimizer.step()
    torch.testing.assert_close(kernel.flatten(1), matrix, rtol=0, atol=0)


def test_vectors_move_as_with_adamw() -> None:
    start = noise(7)
    ours, theirs = parameters(start, noise(5, 5)), parameters(start)
    descend(Muon(ours[1:], ours[:1], lr=0.1, weight_decay=0.2), ours, 3)
    descend(torch.optim.AdamW(theirs, lr=0.1, weight_decay=0.2), theirs, 3)
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0)


def test_what_has_no_gradient_stays() -> None:
    moving, still = parameters(noise(4, 4), noise(4, 4))
    optimizer = Muon([moving, still], [], lr=0.1)
    moving.grad = noise(4, 4, seed=1)
    optimizer.step()
    torch.testing.assert_close(still.detach(), noise(4, 4), rtol=0, atol=0)
    assert not torch.equal(moving, still)


def test_a_saved_state_goes_on_with_the_same_steps() -> None:
    whole = parameters(noise(6, 9), noise(6))
    descend(Muon(whole[:1], whole[1:], lr=0.1), whole, 4)
    parts = parameters(noise(6, 9), noise(6))
    first = Muon(parts[:1], parts[1:], lr=0.1)
    descend(first, parts, 2)
    second = Muon(parts[:1], parts[1:], lr=0.3)
    second.load_state_dict(first.state_dict())
    for step in (2, 3):
        for place, parameter in enumerate(parts):
            parameter.grad = noise(*parameter.shape, seed=100 * step + place)
        second.step()
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


NETWORKS = {
    "dttnet": DTTNetConfig(n_bins=64, growth=8, bottleneck_factor=2),
    "bands": DTTNetConfig(n_bins=64, growth=8, bottleneck_factor=2, band_widths=(32, 32), band_folds=(1, 2)),
    "tfc_tdf_unet_v3": TFCTDFUNetConfig(n_bins=64, n_channels=4, growth=4, n_scales=1),
    "bsrnn": BSRNNConfig(n_channels=8, n_dual_path_layers=1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_that_meet_the_spectrum_are_left_to_adamw(name: str) -> None:
    network = build_network(NETWORKS[name])
    others, matrices = Muon.of(network, lr=0.1).param_groups
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert len(others["params"]) + len(matrices["params"]) == len(names)
    assert all(parameter.ndim >= 2 for parameter in matrices["params"])
    left = {names[id(parameter)].partition(".")[0] for parameter in others["params"] if parameter.ndim >= 2}
    assert left == set(network.edges)
    assert matrices["params"]
