"""A memory of patches, and how far new patches are from it: Roth et al., "Towards Total Recall in Industrial Anomaly
Detection" (PatchCore), CVPR 2022, arXiv:2106.08265.

    feature maps of several layers --3x3 means, one size, concatenated--> a vector of each patch
    vectors of training patches --greedy k-centre--> the memory
    the anomaly map at a place: the Euclidean distance of its vector to the nearest in the memory

What a picture's values are depends on that picture alone, to the last bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ArtifactError, DataError

MOST_NUMBERS = 2**24  # held at once when distances are computed
PROJECTED = 64  # dimensions in which the core set is chosen
NEIGHBOURHOOD = 3  # pixels a side that are averaged


def patch_vectors(maps: Sequence[np.ndarray]) -> np.ndarray:
    """The patches of pictures, (b, h, w, f) float32, from feature maps (b, c, h_i, w_i) of several layers: each map is
    averaged over 3x3 neighbourhoods, of which those at the border are smaller, and resized to the first's (h, w)."""
    size = maps[0].shape[2:]
    found = [resized(averaged(np.asarray(one, np.float32)), size) for one in maps]
    return np.ascontiguousarray(np.concatenate(found, axis=1).transpose(0, 2, 3, 1))


def averaged(maps: np.ndarray) -> np.ndarray:
    """The mean of each 3x3 neighbourhood of maps (..., h, w) float32; at the border, of as many places as there are."""
    for axis in (-2, -1):
        n, reach = maps.shape[axis], NEIGHBOURHOOD // 2
        total, counts = maps.copy(), np.ones(n, np.float32)
        for step in range(1, min(reach, n - 1) + 1):
            for here, there in (((step, None), (None, -step)), ((None, -step), (step, None))):
                total[_along(axis, *here)] += maps[_along(axis, *there)]
                counts[slice(*here)] += 1
        maps = total / (counts[:, None] if axis == -2 else counts)
    return maps


def resized(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Maps (..., h, w) float32, interpolated bilinearly to another (h, w); pixels are squares, whose corners meet."""
    for axis, length in zip((-2, -1), size, strict=True):
        n = maps.shape[axis]
        if n == length:
            continue
        places = np.clip((np.arange(length) + 0.5) * n / length - 0.5, 0, n - 1)
        low = np.minimum(places.astype(int), max(0, n - 2))
        share = (places - low).astype(np.float32)
        share = share[:, None] if axis == -2 else share
        before, after = (np.take(maps, i, axis=axis) for i in (low, np.minimum(low + 1, n - 1)))
        maps = before * (1 - share) + after * share
    return maps


def _along(axis: int, start: int | None, stop: int | None) -> tuple[Any, ...]:
    """A slice of the last axis, or of the one before it."""
    return (..., slice(start, stop)) if axis == -1 else (..., slice(start, stop), slice(None))


def core_set(vectors: np.ndarray, m: int, seed: int) -> np.ndarray:
    """The numbers (m,) of those vectors (n, f) float32 that stand for all of them, in the order of their choice: the
    first is random, and every other is the one farthest from those before it (greedy k-centre), in a random projection
    to at most 64 dimensions. Fewer where the others equal some that are chosen."""
    random = np.random.default_rng(seed)
    points = np.asarray(vectors, np.float32) - vectors.mean(0, dtype=np.float64).astype(np.float32)
    first = int(random.integers(len(points)))
    if points.shape[1] > PROJECTED:
        directions = random.standard_normal((points.shape[1], PROJECTED), np.float32)
        points = points @ (directions / np.float32(np.sqrt(PROJECTED)))
    lengths = np.square(points).sum(1)
    rounding = 16 * np.finfo(np.float32).eps * float(lengths.max())
    numbers = [first]
    nearest = np.full(len(points), np.inf, np.float32)
    while len(numbers) < min(m, len(points)):
        chosen = numbers[-1]
        distances = points @ (-2 * points[chosen])
        distances += lengths + lengths[chosen]
        np.minimum(nearest, distances, out=nearest)
        nearest[chosen] = 0
        farthest = int(nearest.argmax())
        if nearest[farthest] <= rounding:
            break
        numbers.append(farthest)
    return np.array(numbers)


@dataclass(frozen=True, eq=False)
class PatchMemory:
    """Vectors of training patches, `vectors` (m, f) float32, to which new patches are compared. `scale` (f,) float32:
    what features are divided by before, as those of the memory were; None: by nothing."""

    vectors: np.ndarray
    scale: np.ndarray | None = None

    @classmethod
    def of(cls, vectors: np.ndarray) -> "PatchMemory":
        """A memory of these vectors (m, f). Raises `DataError` for none, or for one that is not finite."""
        if not len(vectors):
            raise DataError("there are no patches to remember: give more training pictures")
        if not np.isfinite(vectors).all():
            raise DataError("a training picture has no finite features: its values or the network's weights are wrong")
        return cls(np.ascontiguousarray(vectors, np.float32))

    def distances(self, patches: np.ndarray) -> np.ndarray:
        """The Euclidean distance (h, w) float32 of each patch of one picture (h, w, f) to the nearest in the memory.

        A matrix product finds the candidates, those that could be the nearest within its rounding; they are measured
        exactly. A patch that is not finite has distance NaN."""
        rows = np.asarray(patches, np.float32).reshape(-1, patches.shape[-1])
        if self.scale is not None:
            rows = rows / self.scale
        center, centred, lengths = self._centred
        m, f = centred.shape
        slack = 4 * np.sqrt(f) * np.finfo(np.float32).eps
        reach = np.sqrt(lengths.max())
        squares = np.empty(len(rows))
        step = max(1, MOST_NUMBERS // (m + f))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            shifted = some - center
            estimates = (-2 * shifted) @ centred.T
            estimates += lengths
            best = estimates.argmin(1)
            found = self._squares(some, np.arange(len(some)), best)
            cut = estimates[np.arange(len(some)), best] + slack * np.square(reach + np.sqrt(np.square(shifted).sum(1)))
            near = estimates <= cut[:, None]
            near[np.arange(len(some)), best] = False
            which, other = np.divmod(np.flatnonzero(near), m)
            np.minimum.at(found, which, self._squares(some, which, other))
            squares[start : start + step] = found
        return np.sqrt(squares).astype(np.float32).reshape(patches.shape[:-1])

    def _squares(self, rows: np.ndarray, which: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The squared distances (p,) float64 of pairs: of row number `which` and vector number `other`."""
        found = np.empty(len(which))
        step = max(1, MOST_NUMBERS // 4 // self.vectors.shape[1])
        for start in range(0, len(which), step):
            pairs = slice(start, start + step)
            difference = rows[which[pairs]].astype(np.float64)
            difference -= self.vectors[other[pairs]]
            np.square(difference, out=difference)
            found[pairs] = difference.sum(1)
        return found

    @cached_property
    def _centred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The vectors' mean (f,), their differences from it (m, f), and the squared lengths of these (m,): float32."""
        center = self.vectors.mean(0, dtype=np.float64)
        centred = self.vectors - center
        lengths = np.square(centred).sum(1)
        return center.astype(np.float32), centred.astype(np.float32), lengths.astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {"vectors": self.vectors, "scale": self.scale}  # the rest is made again

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        patches, features = self.vectors.shape
        arrays = {"vectors": self.vectors} | ({} if self.scale is None else {"scale": self.scale})
        return {"patches": patches, "features": features}, arrays

    @classmethod
    def from_manifest(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "PatchMemory":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        vectors, scale = arrays["vectors"], arrays.get("scale")
        if not (
            all(type(facts[name]) is int for name in ("patches", "features"))
            and vectors.shape == (facts["patches"], facts["features"])
            and vectors.size
            and vectors.dtype == np.float32
            and np.isfinite(vectors).all()
            and (
                scale is None or (scale.shape == vectors.shape[1:] and scale.dtype == np.float32 and (scale > 0).all())
            )
        ):
            raise ArtifactError("the memory of patches is inconsistent")
        return cls(vectors, scale)
