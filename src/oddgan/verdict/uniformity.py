"""Do the scores of a batch come from where the calibration scores came from? Plain tests, exact where scores do not tie
and conservative where they do.

A batch may hold anomalies, which is no drift. So it is not asked whether all p-values are uniform but

- whether those of rows that look normal are (scores below the 80 percent quantile of calibration scores),
- whether most rows look normal at all.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .calibration import rank_of

LEAST = 10  # rows on either side of a test of distributions
LEVEL = 0.001  # probability that a batch that is like the calibration rows gets a finding about its scores
BODY = 0.8  # of calibration rows look normal
EFFECT = 0.2  # distance of two distributions from which on a difference matters
USUAL = 0.2  # share of rows below the calibration median, due 0.5, from which on few look normal
EXACT = 10**6  # pairs of rows up to which the test of distributions is exact
MANY = 10**6  # rows up to which that range is exact
BAND = 0.01  # probability that the number of anomalies is outside the range that is stated


@dataclass(frozen=True)
class Finding:
    """Something that differs from training. `code`: what, for programs; `message`: for people, with what to do;
    `where`: the columns, of a table; `figures`: the numbers that the message has."""

    code: str
    message: str
    where: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"code": self.code, "message": self.message, "where": list(self.where), "figures": dict(self.figures)}


def distance(new: np.ndarray, old: np.ndarray) -> float:
    """The largest difference between the distribution functions of two samples, 0 to 1."""
    new, old = np.sort(new), np.sort(old)
    both = np.concatenate([new, old])
    shares = [np.searchsorted(sample, both, side="right") / len(sample) for sample in (new, old)]
    return float(np.abs(shares[0] - shares[1]).max())


def same_distribution(new: np.ndarray, old: np.ndarray) -> float | None:
    """The p-value of the two-sample test of Kolmogorov and Smirnov, None where a sample has fewer than `LEAST` rows."""
    if min(len(new), len(old)) < LEAST:
        return None
    from scipy import stats

    method = "exact" if len(new) * len(old) <= EXACT else "asymp"
    return float(stats.ks_2samp(new, old, method=method).pvalue)


def flagged(rows: int, ranks: Any, n_calibrate: int) -> Any:
    """SciPy's distribution of how many of so many new normal rows have one of `ranks` given p-values out of the
    n_calibrate + 1 that there are, 1 <= ranks <= n_calibrate, a number or an array. It is beta-binomial, since the
    calibration rows are a sample as well."""
    from scipy import stats

    return stats.betabinom(rows, ranks, n_calibrate + 1 - ranks)


def flagged_range(rows: int, rate: float, n_calibrate: int) -> tuple[int, int]:
    """How many of so many normal rows are flagged at a rate, in all but `BAND` of the cases."""
    k = rank_of(rate, n_calibrate)
    if not 0 < k <= n_calibrate:
        return 0, rows
    ends = [BAND / 2, 1 - BAND / 2]
    if rows > MANY:  # the exact one takes memory for every count
        from scipy.stats import beta

        a, b = k, n_calibrate + 1 - k
        alike = ((a + b + 1) / (1 + (a + b) / rows) - 1) / (a + b)  # as much variance as the counts have
        low, high = rows * beta(a * alike, b * alike).ppf(ends)
    else:
        low, high = flagged(rows, k, n_calibrate).ppf(ends)
    return int(low), int(high)


def alarms_band(
    calibrate: Sequence[int], new: Sequence[int], rate: float, certainty: float = 0.95
) -> tuple[float, float, float]:
    """How many of the new normal rows of several splits are flagged at a rate: the expected number, and the lowest and
    the highest of the band which holds that number with a probability of at least `certainty`, and is missed on either
    side with at most half of the rest. `calibrate`, `new`: the rows of each split. Exact where scores do not tie: the
    sum of beta-binomial counts."""
    product, expected = np.ones(1), 0.0
    for n, m in zip(calibrate, new, strict=True):
        k = rank_of(rate, n)
        if k < 1:
            continue  # nothing is ever flagged
        one = flagged(m, k, n) if k <= n else None
        expected += m if one is None else float(one.mean())
        product = np.convolve(product, np.eye(1, m + 1, m)[0] if one is None else one.pmf(np.arange(m + 1)))
    upto, rest = np.cumsum(product), (1 - certainty) / 2
    low, high = (int(np.searchsorted(upto, at + sign * 1e-12)) for at, sign in ((rest, 1), (1 - rest, -1)))
    return expected, float(low), float(high)


def of_scores(new: np.ndarray, calibration: np.ndarray) -> Iterator[Finding]:
    """What the scores (m,) of a batch say, beside those of calibration rows (n,)."""
    if min(len(new), len(calibration)) < LEAST:
        return
    calibration = np.sort(calibration)
    n, m = len(calibration), len(new)
    k = (n + 1) // 2
    below = int((new <= calibration[k - 1]).sum())
    if below < USUAL * m and flagged(m, k, n).cdf(below) < LEVEL / 2:
        yield Finding(
            "mostly-unlike",
            f"{below / m:.0%} of {m:,} rows score below the median of calibration rows, where 50% are due: most of "
            "these rows are unlike training rows; unless they are anomalies, something has changed for all of them "
            "(camera, lamp, season, units): train on such rows, or calibrate with some",
            figures={"share": below / m, "due": 0.5},
        )
        return
    edge = calibration[max(1, math.ceil(BODY * n)) - 1]
    usual, known = new[new < edge], calibration[calibration < edge]
    p = same_distribution(usual, known)
    if p is not None and p < LEVEL / 2 and (far := distance(usual, known)) >= EFFECT:
        higher = float(np.median(usual)) > float(np.median(known))
        yield Finding(
            "scores-shifted",
            f"rows that look normal score {'higher' if higher else 'lower'} than calibration rows do (distance of the "
            f"distributions {far:.2f}, p = {p:.1g}): it is not anomalies that differ but every row, by another camera, "
            "lamp or season for instance, and the false-alarm rate does not hold; calibrate with recent normal rows",
            figures={"distance": far, "p": p},
        )


class Sample:
    """At most `most` rows of a stream, every row with equal probability, by a seed: memory stays flat."""

    def __init__(self, most: int, seed: int = 0) -> None:
        self.most, self.seen = most, 0
        self._random = np.random.default_rng(seed)
        self._keys = np.empty(0)
        self._values: np.ndarray | None = None

    def chosen(self, n: int) -> np.ndarray:
        """Which of the next n rows are wanted, (m,); `put` takes their values."""
        self.seen += n
        keys = self._random.random(n)
        limit = self._keys.max() if len(self._keys) >= self.most else 1.0
        numbers = np.flatnonzero(keys < limit)
        if len(numbers) > self.most:
            numbers = np.sort(numbers[np.argpartition(keys[numbers], self.most)[: self.most]])
        self._new = keys[numbers]
        return numbers

    def put(self, values: np.ndarray) -> None:
        """The values (m, ...) of the rows that were chosen last."""
        keys = np.concatenate([self._keys, self._new])
        held = values if self._values is None else np.concatenate([self._values, values])
        if len(keys) > self.most:
            kept = np.sort(np.argpartition(keys, self.most)[: self.most])
            keys, held = keys[kept], held[kept]
        self._keys, self._values = keys, held

    @property
    def values(self) -> np.ndarray:
        """What is kept, (m, ...), in the order of the stream."""
        return np.empty(0) if self._values is None else self._values
