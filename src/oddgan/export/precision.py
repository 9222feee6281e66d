"""Graphs with smaller numbers.

float16: weights are stored in half precision and computed with in float32, in both runtimes: half the file, and scores
that follow weights rounded to 11 bits. int8: convolutions and matrix products of the networks compute with 8-bit whole
numbers, whose ranges come from training rows.
"""

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..onnx_runtime import onnxruntime

Precision = Literal["float32", "float16", "int8"]
LEAST = 64  # numbers of a weight from which on it is stored in half precision
QUANTISED = ["Conv", "MatMul", "Gemm"]
MOST_ROWS = 256  # training rows that show which ranges values have


def halved(graph: Any, keep: Collection[str]) -> Any:
    """The graph with its large float32 weights, but those in `keep`, stored as float16."""
    import onnx
    from onnx import numpy_helper

    casts, largest = [], float(np.finfo(np.float16).max)
    for tensor in graph.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name in keep:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < LEAST or np.abs(values).max() > largest:
            continue
        name = f"{tensor.name}_half"
        casts.append(onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    return graph


def quantised(graph: Any, rows: Iterator[np.ndarray], name: str, exclude: Collection[str]) -> Any:
    """The graph with 8-bit convolutions and matrix products but for the nodes in `exclude`. `rows`: training rows as
    the graph's input `name` takes them."""
    import onnx

    onnxruntime()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            x = next(rows, None)
            return None if x is None else {name: x}

    with tempfile.TemporaryDirectory() as folder:
        given, plain, small = (Path(folder) / f"{name}.onnx" for name in ("given", "plain", "int8"))
        onnx.save(graph, str(given))
        quant_pre_process(str(given), str(plain), skip_symbolic_shape=True)  # merges normalisation into convolutions
        quantize_static(
            str(plain),
            str(small),
            Rows(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[*exclude, *_turned(onnx.load(str(plain)))],
        )
        return onnx.load(str(small))


def _turned(graph: Any) -> list[str]:
    """The matrix products that share their weight with one that has it transposed: the quantiser has one scale for each
    of a weight's rows or columns, and takes that of the first product for all."""
    ways: dict[str, set[bool]] = {}
    products = [node for node in graph.graph.node if node.op_type in ("Gemm", "MatMul")]
    for node in products:
        ways.setdefault(node.input[1], set()).add(any(one.name == "transB" and one.i for one in node.attribute))
    return [node.name for node in products if len(ways[node.input[1]]) > 1]
