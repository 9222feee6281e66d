"""The Open Inference Protocol v2: what a model takes and gives, requests read and responses written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..rows.tables import listed
from . import rows, tensors
from .bodies import number, parsed
from .limits import Account, Limits, Refusal, in_time
from .models import Results, Served
from .tensors import Tensor

LENGTH = "inference-header-content-length"
PICTURES = "x"
"""The input of a model of pictures; also that of a table whose columns are numbers, all in one."""

OUTPUTS = {"score": "FP64", "p_value": "FP64", "is_anomaly": "BOOL", "anomaly_map": "FP32", "shares": "FP32"}
USUAL = ("score", "p_value", "is_anomaly")
"""The outputs that are given when none is asked for: the others take longer."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A request: `rows` as the model takes them, n of them, and which outputs, each as binary data or not."""

    id: str | None
    rows: Any
    n: int
    outputs: tuple[tuple[str, bool], ...]

    @property
    def explained(self) -> bool:
        """Whether more is asked for than scores and verdicts."""
        return any(name not in USUAL for name, _ in self.outputs)


def metadata(model: Served, versions: Sequence[int]) -> dict[str, Any]:
    """What a model takes and gives."""
    like = model.like
    if model.pictures:
        channels = -1 if like.convert or like.native_channels is None else like.native_channels
        height, width = (-1, -1) if like.convert or like.native_size is None else like.native_size
        datatype = "UINT8" if like.dtype == "uint8" else "FP32"
        inputs = [{"name": PICTURES, "datatype": datatype, "shape": [-1, height, width, channels]}]
        more = ("anomaly_map", [-1, -1, -1])
    else:
        kinds = {"number": "FP64", "category": "BYTES", "boolean": "BOOL"}
        columns = zip(like.names, like.kinds, strict=True)
        inputs = [{"name": name, "datatype": kinds[kind], "shape": [-1]} for name, kind in columns]
        more = ("shares", [-1, len(like.names)])
    outputs = [{"name": name, "datatype": OUTPUTS[name], "shape": [-1]} for name in USUAL]
    if model.locates:
        outputs.append({"name": more[0], "datatype": OUTPUTS[more[0]], "shape": more[1]})
    return {
        "name": model.name,
        "versions": [str(version) for version in versions],
        "platform": model.platform,
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {**model.facts(), "version": str(model.version)},
    }


def read(body: bytes, length: str | None, model: Served, limits: Limits, account: Account, until: float) -> Asked:
    """A request from its body; `length`: of its JSON, where tensors follow it as binary data; `until`
    (`time.monotonic`) it is to be answered. Raises `Refusal`."""
    if length is None:
        head, rest = body, memoryview(b"")
    else:
        end = number(length)
        if end is None or end > len(body):
            raise Refusal(400, f"{LENGTH} is {length!r:.40}, and the body has {len(body):,} bytes")
        head, rest = body[:end], memoryview(body)[end:]
    request = parsed(head, limits, account)
    if not isinstance(request, dict):
        raise Refusal(400, "the request is not an object")
    name, parameters = request.get("id"), request.get("parameters", {})
    if name is not None and not isinstance(name, str):
        raise Refusal(400, f"id {name!r:.40} is not text")
    if not isinstance(parameters, dict):
        raise Refusal(400, "parameters are not an object")
    outputs = _outputs(request.get("outputs"), bool(parameters.get("binary_data_output", False)), model)
    declared = request.get("inputs")
    if not isinstance(declared, list) or not declared:
        raise Refusal(400, "there are no inputs; give a list of them")
    if len(declared) > (1 if model.pictures else len(model.like.names) + 1):
        raise Refusal(400, f"there are {len(declared):,} inputs, more than the model takes: {_known(model)}")
    found: dict[str, Tensor] = {}
    for one in declared:
        tensor, rest = tensors.read(one, rest)
        if tensor.name in found:
            raise Refusal(400, f"input {tensor.name!r:.80} is there twice")
        found[tensor.name] = tensor
    if len(rest):
        raise Refusal(400, f"{len(rest):,} bytes are left after the last input")
    taken = _pictures(found, model, limits, account, until) if model.pictures else _table(found, model)
    return Asked(name, taken, len(taken), outputs)


def _outputs(asked: Any, binary: bool, model: Served) -> tuple[tuple[str, bool], ...]:
    if not asked:
        if asked is not None and asked != []:
            raise Refusal(400, "outputs are not a list")
        return tuple((name, binary) for name in USUAL)
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise Refusal(400, "outputs are not a list of objects")
    given = [*USUAL, *(["anomaly_map" if model.pictures else "shares"] if model.locates else [])]
    found = []
    for one in asked:
        name, parameters = one.get("name"), one.get("parameters", {})
        if name not in given:
            raise Refusal(400, f"there is no output {name!r:.80}; the model gives {', '.join(given)}")
        if not isinstance(parameters, dict) or {"classification", tensors.SHARED} & parameters.keys():
            raise Refusal(400, f"output {name} has parameters that are not known; binary_data is")
        found.append((name, bool(parameters.get("binary_data", binary))))
    if len(dict(found)) < len(found):
        raise Refusal(400, "an output is asked for twice")
    return tuple(found)


def _known(model: Served) -> str:
    if model.pictures:
        return f"{PICTURES}, pictures [n, height, width, channels], or BYTES [n] of encoded ones"
    return f"one input a column: {listed(model.like.names)}"


def _pictures(
    found: dict[str, Tensor], model: Served, limits: Limits, account: Account, until: float
) -> list[np.ndarray]:
    tensor = found.get(PICTURES)
    if tensor is None:
        raise Refusal(400, f"there is no input {PICTURES!r}; the model takes {_known(model)}")
    if tensor.datatype == "BYTES":
        if len(tensor.shape) != 1 and tensor.shape[1:] != (1,):
            raise Refusal(400, f"input x of BYTES has shape {list(tensor.shape)}; encoded pictures are [n]")
        files = tensors.pictures_of(tensor)
        _some(files)
        taken = []
        for i, data in enumerate(files):
            in_time(limits, until)
            taken.append(rows.decoded(data, f"picture {i}", model, limits, account))
        return taken
    right = "UINT8" if model.like.dtype == "uint8" else "FP32"
    if right == "UINT8" and tensor.datatype != right:
        raise Refusal(400, f"input x is {tensor.datatype}; the model takes UINT8 pictures, as it was trained on")
    if right == "FP32" and tensor.datatype not in ("FP16", "FP32", "FP64", "UINT16", "INT16", "UINT32", "INT32"):
        raise Refusal(400, f"input x is {tensor.datatype}; the model takes FP32 pictures, as it was trained on")
    return rows.of_array(tensor.data, model, account)


def _some(values: Any) -> None:
    if not len(values):
        raise Refusal(400, "the inputs have no rows; give at least one")


def _table(found: dict[str, Tensor], model: Served) -> Any:
    names = model.like.names
    if set(found) == {PICTURES} and names != (PICTURES,):
        tensor = found[PICTURES]
        if tensor.datatype in ("BYTES", "BOOL"):
            raise Refusal(400, f"input {PICTURES} is {tensor.datatype}; the model takes {_known(model)}, or numbers")
        _some(tensor.data)
        return rows.of_matrix(tensor.data, model)
    columns: dict[str, Any] = {}
    for name, tensor in found.items():
        if len(tensor.shape) != 1 and tensor.shape[1:] != (1,):
            raise Refusal(400, f"input {name!r:.80} has shape {list(tensor.shape)}; a column is [n] or [n, 1]")
        columns[name] = tensor.data if tensor.datatype == "BYTES" else tensor.data.reshape(-1)
        _some(columns[name])
    return rows.of_columns(columns, model)


def response(asked: Asked, results: Results, model: Served) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON where binary data follows it, else None. Raises `Refusal`
    where maps that differ in size are asked for in one tensor."""
    about, contents = [], []
    for name, binary in asked.outputs:
        one, content = tensors.written(name, OUTPUTS[name], _values(name, asked, results), binary)
        about.append(one)
        contents.append(content)
    head: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version), "outputs": about}
    if asked.id is not None:
        head["id"] = asked.id
    text = json.dumps(head, allow_nan=False, separators=(",", ":")).encode()
    mixed = any(binary for _, binary in asked.outputs)
    return text + b"".join(contents), len(text) if mixed else None


def _values(name: str, asked: Asked, results: Results) -> np.ndarray:
    if name in USUAL:
        return np.asarray(getattr(results, name))
    if name == "shares":
        return np.asarray(results.shares)
    maps = [np.asarray(results.map(i)) for i in range(asked.n)]
    if len({one.shape for one in maps}) > 1:
        raise Refusal(400, "these pictures differ in size, so their maps are no tensor; ask for maps one by one")
    return np.stack(maps)
