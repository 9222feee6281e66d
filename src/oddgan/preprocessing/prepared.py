"""Prepared training rows, as detectors and the training loop see them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .parts import Block

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 256


class PreparedRows(Protocol):
    """Training rows in the networks' form."""

    def __len__(self) -> int: ...

    def batch(self, numbers: np.ndarray) -> Tensor:
        """The rows with these numbers (b,), as float32 (b, C, H, W) or (b, d) on the CPU."""
        ...


class OnePartEach(ABC):
    """Prepared rows of one part each, in blocks for scoring."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, numbers: np.ndarray) -> Tensor:
        """As `PreparedRows` has it."""

    def blocks(self, size: int) -> Iterator[Block]:
        """All rows, `size` at a time."""
        for start in range(0, len(self), size):
            numbers = np.arange(start, min(start + size, len(self)))
            yield Block(self.batch(numbers), numbers)

    def sample(self, most: int, seed: int) -> OnePartEach:
        """Parts to choose reference rows from: all of them, for each row is one part."""
        del most, seed
        return self


class SelectedRows(OnePartEach):
    """Some of the rows, in an order of their own."""

    def __init__(self, rows: PreparedRows, numbers: np.ndarray) -> None:
        self.rows, self.numbers = rows, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, numbers: np.ndarray) -> Tensor:
        """The selected rows with these numbers."""
        return self.rows.batch(self.numbers[numbers])


def spread(n: int, at_most: int) -> np.ndarray:
    """The numbers of all of n rows, or of at most so many, evenly spaced: rows may lie sorted by kind."""
    return np.arange(n) if n <= at_most else np.linspace(0, n - 1, at_most).astype(int)


def in_batches(rows: PreparedRows, numbers: np.ndarray | None = None) -> Iterator[Tensor]:
    """The rows with these numbers, or all, some at a time and in order."""
    numbers = np.arange(len(rows)) if numbers is None else numbers
    for start in range(0, len(numbers), BATCH):
        yield rows.batch(numbers[start : start + BATCH])
