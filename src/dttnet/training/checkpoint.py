"""Weights from files: tensors of checkpoints of any origin.

Nothing in a file is executed: the unpickler makes tensors and plain containers, and an inert stand-in for all else.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dttnet.errors import ModelError


def read_state_dict(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors by name of a safetensors file, or of a checkpoint: of its state dict, if that is an entry of it; and
    the plain hyper-parameters that Lightning keeps beside them, empty if there are none."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path), {}
        _refuse_programs(path)
        content = torch.load(path, map_location="cpu", pickle_module=_SafePickle, weights_only=False)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # torch raises whatever the damaged bytes lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a checkpoint that torch can read, or damaged ({reason})") from error
    stored = content.get("hyper_parameters") if isinstance(content, Mapping) else None
    hyper_parameters = dict(stored) if isinstance(stored, Mapping) else {}
    for key in ("state_dict", "state", "model", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = (
        {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise ModelError(f"{path}: holds no tensors by name; give a Lightning checkpoint or a state dict")
    return tensors, hyper_parameters


def _refuse_programs(path: Path) -> None:
    """torch.load would hand a TorchScript archive to its interpreter, whatever the unpickler."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(PurePosixPath(name).name == "constants.pkl" for name in archive.namelist()):
                raise ModelError(f"{path}: a TorchScript program, not a checkpoint: it is not run")


class _Inert:
    """Stands for any object of a class we do not make: takes everything, does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
}


class _SafeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module == "torch" and name.endswith("Storage") and hasattr(torch, name):
            return getattr(torch, name)
        return _Inert


# What torch.load wants of a pickle module.
_SafePickle = SimpleNamespace(
    Unpickler=_SafeUnpickler,
    load=lambda file, **options: _SafeUnpickler(file, **options).load(),
    loads=lambda data, **options: _SafeUnpickler(io.BytesIO(data), **options).load(),
    __name__="dttnet.training.checkpoint",
)
