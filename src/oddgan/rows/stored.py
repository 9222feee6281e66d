"""Arrays in files: small ones are read, large ones are mapped into memory and watched.

A page of a mapped file that something else has cut off ends the process with SIGBUS, which no program can catch. So a
file below `MOST_READ` is read; of a larger one, every access first looks whether the file still has its size, and
copies what was asked for at once.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

MOST_READ = 2**28  # bytes of a file that is read; a larger one is mapped


class Watched(np.memmap):
    """A mapped array that is refused once its file has become shorter."""

    path: str = ""
    end: int = 0

    def __array_finalize__(self, whole: Any) -> None:
        super().__array_finalize__(whole)
        self.path, self.end = getattr(whole, "path", ""), getattr(whole, "end", 0)

    def __getitem__(self, index: Any) -> Any:
        if self.path and os.path.getsize(self.path) < self.end:
            raise DataError(f"{self.path}: became shorter while it was read; copy it anew")
        found = super().__getitem__(index)
        return np.array(found) if isinstance(found, np.ndarray) else found


def stored(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, *, fortran: bool = False
) -> NDArray[Any]:
    """The array of this type and shape that begins `offset` bytes into a file. Raises `DataError` where the file is too
    short, OSError where it cannot be read."""
    count = 1
    for side in shape:  # Python's integers: a forged shape must not overflow
        count *= side
    needed = offset + count * dtype.itemsize
    held = os.path.getsize(path)
    if min(shape, default=0) < 0 or needed > held:
        raise DataError(
            f"{path}: is truncated: it holds {held:,} bytes, and an array of {' x '.join(map(str, shape))} of {dtype} "
            f"takes {needed:,}; copy it anew"
        )
    order: Any = "F" if fortran else "C"
    if held <= MOST_READ or not count:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(count * dtype.itemsize)
        if len(data) < count * dtype.itemsize:
            raise DataError(f"{path}: became shorter while it was read; copy it anew")
        return np.frombuffer(data, dtype).reshape(shape, order=order)
    mapped = np.memmap(path, dtype, "r", offset=offset, shape=shape, order=order).view(Watched)
    mapped.path, mapped.end = os.path.abspath(path), needed  # the working folder may change
    return mapped
