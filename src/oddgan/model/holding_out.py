"""Which rows are held out of training: to tune score weights with, and to calibrate with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, ParameterError
from ..kit.recipe import Recipe
from ..rows import Rows, together
from ..verdict import MAP_TERMS
from ..verdict.strata import one_each
from .scored_by import score_terms


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Which rows are held out of training: normals of the user's own to `tune` and to `calibrate` with, whatever
    `open_rows` takes; where they are None, some of the training rows, those of one of `groups` (n,) together, and the
    threshold by `strata` (n,)."""

    tune: Any = None
    calibrate: Any = None
    groups: Any = None
    strata: Any = None

    def __post_init__(self) -> None:
        if self.strata is not None and self.calibrate is not None:
            raise ParameterError(
                "strata are of the rows to train on, and those to calibrate with are given apart: fit without strata, "
                "then recalibrate(rows, strata=...)"
            )

    def keys(self, rows: Rows) -> "Keys":
        """What these rows belong to. Raises `DataError` where there is not one key for each row."""
        return Keys(together(rows, self.groups), one_each(self.strata, len(rows), "strata"))

    def calibrating(self, keys: "Keys", numbers: np.ndarray) -> dict[str, np.ndarray | None]:
        """The "groups" and "strata" (m,) of the calibration rows: of those numbers, or none where they are the user's
        own."""
        if self.calibrate is not None:
            return {"groups": None, "strata": None}
        found = {"groups": keys.groups, "strata": keys.strata}
        return {name: None if values is None else values[numbers] for name, values in found.items()}


@dataclass(frozen=True, eq=False)
class Keys:
    """Of n rows, the numbers (n,) int64 of the groups that are held out together, and their strata (n,) str."""

    groups: np.ndarray | None
    strata: np.ndarray | None


def units(rows: int, groups: np.ndarray | None) -> tuple[int, str]:
    """How many exchangeable things so many rows are, and what to call them."""
    return (rows, "rows") if groups is None else (len(np.unique(groups)), "groups")


def hold_out(
    recipe: Recipe,
    n: int,
    seed: int,
    *,
    tune: bool,
    calibrate: bool,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Row numbers for training, and for "tune" and "calibrate" where they are to be held out, drawn by the seed.

    Rows of one of `groups` (n,) are held out together. Beyond `max_held_out_rows` each, rows are worth more in
    training, unless an explicit false-alarm rate needs more to be met.
    """
    rate, most = recipe.false_alarm_rate, recipe.max_held_out_rows
    if not isinstance(rate, str):
        most = max(most, math.ceil(10 / rate))
    share = max(1, round(n * recipe.calibrate_fraction))
    counts = {
        "calibrate": min(share, most) if calibrate else 0,
        "tune": min(max(1, share // 2), recipe.max_held_out_rows) if tune and tunes(recipe) else 0,
    }
    return divide(n, counts, seed, groups)


def tunes(recipe: Recipe) -> bool:
    """Whether a fit needs rows to tune with: what is usual of several score terms, or of maps, is found on them."""
    names = score_terms(recipe)
    return (
        len(names) > 1
        or any(name in MAP_TERMS for name in names)
        or getattr(recipe, "early_stopping", None) is not None
    )


def divide(
    n: int, counts: Mapping[str, int], seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Of n rows the numbers of those to train on, and by name of so many (`counts`) others: disjoint, drawn by the
    seed, ascending. Rows of one of `groups` (n,) stay together, which may make parts larger."""
    order = np.random.default_rng([seed, n]).permutation(n)
    if groups is not None:  # by groups, each at the place of the first of its rows
        first = np.full(groups.max() + 1, n)
        np.minimum.at(first, groups[order], np.arange(n))
        order = order[np.argsort(first[groups[order]], kind="stable")]
        ends = np.flatnonzero(np.append(np.diff(groups[order]) != 0, True)) + 1
    held, start = {}, 0
    for name, count in counts.items():
        stop = start + count
        if groups is not None and count:
            stop = int(ends[np.searchsorted(ends, stop)])
        held[name] = np.sort(order[start:stop])
        start = stop
    if n - start < 2:
        of = "" if groups is None else f" of {int(groups.max()) + 1:,} groups, which are held out together,"
        raise DataError(f"n_samples = {n}{of} leaves {max(0, n - start)} rows to train on: give more normal rows")
    return np.sort(order[start:]), held
