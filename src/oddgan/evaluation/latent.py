"""A map of rows: the two principal components of what a detector makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..verdict.uniformity import Sample

LEAST = 10  # rows that make a map
MOST_NUMBERS = 10_000_000  # of features that are held


@dataclass(frozen=True, eq=False)
class LatentMap:
    """Where rows are. `rows` (m,) int: their numbers, ascending; `points` (m, 2) float64: the first two principal
    components of the detector's features; `share`: of their variance that each component has."""

    rows: np.ndarray
    points: np.ndarray
    share: tuple[float, float]


class Mapper:
    """Collects the features of at most `most` rows, drawn at random from all that are added."""

    def __init__(self, detector: Any, most: int) -> None:
        self.features, self.most = getattr(detector, "features", None), most
        self._sample: Sample | None = None

    def add(self, start: int, rows: Any) -> None:
        """Rows from number `start` on."""
        if not self.most or self.features is None or not len(rows):
            return
        if self._sample is None:
            width = self.features(rows.some(np.arange(1))).shape[1]
            self._sample = Sample(max(LEAST, min(self.most, MOST_NUMBERS // max(1, width))))
        chosen = self._sample.chosen(len(rows))
        if not len(chosen):
            return
        found = np.asarray(self.features(rows.some(chosen)), np.float64)
        self._sample.put(np.concatenate([(start + chosen)[:, None], found], axis=1))

    def found(self) -> LatentMap | None:
        """The map; None of fewer than ten rows, and of features with fewer than two dimensions."""
        held = np.empty((0, 0)) if self._sample is None else self._sample.values
        if held.ndim < 2 or held.shape[1] < 3:
            return None
        held = held[np.isfinite(held).all(axis=1)]
        rows, features = held[:, 0].astype(np.int64), held[:, 1:]
        order = np.argsort(rows)
        if len(rows) < LEAST or not np.ptp(features, axis=0).any():
            return None
        points, share = principal(features[order])
        return LatentMap(rows[order], points, share)


def principal(features: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """The first two principal components (m, 2) of features (m, k), and their shares of the variance. The largest
    coordinate of each is positive, so that the map is the same each time."""
    centred = features - features.mean(axis=0)
    scale = np.abs(centred).max()
    u, s, _ = np.linalg.svd(centred / scale, full_matrices=False)
    points = np.zeros((len(features), 2))
    points[:, : min(2, len(s))] = u[:, :2] * s[:2] * scale
    for axis in (0, 1):
        if points[np.abs(points[:, axis]).argmax(), axis] < 0:
            points[:, axis] *= -1
    variance = s**2 / (s**2).sum()
    return points, (float(variance[0]), float(variance[1]) if len(variance) > 1 else 0.0)
