"""Tables as the rest of oddgan reads them: one matrix, with the values of text columns listed beside it.

A table of numbers is that matrix and nothing else. In a column of text or of true and false, the matrix holds the place
of each value in the column's list of values, so that rows of any kind are taken, cut and counted alike.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DataTypeError
from .stored_table import Numbers, StoredTable
from .texts import suspicious

Kind: TypeAlias = Literal["number", "category", "boolean"]
BOOLEANS = ("False", "True")
"""The values of every column of true and false."""
PIECE = 2**24  # bytes of a table that are looked at together


@dataclass(frozen=True, eq=False)
class TableRows:
    """n rows of k columns.

    `values`: (n, k) numbers, in memory or in a file (`StoredTable`); NaN is a missing value. In a column that is no
    number they are places in the column's `texts`. `kinds`: of each column; `texts`: of each column its values, ()
    for numbers. Both are empty for an array of numbers. `columns`: the user's names, None where there are none.
    `labels`: what a frame's index calls each row, None where it only counts them. `plain`: of each column, whether it
    holds texts that nobody called categories, so that they may be something else (`refuse_suspicious`); empty where
    there are none.
    """

    values: Numbers
    columns: tuple[str, ...] | None = None
    kinds: tuple[Kind, ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()
    labels: NDArray[Any] | None = None
    plain: tuple[bool, ...] = ()

    kind: ClassVar[str] = "table"
    named: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, numbers: slice | NDArray[Any]) -> "TableRows":
        """Those rows: a slice, or row numbers (m,)."""
        labels = None if self.labels is None else self.labels[numbers]
        return TableRows(self.values[numbers], self.columns, self.kinds, self.texts, labels, self.plain)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def frame(self) -> bool:
        """Whether columns have kinds, as those of a DataFrame or a file have, so that values may be missing."""
        return bool(self.kinds)

    def kind_of(self, column: int) -> Kind:
        """What the column holds."""
        return self.kinds[column] if self.kinds else "number"

    def name(self, i: int) -> str:
        """What to call row i in a message."""
        return f"row {i if self.labels is None else self.labels[i]}"

    def name_of(self, column: int) -> str:
        """What to call a column in a message: its name, or its number."""
        return self.columns[column] if self.columns else str(column)

    def taken(self, start: int, stop: int) -> "TableRows":
        """Rows `start` to `stop` - 1."""
        return self[start:stop]

    def some(self, numbers: NDArray[Any]) -> "TableRows":
        """The rows with these numbers (m,), in that order."""
        return self[numbers]

    def content(self) -> Iterator[bytes]:
        """What the table holds, piece by piece, to compare two tables."""
        yield repr((self.columns, self.kinds, self.texts, self.values.shape, self.values.dtype.str)).encode()
        step = max(1, PIECE // max(1, self.values[:1].nbytes))
        for start in range(0, len(self), step):
            yield np.ascontiguousarray(self.values[start : start + step]).tobytes()

    def describe(self) -> str:
        """ "12 rows of 3 columns"."""
        return f"{len(self):,} row{'s' * (len(self) != 1)} of {self.shape[1]:,} column{'s' * (self.shape[1] != 1)}"

    def column(self, name: str) -> NDArray[Any]:
        """The values of one column, (n,): float64 with NaN for missing ones, or objects (text, True or False, None)."""
        place = self.place(name)
        if self.kind_of(place) == "number":
            return self.values[:, place].astype(np.float64)
        texts = self.texts[place]
        known = np.array([*(texts if self.kind_of(place) == "category" else (False, True)), None], dtype=object)
        places = self.values[:, place]
        found: NDArray[Any] = known[np.where(np.isnan(places), -1, places).astype(int)]
        return found

    def place(self, name: str) -> int:
        """The number of the column called `name`. Raises `DataError` where there is none."""
        names = self.columns or ()
        if name not in names:
            raise DataError(f"there is no column {name!r}; the columns are {listed(names) or 'without names'}")
        return names.index(name)

    def chosen(self, names: Sequence[str]) -> "TableRows":
        """The columns `names`, in this order. Raises `DataError` where one is missing."""
        at = {name: i for i, name in enumerate(self.columns or ())}
        places = [at[name] if name in at else self.place(name) for name in names]
        kinds = tuple(self.kinds[i] for i in places) if self.kinds else ()
        texts = tuple(self.texts[i] for i in places) if self.texts else ()
        plain = tuple(self.plain[i] for i in places) if self.plain else ()
        return TableRows(self.values[:, places], tuple(names), kinds, texts, self.labels, plain)

    def without(self, names: Sequence[str]) -> "TableRows":
        """All columns but `names`. Raises `DataError` where one of them is missing, or nothing is left."""
        here, dropped = set(self.columns or ()), set(names)
        for name in names:
            if name not in here:
                self.place(name)
        if not (kept := [name for name in self.columns or () if name not in dropped]):
            raise DataError("no column is left; drop fewer")
        return self.chosen(kept)


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names of columns in a message: the first of them, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more  # pandas' may be numbers


def truths(texts: Sequence[str]) -> dict[bool, str]:
    """How a column of texts spells true and false, where it does so in one way: a CSV file has no others."""
    found = {truth: [text for text in texts if text.lower() == str(truth).lower()] for truth in (True, False)}
    return {truth: words[0] for truth, words in found.items() if len(words) == 1}


def is_frame(X: Any) -> bool:
    """Whether X is a DataFrame: of pandas, polars, pyarrow or whatever else narwhals knows."""
    if isinstance(X, np.ndarray | list | tuple | TableRows):
        return False
    if not (hasattr(X, "columns") or hasattr(X, "__narwhals_dataframe__")):  # which every frame has; it takes no import
        return False
    import narwhals as nw

    return bool(nw.dependencies.is_into_dataframe(X))


def as_table(X: Any, first: int = 0) -> TableRows:
    """X as table rows: a 2-D array of finite numbers, or a DataFrame (pandas, polars, pyarrow and others), whose first
    row is called number `first`.

    A DataFrame's numbers, texts, categories and booleans are understood, and each of them may be missing. Arrays are
    not copied. Raises `DataError` that names the row and column of an infinite value, of a NaN in an array, and of a
    column of any other type.
    """
    if isinstance(X, TableRows):
        return X
    if is_frame(X):
        return _from_frame(X, first)
    if isinstance(X, np.ndarray) and (stored := StoredTable.beside(X)) is not None:
        return TableRows(stored)  # what read the file has looked for values that are not finite
    values = np.asarray(X)
    if values.dtype == object:
        values = _numbers_of(values)
    if values.dtype.kind == "c":
        raise DataError("Complex data not supported: give real numbers, for instance their parts as columns")
    if values.dtype.kind not in "biuf":
        raise DataError(f"X is an array of type {values.dtype}: give numbers, or a DataFrame with columns of text")
    if values.ndim != 2:
        raise DataError(
            f"X has shape {values.shape}, and a table has two axes, rows and columns. Reshape your data: "
            "X.reshape(1, -1) is one row, X.reshape(-1, 1) one column"
        )
    if not values.shape[1]:
        raise DataError(f"0 feature(s) (shape={values.shape}) while a minimum of 1 is required: X has no columns")
    refuse_infinite(values, None, or_nan=True)
    return TableRows(values)


def _numbers_of(values: NDArray[Any]) -> NDArray[np.float64]:
    """An array of Python's objects as numbers."""
    try:
        return values.astype(np.float64)
    except TypeError as error:
        raise DataTypeError(f"X holds mixed values ({error}): give a DataFrame, whose columns have types") from None
    except ValueError:
        raise DataError("X holds mixed values: give a DataFrame, whose columns have types") from None


def refuse_infinite(
    values: NDArray[Any], columns: Sequence[str] | None, or_nan: bool = False, labels: NDArray[Any] | None = None
) -> None:
    """Raise `DataError` that names the row and column of an infinite value, or of a missing one; scikit-learn's own
    message names neither."""
    if values.dtype.kind != "f" or values.ndim != 2:
        return
    bad = ~np.isfinite(values) if or_nan else np.isinf(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        what = "NaN" if np.isnan(values[row, column]) else "infinity"
        where = f"row {row if labels is None else labels[row]}, column {columns[column] if columns else column}"
        raise DataError(f"Input X contains {what}: {where}; fill in the value or drop the row")


def _from_frame(X: Any, first: int) -> TableRows:
    import narwhals as nw
    from narwhals.exceptions import DuplicateError

    try:
        series = list(nw.from_native(X, eager_only=True).iter_columns())
    except DuplicateError as error:
        raise DataError(f"two columns have one name ({' '.join(str(error).split())}); rename one") from error
    if not series:
        raise DataError("X has 0 columns: there is nothing to look at")
    named = all(isinstance(one.name, str) for one in series)
    names = [str(one.name) for one in series]
    values = np.empty((len(series[0]), len(series)), np.float64)
    kinds, texts, plain = [], [], []
    for i, one in enumerate(series):
        values[:, i], kind, known = _from_series(one, names[i])
        kinds.append(kind)
        texts.append(known)
        plain.append(kind == "category" and not isinstance(one.dtype, nw.Categorical | nw.Enum))
    labels = _labels(X, len(values))
    refuse_infinite(values, names, labels=np.arange(first, first + len(values)) if labels is None and first else labels)
    columns = tuple(names) if named else None
    return TableRows(values, columns, tuple(kinds), tuple(texts), labels, tuple(plain) if any(plain) else ())


def _labels(X: Any, n: int) -> NDArray[Any] | None:
    """The index of a pandas frame, where it is more than the rows' numbers."""
    index = getattr(X, "index", None)
    if index is None or not hasattr(index, "to_numpy"):
        return None
    labels = np.asarray(index.to_numpy(), dtype=object)
    return None if labels.tolist() == list(range(n)) else labels


def _from_series(series: Any, name: str) -> tuple[NDArray[np.float64], Kind, tuple[str, ...]]:
    """A column's numbers, or the places of its values; its kind; its values."""
    import narwhals as nw

    dtype = series.dtype
    if dtype.is_numeric():
        return _floats(series), "number", ()
    if not isinstance(dtype, nw.String | nw.Categorical | nw.Enum | nw.Boolean | nw.Object | nw.Unknown):
        timed = isinstance(dtype, nw.Datetime | nw.Date | nw.Time | nw.Duration)
        meaning = "; the hour, or the days since an event, would be numbers" * timed
        raise DataError(f"column {name!r} is of type {dtype}: turn it into numbers or text, or drop it{meaning}")
    found = [None if _is_missing(value) else value for value in _listed(series)]
    kind: Kind
    if isinstance(dtype, nw.Boolean):
        kind = "boolean"
    elif isinstance(dtype, nw.String | nw.Categorical | nw.Enum):
        kind = "category"
    else:
        kind = _kind_of(found, name, str(dtype))
    if kind == "number":
        try:
            return np.array([math.nan if value is None else float(value) for value in found]), kind, ()
        except OverflowError:
            raise DataError(
                f"column {name!r} holds whole numbers too large for float64: rescale it, or drop it"
            ) from None
    if kind == "boolean":
        return np.array([math.nan if value is None else float(value) for value in found]), kind, BOOLEANS
    places, known = _coded(found)
    return places, kind, known


def _floats(series: Any) -> NDArray[np.float64]:
    """A column of numbers, whole ones rounded where float64 has no such number."""
    import narwhals as nw

    try:
        return np.asarray(series.cast(nw.Float64).to_numpy(), np.float64)
    except ValueError:  # Arrow refuses to round whole numbers unless it is asked to
        if not series.dtype.is_integer():
            raise
        return np.asarray(series.to_arrow().cast("float64", safe=False).to_numpy(zero_copy_only=False), np.float64)


def refuse_suspicious(
    rows: TableRows, fix: str = "X[{name!r}].astype('category')", apart: Collection[str] = ()
) -> None:
    """Raise `DataError` for a column of texts that seem to be numbers with a typing error among them, or dates, unless
    it is one of `apart`. `fix`: how to say that a column holds categories."""
    for i in np.flatnonzero(rows.plain):
        name, known, places = rows.columns[i] if rows.columns else str(i), rows.texts[i], rows.values[:, i]
        if name in apart or not known:
            continue
        gone = np.isnan(places)
        found = suspicious(known, np.bincount(places[~gone].astype(int), minlength=len(known)), frozenset())
        if found is not None:
            first = rows.name(int(np.flatnonzero(places == known.index(found.text))[0]))
            where = f"{first}, " if found.kind == "number" else ""
            raise DataError(
                f"{where}{found.says(name, found.text)}, or say that it holds categories: {fix.format(name=name)}"
            )


def _is_missing(value: Any) -> bool:
    """Whether a cell is None or NaN."""
    try:
        return value is None or bool(value != value)
    except ValueError:  # an array
        return False


def _listed(series: Any) -> list[Any]:
    """A column's values with None for missing ones; pandas.NA, which has no truth, among them."""
    missing = series.is_null().to_list()
    return [None if gone else value for value, gone in zip(series.to_list(), missing, strict=True)]


def _kind_of(found: list[Any], name: str, dtype: str) -> Kind:
    """What a column of Python's objects holds. Raises `DataError` where it is of no kind, or of several."""
    types = {type(value) for value in found if value is not None}
    if all(issubclass(one, str) for one in types) and types:
        return "category"
    if all(issubclass(one, bool | np.bool_) for one in types) and types:
        return "boolean"
    if all(issubclass(one, Real) and not issubclass(one, bool) for one in types):
        return "number"
    held = " and ".join(sorted(one.__name__ for one in types))
    raise DataError(f"column {name!r} holds {held} (type {dtype}): turn it into numbers or text, or drop it")


def _coded(found: Sequence[Any]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The place of each value in the list of all values, NaN for None; and that list, in the order of appearance."""
    known: dict[str, int] = {}
    places = [math.nan if value is None else known.setdefault(str(value), len(known)) for value in found]
    return np.array(places, np.float64), tuple(known)
