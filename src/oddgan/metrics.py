"""How well anomaly scores separate anomalous from normal rows: exact figures, with intervals and chance levels.

Labels are true (or 1) for an anomaly; a higher score means more anomalous. Ties are treated exactly: rows with equal
scores enter a curve together, as one straight segment. Nothing is binned or sampled, except by the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError, ParameterError

Floats = NDArray[np.float64]
Metric = Callable[[ArrayLike, ArrayLike], float]

_CHUNK = 1 << 19  # numbers per step of the bootstrap: few enough to stay in the processor's cache


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval: `value`, `low` and `high`, and `chance`, the value that guessing reaches.

    `chance` is None where guessing has no fixed value. Formats as "0.912 [0.871, 0.946]"; a format
    specification applies to each number, so `f"{estimate:.1%}"` gives "91.2% [87.1%, 94.6%]".
    """

    value: float
    low: float
    high: float
    chance: float | None = None

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __str__(self) -> str:
        return f"{self}" if self.chance is None else f"{self}, chance {self.chance:.3f}"


@dataclass(frozen=True)
class Rates:
    """The rates at a threshold: shares of rows flagged, with Wilson score intervals.

    `false_alarm_rate` is None without normal rows and `detection_rate` (recall) is None without anomalous rows;
    `precision` and `f1` are NaN where they are undefined.
    """

    false_alarm_rate: Estimate | None
    detection_rate: Estimate | None
    precision: float
    f1: float
    n_normal: int
    n_anomalous: int
    n_false_alarms: int
    n_detected: int


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: how often an anomalous row outscores a normal one; a tie counts half.

    `labels`: (n,) bool or 0/1; `scores`: (n,). Raises DataError for NaN scores or a single class.
    """
    return float(_auroc(*_by_score(*_checked(labels, scores, "AUROC"))))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, the step-wise area under the precision-recall curve (scikit-learn's definition).

    `labels`: (n,) bool or 0/1; `scores`: (n,). Raises DataError for NaN scores or a single class.
    """
    return float(_average_precision(*_by_score(*_checked(labels, scores, "average precision"))))


def auprc_trapezoid(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve joined by straight lines from recall 0, precision 1.

    Many papers state this one. Straight lines between points of this curve overestimate the area, so prefer
    `average_precision`. `labels`: (n,) bool or 0/1; `scores`: (n,). Raises DataError for NaN scores or a single class.
    """
    return float(_auprc_trapezoid(*_by_score(*_checked(labels, scores, "AUPRC"))))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """False-alarm and detection rates at every distinct threshold, from (0, 0) to (1, 1)."""
    anomalous, normal = (np.cumsum(c) for c in _by_score(*_checked(labels, scores, "a ROC curve")))
    return np.r_[0.0, normal / normal[-1]], np.r_[0.0, anomalous / anomalous[-1]]


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Recall (rising) and precision at every distinct threshold; there is no point at recall 0."""
    anomalous, normal = (np.cumsum(c) for c in _by_score(*_checked(labels, scores, "a precision-recall curve")))
    return anomalous / anomalous[-1], anomalous / (anomalous + normal)


def bootstrap(
    metric: str | Metric,
    labels: ArrayLike,
    scores: ArrayLike,
    n: int = 1000,
    level: float = 0.95,
    random_state: int = 0,
) -> Estimate:
    """`metric` with a percentile bootstrap interval; each class is resampled separately, with replacement.

    `metric`: "auroc", "average_precision" or "auprc_trapezoid" (computed vectorised, from counts by score), or any
    function (labels, scores) -> float, which is called `n` times. Where the classes are perfectly separated, all
    resamples agree and the interval has no width: read it as "too few rows to say".
    Raises ParameterError for n < 2 or a level outside (0, 1), DataError as the metric does.
    """
    if n < 2:
        raise ParameterError(f"bootstrap: n={n} resamples give no interval; use at least 2, better 1000")
    if not 0 < level < 1:
        raise ParameterError(f"bootstrap: level={level} must be between 0 and 1, for instance 0.95")
    y, s = _checked(labels, scores, "the bootstrap")
    rng = np.random.default_rng(random_state)
    area = _AREAS.get(metric)
    chance: float | None = None
    if area is not None:
        value = float(area(*_by_score(y, s)))
        chance = 0.5 if area is _auroc else float(y.mean())
        draws = np.concatenate([area(*counts) for counts in _resamples(y, s, n, rng)])
    elif callable(metric):
        value, draws = float(metric(y, s)), np.empty(n)
        members = np.flatnonzero(y), np.flatnonzero(~y)
        for i in range(n):
            rows = np.concatenate([rng.choice(m, m.size) for m in members])
            draws[i] = metric(y[rows], s[rows])
    else:
        known = ", ".join(k for k in _AREAS if isinstance(k, str))
        raise ParameterError(f"bootstrap: unknown metric {metric!r}; known are {known}, or give a function")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), chance)


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """The share `successes / n` with Wilson's score interval, which is sound at 0, at n and for small n.

    Raises DataError for n = 0 and for more successes than n.
    """
    if not 0 <= successes <= n or n == 0:
        raise DataError(f"a share needs 0 <= successes <= n and n > 0, not {successes} of {n}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and at n one end of the interval is the share itself; rounding must not change that.
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == n else middle + half
    return Estimate(share, low, high)


def rates(labels: ArrayLike, flagged: ArrayLike, level: float = 0.95) -> Rates:
    """False-alarm rate, detection rate, precision and F1 of verdicts. `labels`, `flagged`: (n,) bool or 0/1.

    With one class alone, the rates of the other are None or NaN. Raises DataError where the sizes differ.
    """
    y, f = _boolean(labels, "labels"), _boolean(flagged, "flagged")
    if y.shape != f.shape:
        raise DataError(f"{y.size} labels for {f.size} verdicts; there must be one label for each row")
    n_anomalous, n_normal = int(y.sum()), int((~y).sum())
    hits, false = int((y & f).sum()), int((~y & f).sum())
    return Rates(
        false_alarm_rate=wilson(false, n_normal, level) if n_normal else None,
        detection_rate=wilson(hits, n_anomalous, level) if n_anomalous else None,
        precision=hits / (hits + false) if n_anomalous and hits + false else math.nan,
        f1=2 * hits / (n_anomalous + hits + false) if n_anomalous else math.nan,
        n_normal=n_normal,
        n_anomalous=n_anomalous,
        n_false_alarms=false,
        n_detected=hits,
    )


class PixelScores:
    """Collects masks and anomaly maps picture by picture, for pixel AUROC and AUPRO over all of them.

    Exact figures need every pixel: 4 bytes are kept for each normal pixel and 24 for each anomalous one, and nothing
    else of a picture. 100 masks of 1 megapixel take 0.4 GB, and hardly more at the peak; memory grows in proportion
    (1,000 such masks: 4 GB). Figures are never binned or sampled.
    """

    def __init__(self) -> None:
        self._normal = np.empty(0, np.float32)
        self._n_normal = 0
        self._anomalous: list[NDArray[np.float32]] = []
        self._weights: list[Floats] = []  # of each anomalous pixel: 1 / size of its region
        self._sorted: tuple[NDArray[np.float32], NDArray[np.float32], Floats] | None = None
        self.n_pictures = 0
        self.n_regions = 0

    def add(self, mask: ArrayLike, anomaly_map: ArrayLike, counted: ArrayLike | None = None) -> None:
        """Add a picture: its `mask` (H, W), bool or 0/1, true where anomalous, and its `anomaly_map` (H, W). Of these,
        pixels where `counted` (H, W) is false are left out.

        Raises DataError where the sizes differ or the map holds NaN.
        """
        from scipy import ndimage

        where = f"picture {self.n_pictures}"
        m, a = np.asarray(mask), np.asarray(anomaly_map, dtype=np.float32)
        m = _boolean(m, f"mask of {where}").reshape(m.shape)
        if m.ndim != 2 or m.shape != a.shape:
            raise DataError(f"{where}: mask {m.shape} and anomaly map {a.shape} must both be (H, W) of the same size")
        if np.isnan(a).any():
            raise DataError(f"{where}: the anomaly map holds NaN; the model's weights may be damaged")
        self.n_pictures += 1
        self._sorted = None  # before the buffer grows: the sorted scores are a view of it
        inside = np.ones_like(m) if counted is None else np.asarray(counted, dtype=bool)
        m = m & inside
        normal = a[~m & inside]
        end = self._n_normal + normal.size
        if end > self._normal.size:  # in place where the system can: a copy would double the peak
            self._normal.resize(max(end, self._normal.size * 9 // 8), refcheck=False)
        self._normal[self._n_normal : end] = normal
        self._n_normal = end
        if m.any():
            regions, count = ndimage.label(m, structure=np.ones((3, 3)))  # 8-connected
            of_pixel = regions[m]
            self._anomalous.append(a[m])
            self._weights.append(1.0 / np.bincount(of_pixel)[of_pixel])
            self.n_regions += int(count)

    def auroc(self) -> float:
        """AUROC over pixels: how often an anomalous pixel outscores a normal one; a tie counts half."""
        normal, anomalous, _ = self._prepared()
        below = sum(
            int(np.searchsorted(normal, part, side).sum()) for part in _parts(anomalous) for side in ("left", "right")
        )
        return below / 2 / (normal.size * anomalous.size)

    def aupro(self, limit: float = 0.3) -> float:
        """Area under the per-region overlap curve for false-alarm rates from 0 to `limit`, divided by `limit`.

        The overlap of a region (8-connected, in one mask) is the share of its pixels at or above the threshold; all
        regions have equal weight, whatever their size. 1 is perfect; guessing reaches limit / 2.
        """
        if not 0 < limit <= 1:
            raise ParameterError(f"aupro: limit={limit} must be in (0, 1], for instance 0.3")
        normal, anomalous, weights = self._prepared()
        n = normal.size
        # The lowest threshold within the limit, and how many normal pixels are above it and at it.
        last = normal[n - max(1, math.ceil(limit * n - 1e-9))]
        above = n - int(np.searchsorted(normal, last, "right"))
        at = n - above - int(np.searchsorted(normal, last, "left"))

        def overlap(thresholds: NDArray[np.float32], side: Any) -> Floats:
            """Mean overlap by pixels >= threshold ("left") or > threshold ("right")."""
            reached: Floats = weights[-1] - weights[np.searchsorted(anomalous, thresholds, side)]
            return reached / self.n_regions

        # Each normal pixel above `last` is a step 1/n wide, on a straight line where it ties with anomalous pixels.
        area = sum(
            float((overlap(part, "left") + overlap(part, "right")).sum()) / 2 for part in _parts(normal[n - above :])
        )
        start, end = (float(overlap(np.array([last]), side)[0]) for side in ("right", "left"))
        rest = limit * n - above  # the part of the segment at `last` that is within the limit
        stop = start + (end - start) * rest / at
        return (area + rest * (start + stop) / 2) / (limit * n)

    def _prepared(self) -> tuple[NDArray[np.float32], NDArray[np.float32], Floats]:
        """Normal scores, anomalous scores (both ascending) and the anomalous pixels' cumulative weights, from 0."""
        if self._sorted is None:
            if not self._anomalous or not self._n_normal:
                missing = "normal" if self._anomalous else "anomalous"
                raise DataError(f"no {missing} pixel in {self.n_pictures} masks; pixel figures need both kinds")
            normal = self._normal[: self._n_normal]
            normal.sort()
            anomalous, weights = np.concatenate(self._anomalous), np.concatenate(self._weights)
            order = np.argsort(anomalous)
            self._sorted = normal, anomalous[order], np.r_[0.0, np.cumsum(weights[order])]
            self._anomalous, self._weights = [anomalous], [weights]
        return self._sorted


def pixel_auroc(masks: Iterable[ArrayLike], maps: Iterable[ArrayLike]) -> float:
    """AUROC over all pixels. `masks`: (H, W) bool each; `maps`: (H, W) each. Memory: see PixelScores."""
    return _gathered(masks, maps).auroc()


def aupro(masks: Iterable[ArrayLike], maps: Iterable[ArrayLike], limit: float = 0.3) -> float:
    """Area under the per-region overlap curve up to the false-alarm rate `limit`: see PixelScores.aupro."""
    return _gathered(masks, maps).aupro(limit)


def _gathered(masks: Iterable[ArrayLike], maps: Iterable[ArrayLike]) -> PixelScores:
    pixels = PixelScores()
    for mask, anomaly_map in zip_longest(masks, maps):
        if mask is None or anomaly_map is None:
            raise DataError(f"there must be one mask for each anomaly map, but only {pixels.n_pictures} have both")
        pixels.add(mask, anomaly_map)
    return pixels


def _parts(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [values[i : i + _CHUNK] for i in range(0, values.size, _CHUNK)]


def _boolean(values: ArrayLike, what: str) -> NDArray[np.bool_]:
    a = np.asarray(values).reshape(-1)
    if a.dtype == np.bool_:
        return a
    if a.dtype.kind not in "iuf" or not np.isin(a, (0, 1)).all():
        raise DataError(f"{what} must be true/false or 0/1 (1 = anomaly), not {a.dtype} with other values")
    return a.astype(bool)


def _checked(labels: ArrayLike, scores: ArrayLike, what: str) -> tuple[NDArray[np.bool_], Floats]:
    y = _boolean(labels, "labels")
    s = np.asarray(scores, dtype=np.float64)
    if s.shape != y.shape:
        raise DataError(f"{y.size} labels for scores of shape {s.shape}; there must be one label for each score")
    bad = np.flatnonzero(np.isnan(s))
    if bad.size:
        raise DataError(
            f"{bad.size} of {s.size} scores are NaN, the first at row {bad[0]}; the model's weights may be damaged"
        )
    if y.all() or not y.any():
        kind = "no rows" if not y.size else f"only {'anomalous' if y.all() else 'normal'} rows ({y.size})"
        raise DataError(f"{what} needs normal and anomalous rows, but there are {kind}; add the other class")
    return y, s


def _groups(s: Floats) -> tuple[NDArray[np.int64], int]:
    """The rank of each row's score among the distinct scores, from the highest down, and the number of these."""
    distinct, group = np.unique(-s, return_inverse=True)
    return group, distinct.size


def _by_score(y: NDArray[np.bool_], s: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many anomalous and how many normal rows have each distinct score, from the highest down."""
    group, size = _groups(s)
    return np.bincount(group[y], minlength=size), np.bincount(group[~y], minlength=size)


def _resamples(y: NDArray[np.bool_], s: Floats, n: int, rng: np.random.Generator) -> Iterator[list[NDArray[np.int64]]]:
    """`_by_score` of `n` stratified resamples in chunks: two arrays (resamples, distinct scores) each."""
    group, size = _groups(s)
    step = max(1, _CHUNK // y.size)
    for start in range(0, n, step):
        count = min(step, n - start)
        cells = size * np.arange(count)[:, None]
        drawn = [m[rng.integers(m.size, size=(count, m.size))] + cells for m in (group[y], group[~y])]
        yield [np.bincount(d.ravel(), minlength=count * size).reshape(count, size) for d in drawn]


# Areas from counts by distinct score (highest first) along the last axis; some counts of a resample are 0.


def _auroc(anomalous: NDArray[Any], normal: NDArray[Any]) -> Any:
    hits = np.cumsum(anomalous, -1)
    pairs = (normal * (2 * hits - anomalous)).sum(-1)  # twice the sum of hits before the group and half of those in it
    return pairs / (2.0 * hits[..., -1] * normal.sum(-1))


def _precision(anomalous: NDArray[Any], normal: NDArray[Any]) -> tuple[Any, Any]:
    hits = np.cumsum(anomalous, -1)
    flagged = hits + np.cumsum(normal, -1)
    precision = np.ones(flagged.shape)  # while nothing is flagged, as at recall 0
    np.divide(hits, flagged, out=precision, where=flagged > 0)
    return precision, hits[..., -1]


def _average_precision(anomalous: NDArray[Any], normal: NDArray[Any]) -> Any:
    precision, total = _precision(anomalous, normal)
    return (anomalous * precision).sum(-1) / total


def _auprc_trapezoid(anomalous: NDArray[Any], normal: NDArray[Any]) -> Any:
    precision, total = _precision(anomalous, normal)
    before = np.concatenate([np.ones((*precision.shape[:-1], 1)), precision[..., :-1]], -1)
    return (anomalous * (precision + before)).sum(-1) / (2 * total)


_AREAS: dict[Hashable, Callable[[Any, Any], Any]] = {
    "auroc": _auroc,
    "average_precision": _average_precision,
    "auprc_trapezoid": _auprc_trapezoid,
    auroc: _auroc,
    average_precision: _average_precision,
    auprc_trapezoid: _auprc_trapezoid,
}
