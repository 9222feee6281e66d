"""From what a request holds to rows that a model takes. Everything is checked here, before rows wait with others."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from ..rows import TableRows
from ..rows.cells import Column, Unfit
from ..rows.decode import Unreadable, decode, header
from ..rows.pictures import as_stored_type
from ..rows.tables import BOOLEANS, listed
from .limits import Account, Limits, Refusal
from .models import Served

BESIDE = 8
"""Bytes that are held for each pixel of a picture while it is scored: its map, and copies in between."""


# --- pictures -------------------------------------------------------------------------------------------------------


def decoded(data: bytes, name: str, model: Served, limits: Limits, account: Account) -> np.ndarray:
    """An encoded picture as the model takes it, (H, W, C). Raises `Refusal` that names it: 413 for one of too many
    pixels, 400 for what cannot be read or does not fit the model."""
    if not data:
        raise Refusal(400, f"{name}: is empty; send a picture in PNG, JPEG, BMP, TIFF or WebP format")
    try:
        height, width, channels, dtype = header(data)
        if height * width > limits.max_pixels:
            raise Refusal(
                413,
                f"{name}: is {width} x {height} pixels, and at most {limits.max_pixels:,} pixels are taken",
                "large",
            )
        account.take(height * width * (channels * np.dtype(dtype).itemsize + BESIDE))
        picture = decode(data)
    except Unreadable as bad:
        raise Refusal(413 if "more than the limit" in bad.reason else 400, f"{name}: {bad.reason}") from bad
    return checked(picture, name, model)


def checked(picture: np.ndarray, name: str, model: Served) -> np.ndarray:
    """A picture (H, W) or (H, W, C) as the model takes it, (H, W, C). Raises `Refusal`."""
    try:
        stored = as_stored_type(picture if picture.ndim == 3 else picture[..., None])
        model.like.check(stored)
    except DataError as error:
        raise Refusal(400, f"{name}: {error}") from error
    return stored


def of_array(x: np.ndarray, model: Served, account: Account) -> list[np.ndarray]:
    """Pictures (n, H, W) or (n, H, W, C) as the model takes them. Raises `Refusal`."""
    if x.ndim not in (3, 4):
        raise Refusal(400, f"input x has shape {list(x.shape)}; pictures are [n, height, width, channels]")
    if not len(x):
        raise Refusal(400, "input x holds no picture")
    account.take(len(x) * x.shape[1] * x.shape[2] * BESIDE)
    return [checked(picture, f"picture {i}", model) for i, picture in enumerate(x)]


# --- tables ---------------------------------------------------------------------------------------------------------


def of_rows(rows: Sequence[Any], model: Served) -> TableRows:
    """Rows as JSON has them, objects by column or lists in the model's order, as the model takes them. Raises
    `Refusal` that names the row and column."""
    names = model.like.names
    if not rows:
        raise Refusal(400, "there are no rows; give at least one")
    known = set(names)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for i, row in enumerate(rows):
        if isinstance(row, Mapping):
            if missing := [name for name in names if name not in row]:
                more = "; null stands for a missing value"
                raise Refusal(400, f"row {i} has no column {missing[0]!r}; columns are {listed(names)}{more}")
            if unknown := [name for name in row if name not in known]:
                raise Refusal(
                    400, f"row {i} has a column {unknown[0]!r:.80}, which the model does not know; leave it out"
                )
            for name in names:
                columns[name].append(row[name])
        elif isinstance(row, list):
            if len(row) != len(names):
                raise Refusal(400, f"row {i} has {len(row)} values, and the model takes {len(names)}: {listed(names)}")
            for name, value in zip(names, row, strict=True):
                columns[name].append(value)
        else:
            raise Refusal(400, f"row {i} is neither an object by column nor a list of values")
    return of_columns(columns, model)


def of_columns(columns: Mapping[str, Sequence[Any] | np.ndarray], model: Served) -> TableRows:
    """Columns by name, all of one length, as rows that the model takes. Raises `Refusal`."""
    like = model.like
    if missing := [name for name in like.names if name not in columns]:
        raise Refusal(400, f"there is no column {missing[0]!r}; columns are {listed(like.names)}")
    own = set(like.names)
    if unknown := [name for name in columns if name not in own]:
        raise Refusal(400, f"there is a column {unknown[0]!r:.80}, which the model does not know; leave it out")
    n = len(columns[like.names[0]])
    values = np.empty((n, len(like.names)), np.float64)
    texts: list[tuple[str, ...]] = []
    known: tuple[str, ...]
    for k, (name, kind) in enumerate(zip(like.names, like.kinds, strict=True)):
        if len(columns[name]) != n:
            raise Refusal(400, f"column {name!r} has {len(columns[name])} values, and others have {n}")
        column = Column(kind, like.texts[k] if like.texts else ())
        try:
            if kind == "number":
                values[:, k] = _numbers(columns[name], column)
                texts.append(())
            else:
                values[:, k], known = _places(columns[name], column)
                texts.append(known)
        except _Unfit as error:
            raise Refusal(400, f"row {error.row}, column {name!r}: {error}") from None
        if like.columns is None and (gone := np.isnan(values[:, k])).any():  # as arrays are refused everywhere else
            raise Refusal(
                400,
                f"row {int(gone.argmax())}, {name}: is missing (null, or NaN); the model was trained on an array, in "
                "which no value is missing",
            )
    return _matched(TableRows(values, like.columns, like.kinds, tuple(texts)), model)


def of_matrix(x: np.ndarray, model: Served) -> TableRows:
    """Numbers (n, k) in the order of the model's columns, as rows that it takes. Raises `Refusal`."""
    like = model.like
    if x.ndim != 2 or x.shape[1] != len(like.names):
        raise Refusal(400, f"input x has shape {list(x.shape)}; the model takes [n, {len(like.names)}]")
    if texts := [name for name, kind in zip(like.names, like.kinds, strict=True) if kind == "category"]:
        raise Refusal(400, f"column {texts[0]!r} holds text: send one input for each column")
    return of_columns({name: x[:, k] for k, name in enumerate(like.names)}, model)


def _matched(rows: TableRows, model: Served) -> TableRows:
    try:
        found: TableRows = model.like.matched(rows)
    except DataError as error:
        raise Refusal(400, str(error)) from error
    return found


class _Unfit(Exception):
    """A value that does not fit its column."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


def _numbers(values: Sequence[Any] | np.ndarray, column: Column) -> np.ndarray:
    """Values of a column of numbers, (n,) float64: NaN for null, 1 and 0 for true and false. Raises `_Unfit`."""
    if not isinstance(values, np.ndarray):
        return np.array(
            [math.nan if (one := _cell(column, value, i)) is None else one for i, value in enumerate(values)]
        )
    if values.dtype.kind not in "biuf":
        raise _Unfit(0, "is no number; send the column as FP64")
    found = values.astype(np.float64)
    if np.isinf(found).any():
        raise _Unfit(int(np.isinf(found).argmax()), "the number is infinite, or too large")
    return found


def _places(values: Sequence[Any] | np.ndarray, column: Column) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values of a column of text, or of true and false, as `TableRows` has them. Raises `_Unfit`."""
    known: dict[str, int] = {}
    found = np.empty(len(values), np.float64)
    for i, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        cell = _cell(column, _decoded(value, i), i)
        if isinstance(cell, str):
            cell = known.setdefault(cell, len(known))
        found[i] = math.nan if cell is None else cell
    return found, BOOLEANS if column.kind == "boolean" else tuple(known)


def _cell(column: Column, value: Any, row: int) -> float | str | None:
    try:
        return column.value(value)
    except Unfit as error:
        raise _Unfit(row, str(error)) from None


def _decoded(value: Any, row: int) -> Any:
    """A text of a tensor, which is bytes."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _Unfit(row, "the text is not UTF-8") from None
