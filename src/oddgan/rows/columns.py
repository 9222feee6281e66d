"""Batches as engines hand them over: columns as arrays, by name or in order, and pictures in every form."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from .decode import Unreadable, decode
from .pictures import NamedPictures, PictureRows, as_stored_type
from .tables import BOOLEANS, Kind, TableRows, _coded, _is_missing, _kind_of, as_table, listed
from .threads import threaded

PICTURES = ("image", "picture", "bytes", "content", "path")
"""What engines call the column of a batch that holds pictures, in the order in which it is looked for."""


def table_of(columns: Mapping[str, Any], names: Sequence[str] | None, kinds: Sequence[Kind]) -> TableRows:
    """Columns by name, arrays or lists (n,), as rows of a model's columns `names` with their `kinds`; other columns are
    left alone. Where the model's columns have no names, one array (n, k), or as many columns as the model takes, in
    their order. Raises `DataError` that names the column."""
    if names is None:
        arrays = [np.asarray(values) for values in columns.values()]
        if len(arrays) == 1 and arrays[0].ndim == 2:
            return as_table(arrays[0])
        if len(arrays) != len(kinds):
            raise DataError(f"the batch has {len(arrays)} columns, and the model takes {len(kinds)} without names")
        names, found = list(columns), dict(zip(columns, arrays, strict=True))
        if all(array.dtype.kind in "iuf" for array in arrays):
            return as_table(np.column_stack(arrays))
        rows = table_of(found, names, kinds)
        return TableRows(rows.values, None, rows.kinds, rows.texts)
    if missing := [name for name in names if name not in columns]:
        raise DataError(f"the batch has no column {missing[0]!r}; its columns are {listed(list(columns)) or 'none'}")
    parts = [_column(np.asarray(columns[name]), name, kind) for name, kind in zip(names, kinds, strict=True)]
    n = {len(values) for values, _, _ in parts}
    if len(n) > 1:
        raise DataError(f"columns have different lengths: {', '.join(map(str, sorted(n)))}")
    values = np.column_stack([values for values, _, _ in parts])
    return TableRows(values, tuple(names), tuple(kind for _, kind, _ in parts), tuple(texts for _, _, texts in parts))


def _column(array: np.ndarray, name: str, kind: Kind) -> tuple[np.ndarray, Kind, tuple[str, ...]]:
    """A column's numbers, or places of its values; its kind; its values."""
    if array.ndim != 1:
        raise DataError(f"column {name!r} has shape {array.shape}: give one value a row")
    if array.dtype.kind == "b":
        return array.astype(np.float64), "boolean", BOOLEANS
    if array.dtype.kind in "iu" and kind == "category":
        places, texts = _coded([str(one) for one in array.tolist()])
        return places, "category", texts
    if array.dtype.kind in "iuf":
        values = array.astype(np.float64)
        if np.isinf(values).any():
            raise DataError(f"column {name!r}: row {int(np.isinf(values).argmax())} is infinite; fill it in or drop it")
        return values, "number", ()
    if array.dtype.kind not in "OUST":
        raise DataError(f"column {name!r} is of type {array.dtype}: turn it into numbers or text")
    cells = [None if _is_missing(one) else one for one in array.tolist()]
    if all(one is None for one in cells):
        return np.full(len(cells), np.nan), kind, BOOLEANS if kind == "boolean" else ()
    held = _kind_of(cells, name, str(array.dtype))
    if held == "category":
        places, texts = _coded(cells)
        return places, held, texts
    return np.array([np.nan if one is None else float(one) for one in cells]), held, BOOLEANS * (held == "boolean")


def picture_column(columns: Mapping[str, Any], name: str | None) -> Any:
    """The column of a batch that holds pictures: `name`, the only one, or the first that is called as one of
    `PICTURES`. Raises `DataError`."""
    if name is not None:
        if name not in columns:
            raise DataError(f"the batch has no column {name!r}; its columns are {listed(list(columns)) or 'none'}")
        return columns[name]
    if len(columns) == 1:
        return next(iter(columns.values()))
    found = next((one for one in PICTURES if one in columns), None)
    if found is None:
        raise DataError(f"which of the columns {listed(list(columns))} holds the pictures? give column=")
    return columns[found]


def pictures_of(values: Any) -> tuple[PictureRows, list[int], dict[int, str]]:
    """Pictures that can be read, the numbers of their rows, and why the others cannot be, by number.

    `values`: an array (n, H, W) or (n, H, W, C) of numbers, or a sequence of arrays, encoded pictures (bytes), paths or
    Pillow images. Encoded ones are decoded in threads.
    """
    if isinstance(values, np.ndarray) and values.dtype != object and values.dtype.kind in "biuf":
        return PictureRows(values), list(range(len(values))), {}
    found: list[np.ndarray] = []
    numbers: list[int] = []
    bad: dict[int, str] = {}
    for i, picture in enumerate(threaded(_picture, list(values))):
        if isinstance(picture, str):
            bad[i] = picture
        else:
            found.append(picture)
            numbers.append(i)
    return PictureRows(NamedPictures(numbers, "row {}".format, found)), numbers, bad


def _picture(value: Any) -> np.ndarray | str:
    """A picture (H, W, C), or why there is none."""
    try:
        if isinstance(value, bytes | bytearray | memoryview):
            found = decode(bytes(value))
        elif isinstance(value, str | os.PathLike):
            found = decode(os.fspath(value))
        elif value is None:
            return "there is none"
        else:
            found = np.asarray(value)
        if found.ndim not in (2, 3):
            return f"is not a picture, its shape is {found.shape}"
        return as_stored_type(found if found.ndim == 3 else found[..., None])
    except Unreadable as error:
        return f"{value}: {error}" if isinstance(value, str | os.PathLike) else str(error)
    except DataError as error:
        return str(error)
