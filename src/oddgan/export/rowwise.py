"""Sums over a row that do not depend on where the row stands in its batch.

ONNX Runtime adds up the numbers of a row in an order that follows from the row's address in memory: rows of 5 numbers
begin anywhere within 16 bytes, and the last bit of their sums follows from their number in the batch. Rows of a
multiple of 16 numbers all begin alike, so shorter ones are filled up with zeros before they are summed.
"""

from typing import Any

import numpy as np

ALIGNED = 16  # numbers
SUMS = {"ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2"}


def aligned(graph: Any) -> Any:
    """The graph in which rows are filled up before their numbers are summed."""
    import onnx
    from onnx import helper, numpy_helper

    inferred = onnx.shape_inference.infer_shapes(graph)
    shapes = {
        value.name: [side.dim_value or None for side in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.input)
    }
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    constants = {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer}
    nodes: list[Any] = []
    for node in graph.graph.node:
        shape = shapes.get(node.input[0]) if node.op_type in SUMS else None
        along = constants.get(node.input[1]) if len(node.input) > 1 else None
        if shape is None or along is None or len(shape) != 2 or along.tolist() not in ([1], [-1]):
            nodes.append(node)
            continue
        length, name = shape[1], node.input[0]
        if length is None or length % ALIGNED == 0 or name not in types:
            nodes.append(node)
            continue
        pads = numpy_helper.from_array(np.array([0, 0, 0, -length % ALIGNED], np.int64), f"{node.name}_pads")
        graph.graph.initializer.append(pads)
        filled = f"{node.name}_filled"
        nodes.append(helper.make_node("Pad", [name, pads.name], [filled], name=f"{node.name}_pad", mode="constant"))
        node.input[0] = filled
        nodes.append(node)
        if node.op_type == "ReduceMean":
            node.op_type = "ReduceSum"
            dtype = helper.tensor_dtype_to_np_dtype(types[name])
            count = numpy_helper.from_array(np.array(length, dtype), f"{node.name}_count")
            graph.graph.initializer.append(count)
            mean, node.output[0] = node.output[0], f"{node.name}_sum"
            nodes.append(helper.make_node("Div", [node.output[0], count.name], [mean], name=f"{node.name}_mean"))
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    return graph
