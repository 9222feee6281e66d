"""From a line of text to something to score: a picture or a row of a table, and what its answer is to be called."""

import base64
import binascii
import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import strict_json
from ..errors import DataError
from ..preprocessing import PicturePreprocessor, TablePreprocessor
from ..rows import PictureRows, Rows, TableRows
from ..rows.cells import Column, Unfit
from ..rows.decode import Unreadable, decode
from ..rows.pictures import NamedPictures, as_stored_type
from ..rows.places import joined
from ..rows.tables import BOOLEANS, Kind, listed
from ..strict_json import SHOWN
from .lines import Line

CATEGORY: Kind = "category"


@dataclass(frozen=True)
class Item:
    """Something to score. `echo`: what its answer begins with; `name`: what to call it; `value`: the picture (H, W, C),
    or the cells of a row; `error`: why there is none."""

    echo: dict[str, Any]
    name: str | int
    value: Any = None
    error: str = ""


class Reader(Protocol):
    """From lines to items, and from items to rows."""

    def item(self, line: Line) -> Item:
        """What the line asks for."""

    def rows(self, items: Sequence[Item]) -> Rows:
        """The values of items, as rows."""


class Pictures:
    """Lines that are paths of pictures, or JSON objects: {"path": ..., "id": ...}, {"picture": BASE64, "id": ...}."""

    def __init__(self, preprocessor: PicturePreprocessor) -> None:
        self.preprocessor = preprocessor

    def item(self, line: Line) -> Item:
        """The picture that a line names or holds."""
        echo: dict[str, Any] = {"line": line.number}
        try:
            data = _checked(line)
            if not data.lstrip().startswith(b"{"):
                echo["path"] = os.fsdecode(data)
                return self._item(echo, decode, echo["path"])
            asked = parsed(data)
            if unknown := asked.keys() - {"id", "path", "picture"}:
                raise DataError(f"has a key {min(unknown)!r:.{SHOWN}}; there are id, path and picture")
            _with_id(echo, asked)
            if ("path" in asked) == ("picture" in asked):
                raise DataError("give either path, or picture: the bytes of a picture's file in base64")
            if "path" in asked:
                echo["path"] = asked["path"]
                return self._item(echo, decode, _place(asked["path"]))
            return self._item(echo, decode, _content(asked["picture"]))
        except DataError as error:
            return Item(echo, _name(echo), error=str(error))

    def _item(self, echo: dict[str, Any], read: Any, source: Any) -> Item:
        return Item(echo, _name(echo), self.picture(read, source))

    def picture(self, read: Any, source: Any) -> np.ndarray:
        """The picture (H, W, C) that `read` makes of a source, as the model takes it. Raises `DataError`."""
        try:
            found = read(source)
        except Unreadable as bad:
            raise DataError(bad.reason) from bad
        found = as_stored_type(found if found.ndim == 3 else found[..., None])
        self.preprocessor.check(found)
        return found

    def rows(self, items: Sequence[Item]) -> Rows:
        """The pictures, under their names."""
        names = [str(item.name) for item in items]
        return PictureRows(NamedPictures(range(len(items)), names.__getitem__, [item.value for item in items]))


class Table:
    """Lines that are rows of a table: {column: value, ...}, or {"id": ..., "row": {column: value, ...}}; a list of
    numbers in place of an object where the model's columns have no names.

    `drop`: columns that are left out; `beside`: one that the model does not take, which says of which sort a row is.
    """

    def __init__(self, preprocessor: TablePreprocessor, drop: Collection[str] = (), beside: str | None = None) -> None:
        self.preprocessor, self.drop = preprocessor, frozenset(drop)
        own = preprocessor.columns
        self.beside = [] if beside is None or own is None or beside in own else [beside]
        self.columns = None if own is None else (*own, *self.beside)
        self.own = frozenset(self.columns or ())
        known: Any = preprocessor.texts or ((),) * len(preprocessor.kinds)
        self.kinds: tuple[Kind, ...] = (*preprocessor.kinds, *(CATEGORY for _ in self.beside))
        self.cells = [*map(Column, preprocessor.kinds, known), *(Column(CATEGORY) for _ in self.beside)]

    def item(self, line: Line) -> Item:
        """The row in a line."""
        echo: dict[str, Any] = {"line": line.number}
        try:
            row = parsed(_checked(line), either=True)
            if isinstance(row, dict) and isinstance(row.get("row"), dict | list):  # no cell is an object
                if unknown := row.keys() - {"id", "row"}:
                    raise DataError(f"has a key {min(unknown)!r:.{SHOWN}} beside row; there are id and row")
                _with_id(echo, row)
                row = row["row"]
            return Item(echo, _name(echo), self._cells(row))
        except DataError as error:
            return Item(echo, _name(echo), error=str(error))

    def _cells(self, row: Any) -> list[Any]:
        """The values of a row in the order of the columns: floats, texts, None."""
        k = len(self.kinds)
        if self.columns is None:
            if not isinstance(row, list) or len(row) != k:
                raise DataError(f"the model's columns have no names: give a list of {k:,} values")
            if None in row:
                raise DataError(f"column {row.index(None)} is null, and every value is needed")
            return [self._cell(i, value, str(i)) for i, value in enumerate(row)]
        if not isinstance(row, dict):
            raise DataError("give an object with a value for each column, not a list")
        if unknown := [name for name in row if name not in self.own and name not in self.drop]:
            fix = '; {"id": ..., "row": {...}} has an id beside the columns' if unknown == ["id"] else ""
            raise DataError(
                f"the model has no column {listed(unknown, 3):.{SHOWN}}{fix or '; leave it out, or --drop it'}"
            )
        if missing := [name for name in self.columns if name not in row]:
            raise DataError(f"has no column {listed(missing, 3)}; a value that is missing is null")
        return [self._cell(i, row[name], name) for i, name in enumerate(self.columns)]

    def _cell(self, i: int, value: Any, name: str) -> Any:
        try:
            return self.cells[i].value(value)
        except Unfit:
            held = {"number": "numbers", "category": "text", "boolean": "true and false"}[self.kinds[i]]
            if self.kinds[i] == "number" and isinstance(value, int):
                raise DataError(f"column {name!r}: {value!r:.{SHOWN}} is too large") from None
            raise DataError(
                f"column {name!r} held {held} in training, and {json.dumps(value):.{SHOWN}} is none"
            ) from None

    def rows(self, items: Sequence[Item]) -> Rows:
        """The rows as a table."""
        values = np.full((len(items), len(self.kinds)), np.nan)
        texts: list[tuple[str, ...]] = []
        for j, kind in enumerate(self.kinds):
            cells = [item.value[j] for item in items]
            known: dict[str, int] = {}
            for i, cell in enumerate(cells):
                if cell is not None:
                    values[i, j] = known.setdefault(cell, len(known)) if kind == "category" else cell
            texts.append(BOOLEANS if kind == "boolean" else tuple(known))
        if self.columns is None and self.preprocessor.all_numbers:
            return TableRows(values)
        return TableRows(values, self.columns, self.kinds, tuple(texts))


def parsed(data: bytes, *, either: bool = False) -> Any:
    """The JSON object in a line, or a list if `either` will do. Raises `DataError`."""
    try:
        found = strict_json.loads(data.decode("utf-8"), parse_float=_finite)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise DataError(f"is no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise DataError("is nested too deeply") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise DataError(f"is no JSON: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict | list if either else dict):
        raise DataError(f"is no JSON object, but {json.dumps(found):.{SHOWN}}")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise DataError(f"{text:.{SHOWN}} is too large")
    return value


def _checked(line: Line) -> bytes:
    """The bytes of a line. Raises `DataError` for one that is too long, or no line of text."""
    if line.data is None:
        raise DataError("is longer than 64 MiB; give the path of a file")
    if b"\0" in line.data:
        raise DataError("holds a NUL; give UTF-8 with a line break after each item (of find, -print)")
    return line.data


def _with_id(echo: dict[str, Any], asked: dict[str, Any]) -> None:
    if "id" not in asked:
        return
    given = asked["id"]
    if given is not None and not isinstance(given, str | int | float):
        raise DataError("id is neither text nor a number")
    if isinstance(given, str) and "\0" in given:
        raise DataError("id holds a NUL")
    echo["id"] = given


def _name(echo: dict[str, Any]) -> str | int:
    """What to call an item: its path, its id, or the number of its line."""
    path = echo.get("path")
    found = path[0] if isinstance(path, list) and path else path
    found = echo.get("id") if found is None else found
    return echo["line"] if found is None else str(found)


def _place(path: Any) -> str:
    """Where the picture of this path is, or of these, one for each of its channels. Raises `DataError`."""
    paths = path if isinstance(path, list) else [path]
    if not paths or not all(isinstance(one, str) and one and "\0" not in one for one in paths):
        raise DataError("path is neither text nor a list of texts")
    return joined(paths[0], paths) if len(paths) > 1 else str(paths[0])


def _content(picture: Any) -> bytes:
    """The bytes of a picture in base64. Raises `DataError`."""
    if not isinstance(picture, str):
        raise DataError("picture is no text: give the bytes of a picture's file in base64")
    try:
        return base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"picture is no base64 ({error})") from None


def clean(value: Any) -> Any:
    """Of what came with an item: text as UTF-8, in which bytes that are none become replacement characters."""
    if isinstance(value, list):
        return [clean(one) for one in value]
    return re.sub("[\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else value
