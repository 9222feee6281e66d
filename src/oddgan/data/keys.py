"""What training rows belong together, or of which sort they are, by what a data set itself says: the folder of a
picture, a part of its name, or a column of a table."""

import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ParameterError
from ..rows import open_rows
from .split import Rows, Split

FOLDER = "folder"


def keyed(split: Split, groups: str | None, strata: str | None) -> Split:
    """`split` with the `groups` and `strata` of its training rows. Columns that hold them are no longer rows' own."""
    found = {name: by for name, by in (("groups", groups), ("strata", strata)) if by is not None}
    if split.train is None or not found:
        return split
    keys = {name: keys_of(split.train, by, name, split.name) for name, by in found.items()}
    columns = list(dict.fromkeys(found.values()))
    counted = [f"{name} by {by}: {len(set(keys[name].tolist())):,}" for name, by in found.items()]
    note = "; ".join([split.note, *counted])
    return replace(
        split,
        train=without(split.train, columns),
        test=without(split.test, columns),
        note=note,
        groups=keys.get("groups"),
        strata=keys.get("strata"),
    )


def keys_of(rows: Rows, by: str, what: str, where: str) -> NDArray[np.str_]:
    """The key of each row, (n,) str. `by`: a column of a table; of pictures in files "folder", or a regular expression
    that is searched for in their names, whose first group (or all that it matches) is the key. Raises `DataError` that
    names the first row without a key, `ParameterError` for what is no regular expression."""
    opened = open_rows(rows)
    if opened.kind == "table":
        if opened.columns is None:  # type: ignore[union-attr]
            raise DataError(f"{where}: has no columns with names, of which {what}={by!r} could be one")
        values = opened.column(by).tolist()  # type: ignore[union-attr]
        for i, value in enumerate(values):
            if value is None or value != value:
                raise DataError(f"{where}: row {i} (counted from 0) has no value in column {by!r}; fill it in")
        return np.array(list(map(str, values)), dtype=np.str_)
    if not opened.named:
        raise DataError(f"{where}: its pictures have no names that {what}={by!r} could be found in; give files")
    names = [opened.name(i) for i in range(len(opened))]
    if by == FOLDER:
        return np.array([PurePosixPath(name).parent.as_posix() for name in names], dtype=np.str_)
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise ParameterError(f"{what}={by!r}: is neither {FOLDER!r} nor a regular expression ({error})") from None
    found = [pattern.search(name) for name in names]
    if None in found:
        raise DataError(f"{where}: {names[found.index(None)]} does not match {what}={by!r}; change the pattern")
    return np.array([match[1 if pattern.groups else 0] or "" for match in found if match], dtype=np.str_)


def without(rows: Any, columns: list[str]) -> Any:
    """Rows without these columns, where they have columns."""
    return rows if rows is None or not hasattr(rows, "without") else rows.without(columns)
