"""ONNX Runtime, loaded so that it sends nothing."""

import os
from typing import Any

__all__ = ["TELEMETRY", "onnxruntime"]

TELEMETRY = "ORT_DISABLE_TELEMETRY"
"""The variable that has ONNX Runtime, when it is loaded, keep no identifier and send nothing."""


def onnxruntime() -> Any:
    """The module `onnxruntime`. Raises `ModuleNotFoundError`.

    Since 1.29 it sends events about models to its maker by default (its Privacy.md). Here it does not, unless
    `ORT_DISABLE_TELEMETRY` is set already, to 0 for instance, or the program has loaded it before.
    """
    os.environ.setdefault(TELEMETRY, "1")
    import onnxruntime

    return onnxruntime
