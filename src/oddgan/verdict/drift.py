"""Is a stream of rows still like the calibration rows? A conformal test martingale, exact for streams of any length.

**p-values.** Row t of the stream is compared with the n calibration rows *and* the t - 1 rows before it:

    p_t = (number of them with a higher score + u_t * (1 + number of them with the same score)) / (n + t)

with u_t uniform on [0, 1) from a seed. If calibration rows and stream are exchangeable, p_1, p_2, ... are independent
and uniform (Vovk, Gammerman, Shafer 2005). Comparing with the calibration rows alone would not do: given n of
them, the p-values of new rows are independent but not quite uniform, and a test finds that in a stream that is long
enough, though nothing has changed.

**Cells.** The scores of the stream are not kept, but counts: k different calibration scores make 2 k + 1 cells (each
score itself, the gaps between them, and beyond both ends). In a gap the rank among rows of the stream that came before
is not known, and u_t stands for it, as if all these scores were equal. That changes no distribution: given the
calibration scores and the cells of the whole stream, rows in one gap are exchangeable, so the rank of a new one among
the c before it is uniform on 0 ... c and independent of everything else that is counted; rank + u_t is then uniform on
[0, c + 1), as u_t (c + 1) is. So the state has a fixed size, and p_1, p_2, ... are independent and uniform.

**Bets.** Each of `BETS` is a density on [0, 1], so what it multiplies has mean 1 given the past. Capital is spread over
them, and before each row a share J of it is spread anew (the Simple Jumper of Vovk et al. 2021), for each J of `JUMPS`;
the value is the mean over J. It is a martingale that begins at 1, so by Ville's inequality, for streams of any length,

    probability that it ever reaches 1 / level  <=  level

A stream of 5,000 usual rows and then a change is found through a small J, a change at the beginning by any. How much
evidence there can be is limited by the calibration rows: after a change at the beginning, rows of the stream soon are
most of what new ones are compared with.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ..errors import ArtifactError, ParameterError

LEVEL = 0.01
JUMPS = (1e-4, 1e-3, 1e-2)
BETS = 5
BLOCK = 512  # rows of a stream that are ranked together
EDGE = 1e-12  # p-values are kept so far from 0 and 1, where bets have poles: that only lowers them
FORMAT = "oddgan-monitor"


def bets(p: np.ndarray) -> np.ndarray:
    """p-values (m,) -> what each bet pays, (m, BETS): on nothing, on small and large ones, a little and steeply."""
    p = np.clip(p, EDGE, 1 - EDGE)
    return np.stack([np.ones_like(p), 1.5 - p, 0.5 + p, 0.5 / np.sqrt(p), 0.5 / np.sqrt(1 - p)], axis=1)


@dataclass(frozen=True, eq=False)
class Martingale:
    """What is known of a stream, a value: `after` gives another.

    `counts`: (2 k + 1,) int64, rows of the stream in each cell; `rows`: their sum. `weights`: (JUMPS, BETS) how the
    capital of each J is spread; `capital`: (JUMPS,) logarithms of it. `peak`: the logarithm of the highest value so
    far. `alarm`: the number of the row, from 1, at which the value reached 1 / `level`; None: it never did. `seed`: of
    the u_t.
    """

    level: float
    seed: int
    rows: int
    counts: np.ndarray
    weights: np.ndarray
    capital: np.ndarray
    peak: float = 0.0
    alarm: int | None = None

    @classmethod
    def begin(cls, calibration: np.ndarray, *, level: float = LEVEL, seed: int = 0) -> Self:
        """Before the first row, for calibration scores (n,). Raises `ParameterError` for a level that is none."""
        if not 0 < level < 1:
            raise ParameterError(f"level={level!r}: must lie between 0 and 1")
        cells = 2 * len(np.unique(calibration)) + 1
        weights = np.full((len(JUMPS), BETS), 1 / BETS)
        return cls(float(level), int(seed), 0, np.zeros(cells, np.int64), weights, np.zeros(len(JUMPS)))

    @property
    def log_value(self) -> float:
        """The logarithm of the value."""
        return float(_mean_exp(self.capital[None])[0])

    @property
    def value(self) -> float:
        """The evidence against exchangeability, 1 at the beginning: how many times the stake was won."""
        return math.exp(min(self.log_value, 700.0))

    @property
    def highest(self) -> float:
        """The highest value so far."""
        return math.exp(min(self.peak, 700.0))

    def after(self, scores: np.ndarray, calibration: np.ndarray) -> Self:
        """What is known after these scores (m,) of the stream, in their order; NaN is left out. `calibration`: as at
        the beginning."""
        scores = np.asarray(scores, dtype=np.float64)
        scores = scores[~np.isnan(scores)]
        if not len(scores):
            return self
        p, counts = self._p_values(scores, calibration)
        capital, weights = self._capital(p)
        values = _mean_exp(capital)
        over = np.flatnonzero(values >= -math.log(self.level))
        alarm = self.alarm if self.alarm is not None or not over.size else self.rows + int(over[0]) + 1
        return replace(
            self,
            rows=self.rows + len(scores),
            counts=counts,
            weights=weights,
            capital=capital[-1],
            peak=max(self.peak, float(values.max())),
            alarm=alarm,
        )

    def trace(self, scores: np.ndarray, calibration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The smoothed p-values (m,) of the next scores (m,) of the stream, none of which is NaN, and the logarithm
        of the value (m,) after each of them."""
        p = self.p_values(scores, calibration)
        return p, _mean_exp(self._capital(p)[0])

    def _capital(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logarithms (m, JUMPS) of the capital after each p-value (m,), and how it is spread after the last."""
        gains, weights = _play(bets(p), self.weights)
        return self.capital + np.cumsum(gains, axis=0), weights

    def p_values(self, scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
        """The smoothed p-values (m,) of the next scores (m,) of the stream, none of which is NaN."""
        return self._p_values(np.asarray(scores, dtype=np.float64), calibration)[0]

    def _p_values(self, scores: np.ndarray, calibration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The p-values of the next rows, and the counts of cells after them."""
        known, held = np.unique(calibration, return_counts=True)
        if len(self.counts) != 2 * len(known) + 1:
            raise ArtifactError(
                f"the state has {len(self.counts)} cells, and the calibration scores make another number"
            )
        at = np.searchsorted(known, scores)
        cells = 2 * at + (known[np.minimum(at, len(known) - 1)] == scores)
        total, n = self.counts.copy(), int(held.sum())
        total[1::2] += held
        # Random numbers are those of the row's number, however the stream was cut into pieces.
        u = np.random.Generator(np.random.PCG64(self.seed).advance(self.rows)).random(len(scores))
        p = np.empty(len(scores))
        for start in range(0, len(scores), BLOCK):
            block = cells[start : start + BLOCK]
            above = total[::-1].cumsum()[::-1] - total
            earlier = np.tri(len(block), k=-1, dtype=bool)  # of this block
            higher = above[block] + (earlier & (block[None] > block[:, None])).sum(1)
            equal = total[block] + (earlier & (block[None] == block[:, None])).sum(1)
            place = n + self.rows + start + 1 + np.arange(len(block))
            p[start : start + BLOCK] = (higher + u[start : start + BLOCK] * (equal + 1)) / place
            np.add.at(total, block, 1)
        total[1::2] -= held
        return p, total

    def to_json(self) -> dict[str, Any]:
        """The state: `from_json` makes the same of it."""
        return {
            "level": self.level,
            "seed": self.seed,
            "rows": self.rows,
            "value": self.value,
            "peak": self.highest,
            "alarm": self.alarm,
            "log_peak": self.peak,
            "log_capital": self.capital.tolist(),
            "weights": self.weights.tolist(),
            "counts": self.counts.tolist(),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises `ArtifactError` where the state is none that was ever written."""
        try:
            found = cls(
                level=float(state["level"]),
                seed=int(state["seed"]),
                rows=int(state["rows"]),
                counts=np.array(state["counts"], np.int64),
                weights=np.array(state["weights"], np.float64),
                capital=np.array(state["log_capital"], np.float64),
                peak=float(state["log_peak"]),
                alarm=None if state["alarm"] is None else int(state["alarm"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArtifactError(f"the state of the stream is incomplete ({error})") from error
        whole = (
            0 < found.level < 1
            and found.seed >= 0
            and found.counts.ndim == 1
            and (found.counts >= 0).all()
            and found.counts.sum() == found.rows
            and found.weights.shape == (len(JUMPS), BETS)
            and (found.weights >= 0).all()
            and np.allclose(found.weights.sum(1), 1)
            and found.capital.shape == (len(JUMPS),)
            and np.isfinite(found.capital).all()
            and (found.alarm is None or 0 < found.alarm <= found.rows)
        )
        if not whole:
            raise ArtifactError("the state of the stream does not add up")
        return found


def _play(pays: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms (m, JUMPS) of what each row multiplies the capital by, and the weights after the last."""
    jump = np.array(JUMPS)[:, None]
    stay, spread = 1 - jump, jump / BETS
    totals = np.empty((len(pays), len(JUMPS)))
    for i, pay in enumerate(pays):
        weights = (stay * weights + spread) * pay
        totals[i] = weights.sum(1)
        weights = weights / totals[i][:, None]
    return np.log(totals), weights


def _mean_exp(capital: np.ndarray) -> np.ndarray:
    """log mean exp over the last axis: (m, JUMPS) -> (m,)."""
    top = capital.max(axis=-1)
    return np.asarray(top + np.log(np.exp(capital - top[..., None]).mean(axis=-1)))
