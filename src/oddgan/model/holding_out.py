"""Which rows are held out of training: to tune score weights with, and to calibrate with."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, ParameterError
from ..kit.recipe import Recipe
from ..verdict import MAP_TERMS
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


def one_each(values: Any, n: int, name: str) -> np.ndarray | None:
    """Values as texts (n,), one for each row. Raises `DataError` where there are more or fewer."""
    if values is None:
        return None
    found = np.asarray(values, dtype=object)
    if found.shape != (n,):
        raise DataError(f"{name} has shape {found.shape}, and there are {n:,} rows: give one for each row")
    return found.astype(str)


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
    names = score_terms(recipe)
    tuned = len(names) > 1 or any(name in MAP_TERMS for name in names)  # what is usual of them is found on tuning rows
    counts = {
        "calibrate": min(share, most) if calibrate else 0,
        "tune": min(max(1, share // 2), recipe.max_held_out_rows) if tune and tuned else 0,
    }
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
