"""Which engine runs a model, and on what: what was asked for, or the fastest that is there."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dttnet.errors import DeviceError, MissingExtraError, ModelError, UsageError

if TYPE_CHECKING:
    from dttnet.runtime import Network

AUTO = "auto"
ENGINES = ("onnxruntime", "openvino", "torch")
PRECISIONS = ("float32", "bfloat16", "float16")

_ORDER = (
    ("onnxruntime", "cuda"),
    ("torch", "cuda"),
    ("onnxruntime", "rocm"),
    ("onnxruntime", "directml"),
    ("torch", "mps"),
    ("onnxruntime", "cpu"),
    ("openvino", "cpu"),
    ("torch", "cpu"),
)
"""What `auto` tries, the fastest first. Left out: TensorRT, which takes minutes to start, and CoreML, which runs only
part of these graphs and slower than the CPU does."""

_PACKAGES = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino",), "torch": ("torch", "onnx")}


@dataclass(frozen=True)
class Opened:
    """Networks that are ready to run.

    Attributes:
        networks: In the order of the files.
        failed: What seemed to be there, would have been faster and could not be started, and why, one sentence each.
    """

    networks: list[Network]
    failed: tuple[str, ...]


def open_networks(
    paths: Sequence[Path],
    *,
    engine: str = AUTO,
    device: str = AUTO,
    threads: int | None = None,
    precision: str = "float32",
    n_parallel: int = 1,
    compiled: bool = False,
) -> Opened:
    """Open model files, all with the same engine on the same device.

    Args:
        paths: At least one.
        engine: One of `ENGINES`, or "auto".
        device: "cpu", "cuda", ...: as the engine calls it; or "auto".
        threads: Of the CPU; None leaves it to the engine.
        precision: Of the arithmetic, one of `PRECISIONS`. All results are given for float32.
        n_parallel: Calls at once that are meant to be made; the networks say how many are worth while.
        compiled: Compile the networks for this machine, which torch can, and no other engine is then taken.

    Raises:
        UsageError: There is no engine or precision of this name.
        DeviceError: What was asked for is not there.
        ModelError: A file cannot be read.
    """
    if engine not in (AUTO, *ENGINES):
        raise UsageError(f"engine is {engine!r}: give {AUTO}, {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"precision is {precision!r}: give {', '.join(PRECISIONS)}")
    if compiled and engine == AUTO:
        engine = "torch"
    if compiled and engine != "torch":
        raise UsageError(f"the engine {engine} compiles nothing: leave that out, or take the engine torch")
    if engine != AUTO and not is_installed(engine):
        raise MissingExtraError(f"The engine {engine}", engine)
    opened = functools.partial(_open, threads=threads, precision=precision, n_parallel=n_parallel, compiled=compiled)
    absent: list[str] = []
    failed: list[str] = []
    for name, where in candidates(engine, device):
        problem = why_not(name, where, precision=precision)
        if problem:
            absent.append(f"{name} on {where}: {problem}")
            continue
        try:
            return Opened([opened(path, name, where) for path in paths], tuple(failed))
        except DeviceError as error:
            failed.append(f"{name} on {where}: {error}")
        except ModelError as error:
            # What ONNX Runtime cannot read nobody can. The others may lack an operator, or weights by their names.
            if engine != AUTO or name == "onnxruntime":
                raise
            failed.append(f"{name} on {where}: {error}")
    raise DeviceError("; ".join([*failed, *absent]))


def candidates(engine: str = AUTO, device: str = AUTO) -> list[tuple[str, str]]:
    """Engines and devices that fit what was asked for, the fastest first."""
    if AUTO not in (engine, device):
        return [(engine, device)]
    known = [pair for pair in _ORDER if engine in (AUTO, pair[0]) and device in (AUTO, pair[1])]
    # A device that only one of them may know, such as npu or cuda:1.
    return known or [(name, device) for name in ENGINES]


def is_installed(engine: str) -> bool:
    """Whether an engine's packages are there; they are not imported."""
    return all(importlib.util.find_spec(package) is not None for package in _PACKAGES[engine])


def devices(engine: str) -> list[str]:
    """What an engine that is installed can run on, as it calls it.

    Raises:
        DeviceError: It is installed, but broken.
    """
    with _loading(engine):
        if engine == "onnxruntime":
            from dttnet.runtime import onnx

            return onnx.devices()
        if engine == "openvino":
            from dttnet.runtime import openvino

            return openvino.devices()
        from dttnet.runtime import torch

        return torch.devices()


def why_not(engine: str, device: str, *, precision: str = "float32") -> str:
    """Why an engine cannot be used here, as far as it can be known without a model; empty if it can."""
    if not is_installed(engine):
        return f'not installed (pip install "dttnet[{engine}]")'
    if engine == "onnxruntime" and precision != "float32":
        return f"it computes in float32, not in {precision}, which the engines openvino and torch may"
    # To import torch takes seconds: not where there can be no GPU.
    try:
        there = ["cpu"] if engine == "torch" and not _may_have(device) else devices(engine)
    except DeviceError as error:
        return str(error)
    if device not in there and device.partition(":")[0] not in there:
        return f"there is no device {device!r} that it can use, only {', '.join(there)}"
    return ""


def computes_in(engine: str, device: str, precision: str) -> bool:
    """Whether a device has arithmetic of its own for a precision, so that it is worth while."""
    if precision == "float32" or engine == "onnxruntime":
        return precision == "float32"
    if engine == "openvino":
        from dttnet.runtime import openvino

        return openvino.computes_in(precision, device)
    from dttnet.runtime import torch

    return torch.computes_in(precision, device)


@contextlib.contextmanager
def _loading(engine: str) -> Iterator[None]:
    """Tell what a package raises that lacks libraries of its own."""
    try:
        yield
    except (ImportError, OSError) as error:
        raise DeviceError(f"{engine} is installed, but cannot be loaded ({error}): install it again") from error


def _may_have(device: str) -> bool:
    if device.startswith("cuda"):
        return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() or shutil.which("nvidia-smi") is not None
    return device != "mps" or sys.platform == "darwin"


def _open(
    path: Path, engine: str, device: str, *, threads: int | None, precision: str, n_parallel: int, compiled: bool
) -> Network:
    if engine == "onnxruntime":
        from dttnet.runtime.onnx import OnnxNetwork

        return OnnxNetwork(path, device=device, threads=threads, n_parallel=n_parallel)
    if engine == "openvino":
        with _loading(engine):
            from dttnet.runtime.openvino import OpenVinoNetwork

        return OpenVinoNetwork(path, device=device, threads=threads, precision=precision, n_parallel=n_parallel)
    with _loading(engine):
        from dttnet.runtime.torch import open_network

    return open_network(path, device=device, threads=threads, precision=precision, compiled=compiled)
