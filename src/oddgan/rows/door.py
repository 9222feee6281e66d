"""`open_rows`: from whatever a user has to `PictureRows` or `TableRows`.

| X | rows |
|---|---|
| array (n, d), list of lists of numbers | table |
| array (n, H, W) or (n, H, W, C), tensor (n, H, W) or (n, C, H, W) | pictures |
| DataFrame of pandas, polars, pyarrow or any other that narwhals knows | table |
| list of pictures: arrays, tensors, Pillow images, paths | pictures |
| map-style data set of pictures or of vectors, with or without labels | pictures or table |
| path: picture, folder of pictures, .tar or folder of them | pictures |
| path: .csv, .tsv, .parquet, folder of .parquet, .npy, .npz, IDX | table or pictures |
| address of any of these that fsspec reads: s3://bucket/parts | pictures or table |
| where a model is asked: one array (H, W[, C]), one Pillow image; one pandas Series | one row |
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..errors import DataError
from .pictures import SMALLEST_SIDE, PictureRows, is_tensor
from .remote import is_address, local
from .table_files import TableFile, is_table_file
from .tables import Kind, TableRows, as_table, is_frame

Rows: TypeAlias = PictureRows | TableRows


class Expected(Protocol):
    """What a model takes: `kind`, "pictures" or "table", and, of a table, its columns."""

    @property
    def kind(self) -> str:
        """ "pictures" or "table"."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """A table's column names, None where it has none."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What each column of a table holds."""

    def describe(self) -> str:
        """One line for a user."""


def open_rows(X: Any, *, like: Expected | None = None) -> Rows:
    """X as rows.

    Parameters
    ----------
    X : array, tensor, DataFrame, list, data set or path
        Whatever holds pictures or a table; the module's table lists the forms.
    like : Expected, optional
        What a model takes (its preprocessor). Then one picture or one table row is taken as such, a table file is read
        with the model's columns, and rows of the other kind are refused.

    Returns
    -------
    PictureRows or TableRows

    Raises
    ------
    DataError
        One line that says what X is and what to give instead.
    """
    rows = _opened(X, like)
    if like is not None and rows.kind != like.kind:
        raise DataError(f"the model takes {like.describe()}, and X holds {rows.describe()}")
    return rows


def _opened(X: Any, like: Expected | None) -> Rows:
    if isinstance(X, PictureRows | TableRows):
        return X
    if isinstance(X, str | os.PathLike):
        return _from_path(local(X), like)
    if isinstance(X, TableFile):
        return _from_table_file(X, like)
    if isinstance(X, np.ndarray) or is_tensor(X):
        return _from_array(X, like)
    if isinstance(X, list | tuple):
        return _from_list(X, like)
    _refuse_by_name(X)
    if is_frame(X):
        return as_table(X)
    if hasattr(X, "getbands"):  # a Pillow image
        return PictureRows([X]) if like is not None else _refuse("one picture", "a list of pictures to train on")
    if _is_series(X):
        return _from_series(X, like)
    if hasattr(X, "__getitem__") and hasattr(X, "__len__") and not hasattr(X, "shape"):
        return _from_dataset(X)
    return as_table(X)  # whatever NumPy makes a table of


def _from_array(X: Any, like: Expected | None) -> Rows:
    """An array or a tensor, by its number of axes."""
    pictures = like is not None and like.kind == "pictures"
    if X.ndim <= 2 and not (pictures and X.ndim == 2 and min(X.shape) >= SMALLEST_SIDE):
        return as_table(X.detach().cpu().numpy() if is_tensor(X) else X)
    one = X.ndim == 2 or (X.ndim == 3 and not is_tensor(X) and X.shape[2] in (1, 3, 4))  # no picture is that narrow
    if not one:
        return PictureRows(X)
    if not pictures:
        raise DataError(f"X of shape {tuple(X.shape)} is one picture: give several, (n, H, W) or (n, H, W, C)")
    return PictureRows(X[None])


def _from_list(X: Sequence[Any], like: Expected | None) -> Rows:
    """Pictures, paths, or rows of numbers."""
    if X and all(isinstance(one, str | os.PathLike) for one in X):
        from .picture_files import Pictures

        return PictureRows(Pictures([local(one) if is_address(os.fspath(one)) else one for one in X]))
    if X and (getattr(X[0], "ndim", 0) >= 2 or hasattr(X[0], "getbands")):
        if is_frame(X[0]):
            raise DataError("X is a list of DataFrames: give one, for instance pandas.concat(X)")
        return PictureRows(X)
    return as_table(X)


def _from_dataset(X: Any) -> Rows:
    """A map-style data set. Pictures are read when they are asked for; vectors are read now, as a table."""
    if not len(X):
        return PictureRows(X)
    first = _without_label(X[0])
    if getattr(first, "ndim", None) != 1:
        return PictureRows(X)
    rows = [_without_label(X[i]) for i in range(len(X))]
    return as_table(np.stack([np.asarray(row.detach().cpu() if is_tensor(row) else row) for row in rows]))


def _without_label(item: Any) -> Any:
    return item[0] if isinstance(item, tuple | list) and len(item) and not np.isscalar(item[0]) else item


def _from_path(path: Path, like: Expected | None) -> Rows:
    from .files import open_path

    found = open_path(path)
    return _opened(found, like)


def _from_table_file(file: TableFile, like: Expected | None) -> TableRows:
    if like is None:
        return file.read()
    if like.kind != "table":
        raise DataError(f"{file.path}: is a table, and the model takes {like.describe()}")
    return file.typed(like.columns, like.kinds).read()


def _is_series(X: Any) -> bool:
    """Whether X is one column or one row of a pandas frame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(X, pandas.Series)


def _from_series(X: Any, like: Expected | None) -> TableRows:
    """One row of a frame, `df.iloc[5]`: its labels are the model's columns."""
    columns = None if like is None else like.columns
    if columns is None or tuple(map(str, X.index)) != columns:
        raise DataError("X is a pandas Series: give a DataFrame; of one row, df.iloc[[i]]")
    return as_table(X.to_frame().T)


def _refuse_by_name(X: Any) -> None:
    """Raise `DataError` for what looks like rows and is not, with what to give instead."""
    if type(X).__name__ == "Split" and hasattr(X, "train"):
        raise DataError("X is a Split: give its rows, split.train to fit and split.test to score")
    if hasattr(X, "dataset") and hasattr(X, "batch_size"):
        raise DataError("X is a DataLoader: give its data set, loader.dataset; batches are made here")
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise DataError("X is a sparse matrix: give X.toarray(), or fewer columns")
    if hasattr(X, "collect") and hasattr(X, "columns"):
        raise DataError("X is a lazy frame: call its collect() first")
    if hasattr(X, "__iter__") and not hasattr(X, "__getitem__") and not hasattr(X, "__array__"):
        raise DataError(
            f"X is a {type(X).__name__}, which can only be iterated over: give a list, an array or a map-style data "
            "set (with __len__ and __getitem__)"
        )


def _refuse(what: str, instead: str) -> Rows:
    raise DataError(f"X is {what}: give {instead}")


__all__ = ["Expected", "Rows", "is_table_file", "open_rows"]
