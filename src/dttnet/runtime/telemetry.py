"""Packages of engines that report to their makers, loaded so that they do not.

Builds of ONNX Runtime from 1.29 on (pull request 27379 of microsoft/onnxruntime) and OpenVINO write an identifier into
the user's home when they are imported and send what is run to Microsoft and to Google Analytics. dttnet says that it
needs no network, and songs are nobody's business. On Windows ONNX Runtime has no such switch: it writes to the tracing
of the system, whose settings decide what is sent.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_ONNX_RUNTIME = "ORT_DISABLE_TELEMETRY"
"""ONNX Runtime asks for it once, when it is loaded."""
_OPENVINO = "openvino_telemetry"
"""The package that reports for OpenVINO, which does without where it cannot be imported."""


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """What is imported in here reports nothing. Afterwards environment and modules are as they were: what the program
    that dttnet is a part of imports itself is its own choice, and so is the variable, if it is set to anything."""
    is_set = _ONNX_RUNTIME in os.environ
    is_loaded = _OPENVINO in sys.modules
    if not is_set:
        os.environ[_ONNX_RUNTIME] = "1"
    if not is_loaded:
        sys.modules[_OPENVINO] = None  # type: ignore[assignment]  # how the language says that it cannot be imported
    try:
        yield
    finally:
        if not is_set:
            os.environ.pop(_ONNX_RUNTIME, None)
        if not is_loaded:
            sys.modules.pop(_OPENVINO, None)
