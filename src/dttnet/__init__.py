"""dttnet: music source separation with DTTNet (arXiv 2309.08684). See `Separator`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dttnet.audio import Encoding
    from dttnet.errors import AudioError, DeviceError, DttnetError, MissingExtraError, ModelError, UsageError
    from dttnet.separator import FileReport, Separator

_HOMES = {
    "Separator": "separator",
    "FileReport": "separator",
    "Encoding": "audio",
    "DttnetError": "errors",
    "UsageError": "errors",
    "AudioError": "errors",
    "ModelError": "errors",
    "DeviceError": "errors",
    "MissingExtraError": "errors",
}

__all__ = [
    "AudioError",
    "DeviceError",
    "DttnetError",
    "Encoding",
    "FileReport",
    "MissingExtraError",
    "ModelError",
    "Separator",
    "UsageError",
]


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        # Importing dttnet stays instant; numpy and onnxruntime are loaded with the first name that needs them.
        if name in _HOMES:
            import importlib

            return getattr(importlib.import_module(f"dttnet.{_HOMES[name]}"), name)
        raise AttributeError(f"module 'dttnet' has no attribute {name!r}")
