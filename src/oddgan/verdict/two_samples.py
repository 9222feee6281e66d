"""Do two samples come from one distribution? The two-sample test of Kolmogorov and Smirnov in NumPy, for programs that
carry no SciPy. Exact where scores do not tie, conservative where they do."""

import math

import numpy as np


def largest_difference(new: np.ndarray, old: np.ndarray) -> float:
    """The largest difference between the distribution functions of samples (m,) and (n,), 0 to 1."""
    new, old = np.sort(new), np.sort(old)
    both = np.concatenate([new, old])
    found = np.searchsorted(new, both, side="right") / len(new) - np.searchsorted(old, both, side="right") / len(old)
    return float(np.abs(found).max())


def p_value(new: np.ndarray, old: np.ndarray) -> float:
    """The probability that samples of one continuous distribution, of these sizes m and n, differ as much as (m,) and
    (n,) do, or more.

    All orders of m + n values are equally probable, and each is a path from (0, 0) to (m, n). The probability is that
    of a path which somewhere is as far from the diagonal as these samples are; here, one minus that of a path which
    never is. Takes m steps on n + 1 values; good to 1e-11.
    """
    m, n = len(new), len(old)
    limit = round(largest_difference(new, old) * math.lcm(m, n))  # in whole numbers, so that nothing is rounded
    if not limit:
        return 1.0
    scale_m, scale_n = math.lcm(m, n) // m, math.lcm(m, n) // n
    j = np.arange(n + 1, dtype=np.int64) * scale_n
    row = np.cumprod(np.abs(j) < limit).astype(np.float64)  # the shares of paths to (0, j) that stayed near
    for i in range(1, m + 1):
        row = _next(row, i, np.abs(i * scale_m - j) < limit)
    return float(min(1.0, max(0.0, 1.0 - row[-1])))


def _next(row: np.ndarray, i: int, near: np.ndarray) -> np.ndarray:
    """The shares of paths to (i, j) that stayed near the diagonal, (n + 1,), from those of row i - 1.

    There are C(i + j, j) paths to (i, j), so share(i, j) C(i + j, j) is the sum over l <= j, within what is near, of
    share(i - 1, l) C(i - 1 + l, l). All is divided by the last of these numbers, which are too large for a float.
    """
    places = np.flatnonzero(near)
    found = np.zeros_like(row)
    if not len(places):
        return found
    at = slice(int(places[0]), int(places[-1]) + 1)
    k = np.arange(at.start, at.stop, dtype=np.float64)
    logs = _log_choose(i, k)
    sums = np.cumsum(row[at] * np.exp(_log_choose(i - 1, k) - logs[-1]))
    found[at] = sums * np.exp(np.minimum(logs[-1] - logs, 700.0))
    return found


def _log_choose(i: int, k: np.ndarray) -> np.ndarray:
    """log C(i + k, k) for each k (..., ascending by one)."""
    first = math.lgamma(i + k[0] + 1) - math.lgamma(i + 1) - math.lgamma(k[0] + 1)
    steps = np.log((i + k[1:]) / k[1:])
    return np.concatenate([[first], first + np.cumsum(steps)])
