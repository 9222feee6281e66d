"""ONNX Runtime, loaded so that it sends nothing."""

import os
from typing import Any

__all__ = ["TELEMETRY", "onnxruntime"]

TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""The variable by which ONNX Runtime is told, when it is loaded, to keep no identifier and to send nothing."""


def onnxruntime() -> Any:
    """The module `onnxruntime`. Raises `ModuleNotFoundError`.

    Since 1.29 it sends events about models to its maker unless told otherwise (its Privacy.md). Here it is told, unless
    `ORT_DISABLE_TELEMETRY` is set already, to 0 for instance, or the program has loaded it before.
    """
    os.environ.setdefault(TELEMETRY, "1")
    import onnxruntime

    return onnxruntime
