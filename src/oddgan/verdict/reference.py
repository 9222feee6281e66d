"""Reference rows: training rows that are kept with the model, to which new rows are compared.

A generator reconstructs simple rows well, anomalous or not, and complicated ones badly. So a residual says more when it
is compared with the residuals of the training rows nearest to the row; and where only few training rows are near, a row
is anomalous whatever its residual.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ArtifactError, DataError

SMALLEST = 1e-10  # added to divisors
BLOCK = 64  # rows whose neighbours are searched together
GROUP = 16  # reference rows that a first pass sums up by the nearest of them


@dataclass(frozen=True, eq=False)
class Embedding:
    """m reference rows as vectors, `vectors` (m, f) float32, and the search for those nearest to a row."""

    vectors: np.ndarray

    def nearest(self, vectors: np.ndarray, k: int, *, itself: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The numbers (n, k) of the reference rows nearest to each of these rows (n, f), and their distances (n, k)
        float64, ascending; equal distances in the order of reference rows. `itself`: the rows are the reference rows,
        and none is its own neighbour.

        A matrix product, whose rounding depends on the rows that are searched together, only finds candidates: every
        row that could be among the nearest within the bound of that rounding. They are measured exactly.
        """
        vectors = np.asarray(vectors, np.float32)
        center, centred, length = self._centred
        others, distances = np.empty((len(vectors), k), dtype=np.intp), np.empty((len(vectors), k))
        m, f = centred.shape
        group = max(1, min(GROUP, m // (4 * k)))
        reach = np.sqrt(length.max())
        for start in range(0, len(vectors), BLOCK):
            rows = vectors[start : start + BLOCK] - center
            estimates = (-2 * rows) @ centred.T
            estimates += length
            if itself:
                estimates[np.arange(len(rows)), np.arange(start, start + len(rows))] = np.inf
            # The k-th smallest minimum of groups is at least the k-th smallest of all.
            minima = estimates[:, : m // group * group].reshape(len(rows), group, -1).min(1)
            cut = np.partition(minima, k - 1, axis=1)[:, k - 1]
            slack = 8 * (f + 8) * np.finfo(np.float64).eps * np.square(reach + np.sqrt(np.square(rows).sum(1)))
            near = np.flatnonzero(estimates <= (cut + slack)[:, None])
            ends = np.searchsorted(near, m * np.arange(1, len(rows) + 1))
            candidates = np.split(near, ends[:-1])
            for i, (row, some) in enumerate(zip(vectors[start : start + BLOCK], candidates, strict=True)):
                some = some - i * m if len(some) >= k else np.arange(k)  # without finite features none is nearest
                squares = np.square(self.vectors[some].astype(np.float64) - row).sum(1)
                order = np.lexsort((some, squares))[:k]
                others[start + i], distances[start + i] = some[order], np.sqrt(squares[order])
        return others, distances

    @cached_property
    def _centred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The reference rows' mean (f,), their differences from it (m, f), and the squared lengths of these (m,).

        All float64, since of two lengths only the last digits are left where rows lie close together and far out."""
        center = self.vectors.mean(0, dtype=np.float64)
        centred = self.vectors - center
        return center, centred, np.einsum("ij,ij->i", centred, centred)

    def __getstate__(self) -> dict[str, Any]:
        return {"vectors": self.vectors}  # the rest is made again


@dataclass(frozen=True, eq=False)
class Reference:
    """m reference rows, and what they are like.

    `embeddings`: what rows are compared in, each by itself; `terms`, of their scores, (m,) float64 by name; a row is
    compared with the `k` nearest of them. `k_distance` (m,): each one's distance to its k-th nearest other in the first
    embedding; `density` (m,): its local reachability density there (Breunig et al. 2000, definitions 3 and 6).
    """

    k: int
    embeddings: tuple[Embedding, ...]
    terms: Mapping[str, np.ndarray]
    k_distance: np.ndarray
    density: np.ndarray

    @classmethod
    def of(cls, embeddings: Sequence[np.ndarray], terms: Mapping[str, np.ndarray], k: int) -> "Reference":
        """Keep these training rows, of which each embedding is (m, f). Raises `DataError` when they are too few, or one
        has no finite features."""
        check_neighbours(k, len(embeddings[0]))
        if not all(np.isfinite(vectors).all() for vectors in embeddings):
            raise DataError("a training row has no finite features: training may have broken down; lower lr")
        kept = tuple(Embedding(np.ascontiguousarray(vectors, dtype=np.float32)) for vectors in embeddings)
        others, distances = kept[0].nearest(kept[0].vectors, k, itself=True)
        k_distance = distances[:, -1]
        return cls(k, kept, terms, k_distance, _density(k_distance, others, distances))

    def ratio(self, embeddings: Sequence[np.ndarray], terms: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Each term (n,) of rows with these embeddings, over its mean among the k reference rows nearest to each in the
        first embedding.

        A term that can be negative (an energy, a logit) has no ratio: its difference from that mean is taken.
        """
        others, _ = self.embeddings[0].nearest(embeddings[0], self.k)
        result = {}
        for name, value in terms.items():
            usual = self.terms[name][others].mean(1)
            result[name] = value - usual if self.terms[name].min() < 0 else value / (usual + SMALLEST)
        return result

    def outlier_factor(self, embeddings: Sequence[np.ndarray]) -> np.ndarray:
        """The local outlier factor (n,) float64 of rows with these embeddings, in the first of them: about 1 among
        training rows, and more the emptier a row's place is, compared with its neighbours' places (Breunig et al. 2000,
        definition 7)."""
        others, distances = self.embeddings[0].nearest(embeddings[0], self.k)
        factor: np.ndarray = self.density[others].mean(1) / _density(self.k_distance, others, distances)
        return factor

    def distance(self, embeddings: Sequence[np.ndarray]) -> np.ndarray:
        """The mean Euclidean distance (n,) float64 to the k nearest, of rows with these embeddings, (n, f) each; of
        several embeddings the geometric mean of each one's, in which no embedding's scale counts."""
        pairs = zip(self.embeddings, embeddings, strict=True)
        means: list[np.ndarray] = [kept.nearest(vectors, self.k)[1].mean(1) for kept, vectors in pairs]
        if len(means) == 1:
            return means[0]
        product: np.ndarray = np.exp(np.mean(np.log(np.add(means, SMALLEST)), 0))
        return product

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        arrays = {f"features.{i}": embedding.vectors for i, embedding in enumerate(self.embeddings)}
        arrays |= {"reach": self.k_distance, "density": self.density}  # as the first files call it
        arrays |= {f"term.{name}": value for name, value in self.terms.items()}
        return {"rows": len(self.k_distance), "neighbours": self.k}, arrays

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Reference":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        terms = {name.removeprefix("term."): value for name, value in arrays.items() if name.startswith("term.")}
        # The first files have one embedding, without a number.
        embeddings = [arrays[name] for name in sorted(arrays) if name.split(".")[0] == "features"]
        k, parts = facts["neighbours"], [*embeddings, arrays["reach"], arrays["density"], *terms.values()]
        counted = isinstance(k, int) and 1 <= k < facts["rows"] and bool(embeddings)
        if not counted or any(len(part) != facts["rows"] for part in parts):
            raise ArtifactError("the reference rows are incomplete")
        return cls(k, tuple(map(Embedding, embeddings)), terms, arrays["reach"], arrays["density"])


def check_neighbours(k: int, n: int) -> None:
    """Raise `DataError` when n reference rows are too few to find k nearest among."""
    if n <= k:
        fix = f"give more, or set neighbours to {n - 1}" if n > 1 else "set local to off"
        raise DataError(f"neighbours={k} needs more than {k} training rows that differ and there are {n}: {fix}")


def _density(k_distance: np.ndarray, others: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Local reachability density (n,): one over the mean of the distances to the nearest, none taken for less than that
    neighbour's own k-distance."""
    density: np.ndarray = 1 / (np.maximum(distances, k_distance[others]).mean(1) + SMALLEST)
    return density
