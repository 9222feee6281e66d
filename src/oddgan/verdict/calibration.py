"""From the scores of held-out normals to a threshold and p-values.

Split conformal prediction: if a new normal row and the n calibration rows are exchangeable, then
p(s) = (1 + #{calibration scores >= s}) / (n + 1) is at most a with probability at most a, for every a. The guarantee
is *marginal*, over the draw of the calibration rows as well: one set of n rows gives a false-alarm rate that spreads
around the asked one with a standard deviation near sqrt(a (1 - a) / n). It does not hold when new normals differ from
the calibration rows: another camera, another season, a drifting machine.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..errors import ArtifactError, DataError, ParameterError

LOWEST_AUTO_RATE = 0.01


@dataclass(frozen=True, eq=False)
class Calibration:
    """Sorted scores of normals that were held out of training, (n,) float64, and the false-alarm rate in force."""

    scores: np.ndarray
    rate: float

    @classmethod
    def of(cls, scores: np.ndarray, rate: float | Literal["auto"]) -> "Calibration":
        """Calibrate on `scores` (n,) of held-out normals.

        `rate="auto"` is max(0.01, 1 / (n + 1)), the lowest rate near one percent that n rows can hold. Raises
        `ParameterError` when an explicit rate needs more rows, `DataError` when a score is not a finite number.
        """
        scores = np.sort(np.asarray(scores, dtype=np.float64))
        if not np.isfinite(scores).all():
            raise DataError("a calibration row has no finite score: training may have broken down; lower lr")
        lowest = max(LOWEST_AUTO_RATE, 1 / (len(scores) + 1))
        return cls(scores, 0.0).with_rate(lowest if isinstance(rate, str) else rate)

    def with_rate(self, rate: float) -> "Calibration":
        """The same scores with another false-alarm rate. Raises `ParameterError` when they are too few to hold it."""
        check_rate(rate, len(self.scores))
        return replace(self, rate=float(rate))

    @property
    def threshold(self) -> float:
        """A row is an anomaly when its score is *above* this; the same as p <= rate."""
        return threshold_at(self.scores, self.rate)

    def p_value(self, scores: np.ndarray) -> np.ndarray:
        """Conformal p-values (n,) float64 in [1 / (n_calibrate + 1), 1]; small means anomalous."""
        below = np.searchsorted(self.scores, scores, side="left")
        return (1 + len(self.scores) - below) / (len(self.scores) + 1)

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that there can be: that of a row above every calibration row."""
        return float(self.p_value(np.array([np.inf]))[0])

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        facts = {"rows": len(self.scores), "false_alarm_rate": self.rate, "threshold": self.threshold}
        return facts, {"scores": self.scores}

    @classmethod
    def from_manifest(cls, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Calibration":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the scores do not agree."""
        scores = arrays["scores"]
        numbers = scores.ndim == 1 and scores.dtype == np.float64 and np.isfinite(scores).all()
        if not numbers or not len(scores) or not (np.diff(scores) >= 0).all():
            raise ArtifactError("the calibration scores are not a sorted list of finite numbers")
        result = cls(scores, 0.0).with_rate(facts["false_alarm_rate"])
        if len(scores) != facts["rows"] or result.threshold != facts["threshold"]:
            raise ArtifactError("the threshold in the manifest is not the one that the calibration scores give")
        return result


def check_rate(rate: float, n: int) -> None:
    """Raise `ParameterError` when n calibration rows cannot hold a false-alarm rate, and say how many can."""
    if not 0 < rate < 1:
        raise ParameterError(f"false_alarm_rate={rate!r}: must lie between 0 and 1")
    if _allowed(rate, n) < 0:
        raise ParameterError(
            f"false_alarm_rate={rate:g} needs at least {math.ceil(1 / rate - 1e-9) - 1} calibration rows and there are "
            f"{n}: add normal rows, raise calibrate_fraction, or ask for {1 / (n + 1):.2g} or more"
        )


def threshold_at(scores: np.ndarray, rate: float) -> float:
    """What a normal row exceeds with probability at most `rate`, by ascending scores (n,) of held-out normals."""
    return float(scores[-1 - _allowed(rate, len(scores))])


def _allowed(rate: float, n: int) -> int:
    """How many of n calibration scores may reach an anomaly's score: p <= rate <=> at most these."""
    return min(n, math.floor(rate * (n + 1) + 1e-9)) - 1
