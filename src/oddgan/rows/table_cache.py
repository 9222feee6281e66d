"""Large tables in a file of the cache's folder, so that a data set need not fit in memory.

    CACHE/tables/DIGEST OF PATH AND COLUMNS.lock
    CACHE/tables/DIGEST OF PATH AND COLUMNS/
        IDENTITY.bin     (n, k) float64, row by row
        IDENTITY.json    the columns, their kinds and values, the number of rows; written last

IDENTITY says which source files there were and how, when they were read: of other or changed files the table is made
anew, and takes the older one's place. Both files appear whole or not at all. Processes that want one table at once wait
for the first of them.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ..errors import DataError, OutputError
from ..files import tidy, whole_file
from .folders import cache_folder, cannot_write, check_room
from .places import identity
from .stored_table import LARGE, Numbers, StoredTable, written

if TYPE_CHECKING:
    from .tables import TableRows

WORTH = 2**20  # bytes of files from which on it is looked whether the table is there


class TableCache:
    """The place of one table: that of some columns of a file or of the files below a folder (`where`), read in a
    certain way (`how`, anything with a representation of its own). `paths`: the files that it is read from. Raises
    `DataError` for a file that is gone; the folder of the cache is made, and needed, when something is to be stored."""

    def __init__(self, where: Path, paths: Sequence[Path], how: Any) -> None:
        self.where, self.paths, self.how = where, paths, how
        self.size, self.identity = self._now()
        self._least, self._locked = LARGE, False

    def _now(self) -> tuple[int, str]:
        """The bytes of all files, and what changes when one of them may have changed."""
        try:
            places = [identity(str(path)) for path in self.paths]
        except OSError as error:
            raise DataError(f"{self.where}: cannot be read ({error.strerror or error}); check the file") from error
        return sum(size for _, _, size in places), _digest(places)

    @cached_property
    def folder(self) -> Path:
        """Where the table is kept. Files may join those below a folder: its place stays. Raises `OutputError`."""
        return cache_folder() / "tables" / _digest([1, [os.path.abspath(self.where)], repr(self.how)])

    @property
    def _numbers(self) -> Path:
        return self.folder / f"{self.identity}.bin"

    def found(self) -> "TableRows | None":
        """The table, where it is there."""
        from .tables import TableRows

        if self.size < WORTH:
            return None
        try:
            facts = json.loads((self.folder / f"{self.identity}.json").read_text("utf-8"))
            values = StoredTable.of(self._numbers, np.float64, (facts["rows"], facts["width"]))
            texts = tuple(map(tuple, facts["texts"]))
            return TableRows(values, tuple(facts["columns"]), tuple(facts["kinds"]), texts)
        except (OSError, ValueError, KeyError, DataError):  # it is not there, or was damaged: it is made anew
            return None

    @contextmanager
    def alone(self, least: int, most: int | None) -> Iterator[None]:
        """A block in which the table may be stored, whose numbers take so many bytes (`most` is None where nothing
        says so): of several processes and threads one at a time, as far as the cache's disk can lock. What was stored
        and not kept is gone after it."""
        self._least = max(least, LARGE)
        with ExitStack() as stack:
            if self.size >= WORTH and (most is None or most > LARGE):
                # The first: the cache cannot be written, which storing says. The second, of filelock: its
                # disk cannot lock; several processes may then convert the same table.
                with suppress(OSError, NotImplementedError):
                    self.folder.parent.mkdir(parents=True, exist_ok=True)
                    stack.enter_context(FileLock(self.folder.with_name(f"{self.folder.name}.lock")))
                    self._locked = True
                    self.identity = self._now()[1]  # another may have taken long
            try:
                yield
            finally:
                if self._locked and not (self.folder / f"{self.identity}.json").exists():
                    with suppress(OSError):  # of what is open, on Windows
                        self._numbers.unlink()
                self._locked = False

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
        try:
            for folder in (self.folder, *self.folder.parent.glob("*/")):
                tidy(folder)
            check_room(self.folder, self._least)
            with whole_file(self._numbers) as file:
                shape, dtype = written(file, parts)
            return StoredTable.of(self._numbers, dtype, shape)
        except OutputError as error:
            if isinstance(error.__cause__, OSError):
                raise cannot_write(self.folder, error.__cause__) from error
            raise
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def keep(self, rows: "TableRows") -> None:
        """Say that the table whose numbers are in the file is complete, and remove older ones of the same files. One
        whose files have changed meanwhile is used once and not kept."""
        with suppress(DataError):  # of one that is gone
            if self._now()[1] == self.identity:
                self._keep(rows)

    def _keep(self, rows: "TableRows") -> None:
        facts = {
            "rows": len(rows),
            "width": rows.shape[1],
            "columns": rows.columns,
            "kinds": rows.kinds,
            "texts": rows.texts,
        }
        # Where the facts cannot be written, the table can be used all the same, and is made anew the next time.
        with suppress(OutputError), whole_file(self.folder / f"{self.identity}.json") as file:
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
