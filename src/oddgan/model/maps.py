"""Anomaly maps of pictures, row by row, out of blocks of parts: their terms, and what is seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..preprocessing import PicturePreprocessor
from ..preprocessing.parts import Block, joined
from ..verdict.maps import MapMoments, MapScale, of_groups, pooled

if TYPE_CHECKING:
    from torch import Tensor


def in_halves(n: int, groups: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """An order (n,) of n rows in which the first, as many as the number beside it, are every other one of them, or
    those of every other one of `groups` (n,): rows may lie sorted by kind."""
    which = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    if not which.any():
        which = np.arange(n)  # of one group, or one row
    first = which % 2 == 1
    return np.concatenate([np.flatnonzero(first), np.flatnonzero(~first)]), max(1, int(first.sum()))


@dataclass(frozen=True, eq=False, slots=True)
class Mapped:
    """Standardised maps of r rows, `z` (r, h, w) float32, and the (H, W) that each picture came in."""

    z: np.ndarray
    sizes: list[tuple[int, int]]


class RowMaps:
    """Puts raw maps together by row, standardises them, and gathers their terms.

    `scale`: what is usual. Without one it is learned from the first rows, `learn` of them, and used from then on (rows
    may lie sorted by kind: `in_halves` mixes them);
    `blurs`: sigmas in pixels of the map; `places`: whether places may differ.
    """

    def __init__(
        self,
        preprocessor: PicturePreprocessor,
        scale: MapScale | None = None,
        *,
        blurs: Sequence[float] = (0.0,),
        learn: int = 0,
        places: bool = True,
    ) -> None:
        self.preprocessor, self._scale = preprocessor, scale
        self.blurs, self.learn, self.places = blurs, learn, places
        self._canvas = preprocessor.canvas()
        self._moments: MapMoments | None = None
        self._last = np.empty(0, np.float32)
        self._terms: list[dict[str, np.ndarray]] = []

    def add(self, block: Block, raw: Tensor) -> list[Mapped]:
        """Add the raw maps (b, k, h, w) of a block's parts. Returns those rows complete with it that are not learned
        from."""
        found = []
        for laid in self._canvas.add(block, raw):
            learned = min(self.learn, len(laid.values)) if self._scale is None else 0
            if learned:
                self._learn(laid.values[:learned])
            if learned < len(laid.values):
                z = self.scale.standardised(laid.values[learned:])
                self._terms.append(pooled(z, self.preprocessor.counted(z.shape[1:])))
                found.append(Mapped(z, list(laid.sizes[learned:])))
        return found

    def _learn(self, values: np.ndarray) -> None:
        if self._moments is None:
            self._moments = MapMoments(self.blurs, self.preprocessor.counted(values.shape[2:]), places=self.places)
        self._moments.add(values)
        self._last = values[-1:]
        self.learn -= len(values)

    @property
    def scale(self) -> MapScale:
        """What is usual, of those rows that were to be learned from."""
        if self._scale is None:
            assert self._moments is not None
            self._scale = self._moments.scale()
        return self._scale

    @property
    def terms(self) -> dict[str, np.ndarray]:
        """`MAP_TERMS` of the rows since then, (n,) float64 by name."""
        return joined(self._terms)

    def calibrated(self, groups: np.ndarray | None = None) -> MapScale:
        """The scale with the peaks of the rows since then, or the highest of each of `groups` (n,), which are of all
        rows; of a single row, which was learned from, with its own."""
        if not self._terms:
            z = self.scale.standardised(self._last)
            return self.scale.calibrated(pooled(z, self.preprocessor.counted(z.shape[1:]))["map_max"])
        peaks = self.terms["map_max"]
        return self.scale.calibrated(of_groups(peaks, None if groups is None else groups[-len(peaks) :]))
