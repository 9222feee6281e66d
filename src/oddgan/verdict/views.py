"""Distances to training rows in several views, and how unusual the most unusual of them is.

    d(x)   the mean distance of x to its k nearest reference rows
    u(x)   the mean of d, without themselves, over these k rows
    s(x) = log d(x) - log u(x) / 2
    score: max over views of (s(x) - mean s) / deviation s

Between the distance itself, log d, which flags whatever is in thin regions, and the ratio log d - log u, which forgives
it wherever others are far from each other too (as local outlier factors do). Mean and deviation are those of the
reference rows, each compared with the others. A row that is unusual in one view need not be so in others: what is far
out in a heavy-tailed column vanishes by rank, and what is rare within a range vanishes beside one that is wide.

The views are the row as the networks get it; its columns by their range; its columns by rank, as normal scores; and the
detector's own embeddings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from ..errors import ArtifactError
from .reference import LARGEST_BLOCK, SMALLEST, Embedding, among_themselves, checked, mean_over, neighbours

OWN = 3  # views of the rows themselves
SHARE = 0.5  # of the logarithm of what is usual among neighbours
KNOTS = 1_001  # of a column's ranks at most

_NORMAL = NormalDist()


@dataclass(frozen=True, eq=False)
class Columns:
    """How rows (n, d) are seen by the range and by the rank of their columns, learned from reference rows. `width` (d,)
    float64: of each column's range. `knots`, `scores` (q, d) float64: values of each column, ascending, and what
    becomes of them; between knots lines, beyond them nothing more."""

    width: np.ndarray
    knots: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, copies: np.ndarray | None) -> "Columns":
        """Learn from reference rows (m, d), which stand for so many `copies` each (m,)."""
        rows = rows.astype(np.float64)
        weights = np.ones(len(rows)) if copies is None else copies
        ranks = [_normal_scores(column, weights) for column in rows.T]
        most = max(len(values) for values, _ in ranks)
        padded = [[np.pad(one, (0, most - len(one)), mode="edge") for one in pair] for pair in ranks]
        knots, scores = (np.stack([pair[i] for pair in padded], axis=1) for i in (0, 1))
        return cls(np.ptp(rows, axis=0), knots, scores)

    def by_range(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, d) in units of each column's range, float32."""
        return np.asarray(rows / np.where(self.width > 0, self.width, 1.0), np.float32)

    def by_rank(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, d) as normal scores, float32."""
        found = [np.interp(rows[:, j], self.knots[:, j], self.scores[:, j]) for j in range(rows.shape[1])]
        return np.asarray(np.stack(found, axis=1), np.float32)


def _normal_scores(column: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of a column (m,), each standing for so many rows, ascending and without copies, and the normal score of
    each one's rank, standardised over rows."""
    values, where = np.unique(column, return_inverse=True)
    counts = np.bincount(where, weights=weights)
    n = counts.sum()
    scores = normal_quantile(np.clip((counts.cumsum() - counts / 2) / n, 0.5 / n, 1 - 0.5 / n))
    mean = (counts * scores).sum() / n
    deviation = np.sqrt((counts * np.square(scores - mean)).sum() / n)
    scores = (scores - mean) / (deviation if deviation > 0 else 1.0)
    if len(values) > KNOTS:
        kept = np.linspace(0, len(values) - 1, KNOTS).round().astype(int)
        values, scores = values[kept], scores[kept]
    return values, scores


def normal_quantile(p: np.ndarray) -> np.ndarray:
    """The standard normal distribution's quantiles at p (n,), between 0 and 1."""
    return np.array([_NORMAL.inv_cdf(one) for one in p.tolist()])


def _seen(columns: Columns, given: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Rows, and embeddings of them, in every view."""
    rows, *embeddings = given
    return rows, columns.by_range(rows), columns.by_rank(rows), *embeddings


def _relative(d: np.ndarray, u: np.ndarray) -> np.ndarray:
    """s, of distances d (n,) and what is usual of the neighbours u (n,)."""
    return np.asarray(np.log(d + SMALLEST) - SHARE * np.log(u + SMALLEST))


@dataclass(frozen=True, eq=False)
class Views:
    """Reference rows in several views. `embeddings`: of each view; `usual` (v, m) float64: d of each reference row
    among the others; `scale` (v, 2): mean and deviation of s over reference rows; a row is compared with the `k`
    nearest. `copies`, `block_size`: as for `Reference`."""

    k: int
    columns: Columns
    embeddings: tuple[Embedding, ...]
    usual: np.ndarray
    scale: np.ndarray
    copies: np.ndarray | None = None
    block_size: int = 0

    @classmethod
    def of(
        cls, given: Sequence[np.ndarray], k: int, *, copies: np.ndarray | None = None, block_size: int = 0
    ) -> "Views":
        """Keep these reference rows: `given` are the rows themselves (m, d), and embeddings (m, f) of them. Raises
        `DataError` when they are too few, or not finite."""
        copies = checked(given, k, copies)
        columns = Columns.of(given[0], copies)
        embeddings = tuple(Embedding(np.ascontiguousarray(one, dtype=np.float32)) for one in _seen(columns, given))
        usual, scale = [], []
        weights_of_rows = np.ones(len(given[0])) if copies is None else copies
        for embedding in embeddings:
            others, distances, weights = among_themselves(embedding, k, copies)
            d = mean_over(distances, weights)
            s = _relative(d, mean_over(d[others], weights))
            mean = float(np.average(s, weights=weights_of_rows))
            deviation = float(np.sqrt(np.average(np.square(s - mean), weights=weights_of_rows)))
            usual.append(d)
            scale.append((mean, deviation if deviation > 0 else 1.0))
        return cls(k, columns, embeddings, np.array(usual), np.array(scale), copies, block_size)

    def surprise(self, given: Sequence[np.ndarray]) -> np.ndarray:
        """The score (n,) float64 of rows (n, d) and their embeddings: about 0 for a usual one, in deviations of
        reference rows."""
        found = []
        for embedding, vectors, usual, (mean, deviation) in zip(
            self.embeddings, _seen(self.columns, given), self.usual, self.scale, strict=True
        ):
            others, distances, weights = neighbours(embedding, vectors, self.k, self.copies)
            s = _relative(mean_over(distances, weights), mean_over(usual[others], weights))
            found.append((s - mean) / deviation)
        return np.asarray(np.max(found, axis=0))

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        views, rows = self.usual.shape
        facts = {"rows": rows, "neighbours": self.k, "block_size": self.block_size, "views": views}
        # The views of the rows themselves are made again.
        arrays = {f"features.{i}": one.vectors for i, one in enumerate((self.embeddings[0], *self.embeddings[OWN:]))}
        columns = {"width": self.columns.width, "knots": self.columns.knots, "scores": self.columns.scores}
        arrays |= {"usual": self.usual, "scale": self.scale, **columns}
        return facts, arrays if self.copies is None else {**arrays, "copies": self.copies}

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Views":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        k, m, block_size, views = (facts[name] for name in ("neighbours", "rows", "block_size", "views"))
        copies = arrays.get("copies")
        given = [arrays[f"features.{i}"] for i in range(views - OWN + 1)] if type(views) is int else []
        usual, scale, width, knots, scores = (arrays[name] for name in ("usual", "scale", "width", "knots", "scores"))
        numbers = [usual, scale, width, knots, scores, *([] if copies is None else [copies])]
        if not (
            all(type(number) is int for number in (k, m, block_size))
            and given
            and all(one.ndim == 2 and len(one) == m and one.shape[1] > 0 and one.dtype == np.float32 for one in given)
            and all(one.dtype == np.float64 and np.isfinite(one).all() for one in numbers)
            and all(np.isfinite(one).all() for one in given)
            and usual.shape == (views, m)
            and scale.shape == (views, 2)
            and (usual >= 0).all()
            and (scale[:, 1] > 0).all()
            and width.shape == given[0].shape[1:]
            and knots.shape == scores.shape
            and knots.ndim == 2
            and 0 < len(knots) <= KNOTS
            and knots.shape[1:] == width.shape
            and (np.diff(knots, axis=0) >= 0).all()
            and (copies is None or (copies.shape == (m,) and (copies >= 1).all()))
            and m > 1
            and 1 <= k < (m if copies is None else copies.sum())
            and 0 <= block_size <= LARGEST_BLOCK
            and block_size & (block_size - 1) == 0
        ):
            raise ArtifactError("the views of reference rows are inconsistent")
        columns = Columns(width, knots, scores)
        return cls(k, columns, tuple(map(Embedding, _seen(columns, given))), usual, scale, copies, block_size)
