"""Tables in files, read on request."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import DataError
from .csv_files import PART, CsvFile
from .parquet_files import ParquetFile
from .stored_table import StoredTable
from .table_cache import TableCache
from .table_folders import TableFolder, is_table_folder
from .texts import is_number, shown

if TYPE_CHECKING:
    from .tables import Kind, TableRows

SUFFIXES = (".csv", ".tsv", ".parquet")


class Columns(Protocol):
    """The columns that a model takes. `columns` is None where they have no names."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of the columns."""

    @property
    def kinds(self) -> "tuple[Kind, ...]":
        """The kind of each column."""


class TableFile:
    """A table in a .csv or .tsv file (plain or .gz), in a .parquet file or in all of those below a folder, read on
    request. Detectors take it as X. Large ones are kept in a file of the cache (`table_cache`).

    `columns`: the names of its columns in the file's order, without those that were dropped. Raises `DataError` that
    names the file and the line, `MissingExtra` for Parquet without pyarrow.
    """

    kind = "table"
    named = False

    def __init__(self, path: Path, drop: Collection[str] = (), kinds: "Mapping[str, Kind] | None" = None) -> None:
        """`drop`: names of columns to leave out. `kinds`: kinds of columns that are not inferred from the file."""
        self.path = path
        self.kinds = dict(kinds or {})
        self.file = _opened(path)
        here, dropped = set(self.file.columns), set(drop)
        if unknown := [name for name in [*drop, *self.kinds] if name not in here]:
            from .tables import listed

            raise DataError(f"{path}: has no column {unknown[0]!r}; its columns are {listed(self.file.columns)}")
        self.columns = tuple(name for name in self.file.columns if name not in dropped)
        if not self.columns:
            raise DataError(f"{path}: no column is left; drop fewer")

    def __len__(self) -> int:
        """The number of rows. Reads a CSV file once."""
        return self.file.count()

    def typed(self, columns: Sequence[str] | None, kinds: "Sequence[Kind]", beside: Sequence[str] = ()) -> "TableFile":
        """The same file with the `columns` of a model in the model's order (None: they have no names), and its `kinds`;
        after them the categories `beside`, of which the model knows nothing. Raises `DataError` for columns that are
        missing or that the model does not know."""
        if columns is None:
            columns = tuple(name for name in self.columns if name not in beside)
            if len(columns) != len(kinds):
                raise DataError(f"{self.path}: has {len(columns)} columns, and the model takes {len(kinds)}")
        here, known = set(self.columns), {*columns, *beside}
        if lacking := [name for name in beside if name not in here]:
            raise DataError(f"{self.path}: has no column {lacking[0]!r}; its columns are {', '.join(self.columns)}")
        if missing := [name for name in columns if name not in here]:
            raise DataError(f"{self.path}: the model was trained with the column {missing[0]!r}, which is missing")
        if unknown := [name for name in self.columns if name not in known]:
            flags = " ".join(f"--drop {name}" for name in unknown[:5])
            raise DataError(
                f"{self.path}: the model was not trained with the column{'s' * (len(unknown) > 1)} "
                f"{', '.join(map(repr, unknown[:5]))}{', ...' * (len(unknown) > 5)}; drop such columns ({flags})"
            )
        other = object.__new__(TableFile)
        other.path, other.file = self.path, self.file
        other.columns = (*columns, *beside)
        other.kinds = {**dict(zip(columns, kinds, strict=True)), **dict.fromkeys(beside, "category")}
        return other

    def parts(self, size: int = PART) -> "Iterator[TableRows]":
        """All rows, `size` at a time. Kinds that are not in `kinds` are inferred from the first rows."""
        kinds = self.file.kinds(self.columns, self.kinds) if isinstance(self.file, CsvFile) else self.kinds
        yield from self.file.parts({name: kinds.get(name, "number") for name in self.columns}, size)

    def read(self) -> "TableRows":
        """All rows. Raises `DataError` for texts in a column that is declared to hold numbers, or that seem to be
        numbers or dates in one of which nothing is declared."""
        paths = self.file.paths if isinstance(self.file, TableFolder) else [self.path]
        cache = TableCache(self.path, paths, [self.columns, sorted(self.kinds.items())])
        if (known := cache.found()) is not None:
            return known
        with cache.alone(*self._bytes(cache.size)):
            return cache.found() or self._read(cache)

    def _bytes(self, size: int) -> tuple[int, int | None]:
        """The bytes that all numbers take at least and at most, None where nothing says so, of files of `size` bytes:
        those of CSV have one for each value at least."""
        if isinstance(self.file, CsvFile):
            return 0, None if self.path.suffix.lower() == ".gz" else 8 * size
        return (exact := 8 * self.file.count() * len(self.columns)), exact

    def _read(self, cache: TableCache) -> "TableRows":
        from .tables import refuse_suspicious

        rows = self.file.whole(self.columns, self.kinds, cache.gathered)
        for i in np.flatnonzero(rows.plain):
            if self.kinds.get(name := self.columns[i]) == "number" and rows.texts[i]:
                text = next((one for one in rows.texts[i] if not is_number(one)), None)
                if text is None:
                    raise DataError(f"{self.path}: column {name!r} holds numbers as texts; write them as numbers")
                row = int(np.flatnonzero(rows.values[:, i] == rows.texts[i].index(text))[0])
                raise DataError(f"{self.path}: row {row}, column {name!r}: {shown(text)} is not a number; fix it")
        try:
            refuse_suspicious(rows, "--category {name} (category=[{name!r}] in Python)", self.kinds)
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from None
        if isinstance(rows.values, StoredTable):
            cache.keep(rows)
        return replace(rows, plain=())


def _opened(path: Path) -> CsvFile | ParquetFile | TableFolder:
    if path.is_dir():
        return TableFolder(path)
    return ParquetFile(path) if path.suffix.lower() == ".parquet" else CsvFile(path)


def is_table(path: Path) -> bool:
    """Whether a file has the suffix of a table, or a folder holds Parquet files and no pictures."""
    return is_table_file(path) if not path.is_dir() else is_table_folder(path)


def is_table_file(path: Path) -> bool:
    """Whether a file has the suffix of a table: .csv, .tsv, .parquet, .csv.gz or .tsv.gz."""
    name = path.name.lower()
    return name.endswith(SUFFIXES) or name.removesuffix(".gz").endswith(SUFFIXES[:2])
