"""A table in many Parquet files below one folder: part-0.parquet, part-1.parquet, or day=1/part-0.parquet.

Rows come in the order of the files' paths. A folder called NAME=VALUE is a column for all rows below it, of numbers
where all of its values are numbers. Hidden files, and what begins with an underscore, are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np

from ..errors import DataError
from .csv_files import PART, Gather, together
from .parquet_files import ParquetFile, merged
from .places import SUFFIXES
from .scan import first_ending, holds_pictures, walk
from .texts import is_number

if TYPE_CHECKING:
    from .tables import Kind, TableRows

MISSING = "__HIVE_DEFAULT_PARTITION__"


def is_table_folder(path: Path) -> bool:
    """Whether there are Parquet files below a folder, and no pictures."""
    if not path.is_dir() or first_ending(path, {*SUFFIXES, ".parquet"}) != ".parquet":
        return False
    return next(_files(path), None) is not None and not holds_pictures(path)


def _files(root: Path) -> Iterator[str]:
    """The Parquet files below a folder, relative to it, in order."""
    for relative in walk(root):
        if relative.lower().endswith(".parquet") and not any(part.startswith("_") for part in relative.split("/")):
            yield relative


@dataclass(frozen=True)
class _Partition:
    """A column that folders' names hold: by file, None where it is missing."""

    name: str
    values: tuple[str | None, ...]

    @property
    def numeric(self) -> bool:
        there = [one for one in self.values if one is not None]
        return bool(there) and all(map(is_number, there))


class TableFolder:
    """The Parquet files below a folder as one table, read in parts.

    `columns`: the names of all its columns: those of the first file, then those of folders. Raises `MissingExtra`
    where pyarrow is not installed, `DataError` that names a file that cannot be read or has other columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = list(_files(path))
        self.paths = [path / name for name in self.names]
        self.own = ParquetFile(self.paths[0]).columns
        self.partitions = self._partitions()
        self.columns = (*self.own, *(one.name for one in self.partitions))

    def _partitions(self) -> list[_Partition]:
        found: list[dict[str, str | None]] = []
        for name in self.names:
            pairs = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
            values = {unquote(key): unquote(value) for key, _, value in pairs}
            found.append({key: None if value == MISSING else value for key, value in values.items()})
            if found[-1].keys() != found[0].keys():
                raise DataError(f"{self.path}: {name} is in other folders NAME=VALUE than {self.names[0]}; move it")
        if both := found[0].keys() & set(self.own):
            raise DataError(f"{self.path}: {min(both)!r} is a column of the files and of their folders; drop one")
        return [_Partition(key, tuple(values[key] for values in found)) for key in found[0]]

    def count(self) -> int:
        """The number of rows. Opens every file."""
        return sum(ParquetFile(path).count() for path in self.paths)

    def parts(self, kinds: "Mapping[str, Kind]", size: int = PART) -> "Iterator[TableRows]":
        """The columns that `kinds` names, in its order, `size` rows at a time; the last ones of a file may be fewer."""
        for _, part in self._parts(kinds, size):
            yield part

    def _parts(self, kinds: "Mapping[str, Kind]", size: int = PART) -> "Iterator[tuple[Path, TableRows]]":
        """As `parts`, each with the file that it is of."""
        chosen = {name: kind for name, kind in kinds.items() if name in self.own}
        apart = [one for one in self.partitions if one.name in kinds]
        # A file's rows are read by some column of its own, even where only those of folders are wanted.
        read = chosen or {self.own[0]: kinds.get(self.own[0], "number")}
        warned = False
        for i, path in enumerate(self.paths):
            file = ParquetFile(path)
            if missing := [name for name in read if name not in file.columns]:
                raise DataError(f"{path}: has no column {missing[0]!r}, which {self.names[0]} has; write it again")
            if not warned and (later := [name for name in file.columns if name not in self.own]):
                self._warn_of(later, path)
                warned = True
            for part in file.parts(read, size):
                yield path, _with(part, apart, i, kinds).chosen(list(kinds)) if apart else part

    def _warn_of(self, columns: Sequence[str], path: Path) -> None:
        from ..cautions import DataWarning, warn  # scikit-learn comes with it
        from .tables import listed

        warn(
            DataWarning,
            "later-columns",
            f"{path}: has columns that the folder's first file lacks ({listed(columns, 5)}): they are left out; add "
            f"them to {self.names[0]} if they matter",
        )

    def whole(self, chosen: Sequence[str], known: "Mapping[str, Kind]", gathered: Gather | None = None) -> "TableRows":
        """All rows of the columns `chosen`; see `ParquetFile.whole`."""
        where = self.path

        def parts() -> "Iterator[TableRows]":
            nonlocal where
            for path, part in self._parts({name: known.get(name, "number") for name in chosen}):
                where = path
                yield part

        try:
            return merged(parts(), gathered or together)
        except IndexError:
            raise DataError(f"{self.path}: has no rows; give at least one") from None
        except DataError as error:
            if str(error).startswith(str(self.path)):
                raise
            raise DataError(f"{where}: {error}") from error


def _with(part: "TableRows", columns: Sequence[_Partition], i: int, kinds: "Mapping[str, Kind]") -> "TableRows":
    """Rows of file number i with the columns that its folders hold."""
    values = [np.asarray(part.values)]
    own_kinds, texts, plain = list(part.kinds), list(part.texts), list(part.plain or [False] * len(part.kinds))
    for one in columns:
        value = one.values[i]
        number = one.numeric and kinds[one.name] != "category"
        place = np.nan if value is None else float(value) if number else 0.0
        values.append(np.full((len(part), 1), place))
        own_kinds.append("number" if number else "category")
        texts.append(() if number or value is None else (value,))
        plain.append(not number and kinds[one.name] != "category")
    names = (*(part.columns or ()), *(one.name for one in columns))
    return replace(
        part,
        values=np.hstack(values),
        columns=names,
        kinds=tuple(own_kinds),
        texts=tuple(texts),
        plain=tuple(plain) if any(plain) else (),
    )
