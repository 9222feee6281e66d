"""Rows as the networks see them: in blocks of parts.

A whole picture and a table row are one part; a picture in tiles has several. A preprocessor reads rows and gives blocks
of parts; what was computed of each part is pooled to its row, and what was located in it is laid back in its place.

    for block in preprocessor.parts(rows).blocks(64):
        values = compute(block.x)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Values = Mapping[str, np.ndarray]
"""One value or vector of each part or row, (b, ...) by name."""


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """b parts. `x` (b, C, h, w) or (b, d) float32; `row` (b,): the number of the row that each belongs to, ascending;
    `place`: of pictures, the size (H, W) that each came in, or where each tile was cut."""

    x: Tensor
    row: np.ndarray
    place: Sequence[Any] = ()


class Parts(Protocol):
    """Rows that come in blocks of parts. Every row is read once."""

    def blocks(self, size: int) -> Iterator[Block]:
        """All parts, in the order of rows, `size` at a time."""
        ...


class Canvas(Protocol):
    """What was computed of parts, laid out by row."""

    def add(self, block: Block, values: Tensor) -> list[Laid]:
        """Lay down `values` of a block's parts, (b, C, h, w) or (b, d) float32. Returns the rows that are complete
        with it, in order."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Laid:
    """What was computed of r rows of one size: `values` (r, C, h, w) or (r, d) float32; `sizes`: of pictures, the
    (H, W) that each came in."""

    values: np.ndarray
    sizes: Sequence[tuple[int, int]] = ()


class Preprocessor(Protocol):
    """How rows of one kind reach the networks, fitted on training rows. `rows` are what `oddgan.rows.open_rows` gave
    for this kind; `prepared` is what `prepare` made of them."""

    @property
    def kind(self) -> str:
        """ "pictures" or "table"."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """A table's column names, None where it has none."""

    @property
    def kinds(self) -> tuple[Any, ...]:
        """What each column of a table holds."""

    @property
    def shape(self) -> tuple[int, ...]:
        """What the networks work on: (C, h, w) or (d,)."""

    def parts(self, rows: Any) -> Parts:
        """Rows as parts, read as they are asked for."""

    def check(self, row: Any) -> None:
        """Raise `DataError` for one row, such as a picture (H, W, C), that the model does not take."""

    def prepare(self, rows: Any, numbers: np.ndarray) -> Any:
        """The rows with these numbers as `PreparedRows` to train on or to hold out, which are `Parts` too."""

    def pooled(self, parts: Iterable[tuple[Block, Values]], top: int) -> dict[str, np.ndarray]:
        """The terms of rows, (n,) by name, from those of their parts: of several, the mean of the `top` largest."""

    def averaged(self, parts: Iterable[tuple[Block, np.ndarray]]) -> np.ndarray:
        """Vectors of rows (n, k), the means of their parts'."""

    def canvas(self) -> Canvas:
        """What lays maps and reconstructions out by row."""

    def heat(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Where parts x differ from their reconstructions: (b, h, w), or (b, d) of a table."""

    def fingerprints(self, block: Block) -> np.ndarray:
        """Fingerprints (r,) uint64 of the rows that end in the block."""

    def trained_on(self, prepared: Any) -> np.ndarray:
        """Sorted fingerprints (n,) uint64 of training rows."""

    def restore(self, tensor: Tensor) -> np.ndarray:
        """From the networks' form (n, C, h, w) or (n, d) to the user's units."""

    def with_conversion(self, convert: bool) -> Preprocessor:
        """The same, accepting and converting pictures that differ from the training pictures, or not."""

    def describe(self) -> str:
        """One line for a user."""

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""


def joined(parts: Iterable[Values]) -> dict[str, np.ndarray]:
    """The values of all blocks, (n, ...) by name."""
    gathered: dict[str, list[np.ndarray]] = {}
    for values in parts:
        for name, value in values.items():
            gathered.setdefault(name, []).append(value)
    return {name: held[0] if len(held) == 1 else np.concatenate(held) for name, held in gathered.items()}


def by_row(parts: Iterable[tuple[np.ndarray, Values]]) -> Iterator[dict[str, np.ndarray]]:
    """Values of blocks, each with the rows (b,) of its parts, put together: (parts, ...) by name, row after row."""
    held: list[Values] = []
    current = -1
    for row, values in parts:
        bounds = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
        for start, end in itertools.pairwise(bounds):
            if row[start] != current and held:
                yield joined(held)
                held = []
            current = int(row[start])
            held.append({name: value[start:end] for name, value in values.items()})
    if held:
        yield joined(held)


def mean_of_largest(values: np.ndarray, n: int) -> float:
    """The mean of the n largest values (parts,) float64, or of all where there are fewer; NaN counts as largest."""
    return float(np.sort(values)[-n:].mean())
