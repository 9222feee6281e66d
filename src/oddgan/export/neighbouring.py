"""Comparing with reference rows and patches, in a graph: `oddgan.verdict.reference`, `.views` and `.patches` as nodes.

As there, a matrix product finds candidates, which are measured exactly. Where NumPy takes as many as could be among the
nearest within the product's rounding, a graph takes some more than are needed.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from ..verdict import Reference, Views
from ..verdict.patches import NEIGHBOURHOOD, PatchMemory, resized
from ..verdict.reference import SMALLEST, Embedding
from ..verdict.views import OWN, SHARE, Columns
from .nodes import Nodes

MORE = 4  # candidates than neighbours
PATCHES = 4  # candidates of the nearest patch
DOUBLE = np.float64
Near = tuple[str, str, str | None]
"""The nearest reference rows (b, p), their distances (b, p), and how many of the k nearest each stands for."""


def compared(
    n: Nodes, reference: Reference | Views, local: str, given: Mapping[str, str], vectors: Sequence[str]
) -> dict[str, str]:
    """What `Combination.terms` adds to the terms `given`, float64 by name, of features `vectors` (b, f) float32."""
    if isinstance(reference, Views):
        return {"views": _surprise(n, reference, vectors)}
    if local == "distance":
        return {"distance": _distance(n, reference, vectors)}
    others, distances, weights = _neighbours(n, reference.embeddings[0], vectors[0], reference.k, reference.copies)
    if local == "density":
        reach = n("Max", distances, _taken(n, reference.k_distance, others))
        spread = n("Add", _mean_over(n, reach, weights), _double(n, SMALLEST))
        return {"density": n("Mul", _mean_over(n, _taken(n, reference.density, others), weights), spread)}
    found = {}
    for name, value in given.items():
        usual = _mean_over(n, _taken(n, reference.terms[name], others), weights)
        if reference.terms[name].min() < 0:
            found[f"{name}_ratio"] = n("Sub", value, usual)
        else:
            found[f"{name}_ratio"] = n("Div", value, n("Add", usual, _double(n, SMALLEST)))
    return found


def _double(n: Nodes, value: float) -> str:
    return n.scalar(DOUBLE(value))


def _distance(n: Nodes, reference: Reference, vectors: Sequence[str]) -> str:
    means = []
    for embedding, one in zip(reference.embeddings, vectors, strict=True):
        _, distances, weights = _neighbours(n, embedding, one, reference.k, reference.copies)
        means.append(_mean_over(n, distances, weights))
    if len(means) == 1:
        return means[0]
    logs = [n("Log", n("Add", one, _double(n, SMALLEST))) for one in means]
    total = functools.reduce(lambda a, b: n("Add", a, b), logs)
    return n("Exp", n("Div", total, _double(n, len(logs))))


def _neighbours(n: Nodes, embedding: Embedding, vectors: str, k: int, copies: np.ndarray | None) -> Near:
    """`oddgan.verdict.reference.neighbours`."""
    m = len(embedding.vectors)
    places = min(k, m)
    center, centred, lengths = embedding._centred
    rows = n.cast(vectors, DOUBLE)
    product = n("MatMul", n("Sub", rows, center[None]), np.ascontiguousarray(-2 * centred.T))
    estimates = n("Add", product, lengths[None])
    some = min(m, places + MORE)
    _, candidates = n.several("TopK", estimates, n.axes(some), largest=0)
    ordered, _ = n.several("TopK", candidates, n.axes(some), largest=0)  # equal distances: in the order of rows
    squares = _squares(n, embedding.vectors, ordered, rows)
    nearest, at = n.several("TopK", squares, n.axes(places), largest=0)
    others = n("GatherElements", ordered, at, axis=1)
    distances = n("Sqrt", nearest)
    if copies is None:
        return others, distances, None
    counts = _taken(n, copies, others)
    before = n("CumSum", counts, n.scalar(np.int64(1)), exclusive=1)
    left = n("Max", n("Sub", _double(n, k), before), _double(n, 0.0))
    return others, distances, n("Min", counts, left)


def _squares(n: Nodes, vectors: np.ndarray, which: str, rows: str) -> str:
    """Squared distances (b, p) float64 of rows (b, f) from vectors (m, f), p of each."""
    found = n.cast(n("Gather", vectors, which, axis=0), DOUBLE)
    difference = n("Sub", found, n("Unsqueeze", rows, n.axes(1)))
    return n("ReduceSum", n("Mul", difference, difference), n.axes(2), keepdims=0)


def _taken(n: Nodes, values: np.ndarray, others: str) -> str:
    """Values (m,) of these rows (b, p)."""
    return n("Gather", np.asarray(values, DOUBLE), others, axis=0)


def _mean_over(n: Nodes, values: str, weights: str | None) -> str:
    if weights is None:
        return n("ReduceMean", values, n.axes(1), keepdims=0)
    total = n("ReduceSum", n("Mul", weights, values), n.axes(1), keepdims=0)
    return n("Div", total, n("ReduceSum", weights, n.axes(1), keepdims=0))


def _surprise(n: Nodes, views: Views, vectors: Sequence[str]) -> str:
    rows, *more = vectors
    seen = [rows, _by_range(n, views.columns, rows), _by_rank(n, views.columns, rows), *more]
    assert len(seen) == OWN + len(more)
    found = []
    for embedding, one, usual, (mean, deviation) in zip(views.embeddings, seen, views.usual, views.scale, strict=True):
        others, distances, weights = _neighbours(n, embedding, one, views.k, views.copies)
        d, u = _mean_over(n, distances, weights), _mean_over(n, _taken(n, usual, others), weights)
        own, theirs = (n("Log", n("Add", x, _double(n, SMALLEST))) for x in (d, u))
        s = n("Sub", own, n("Mul", theirs, _double(n, SHARE)))
        found.append(n("Div", n("Sub", s, _double(n, mean)), _double(n, deviation)))
    return n("Max", *found)


def _by_range(n: Nodes, columns: Columns, rows: str) -> str:
    width = np.where(columns.width > 0, columns.width, 1.0)
    return n.cast(n("Div", n.cast(rows, DOUBLE), width[None]), np.float32)


def _by_rank(n: Nodes, columns: Columns, rows: str) -> str:
    """`numpy.interp` of each column."""
    x, (q, d) = n.cast(rows, DOUBLE), columns.knots.shape
    if q == 1:
        return n.cast(n("Add", n("Mul", x, _double(n, 0.0)), columns.scores[:1]), np.float32)
    reached = n("LessOrEqual", columns.knots.T[None], n("Unsqueeze", x, n.axes(2)))
    # Counted in float32: OpenVINO 2026.4 gets sums of whole numbers wrong to which something is added.
    count = n("ReduceSum", n.cast(reached, np.float32), n.axes(2), keepdims=0)
    before_it = n("Sub", count, n.scalar(np.float32(1)))
    low = n.cast(n("Clip", before_it, n.scalar(np.float32(0)), n.scalar(np.float32(q - 2))), np.int64)
    low = n("Add", low, (np.arange(d) * q)[None])
    high = n("Add", low, n.scalar(np.int64(1)))
    knots, scores = (n.constant(one.T.reshape(-1)) for one in (columns.knots, columns.scores))
    start, end = n("Gather", knots, low, axis=0), n("Gather", knots, high, axis=0)
    width = n("Sub", end, start)
    flat = n("LessOrEqual", width, _double(n, 0.0))
    share = n("Div", n("Sub", x, start), n("Where", flat, _double(n, 1.0), width))
    share = n("Min", n("Max", n("Where", flat, _double(n, 0.0), share), _double(n, 0.0)), _double(n, 1.0))
    before, after = n("Gather", scores, low, axis=0), n("Gather", scores, high, axis=0)
    return n.cast(n("Add", before, n("Mul", share, n("Sub", after, before))), np.float32)


def patch_distances(n: Nodes, memory: PatchMemory, maps: Sequence[str], sizes: Sequence[tuple[int, int]]) -> str:
    """The distances (b, h, w) float32 of the patches of feature maps (b, c, h_i, w_i), of these sizes, to the nearest
    in the memory."""
    h, w = sizes[0]
    means = []
    for one, size in zip(maps, sizes, strict=True):
        side = NEIGHBOURHOOD // 2
        mean = n("AveragePool", one, kernel_shape=[NEIGHBOURHOOD] * 2, pads=[side] * 4, count_include_pad=0)
        means.append(scaled(n, mean, *(weights_of(a, b) for a, b in zip(size, (h, w), strict=True))))
    vectors = n("Transpose", n("Concat", *means, axis=1), perm=[0, 2, 3, 1])
    rows = n("Reshape", vectors, n.axes(-1, memory.vectors.shape[1]))
    if memory.scale is not None:
        rows = n("Div", rows, memory.scale[None])
    center, centred, lengths = memory._centred
    product = n("MatMul", n("Sub", rows, center[None]), np.ascontiguousarray(-2 * centred.T))
    some = min(PATCHES, len(lengths))
    _, candidates = n.several("TopK", n("Add", product, lengths[None]), n.axes(some), largest=0)
    squares = _squares(n, memory.vectors, candidates, n.cast(rows, DOUBLE))
    nearest = n("Sqrt", n("ReduceMin", squares, n.axes(1), keepdims=0))
    return n("Reshape", n.cast(nearest, np.float32), n.axes(-1, h, w))


def weights_of(size: int, other: int) -> np.ndarray | None:
    """How much each place counts for each of those that a side is interpolated to, (other, size) float32, as
    `oddgan.verdict.patches.resized` has it; None where they are as many."""
    if size == other:
        return None
    return np.asarray(resized(np.eye(size, dtype=np.float32), (other, size)))


def scaled(n: Nodes, maps: str, down: np.ndarray | str | None, across: np.ndarray | str | None) -> str:
    """Maps (..., h, w) by the weights of their sides, `down` (H, h) and `across` (W, w)."""
    if across is not None:
        maps = n("MatMul", maps, across.T if isinstance(across, np.ndarray) else n("Transpose", across, perm=[1, 0]))
    return maps if down is None else n("MatMul", down, maps)
