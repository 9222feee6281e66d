"""Rows of a table: standardised by the training rows' mean and deviation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ArtifactError, DataError

FAR = 1e18  # deviations; beyond, float32 cannot square a value, and nothing is told by how far beyond it is


@dataclass(frozen=True, eq=False)
class TablePreprocessor:
    """Column by column (x - mean) / deviation; `mean` and `scale` are (d,) float64 of the training rows.

    A column that is constant in training is centred only (scale 1), so that any departure from it still shows.
    """

    mean: np.ndarray
    scale: np.ndarray
    columns: tuple[str, ...] | None = None

    @classmethod
    def fit(cls, table: np.ndarray, columns: tuple[str, ...] | None = None) -> "TablePreprocessor":
        """`table`: the training rows, (n, d) of finite numbers."""
        table = np.asarray(table, dtype=np.float64)
        largest = np.abs(table).max(axis=0)
        if (beyond := np.flatnonzero(largest > 1e150)).size:  # the deviation squares
            name = columns[beyond[0]] if columns else beyond[0]
            raise DataError(f"column {name} holds values up to {largest[beyond[0]]:g}: rescale it")
        deviation = table.std(axis=0)
        constant = deviation <= 1e-12 * largest  # rounding noise of a large constant is no deviation
        return cls(table.mean(axis=0), np.where(constant, 1.0, deviation), columns)

    @property
    def shape(self) -> tuple[int, ...]:
        """What the networks work on: (d,)."""
        return (len(self.mean),)

    def prepare(self, table: np.ndarray, numbers: np.ndarray) -> "PreparedTable":
        """Those rows of `table` that `numbers` names, ready for training."""
        return PreparedTable(self, np.asarray(table)[numbers])

    def read(self, table: np.ndarray, numbers: np.ndarray) -> tuple[Tensor, list[tuple[int, int]]]:
        """Those rows as the networks take them, and no sizes: rows of a table have none."""
        return self.tensor(table[numbers]), []

    def tensor(self, table: np.ndarray) -> Tensor:
        """(n, d) numbers -> (n, d) float32, standardised."""
        scaled = (np.asarray(table, dtype=np.float64) - self.mean) / self.scale
        return torch.from_numpy(np.clip(scaled, -FAR, FAR).astype(np.float32))

    def restore(self, tensor: Tensor) -> np.ndarray:
        """The inverse of `tensor`: (n, d) float64 in the user's units."""
        return np.asarray(tensor.double().numpy() * self.scale + self.mean)

    def describe(self) -> str:
        """One line for a user."""
        return f"tables of {len(self.mean)} columns, standardised"

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        columns = None if self.columns is None else list(self.columns)
        return {"kind": "table", "columns": columns}, {"mean": self.mean, "scale": self.scale}

    @classmethod
    def from_manifest(cls, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> "TablePreprocessor":
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        mean, scale = arrays["mean"], arrays["scale"]
        columns = None if facts["columns"] is None else tuple(facts["columns"])
        if mean.shape != scale.shape or (columns is not None and len(columns) != len(mean)):
            raise ArtifactError("the table's columns and their means and deviations do not agree")
        return cls(mean, scale, columns)


@dataclass(frozen=True, eq=False)
class PreparedTable:
    """Training rows of a table."""

    preprocessor: TablePreprocessor
    table: np.ndarray

    def __len__(self) -> int:
        return len(self.table)

    def batch(self, numbers: np.ndarray) -> Tensor:
        """Those rows as (b, d) float32."""
        return self.preprocessor.tensor(self.table[numbers])


def refuse_unusable(X: Any) -> None:
    """Name the row and column of a missing value or text; scikit-learn's own message names neither."""
    names = list(map(str, X.columns)) if hasattr(X, "columns") else None
    if names is not None and hasattr(X, "dtypes"):
        for name, dtype in zip(names, X.dtypes, strict=True):
            if getattr(dtype, "kind", "f") not in "biuf":
                raise DataError(f"column {name!r} is of type {dtype}: encode it as numbers or drop it")
    values = np.asarray(X) if isinstance(X, np.ndarray) or names is not None else np.empty(0)
    if values.ndim == 2 and values.dtype.kind == "f" and not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        what = "NaN" if np.isnan(values[row, column]) else "infinity"
        where = f"row {row}, column {names[column] if names else column}"
        raise DataError(f"Input X contains {what}: {where}; fill in the value or drop the row")
