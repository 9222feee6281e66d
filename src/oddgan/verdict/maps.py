"""Anomaly maps on one scale: how far every place is from what is usual there.

A raw map, such as a residual, is larger along edges than on plain ground, in normal pictures too. So what decides is

    s = G m                                  the raw map m, smoothed at one or several scales
    z = (s - mean) / deviation               in units of what is usual

with mean and deviation over normal pictures that were held out of training: at the same place where parts lie alike, of
the whole picture where they lie anyhow. Which of the two is not asked; empirical Bayes tells them apart. The mean at a
place is shrunk towards the picture's by w = between / (between + within / n), where `between` is the variance of the
places' true means and `within / n` that of their estimates from n pictures (James and Stein). The logarithm of the
variance about it is shrunk likewise: its estimate has variance (kurtosis - 1) / (n - 1), 2 / (n - 1) of a normal
distribution and much more of maps that are 0 nearly everywhere. Each raw map of a picture at each scale is standardised
by itself, and they are averaged.

A picture's terms are pooled from z, so that one small mark decides: `map_max`, its maximum; `map_top`, the mean of its
highest hundredth; `map_tail`, log mean exp z, in which height counts more than area.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ArtifactError, DataError
from .calibration import threshold_at

MAP_TERMS = ("map_max", "map_top", "map_tail")
POWERS = (1, 2, 3, 4)  # of the moments that are gathered at each place
TOP = 0.01  # the share of a picture's places that map_top averages
LARGEST = 2**20  # places with statistics of their own; larger maps share them among neighbours
MOST_BLUR = 256  # pixels
FLAT = 1e-6  # deviations up to it are rounding errors, as of identical pictures: then 1 is the unit
LEAST_DEVIATION = 0.4  # of the whole picture's: chosen by simulated defects on held-out normals


@dataclass(frozen=True, eq=False)
class MapScale:
    """What is usual of raw maps.

    `blurs`: sigmas in pixels of the map. `mean`, `deviation` (k, h, w) float32, of each raw map at each of these
    scales: at each place, each of which stands for `step` x `step` pixels; (k, 1, 1) where maps differ in size. `peaks`
    (n,) float64, ascending: the highest z of each calibration picture, None before there are any.
    """

    blurs: tuple[float, ...]
    mean: np.ndarray
    deviation: np.ndarray
    step: int = 1
    peaks: np.ndarray | None = None

    def standardised(self, raw: np.ndarray) -> np.ndarray:
        """z (r, h, w) float32 of raw maps (r, c, h, w) float32. What is not a number is as anomalous as can be."""
        maps = at_scales(raw, self.blurs)
        mean, deviation = (self._spread_out(one, maps.shape[2:]) for one in (self.mean, self.deviation))
        z = (maps - mean) / deviation
        return np.asarray(np.nan_to_num(z.mean(axis=1), nan=np.inf, posinf=np.inf, neginf=-np.inf))

    def _spread_out(self, values: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """Statistics (k, ...) for maps of this size (h, w)."""
        if self.step > 1:  # no larger than the maps, whatever step a file makes up
            rows, columns = (
                np.arange(min(n, m * self.step)) // self.step for n, m in zip(size, values.shape[1:], strict=True)
            )
            values = values[:, rows[:, None], columns]
        if values.shape[1:] not in ((1, 1), tuple(size)):
            # A picture of another size, which the model takes with `convert` in tiles: its places are no known ones.
            values = values.mean(axis=(1, 2), keepdims=True)
        return values

    def threshold(self, rate: float) -> float:
        """Above this z a place is anomalous: at most a share `rate` of normal pictures has any such place. Of too few
        calibration pictures for that, the highest z of them all."""
        assert self.peaks is not None
        return threshold_at(self.peaks, max(rate, 1 / (len(self.peaks) + 1)))

    def calibrated(self, peaks: np.ndarray) -> "MapScale":
        """The same with the peaks of these calibration pictures (n,)."""
        return replace(self, peaks=np.sort(np.asarray(peaks, np.float64)))

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        assert self.peaks is not None
        facts = {"blurs": list(self.blurs), "step": self.step, "pictures": len(self.peaks)}
        return facts, {"mean": self.mean, "deviation": self.deviation, "peaks": self.peaks}

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "MapScale":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        mean, deviation, peaks = arrays["mean"], arrays["deviation"], arrays["peaks"]
        blurs, step = facts["blurs"], facts["step"]
        if not (
            mean.ndim == 3
            and mean.size
            and mean.shape == deviation.shape
            and all(one.dtype == np.float32 and np.isfinite(one).all() for one in (mean, deviation))
            and (deviation > 0).all()
            and peaks.ndim == 1
            and len(peaks) == facts["pictures"] > 0
            and peaks.dtype == np.float64
            and not np.isnan(peaks).any()
            and (np.diff(peaks) >= 0).all()
            and type(step) is int
            and 1 <= step <= 4096
            and len(blurs) > 0
            and len(mean) % len(blurs) == 0
            and all(isinstance(blur, int | float) and 0 <= blur <= MOST_BLUR for blur in blurs)
        ):
            raise ArtifactError("the scale of anomaly maps is inconsistent")
        return cls(tuple(map(float, blurs)), mean, deviation, step, peaks)


def of_groups(peaks: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The highest of the peaks (n,) of each of `groups` (n,), (g,): pictures of a group are no new ones."""
    if groups is None:
        return peaks
    _, which = np.unique(groups, return_inverse=True)
    found = np.full(which.max() + 1, -np.inf)
    np.maximum.at(found, which, peaks)
    return found


def pooled(z: np.ndarray, counted: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The terms `MAP_TERMS` (r,) float64 of standardised maps (r, h, w), over the places `counted` (h, w)."""
    flat = z.reshape(len(z), -1) if counted is None else z[:, counted]
    top = max(1, round(TOP * flat.shape[1]))
    highest = np.sort(np.partition(flat, flat.shape[1] - top, axis=1)[:, -top:], axis=1).astype(np.float64)
    peak = highest[:, -1]
    finite = np.where(np.isfinite(peak), peak, 0.0)
    tail = np.log(np.exp(flat - finite[:, None]).mean(axis=1)) + finite
    return {"map_max": peak, "map_top": highest.mean(axis=1), "map_tail": tail}


def at_scales(maps: np.ndarray, blurs: Sequence[float]) -> np.ndarray:
    """Raw maps (r, c, h, w), smoothed at each scale: (r, c * scales, h, w)."""
    return np.concatenate([smoothed(maps, blur) for blur in blurs], axis=1)


def smoothed(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Maps (..., h, w) float32, each convolved with a Gaussian of `sigma` pixels, mirrored at the border.

    Written out as sums, whose order does not depend on how many maps there are."""
    if sigma <= 0:
        return maps
    radius = max(1, math.ceil(3 * sigma))
    weights = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (-2, -1):
        n = maps.shape[axis]
        widths = [(0, 0)] * maps.ndim
        widths[axis] = (radius, radius)
        wide = np.pad(maps, widths, mode="symmetric")
        total = np.zeros_like(maps)
        for i, weight in enumerate(weights):
            total += weight * (wide[..., i : i + n, :] if axis == -2 else wide[..., i : i + n])
        maps = total
    return maps


class MapMoments:
    """The first four moments of smoothed maps, from which a scale is learned: at every place, as long as all maps
    have one size, and of all places. `counted` (h, w): the places that count, None: all. `places`: whether places may
    differ; maps of probabilities have one scale everywhere."""

    def __init__(self, blurs: Sequence[float], counted: np.ndarray | None = None, *, places: bool = True) -> None:
        self.blurs, self.counted = tuple(blurs), counted
        self.n = 0
        self.shape: tuple[int, ...] | None = None
        self.step = 1
        self.one_size = places
        self.sums: list[np.ndarray] = []  # of s, s^2, s^3 and s^4 at each place (k, h, w)
        self.whole = np.zeros((2, 1))  # of s and s^2 in all pictures (2, k): means over places, summed over pictures

    def add(self, raw: np.ndarray) -> None:
        """Add normal pictures' raw maps (r, c, h, w) float32. Raises `DataError` for one that is not finite."""
        if not np.isfinite(raw).all():
            raise DataError("a held-out row has no finite anomaly map: training may have broken down; lower lr")
        maps = at_scales(raw, self.blurs)
        inside = maps.reshape(*maps.shape[:2], -1) if self.counted is None else maps[:, :, self.counted]
        means = [np.power(inside, power, dtype=np.float64).mean(axis=2).sum(axis=0) for power in (1, 2)]
        self.whole = np.stack(means) + (self.whole if self.n else 0.0)
        self.n += len(maps)
        if self.shape is None:
            self.shape = maps.shape[1:]
            self.step = math.ceil(math.sqrt(max(1, math.prod(maps.shape[2:]) / LARGEST)))
        self.one_size = self.one_size and maps.shape[1:] == self.shape
        if self.one_size:
            found = [_coarse(np.power(maps, power, dtype=np.float64).sum(axis=0), self.step) for power in POWERS]
            self.sums = [a + b for a, b in zip(self.sums, found, strict=True)] if self.sums else found
        else:
            self.sums = []

    def scale(self) -> MapScale:
        """What is usual."""
        mean, square = self.whole[:, :, None, None] / self.n
        deviation = np.sqrt(np.maximum(square - np.square(mean), 0.0))
        deviation = np.where(deviation > FLAT, deviation, 1.0)
        if self.one_size:
            moments = np.stack(self.sums) / self.n
            places = None if self.counted is None else _coarse(self.counted[None].astype(float), self.step)[0] > 0
            mean, deviation = _shrunk(moments, self.n, places, deviation)
        step = self.step if self.one_size else 1
        return MapScale(self.blurs, mean.astype(np.float32), deviation.astype(np.float32), step)


def _shrunk(
    moments: np.ndarray, n: int, places: np.ndarray | None, overall: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation at each place (k, h, w) from the first four moments there (4, k, h, w) over n pictures, drawn
    towards those of the whole picture as far as the places do not differ. `overall` (k, 1, 1): the deviation over all
    pixels."""
    shrunk_means, deviations = np.empty_like(moments[0]), np.empty_like(moments[0])
    inside = np.ones(moments.shape[2:], bool) if places is None else places
    for k in range(moments.shape[1]):
        m, square, cube, fourth = moments[:, k]
        variance = np.maximum(square - np.square(m), 0.0)
        kurtosis = fourth - 4 * m * cube + 6 * np.square(m) * square - 3 * m**4
        centre = m[inside].mean()
        within = variance[inside].mean() * n / max(1, n - 1)
        between = max(0.0, m[inside].var() - within / n) if n > 1 else 0.0
        w = between / (between + within / n) if between > 0 else 0.0
        usual = centre + w * (m - centre)
        about = variance + np.square(m - usual)  # the variance about the shrunk mean
        level = max(about[inside].mean(), np.finfo(np.float32).tiny)
        log = np.log(np.maximum(about, 1e-6 * level))
        spread = max(float(np.square(variance[inside]).mean()), np.finfo(np.float64).tiny)
        noise = max(2.0, float(kurtosis[inside].mean()) / spread - 1) / max(1, n - 1)
        differ = max(0.0, log[inside].var() - noise) if n > 1 else 0.0
        v = differ / (differ + noise)
        # What is shrunk is a logarithm; the mean of the variances is kept where all of it is shrunk away.
        drawn = v * (log - log[inside].mean()) + (v * log[inside].mean() + (1 - v) * math.log(level))
        shrunk_means[k] = usual
        deviations[k] = np.maximum(np.exp(0.5 * drawn), LEAST_DEVIATION * float(overall[k, 0, 0]))
    return shrunk_means, deviations


def _coarse(values: np.ndarray, step: int) -> np.ndarray:
    """(k, h, w) by means of step x step places, the last ones of what is left."""
    if step == 1:
        return values
    for axis in (1, 2):
        starts = np.arange(0, values.shape[axis], step)
        counts = np.diff(np.append(starts, values.shape[axis]))
        shape = [1, 1, 1]
        shape[axis] = -1
        values = np.add.reduceat(values, starts, axis=axis) / counts.reshape(shape)
    return values
