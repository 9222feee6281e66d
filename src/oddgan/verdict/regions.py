"""Regions of a picture whose standardised anomaly map is above a threshold, in NumPy alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Point = tuple[int, int]


@dataclass(frozen=True)
class MapRegion:
    """Places above the threshold that touch each other, corners included. Coordinates are pixels of the picture, x to
    the right and y down, from its upper left corner.

    `box`: left, top, width, height. `area`: in pixels. `peak`: (x, y) of the highest value, and `value`, that value.
    `contour`: the corners ((x, y), ...) of the line around it, along the edges of its pixels; holes are not drawn.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: Point
    value: float
    contour: tuple[Point, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "box": list(self.box),
            "area": self.area,
            "peak": list(self.peak),
            "value": self.value,
            "contour": [list(point) for point in self.contour],
        }


def threshold_in(z: np.ndarray, threshold: float) -> float:
    """Above what the map (H, W) of a flagged picture is anomalous: `threshold`, but no higher than just below the peak,
    for a flagged picture always shows why. Its peak may be lower because the map was enlarged, or because another term
    flagged the picture."""
    return min(threshold, float(np.nextafter(np.float32(z.max()), np.float32(-np.inf))))


def regions_of(z: np.ndarray, threshold: float) -> tuple[MapRegion, ...]:
    """The regions of a map (H, W) above `threshold`, that with the highest value first."""
    labels, n = labelled(z > threshold)
    found = []
    for label, (rows, columns) in enumerate(_boxes(labels, n), start=1):
        inside = labels[rows, columns] == label
        values = np.where(inside, z[rows, columns], -np.inf)
        y, x = np.unravel_index(int(values.argmax()), values.shape)
        top, left = rows.start, columns.start
        found.append(
            MapRegion(
                (left, top, columns.stop - left, rows.stop - top),
                int(inside.sum()),
                (left + int(x), top + int(y)),
                float(values[y, x]),
                tuple((left + x, top + y) for x, y in _outline(inside)),
            )
        )
    return tuple(sorted(found, key=lambda region: (-region.value, region.box)))


def labelled(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """The number, from 1, of the region that each place of a mask (H, W) belongs to, 0 outside, (H, W) int32; and how
    many regions there are, in the order of their first places."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = np.searchsorted(rows, np.arange(len(mask) + 1)).tolist()  # the runs of row y are first[y] to first[y + 1]
    begin, end = starts.tolist(), ends.tolist()
    for y in range(1, len(mask)):
        i, j = first[y - 1], first[y]
        while i < first[y] and j < first[y + 1]:
            if begin[i] <= end[j] and begin[j] <= end[i]:  # they touch, if only by a corner
                a, b = sorted((root(i), root(j)))
                parent[b] = a
            if end[i] < end[j]:
                i += 1
            else:
                j += 1
    numbers: dict[int, int] = {}
    labels = np.zeros(mask.shape, np.int32)
    for k, (y, start, stop) in enumerate(zip(rows.tolist(), begin, end, strict=True)):
        labels[y, start:stop] = numbers.setdefault(root(k), len(numbers) + 1)
    return labels, len(numbers)


def _boxes(labels: np.ndarray, n: int) -> list[tuple[slice, slice]]:
    """The rows and columns that each region reaches over."""
    y, x = np.nonzero(labels)
    of = labels[y, x] - 1
    low, high = np.full((2, n), max(labels.shape)), np.zeros((2, n), dtype=int)
    for axis, place in enumerate((y, x)):
        np.minimum.at(low[axis], of, place)
        np.maximum.at(high[axis], of, place + 1)
    return [
        (slice(top, bottom), slice(left, right))
        for top, bottom, left, right in zip(
            *(a.tolist() for pair in zip(low, high, strict=True) for a in pair), strict=True
        )
    ]


def _outline(inside: np.ndarray) -> list[Point]:
    """The corners of the outer line around the one region of a mask (h, w), clockwise from its first place."""
    wide = np.pad(inside, 1)

    def full(x: int, y: int) -> bool:
        return bool(wide[y + 1, x + 1])

    x, y = int(np.flatnonzero(inside[0])[0]), 0
    start, (dx, dy) = (x, y), (1, 0)  # along the upper edge of the first place, with the region on the right
    corners = [start]
    while True:
        x, y = x + dx, y + dy
        # The places ahead of this corner, on the left and on the right of the way.
        left = full(x + (dx + dy - 1) // 2, y + (dy - dx - 1) // 2)
        right = full(x + (dx - dy - 1) // 2, y + (dy + dx - 1) // 2)
        turn = (dy, -dx) if left else (dx, dy) if right else (-dy, dx)
        if (x, y) == start and turn == (1, 0):
            return corners
        if turn != (dx, dy):
            corners.append((x, y))
        dx, dy = turn
