"""From the scores of held-out normals to a threshold and p-values.

Split conformal prediction: if a new normal row and the n calibration rows are exchangeable, then
p(s) = (1 + #{calibration scores >= s}) / (n + 1) is at most a with probability at most a, for every a. The guarantee
is *marginal*, over the draw of the calibration rows as well: one set of n rows gives a false-alarm rate that spreads
around the asked one with a standard deviation near sqrt(a (1 - a) / n). It does not hold when new normals differ from
the calibration rows: another camera, another season, a drifting machine.

Rows that belong together (frames of a clip, pictures of a part) are not exchangeable, their *groups* are. With G groups
each row counts for one over the size of its group, p(s) = (1 + sum of weights of scores >= s) / (G + 1), and the
guarantee is for a row of a new group (Lee, Barber and Willett, "Distribution-free inference with hierarchical data",
2023, whose threshold this is). Where normals are of several known sorts, *strata*, each has a threshold of its own, and
the guarantee holds within each (Vovk, "Conditional validity of inductive conformal predictors", 2012).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..errors import ArtifactError, DataError, ParameterError

LOWEST_AUTO_RATE = 0.01
DIGITS = 12  # that sums of weights are good for
ROUNDING = 1e-12  # that a p-value may be above a rate which it equals


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of normals that were held out of training, (n,) float64, ascending, and the false-alarm rate in force.

    `groups` (n,) int64: which rows belong together; None: each is alone. `stratum` (n,) int64: which of `strata` each
    is of; None: there are none.
    """

    scores: np.ndarray
    rate: float
    groups: np.ndarray | None = None
    strata: tuple[str, ...] = ()
    stratum: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        scores: np.ndarray,
        rate: float | Literal["auto"],
        *,
        groups: np.ndarray | None = None,
        strata: Sequence[str] | np.ndarray | None = None,
    ) -> "Calibration":
        """Calibrate on `scores` (n,) of held-out normals, of which each may have a group and a stratum (n,).

        `rate="auto"` is max(0.01, 1 / (n + 1)), the lowest rate near one percent that n rows (or groups) can hold.
        Raises `ParameterError` when an explicit rate needs more of them, `DataError` when a score is not a finite
        number.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if not np.isfinite(scores).all():
            raise DataError("a calibration row has no finite score: training may have broken down; lower lr")
        order = np.argsort(scores, kind="stable")
        if groups is not None:
            _, groups = np.unique(np.asarray(groups)[order], return_inverse=True)
            if len(np.unique(groups)) == len(scores):
                groups = None
        names, stratum = (), None
        if strata is not None:
            found, stratum = np.unique(np.asarray(strata, dtype=str)[order], return_inverse=True)
            names = tuple(found.tolist())
        result = cls(scores[order], 0.0, groups, names, stratum)
        return result.with_rate(rate)

    def with_rate(self, rate: float | Literal["auto"]) -> "Calibration":
        """The same scores with another false-alarm rate. Raises `ParameterError` when they are too few to hold it."""
        asked = max(LOWEST_AUTO_RATE, 1 / (self.count + 1)) if isinstance(rate, str) else float(rate)
        check_rate(asked, self.count, "rows" if self.groups is None else "groups")
        return replace(self, rate=asked)

    @cached_property
    def count(self) -> int:
        """How many exchangeable things there are: groups, or rows."""
        return len(self.scores) if self.groups is None else int(self.groups.max(initial=-1)) + 1

    @cached_property
    def _tail(self) -> np.ndarray:
        """The weight of all scores from each on, (n + 1,) float64; the last is 0."""
        if self.groups is None:
            return np.arange(len(self.scores), -1.0, -1.0)
        weights = 1 / np.bincount(self.groups)[self.groups]
        return np.round(np.append(np.cumsum(weights[::-1])[::-1], 0.0), DIGITS)

    @cached_property
    def threshold(self) -> float:
        """A row is an anomaly when its score is *above* this; the same as p <= rate."""
        above = self._tail[1:] <= self.rate * (self.count + 1) - 1 + 1e-9
        return float(self.scores[above.argmax()])

    def p_value(self, scores: np.ndarray, strata: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
        """Conformal p-values (n,) float64 in [1 / (count + 1), 1]; small means anomalous. With `strata` (n,), against
        the calibration rows of each row's own stratum, as far as `by_stratum` has it."""
        if strata is None:
            return np.asarray((1 + self._tail[np.searchsorted(self.scores, scores)]) / (self.count + 1))
        found, names = self.p_value(scores), np.asarray(strata, dtype=str)
        for name, own in self.by_stratum.items():
            found[names == name] = own.p_value(scores[names == name])
        return found

    def thresholds(self, strata: Sequence[str] | np.ndarray) -> np.ndarray:
        """The threshold of rows of these strata, (n,) float64."""
        names, own = np.asarray(strata, dtype=str).tolist(), self.by_stratum
        return np.array([own[name].threshold if name in own else self.threshold for name in names], dtype=np.float64)

    @cached_property
    def by_stratum(self) -> dict[str, "Calibration"]:
        """Of each stratum whose rows can hold the rate: its own calibration. Others are judged with all rows."""
        found = {}
        for i, name in enumerate(self.strata):
            mine = self.stratum == i
            own = Calibration.of(self.scores[mine], 0.999, groups=None if self.groups is None else self.groups[mine])
            if _allowed(self.rate, own.count) >= 0:
                found[name] = own.with_rate(self.rate)
        return found

    def describe(self) -> str:
        """ "200 normal rows", or "12 groups of 240 normal rows"."""
        rows = f"{len(self.scores):,} normal row{'s' * (len(self.scores) != 1)}"
        return rows if self.groups is None else f"{self.count:,} group{'s' * (self.count != 1)} of {rows}"

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that there can be: that of a row above every calibration row."""
        return float(self.p_value(np.array([np.inf]))[0])

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        facts: dict[str, Any] = {"rows": len(self.scores), "false_alarm_rate": self.rate, "threshold": self.threshold}
        arrays = {"scores": self.scores}
        if self.groups is not None:
            facts["groups"], arrays["groups"] = self.count, self.groups
        if self.stratum is not None:
            facts["strata"], arrays["stratum"] = list(self.strata), self.stratum
        return facts, arrays

    @classmethod
    def from_manifest(cls, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Calibration":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the scores do not agree."""
        scores = arrays["scores"]
        numbers = scores.ndim == 1 and scores.dtype == np.float64 and np.isfinite(scores).all()
        if not numbers or not len(scores) or not (np.diff(scores) >= 0).all():
            raise ArtifactError("the calibration scores are not a sorted list of finite numbers")
        strata = tuple(map(str, facts.get("strata", ())))
        groups = _places(arrays.get("groups"), len(scores), facts.get("groups", 0))
        stratum = _places(arrays.get("stratum"), len(scores), len(strata))
        result = cls(scores, 0.0, groups, strata, stratum).with_rate(facts["false_alarm_rate"])
        if len(scores) != facts["rows"] or result.threshold != facts["threshold"]:
            raise ArtifactError("the threshold in the manifest is not the one that the calibration scores give")
        return result


def _places(found: np.ndarray | None, n: int, count: int) -> np.ndarray | None:
    """Which of `count` things each of n rows belongs to. Raises `ArtifactError` where it is anything else."""
    if found is None and not count:
        return None
    if found is None or found.shape != (n,) or found.dtype != np.int64 or set(found.tolist()) != set(range(count)):
        raise ArtifactError("the calibration rows' groups or strata are not what the manifest says")
    return found


def check_rate(rate: float, n: int, noun: str = "rows") -> None:
    """Raise `ParameterError` when n calibration rows (or groups) cannot hold a false-alarm rate, and say how many
    can."""
    if not 0 < rate < 1:
        raise ParameterError(f"false_alarm_rate={rate!r}: must lie between 0 and 1")
    if _allowed(rate, n) < 0:
        needed = math.ceil(1 / rate - 1e-9) - 1
        of = "rows" if noun == "rows" else "groups of rows"
        raise ParameterError(
            f"false_alarm_rate={rate:g} needs at least {needed} calibration {of} and there are {n}: add normal {noun}, "
            f"raise calibrate_fraction, or ask for {_up(1 / (n + 1)):g} or more"
        )


def _up(share: float) -> float:
    """A share rounded up at its second digit, so that it is no lower."""
    places = 1 - math.floor(math.log10(share))
    scale = 10.0**places
    return round(math.ceil(share * scale - 1e-9) / scale, places)


def threshold_at(scores: np.ndarray, rate: float) -> float:
    """What a normal row exceeds with probability at most `rate`, by ascending scores (n,) of held-out normals."""
    return float(scores[-1 - _allowed(rate, len(scores))])


def rank_of(rate: float, n: int) -> int:
    """p <= rate in counts: a row is flagged when fewer than this many of n calibration scores reach its own."""
    return math.floor(rate * (n + 1) + 1e-9)


def _allowed(rate: float, n: int) -> int:
    """How many of n calibration scores may reach an anomaly's score: p <= rate <=> at most these."""
    return min(n, rank_of(rate, n)) - 1
