"""Ways to damage files and to forge them, each drawn with a seeded generator.

    for mutant in mutants(whole, n, seed): ...       # bytes, damaged somewhere
    for name, mutant in forged(whole, n, seed): ...  # a model file whose checksums are right and whose content is not

The same seed gives the same mutants.
"""

import copy
import hashlib
import io
import json
import signal
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import safetensors.numpy

Random = np.random.Generator


# --- any file -----------------------------------------------------------------------------------------------------


def flip_bits(data: bytes, random: Random) -> bytes:
    """One to eight bits, anywhere."""
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 9))):
        changed[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
    return bytes(changed)


def set_bytes(data: bytes, random: Random) -> bytes:
    """One to four bytes, to values that are often special."""
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        changed[int(random.integers(len(data)))] = int(random.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF, 10, 32]))
    return bytes(changed)


def set_number(data: bytes, random: Random) -> bytes:
    """A number of 2, 4 or 8 bytes, as sizes and offsets are, to an extreme."""
    form = "<>"[int(random.integers(2))] + "HIQ"[int(random.integers(3))]
    size = struct.calcsize(form)
    most = 256**size - 1
    value = [0, 1, most, most // 2, most // 2 + 1, len(data) % (most + 1)][int(random.integers(6))]
    at = int(random.integers(max(1, len(data) - size)))
    return data[:at] + struct.pack(form, value) + data[at + size :]


def truncate(data: bytes, random: Random) -> bytes:
    """The beginning alone, or the end alone."""
    at = int(random.integers(len(data)))
    return data[:at] if random.random() < 0.8 else data[at:]


def remove(data: bytes, random: Random) -> bytes:
    """A run is missing."""
    start, length = int(random.integers(len(data))), int(random.integers(1, 1 + max(1, len(data) // 8)))
    return data[:start] + data[start + length :]


def insert(data: bytes, random: Random) -> bytes:
    """A run of one byte, or of random bytes, in between."""
    at, length = int(random.integers(len(data) + 1)), int(random.integers(1, 200))
    run = bytes([int(random.integers(256))]) * length if random.random() < 0.5 else random.bytes(length)
    return data[:at] + run + data[at:]


def splice(data: bytes, random: Random) -> bytes:
    """A part of the file again, over another."""
    length = int(random.integers(1, 1 + max(1, len(data) // 4)))
    start, to = (int(random.integers(max(1, len(data) - length))) for _ in range(2))
    return data[:to] + data[start : start + length] + data[to + length :]


def swap(data: bytes, random: Random) -> bytes:
    """Two neighbouring parts in the other order."""
    a, b, c = np.sort(random.integers(0, len(data) + 1, 3)).tolist()
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def near_the_end(data: bytes, random: Random) -> bytes:
    """As `flip_bits`, `set_bytes` or `set_number`, in the last bytes, where archives have their index."""
    at = max(0, len(data) - 300)
    return data[:at] + _one_of(random, (flip_bits, set_bytes, set_number))(data[at:], random)


def near_the_beginning(data: bytes, random: Random) -> bytes:
    """As `near_the_end`, in the first bytes, where most formats have their header."""
    at = min(len(data), 300)
    return _one_of(random, (flip_bits, set_bytes, set_number))(data[:at], random) + data[at:]


MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip_bits,
    set_bytes,
    set_number,
    truncate,
    remove,
    insert,
    splice,
    swap,
    near_the_end,
    near_the_beginning,
)


def mutants(data: bytes, n: int, seed: int) -> Iterator[bytes]:
    """n damaged copies, none of which is the file itself."""
    random = np.random.default_rng(seed)
    made = 0
    while made < n:
        mutant = _one_of(random, MUTATIONS)(data, random)
        if mutant != data:
            made += 1
            yield mutant


def _one_of(random: Random, choices: Any) -> Any:
    return choices[int(random.integers(len(choices)))]


# --- model files --------------------------------------------------------------------------------------------------

HUGE = 10**9
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 12_000, HUGE, 2**63, -(2**63), 10**400, 0.0, 0.5, -0.5, 1e-320, 1e308, -1e308,
    "", "x", "1", "off", "ratio", "density", "distance", "uint8", "float32", "number", "category", "\ud800", "a" * 5000,
    [], [0], [1, 2], [1.0, -1.0], ["a", "a"], [[[[]]]], {}, {"a": 1}, {"": None},
)  # fmt: skip


def packed(manifest: dict[str, Any], tensors: bytes) -> bytes:
    """A model file of these members, with the checksums that fit."""
    manifest = {name: value for name, value in manifest.items() if name != "checksum"}
    manifest["files"] = {"tensors.safetensors": {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()}}
    manifest["checksum"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return zipped(json.dumps(manifest).encode(), tensors)


def zipped(manifest: bytes, tensors: bytes) -> bytes:
    """A ZIP archive of the two members as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("manifest.json"), manifest)
        archive.writestr(zipfile.ZipInfo("tensors.safetensors"), tensors)
    return file.getvalue()


def unpacked(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The manifest and the tensors of a model file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return json.loads(archive.read("manifest.json")), archive.read("tensors.safetensors")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def forged(data: bytes, n: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """n model files with right checksums, and what was changed in each: one value, key, array or the JSON's form."""
    random = np.random.default_rng(seed)
    manifest, tensors = unpacked(data)
    arrays = safetensors.numpy.load(tensors)
    ways = (_forged_value, _forged_value, _forged_value, _forged_array, _forged_array, _forged_text, _forged_tensors)
    for _ in range(n):
        yield _one_of(random, ways)(manifest, arrays, tensors, random)


def _forged_value(
    manifest: dict[str, Any], arrays: dict[str, np.ndarray], tensors: bytes, random: Random
) -> tuple[str, bytes]:
    """One value, key or item of the manifest; parameters, preprocessing and the like more often than the history."""
    del arrays
    paths = [path for path in places(manifest) if path[0] not in ("checksum", "files", "history")]
    if random.random() < 0.1:
        paths = list(places(manifest.get("history"), ("history",)))[:40] or paths
    path = _one_of(random, paths)
    return _with_value(manifest, tensors, path, random)


def _with_value(manifest: dict[str, Any], tensors: bytes, path: tuple[Any, ...], random: Random) -> tuple[str, bytes]:
    changed = copy.deepcopy(manifest)
    owner = changed
    for key in path[:-1]:
        owner = owner[key]
    kind, old = random.random(), owner[path[-1]]
    if kind < 0.15:
        del owner[path[-1]]
        said = "removed"
    elif kind < 0.25 and isinstance(owner, dict):
        owner[str(path[-1]) + "x"] = owner.pop(path[-1])
        said = "renamed"
    elif kind < 0.35 and isinstance(old, int | float) and not isinstance(old, bool):
        owner[path[-1]] = said = old * float(random.normal(1, 2)) if random.random() < 0.5 else -old
    elif kind < 0.4 and isinstance(old, list):
        owner[path[-1]] = old * 2 if random.random() < 0.5 else old[:-1]
        said = "longer or shorter"
    else:
        owner[path[-1]] = said = _one_of(random, VALUES)
    return f"{'.'.join(map(str, path))}: {str(said)[:40]!r}", packed(changed, tensors)


def _forged_array(
    manifest: dict[str, Any], arrays: dict[str, np.ndarray], tensors: bytes, random: Random
) -> tuple[str, bytes]:
    """One array: its values, shape, type, name, or that it is there."""
    del tensors
    changed = dict(arrays)
    name = _one_of(random, sorted(arrays))
    array, way = arrays[name].copy(), int(random.integers(9))
    if way == 0:
        del changed[name]
    elif way == 1:
        changed[name + "x"] = changed.pop(name)
    elif way == 2 and array.size:
        special = [np.nan, np.inf, -np.inf, 0, -1, 1e300, 1e-310, 3.4e38, 2.0**63]
        with np.errstate(all="ignore"):
            array.reshape(-1)[int(random.integers(array.size))] = np.array(_one_of(random, special)).astype(array.dtype)
        changed[name] = array
    elif way == 3:
        changed[name] = array[:0] if array.ndim else array.reshape(1)
    elif way == 4:
        changed[name] = np.concatenate([array, array]) if array.ndim else np.stack([array, array])
    elif way == 5:
        changed[name] = array.reshape(-1) if array.ndim != 1 else array[:, None]
    elif way == 6:
        types = [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint64, np.bool_]
        with np.errstate(all="ignore"):
            changed[name] = array.astype(_one_of(random, types))
    elif way == 7:
        changed[name] = np.full_like(array, _one_of(random, [0, 1, 2]))
    elif array.ndim:
        changed[name] = array[: max(1, len(array) // 2)] if random.random() < 0.5 else array[..., :1]
    else:
        changed[name] = array - 1
    new = safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in changed.items()})
    return f"array {name}, way {way}", packed(manifest, new)


def _forged_text(
    manifest: dict[str, Any], arrays: dict[str, np.ndarray], tensors: bytes, random: Random
) -> tuple[str, bytes]:
    """The manifest's JSON: nested deep, numbers that are none, or any damage."""
    del arrays
    text = json.dumps(manifest)
    way = int(random.integers(6))
    if way == 0:
        depth = int(random.integers(100, 100_000))
        text = text[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}"
    elif way == 1:
        depth = int(random.integers(100, 100_000))
        text = text[:-1] + ', "deep": ' + '{"a":' * depth + "1" + "}" * depth + "}"
    elif way == 2:
        text = text[:-1] + ', "number": ' + _one_of(random, ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000]) + "}"
    elif way == 3:
        text = _one_of(random, ["[]", "null", "{}", '"oddgan-model"', "", "{" * 100_000, "\ufeff" + text])
    elif way == 4:
        nested: Any = 1
        for _ in range(int(random.integers(100, 900))):
            nested = [nested]
        return "nested", packed({**manifest, _one_of(random, sorted(manifest)): nested}, tensors)
    else:
        return "damaged JSON", zipped(_one_of(random, MUTATIONS)(text.encode(), random), tensors)
    return f"JSON, way {way}", zipped(text.encode(), tensors)


def _forged_tensors(
    manifest: dict[str, Any], arrays: dict[str, np.ndarray], tensors: bytes, random: Random
) -> tuple[str, bytes]:
    """The header of the tensors: sizes that no file has, or any damage."""
    del arrays
    length = struct.unpack("<Q", tensors[:8])[0]
    if random.random() < 0.5:
        return "damaged tensors", packed(manifest, _one_of(random, MUTATIONS)(tensors, random))
    header = json.loads(tensors[8 : 8 + length])
    name = _one_of(random, sorted(header))
    field = _one_of(random, ["shape", "dtype", "data_offsets"])
    if isinstance(header[name], dict) and field in header[name]:
        header[name][field] = {
            "shape": _one_of(random, [[HUGE], [0, 10**15], [10**15, 0], [HUGE] * 4, [-1], [], ["1"], 1]),
            "dtype": _one_of(random, ["F32", "F64", "BF16", "F16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "X", 1]),
            "data_offsets": _one_of(random, [[0, 0], [0, HUGE], [HUGE, 0], [-1, 1], [0, 2**64], [1, 2, 3]]),
        }[field]
    text = json.dumps(header).encode()
    return f"tensors {name}.{field}", packed(manifest, struct.pack("<Q", len(text)) + text + tensors[8 + length :])


# --- limits -------------------------------------------------------------------------------------------------------


class TookTooLong(BaseException):
    """Work that went on past its limit; no `Exception`, so that nothing takes it for one of its own."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` when the block takes longer."""

    def over(*_: Any) -> None:
        raise TookTooLong(f"{seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
