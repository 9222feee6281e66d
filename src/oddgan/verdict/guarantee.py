"""What a threshold guarantees, under which condition, and what of it was checked: in one sentence and in full."""

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from .calibration import Calibration, rank_of

CERTAINTY = 0.9  # of the range in which the rate of one calibration set lies
VIOLATED = {
    "rows-on-both-sides": "calibration rows equal training rows, so the rate may be exceeded",
    "tied-scores": "calibration scores tie, so that fewer rows are called anomalies than the rate allows",
    "small-strata": "some strata are too small and are judged by the threshold of all rows",
    "constant-scores": "scores of normals differ by less than a millionth, so that they say nothing of a row",
    "sampled-rows": "training rows that the model does not know again may be among the calibration rows",
}
"""What a fit warns of, by code, that bears on the guarantee."""
CHECKED = "of the calibration rows, at most 2% equal a training row, and at most 10% have a score that equals another's"
"""What is said where nothing speaks against it: the limits of `oddgan.model.checks`."""


@dataclass(frozen=True)
class Guarantee:
    """A false-alarm `rate`, by so many (`count`) rows or groups in words (`by`), and the range `low` to `high` that
    holds the true rate of this one calibration set with a probability of 90 percent. `groups`: whether rows come in
    groups; `strata`: how many have thresholds of their own; `doubts`: what was found that speaks against it; `factor`:
    how many times the rate the proven bound is (1 but for cross-conformal prediction)."""

    rate: float
    count: int
    by: str
    low: float
    high: float
    groups: bool = False
    strata: int = 0
    doubts: tuple[str, ...] = ()
    factor: float = 1.0

    @classmethod
    def of(cls, calibration: Calibration, codes: Collection[str] = ()) -> "Guarantee":
        """What a calibration guarantees; `codes` of what its fit has warned of."""
        low, high = rate_range(calibration.rate, calibration.count)
        return cls(
            rate=calibration.rate,
            count=calibration.count,
            by=calibration.describe(),
            low=low,
            high=high,
            groups=calibration.groups is not None,
            strata=len(calibration.by_stratum),
            doubts=tuple(text for code, text in VIOLATED.items() if code in codes),
        )

    def __str__(self) -> str:
        of = "row of a new group" if self.groups else "normal row"
        return (
            f"a {of} is called an anomaly with a probability of at most {percent(self.factor * self.rate)}, as long as "
            f"new normals are like the {self.by} that set the threshold (this set: {percent(self.low)} to "
            f"{percent(self.high)} in 9 of 10 cases){''.join(f'; but {doubt}' for doubt in self.doubts)}"
        )

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """In full: how the threshold came about, what it promises, and when not."""
        row = "a row of a new group" if self.groups else "a normal row"
        asked, twice = percent(self.rate), ""
        if self.factor > 1:
            twice = f" (proven is {percent(self.factor * self.rate)}; {asked} is what is usually found)"
        found = [
            f"The threshold was set on {self.by} held out of training; no label and no test row was used. The p-value "
            "of a row is the share of them, itself included, that score at least as high"
            f"{', each group counted once' if self.groups else ''}.",
            f"If new normal rows come from the same process as those (if they are exchangeable), {row} is flagged with "
            f"a probability of at most {asked}{twice}. This holds on average over calibration sets (it is marginal): "
            f"for this set of {self.count:,}, the true rate is between {percent(self.low)} and {percent(self.high)} "
            "with a probability of 90%, and more calibration rows narrow the range.",
            "It does not hold when new normal rows differ from the calibration rows: another camera or lighting, "
            "another supplier, a drifting machine, near-duplicates of training rows in the calibration set. And it "
            "guarantees nothing about how many anomalies are detected; only labelled test rows show that.",
        ]
        if self.strata:
            found.append(
                f"{self.strata:,} sorts of normals have thresholds of their own, and the rate holds within each of "
                "them where a row's sort is given; without it, all share one threshold."
            )
        checked = "; ".join(self.doubts) or CHECKED
        found.append(f"Checked when the threshold was set: {checked}.")
        return tuple(found)


def rate_range(rate: float, n: int) -> tuple[float, float]:
    """The range that holds the true false-alarm rate for 9 of 10 calibration sets of n rows.

    With k = floor(rate (n + 1)), the rate that a set of n exchangeable rows gives has the distribution
    Beta(k, n + 1 - k). Of groups of several rows, which say more than one row each, the range is wider than need be.
    """
    k = rank_of(rate, n)
    if not 0 < k <= n:
        return 0.0, 1.0
    return _beta_quantile((1 - CERTAINTY) / 2, k, n), _beta_quantile((1 + CERTAINTY) / 2, k, n)


def _beta_quantile(q: float, k: int, n: int) -> float:
    """The quantile of Beta(k, n + 1 - k) at q, by halving: its distribution function at x is the probability that k or
    more of n draws succeed, each with probability x."""
    lower = k <= n - k
    j = np.arange(k) if lower else np.arange(k, n + 1)  # the shorter tail
    ratios = np.log(n - j[:-1]) - np.log(j[:-1] + 1)
    first = math.lgamma(n + 1) - math.lgamma(j[0] + 1) - math.lgamma(n - j[0] + 1)
    choose = first + np.concatenate([[0.0], np.cumsum(ratios)])
    low, high = 0.0, 1.0
    while (x := (low + high) / 2) not in (low, high):
        tail = float(np.exp(choose + j * math.log(x) + (n - j) * math.log1p(-x)).sum())
        low, high = (x, high) if (1 - tail if lower else tail) < q else (low, x)
    return high


def percent(share: float) -> str:
    """A share as a percentage with the decimals that it needs: 41%, 6.5%, 0.25%."""
    decimals = 0 if share in (0, 1) else 1 if share >= 0.01 else 2
    text = f"{100 * share:.{decimals}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"
