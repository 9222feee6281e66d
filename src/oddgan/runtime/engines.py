"""What computes a graph on the CPU: ONNX Runtime or OpenVINO. Each takes rows as an array and gives outputs by name."""

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np

from ..errors import ArtifactError, DataError, MissingExtra
from ..model.archive import line
from ..onnx_runtime import onnxruntime
from .pruning import VERDICT, without_verdict

ELSEWHERE = b"location"  # the key by which an ONNX graph names another file for its weights


class CannotCompute(DataError):
    """The runtime does not compute the graph of these rows."""


class Engine(Protocol):
    """A graph that is ready to run. Several threads may use it."""

    outputs: tuple[str, ...]

    def run(self, x: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The outputs with these names of rows x (b, ...). Raises `CannotCompute`."""


class OnnxEngine:
    """ONNX Runtime. `threads`: None, as many as there are processors. `whole`: with the verdict inside the graph, as
    programs in other languages run it; it takes time, whatever outputs are asked for."""

    def __init__(self, graph: bytes, threads: int | None = None, *, whole: bool = False) -> None:
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
            graph = graph if whole else without_verdict(graph)
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


@cache
def _openvino_core() -> Any:
    import openvino

    return openvino.Core()


_making_core = threading.Lock()  # `cache` lets two threads make two


def openvino_core() -> Any:
    """OpenVINO's core, the same for all graphs and until the process ends. Raises `ImportError`.

    A core gives the thread that first compiles a graph a signal stack of its own, which ends with the core; of several
    cores, in whatever order they end, one may leave the stack of another behind, and the next Ctrl-C, for whose handler
    Python takes the signal stack, is a segmentation fault.
    """
    with _making_core:
        return _openvino_core()


class OpenVinoEngine:
    """OpenVINO, held to float32: left to itself it takes bfloat16 where the processor has it, which moves scores past a
    threshold. `threads`, `whole`: as for `OnnxEngine`."""

    def __init__(self, graph: Sequence[bytes], threads: int | None = None, *, whole: bool = False) -> None:
        try:
            core = openvino_core()
        except ImportError as error:
            raise MissingExtra("openvino", "openvino", "a model that was exported to OpenVINO") from error
        if not graph[0].lstrip().startswith(b"<"):  # it reads ONNX as well, whose weights may be in any other file
            raise ArtifactError("the graph is not OpenVINO's own, which is XML")
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            read = core.read_model(*graph)
            for result in [] if whole else read.get_results():
                if result.get_output_tensor(0).get_names() & set(VERDICT):
                    read.remove_result(result)
            self.compiled = core.compile_model(read, "CPU", settings)
        except Exception as error:
            raise ArtifactError(f"OpenVINO cannot load the graph ({line(error)})") from error
        # Compiled, an output may have the name of what makes it; their order is the same.
        self.outputs = tuple(one.get_any_name() for one in read.outputs)
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
        return {name: np.array(request.get_output_tensor(self.outputs.index(name)).data) for name in names}


def engine_of(runtime: str, graph: Sequence[bytes], threads: int | None = None, *, whole: bool = False) -> Engine:
    """The engine for an export's graph; `whole`: with the verdict inside it. Raises `MissingExtra` and
    `ArtifactError`."""
    if runtime == "onnx":
        return OnnxEngine(graph[0], threads, whole=whole)
    return OpenVinoEngine(graph, threads, whole=whole)
