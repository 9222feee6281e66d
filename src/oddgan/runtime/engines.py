"""What computes a graph on the CPU: ONNX Runtime or OpenVINO. Each takes rows as an array and gives outputs by name."""

import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import ArtifactError, DataError, MissingExtra
from ..model.archive import line
from ..onnx_runtime import onnxruntime

ELSEWHERE = b"location"  # the key by which an ONNX graph names another file for its weights


class CannotCompute(DataError):
    """The runtime does not compute the graph of these rows."""


class Engine(Protocol):
    """A graph that is ready to run. Several threads may use it."""

    outputs: tuple[str, ...]

    def run(self, x: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The outputs with these names of rows x (b, ...). Raises `CannotCompute`."""


class OnnxEngine:
    """ONNX Runtime. `threads`: None, as many as there are processors."""

    def __init__(self, graph: bytes, threads: int | None = None) -> None:
        try:
            runtime = onnxruntime()
        except ImportError as error:
            raise MissingExtra("onnxruntime", "onnx", "a model that was exported to ONNX") from error
        if ELSEWHERE in graph:
            raise ArtifactError("the graph wants weights of another file, which no export does")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of errors for every kind, and no base class
            raise ArtifactError(f"onnxruntime cannot load the graph ({line(error)})") from error
        self.input = self.session.get_inputs()[0].name
        self.outputs = tuple(one.name for one in self.session.get_outputs())

    def run(self, x: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """As `Engine` has it."""
        try:
            found = self.session.run(list(names), {self.input: x})
        except Exception as error:
            raise CannotCompute(f"onnxruntime cannot compute these rows ({line(error)})") from error
        return dict(zip(names, found, strict=True))


class OpenVinoEngine:
    """OpenVINO, held to float32: left to itself it takes bfloat16 where the processor has it, which moves scores past a
    threshold. `threads`: None, as many as there are processors."""

    def __init__(self, graph: Sequence[bytes], threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtra("openvino", "openvino", "a model that was exported to OpenVINO") from error
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            self.compiled = core.compile_model(core.read_model(*graph), "CPU", settings)
        except Exception as error:
            raise ArtifactError(f"OpenVINO cannot load the graph ({line(error)})") from error
        self.outputs = tuple(one.get_any_name() for one in self.compiled.outputs)
        self._own = threading.local()

    def run(self, x: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """As `Engine` has it."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self.compiled.create_infer_request()
        try:
            request.infer([x], share_inputs=True)
        except Exception as error:
            raise CannotCompute(f"OpenVINO cannot compute these rows ({line(error)})") from error
        return {name: np.array(request.get_tensor(name).data) for name in names}


def engine_of(runtime: str, graph: Sequence[bytes], threads: int | None = None) -> Engine:
    """The engine for an export's graph. Raises `MissingExtra` and `ArtifactError`."""
    return OnnxEngine(graph[0], threads) if runtime == "onnx" else OpenVinoEngine(graph, threads)
