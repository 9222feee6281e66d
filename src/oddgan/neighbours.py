"""What is usual for rows like this one: training rows that are kept with the model, and found again by nearness.

A generator restores simple rows well, odd or not, and complicated ones badly. So a residual says more when it is
compared with the residuals of the training rows that resemble the row; and where only few training rows lie, a row is
odd whatever its residual.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .errors import ArtifactError, DataError

SMALLEST = 1e-10  # added to what divides
BLOCK = 64  # rows whose neighbours are looked for together


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Some m training rows, and what they are like.

    `features` (m, f) float32; `terms`, of their scores, (m,) float64 by name; a row is compared with the `k` nearest of
    them. `reach` (m,): each one's distance to its k-th nearest other; `density` (m,): its local reachability density
    (Breunig et al. 2000, definitions 3 and 6). `widths`: how many of the f columns belong to each view of the rows.
    """

    k: int
    features: np.ndarray
    terms: Mapping[str, np.ndarray]
    reach: np.ndarray
    density: np.ndarray
    widths: Sequence[int]

    @classmethod
    def of(
        cls, features: np.ndarray, terms: Mapping[str, np.ndarray], k: int, widths: Sequence[int] | None = None
    ) -> "Neighbourhood":
        """Keep these training rows; without `widths` the features are one view. Raises `DataError` when the rows are
        too few, or one has no finite features."""
        check_neighbours(k, len(features))
        if not np.isfinite(features).all():
            raise DataError("a training row has no finite features: training may have broken down; lower lr")
        features = np.ascontiguousarray(features, dtype=np.float32)
        none, widths = np.empty(0), widths or [features.shape[1]]
        others, distances = cls(k, features, terms, none, none, widths)._nearest(features, itself=True)
        reach = distances[:, -1]
        return cls(k, features, terms, reach, _density(reach, others, distances), widths)

    def ratio(self, features: np.ndarray, terms: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Each term (n,) of rows with these features (n, f), over its mean among the k training rows nearest to each.

        A term that can be negative (an energy, a logit) has no ratio: its difference from that mean is taken.
        """
        others, _ = self._nearest(np.asarray(features, np.float32))
        result = {}
        for name, value in terms.items():
            usual = self.terms[name][others].mean(1)
            result[name] = value - usual if self.terms[name].min() < 0 else value / (usual + SMALLEST)
        return result

    def outlier_factor(self, features: np.ndarray) -> np.ndarray:
        """The local outlier factor (n,) float64 of rows with these features (n, f): about 1 among training rows, and
        more the emptier a row's place is, compared with its neighbours' places (Breunig et al. 2000, definition 7)."""
        others, distances = self._nearest(np.asarray(features, np.float32))
        factor: np.ndarray = self.density[others].mean(1) / _density(self.reach, others, distances)
        return factor

    def distance(self, features: np.ndarray) -> np.ndarray:
        """The mean Euclidean distance (n,) float64 to the k nearest, of rows with these features (n, f); of several
        views the geometric mean of each one's, in which no view's scale counts."""
        columns = np.cumsum(self.widths)[:-1]
        parts = zip(self._views, np.split(np.asarray(features, np.float32), columns, axis=1), strict=True)
        means: list[np.ndarray] = [view._nearest(part)[1].mean(1) for view, part in parts]
        if len(means) == 1:
            return means[0]
        product: np.ndarray = np.exp(np.mean(np.log(np.add(means, SMALLEST)), 0))
        return product

    @cached_property
    def _views(self) -> list["Neighbourhood"]:
        """The same rows, view by view."""
        if len(self.widths) == 1:
            return [self]
        parts = np.split(self.features, np.cumsum(self.widths)[:-1], axis=1)
        return [replace(self, features=part, widths=[part.shape[1]]) for part in map(np.ascontiguousarray, parts)]

    @cached_property
    def _centred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean of the kept rows' features (f,), their differences from it (m, f), squared lengths of these (m,).

        All float64, since of two lengths only the last digits are left where rows lie close together and far out."""
        middle = self.features.mean(0, dtype=np.float64)
        centred = self.features - middle
        return middle, centred, np.einsum("ij,ij->i", centred, centred)

    def _nearest(self, features: np.ndarray, *, itself: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The numbers (n, k) of the kept rows nearest to each of these rows, and their distances (n, k) float64,
        ascending; without the row itself where they are the kept rows.

        A product of matrices, which rounds by company, only finds candidates, twice as many as are wanted and more;
        those are measured exactly, one row after the other.
        """
        middle, centred, length = self._centred
        others, distances = np.empty((len(features), self.k), dtype=np.intp), np.empty((len(features), self.k))
        few = min(2 * self.k + 8, len(centred) - itself)
        for start in range(0, len(features), BLOCK):
            rows = features[start : start + BLOCK]
            estimates = length - 2 * ((rows - middle) @ centred.T)
            for i, (row, estimate) in enumerate(zip(rows, estimates, strict=True), start):
                if itself:
                    estimate[i] = np.inf
                some = np.sort(np.argpartition(estimate, few - 1)[:few])
                squares = np.square(self.features[some].astype(np.float64) - row).sum(1)
                order = np.lexsort((some, squares))[: self.k]
                others[i], distances[i] = some[order], np.sqrt(squares[order])
        return others, distances

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        terms = {f"term.{name}": value for name, value in self.terms.items()}
        arrays = {"features": self.features, "reach": self.reach, "density": self.density, **terms}
        return {"rows": len(self.features), "neighbours": self.k, "views": list(self.widths)}, arrays

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Neighbourhood":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        terms = {name.removeprefix("term."): value for name, value in arrays.items() if name.startswith("term.")}
        parts = [arrays["features"], arrays["reach"], arrays["density"], *terms.values()]
        features = arrays["features"]
        widths = facts.get("views", [features.shape[1]])  # unknown to the first files
        complete = facts["neighbours"] < facts["rows"] and sum(widths) == features.shape[1]
        if not complete or any(len(part) != facts["rows"] for part in parts):
            raise ArtifactError("the training rows that are kept to compare with are incomplete")
        return cls(int(facts["neighbours"]), features, terms, arrays["reach"], arrays["density"], widths)


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
