"""Rows of one part each: a whole picture, a table row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import fingerprints
from .parts import Block, Canvas, Laid, Values, joined

if TYPE_CHECKING:
    from torch import Tensor


class OnePart:
    """What a preprocessor does for parts whose rows have no others."""

    def pooled(self, parts: Iterable[tuple[Block, Values]], top: int) -> dict[str, np.ndarray]:
        """The terms of rows, (n,) by name, from those of their parts: each row is one part."""
        del top
        return joined(values for _, values in parts)

    def canvas(self) -> Canvas:
        """What lays maps and reconstructions out by row."""
        return OneEach()

    def averaged(self, parts: Iterable[tuple[Block, np.ndarray]]) -> np.ndarray:
        """Vectors of rows (n, k), from those of their parts."""
        return np.concatenate([vectors for _, vectors in parts])

    def fingerprints(self, block: Block) -> np.ndarray:
        """Fingerprints (b,) uint64 of the rows in the block."""
        return fingerprints.of_tensor(block.x)

    def trained_on(self, prepared: Any) -> np.ndarray:
        """Sorted fingerprints (n,) uint64 of training rows."""
        return fingerprints.of_rows(prepared)


class OneEach:
    """Rows of one part each, laid out as they come."""

    def add(self, block: Block, values: Tensor) -> list[Laid]:
        """`values` (b, ...) as they are."""
        return [Laid(np.asarray(values), block.place)]
