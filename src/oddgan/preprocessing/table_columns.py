"""What is learnt of a table's columns, from training rows alone: scales of numbers, values of categories.

Of millions of rows quantiles are those of a sample: `oddgan.preprocessing.table_sums` says from which number on.

Numbers are brought to one scale, in this order:

1. Where `log_tails` is set and the column's kurtosis is above `HEAVY` (a normal distribution has 3, an exponential one
   9): sign(u) log(1 + |u|) of u = (x - median) / (the median of those |x - median| that are not 0).
2. `standard`: (x - mean) / deviation. `minmax`: (x - min) / (max - min), so that training rows lie from 0 to 1.
   `robust`: (x - median) / (distance of the quartiles), or the deviation where the quartiles are equal. `quantile`:
   by rank to a normal distribution, in straight lines between `KNOTS` quantiles; equal values share the middle of
   their ranks. Beyond the training rows' range it goes on at one per deviation, so that what is far out is seen to
   be.
3. A column that is constant in training is centred only (scale 1), so that any departure from it still shows.

A missing number becomes the training median, and an indicator of 0 or 1 joins the columns, where training rows missed
one as well. Where none did, a missing value is itself anomalous: it counts as one beyond the largest scaled value that
training had: one deviation, or whatever the scaling's unit is.

A category becomes one column of 0 or 1 for each value that at least two training rows and a share `rare` of them have,
and one more for all others, unseen ones among them. Missing is a value like any other. The columns stay 0 and 1: two
rows that differ in a category are then as far apart (a squared distance of 2) as two independent rows are, on average,
in a standardised number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ArtifactError, DataError
from .table_sums import Chosen

Floats: TypeAlias = NDArray[np.float64]
Scaling: TypeAlias = Literal["standard", "minmax", "robust", "quantile", "none"]

HEAVY = 10.0
KNOTS = 256
OTHER = "(other)"
"""What a category is called that stands for rare and for unseen values."""


@dataclass(frozen=True)
class Categories:
    """The values of one column that have a column of their own: `texts`, then the missing ones (if `missing`), then
    all others (if `other`). The code of a value is its place in this order, -1 where it has none."""

    texts: tuple[str, ...]
    missing: bool
    other: bool

    @classmethod
    def fit(cls, counts: NDArray[np.int64], missing: int, texts: Sequence[str], rare: float) -> "Categories":
        """`counts`: how many training rows have each of `texts`; `missing`: how many have none. With `rare` 0
        nothing is pooled, and an unseen value is 0 in all of the column's columns."""
        enough = max(2.0, rare * (int(counts.sum()) + missing)) if rare > 0 else 1.0
        kept = sorted(text for text, count in zip(texts, counts, strict=True) if count >= enough)
        return cls(tuple(kept), missing >= enough, rare > 0)

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any]) -> "Categories":
        """The values of a column that a model file describes. Raises `ArtifactError`."""
        texts, missing, other = tuple(facts["texts"]), facts["missing"], facts["other"]
        texts_differ = all(isinstance(text, str) for text in texts) and len(set(texts)) == len(texts)
        if not texts_differ or not isinstance(missing, bool) or not isinstance(other, bool):
            raise ArtifactError("the values of a category are not texts that differ")
        return cls(texts, missing, other)

    @property
    def size(self) -> int:
        """The number of columns that it becomes."""
        return len(self.texts) + self.missing + self.other

    @property
    def values(self) -> tuple[str | None, ...]:
        """The value that each code stands for: text, None for missing, `OTHER`."""
        return (*self.texts, *[None] * self.missing, *[OTHER] * self.other)

    def codes(self, texts: Sequence[str]) -> Floats:
        """The code of each of `texts` and, last, that of a missing value: (len(texts) + 1,)."""
        known: dict[str | None, int] = {text: i for i, text in enumerate(self.texts)}
        unseen = self.size - 1 if self.other else -1
        missing = len(self.texts) if self.missing else unseen
        return np.array([*(known.get(text, unseen) for text in texts), missing], np.float64)


@dataclass(frozen=True, eq=False)
class Numbers:
    """The scales of k numeric columns; all arrays are float64.

    `center`, `scale`: (k,). `blank`: (k,) what a missing value becomes once scaled. `missed`: (k,) 1 where training
    rows missed values, so that there is an indicator. `log_center`, `log_scale`: (k,) or None; scale 0 where no
    logarithm is taken. `knots`: (k, q) values in rising order, filled up with infinity, and `ranks`: (k, q) what they
    become; None unless scaling is by quantiles.
    """

    center: Floats
    scale: Floats
    blank: Floats
    missed: Floats
    log_center: Floats | None = None
    log_scale: Floats | None = None
    knots: Floats | None = None
    ranks: Floats | None = None

    @classmethod
    def fit(cls, x: "Chosen | Floats", names: Sequence[str], scaling: Scaling, log_tails: bool) -> "Numbers":
        """`x`: (n, k) values of the training rows, NaN for missing ones. `blank` is left 0."""
        x = Chosen(x) if isinstance(x, np.ndarray) else x
        gone = x.seen.gone
        missed = gone > 0
        if (empty := gone == len(x)).any():  # a column without any value: its indicator is all there is to it
            x = x.changed(lambda part: np.where(empty, 0.0, part))
        largest = x.seen.largest
        if (beyond := np.flatnonzero(largest > 1e150)).size:  # the deviation squares
            raise DataError(f"column {names[beyond[0]]} holds values up to {largest[beyond[0]]:g}: rescale it")
        log_center = log_scale = None
        if log_tails:
            log_center, log_scale = _log_scales(x.sample)
            x = x.changed(partial(logarithm, center=log_center, scale=log_scale))
            largest = x.seen.largest
        mean, deviation = x.moments()
        # Rounding noise of a large constant is no deviation, nor is that of a sum over many rows.
        constant = (x.seen.least == x.seen.most) | (deviation <= 1e-12 * largest)
        deviation = np.where(constant, 1.0, deviation)
        result = cls(mean, deviation, np.zeros_like(mean), missed.astype(np.float64), log_center, log_scale)
        if scaling == "standard" or not x.shape[1]:
            return result
        if scaling == "none":
            return replace(result, center=np.zeros_like(mean), scale=np.ones_like(mean))
        if scaling == "minmax":
            least, most = x.seen.least, x.seen.most
            return replace(result, center=least, scale=np.where(constant, 1.0, most - least))
        center = x.medians()
        center = np.where(np.isnan(center), mean, center)  # the sample of many rows misses all of a column's few values
        if scaling == "robust":
            low, high = np.nan_to_num(x.quantiles((0.25, 0.75)))
            spread = np.where(high - low <= 1e-12 * largest, deviation, high - low)
            return cls(center, spread, result.blank, result.missed, log_center, log_scale)
        found = [_knots(column, deviation[i], mean[i]) for i, column in x.sample.columns(range(x.shape[1]))]
        knots, ranks = zip(*found, strict=True)
        width = max(map(len, knots))
        filled = [np.stack([np.pad(row, (0, width - len(row)), constant_values=np.inf) for row in rows])
                  for rows in (knots, ranks)]  # fmt: skip
        return cls(center, deviation, result.blank, result.missed, log_center, log_scale, *filled)

    def usable(self) -> bool:
        """Whether arrays of a model file are such scales: float64, of one shape, finite, and in order."""
        given = [value for value in vars(self).values() if value is not None]
        plain = [self.center, self.scale, self.blank, self.missed]
        if self.log_center is not None and self.log_scale is not None:
            plain += [self.log_center, self.log_scale]
        return bool(
            all(value.dtype == np.float64 for value in given)
            and (self.log_center is None) == (self.log_scale is None)
            and all(value.shape == self.center.shape[:1] and np.isfinite(value).all() for value in plain)
            and (self.scale > 0).all()
            and np.isin(self.missed, (0, 1)).all()
            and (self.log_scale is None or (self.log_scale >= 0).all())
            and (self.knots is None) == (self.ranks is None)
            and (self.knots is None or self.ranks is None or _rising(self.knots, self.ranks))
        )


def _rising(knots: Floats, ranks: Floats) -> bool:
    """Whether each column has two knots at least, which rise and whose ranks do not fall, and infinity after them."""
    if knots.ndim != 2 or knots.shape != ranks.shape or knots.shape[1] < 2:
        return False
    finite = np.isfinite(knots)
    filled = (knots == np.inf) & (ranks == np.inf)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        steps = (np.diff(knots) > 0) & (np.diff(ranks) >= 0)
    return bool(
        (finite[:, :2].all() and (finite[:, :-1] >= finite[:, 1:]).all())
        and (np.isfinite(ranks) == finite).all()
        and (finite | filled).all()
        and (steps | ~finite[:, 1:]).all()
    )


def logarithm(x: Floats, center: Floats, scale: Floats) -> Floats:
    """sign(u) log(1 + |u|) of u = (x - center) / scale, in the columns whose scale is not 0."""
    u = (x - center) / np.where(scale > 0, scale, 1.0)
    return np.where(scale > 0, np.sign(u) * np.log1p(np.abs(u)), x)


def _log_scales(x: Chosen) -> tuple[Floats, Floats]:
    """The median of each column, and its unit where its tails are heavy, else 0."""
    centers, scales = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for i, column in x.columns(range(x.shape[1])):
        found = column[~np.isnan(column)]
        if not len(found) or (deviation := found.std()) <= 1e-12 * np.abs(found).max():
            continue
        if np.mean(((found - found.mean()) / deviation) ** 4) > HEAVY:
            centers[i] = np.median(found)
            away = np.abs(found - centers[i])
            scales[i] = np.median(away[away > 0])
    return centers, scales


def _knots(column: Floats, deviation: float, mean: float) -> tuple[Floats, Floats]:
    """Quantiles of a column in rising order, and the normal distribution's at the same ranks."""
    from scipy.special import ndtri

    found = column[~np.isnan(column)]
    found = found if len(found) else np.array([mean])
    shares = np.linspace(0, 1, max(2, min(KNOTS, len(found))))
    quantiles = np.maximum.accumulate(np.quantile(found, shares))
    knots, first, count = np.unique(quantiles, return_index=True, return_counts=True)
    middle = (shares[first] + shares[first + count - 1]) / 2
    outermost = 0.5 / len(found)  # the extremes are no further out than so many rows can say
    ranks = ndtri(np.clip(middle, outermost, 1 - outermost))
    # One more at each end: the outermost line continues without end, at one per deviation.
    step = max(float(deviation), 1e-9 * float(np.abs(knots).max()))
    knots = np.concatenate([[knots[0] - step], knots, [knots[-1] + step]])
    ranks = np.concatenate([[ranks[0] - step / deviation], ranks, [ranks[-1] + step / deviation]])
    return knots, ranks
