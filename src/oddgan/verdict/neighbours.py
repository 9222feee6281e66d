"""What is usual for rows like this one: training rows that are kept with the model, and found again by nearness.

A generator restores simple rows well, odd or not, and complicated ones badly. So a residual says more when it is
compared with the residuals of the training rows that resemble the row; and where only few training rows lie, a row is
odd whatever its residual.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ArtifactError, DataError

SMALLEST = 1e-10  # added to what divides
BLOCK = 64  # rows whose neighbours are looked for together


@dataclass(frozen=True, eq=False)
class View:
    """Some m rows as vectors, `features` (m, f) float32, and the search for those of them that are nearest to a row."""

    features: np.ndarray

    def nearest(self, features: np.ndarray, k: int, *, itself: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The numbers (n, k) of the kept rows nearest to each of these rows (n, f), and their distances (n, k) float64,
        ascending; without the row itself where they are the kept rows.

        A product of matrices, which rounds by company, only finds candidates, twice as many as are wanted and more;
        those are measured exactly, one row after the other.
        """
        features = np.asarray(features, np.float32)
        middle, centred, length = self._centred
        others, distances = np.empty((len(features), k), dtype=np.intp), np.empty((len(features), k))
        few = min(2 * k + 8, len(centred) - itself)
        for start in range(0, len(features), BLOCK):
            rows = features[start : start + BLOCK]
            estimates = length - 2 * ((rows - middle) @ centred.T)
            for i, (row, estimate) in enumerate(zip(rows, estimates, strict=True), start):
                if itself:
                    estimate[i] = np.inf
                some = np.sort(np.argpartition(estimate, few - 1)[:few])
                squares = np.square(self.features[some].astype(np.float64) - row).sum(1)
                order = np.lexsort((some, squares))[:k]
                others[i], distances[i] = some[order], np.sqrt(squares[order])
        return others, distances

    @cached_property
    def _centred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean of the kept rows' features (f,), their differences from it (m, f), squared lengths of these (m,).

        All float64, since of two lengths only the last digits are left where rows lie close together and far out."""
        middle = self.features.mean(0, dtype=np.float64)
        centred = self.features - middle
        return middle, centred, np.einsum("ij,ij->i", centred, centred)

    def __getstate__(self) -> dict[str, Any]:
        return {"features": self.features}  # the rest is made again


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Some m training rows, and what they are like.

    `views`: what rows are compared in, each by itself; `terms`, of their scores, (m,) float64 by name; a row is
    compared with the `k` nearest of them. `reach` (m,): each one's distance to its k-th nearest other in the first
    view; `density` (m,): its local reachability density there (Breunig et al. 2000, definitions 3 and 6).
    """

    k: int
    views: tuple[View, ...]
    terms: Mapping[str, np.ndarray]
    reach: np.ndarray
    density: np.ndarray

    @classmethod
    def of(cls, views: Sequence[np.ndarray], terms: Mapping[str, np.ndarray], k: int) -> "Neighbourhood":
        """Keep these training rows, of which each view is (m, f). Raises `DataError` when they are too few, or one has
        no finite features."""
        check_neighbours(k, len(views[0]))
        if not all(np.isfinite(features).all() for features in views):
            raise DataError("a training row has no finite features: training may have broken down; lower lr")
        kept = tuple(View(np.ascontiguousarray(features, dtype=np.float32)) for features in views)
        others, distances = kept[0].nearest(kept[0].features, k, itself=True)
        reach = distances[:, -1]
        return cls(k, kept, terms, reach, _density(reach, others, distances))

    def ratio(self, views: Sequence[np.ndarray], terms: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Each term (n,) of rows with these views, over its mean among the k training rows nearest to each in the first
        view.

        A term that can be negative (an energy, a logit) has no ratio: its difference from that mean is taken.
        """
        others, _ = self.views[0].nearest(views[0], self.k)
        result = {}
        for name, value in terms.items():
            usual = self.terms[name][others].mean(1)
            result[name] = value - usual if self.terms[name].min() < 0 else value / (usual + SMALLEST)
        return result

    def outlier_factor(self, views: Sequence[np.ndarray]) -> np.ndarray:
        """The local outlier factor (n,) float64 of rows with these views, in the first of them: about 1 among training
        rows, and more the emptier a row's place is, compared with its neighbours' places (Breunig et al. 2000,
        definition 7)."""
        others, distances = self.views[0].nearest(views[0], self.k)
        factor: np.ndarray = self.density[others].mean(1) / _density(self.reach, others, distances)
        return factor

    def distance(self, views: Sequence[np.ndarray]) -> np.ndarray:
        """The mean Euclidean distance (n,) float64 to the k nearest, of rows with these views, (n, f) each; of several
        views the geometric mean of each one's, in which no view's scale counts."""
        pairs = zip(self.views, views, strict=True)
        means: list[np.ndarray] = [kept.nearest(view, self.k)[1].mean(1) for kept, view in pairs]
        if len(means) == 1:
            return means[0]
        product: np.ndarray = np.exp(np.mean(np.log(np.add(means, SMALLEST)), 0))
        return product

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        arrays = {f"features.{i}": view.features for i, view in enumerate(self.views)}
        arrays |= {"reach": self.reach, "density": self.density}
        arrays |= {f"term.{name}": value for name, value in self.terms.items()}
        return {"rows": len(self.reach), "neighbours": self.k}, arrays

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Neighbourhood":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        terms = {name.removeprefix("term."): value for name, value in arrays.items() if name.startswith("term.")}
        # The first files have one view, without a number.
        views = [arrays[name] for name in sorted(arrays) if name.split(".")[0] == "features"]
        k, parts = facts["neighbours"], [*views, arrays["reach"], arrays["density"], *terms.values()]
        counted = isinstance(k, int) and 1 <= k < facts["rows"] and bool(views)
        if not counted or any(len(part) != facts["rows"] for part in parts):
            raise ArtifactError("the training rows that are kept to compare with are incomplete")
        return cls(k, tuple(map(View, views)), terms, arrays["reach"], arrays["density"])


def check_neighbours(k: int, n: int) -> None:
    """Raise `DataError` when n kept training rows are too few to find k nearest among."""
    if n <= k:
        mend = f"give more, or set neighbours to {n - 1}" if n > 1 else "set local to off"
        raise DataError(f"neighbours={k} needs more than {k} training rows that differ and there are {n}: {mend}")


def _density(reach: np.ndarray, others: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Local reachability density (n,): one over the mean of the distances to the nearest, none taken for less than that
    neighbour's own reach."""
    density: np.ndarray = 1 / (np.maximum(distances, reach[others]).mean(1) + SMALLEST)
    return density
