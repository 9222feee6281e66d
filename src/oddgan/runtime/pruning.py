"""The part of an ONNX graph that a `Scorer` computes.

A graph ends in nodes that make the verdict for programs in other languages. ONNX Runtime computes all nodes, whatever
outputs are asked for, so a `Scorer`, which makes the verdict itself, leaves those out before a session is made of the
graph. They are known by their names. Protocol buffers are read as far as that takes.
"""

from collections.abc import Iterator

PREFIX = "verdict/"
"""How nodes and constants of the verdict are called."""

VERDICT = ("score", "p_value", "is_anomaly", "anomaly_map")
"""Outputs of the verdict."""

_GRAPH = 7  # of a model: the field that has the graph
_NODE, _CONSTANT, _OUTPUT, _VALUE = 1, 5, 12, 13  # of a graph
_NAMES = {_NODE: 3, _CONSTANT: 8, _OUTPUT: 1, _VALUE: 1}  # the field of each that has its name


def without_verdict(model: bytes) -> bytes:
    """The same model (`onnx.ModelProto`) without the nodes, constants and outputs of the verdict. Raises `ValueError`
    for bytes that are no model."""
    if PREFIX.encode() not in model:
        return model
    whole = memoryview(model)
    made: list[bytes | memoryview] = []
    for number, start, inside, end in _fields(whole):
        if number == _GRAPH:
            kept = list(_kept(whole[inside:end]))
            made += [bytes([_GRAPH << 3 | 2]), _number(sum(map(len, kept))), *kept]
        else:
            made.append(whole[start:end])
    return b"".join(made)


def _kept(graph: memoryview) -> Iterator[memoryview]:
    """The fields of a graph that stay."""
    for number, start, inside, end in _fields(graph):
        name = b""
        if number in _NAMES:
            for field, _, left, right in _fields(graph[inside:end]):
                if field == _NAMES[number]:
                    name = bytes(graph[inside:end][left:right])
                    break
        if not name.startswith(PREFIX.encode()) and not (number == _OUTPUT and name.decode() in VERDICT):
            yield graph[start:end]


def _fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Of each field: its number, where it starts, where what it holds starts, and where it ends."""
    place = 0
    while place < len(data):
        start = place
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            inside = place
            _, end = _varint(data, place)
        elif kind == 2:
            length, inside = _varint(data, place)
            end = inside + length
        elif kind in (1, 5):
            inside = place
            end = place + (8 if kind == 1 else 4)
        else:
            raise ValueError("no protocol buffer")
        if end > len(data):
            raise ValueError("a protocol buffer that ends too early")
        yield key >> 3, start, inside, end
        place = end


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A whole number, and where it ends."""
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("a protocol buffer that ends too early")


def _number(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
