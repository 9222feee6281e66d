"""Scores of different detectors on one scale: how unusual each is among scores of held-out normals.

A robust z-score, (s - median) / (median absolute deviation), in the unit of a normal distribution's deviation. It is
linear, so that scores far above every held-out row keep their order and distance. Mean and deviation, upper quantiles,
ranks, and logarithms of p-values with a fitted tail give the same AUROC to within 0.005 on average, ranks less where
anomalies are far out (`benchmarks.studies.ensembles --scales`).
"""

from dataclasses import dataclass

import numpy as np

NORMAL_MAD = 0.6744897501960817  # of a standard normal distribution, its median absolute deviation
LEAST = 0.25  # of the standard deviation: the median absolute deviation of few rows, or of tied ones, may be near 0


@dataclass(frozen=True)
class ScoreScale:
    """`middle` and `deviation` > 0 of a member's scores of held-out normals."""

    middle: float
    deviation: float

    @classmethod
    def of(cls, scores: np.ndarray) -> "ScoreScale":
        """By finite scores (n,) of held-out normals; 1 is the deviation of scores that are all equal."""
        middle = float(np.median(scores))
        deviation = max(float(np.median(np.abs(scores - middle))) / NORMAL_MAD, LEAST * float(np.std(scores)))
        return cls(middle, deviation if deviation > 0 else 1.0)

    def scaled(self, scores: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in deviations above the middle."""
        return (scores - self.middle) / self.deviation


def averaged(scaled: list[np.ndarray]) -> np.ndarray:
    """The mean (n,) float64 of members' scaled scores, each (n,). What is not a number is as anomalous as can be."""
    total = scaled[0]
    with np.errstate(invalid="ignore"):
        for one in scaled[1:]:
            total = total + one
    mean = total / len(scaled)
    return np.where(np.isnan(mean), np.inf, mean)


def between(values: np.ndarray) -> np.ndarray:
    """Values (n,) in the order that they have, strictly between 0 and 1."""
    with np.errstate(invalid="ignore"):
        share = 0.5 + 0.5 * values / (1.0 + np.abs(values))
    share = np.where(np.isnan(share), np.where(values > 0, 1.0, 0.0), share)
    return np.clip(share, 2.0**-20, 1.0 - 2.0**-20)
