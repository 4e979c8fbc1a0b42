"""All three architectures: against their references, through export and back, through the separator, and their cost."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import reference
from dttnet import store
from dttnet.config import (
    BSRNNConfig,
    DTTNetConfig,
    NetworkCard,
    NetworkConfig,
    TFCTDFUNetConfig,
    Transform,
    network_config,
)
from dttnet.errors import ModelError
from dttnet.nn.bsrnn import TAC, Attention
from dttnet.nn.build import build_network
from dttnet.nn.cost import count_macs, count_parameters, gmac_per_second
from dttnet.nn.dual_path import DualPath
from dttnet.runtime.onnx import OnnxNetwork, read_card
from dttnet.runtime.torch import load_network
from dttnet.separator import Separator
from dttnet.training.conversion import load_reference
from dttnet.training.export import export
from dttnet.training.importers.bsrnn import BSRNN
from dttnet.training.importers.tfc_tdf_unet_v3 import TFC_TDF_UNET_V3

# What the project promises; float32 rounding gives 7e-7.
TOLERANCE = 1e-4

TINY: dict[str, tuple[NetworkConfig, Transform]] = {
    "dttnet": (
        DTTNetConfig(n_bins=64, growth=8, convs_per_block=1, bottleneck_factor=2, n_dual_path_layers=1),
        Transform(n_fft=256, hop=64, n_bins=64),
    ),
    "dttnet, gru": (
        DTTNetConfig(n_bins=64, growth=8, convs_per_block=1, bottleneck_factor=2, n_dual_path_layers=1, rnn="gru"),
        Transform(n_fft=256, hop=64, n_bins=64),
    ),
    "dttnet, attention": (
        DTTNetConfig(
            n_bins=64, growth=8, convs_per_block=1, bottleneck_factor=2, n_dual_path_layers=1, rnn="attention"
        ),
        Transform(n_fft=256, hop=64, n_bins=64),
    ),
    "dttnet, convolution": (
        DTTNetConfig(
            n_bins=64, growth=8, convs_per_block=1, bottleneck_factor=2, n_dual_path_layers=1, rnn="convolution"
        ),
        Transform(n_fft=256, hop=64, n_bins=64),
    ),
    "tfc_tdf_unet_v3": (
        TFCTDFUNetConfig(n_bins=64, n_stems=2, n_channels=4, growth=4, n_scales=2, bottleneck_factor=2),
        Transform(n_fft=256, hop=64, n_bins=64),
    ),
    "tfc_tdf_unet_v3, batch norm": (
        TFCTDFUNetConfig(
            n_bins=64, n_channels=4, n_scales=1, bottleneck_factor=2, norm="batch", activation="relu", units_per_block=1
        ),
        Transform(n_fft=256, hop=64, n_bins=64),
    ),
    "bsrnn": (
        # The fewest bands there are: each of them is traced.
        BSRNNConfig(n_bins=513, bands="bass", n_channels=4, n_dual_path_layers=1),
        Transform(n_fft=1024, hop=256, n_bins=513),
    ),
    "bsrnn, all options": (
        BSRNNConfig(
            n_bins=513,
            n_stems=2,
            bands="bass",
            n_channels=4,
            n_dual_path_layers=1,
            rnn="gru",
            n_attention_heads=2,
            tac=True,
        ),
        Transform(n_fft=1024, hop=256, n_bins=513),
    ),
}


def tiny(name: str) -> tuple[nn.Module, NetworkCard]:
    """A network with random weights, none of them as they are at the start of training."""
    config, transform = TINY[name]
    torch.manual_seed(0)
    network = build_network(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        for buffer in network.buffers():
            if buffer.is_floating_point():
                buffer += 0.1 * torch.rand_like(buffer)
    return network.eval(), card(config, transform)


def card(config: NetworkConfig, transform: Transform) -> NetworkCard:
    return NetworkCard(
        stems=tuple(f"stem{index}" for index in range(config.n_stems)),
        transform=transform,
        n_frames=64,
        frame_multiple=config.frame_multiple,
        hyperparameters=config.to_dict(),
        licence="none: random weights",
        training_data="none",
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The ONNX file of a tiny network: exported once, and checked against torch by that."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.cache
    def export_once(name: str) -> Path:
        network, made = tiny(name)
        path = folder / f"{len(list(folder.iterdir()))}.onnx"
        assert export(network, made, path).relative_error <= TOLERANCE
        return path

    return export_once


def relative_error(ours: np.ndarray, golden: np.ndarray) -> float:
    return float(np.linalg.norm(ours - golden) / np.linalg.norm(golden))


def run_on_waveform(network: nn.Module, mix: np.ndarray, transform: Transform) -> np.ndarray:
    """(B, C, N) -> (B, S, C, N) by torch's transform in one piece, as the references do it."""
    batch, n_channels, n_samples = mix.shape
    window = torch.hann_window(transform.n_fft)
    spectrum = torch.stft(
        torch.from_numpy(mix).flatten(0, 1), transform.n_fft, transform.hop, window=window, return_complex=True
    )
    packed = torch.view_as_real(spectrum[:, : transform.n_bins]).unflatten(0, (batch, n_channels))
    with torch.no_grad():
        estimates = network(packed.permute(0, 1, 4, 3, 2).flatten(1, 2))
    n_stems = estimates.shape[1]
    parts = estimates.unflatten(2, (n_channels, 2)).permute(0, 1, 2, 5, 4, 3).flatten(0, 2).contiguous()
    missing = transform.n_fft // 2 + 1 - transform.n_bins
    whole = torch.view_as_complex(torch.nn.functional.pad(parts, (0, 0, 0, 0, 0, missing)))
    waveforms = torch.istft(whole, transform.n_fft, transform.hop, window=window, length=n_samples)
    return waveforms.reshape(batch, n_stems, n_channels, n_samples).numpy()


TFC_TDF_TINY = {
    "audio": {"dim_f": 256, "dim_t": 32, "hop_length": 256, "n_fft": 1024, "num_channels": 2, "sample_rate": 44100},
    "model": {
        "act": "gelu",
        "bottleneck_factor": 4,
        "growth": 8,
        "norm": "InstanceNorm",
        "num_blocks_per_scale": 2,
        "num_channels": 8,
        "num_scales": 2,
        "num_subbands": 4,
        "scale": [2, 2],
    },
    "training": {"instruments": ["vocals", "drums", "bass", "other"], "target_instrument": None},
}


def saved_golden(name: str, folder: Path) -> Path:
    path = folder / f"{name}.ckpt"
    torch.save({key: torch.from_numpy(values) for key, values in reference.golden_state(name).items()}, path)
    return path


@pytest.mark.parametrize(
    ("name", "seed", "shape"),
    [
        ("tfc_tdf_v3_tiny", 21, (2, 2, 31 * 256)),
        ("bsrnn_tiny", 22, (2, 2, 22050)),
        ("bsrnn_tiny_opt", 22, (2, 2, 22050)),
    ],
)
def test_the_baselines_compute_what_their_references_compute(
    name: str, seed: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    golden = np.load(reference.GOLDEN / f"{name}.npz")
    settings = tmp_path / "config.yaml"
    settings.write_text(json.dumps(TFC_TDF_TINY))  # JSON is YAML
    imported = load_reference(saved_golden(name, tmp_path), config=settings if name.startswith("tfc") else None)
    y = run_on_waveform(imported.network, reference.noise(shape, seed), imported.transform)
    assert y[..., ::7].shape == golden["y_sub"].shape
    assert relative_error(y[..., ::7], golden["y_sub"]) <= TOLERANCE
    assert np.linalg.norm(y) == pytest.approx(float(golden["y_norm"]), rel=TOLERANCE)


@pytest.mark.parametrize(
    ("config", "n_parameters"),
    [
        (BSRNNConfig(), 36.4),
        (BSRNNConfig(bands="bass"), 32.8),
        (BSRNNConfig(bands="drums"), 41.0),
        (TFCTDFUNetConfig(), 30.1),
        (TFCTDFUNetConfig(n_channels=128, growth=128), 112.0),
        (TFCTDFUNetConfig(n_channels=128), 45.8),
    ],
    ids=["bsrnn vocals", "bsrnn bass", "bsrnn drums", "tfc-tdf v3", "mdx23c", "mdx23c, growth 64"],
)
def test_networks_have_their_papers_number_of_parameters(config: NetworkConfig, n_parameters: float) -> None:
    with torch.device("meta"):  # shapes only
        assert round(count_parameters(build_network(config)) / 1e6, 1) == n_parameters


def test_the_papers_baselines_have_the_references_tensors() -> None:
    mdx = json.loads(json.dumps(TFC_TDF_TINY))
    mdx["audio"] |= {"dim_f": 4096, "dim_t": 256, "hop_length": 1024, "n_fft": 8192}
    mdx["model"] |= {"growth": 64, "num_channels": 64, "num_scales": 5}
    expected = {
        "bsrnn_paper_vocals": BSRNNConfig(),
        "bsrnn_simo_opt": BSRNNConfig(n_stems=4, bands="joint", n_attention_heads=2, tac=True),
        "tfc_tdf_v3": TFCTDFUNetConfig(),
    }
    for name, config in expected.items():
        shapes = json.loads((reference.GOLDEN / f"{name}_state_dict.json").read_text())
        state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
        importer = TFC_TDF_UNET_V3 if name.startswith("tfc") else BSRNN
        found = importer.describe(state, mdx, Path(name))
        assert found.config == config
        with torch.device("meta"):
            wanted = build_network(config).state_dict()
        assert {key: tensor.shape for key, tensor in found.state.items()} == {
            key: tensor.shape for key, tensor in wanted.items()
        }


@pytest.mark.parametrize("name", TINY)
def test_every_network_is_exported_and_read_back_exactly(name: str, exported: Callable[[str], Path]) -> None:
    network, made = tiny(name)
    path = exported(name)
    session = OnnxNetwork(path, device="cpu", threads=1)
    again, read = load_network(path)
    assert not again.training
    assert read == read_card(path)
    state = again.state_dict()
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())
    multiple = made.frame_multiple
    for batch, n_frames in ((1, max(multiple, 2)), (3, 5 * multiple)):
        x = reference.noise((batch, 4, n_frames, made.transform.n_bins), batch)
        with torch.no_grad():
            expected = network(torch.from_numpy(x)).numpy()
        assert expected.shape == (batch, len(made.stems), *x.shape[1:])
        assert relative_error(session(x), expected) <= TOLERANCE
        with torch.no_grad():
            assert np.array_equal(again(torch.from_numpy(x)).numpy(), expected)


@pytest.mark.parametrize("name", ["dttnet", "tfc_tdf_unet_v3", "bsrnn, all options"])
def test_every_network_separates(name: str, exported: Callable[[str], Path]) -> None:
    made = tiny(name)[1]
    separator = Separator(str(exported(name)), device="cpu", threads=1, adds_up=False, stems=made.stems)
    mix = reference.noise((2, 20000), 5)
    stems = separator.separate(mix, 44100)
    assert list(stems) == list(made.stems)
    assert all(stem.shape == mix.shape and np.abs(stem).max() > 0 for stem in stems.values())


def test_weights_that_are_equal_stay_apart(tmp_path: Path) -> None:
    network, made = build_network(TINY["dttnet"][0]).eval(), tiny("dttnet")[1]
    export(network, made, tmp_path / "new.onnx")  # every scale of a new network's normalisation is 1
    state = load_network(tmp_path / "new.onnx")[0].state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_float16_weights_come_back_as_they_are_stored(tmp_path: Path) -> None:
    network, made = build_network(reference.TINY).eval(), card(reference.TINY, Transform(n_fft=256, hop=64, n_bins=64))
    export(network, made, tmp_path / "half.onnx", half_weights=True)
    state = load_network(tmp_path / "half.onnx")[0].state_dict()
    rounded = [name for name, tensor in network.state_dict().items() if not torch.equal(state[name], tensor)]
    assert rounded
    assert all(torch.equal(state[name], network.state_dict()[name].half().float()) for name in rounded)
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in state.values())


def test_the_shipped_model_is_read_back_as_what_its_file_computes() -> None:
    path = store.find("fast").files[0]
    network, made = load_network(path)
    x = store.probe_input(made)
    with torch.no_grad():
        y = network(torch.from_numpy(x)).numpy()
    # float32 rounding, in another order: 2e-7.
    assert relative_error(y, OnnxNetwork(path, device="cpu", threads=1)(x)) <= 1e-5
    assert isinstance(network_config(made.hyperparameters), DTTNetConfig)
    assert made.n_parameters == count_parameters(network)


def test_a_file_without_named_weights_is_refused(tmp_path: Path) -> None:
    network, made = tiny("dttnet")
    path = tmp_path / "old.onnx"
    export(network, made, path)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "first.0.weight":
            tensor.name = "onnx::Conv_1"
    for node in model.graph.node:
        node.input[:] = ["onnx::Conv_1" if name == "first.0.weight" else name for name in node.input]
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"old\.onnx: .* lacks the weights by name .*first\.0\.weight"):
        load_network(path)


def test_a_file_that_does_not_name_its_architecture_is_refused(one_stem: Path) -> None:
    with pytest.raises(ModelError, match=r"one\.onnx: does not name its architecture"):
        load_network(one_stem)


def test_audio_channels_are_worked_on_as_mono_unless_they_see_each_other() -> None:
    x = torch.from_numpy(reference.noise((1, 4, 6, 513), 1))
    changed = x.clone()
    changed[:, 2:] *= -3  # the right channel
    differ = {}
    for name in ("bsrnn", "bsrnn, all options"):
        network, _ = tiny(name)
        with torch.no_grad():
            differ[name] = not torch.equal(network(x)[:, :, :2], network(changed)[:, :, :2])
    assert differ == {"bsrnn": False, "bsrnn, all options": True}


def test_a_mask_of_one_gives_the_mixture() -> None:
    network, _ = tiny("bsrnn")
    with torch.no_grad():
        for estimate in network.masks[0].bands:
            last = estimate[5]
            width = last.out_channels // 4
            last.weight.zero_()
            # First half times the sigmoid of the second: real parts 1, imaginary parts 0.
            last.bias.copy_(torch.tensor([1.0] * width + [0.0] * width + [100.0] * 2 * width))
        x = torch.from_numpy(reference.noise((2, 4, 5, 513), 3))
        assert torch.equal(network(x)[:, 0], x)


def test_tac_adds_nothing_that_depends_on_the_order_of_channels() -> None:
    torch.manual_seed(0)
    tac = TAC(4)
    x = torch.randn(2, 2, 3, 5, 4)
    # The mean of two numbers does not depend on their order, not even in its last bit.
    assert torch.equal(tac(x.flip(1)), tac(x).flip(1))


def test_bands_cover_the_spectrum() -> None:
    n_bands = {"vocals": 41, "bass": 30, "drums": 55, "joint": 57}
    for bands, expected in n_bands.items():
        widths = BSRNNConfig(bands=bands).band_widths  # type: ignore[arg-type]  # one of the four names
        assert len(widths) == expected
        assert sum(widths) == 1025


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "architecture must be one of dttnet, tfc_tdf_unet_v3, bsrnn, is not given"),
        ({"architecture": "demucs"}, "is 'demucs'"),
        ({"architecture": "bsrnn", "growth": 3}, "growth"),
        ({"architecture": ["dttnet"]}, r"is \['dttnet'\]"),
        ({"architecture": "bsrnn", "n_bins": "many"}, "n_bins must be a whole number, is 'many'"),
        ({"architecture": "bsrnn", "tac": 1}, "tac must be true or false, is 1"),
        ({"architecture": "bsrnn", "bands": "guitar"}, "bands must be vocals, bass, drums or joint, is 'guitar'"),
        ({"architecture": "bsrnn", "bands": ["bass"]}, "bands must be vocals, bass, drums or joint, is"),
        ({"architecture": "dttnet", "mask": "None"}, "mask must be true or false, is 'None'"),
        ({"architecture": "dttnet", "bottleneck_factor": 2.5}, "bottleneck_factor must be a whole number or null, is"),
        ({"architecture": "dttnet", "n_heads": True}, "n_heads must be a whole number, is True"),
        ({"architecture": "dttnet", "compression": "1"}, "compression must be a number, is '1'"),
        ({"architecture": "dttnet", "norm": "instance", "bottleneck_factor": 512}, "must be 1 to 256, .* least 2 are"),
        (
            {"architecture": "dttnet", "norm": "instance", "n_bins": 4, "bottleneck_factor": None},
            "1 bins in the latent",
        ),
        ({"architecture": "bsrnn", "n_bins": 129}, "too few for the bands"),
        ({"architecture": "bsrnn", "n_attention_heads": 3}, "n_attention_heads"),
        ({"architecture": "bsrnn", "rnn": "cnn"}, "rnn must be"),
        ({"architecture": "bsrnn", "n_dual_path_layers": -1}, "n_dual_path_layers"),
        ({"architecture": "tfc_tdf_unet_v3", "n_bins": 4095}, "n_bins"),
        ({"architecture": "tfc_tdf_unet_v3", "bottleneck_factor": 64}, "bottleneck_factor"),
        ({"architecture": "tfc_tdf_unet_v3", "norm": "group"}, "norm must be"),
        ({"architecture": "tfc_tdf_unet_v3", "activation": "elu"}, "activation must be"),
        ({"architecture": "tfc_tdf_unet_v3", "growth": -1}, "growth"),
    ],
)
def test_impossible_networks_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        network_config(values)


@pytest.mark.parametrize(
    "config",
    [
        DTTNetConfig(n_bins=16, growth=2, norm="instance", bottleneck_factor=2, n_dual_path_layers=0),
        DTTNetConfig(n_bins=16, growth=2, norm="group", bottleneck_factor=4, n_dual_path_layers=0),
        DTTNetConfig(n_bins=8, growth=2, norm="instance", bottleneck_factor=None, n_dual_path_layers=0),
        TFCTDFUNetConfig(n_bins=64, n_channels=2, growth=2, n_scales=2, bottleneck_factor=2),
    ],
    ids=["instance", "group", "no bottleneck", "tfc-tdf v3"],
)
def test_the_narrowest_networks_take_the_fewest_frames(config: NetworkConfig) -> None:
    y = build_network(config)(torch.randn(1, 4, config.frame_multiple, config.n_bins))
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("name", TINY)
def test_hyper_parameters_survive_as_a_dictionary(name: str) -> None:
    config = TINY[name][0]
    values = json.loads(json.dumps(config.to_dict()))
    assert values["architecture"] == config.architecture
    assert network_config(values) == config


def test_multiply_accumulates_are_those_counted_by_hand() -> None:
    x = torch.zeros(2, 3, 4, 5)
    assert count_macs(nn.Conv2d(3, 7, 3, padding=1), x) == 2 * 4 * 5 * 7 * 3 * 9
    assert count_macs(nn.Conv2d(3, 6, 2, stride=2, groups=3), x) == 2 * 2 * 2 * 6 * 1 * 4
    assert count_macs(nn.ConvTranspose2d(3, 7, 2, stride=2), x) == 2 * 4 * 5 * 3 * 7 * 4
    assert count_macs(nn.Linear(5, 9), x) == 2 * 3 * 4 * 5 * 9

    class Last(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.flatten(0, 1))[0]

    # 6 sequences of 4 steps in 2 directions: G gates of 8 from 5 inputs and 8 that come back.
    assert count_macs(Last(nn.LSTM(5, 8, batch_first=True, bidirectional=True)), x) == 6 * 4 * 2 * 4 * 8 * (5 + 8)
    assert count_macs(Last(nn.GRU(5, 8, batch_first=True, bidirectional=True)), x) == 6 * 4 * 2 * 3 * 8 * (5 + 8)

    # 2 heads with queries and keys of 3 and values of 2, in 5 bands of 4 channels, 7 frames: projections and products.
    attention = Attention(4, 5, n_heads=2, n_attention_channels=3)
    projections = 7 * 5 * (2 * (4 * 3 + 4 * 3 + 4 * 2) + 4 * 4)
    assert count_macs(attention, torch.zeros(1, 5, 7, 4)) == projections + 2 * 7 * 7 * 5 * (3 + 2)

    # Heads of 2 channels at 2 * 2 * 6 * 5 positions: queries, keys, values and output, a perceptron of 8, and products
    # with 6 frames and with 5 bins. In a chunk of 18 frames each frame sees three times as many.
    path = DualPath(4, n_layers=1, n_heads=2, path="attention")
    layers = 2 * 120 * (4 * 2 * 2 + 2 * 2 * 8)
    assert count_macs(path, torch.zeros(2, 4, 6, 5)) == layers + 2 * 120 * 2 * (6 + 5)
    assert count_macs(path, torch.zeros(2, 4, 6, 5), n_frames=18) == layers + 2 * 120 * 2 * (18 + 5)


def test_a_network_counted_by_hand() -> None:
    config = DTTNetConfig(
        n_bins=8, growth=2, n_scales=1, convs_per_block=1, bottleneck_factor=2, n_dual_path_layers=1, n_heads=2
    )

    def block(n: int, n_frames: int, n_bins: int) -> int:
        return 3 * n_frames * n_bins * n * n * 9 + n * n_frames * n_bins * n_bins // 2 * 2

    n_frames = 4
    expected = n_frames * 8 * 4 * 2  # first
    expected += block(2, n_frames, 8) + n_frames // 2 * 4 * 4 * 2 * 4  # encoder and down
    expected += block(4, n_frames // 2, 4)  # latent
    # Heads of 2 channels: LSTM of 4 per direction and a projection from 8, along time and along frequency.
    expected += 2 * 2 * (n_frames // 2 * 4) * (2 * 4 * 4 * (2 + 4) + 8 * 2)
    expected += n_frames // 2 * 4 * 4 * 2 * 4 + block(2, n_frames, 8)  # up and decoder
    expected += n_frames * 8 * 2 * 4  # last
    network = build_network(config)
    assert count_macs(network, torch.zeros(1, 4, n_frames, 8)) == expected
    transform = Transform(n_fft=32, hop=8, n_bins=8)
    per_second = gmac_per_second(network, card(config, transform))
    assert per_second == pytest.approx(expected / n_frames * 44100 / 8 / 1e9, rel=1e-12)


def test_the_papers_network_costs_what_is_known_of_it() -> None:
    config = DTTNetConfig()
    network = build_network(config)
    total = gmac_per_second(network, card(config, Transform()))
    assert total == pytest.approx(40.9, abs=0.05)
    # About 31 are known of it: without the LSTMs, which common tools leave out. They run over every bin of every frame
    # of the latent part, once per head.
    weights = sum(weight.numel() for name, weight in network.named_parameters() if ".rnn.weight" in name)
    lstms = weights * 2 * (2048 // 4) * (44100 / 1024 / 4) / 1e9
    assert total - lstms == pytest.approx(31.1, abs=0.05)


def test_counting_leaves_the_network_as_it_was() -> None:
    network, made = tiny("tfc_tdf_unet_v3, batch norm")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    gmac_per_second(network, made)
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
