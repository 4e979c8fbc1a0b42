"""Every engine computes the same; what is asked for is used, or it is an error that says what to do."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import reference
from conftest import gain_model
from dttnet.bench import sides
from dttnet.config import DTTNetConfig, NetworkCard, Transform
from dttnet.errors import DeviceError, MissingExtraError, ModelError, OutOfMemoryError, UsageError
from dttnet.nn.dttnet import DTTNet
from dttnet.runtime import Network, choice
from dttnet.runtime.onnx import OnnxNetwork, read_card
from dttnet.runtime.torch import TorchNetwork, load_network
from dttnet.separator import Separator
from dttnet.training.export import export

# float32 rounding through some twenty layers in another order gives 3e-7; a wrong layer is off by 1e-1.
TOLERANCE = 1e-5

NETWORKS = {
    "joint masks in bands": DTTNetConfig(
        n_bins=64,
        n_stems=2,
        growth=8,
        n_scales=1,
        n_dual_path_layers=1,
        band_widths=(16, 48),
        band_folds=(1, 3),
        mask=True,
        masks_add_up=True,
        mask_limit=1.0,
        compression=0.3,
        spectrum_skip=True,
    ),
    "the paper's, small": DTTNetConfig(n_bins=64, growth=8, n_scales=2, n_dual_path_layers=2, bottleneck_factor=4),
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = NETWORKS[request.param]
    torch.manual_seed(0)
    card = NetworkCard(
        stems=("vocals", "other")[: config.n_stems],
        transform=Transform(n_fft=256, hop=64, n_bins=64),
        n_frames=16,
        frame_multiple=config.frame_multiple,
        hyperparameters=config.to_dict(),
        licence="",
        training_data="",
    )
    path = tmp_path_factory.mktemp("model") / "network.onnx"
    network = DTTNet(config).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh ones do nothing
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.uniform_(-0.5, 0.5)
    export(network, card, path)
    return path


def opened(path: Path, **options: str) -> Network:
    (network,) = choice.open_networks([path], threads=1, **options).networks  # type: ignore[arg-type]  # of several types
    return network


def relative_error(y: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(y - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("engine", choice.ENGINES)
def test_every_engine_computes_the_same_for_any_batch_and_length(model: Path, engine: str) -> None:
    network = opened(model, engine=engine, device="cpu")
    assert (network.engine, network.device, network.precision) == (engine, "cpu", "float32")
    assert network.card == read_card(model)
    expected = OnnxNetwork(model, threads=1)
    results = []
    for batch, n_frames in ((1, 16), (3, 8), (1, 4)):
        x = reference.noise((batch, 4, n_frames, 64), batch)
        before = x.copy()
        y = network(x)
        assert y.dtype == np.float32
        assert relative_error(y, expected(x)) <= TOLERANCE
        np.testing.assert_array_equal(x, before)
        results.append((y, y.copy()))
    for y, kept in results:  # no engine may use the memory of a result again
        np.testing.assert_array_equal(y, kept)


@pytest.mark.parametrize("engine", choice.ENGINES)
def test_an_engine_may_be_called_from_several_threads(model: Path, engine: str) -> None:
    network = opened(model, engine=engine, device="cpu")
    inputs = [reference.noise((1, 4, 8, 64), seed) for seed in range(8)]
    expected = [network(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for y, one in zip(pool.map(network, inputs), expected, strict=True):
            np.testing.assert_array_equal(y, one)


@pytest.mark.parametrize("engine", choice.ENGINES)
def test_a_song_comes_out_the_same_from_every_engine(model: Path, engine: str) -> None:
    mix = reference.noise((2, 20000), 5)
    separator = Separator(str(model), engine=engine, device="cpu", threads=1)
    assert separator.engine == engine
    stems = separator.separate(mix, 44100)
    for stem, samples in Separator(str(model), engine="onnxruntime", threads=1).separate(mix, 44100).items():
        assert relative_error(stems[stem], samples) <= TOLERANCE


def test_half_precision_is_near_float32(model: Path) -> None:
    x = reference.noise((1, 4, 16, 64), 0)
    # Also where the processor has no such arithmetic, and it would not be opened with it.
    network = TorchNetwork(*load_network(model), precision="bfloat16")
    assert network.precision == "bfloat16"
    error = relative_error(network(x), OnnxNetwork(model)(x))
    # Eight bits: 2e-3 per number. Above 0, or nothing was computed in bfloat16.
    assert 1e-4 < error < 3e-2


def test_a_compiled_network_computes_the_same_and_is_compiled_for_one_length(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []

    def compiler(forward):  # type: ignore[no-untyped-def]  # torch's own takes minutes
        def compiled(packed: torch.Tensor) -> torch.Tensor:
            made.append(tuple(packed.shape))
            return forward(packed)

        return compiled

    monkeypatch.setattr("torch.compile", compiler)
    (network,) = choice.open_networks([model], compiled=True, device="cpu", threads=1).networks
    assert network.engine == "torch"
    expected = OnnxNetwork(model, threads=1)
    for n_frames in (16, 16, 8):
        x = reference.noise((1, 4, n_frames, 64), n_frames)
        assert relative_error(network(x), expected(x)) <= TOLERANCE
    assert made == [(1, 4, 16, 64)] * 2
    with pytest.raises(UsageError, match="the engine onnxruntime compiles nothing"):
        choice.open_networks([model], engine="onnxruntime", compiled=True)


def test_auto_takes_the_fastest_that_is_there(model: Path) -> None:
    result = choice.open_networks([model])
    assert [(network.engine, network.device) for network in result.networks] == [("onnxruntime", "cpu")]
    assert result.failed == ()
    assert choice.candidates() == list(choice._ORDER)
    assert choice.candidates("torch") == [("torch", "cuda"), ("torch", "mps"), ("torch", "cpu")]
    assert choice.candidates(device="cuda") == [("onnxruntime", "cuda"), ("torch", "cuda")]
    assert choice.candidates(device="npu") == [(engine, "npu") for engine in choice.ENGINES]
    assert choice.candidates("torch", "cuda:1") == [("torch", "cuda:1")]


def test_auto_says_what_it_could_not_start(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    result = choice.open_networks([model])
    assert result.networks[0].device == "cpu"
    (failure,) = result.failed
    assert failure.startswith("onnxruntime on cuda: ")
    with pytest.raises(DeviceError, match="onnxruntime on cuda"):
        choice.open_networks([model], device="cuda")


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_an_engine_that_is_not_installed_is_an_error_that_says_how(
    model: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == engine else find(name))
    with pytest.raises(MissingExtraError, match=rf'pip install "dttnet\[{engine}\]"'):
        choice.open_networks([model], engine=engine)
    assert choice.why_not(engine, "cpu") == f'not installed (pip install "dttnet[{engine}]")'


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": "cuda"}, UsageError, "engine is 'cuda': give auto, onnxruntime, openvino, torch"),
        ({"precision": "int8"}, UsageError, "precision is 'int8': give float32, bfloat16, float16"),
        ({"engine": "torch", "device": "abacus"}, DeviceError, "torch on abacus: there is no device 'abacus'"),
        ({"engine": "openvino", "device": "abacus"}, DeviceError, "there is no device 'abacus'"),
        ({"engine": "onnxruntime", "precision": "float16"}, DeviceError, "it computes in float32, not in float16"),
        (
            {"engine": "openvino", "device": "cpu", "precision": "float16"},
            DeviceError,
            "too narrow .* engine torch",
        ),
    ],
)
def test_what_is_not_there_is_an_error(
    model: Path, options: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        choice.open_networks([model], **options)  # type: ignore[arg-type]  # of several types


class Small:
    """A network on a device that has memory for so many chunks at once."""

    engine, device, precision, n_parallel = "test", "tiny", "float32", 1

    def __init__(self, path: Path, room: int) -> None:
        self._network = OnnxNetwork(path)
        self.card = self._network.card
        self.room = room
        self.batches: list[int] = []

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        self.batches.append(len(packed))
        if len(packed) > self.room:
            raise OutOfMemoryError("tiny: out of memory")
        return self._network(packed)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_two_calls_at_once_are_two_calls_that_share_the_threads(model: Path, engine: str) -> None:
    (network,) = choice.open_networks([model], engine=engine, device="cpu", threads=2, n_parallel=2).networks
    assert network.n_parallel == 2
    (narrow,) = choice.open_networks([model], engine=engine, device="cpu", threads=1, n_parallel=2).networks
    assert narrow.n_parallel == 1
    inputs = [reference.noise((1, 4, 16, 64), seed) for seed in range(8)]
    with ThreadPoolExecutor(3) as pool:  # one more, which has to wait for its turn
        found = list(pool.map(network, inputs))
    for x, y in zip(inputs, found, strict=True):
        assert relative_error(y, narrow(x)) < TOLERANCE


def test_openvino_keeps_one_set_of_weights_for_all_channels_of_a_linear_layer(model: Path) -> None:
    network = opened(model, engine="openvino", device="cpu")
    compiled = network._idle.get()  # type: ignore[attr-defined]  # of this engine
    kinds = [node.get_rt_info()["layerType"] for node in compiled.get_runtime_model().get_ops()]
    assert "FullyConnected" in kinds
    assert "MatMul" not in kinds  # what has weights for each channel is one


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the stack of signals is read by Linux's C library")
def test_networks_of_openvino_leave_a_stack_for_signals_behind(model: Path) -> None:
    first = opened(model, engine="openvino", device="cpu")
    second = opened(model, engine="openvino", device="cpu")
    del first
    del second
    gc.collect()
    # A stack that is gone ends the process with the next signal, so it is asked for in place of a signal.
    assert is_mapped(signal_stack())


def signal_stack() -> int:
    """Address of the stack on which signals of this thread are handled; 0 if there is none."""

    class Stack(ctypes.Structure):
        _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

    found = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.address or 0


def is_mapped(address: int) -> bool:
    if not address:
        return True
    ranges = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
    return any(int(start, 16) <= address < int(end, 16) for start, end in ranges)


def test_a_batch_that_does_not_fit_is_halved_once_and_said(tmp_path: Path) -> None:
    path = gain_model(tmp_path)
    mix = reference.noise((2, 100000), 0)
    network = Small(path, room=2)
    separator = Separator([network], batch_size=8, chunk_frames=32)
    expected = Separator([OnnxNetwork(path)], batch_size=1, chunk_frames=32).separate(mix, 44100)
    for stem, samples in separator.separate(mix, 44100).items():
        # A batch changes no sample of a chunk; sums of float32 may come in another order.
        np.testing.assert_allclose(samples, expected[stem], atol=1e-6)
    assert network.batches[:4] == [8, 4, 2, 2]
    assert max(network.batches[4:]) == 2


def test_a_report_says_that_batches_became_smaller(tmp_path: Path, make_audio) -> None:  # type: ignore[no-untyped-def]  # a fixture
    source = make_audio("a.wav", reference.noise((2, 100000), 0).T * 0.5)
    separator = Separator([Small(gain_model(tmp_path), room=1)], batch_size=4, chunk_frames=32)
    report = separator.separate_file(source, tmp_path / "stems")
    assert report.warnings == ("tiny has too little memory for 4 chunks at once: 1 from now on",)
    assert separator.separate_file(source, tmp_path / "again").warnings == ()


def test_a_single_chunk_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    separator = Separator([Small(gain_model(tmp_path), room=0)], batch_size=2)
    with pytest.raises(OutOfMemoryError):
        separator.separate(reference.noise((2, 5000), 0), 44100)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_no_engine_takes_a_precision_that_the_device_only_imitates(
    model: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"dttnet.runtime.{engine}.computes_in", lambda precision, _: precision == "float32")
    with pytest.raises(DeviceError, match=r"has no bfloat16 arithmetic: .* leave the precision out"):
        opened(model, engine=engine, device="cpu", precision="bfloat16")


@pytest.mark.parametrize("error", [ImportError("no libcudart.so"), OSError("no libcudart.so")])
def test_auto_goes_past_an_engine_that_is_broken(
    model: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[str]:
        raise error

    monkeypatch.setattr("dttnet.runtime.torch.devices", broken)
    monkeypatch.setattr(choice, "_may_have", lambda _: True)
    assert opened(model).device == "cpu"
    message = r"torch is installed, but cannot be loaded \(no libcudart.so\): install it again"
    assert choice.why_not("torch", "cuda") == message.replace("\\", "")
    with pytest.raises(DeviceError, match=message):
        opened(model, engine="torch")
    assert {side.device for side in sides(str(model), engine="torch")} == {"cpu"}


def test_auto_goes_past_an_engine_that_cannot_read_the_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise ModelError(f"{path}: does not name its architecture")

    monkeypatch.setattr(choice, "_ORDER", (("torch", "cpu"), ("onnxruntime", "cpu")))
    monkeypatch.setattr("dttnet.runtime.torch.load_network", fail)
    found = choice.open_networks([model])
    assert found.networks[0].engine == "onnxruntime"
    assert found.failed == (f"torch on cpu: {model}: does not name its architecture",)
    with pytest.raises(ModelError, match="does not name its architecture"):
        choice.open_networks([model], engine="torch")


def test_a_file_that_onnxruntime_cannot_read_is_wrong_for_all(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"a\.onnx: not a model that onnxruntime can load"):
        choice.open_networks([tmp_path / "a.onnx"])


def test_short_memory_is_told_as_that_by_torch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = TorchNetwork(*load_network(model))

    def fail(_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 18 bytes")

    monkeypatch.setattr(network, "_forward", fail)
    with pytest.raises(OutOfMemoryError, match="cpu: out of memory"):
        network(reference.noise((1, 4, 16, 64), 0))


def test_short_memory_is_told_as_that_by_openvino(model: Path) -> None:
    network = opened(model, engine="openvino", device="cpu")

    class Empty:
        def create_infer_request(self) -> Empty:
            return self

        def infer(self, _: object) -> list[NDArray[np.float32]]:
            return [np.zeros((0, len(read_card(model).stems), 4, 0, 64), np.float32)]

    network._idle.get()  # type: ignore[attr-defined]  # of this engine
    network._idle.put(Empty())  # type: ignore[attr-defined]  # as above
    for _ in range(2):  # and the next call has its turn
        with pytest.raises(OutOfMemoryError, match="cpu: out of memory"):
            network(reference.noise((1, 4, 16, 64), 0))
