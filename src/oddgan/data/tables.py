"""Tables in files: which columns are looked at, which one tells the class, and what is trained on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .csv_files import PART, CsvFile
from .parquet_files import ParquetFile
from .split import Split, class_names, counts, held_out_split, normal_classes

if TYPE_CHECKING:
    from ..preprocessing.table_rows import Kind, TableRows

TEST_SHARE = 0.2  # of the normals, where a file has no test part
LISTED = 8  # columns of categories that a note names
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

    ndim = 2

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


def load_table(
    path: Path,
    normal: Collection[str] | None = None,
    anomaly: Collection[str] | None = None,
    *,
    label: str | None = None,
    drop: Collection[str] = (),
    category: Collection[str] = (),
    like: "Columns | None" = None,
    all_rows: bool = False,
) -> Split:
    """What `load` gives for a CSV or Parquet file."""
    name = path.stem if path.suffix != ".gz" else Path(path.stem).stem
    rows, classes = _read(path, label, drop, category, like)
    if classes is None:
        if normal is not None or anomaly is not None:
            raise DataError(f"{path}: which column holds the classes that normal or anomaly name? say so with label")
        if all_rows:
            return Split(name=name, train=None, test=rows, note=said(rows))
        return Split(name=name, train=rows, note=f"{said(rows)}, all taken as normal")
    known = set(classes.tolist())
    if not all_rows and normal is not None and known <= set([normal] if isinstance(normal, str) else normal):
        return Split(name=name, train=rows, note=f"{said(rows)}, all of them normal")
    normals = normal_classes(str(path), known, normal, anomaly, {"0"} if known <= {"0", "1"} else None)
    if not all_rows:
        split = held_out_split(name, rows, classes, normals, TEST_SHARE)
        return replace(split, note=f"{split.note}; {said(rows)}")
    odd = ~np.isin(classes, list(normals))
    note = f"{name}: {counts(0, odd)}; normal: {', '.join(sorted(normals))}; {said(rows)}"
    return Split(name=name, train=None, test=rows, labels=odd, kinds=tuple(classes.tolist()), note=note)


def _read(
    path: Path, label: str | None, drop: Collection[str], category: Collection[str], like: "Columns | None"
) -> "tuple[TableRows, NDArray[np.str_] | None]":
    """All rows, without the label, and the class of each."""
    if label is not None and label in drop:
        raise DataError(f"{path}: the column {label!r} is both the label and dropped; choose one")
    labels = [] if label is None else [label]
    file = TableFile(path, drop, dict.fromkeys([*category, *labels], "category"))
    if like is not None:
        taken = TableFile(path, [*drop, *labels]).typed(like.columns, like.kinds)
        file.columns, file.kinds = (*taken.columns, *labels), file.kinds | taken.kinds
    rows = file.read()
    if label is None:
        return rows, None
    return rows.without([label]), _classes(path, rows, label)


def said(rows: "TableRows") -> str:
    """ "1,000 rows of 6 columns (4 of numbers; of categories: flag, 11 values, service, 66 values)"."""
    texts = [
        f"{name}, {len(texts):,} values"
        for name, kind, texts in zip(rows.columns or (), rows.kinds, rows.texts, strict=True)
        if kind != "number"
    ]
    total = f"{len(rows):,} rows of {rows.shape[1]} columns"
    if not texts:
        return total
    named = ", ".join(texts[:LISTED]) + (f" and {len(texts) - LISTED} more" if len(texts) > LISTED else "")
    return f"{total} ({rows.shape[1] - len(texts)} of numbers; of categories: {named})"


def _classes(path: Path, rows: "TableRows", label: str) -> NDArray[np.str_]:
    """The class of each row, as text."""
    found = rows.column(label)
    missing = [one is None or one != one for one in found.tolist()]
    if any(missing):
        row = missing.index(True)
        raise DataError(f"{path}: row {row} (counted from 0) has no class in column {label!r}; fill it in")
    if found.dtype.kind != "f":
        return np.array([str(int(one)) if isinstance(one, bool) else str(one) for one in found], dtype=np.str_)
    return class_names(found)
