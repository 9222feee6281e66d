"""Simulated anomalies of table rows: by columns, by distances, and by what goes together."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ParameterError
from ..rows.tables import TableRows

__all__ = ["KINDS", "Kind", "anomalous"]

Kind = Literal["mixed", "scaled", "beyond", "local", "shuffled"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REFERENCES = 256  # rows among which a row's neighbours are looked for
NEIGHBOURS = 5
AFRESH = 8  # how often another row is drawn where one has the same value


def anomalous(
    rows: TableRows, random: np.random.Generator, kind: Kind | None = None
) -> tuple[TableRows, NDArray[np.str_]]:
    """One simulated anomalous row for each normal row.

    Parameters
    ----------
    rows : TableRows
        n normal rows, at least two. They are not changed.
    random : numpy.random.Generator
        Where everything random is drawn from.
    kind : one of `KINDS`, optional
        "mixed": some columns (one to half of them) have another row's values. "scaled": some numeric columns are
        multiplied by a factor of 1/4 to 1/2 or of 2 to 4. "beyond": some numeric columns lie outside of the range of
        all rows, by a tenth of it to all of it. "local": the numbers move together in a random direction, by two to
        six times the distance to the row's neighbours. "shuffled": every column has a value of a row of its own, so
        that all values are usual and what goes together is not. By default each row has a random kind of those that
        the table permits: in one without numbers, "mixed" and "shuffled".

    Returns
    -------
    rows : TableRows
        n rows of the same columns and kinds, of numbers in float64 where they were whole, without labels. Categories
        have known values only, missing values stay missing and others stay present, and no value is infinite. A
        constant column stays constant if its values come from rows; "beyond" moves it by its own size. A row all of
        whose values are zero or missing is not changed by "scaled".
    kinds : (n,) str
        The kind of each row.

    Raises
    ------
    DataError
        There are fewer than two rows.
    ParameterError
        `kind` is unknown, or needs numbers and the table has none.
    """
    n, k = rows.shape
    if n < 2:
        raise DataError(f"{rows.describe()}: simulated anomalies need at least 2, whose values they exchange")
    numeric = np.flatnonzero([rows.kind_of(column) == "number" for column in range(k)])
    possible = KINDS if len(numeric) else ("mixed", "shuffled")
    if kind is not None and kind not in KINDS:
        raise ParameterError(f"kind={kind!r}: expected one of {', '.join(KINDS)}")
    if kind is not None and kind not in possible:
        raise ParameterError(f"kind={kind!r}: is for tables with numbers; mixed and shuffled are for all")
    drawn = random.integers(len(possible), size=n)
    kinds = np.array(possible)[drawn] if kind is None else np.full(n, kind)
    given = rows.values.astype(np.float64)
    values = given.copy()
    for one in possible:
        those = np.flatnonzero(kinds == one)
        if len(those):
            with np.errstate(over="ignore", invalid="ignore"):
                values[those] = _changed(given, those, numeric, one, random)
    limit = float(np.finfo(rows.values.dtype).max) if rows.values.dtype.kind == "f" else np.inf
    values = np.clip(values, -limit, limit)
    values = np.where(np.isnan(values) | np.isnan(given), given, values)  # NaN: where numbers were too large
    dtype = rows.values.dtype if rows.values.dtype.kind == "f" else np.dtype(np.float64)
    return TableRows(values.astype(dtype), rows.columns, rows.kinds, rows.texts, None, rows.plain), kinds


def _changed(
    given: NDArray[np.float64],
    those: NDArray[np.intp],
    numeric: NDArray[np.intp],
    kind: str,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Those of the rows, with one kind of anomaly."""
    k = given.shape[1]
    values = given[those]
    if kind == "mixed":
        chosen = _some(values, max(1, k // 2), random)
        return np.where(chosen, _others(given, those, random, chosen, one=True), values)
    if kind == "shuffled":
        return _others(given, those, random, ~np.isnan(values), one=False)
    numbers = values[:, numeric]
    if kind == "local":
        values[:, numeric] = _moved(given[:, numeric], numbers, random)
        return values
    if kind == "scaled":
        there = np.where(numbers == 0, np.nan, numbers)  # zero would stay zero
        factor = 2.0 ** (random.uniform(1, 2, numbers.shape) * random.choice((-1, 1), numbers.shape))
        new = numbers * factor
    else:
        there = numbers
        low, high = _range(given[:, numeric])
        span = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
        by = random.uniform(0.1, 1, numbers.shape) * span
        new = np.where(random.random(numbers.shape) < 0.5, low - by, high + by)
    values[:, numeric] = np.where(_some(there, max(1, len(numeric) // 4), random), new, numbers)
    return values


def _range(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the largest value of each column; 0 where all are missing."""
    gone = np.isnan(values)
    low, high = np.where(gone, np.inf, values).min(0), np.where(gone, -np.inf, values).max(0)
    return np.where(gone.all(0), 0.0, low), np.where(gone.all(0), 0.0, high)


def _some(values: NDArray[np.float64], most: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """One to `most` random columns of each row (m, k) that are not missing: (m, k) bool."""
    m, k = values.shape
    order = random.random((m, k)) + np.isnan(values)  # missing ones last
    place = np.argsort(np.argsort(order, 1), 1)
    return (place < random.integers(1, most + 1, (m, 1))) & ~np.isnan(values)


def _others(
    given: NDArray[np.float64],
    those: NDArray[np.intp],
    random: np.random.Generator,
    chosen: NDArray[np.bool_],
    *,
    one: bool,
) -> NDArray[np.float64]:
    """Values of other rows for those rows (m, k): of one row each, or in every column of its own. Where the value
    is missing or equal to the row's, of one row in all `chosen` columns (m, k), it is drawn afresh a few times."""
    n, k = given.shape
    shape = (len(those), 1 if one else k)
    columns = np.arange(k)
    source = (those[:, None] + random.integers(1, n, shape)) % n
    for _ in range(AFRESH):
        found = given[np.broadcast_to(source, (len(those), k)), columns]
        useless = np.isnan(found) | (found == given[those]) | ~chosen
        again = useless.all(1, keepdims=True) if one else useless & chosen
        if not again.any():
            break
        source = np.where(again, (those[:, None] + random.integers(1, n, shape)) % n, source)
    found = given[np.broadcast_to(source, (len(those), k)), columns]
    return np.where(np.isnan(found), given[those], found)


def _moved(
    given: NDArray[np.float64], numbers: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Rows (m, k) moved in random directions, two to six times as far as their neighbours are."""
    gone = np.isnan(given)
    count = np.maximum((~gone).sum(0), 1)
    mean = np.where(gone, 0, given).sum(0) / count
    deviation = np.sqrt(np.where(gone, 0, (given - mean) ** 2).sum(0) / count)
    deviation = np.where(deviation > 0, deviation, np.maximum(np.abs(mean), 1.0))
    chosen = random.permutation(len(given))[:REFERENCES]
    reference = np.nan_to_num((given[chosen] - mean) / deviation)
    scaled = np.nan_to_num((numbers - mean) / deviation)
    far = (scaled**2).sum(1)[:, None] + (reference**2).sum(1) - 2 * scaled @ reference.T
    nearest = np.sort(np.sqrt(np.maximum(far, 0)), 1)[:, 1 : 1 + NEIGHBOURS]  # the first may be the row itself
    reach = np.maximum(nearest.mean(1) if nearest.shape[1] else 1.0, 0.1 * np.sqrt(given.shape[1]))
    direction = random.normal(size=numbers.shape)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
    step = direction * (reach * random.uniform(2, 6, len(numbers)))[:, None]
    moved: NDArray[np.float64] = numbers + step * deviation
    return moved
