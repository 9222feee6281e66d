"""Which rows of a batch are anomalies, so that few that are called so are normal: Benjamini and Hochberg's procedure.

A false-alarm rate says how many of the normal rows are called anomalies; of a million rows 1 percent are ten thousand.
A false discovery rate says how many of the rows that are called anomalies are normal, on average at most. p-values that
share their calibration rows depend on each other, but in a way (positive regression dependence on each of those of
normal rows) in which the procedure still holds (Bates et al. 2023).

That is of p-values of one calibration set and one model. Cross-conformal ones are proven up to a factor of about two
only, and nobody has shown that they depend in that way: for them the share is what is to be expected, not a promise.
"""

import math

import numpy as np

from ..errors import ParameterError

UNPROVEN = (
    "the share of normal rows among the discoveries is not proven for cross-conformal p-values, which are so up to a "
    "factor only: take it as an estimate, or use a detector or an Ensemble, which hold rows out"
)


def check_fdr(fdr: float) -> float:
    """The false discovery rate, if it is one. Raises `ParameterError`."""
    if not 0 < fdr < 1:
        raise ParameterError(f"fdr={fdr!r}: must lie between 0 and 1")
    return float(fdr)


def q_values(p: np.ndarray) -> np.ndarray:
    """p-values (m,) of a batch -> the lowest false discovery rate at which each row is an anomaly, (m,) float64. NaN
    stays, and does not count as a row."""
    q = np.full(len(p), np.nan)
    usable = np.flatnonzero(~np.isnan(p))
    falling = usable[np.argsort(p[usable])[::-1]]
    m = len(usable)
    q[falling] = np.minimum(1, np.minimum.accumulate(p[falling] * (m / np.arange(m, 0, -1))))
    return q


def discoveries(p: np.ndarray, fdr: float) -> np.ndarray:
    """Which rows of a batch with p-values (m,) are anomalies at this false discovery rate, (m,) bool."""
    return np.asarray(q_values(p) <= check_fdr(fdr) + 1e-12)


def least_together(smallest: float, rows: int, fdr: float) -> int:
    """How many of `rows` rows must have the `smallest` p-value that there can be, for any of them to be a discovery: k
    such that smallest <= fdr k / rows. More than `rows`: there can be none."""
    return max(1, math.ceil(smallest * rows / fdr - 1e-9))


def too_few(p: np.ndarray, smallest: float, fdr: float) -> str:
    """What to warn of where the calibration rows are too few for this batch, with p-values (m,) of which `smallest` is
    the smallest possible; "" where they are enough, or where something was found."""
    usable = p[~np.isnan(p)]
    rows = len(usable)
    if not rows or discoveries(usable, fdr).any() or (least := least_together(smallest, rows, fdr)) == 1:
        return ""
    tied = int((usable <= smallest + 1e-12).sum())
    needed = math.ceil(rows / fdr)
    what = (
        f"{least:,} of {rows:,} rows would have to score above all of them, and {tied:,} do"
        if least <= rows
        else "not even all rows together could"
    )
    return (
        f"{round(1 / smallest) - 1:,} calibration rows are too few to find a single anomaly among {rows:,} rows at a "
        f"false discovery rate of {fdr:g}: {what}; {needed - 1:,} would do, or score fewer rows at a time"
    )
