"""What a fit warns of, from its rows and from the scores of held-out rows (`oddgan.cautions`)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cautions import CalibrationWarning, DataWarning, Kept, warn
from ..rows import Rows
from ..verdict import Calibration
from ..verdict.calibration import LOWEST_AUTO_RATE

FEW = 50  # training rows; fewer say little about what is normal
MANY_COLUMNS = 10  # times as many columns as rows: the axes are likely to be swapped
REPEATED = 0.1  # share of rows that equal others from which on one should know
ON_BOTH_SIDES = 0.02  # share of calibration rows that equal training rows
TIED = 0.1  # share of calibration scores that equal others


def warn_of_labels(y: object) -> None:
    """Of labels that `fit` is given and ignores, where they name several classes."""
    labels = np.unique(np.asarray(y, dtype=object).astype(str)) if y is not None else np.empty(0)
    if len(labels) > 1:
        shown = ", ".join(labels[:4].tolist()) + ", ..." * (len(labels) > 4)
        warn(
            DataWarning,
            "labels-ignored",
            f"y holds several classes ({shown}) and is ignored: all rows are trained on as normal; give normal rows "
            "alone, for instance X[y == 0]",
        )


def warn_of_rows(rows: Rows) -> None:
    """Of a table whose axes are likely to be swapped."""
    if rows.kind == "table" and rows.shape[1] >= MANY_COLUMNS * rows.shape[0]:  # type: ignore[union-attr]
        n, k = rows.shape  # type: ignore[union-attr]
        warn(
            DataWarning,
            "more-columns-than-rows",
            f"the table has {n:,} rows and {k:,} columns: a row is one example and a column one quantity; transpose "
            "the table if it is the other way round",
        )


def warn_of_repetition(trained_on: np.ndarray, held_out: np.ndarray) -> None:
    """Of rows that equal others: within training rows, and across the hold-out. Fingerprints, both (n,) uint64."""
    n = len(trained_on)
    repeated = n - len(np.unique(trained_on))
    if repeated > REPEATED * n:
        warn(
            DataWarning,
            "repeated-rows",
            f"{repeated:,} of {n:,} training rows equal other training rows: if rows were measured once each, the "
            "file holds copies",
        )
    both = int(np.isin(held_out, trained_on).sum())
    if both > ON_BOTH_SIDES * len(held_out):
        warn(
            CalibrationWarning,
            "rows-on-both-sides",
            f"{both:,} of {len(held_out):,} calibration rows equal training rows, so the threshold is lower than new "
            "rows need and false alarms may exceed the rate: remove copies, or give other rows to calibrate with",
        )


def renewed(facts: Mapping[str, Any], found: Kept) -> Kept:
    """What a model warns of that is calibrated anew: `found`, in place of what was said of the calibration before."""
    kept = [one for one in facts.get("warnings", ()) if one["kind"] != CalibrationWarning.__name__]
    return kept + [one for one in found if one not in kept]


def warn_of_few(n_train: int) -> None:
    """Of few training rows."""
    if n_train < FEW:
        warn(
            DataWarning,
            "few-rows",
            f"{n_train:,} rows to train on say little about what is normal: give some hundreds",
        )


def warn_of_calibration(calibration: Calibration, rate: object) -> None:
    """Of a rate that is higher than "auto" stands for, strata that are too small for it, and scores that tie."""
    scores, n = calibration.scores, len(calibration.scores)
    if rate == "auto" and calibration.rate > LOWEST_AUTO_RATE:
        needed = round(1 / LOWEST_AUTO_RATE) - 1
        noun = "calibration rows" if calibration.groups is None else "groups of calibration rows"
        warn(
            CalibrationWarning,
            "weak-rate",
            f"the false-alarm rate is {calibration.rate:.2g}, since {calibration.count:,} {noun} hold no lower one; "
            f"{LOWEST_AUTO_RATE:g} takes {needed} of them: give more normal rows, or set the rate that you accept",
        )
    if small := [name for name in calibration.strata if name not in calibration.by_stratum]:
        warn(
            CalibrationWarning,
            "small-strata",
            f"{len(small):,} of {len(calibration.strata):,} strata, the first is {small[0]}, have too few calibration "
            f"rows for a false-alarm rate of {calibration.rate:.2g} and are judged by the threshold of all rows: give "
            "more rows of them",
        )
    if calibration.groups is not None:  # equal rows of a group are one
        scores = np.unique(np.column_stack([scores, calibration.groups]), axis=0)[:, 0]
        n = len(scores)
    _, counts = np.unique(scores, return_counts=True)
    tied = int(counts[counts > 1].sum())
    if n > 1 and tied > TIED * n:
        warn(
            CalibrationWarning,
            "tied-scores",
            f"{tied:,} of {n:,} calibration scores equal others ({len(counts):,} different ones): p-values come in "
            "steps, and a row is only called an anomaly above all rows that it ties with",
        )
