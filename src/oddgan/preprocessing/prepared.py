"""Prepared training rows, as detectors and the training loop see them."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from torch import Tensor

BATCH = 256


class PreparedRows(Protocol):
    """Prepared training rows."""

    def __len__(self) -> int: ...

    def batch(self, numbers: np.ndarray) -> Tensor:
        """The rows that `numbers` (b,) names, as float32 (b, C, H, W) or (b, d) on the CPU."""
        ...


def spread(n: int, at_most: int) -> np.ndarray:
    """The numbers of all of n rows, or of at most so many, evenly spaced: rows may lie sorted by kind."""
    return np.arange(n) if n <= at_most else np.linspace(0, n - 1, at_most).astype(int)


def in_batches(rows: PreparedRows, numbers: np.ndarray | None = None) -> Iterator[Tensor]:
    """Those rows, or all, some at a time and in order."""
    numbers = np.arange(len(rows)) if numbers is None else numbers
    for start in range(0, len(numbers), BATCH):
        yield rows.batch(numbers[start : start + BATCH])


class SelectedRows:
    """Some of the rows, in an order of their own."""

    def __init__(self, rows: PreparedRows, numbers: np.ndarray) -> None:
        self.rows, self.numbers = rows, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, numbers: np.ndarray) -> Tensor:
        """Those of the selected rows, as the rows give them."""
        return self.rows.batch(self.numbers[numbers])
