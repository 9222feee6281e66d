"""Networks in ONNX files, whose node outputs are feature maps of pictures.

    a file --the nodes that the layers need--> a graph with its weights, for pictures of one size --> onnxruntime

A graph is kept as bytes in the model file, so it may be forged: it is examined before onnxruntime gets it, whether a
user's file or a model file holds it. Taken are common operators alone, without branches, loops, random numbers and
weights in other files, and only graphs in which the size of every value is known beforehand and in proportion to the
picture.
"""

import difflib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, MissingExtra, ParameterError
from ..onnx_runtime import onnxruntime

SUFFIX = ".onnx"
OPERATORS = {
    *("Conv", "ConvTranspose", "MatMul", "Gemm"),
    *("BatchNormalization", "InstanceNormalization", "LayerNormalization"),
    *("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"),
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Clip", "Tanh", "Erf", "Gelu", "Mish"),
    *("Sigmoid", "HardSigmoid", "HardSwish", "Softplus", "Softsign", "Softmax"),
    *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sqrt", "Exp", "Log", "Neg", "Abs", "Reciprocal"),
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"),
    *("Concat", "Split", "Slice", "Gather", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand"),
    *("Pad", "Resize", "DepthToSpace", "SpaceToDepth", "Identity", "Constant", "Cast"),
}
"""Of ONNX's own operators, those that backbones are made of. None is random, and each was tried with wrong attributes
and inputs, which for others can end the process."""
POSITIVE = {"strides", "dilations", "kernel_shape", "group", "blocksize"}
PIXELS = {*POSITIVE, "pads", "output_padding", "output_shape"}
MOST_PIXELS = 2**20
PER_PIXEL = 2**14  # numbers that all values of a graph may hold for each pixel; a large transformer has some thousands
SPARE = 4  # and for each number of the weights
SMALL_TENSOR = 64  # numbers up to which a tensor may be a shape
CLOSE = 5  # names that are listed where one is unknown
IR_VERSION = 8  # at least: before 4, weights had to be inputs as well


def is_onnx(path: str | None) -> bool:
    """Whether the file's name says that it is an ONNX file."""
    return path is not None and Path(path).suffix.lower() == SUFFIX


def check_installed() -> None:
    """Raise `MissingExtra` where what reads or computes ONNX graphs is not installed."""
    for package in ("onnx", "onnxruntime"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra(package, "onnx", "a backbone in an ONNX file") from error


# --- a user's file ----------------------------------------------------------------------------------------------------


def part_of(path: str, layers: Sequence[str], shape: tuple[int, ...]) -> Any:
    """The part of the network in the file that gives these layers, node outputs, for pictures of this shape
    (1, C, H, W), with its weights. Raises `ParameterError` where the file, its layers or its pictures are not those
    that are asked for, and `DataError` where it cannot be read."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise ParameterError(f"backbone={path}: there is no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        model = parsed(data)
    except DataError as error:
        raise DataError(f"{path}: damaged or not an ONNX file ({error}); export it anew") from error
    model = _selected(model, layers, shape, path)
    _complete(model, path)
    return model


def parsed(data: bytes) -> Any:
    """The network that these bytes describe. Raises `DataError`."""
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # whatever protobuf raises
        raise DataError(line(error)) from error
    if not model.graph.node:
        raise DataError("it has no nodes")  # protobuf reads much that is none of its messages, and finds nothing there
    owners = (*model.graph.input, *model.graph.output, *model.graph.node, *_tensors(model))
    names = [one.name for one in owners]
    for node in model.graph.node:
        names += [node.op_type, node.domain, *node.input, *node.output, *(one.name for one in node.attribute)]
    if not all(isinstance(name, str) for name in names):
        raise DataError("it has names that are no text")  # which protobuf gives as bytes
    return model


def _selected(model: Any, layers: Sequence[str], shape: tuple[int, ...], path: str) -> Any:
    """The network without what the layers do not need and without notes, for pictures of this shape (1, C, H, W)."""
    import onnx
    from onnx import TensorProto, helper

    graph = model.graph
    names = [name for node in graph.node for name in node.output if name]
    for layer in layers:
        if layer not in names:
            raise ParameterError(
                f"layers={layer}: the file has no such node output; close to it are {', '.join(_close(layer, names))}"
            )
    nodes, needed = [], set(layers)
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    weights = [one for one in graph.initializer if one.name in needed]
    known = {one.name for one in weights}
    inputs = [one for one in graph.input if one.name in needed and one.name not in known]
    if len(inputs) != 1:
        raise ParameterError(
            f"backbone={path}: expected a network with one input, the picture; the layers need "
            f"{', '.join(one.name for one in inputs) or 'none'}"
        )
    _check_input(inputs[0], shape, path)
    made = helper.make_graph(
        nodes[::-1],
        "features",
        [helper.make_tensor_value_info(inputs[0].name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in layers],
        weights,
    )
    for note in (*made.node, *made.initializer):  # exporters write paths of the user's files there
        note.ClearField("doc_string")
        note.ClearField("metadata_props")
    used = {node.domain for node in made.node}
    opsets = [one for one in model.opset_import if one.domain in used]
    result = onnx.ModelProto(ir_version=max(model.ir_version, IR_VERSION), graph=made, opset_import=opsets)
    result.functions.extend(one for one in model.functions if one.domain in used)
    return result


def _check_input(value: Any, shape: tuple[int, ...], path: str) -> None:
    """Raise `ParameterError` where the network's input is not pictures of this shape (1, C, H, W)."""
    from onnx import TensorProto

    kind = value.type.tensor_type
    sides = [one.dim_value for one in kind.shape.dim]  # 0: any
    said = "x".join(str(side or "any") for side in sides) or "unknown"
    if len(sides) != len(shape) or sides[1] not in (0, shape[1]) or kind.elem_type != TensorProto.FLOAT:
        given = TensorProto.DataType.Name(kind.elem_type).lower()
        raise ParameterError(
            f"backbone={path}: takes {given} of shape {said}, and pictures are float of shape 1x{shape[1]}xheightxwidth"
        )
    if sides[0] > 1:
        raise ParameterError(f"backbone={path}: takes {sides[0]} pictures at once; export it for one")
    height, width = (own or side for own, side in zip(sides[2:], shape[2:], strict=True))
    if (height, width) != shape[2:]:
        size = str(height) if height == width else f"{height},{width}"
        raise ParameterError(
            f"backbone={path}: takes pictures of {height}x{width} (height x width), and these have "
            f"{shape[2]}x{shape[3]}; set size={size}, or export it for any size"
        )


def _close(name: str, names: Sequence[str]) -> list[str]:
    """Those of the names that this one may be meant to be, at most `CLOSE`; the last ones where none is close."""
    within = [one for one in names if name in one][-CLOSE:]
    return within or difflib.get_close_matches(name, names, CLOSE) or list(names[-CLOSE:])


def _complete(model: Any, path: str) -> None:
    """Read weights that are in a file beside this one into the network. Raises `DataError` where they are not there."""
    from onnx.external_data_helper import load_external_data_for_tensor

    for tensor in _tensors(model):
        if _is_elsewhere(tensor):
            where = next((one.value for one in tensor.external_data if one.key == "location"), "?")
            try:
                load_external_data_for_tensor(tensor, str(Path(path).parent))
            except Exception as error:  # no such file, one that is too short, or one outside the folder
                raise DataError(
                    f"{path}: its weights are in a second file, {where}, which is not in the same folder or cannot be "
                    f"read ({line(error)}); copy both files"
                ) from error
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")


# --- any graph --------------------------------------------------------------------------------------------------------


def examine(model: Any, layers: Sequence[str], shape: tuple[int, ...]) -> None:
    """Raise `DataError` for a graph that may not be computed, or gives other layers than maps of these names."""
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer or graph.quantization_annotation:
        raise DataError("the ONNX network holds functions of its own or sparse weights; export it without")
    for node in graph.node:
        _check_node(node)
    numbers = sum(_count(tensor) for tensor in _tensors(model))
    if [one.name for one in graph.output] != list(layers):
        raise DataError("the ONNX graph gives other layers than those that are asked for")
    if [_sizes(one) for one in graph.input] != [shape]:
        raise DataError(f"the ONNX graph is not for pictures of {shape[2]}x{shape[3]}")
    sizes = _inferred(model)
    held = sum(math.prod(sides) for sides in sizes.values())
    if held > PER_PIXEL * shape[2] * shape[3] + SPARE * numbers:
        raise DataError(f"the ONNX network would hold {held} numbers for a picture of {shape[2]}x{shape[3]}")
    for name in layers:
        if len(sizes[name]) != len(shape) or sizes[name][0] != 1 or 0 in sizes[name]:
            raise DataError(
                f"{name} is of shape {'x'.join(map(str, sizes[name]))}, and maps of 1 x channels x height x width are "
                "expected; choose another layer, or larger pictures"
            )


def _check_node(node: Any) -> None:
    """Raise `DataError` for an operator that is not one of `OPERATORS`, or has sizes that none has."""
    what = f"{node.op_type} ({node.name or ', '.join(node.output)})"
    if node.domain or node.op_type not in OPERATORS:
        kind = f"of the domain {node.domain}" if node.domain else "not among those that backbones are made of"
        raise DataError(
            f"the operator {what} is {kind}, which is not taken; export the network without it: in evaluation mode and "
            "for pictures of one size"
        )
    for one in node.attribute:
        if one.type not in (one.FLOAT, one.INT, one.STRING, one.TENSOR, one.FLOATS, one.INTS, one.STRINGS):
            raise DataError(f"the operator {what} holds more than numbers in {one.name}; export the network without it")
        numbers = list(one.ints) if one.type == one.INTS else [one.i]
        least = 1 if one.name in POSITIVE else -MOST_PIXELS
        if (one.name in PIXELS and not all(least <= number <= MOST_PIXELS for number in numbers)) or (
            one.name == "num_outputs" and one.i != len(node.output)
        ):
            raise DataError(f"the operator {what} has {one.name}={','.join(map(str, numbers[:4]))}")


def _count(tensor: Any) -> int:
    """How many numbers the tensor holds. Raises `DataError` where it does not, or where they are not finite."""
    from onnx import numpy_helper

    if _is_elsewhere(tensor):
        raise DataError(f"the weights {tensor.name} are in another file")
    try:
        values = numpy_helper.to_array(tensor)
    except Exception as error:  # of damage of any kind
        raise DataError(f"the weights {tensor.name} are damaged ({line(error)})") from error
    if values.dtype.kind == "O" or (0 in values.shape and values.ndim > 1):
        raise DataError(f"the weights {tensor.name} are not numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"the weights {tensor.name} hold values that are not finite")
    return values.size


def _inferred(model: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each node output. Raises `DataError` where it does not follow from the shapes of the inputs.

    The weights are only declared: they are large, would be copied several times, and no shape depends on them."""
    import onnx
    from onnx import helper

    graph = model.graph
    shapes = [one for one in graph.initializer if math.prod(one.dims) <= SMALL_TENSOR]
    others = [one for one in graph.initializer if math.prod(one.dims) > SMALL_TENSOR]
    declared = [helper.make_tensor_value_info(one.name, one.data_type, list(one.dims)) for one in others]
    outputs = [helper.make_tensor_value_info(one.name, onnx.TensorProto.FLOAT, [None] * 4) for one in graph.output]
    outline = helper.make_graph(graph.node, "outline", [*graph.input, *declared], outputs, shapes)
    reduced = onnx.ModelProto(ir_version=model.ir_version, graph=outline, opset_import=model.opset_import)
    try:
        onnx.checker.check_model(reduced)  # it wants shapes of the outputs, which are to be found
        for one in reduced.graph.output:
            one.type.tensor_type.ClearField("shape")
        found = onnx.shape_inference.infer_shapes(reduced, check_type=True, strict_mode=True).graph
    except Exception as error:  # both have errors of their own kinds
        raise DataError(f"the ONNX graph is not consistent ({line(error)})") from error
    known = {one.name: _sizes(one) for one in (*found.value_info, *found.output)}
    sizes = {}
    for name in (name for node in graph.node for name in node.output if name):
        sizes[name] = known.get(name, ())
        if name not in known or any(side < 0 for side in sizes[name]):
            raise DataError(f"the size of {name} depends on other values; export the network for pictures of one size")
    return sizes


def _sizes(value: Any) -> tuple[int, ...]:
    """The sides of a value; -1 for one that is not known, and (-1,) where it is not known how many there are."""
    if not value.type.tensor_type.HasField("shape"):
        return (-1,)
    return tuple(one.dim_value if one.HasField("dim_value") else -1 for one in value.type.tensor_type.shape.dim)


def _tensors(model: Any) -> Iterator[Any]:
    """The weights and the constants."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for one in node.attribute:
            if one.HasField("t"):
                yield one.t


def _is_elsewhere(tensor: Any) -> bool:
    return bool(tensor.external_data) or tensor.data_location != tensor.DEFAULT


def session(data: bytes, threads: int) -> Any:
    """A session that computes this graph. Raises `DataError` where it has operators that onnxruntime lacks."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what it cannot do is raised
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # not to keep cores busy between pictures
    try:
        # Its fallback would print, and try the same again.
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # it has a class of errors for every kind, and no base class
        raise DataError(f"onnxruntime cannot compute the ONNX network ({line(error)})") from error


def line(error: Exception) -> str:
    """What an error says, in one line that is not too long."""
    return " ".join(str(error).split())[:200] or type(error).__name__
