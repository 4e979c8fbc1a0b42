"""Networks in torch, run by torch: on a GPU, and what is being trained separates through the same code as what is
shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dttnet.config import NetworkCard, network_config
from dttnet.errors import DeviceError, ModelError, OutOfMemoryError
from dttnet.nn.build import build_network
from dttnet.nn.graph import read_weights
from dttnet.runtime.onnx import means_out_of_memory, read_card

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def devices() -> list[str]:
    """Those that torch can use here, the fastest first."""
    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def computes_in(precision: str, device: str = "cpu") -> bool:
    """Whether a device has arithmetic of its own for a precision; a CPU without it computes the same, much slower."""
    if precision == "float32" or device != "cpu":
        return True
    found = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}[precision]
    return bool(getattr(torch.ops.mkldnn, found)())


class TorchNetwork:
    """A torch network as an engine.

    Args:
        network: (B, 2C, T, F) -> (B, S, 2C, T, F); run where its parameters are, in the mode it is in.
        card: What it is.
        precision: "float32", or "bfloat16" or "float16" where torch holds them good enough (autocast).
        compiled: Through torch.compile: minutes at the first call, for the length of that; others run as they are.
    """

    engine = "torch"
    n_parallel = 1

    def __init__(
        self, network: nn.Module, card: NetworkCard, *, precision: str = "float32", compiled: bool = False
    ) -> None:
        self.card = card
        self.precision = precision
        self._network = network
        self._compiled = torch.compile(network.forward) if compiled else None
        self._compiled_for: tuple[int, ...] | None = None

    @property
    def device(self) -> str:
        return str(self._where)

    @property
    def _where(self) -> torch.device:
        return next(self._network.parameters()).device

    def __call__(self, packed: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 2C, T, F) -> (B, S, 2C, T, F)."""
        where = self._where
        is_half = self.precision != "float32"
        try:
            with (
                torch.inference_mode(),
                torch.autocast(where.type, dtype=_PRECISIONS[self.precision] if is_half else None, enabled=is_half),
            ):
                out = self._forward(torch.from_numpy(packed).to(where))
            result: NDArray[np.float32] = out.float().cpu().numpy()
        except RuntimeError as error:
            if not means_out_of_memory(error):
                raise
            if where.type == "cuda":
                torch.cuda.empty_cache()
            raise OutOfMemoryError(f"{where}: out of memory ({str(error).splitlines()[0]})") from error
        return result

    def _forward(self, packed: Tensor) -> Tensor:
        # Not by way of the network's __call__, which training may have compiled: it would be compiled again for every
        # length of a last chunk.
        out: Tensor
        if self._compiled is None or self._compiled_for not in (None, packed.shape):
            out = self._network.forward(packed)
            return out
        from torch._dynamo.exc import BackendCompilerFailed  # takes a second

        self._compiled_for = packed.shape
        try:
            out = self._compiled(packed)
        except BackendCompilerFailed as error:
            raise DeviceError(f"torch cannot compile the network here ({str(error).splitlines()[0]})") from error
        return out


def open_network(
    path: Path,
    *,
    device: str = "cpu",
    threads: int | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> TorchNetwork:
    """A network from one of our ONNX files, run by torch.

    Args:
        path: The file.
        device: One of `devices()`, or "cuda:1" and the like.
        threads: Of the CPU, for all of torch; None leaves it to torch.
        precision, compiled: See `TorchNetwork`.

    Raises:
        DeviceError: The device is not there, or has no such arithmetic.
        ModelError: See `load_network`.
    """
    if device.partition(":")[0] not in devices():
        raise DeviceError(f"there is no device {device!r} that torch can use, only {', '.join(devices())}")
    if not computes_in(precision, device.partition(":")[0]):
        raise DeviceError(
            f"this {device} has no {precision} arithmetic: torch would be many times slower; leave the precision out"
        )
    network, card = load_network(path)
    if threads is not None:
        torch.set_num_threads(threads)
    return TorchNetwork(network.to(device), card, precision=precision, compiled=compiled)


def load_network(path: Path) -> tuple[nn.Module, NetworkCard]:
    """A network, in evaluation mode, from one of our own ONNX files, with exactly the weights that the file holds.

    Weights stored as float16 are those values in float32.

    Raises:
        ModelError: The file is not one of ours, or its graph does not have the weights by their names, as in files that
            were exported by dttnet 0.1.0.
    """
    card = read_card(path)
    if "architecture" not in card.hyperparameters:
        raise ModelError(
            f"{path}: does not name its architecture, so it was exported by dttnet 0.1.0 or another program and cannot "
            "be read back; export or import it again from the checkpoint it was made of"
        )
    try:
        network = build_network(network_config(card.hyperparameters))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    state = read_weights(onnx.load(path).graph, network)
    wanted = network.state_dict()
    # Counters of batches start anew: nothing is computed with them.
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    wrong = [name for name, tensor in state.items() if tensor.shape != wanted[name].shape]
    if missing or wrong:
        raise ModelError(
            f"{path}: its graph lacks the weights by name ({len(missing)} are missing and {len(wrong)} of the wrong "
            f"shape, such as {[*missing, *wrong][0]}); export or import it again from the checkpoint it was made of"
        )
    network.load_state_dict(wanted | state)
    return network.eval(), card
