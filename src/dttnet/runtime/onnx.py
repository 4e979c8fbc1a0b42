"""Networks in ONNX files, run by ONNX Runtime."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dttnet.config import NetworkCard
from dttnet.cpus import count_cores
from dttnet.errors import DeviceError, ModelError, OutOfMemoryError
from dttnet.runtime.telemetry import without_telemetry

with without_telemetry():
    import onnxruntime as ort

METADATA_KEY = "dttnet"

_PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}


def devices() -> list[str]:
    """Those that this installation of ONNX Runtime was built for; whether they are there shows when one is used."""
    built_for = ort.get_available_providers()
    return [device for device, provider in _PROVIDERS.items() if provider in built_for]


def read_card(path: Path) -> NetworkCard:
    """What a model file says about itself; the graph is not optimised or run."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return _card_of(_open(path, options, ["CPUExecutionProvider"]), path)


class OnnxNetwork:
    """A network from an ONNX file.

    Args:
        path: The file.
        device: One of `devices()`.
        threads: Threads of the CPU provider; None is one per physical core.
        n_parallel: Calls at once that the threads are meant for. On a CPU two chunks at once, each on half of the
            threads, are done sooner than two one after the other: what an operator cannot divide waits for nobody.

    Raises:
        DeviceError: The device is not there or cannot be started.
        ModelError: The file cannot be read.
    """

    engine = "onnxruntime"
    precision = "float32"

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None, n_parallel: int = 1) -> None:
        self.device = device
        threads = threads or count_cores()
        self.n_parallel = min(n_parallel, threads) if device == "cpu" else 1
        # All calls share the session's threads, and each brings the one that it is made from.
        self._session = _open_on(path, device, threads - self.n_parallel + 1)
        self.card = _card_of(self._session, path)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 2C, T, F) -> (B, S, 2C, T, F)."""
        try:
            (out,) = self._session.run(None, {self._input: packed})
        except Exception as error:  # onnxruntime's exceptions share no public root
            reason = str(error).splitlines()[0]
            if means_out_of_memory(error):
                raise OutOfMemoryError(f"{self.device}: out of memory ({reason})") from error
            raise ModelError(f"the network failed on {self.device} ({reason})") from error
        check_output(out, packed, self.card)
        result: NDArray[np.float32] = out
        return result


def check_output(out: NDArray[np.float32], packed: NDArray[np.float32], card: NetworkCard) -> None:
    """Whether a network gave what its card says.

    Raises:
        ModelError: It has another shape.
    """
    expected = (len(packed), len(card.stems), *packed.shape[1:])
    if out.shape != expected:
        raise ModelError(
            f"a network of {', '.join(card.stems)} gave an array {out.shape}, where its card promises {expected}: "
            "export it anew"
        )


_OUT_OF_MEMORY = ("failed to allocate memory", "can't allocate memory", "out of memory", "bad allocation", "bad_alloc")


def means_out_of_memory(error: Exception) -> bool:
    """Whether an engine says with an error that memory is short: none has an exception of its own for it everywhere."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _OUT_OF_MEMORY)


def _open_on(path: Path, device: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if _has_common_memory():
        options.add_session_config_entry("session.use_env_allocators", "1")
    if device not in devices():
        raise DeviceError(f"there is no device {device!r} that onnxruntime can use, only {', '.join(devices())}")
    provider = _PROVIDERS[device]
    session = _open(path, options, [provider] if device == "cpu" else [provider, _PROVIDERS["cpu"]])
    if session.get_providers()[0] != provider:
        raise DeviceError("it could not be started (driver or libraries missing?)")
    return session


@functools.cache
def _has_common_memory() -> bool:
    """Whether all our networks take their memory from one place; otherwise each keeps the most it ever needed.

    Other users of ONNX Runtime in this process notice nothing: a session has to ask for it.
    """
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    try:
        # No limit, and no more taken at once than is asked for.
        ort.create_and_register_allocator(place, ort.OrtArenaCfg(0, 1, -1, -1))
    except Exception:  # onnxruntime's exceptions share no public root; somebody else may have made one
        return False
    return True


def _open(path: Path, options: ort.SessionOptions, providers: list[str]) -> ort.InferenceSession:
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model file")
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no public root
        reason = str(error).splitlines()[0]
        if providers == ["CPUExecutionProvider"]:
            raise ModelError(f"{path}: not a model that onnxruntime can load ({reason})") from error
        raise DeviceError(reason) from error


def _card_of(session: ort.InferenceSession, path: Path) -> NetworkCard:
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        raise ModelError(f"{path}: an ONNX file, but not one of dttnet's (no {METADATA_KEY!r} in its metadata)")
    try:
        return NetworkCard.from_dict(json.loads(metadata[METADATA_KEY]))
    except (ModelError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: its metadata cannot be read ({error})") from error
