"""Tables in files, read when they are asked for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import DataError
from .csv_files import PART, CsvFile
from .parquet_files import ParquetFile

if TYPE_CHECKING:
    from .tables import Kind, TableRows

SUFFIXES = (".csv", ".tsv", ".parquet")


class Columns(Protocol):
    """The columns that a model takes, as its preprocessing knows them; `columns` is None where they have no names."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Their names."""

    @property
    def kinds(self) -> "tuple[Kind, ...]":
        """What each of them holds."""


class TableFile:
    """The rows of a table in a .csv, .tsv (as it is, or .gz) or .parquet file, read when they are asked for.

    `columns`: their names in the file's order, without those that were dropped. Detectors take it as it is. Raises
    `DataError` that names the file and the line, `MissingExtra` for Parquet without pyarrow.
    """

    kind = "table"
    named = False

    def __init__(self, path: Path, drop: Collection[str] = (), kinds: "Mapping[str, Kind] | None" = None) -> None:
        """`drop`: names of columns that are left out. `kinds`: what columns hold, where the file shall not tell."""
        self.path = path
        self.kinds = dict(kinds or {})
        self.file = ParquetFile(path) if path.suffix.lower() == ".parquet" else CsvFile(path)
        if unknown := [name for name in [*drop, *self.kinds] if name not in self.file.columns]:
            held = ", ".join(self.file.columns)
            raise DataError(f"{path}: has no column {unknown[0]!r}; its columns are {held}")
        self.columns = tuple(name for name in self.file.columns if name not in drop)
        if not self.columns:
            raise DataError(f"{path}: no column is left; drop fewer")

    def __len__(self) -> int:
        """The number of rows: a pass over a CSV file."""
        return self.file.count()

    def typed(self, columns: Sequence[str] | None, kinds: "Sequence[Kind]") -> "TableFile":
        """The same file as a model takes it: its `columns` in its order (None: it knows no names), of its `kinds`.
        Raises `DataError` for columns that are missing, or that the model does not know."""
        if columns is None:
            columns = self.columns
            if len(columns) != len(kinds):
                raise DataError(f"{self.path}: has {len(columns)} columns, and the model takes {len(kinds)}")
        if missing := [name for name in columns if name not in self.columns]:
            raise DataError(f"{self.path}: the model was trained with the column {missing[0]!r}, and there is none")
        if strange := [name for name in self.columns if name not in columns]:
            flags = " ".join(f"--drop {name}" for name in strange[:5])
            raise DataError(
                f"{self.path}: the model was not trained with the column{'s' * (len(strange) > 1)} "
                f"{', '.join(map(repr, strange[:5]))}{', ...' * (len(strange) > 5)}; drop such columns ({flags})"
            )
        other = object.__new__(TableFile)
        other.path, other.file = self.path, self.file
        other.columns, other.kinds = tuple(columns), dict(zip(columns, kinds, strict=True))
        return other

    def parts(self, size: int = PART) -> "Iterator[TableRows]":
        """All rows, `size` at a time. What columns hold is told by the first part, where `kinds` does not say."""
        kinds = self.file.kinds(self.columns, self.kinds) if isinstance(self.file, CsvFile) else self.kinds
        yield from self.file.parts({name: kinds.get(name, "number") for name in self.columns}, size)

    def read(self) -> "TableRows":
        """All rows."""
        return self.file.whole(self.columns, self.kinds)


def is_table_file(path: Path) -> bool:
    """Whether a file's name ends like that of a table: .csv, .tsv, .parquet, or .csv.gz."""
    name = path.name.lower()
    return name.endswith(SUFFIXES) or name.removesuffix(".gz").endswith(SUFFIXES[:2])
