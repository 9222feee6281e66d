"""Some of many rows, without reading them."""

from typing import Any

import numpy as np

from .door import Rows
from .pictures import PictureRows
from .tables import TableRows


class SomePictures:
    """Some of many pictures, under their own names, read when they are asked for."""

    def __init__(self, rows: PictureRows, numbers: np.ndarray) -> None:
        self.rows, self.numbers = rows, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.rows[int(self.numbers[i])]

    def name(self, i: int) -> str:
        """What the rows call picture i."""
        return self.rows.name(int(self.numbers[i]))

    def header(self, i: int) -> tuple[int, int, int, str]:
        """(H, W, channels, dtype) of picture i."""
        return self.rows.header(int(self.numbers[i]))


def chosen(rows: Rows, numbers: np.ndarray) -> Any:
    """Those rows, by their numbers (m,); pictures are not read, and files stay files, so that they are cached."""
    if isinstance(rows, TableRows):
        return rows[numbers]
    if hasattr(rows.source, "subset"):
        return rows.source.subset(numbers.tolist())
    return PictureRows(SomePictures(rows, numbers))
