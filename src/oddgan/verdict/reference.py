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
LARGEST_BLOCK = 4096  # of a model
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
    compared with the `k` nearest training rows. Reference rows differ from each other; `copies` (m,) float64 says how
    many training rows each stands for, None where each is one, and all of them are neighbours: a row that equals many
    training rows has near neighbours, however far the others are. `k_distance` (m,): each one's distance to its k-th
    nearest other in the first embedding; `density` (m,): its local reachability density there (Breunig et al. 2000,
    definitions 3 and 6). Among copies the paper's k-distance would be 0 and the density infinite; the k-th nearest row
    that differs takes its place, as the paper proposes below definition 6.

    `block_size`: of the blocks in which the embeddings were computed, 0 where that is not known. Networks round
    differently in blocks of another size, and among rows that lie close together that rounding is no small part of a
    distance.
    """

    k: int
    embeddings: tuple[Embedding, ...]
    terms: Mapping[str, np.ndarray]
    k_distance: np.ndarray
    density: np.ndarray
    copies: np.ndarray | None = None
    block_size: int = 0

    @classmethod
    def of(
        cls,
        embeddings: Sequence[np.ndarray],
        terms: Mapping[str, np.ndarray],
        k: int,
        *,
        copies: np.ndarray | None = None,
        block_size: int = 0,
    ) -> "Reference":
        """Keep these training rows, of which each embedding is (m, f). Raises `DataError` when they are too few, or one
        has no finite features."""
        copies = checked(embeddings, k, copies)
        kept = tuple(Embedding(np.ascontiguousarray(vectors, dtype=np.float32)) for vectors in embeddings)
        others, distances, weights = among_themselves(kept[0], k, copies)
        k_distance = distances[:, -1]
        if (k_distance > 0).any():  # rows that differ may still have equal features
            k_distance = np.where(k_distance > 0, k_distance, k_distance[k_distance > 0].min())
        density = _density(k_distance, others, distances, weights)
        return cls(k, kept, terms, k_distance, density, copies, block_size)

    def _nearest(self, embedding: int, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Of rows (n, f): the nearest reference rows (n, p) in that embedding, their distances (n, p), and how many of
        the k nearest training rows each stands for (n, p), None where each is one."""
        return neighbours(self.embeddings[embedding], vectors, self.k, self.copies)

    def ratio(self, embeddings: Sequence[np.ndarray], terms: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Each term (n,) of rows with these embeddings, over its mean among the k reference rows nearest to each in the
        first embedding.

        A term that can be negative (an energy, a logit) has no ratio: its difference from that mean is taken.
        """
        others, _, weights = self._nearest(0, embeddings[0])
        result = {}
        for name, value in terms.items():
            usual = mean_over(self.terms[name][others], weights)
            result[name] = value - usual if self.terms[name].min() < 0 else value / (usual + SMALLEST)
        return result

    def outlier_factor(self, embeddings: Sequence[np.ndarray]) -> np.ndarray:
        """The local outlier factor (n,) float64 of rows with these embeddings, in the first of them: about 1 among
        training rows, and more the emptier a row's place is, compared with its neighbours' places (Breunig et al. 2000,
        definition 7)."""
        others, distances, weights = self._nearest(0, embeddings[0])
        own = _density(self.k_distance, others, distances, weights)
        return np.asarray(mean_over(self.density[others], weights) / own)

    def distance(self, embeddings: Sequence[np.ndarray]) -> np.ndarray:
        """The mean Euclidean distance (n,) float64 to the k nearest, of rows with these embeddings, (n, f) each; of
        several embeddings the geometric mean of each one's, in which no embedding's scale counts."""
        means = []
        for i, vectors in enumerate(embeddings):
            _, distances, weights = self._nearest(i, vectors)
            means.append(mean_over(distances, weights))
        if len(means) == 1:
            return means[0]
        product: np.ndarray = np.exp(np.mean(np.log(np.add(means, SMALLEST)), 0))
        return product

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        arrays = {f"features.{i}": embedding.vectors for i, embedding in enumerate(self.embeddings)}
        arrays |= {"reach": self.k_distance, "density": self.density}  # as the first files call it
        arrays |= {f"term.{name}": value for name, value in self.terms.items()}
        if self.copies is not None:
            arrays["copies"] = self.copies
        return {"rows": len(self.k_distance), "neighbours": self.k, "block_size": self.block_size}, arrays

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "Reference":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        terms = {name.removeprefix("term."): value for name, value in arrays.items() if name.startswith("term.")}
        # The first files have one embedding, without a number.
        embeddings = [arrays[name] for name in sorted(arrays) if name.split(".")[0] == "features"]
        k, rows, block_size = facts["neighbours"], facts["rows"], facts.get("block_size", 0)
        copies = arrays.get("copies")
        of_rows = [arrays["reach"], arrays["density"], *terms.values(), *([] if copies is None else [copies])]
        if not (
            all(type(number) is int for number in (k, rows, block_size))
            and embeddings
            and all(one.ndim == 2 and len(one) == rows and one.shape[1] > 0 for one in embeddings)
            and all(one.shape == (rows,) for one in of_rows)
            and 1 <= k < (rows if copies is None else copies.sum())
            and rows > 1
        ):
            raise ArtifactError("the reference rows are incomplete")
        if not (
            all(one.dtype == np.float32 and np.isfinite(one).all() for one in embeddings)
            and all(one.dtype == np.float64 and not np.isnan(one).any() for one in of_rows)
            and (np.isfinite(arrays["reach"]) & (arrays["reach"] >= 0)).all()
            and (np.isfinite(arrays["density"]) & (arrays["density"] > 0)).all()
            and (copies is None or (np.isfinite(copies) & (copies >= 1)).all())
            and 0 <= block_size <= LARGEST_BLOCK
            and block_size & (block_size - 1) == 0
        ):
            raise ArtifactError("the reference rows hold what no training rows give")
        kept = tuple(map(Embedding, embeddings))
        return cls(k, kept, terms, arrays["reach"], arrays["density"], copies, block_size)


def checked(embeddings: Sequence[np.ndarray], k: int, copies: np.ndarray | None) -> np.ndarray | None:
    """The `copies` (m,) of reference rows with these embeddings (m, f), None where each is one. Raises `DataError` when
    they are too few, or one has no finite features."""
    if copies is not None and (copies == 1).all():
        copies = None
    check_neighbours(k, len(embeddings[0]), copies)
    if not all(np.isfinite(vectors).all() for vectors in embeddings):
        raise DataError("a training row has no finite features: training may have broken down; lower lr")
    return copies


def check_neighbours(k: int, n: int, copies: np.ndarray | None = None) -> None:
    """Raise `DataError` when n reference rows, which stand for so many `copies` each (n,), are too few to find k
    nearest among."""
    total = n if copies is None else int(copies.sum())
    if n < 2 or total <= k:
        fix = f"give more, or set neighbours to {total - 1}" if n > 1 else "set local to off"
        count = f"{total}" if n > 1 else f"{total}, all of them equal"
        raise DataError(f"neighbours={k} needs more than {k} training rows and there are {count}: {fix}")


def neighbours(
    embedding: Embedding, vectors: np.ndarray, k: int, copies: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Of rows (n, f): the nearest reference rows (n, p), which stand for so many `copies` each (m,), their distances
    (n, p), and how many of the k nearest training rows each stands for (n, p), None where each is one."""
    others, distances = embedding.nearest(vectors, min(k, len(embedding.vectors)))
    return others, distances, None if copies is None else _weights(copies[others], k)


def among_themselves(
    embedding: Embedding, k: int, copies: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The same of the reference rows, none of which is its own neighbour; but its copies are."""
    others, distances = embedding.nearest(embedding.vectors, _places(k, len(embedding.vectors)), itself=True)
    if copies is None:
        return others, distances, None
    others = np.column_stack([np.arange(len(others)), others])
    distances = np.column_stack([np.zeros(len(others)), distances])
    counts = copies[others]
    counts[:, 0] -= 1
    return others, distances, _weights(counts, k)


def _places(k: int, m: int) -> int:
    """Among how many of m reference rows the k nearest training rows of one of them are found; a row is not its own
    neighbour."""
    return max(1, min(k, m - 1))


def _weights(counts: np.ndarray | None, k: int) -> np.ndarray | None:
    """How many of the k nearest are at each place, (n, p), where places with so many rows `counts` (n, p) come in
    order."""
    if counts is None:
        return None
    before = np.cumsum(counts, axis=1) - counts
    return np.asarray(np.minimum(counts, np.maximum(k - before, 0)))


def mean_over(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The mean (n,) of values (n, p) of neighbours."""
    if weights is None:
        return np.asarray(values.mean(1))
    return np.asarray((weights * values).sum(1) / weights.sum(1))


def _density(
    k_distance: np.ndarray, others: np.ndarray, distances: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    """Local reachability density (n,): one over the mean of the distances to the nearest, none taken for less than that
    neighbour's own k-distance."""
    return np.asarray(1 / (mean_over(np.maximum(distances, k_distance[others]), weights) + SMALLEST))
