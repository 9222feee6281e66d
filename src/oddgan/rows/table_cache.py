"""Large tables in a file of the cache's folder, so that a data set need not fit in memory.

    CACHE/tables/DIGEST OF PATHS AND COLUMNS/
        IDENTITY.bin     (n, k) float64, row by row
        IDENTITY.json    the columns, their kinds and values, the number of rows; written last

IDENTITY says how the source files were when they were read: of changed files the table is made anew, and takes the
older one's place. Both files appear whole or not at all.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, OutputError
from ..files import whole_file
from .folders import cache_folder, cannot_write, check_room
from .places import identity
from .stored_table import LARGE, Numbers, StoredTable, written

if TYPE_CHECKING:
    from .tables import TableRows

WORTH = 2**20  # bytes of files from which on it is looked whether the table is there


class TableCache:
    """The place of one table: that of some columns of some files, read in a certain way (`how`, anything with a
    representation of its own). Raises `OutputError` where the cache cannot be used."""

    def __init__(self, paths: Sequence[Path], how: Any) -> None:
        places = [identity(str(path)) for path in paths]
        self.size = sum(size for _, _, size in places)
        self.folder = cache_folder() / "tables" / _digest([1, [place for place, _, _ in places], repr(how)])
        self.identity = _digest([place[1:] for place in places])
        self.where = str(paths[0])

    def found(self) -> "TableRows | None":
        """The table, where it is there."""
        from .tables import TableRows

        if self.size < WORTH:
            return None
        try:
            facts = json.loads((self.folder / f"{self.identity}.json").read_text("utf-8"))
            values = StoredTable.of(self.folder / f"{self.identity}.bin", np.float64, (facts["rows"], facts["width"]))
            texts = tuple(map(tuple, facts["texts"]))
            return TableRows(values, tuple(facts["columns"]), tuple(facts["kinds"]), texts)
        except (OSError, ValueError, KeyError, DataError):  # it is not there, or was damaged: it is made anew
            return None

    def gathered(self, parts: Iterable[NDArray[np.float64]]) -> Numbers:
        """All rows of these parts (m, k): in memory, or in the cache's file where they take more than `LARGE` bytes."""
        held: list[NDArray[np.float64]] = []
        size, parts = 0, iter(parts)
        for part in parts:
            held.append(part)
            size += part.nbytes
            if size > LARGE:
                return self._stored(_then(held, parts))
        return np.concatenate(held) if held else np.empty((0, 0))

    def _stored(self, parts: Iterator[NDArray[np.float64]]) -> StoredTable:
        path = self.folder / f"{self.identity}.bin"
        try:
            check_room(self.folder, LARGE)
        except OutputError:
            raise
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        with whole_file(path) as file:
            shape, dtype = written(file, parts)
        return StoredTable.of(path, dtype, shape)

    def keep(self, rows: "TableRows") -> None:
        """Say that the table whose numbers are in the file is complete, and remove older ones of the same files."""
        facts = {
            "rows": len(rows),
            "width": rows.shape[1],
            "columns": rows.columns,
            "kinds": rows.kinds,
            "texts": rows.texts,
        }
        with whole_file(self.folder / f"{self.identity}.json") as file:
            file.write(json.dumps(facts).encode())
        for path in self.folder.iterdir():
            if path.suffix in (".bin", ".json") and path.stem != self.identity:
                with suppress(OSError):  # of what another process has open, on Windows
                    path.unlink()


def _then(held: list[NDArray[np.float64]], others: Iterator[NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
    """What was held, which is let go one by one, then the others."""
    while held:
        yield held.pop(0)
    yield from others


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
