"""The networks against the reference implementation, and their export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import reference
from dttnet.config import DTTNetConfig, NetworkCard, Transform, network_config
from dttnet.errors import ModelError
from dttnet.nn.bands import fold_bands, unfold
from dttnet.nn.dttnet import DTTNet
from dttnet.nn.mask import add_up, apply_mask
from dttnet.nn.tfc_tdf import join_subbands, split_subbands
from dttnet.runtime.onnx import OnnxNetwork, read_card
from dttnet.runtime.torch import load_network
from dttnet.separator import Separator
from dttnet.training.export import export
from dttnet.training.importers import rename
from dttnet.training.importers.dttnet import _NAMES

# What the project promises; float32 rounding gives 3e-7.
TOLERANCE = 1e-4

NETWORKS = {"tiny": reference.TINY, "vocals": reference.VOCALS, "bass": reference.BASS}


def reference_network(config: DTTNetConfig) -> DTTNet:
    network = DTTNet(config)
    state = {
        rename(name, _NAMES): torch.from_numpy(values)
        for name, values in reference.weights(config).items()
        if name not in ("window", "freq_pad")
    }
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(state | counters)
    return network.eval()


def run(network: DTTNet, packed_ft: np.ndarray) -> np.ndarray:
    """In the layout of the reference: (B, C, F, T) -> (B, S * C, F, T)."""
    with torch.no_grad():
        return network(torch.from_numpy(packed_ft).transpose(2, 3)).flatten(1, 2).transpose(2, 3).numpy()


def relative_error(ours: np.ndarray, golden: np.ndarray) -> float:
    return float(np.linalg.norm(ours - golden) / np.linalg.norm(golden))


def card(config: DTTNetConfig, **changes: object) -> NetworkCard:
    values: dict[str, object] = {
        "stems": tuple(f"stem{index}" for index in range(config.n_stems)),
        "transform": Transform(n_bins=config.n_bins),
        "n_frames": 64,
        "frame_multiple": config.frame_multiple,
        "licence": "none: random weights",
        "training_data": "none",
    }
    return NetworkCard(**(values | changes))  # type: ignore[arg-type]  # of several types


@pytest.mark.parametrize("name", NETWORKS)
def test_names_and_shapes_are_those_of_the_reference(name: str) -> None:
    golden = json.loads((reference.GOLDEN / f"dttnet_{name}_state_dict.json").read_text())
    counters = {key for key in golden if key.endswith("num_batches_tracked")}
    assert {key: tuple(shape) for key, shape in golden.items() if key not in counters} == reference.shapes(
        NETWORKS[name]
    )


def test_tiny_network_computes_what_the_reference_computes() -> None:
    golden = np.load(reference.GOLDEN / "dttnet_tiny.npz")
    assert relative_error(run(reference_network(reference.TINY), golden["x"]), golden["y"]) <= TOLERANCE


@pytest.mark.parametrize("name", ["vocals", "bass"])
def test_paper_networks_compute_what_the_reference_computes(name: str) -> None:
    golden = np.load(reference.GOLDEN / f"dttnet_{name}.npz")
    config = NETWORKS[name]
    y = run(reference_network(config), reference.noise((1, 4, config.n_bins, 256), 2))
    assert relative_error(y[:, :, ::16, ::8], golden["y_sub"]) <= TOLERANCE
    assert np.linalg.norm(y) == pytest.approx(float(golden["y_norm"]), rel=TOLERANCE)


@pytest.mark.parametrize(("name", "n_parameters"), [("vocals", 4_958_468), ("bass", 4_184_388)])
def test_paper_networks_have_the_papers_number_of_parameters(name: str, n_parameters: int) -> None:
    golden = np.load(reference.GOLDEN / f"dttnet_{name}.npz")
    assert sum(p.numel() for p in DTTNet(NETWORKS[name]).parameters()) == n_parameters == int(golden["n_params"])


def test_reference_inference_is_repeated_through_our_own_chunking(tmp_path: Path) -> None:
    golden = np.load(reference.GOLDEN / "dttnet_waveform.npz")
    path = tmp_path / "waveform.onnx"
    export(reference_network(reference.WAVEFORM), card(reference.WAVEFORM, stems=("vocals",)), path)
    separator = Separator(
        str(path),
        stems=["vocals"],
        adds_up=False,
        overlap=0,
        chunk_frames=64,
        chunk_edges="reflect",
        device="cpu",
        threads=2,
    )
    y = separator.separate(reference.noise((2, 150000), 3), 44100)["vocals"]
    assert relative_error(y[:, ::5], golden["y_sub"]) <= TOLERANCE
    assert np.linalg.norm(y) == pytest.approx(float(golden["y_norm"]), rel=TOLERANCE)


VARIANTS = {
    "no bottleneck": {"bottleneck_factor": None},
    "no scales": {"n_scales": 0},
    "three scales": {"n_scales": 3},
    "no dual path": {"n_dual_path_layers": 0},
    "one head": {"n_heads": 1},
    "gru": {"rnn": "gru"},
    "group norm": {"norm": "group"},
    "channels that 16 does not divide": {"norm": "group", "growth": 28},
    "instance norm": {"norm": "instance"},
    "kernel 5": {"kernel_size": 5},
    "kernel 1": {"kernel_size": 1},
    "joint, in sub-bands": {"n_stems": 4, "n_subbands": 2, "spectrum_skip": True},
    "mask": {"n_stems": 2, "mask": True, "compression": 0.3},
    "bands": {"n_stems": 4, "band_widths": (8, 24, 32), "band_folds": (1, 3, 4), "spectrum_skip": True, "mask": True},
    "limited masks": {"n_stems": 4, "mask": True, "masks_add_up": True, "mask_limit": 0.3},
    "bands, without the spectrum": {"n_stems": 2, "band_widths": (32, 32), "band_folds": (1, 2)},
    "levelled": {"input_rms": 3.2},
    "levelled masks": {"n_stems": 4, "mask": True, "compression": 0.3, "input_rms": 3.2},
    "levelled bands": {"n_stems": 2, "band_widths": (32, 32), "band_folds": (1, 2), "input_rms": 3.2},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_hyper_parameter_can_be_exported_with_free_batch_and_frames(variant: str, tmp_path: Path) -> None:
    config = DTTNetConfig(
        **{"n_bins": 64, "growth": 8, "convs_per_block": 1, "bottleneck_factor": 2, "n_dual_path_layers": 1}  # type: ignore[arg-type]  # of several types
        | VARIANTS[variant]
    )
    torch.manual_seed(0)
    network = DTTNet(config).eval()
    path = tmp_path / "network.onnx"
    transform = Transform(n_fft=256, hop=64, n_bins=64)
    report = export(network, card(config, transform=transform), path)
    assert report.relative_error <= TOLERANCE
    for batch, n_frames in ((1, 8), (3, 24)):
        x = reference.noise((batch, 4, n_frames, 64), batch)
        with torch.no_grad():
            expected = network(torch.from_numpy(x)).numpy()
        assert expected.shape == (batch, config.n_stems, 4, n_frames, 64)
        assert relative_error(OnnxNetwork(path, device="cpu")(x), expected) <= TOLERANCE


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name.startswith("levelled")])
def test_a_levelled_network_gives_the_same_at_every_level(variant: str) -> None:
    torch.manual_seed(0)
    network = DTTNet(DTTNetConfig(**{"n_bins": 64, "growth": 4, "n_scales": 1} | VARIANTS[variant])).eval()  # type: ignore[arg-type]  # of several types
    loud = 10 * torch.from_numpy(reference.noise((1, 4, 8, 64), 1))
    # Each excerpt of a batch has a level of its own. Powers of two are exact in float32.
    mixtures = torch.cat([loud, 2**6 * loud, 2**-10 * loud, 0 * loud])
    with torch.no_grad():
        expected, turned_up, turned_down, of_silence = network(mixtures)
        assert torch.equal(turned_up, 2**6 * expected)
        assert torch.equal(turned_down, 2**-10 * expected)
        # The network's answer to zeros, brought 80 dB down.
        assert of_silence.abs().max() <= 1e-3
        # It is the same as the network on the input at that level.
        network.config = replace(network.config, input_rms=0.0)
        gain = 3.2 / loud.square().mean().sqrt()
        torch.testing.assert_close(network(gain * loud)[0] / gain, expected, rtol=0, atol=1e-5)  # rounding


def test_a_network_of_bands_is_read_back_from_its_file(tmp_path: Path) -> None:
    config = DTTNetConfig(n_bins=64, growth=8, bottleneck_factor=2, band_widths=(32, 32), band_folds=(1, 2))
    torch.manual_seed(0)
    network = DTTNet(config).eval()
    path = tmp_path / "bands.onnx"
    made = card(config, transform=Transform(n_fft=256, hop=64, n_bins=64), hyperparameters=config.to_dict())
    export(network, made, path)
    read, read_of = load_network(path)
    assert network_config(read_of.hyperparameters) == config
    for name, tensor in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(read.state_dict()[name], tensor), name


def test_the_exported_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    made = card(reference.TINY, transform=Transform(n_fft=256, hop=64, n_bins=64), quality="9 dB on nothing")
    export(reference_network(reference.TINY), made, path)
    read = read_card(path)
    assert read.probe_norm > 0
    assert read.n_parameters == sum(p.numel() for p in DTTNet(reference.TINY).parameters())
    assert read.gmac_per_second > 0
    filled_in = {name: getattr(read, name) for name in ("probe_norm", "n_parameters", "gmac_per_second")}
    assert read.to_dict() == made.to_dict() | filled_in


def test_half_precision_weights_halve_the_file(tmp_path: Path) -> None:
    network = reference_network(reference.TINY)
    made = card(reference.TINY, transform=Transform(n_fft=256, hop=64, n_bins=64))
    export(network, made, tmp_path / "full.onnx")
    report = export(network, made, tmp_path / "half.onnx", half_weights=True)
    assert 0 < report.relative_error <= report.tolerance
    # The graph itself and small tensors stay as they are.
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * (tmp_path / "full.onnx").stat().st_size


def test_an_exported_graph_has_each_constant_once_and_weights_under_their_names(tmp_path: Path) -> None:
    network = reference_network(reference.TINY)
    export(network, card(reference.TINY, transform=Transform(n_fft=256, hop=64, n_bins=64)), tmp_path / "n.onnx")
    graph = onnx.load(tmp_path / "n.onnx").graph
    constants = [node.attribute[0].SerializeToString() for node in graph.node if node.op_type == "Constant"]
    assert constants
    assert len(constants) == len(set(constants))
    names = {tensor.name for tensor in graph.initializer}
    assert "first.0.weight" in names
    passed_on = {name for node in graph.node for name in node.output} - {output.name for output in graph.output}
    assert all(name.isdigit() for name in passed_on - names)


def test_a_network_that_does_not_survive_the_export_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_weights(path: Path) -> onnx.ModelProto:
        model = onnx.load_model(path)
        tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        tensor.raw_data = bytes(len(tensor.raw_data))
        return model

    monkeypatch.setattr("dttnet.training.export.onnx.load", break_weights)
    made = card(reference.TINY, transform=Transform(n_fft=256, hop=64, n_bins=64))
    with pytest.raises(ModelError, match="differs"):
        export(reference_network(reference.TINY), made, tmp_path / "broken.onnx")
    assert list(tmp_path.iterdir()) == []


def test_masks_add_up_to_one_and_to_nothing_imaginary() -> None:
    masks = torch.randn(2, 3, 4, 5, 6)
    total = add_up(masks).sum(1)
    # Sums of float32.
    torch.testing.assert_close(total[:, 0::2], torch.ones(2, 2, 5, 6), atol=1e-6, rtol=0)
    torch.testing.assert_close(total[:, 1::2], torch.zeros(2, 2, 5, 6), atol=1e-6, rtol=0)
    # Nobody gets more of what is missing than the others.
    moved = add_up(masks) - masks
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), atol=1e-6, rtol=0)


@pytest.mark.parametrize("largest", [1.0, 2.0])
def test_a_limit_holds_the_magnitude_of_masks_and_leaves_phases_and_small_ones(largest: float) -> None:
    masks = torch.tensor([3.0, -4.0, 0.3, 0.4]).reshape(1, 1, 4, 1, 1)
    one = torch.tensor([1.0, 0.0, 1.0, 0.0]).reshape(1, 4, 1, 1)
    expected = torch.tensor([0.6 * largest, -0.8 * largest, 0.3, 0.4])
    torch.testing.assert_close(apply_mask(masks, one, largest=largest).flatten(), expected, atol=1e-6, rtol=0)
    # Where there is no sound there is a gradient all the same, and it is a number.
    silent = torch.zeros(1, 1, 4, 1, 1, requires_grad=True)
    apply_mask(silent, one, largest=largest).sum().backward()
    assert silent.grad is not None
    assert torch.equal(silent.grad.flatten(), torch.ones(4))


def test_in_use_limited_estimates_stay_within_the_mixture() -> None:
    torch.manual_seed(0)
    config = DTTNetConfig(n_bins=32, n_stems=2, growth=4, n_scales=1, mask=True, masks_add_up=True, mask_limit=0.5)
    mixture = torch.randn(1, 4, 8, 32)
    network = DTTNet(config)
    with torch.no_grad():
        # A limit would stop the gradients of what is beyond it.
        assert (magnitude(network.train()(mixture)) > 0.6 * magnitude(mixture)[:, None]).any()
        estimates = network.eval()(mixture)
    # Rounding of the squares.
    assert (magnitude(estimates) <= 0.5 * magnitude(mixture)[:, None] + 1e-6).all()


def magnitude(x: torch.Tensor) -> torch.Tensor:
    """(..., C, T, F), packed -> (..., C / 2, T, F)."""
    return (x[..., 0::2, :, :].square() + x[..., 1::2, :, :].square()).sqrt()


def test_subbands_are_stacked_channel_by_channel_and_join_again() -> None:
    x = torch.arange(2 * 2 * 3 * 8, dtype=torch.float32).reshape(2, 2, 3, 8)
    split = split_subbands(x, 4)
    assert split.shape == (2, 8, 3, 2)
    assert torch.equal(split[:, 5], x[:, 1, :, 2:4])
    assert torch.equal(join_subbands(split, 4), x)


def test_neighbouring_bins_of_a_band_are_stacked_and_unfold_again() -> None:
    x = torch.arange(2 * 2 * 3 * 8, dtype=torch.float32).reshape(2, 2, 3, 8)
    low, high = fold_bands(x, (2, 6), (1, 3))
    assert torch.equal(low, x[..., :2])
    assert high.shape == (2, 6, 3, 2)
    for place in range(3):
        assert torch.equal(high[:, 3 + place], x[:, 1, :, 2 + place :: 3])
    assert torch.equal(unfold(high, 3), x[..., 2:])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"growth": 0}, "growth"),
        ({"kernel_size": 2}, "kernel_size must be odd"),
        ({"n_heads": 5}, "n_heads"),
        ({"n_bins": 2047}, "n_bins"),
        ({"bottleneck_factor": 0}, "bottleneck_factor"),
        ({"bottleneck_factor": 4096}, "bottleneck_factor"),
        ({"rnn": "transformer"}, "rnn must be"),
        ({"norm": "layer"}, "norm must be"),
        ({"compression": 0.0}, "compression"),
        ({"band_widths": (2048,)}, "as many entries"),
        ({"band_widths": (2048, 0), "band_folds": (1, 1)}, "all positive"),
        ({"band_widths": (1024, 512), "band_folds": (1, 2)}, r"add up to n_bins \(2048\)"),
        ({"band_widths": (1024, 1024), "band_folds": (1, 3)}, "multiples of band_folds"),
        ({"band_widths": (2000, 48), "band_folds": (1, 48)}, "2001 positions"),
        ({"band_widths": (1024, 1024), "band_folds": (1, 2), "n_subbands": 2}, "n_subbands"),
    ],
)
def test_impossible_networks_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        DTTNetConfig(**values)  # type: ignore[arg-type]  # of several types


def test_values_a_newer_version_may_write_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match="attention"):
        DTTNetConfig.from_dict({"attention": True})
