"""A table's numbers that stay in a file: rows and columns are read when they are asked for.

The file is mapped into memory, and what was looked at is let go again, so that a process that passes over a table
holds no more of it than a piece. Whoever needs an array gets one (`np.asarray`), as large as that is.
"""

import mmap
import operator
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .folders import cache_folder, cannot_write
from .stored import Watched

LARGE = 2**28  # bytes of a table from which on it stays in a file
PIECE = 2**24  # bytes that are read together
MOST_MAPPED = 2**26  # bytes of the file that may stay in the process's memory
AROUND = 2**16  # bytes that the system maps around one that is read

Places: TypeAlias = range | NDArray[np.int64]


class StoredTable:
    """(n, k) numbers in a file, row by row.

    It is indexed as an array is: `[rows]`, `[rows, column]`, `[:, columns]`, where `rows` is a number, a slice, row
    numbers (m,) or truths (n,), and `columns` are numbers. What takes at most `LARGE` bytes comes as an array, more as
    another `StoredTable` of the same file; one column, and what is read by `read`, always as an array.
    """

    ndim = 2

    def __init__(self, file: "_Mapped", rows: Places, columns: NDArray[np.int64] | None = None) -> None:
        self._file, self._rows, self._columns = file, rows, columns

    @classmethod
    def of(cls, path: Path, dtype: Any, shape: tuple[int, int], offset: int = 0) -> "StoredTable":
        """The table of this type and shape that begins `offset` bytes into a file. Raises OSError."""
        with path.open("rb") as file:
            return cls.in_file(file, dtype, shape, offset)

    @classmethod
    def in_file(cls, file: IO[bytes], dtype: Any, shape: tuple[int, int], offset: int = 0) -> "StoredTable":
        """As `of`, in an open file, which may be closed and deleted afterwards."""
        return cls(_Mapped(file, np.dtype(dtype), shape, offset), range(shape[0]))

    @classmethod
    def beside(cls, array: NDArray[Any]) -> "StoredTable | None":
        """The table that is the whole of a mapped file of numbers; None for any other array."""
        if not isinstance(array, Watched) or array.ndim != 2 or not array.flags.c_contiguous:
            return None
        whole = array.path and array.end == array.offset + array.nbytes
        return cls.of(Path(array.path), array.dtype, array.shape, array.offset) if whole else None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        return len(self._rows), self._file.width if self._columns is None else len(self._columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of each number."""
        return self._file.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the array that it stands for."""
        n, k = self.shape
        return n * k * self.dtype.itemsize

    def __getitem__(self, index: Any) -> Any:
        rows, columns = index if isinstance(index, tuple) else (index, slice(None))
        if isinstance(rows, int | np.integer):
            return self[[operator.index(rows)]][0][columns]
        picked = self._picked(rows)
        here = np.arange(self._file.width) if self._columns is None else self._columns
        if isinstance(columns, int | np.integer):
            return StoredTable(self._file, picked, here[[operator.index(columns)]]).read()[:, 0]
        whole = isinstance(columns, slice) and columns == slice(None)
        part = StoredTable(self._file, picked, self._columns if whole else here[columns])
        return part if part.nbytes > LARGE else part.read()

    def _picked(self, rows: Any) -> Places:
        if isinstance(rows, slice):
            return self._rows[rows]
        numbers = np.asarray(rows)
        if numbers.dtype == bool:
            numbers = np.flatnonzero(numbers)
        numbers = np.where(numbers < 0, numbers + len(self), numbers).astype(np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"row {int(numbers.max())} of a table of {len(self):,} rows")
        rows = self._rows
        return rows.start + rows.step * numbers if isinstance(rows, range) else np.asarray(rows[numbers])

    def parts(self, size: int | None = None) -> Iterator[NDArray[Any]]:
        """All of it as arrays of `size` rows each, the last one fewer; without `size` as many as are read together."""
        size = size or max(1, PIECE // max(1, self.shape[1] * self.dtype.itemsize))
        for start in range(0, len(self), size):
            yield StoredTable(self._file, self._rows[start : start + size], self._columns).read()

    def read(self) -> NDArray[Any]:
        """All of it as an array."""
        found = np.empty(self.shape, self.dtype)
        step = max(1, PIECE // max(1, self._file.width * self.dtype.itemsize))
        for start in range(0, len(self), step):
            some = self._file.rows(self._rows[start : start + step])
            found[start : start + step] = some if self._columns is None else some[:, self._columns]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a table in a file becomes an array only by copying it")
        found = self.read()
        return found if dtype is None else found.astype(dtype, copy=False)

    def astype(self, dtype: Any) -> NDArray[Any]:
        """All of it as an array of another type."""
        return self.__array__(dtype)


class _Mapped:
    """Rows of numbers in a mapped file."""

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, int], offset: int) -> None:
        self.dtype, self.width = dtype, shape[1]
        self._name, self._needed = file.name, offset + shape[0] * shape[1] * dtype.itemsize
        self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self._memory) < self._needed:
            raise DataError(f"{file.name}: is truncated; delete it")
        self._all: NDArray[Any] = np.ndarray(shape, dtype, self._memory, offset)
        self._looked_at = 0

    def rows(self, places: Places) -> NDArray[Any]:
        """A copy of these rows. Threads may ask for rows at once. Raises `DataError` where the file was cut off."""
        if self._memory.size() < self._needed:  # of the file as it is: a page that is gone would end the process
            raise DataError(f"{self._name}: became shorter while it was read; copy it anew")
        if isinstance(places, range) and places.step < 0:
            return self.rows(places[::-1])[::-1]
        row = self.width * self.dtype.itemsize
        if isinstance(places, range):
            found = self._all[places.start : places.stop : places.step].copy()
            self._looked_at += len(places) * min(places.step * row, max(AROUND, row))
        else:
            found = self._all[places]
            dense = len(places) and np.ptp(places) < 2 * len(places)
            self._looked_at += 2 * found.nbytes if dense else len(places) * max(AROUND, row)
        if self._looked_at > MOST_MAPPED and hasattr(mmap, "MADV_DONTNEED"):
            self._memory.madvise(mmap.MADV_DONTNEED)  # of a file's pages that only means: out of this process
            self._looked_at = 0
        return found


def in_temporary_file(parts: Iterable[NDArray[Any]]) -> StoredTable:
    """Arrays (m, k) of one type, in an unnamed file of the cache's folder that is gone when nothing refers to it any
    more. Raises `OutputError`."""
    folder = cache_folder() / "tables"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            shape, dtype = written(file, parts)
            return StoredTable.in_file(file, dtype, shape)
    except OSError as error:
        raise cannot_write(folder, error) from error


def written(file: IO[bytes], parts: Iterable[NDArray[Any]]) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Write arrays (m, k) of one type to an open file; the shape and the type of all of them together."""
    n, k, dtype = 0, 0, np.dtype(np.float64)
    for part in parts:
        n, k, dtype = n + len(part), part.shape[1], part.dtype
        file.write(np.ascontiguousarray(part).data.cast("B"))
    file.flush()
    return (n, k), dtype


Numbers: TypeAlias = NDArray[Any] | StoredTable
"""What a table's values are in: memory, or a file."""
