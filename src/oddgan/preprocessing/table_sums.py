"""Some rows of a table, looked at piece by piece or column by column: what a fit learns of tables of any size.

A table of at most `LARGE` bytes is held as one array, and figures are NumPy's. Of a larger one memory holds a piece and
a few columns: counts, extremes, means and deviations are of all its rows, and what needs all values of a column in
order (quantiles, medians, kurtosis) is of a sample where there are more than `EXACT` rows. The sample is one row drawn
from each of `SAMPLED` equal stretches of the training rows, always by the same seed, so that the same rows give the
same model wherever they come from.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..rows.stored_table import LARGE, PIECE, Numbers

Floats: TypeAlias = NDArray[np.float64]

COLUMNS = 2**27  # bytes of columns that are held together
EXACT = 2**22  # rows of a large table up to which quantiles are those of all of them
SAMPLED = 2**20  # rows that stand for more of them


class Seen(NamedTuple):
    """Of each column, (k,): how many values are missing; the smallest, the largest and the sum of the others, NaN, NaN
    and 0 of none; whether all of them are whole numbers."""

    gone: NDArray[np.int64]
    least: Floats
    most: Floats
    whole: NDArray[np.bool_]
    total: Floats

    @property
    def largest(self) -> Floats:
        """The largest absolute value."""
        return np.maximum(-self.least, self.most)


def _seen(part: Floats) -> Seen:
    gone = np.isnan(part)
    there = np.where(gone, 0.0, part) if gone.any() else part
    whole = (there == np.rint(there)).all(axis=0)
    return Seen(gone.sum(axis=0), np.fmin.reduce(part), np.fmax.reduce(part), whole, there.sum(axis=0))


class Chosen:
    """Some rows (`numbers`, (n,); None: all) of (N, k) values, as float64. `change`: what each piece (m, k) becomes."""

    def __init__(
        self,
        values: Numbers,
        numbers: NDArray[np.int64] | None = None,
        change: Callable[[Floats], Floats] | None = None,
    ) -> None:
        self.values, self.numbers, self.change = values, numbers, change
        n = len(values) if numbers is None else len(numbers)
        self.shape: tuple[int, int] = n, values.shape[1]
        self.held: Floats | None = None
        """All rows in one array, where they are few enough."""
        if 8 * n * self.shape[1] <= LARGE:
            self.held = self._piece(0, n)

    def __len__(self) -> int:
        return self.shape[0]

    def _piece(self, start: int, stop: int) -> Floats:
        if self.numbers is not None:
            rows = self.values[self.numbers[start:stop]]
        else:
            rows = self.values if stop - start == len(self.values) else self.values[start:stop]
        found = np.asarray(rows, dtype=np.float64)
        return found if self.change is None else self.change(found)

    def parts(self) -> Iterator[Floats]:
        """All rows, (m, k) at a time."""
        if self.held is not None:
            yield self.held
            return
        step = max(1, PIECE // (8 * max(1, self.values.shape[1])))  # what is read, however few columns are chosen
        for start in range(0, len(self), step):
            yield self._piece(start, min(start + step, len(self)))

    def columns(self, which: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """The columns `which`, each with its number: (n,)."""
        if self.held is not None:
            yield from ((i, self.held[:, i]) for i in which)
            return
        together = max(1, COLUMNS // (8 * len(self)))
        for start in range(0, len(which), together):
            some = list(which[start : start + together])
            found, at = np.empty((len(some), len(self))), 0
            for part in self.parts():
                found[:, at : at + len(part)] = part[:, some].T
                at += len(part)
            yield from zip(some, found, strict=True)

    def changed(self, change: Callable[[Floats], Floats], width: int | None = None) -> Chosen:
        """The same rows, of which every piece is changed so, to `width` columns where it is not as many."""
        other = object.__new__(Chosen)
        before = self.change
        other.values, other.numbers = self.values, self.numbers
        other.change = change if before is None else lambda part: change(before(part))
        other.shape = len(self), self.shape[1] if width is None else width
        other.held = None if self.held is None else change(self.held)
        return other

    def taking(self, columns: Sequence[int]) -> Chosen:
        """Some of the columns."""
        some = list(columns)
        return self if some == list(range(self.shape[1])) else self.changed(lambda part: part[:, some], len(some))

    @property
    def sample(self) -> Chosen:
        """All rows, or those that stand for them in quantiles (see the module)."""
        n = len(self)
        if self.held is not None or n <= EXACT:
            return self
        drawn = np.random.default_rng(0).random(SAMPLED)
        chosen = ((np.arange(SAMPLED) + drawn) * (n / SAMPLED)).astype(np.int64)
        chosen = np.minimum(chosen, n - 1)
        other = Chosen(self.values, chosen if self.numbers is None else self.numbers[chosen], self.change)
        other.shape = len(chosen), self.shape[1]
        return other

    # --- figures of columns, (k,) each -----------------------------------------------------------------------------

    @cached_property
    def seen(self) -> Seen:
        """What one pass over all rows tells."""
        found = [_seen(part) for part in self.parts()]
        gone, least, most, whole, total = zip(*found, strict=True)
        return Seen(
            np.sum(gone, axis=0),
            np.fmin.reduce(least),
            np.fmax.reduce(most),
            np.logical_and.reduce(whole),
            np.sum(total, axis=0),
        )

    def first(self, column: int) -> float:
        """The first value of a column that is not missing. Raises StopIteration where there is none."""
        known = (part[~np.isnan(part[:, column]), column] for part in self.parts())
        return float(next(values[0] for values in known if len(values)))

    def moments(self) -> tuple[Floats, Floats]:
        """The means and the standard deviations of the values that are not missing; of none, NaN."""
        if self.held is not None:
            return (
                (np.nanmean(self.held, axis=0), np.nanstd(self.held, axis=0))
                if np.isnan(self.held).any()
                else (self.held.mean(axis=0), self.held.std(axis=0))
            )
        there = len(self) - self.seen.gone
        with np.errstate(invalid="ignore"):
            mean = self.seen.total / there
            square: Floats = sum(np.nansum((part - mean) ** 2, axis=0) for part in self.parts()) / there
        return mean, np.sqrt(square)

    def counts(self, sizes: Mapping[int, int]) -> dict[int, NDArray[np.int64]]:
        """How often each of the places 0 to size - 1 occurs, (size,), by column: `sizes` are those of some columns."""
        found = {column: np.zeros(size, np.int64) for column, size in sizes.items()}
        for part in self.parts() if sizes else ():
            for column, count in found.items():
                places = part[:, column]
                count += np.bincount(places[~np.isnan(places)].astype(int), minlength=len(count))
        return found

    def distinct(self, column: int) -> bool:
        """Whether a column's values may all differ, by the rows that are read first."""
        known = np.sort(self._first[:, column])
        return not bool((known[1:] == known[:-1]).any())

    @cached_property
    def _first(self) -> Floats:
        return next(self.parts())

    def medians(self) -> Floats:
        """Of the sample; NaN where it misses all values of a column."""
        some = self.sample
        with _quietly():
            if some.held is not None:
                return np.asarray(np.nanmedian(some.held, axis=0))
            return np.array([np.nanmedian(column) for _, column in some.columns(range(self.shape[1]))])

    def quantiles(self, shares: Sequence[float]) -> Floats:
        """Of the sample, (len(shares), k); NaN where it misses all values of a column."""
        some = self.sample
        with _quietly():
            if some.held is not None:
                return np.asarray(np.nanquantile(some.held, shares, axis=0))
            found = [np.nanquantile(column, shares) for _, column in some.columns(range(self.shape[1]))]
            return np.stack(found, axis=1)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without NumPy's warning of columns that hold nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        yield
