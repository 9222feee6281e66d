"""IDX files, the format in which MNIST is published: raw or gzip."""

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .stored import stored

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
MOST_INFLATED = 1032  # the highest compression ratio of gzip
MOST_UNPACKED = 2**32  # bytes of a compressed array that are unpacked into memory

PARTS = {
    "training pictures": "train-images",
    "training labels": "train-labels",
    "test pictures": "t10k-images",
    "test labels": "t10k-labels",
}
"""The four files of a set in MNIST's format: how their names begin."""


def is_idx(path: Path) -> bool:
    """Whether a file starts with an IDX header."""
    try:
        with _opened(path) as stream:
            start = stream.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in _TYPES and 1 <= start[3] <= 4


def idx_files(folder: Path) -> dict[str, Path] | None:
    """The four files of a set in MNIST's format, by part, or None where there are none.

    Their names may be the published ones or have a dot before "idx", with or without .gz. Raises `DataError` where only
    some are there.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        for part, start in PARTS.items():
            if path.name.lower().startswith(f"{start}-idx") or path.name.lower().startswith(f"{start}.idx"):
                found.setdefault(part, path)
    missing = [part for part in PARTS if part not in found]
    if found and missing:
        raise DataError(
            f"{folder}: IDX files without {', '.join(missing)}; add {', '.join(PARTS[m] + '-idx...' for m in missing)}"
        )
    return found or None


def read_idx(path: Path, *, sha256: str | None = None) -> NDArray[Any]:
    """The array in an IDX file: of a raw file as `stored` has it, read whole from gzip.

    `sha256`: the checksum that the unpacked content must have. Raises `DataError` for a file that is not IDX, is
    truncated or too long, or has another checksum.
    """
    try:
        with _opened(path) as stream:
            zipped = isinstance(stream, gzip.GzipFile)
            kind, shape, head = _header(path, stream)
            size = math.prod(shape) * kind.itemsize
            held = path.stat().st_size
            if size > held * (MOST_INFLATED if zipped else 1):
                raise _wrong_length(path, shape, "less")
            if zipped and size > MOST_UNPACKED:
                raise DataError(
                    f"{path}: unpacks to {size:,} bytes; unpack it first, so that it need not fit in memory"
                )
            content = stream.read(size + 1) if zipped or sha256 is not None else None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged or truncated ({error}); download it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    length = held - len(head) if content is None else len(content)
    if length != size:
        raise _wrong_length(path, shape, "less" if length < size else "more")
    if sha256 is not None and hashlib.sha256(head + (content or b"")).hexdigest() != sha256:
        raise DataError(f"{path}: is not the published file (its checksum differs); download it again")
    if content is not None:
        return np.frombuffer(content, kind).reshape(shape)
    return stored(path, kind, shape, len(head))


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.exists() and not path.is_file():  # opening a pipe waits for its writer
        raise OSError("it is not a regular file")
    raw = path.open("rb")
    if raw.read(2) == _GZIP:
        raw.close()
        return gzip.open(path, "rb")
    raw.seek(0, os.SEEK_SET)
    return raw


def _header(path: Path, stream: IO[bytes] | gzip.GzipFile) -> tuple[np.dtype[Any], tuple[int, ...], bytes]:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 1 <= start[3] <= 4:
        raise DataError(f"{path}: not an IDX file (it begins with {start.hex() or 'nothing'}); check the file")
    sizes = stream.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"{path}: the IDX file is truncated in its header; download it again")
    return np.dtype(_TYPES[start[2]]), struct.unpack(f">{start[3]}I", sizes), start + sizes


def _wrong_length(path: Path, shape: tuple[int, ...], how: str) -> DataError:
    return DataError(
        f"{path}: holds {how} than the {' x '.join(map(str, shape))} values that its header states; download it again"
    )
