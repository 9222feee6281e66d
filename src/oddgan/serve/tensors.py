"""Tensors of the Open Inference Protocol v2, as JSON and as binary data. Sizes are checked before memory is taken."""

import base64
import binascii
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .limits import Refusal

DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BYTES": object,
}
MOST_AXES = 8
MOST_VALUES = 2**48
SHARED = "shared_memory_region"


@dataclass(frozen=True, eq=False)
class Tensor:
    """`data`: an array of `shape`; of BYTES a flat list, of bytes, or of texts where it came as JSON."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any
    binary: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)


def read(declared: Any, rest: memoryview) -> tuple[Tensor, memoryview]:
    """An input as the request's JSON declares it, with its data there or at the start of `rest`; and what is left of
    `rest`. Raises `Refusal` that names the input."""
    if not isinstance(declared, dict) or not isinstance(declared.get("name"), str):
        raise Refusal(400, "an input is not an object with a name")
    name, datatype = declared["name"], declared.get("datatype")
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise Refusal(400, f"input {name!r:.80} has datatype {datatype!r:.40}; there are {', '.join(DTYPES)}")
    shape = _shape(declared.get("shape"), name)
    parameters = declared.get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal(400, f"parameters of input {name!r:.80} are not an object")
    if SHARED in parameters:
        raise Refusal(400, f"input {name!r:.80} is in shared memory, which this service does not read; send its data")
    size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in declared:
            raise Refusal(400, f"input {name!r:.80} has neither data nor binary_data_size")
        return Tensor(name, datatype, shape, _of_json(declared["data"], datatype, shape, name), False, parameters), rest
    if "data" in declared:
        raise Refusal(400, f"input {name!r:.80} has both data and binary_data_size; give one of them")
    if type(size) is not int or not 0 <= size <= len(rest):
        raise Refusal(
            400, f"input {name!r:.80} has binary_data_size {size!r:.40}, and {len(rest):,} bytes are left of the body"
        )
    data = _of_bytes(rest[:size], datatype, shape, name)
    return Tensor(name, datatype, shape, data, True, parameters), rest[size:]


def _shape(found: Any, name: str) -> tuple[int, ...]:
    whole = isinstance(found, list) and all(type(side) is int and side >= 0 for side in found)
    if not whole or not 1 <= len(found) <= MOST_AXES:
        raise Refusal(400, f"input {name!r:.80} has shape {found!r:.80}; a shape is a list of numbers, none below 0")
    if math.prod(max(1, side) for side in found) > MOST_VALUES:  # which NumPy refuses beside a 0, too
        raise Refusal(400, f"input {name!r:.80} has shape {found!r:.80}, which no body holds")
    return tuple(found)


def _of_bytes(data: memoryview, datatype: str, shape: tuple[int, ...], name: str) -> Any:
    count = math.prod(shape)
    if datatype == "BYTES":
        return _elements(data, count, name)
    dtype = np.dtype(DTYPES[datatype])
    if count * dtype.itemsize != len(data):
        raise Refusal(
            400,
            f"input {name!r:.80} of shape {list(shape)} and {datatype} takes {count * dtype.itemsize:,} bytes, and "
            f"there are {len(data):,}",
        )
    if datatype == "BOOL" and max(data, default=0) > 1:
        raise Refusal(400, f"input {name!r:.80} has a BOOL that is neither 0 nor 1")
    return np.frombuffer(data, dtype).reshape(shape)


def _elements(data: memoryview, count: int, name: str) -> list[bytes]:
    """BYTES: the length of each element in four bytes, then the element."""
    found: list[bytes] = []
    at = 0
    if 4 * count > len(data):
        raise Refusal(400, f"input {name!r:.80} has {len(data):,} bytes, too few for {count:,} elements")
    for _ in range(count):
        if at + 4 > len(data):
            raise Refusal(400, f"input {name!r:.80} ends before its element {len(found)}")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + length > len(data):
            raise Refusal(400, f"element {len(found)} of input {name!r:.80} is longer than what is left")
        found.append(bytes(data[at : at + length]))
        at += length
    if at != len(data):
        raise Refusal(400, f"input {name!r:.80} has {len(data) - at:,} bytes after its last element")
    return found


def _of_json(data: Any, datatype: str, shape: tuple[int, ...], name: str) -> Any:
    flat = _flat(data, name)
    if len(flat) != math.prod(shape):
        raise Refusal(
            400,
            f"input {name!r:.80} of shape {list(shape)} takes {math.prod(shape):,} values, and there are {len(flat):,}",
        )
    if datatype == "BYTES":
        if not all(isinstance(one, str) or one is None for one in flat):
            raise Refusal(400, f"input {name!r:.80} is of BYTES, and its data is not a list of texts")
        return flat
    kinds: Any = {"B": bool, "U": int, "I": int, "F": int | float}[datatype[0]]
    number = datatype != "BOOL"
    for i, one in enumerate(flat):
        missing = one is None and datatype[0] == "F"  # null: a missing value
        if not missing and (not isinstance(one, kinds) or (number and isinstance(one, bool))):
            raise Refusal(400, f"value {i} of input {name!r:.80} is {one!r:.40}, which is no {datatype}")
    dtype = np.dtype(DTYPES[datatype])
    try:
        wide: Any = np.float64 if datatype[0] == "F" else dtype
        found = np.array([math.nan if one is None else one for one in flat], wide)
        if datatype in ("FP16", "FP32"):
            with np.errstate(over="ignore"):
                found = found.astype(dtype)
    except (OverflowError, ValueError):
        raise Refusal(400, f"input {name!r:.80} has a value beyond the range of {datatype}") from None
    return found.reshape(shape)


def _flat(data: Any, name: str) -> list[Any]:
    """Values as a flat list, however they are nested."""
    if not isinstance(data, list):
        raise Refusal(400, f"data of input {name!r:.80} is not a list")
    values: list[Any] = data
    for _ in range(MOST_AXES):
        if not any(isinstance(one, list) for one in values):
            return values
        if not all(isinstance(one, list) for one in values):
            break
        values = [value for one in values for value in one]
    raise Refusal(400, f"data of input {name!r:.80} is nested unevenly")


def pictures_of(tensor: Tensor) -> list[bytes]:
    """The files of encoded pictures in a tensor of BYTES; in JSON, and where `content_type` says so, in base64. Raises
    `Refusal`."""
    encoded = not tensor.binary or str(tensor.parameters.get("content_type", "")).lower() == "base64"
    if not encoded:
        return list(tensor.data)
    found = []
    for i, one in enumerate(tensor.data):
        text = one.decode("ascii", "replace") if isinstance(one, bytes) else one or ""
        if text.startswith("data:"):
            text = text.partition(",")[2]
        try:
            found.append(base64.b64decode("".join(text.split()), validate=True))
        except (binascii.Error, ValueError):
            raise Refusal(400, f"picture {i} is not base64; send the file's bytes so, or as binary data") from None
    return found


def written(name: str, datatype: str, data: np.ndarray, binary: bool) -> tuple[dict[str, Any], bytes]:
    """An output as the response's JSON has it, and its binary data, where it is not in the JSON."""
    about: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(data.shape)}
    raw = np.ascontiguousarray(data, DTYPES[datatype])
    if binary:
        content = raw.tobytes()
        return {**about, "parameters": {"binary_data_size": len(content)}}, content
    values: Sequence[Any] = raw.reshape(-1).tolist()
    if datatype[0] == "F":
        values = [value if math.isfinite(value) else None for value in values]
    return {**about, "data": values}, b""
