"""Networks in ONNX files, run by OpenVINO: on Intel's GPUs, and on processors that compute in bfloat16."""

from __future__ import annotations

import functools
import queue
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dttnet.cpus import count_cores
from dttnet.errors import DeviceError, ModelError, OutOfMemoryError
from dttnet.runtime.onnx import check_output, means_out_of_memory, read_card
from dttnet.runtime.telemetry import without_telemetry

with without_telemetry():
    import openvino
    import openvino.opset13 as ops

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
"""Not float16: OpenVINO computes all of a network in it, and squares and logarithms of spectra do not fit its range.
Where a processor has it, networks gave NaN or noise."""


@functools.cache
def _core() -> openvino.Core:
    """The only one of this process.

    The CPU plugin of each gives the thread that loads it a larger stack for signals, and takes it away when it ends. Of
    two that end in the order in which they began, the second puts back the stack that the first one took away, and the
    next signal (Ctrl-C) ends the process.
    """
    return openvino.Core()


def devices() -> list[str]:
    """Those that OpenVINO finds here: cpu, gpu, gpu.0, npu, ..."""
    return [name.lower() for name in _core().available_devices]


def computes_in(precision: str, device: str = "cpu") -> bool:
    """Whether a device has arithmetic of its own for a precision, that is good for spectra."""
    if precision != "bfloat16":
        return precision == "float32"
    return "BF16" in _core().get_property(device.upper(), "OPTIMIZATION_CAPABILITIES")


class OpenVinoNetwork:
    """A network from an ONNX file.

    Args:
        path: The file.
        device: One of `devices()`.
        threads: Of the CPU; None is one per physical core.
        precision: "float32", or "bfloat16" if the device has arithmetic for it.
        n_parallel: Calls at once that the threads are meant for, on a CPU; further ones wait. See
            `dttnet.runtime.onnx.OnnxNetwork`.

    Raises:
        DeviceError: The device is not there, or has no such arithmetic.
        ModelError: The file cannot be read.
    """

    engine = "openvino"

    def __init__(
        self,
        path: Path,
        *,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "float32",
        n_parallel: int = 1,
    ) -> None:
        self.card = read_card(path)
        self.device = device
        threads = threads or count_cores()
        self.n_parallel = min(n_parallel, threads) if device == "cpu" else 1
        self.precision = precision
        core = _core()
        if device not in devices():
            raise DeviceError(f"there is no device {device!r} that OpenVINO can use, only {', '.join(devices())}")
        if precision not in _PRECISIONS:
            raise DeviceError(
                f"OpenVINO's {precision} is too narrow for spectra, and its results are wrong: take bfloat16, or the "
                "engine torch, or leave the precision out"
            )
        if not computes_in(precision, device):
            raise DeviceError(
                f"{core.get_property(device.upper(), 'FULL_DEVICE_NAME')} has no {precision} arithmetic: OpenVINO "
                "would compute in float32 and be no faster; leave the precision out"
            )
        # Without the hint a processor with bfloat16 arithmetic takes it unasked.
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _PRECISIONS[precision]}
        if device == "cpu":
            # Each of the compiled networks would tie its threads to the same first cores.
            options |= {"NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
        # One for each call at once: two streams of one wait for each other, a quarter of the time with two cores.
        self._idle: queue.SimpleQueue[openvino.CompiledModel] = queue.SimpleQueue()
        try:
            model = core.read_model(str(path))
            _part_norms_from_linear_layers(model)
            for index in range(self.n_parallel):
                if device == "cpu":
                    options["INFERENCE_NUM_THREADS"] = (threads + index) // self.n_parallel
                self._idle.put(core.compile_model(model, device.upper(), options))
        except RuntimeError as error:
            raise ModelError(f"{path}: OpenVINO cannot run it on {device} ({_reason(error)})") from error

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 2C, T, F) -> (B, S, 2C, T, F)."""
        compiled = self._idle.get()
        try:
            outputs = compiled.create_infer_request().infer([packed])
        except RuntimeError as error:
            if means_out_of_memory(error):
                raise OutOfMemoryError(f"{self.device}: out of memory ({_reason(error)})") from error
            raise ModelError(f"the network failed on {self.device}, out of memory? ({_reason(error)})") from error
        finally:
            self._idle.put(compiled)
        result: NDArray[np.float32] = outputs[0].astype(np.float32, copy=False)
        # Where memory is short OpenVINO may give an empty array and say nothing.
        if not result.size:
            raise OutOfMemoryError(f"{self.device}: out of memory? (OpenVINO gave nothing)")
        check_output(result, packed, self.card)
        return result


def _part_norms_from_linear_layers(model: openvino.Model) -> None:
    """Make the batch norm after a linear layer a convolution of each channel with one number.

    OpenVINO would multiply the layer's weights by the norm's factors, which differ by channel, where the layer itself
    has the same weights for all: as many copies of the weights as there are channels, and no bfloat16.
    """
    for norm in model.get_ordered_ops():
        if norm.get_type_name() != "BatchNormInference" or norm.input_value(0).get_node().get_type_name() != "MatMul":
            continue
        constants = [norm.input_value(place).get_node() for place in (1, 2, 3, 4)]
        if any(constant.get_type_name() != "Constant" for constant in constants):
            continue
        gamma, beta, mean, variance = (constant.get_data() for constant in constants)
        factor = gamma / np.sqrt(variance + norm.get_attributes()["epsilon"])
        each = factor.astype(np.float32).reshape(-1, 1, 1, 1, 1)
        scaled = ops.group_convolution(norm.input_value(0), each, [1, 1], [0, 0], [0, 0], [1, 1])
        shifted = ops.add(scaled, (beta - mean * factor).astype(np.float32).reshape(-1, 1, 1))
        norm.output(0).replace(shifted.output(0))


def _reason(error: Exception) -> str:
    """The last line of a message: those before it say where in OpenVINO it was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
