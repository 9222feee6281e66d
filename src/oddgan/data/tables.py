"""Tables in files: which columns are used, which one holds the classes, and which rows are for training."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..rows.table_files import Columns, TableFile
from .split import Split, class_names, counts, held_out_split, normal_classes, resolve

if TYPE_CHECKING:
    from ..rows.tables import Kind, TableRows

TEST_SHARE = 0.2  # of the normal rows, where a file has no test part
LISTED = 8  # columns of categories that a note names


def load_table(
    path: Path,
    normal: Collection[str] | None = None,
    anomaly: Collection[str] | None = None,
    *,
    label: str | None = None,
    drop: Collection[str] = (),
    category: Collection[str] = (),
    number: Collection[str] = (),
    keys: Collection[str] = (),
    like: "Columns | None" = None,
    all_rows: bool = False,
) -> Split:
    """What `load` returns for a CSV or Parquet file, with the columns `keys` among the others."""
    name = path.stem if path.suffix != ".gz" else Path(path.stem).stem
    rows, classes = _read(path, label, drop, [*category, *keys], number, keys, like)
    if classes is None:
        if normal is not None or anomaly is not None:
            raise DataError(f"{path}: which column holds the classes that normal or anomaly name? say so with label")
        if all_rows:
            return Split(name=name, train=None, test=rows, note=summary(rows))
        return Split(name=name, train=rows, note=f"{summary(rows)}, all taken as normal")
    known = set(classes.tolist())
    if (
        not all_rows
        and normal is not None
        and known <= {*resolve(normal, known), *(known if list(resolve(normal, known)) == ["all"] else ())}
    ):
        return Split(name=name, train=rows, note=f"{summary(rows)}, all of them normal")
    normals = normal_classes(str(path), known, normal, anomaly, {"0"} if known <= {"0", "1"} else None)
    if not all_rows:
        split = held_out_split(name, rows, classes, normals, TEST_SHARE)
        return replace(split, note=f"{split.note}; {summary(rows)}")
    anomalous = ~np.isin(classes, list(normals))
    note = f"{name}: {counts(0, anomalous)}; normal: {', '.join(sorted(normals))}; {summary(rows)}"
    return Split(name=name, train=None, test=rows, labels=anomalous, kinds=tuple(classes.tolist()), note=note)


def _read(
    path: Path,
    label: str | None,
    drop: Collection[str],
    category: Collection[str],
    number: Collection[str],
    keys: Collection[str],
    like: "Columns | None",
) -> "tuple[TableRows, NDArray[np.str_] | None]":
    """All rows, without the label, and the class of each."""
    if label is not None and label in drop:
        raise DataError(f"{path}: the column {label!r} is both the label and dropped; choose one")
    labels = [] if label is None else [label]
    if both := set(category) & set(number):
        raise DataError(f"{path}: the column {min(both)!r} is both a category and a number; choose one")
    kinds: dict[str, Kind] = {**dict.fromkeys(number, "number"), **dict.fromkeys([*category, *labels], "category")}
    file = TableFile(path, drop, kinds)
    if like is not None:
        file = file.typed(like.columns, like.kinds, [*keys, *labels])
    rows = file.read()
    if label is None:
        return rows, None
    return rows.without([label]), _classes(path, rows, label)


def summary(rows: "TableRows") -> str:
    """ "1,000 rows of 6 columns (4 of numbers; of categories: flag, 11 values, service, 66 values)"."""
    texts = [
        f"{name}, {len(texts):,} value{'s' * (len(texts) != 1)}"
        for name, kind, texts in zip(rows.columns or (), rows.kinds, rows.texts, strict=True)
        if kind != "number"
    ]
    total = rows.describe()
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
