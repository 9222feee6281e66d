"""Exact tests between training rows and new ones; how `oddgan.preprocessing.profile` uses them is said there."""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.001  # probability that rows that are like training rows get a finding about what they look like
LEAST = 10  # new rows that say something
EFFECT = 0.5  # distance of two distributions from which on more than half of the rows have changed
LISTED = 5  # columns that a finding names


def count_above(k: int, n: int, known: int) -> float:
    """The probability that k or more of n new values lie above the largest of so many `known` ones."""
    from scipy import stats

    return float(stats.betabinom(n, 1, known).sf(k - 1)) if k else 1.0


def share_rises(k: int, n: int, before: int, known: int) -> float:
    """The probability that k or more of n new rows have what `before` of `known` had, given how many have it in all
    (Fisher's exact test)."""
    from scipy import stats

    return float(stats.hypergeom(n + known, k + before, n).sf(k - 1)) if k else 1.0


def all_new(counts: np.ndarray, n: int, known: int, k: int) -> float:
    """A bound of the probability that k or more of n new rows have values that none of the `known` has.

    `counts`: how often each value occurs in all. A value that occurs c times is new with probability (n)_c / (n +
    known)_c. Whether values are is negatively associated, as they are drawn without replacement, so Chernoff's bound
    holds as if they were independent.
    """
    sizes, multiplicity = np.unique(counts[counts <= n], return_counts=True)
    steps = np.log(np.arange(n, 0, -1)) - np.log(np.arange(n + known, known, -1))
    chance = np.exp(np.cumsum(steps))[sizes - 1]
    strength = np.geomspace(1e-4, 50, 200)[:, None]
    with np.errstate(over="ignore"):
        payoff = np.logaddexp(np.log1p(-np.minimum(chance, 1 - 1e-12)), np.log(chance) + strength * sizes)
    return float(np.exp(min(0.0, ((payoff * multiplicity).sum(1) - strength[:, 0] * k).min())))


def all_equal(n: int, same: int, known: int) -> float:
    """The probability that all of n new rows have one value, where `same` of `known` have it, given how many have it
    in all; twice, for other values might be it."""
    i = np.arange(n)
    return min(1.0, float(2 * np.exp((np.log(n + same - i) - np.log(n + known - i)).sum())))


def named(names: Sequence[str]) -> str:
    """Columns in a message: the first of them, and how many more."""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
