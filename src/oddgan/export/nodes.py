"""Writing an ONNX graph by hand: nodes one by one, constants where they are used."""

from typing import Any

import numpy as np

from ..runtime.pruning import PREFIX

Value = Any
"""The name of a value in the graph, or an array, which becomes a constant."""


class Nodes:
    """Nodes that are appended to `graph` (`onnx.GraphProto`); what they are called begins with `PREFIX`."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self._count = 0

    def __call__(self, kind: str, *inputs: Value, out: str = "", **attributes: Any) -> str:
        """The output of a node of that kind, called `out` where that is given."""
        return self.several(kind, *inputs, out=(out,), **attributes)[0]

    def several(self, kind: str, *inputs: Value, out: tuple[str, ...] = ("", ""), **attributes: Any) -> list[str]:
        """The outputs of a node, as many as `out` has names."""
        from onnx import helper

        self._count += 1
        name = f"{PREFIX}{kind}_{self._count}"
        given = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        made = [one or f"{name}_{i}" for i, one in enumerate(out)]
        self.graph.node.append(helper.make_node(kind, given, made, name=name, **attributes))
        return made

    def constant(self, value: Any, name: str = "") -> str:
        """A constant."""
        from onnx import numpy_helper

        self._count += 1
        made = f"{PREFIX}{name or f'constant_{self._count}'}"
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), made))
        return made

    def scalar(self, value: Any) -> str:
        """A constant without sides; the type of `value` is kept."""
        from onnx import numpy_helper

        made = self.constant(np.zeros(1))
        self.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.array(value), made))
        return made

    def cast(self, value: Value, dtype: Any) -> str:
        """The value as that NumPy type."""
        from onnx import helper

        return self("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def axes(self, *places: int) -> np.ndarray:
        """Places of axes, as nodes take them."""
        return np.array(places, np.int64)
