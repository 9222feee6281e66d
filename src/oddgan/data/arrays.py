"""Arrays in files: .npy, .npz and IDX, as tables or pictures."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..rows.array_files import Array, checked, converted, read_array, read_npz
from .masks import as_mask
from .split import Rows, Split, class_names, held_out_split, normal_classes, official_split, whole_split

TEST_SHARE = 0.2  # of the normal rows, where labelled rows have no test part


def load_array(
    path: Path, normal: Collection[str] | None, anomaly: Collection[str] | None, *, all_rows: bool = False
) -> Split:
    """What `load` returns for a .npy, .npz or IDX file. `all_rows`: all of them are for the test."""
    if path.suffix.lower() == ".npz":
        return _load_npz(path, normal, anomaly, all_rows)
    if normal is not None or anomaly is not None:
        raise DataError(f"{path}: has no labels that normal or anomaly could choose from; leave them out")
    array = checked(read_array(path), str(path))
    if all_rows:
        return _without_labels(path, array)
    return Split(name=path.stem, train=converted(array), note=f"{summary(array)}, all taken as normal")


def converted_split(split: Split) -> Split:
    """`split` with the arrays of train and test converted."""

    def convert(rows: Rows | None) -> Rows | None:
        return converted(rows) if isinstance(rows, np.ndarray) else rows

    return replace(split, train=convert(split.train), test=convert(split.test))


def read_labels(labels: Array, rows: int, where: str) -> NDArray[np.str_]:
    """Labels as class names, one for each of `rows` rows; raises `DataError` where they do not fit."""
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.ravel()
    if labels.shape != (rows,):
        raise DataError(f"{where}: labels of shape {labels.shape} for {rows:,} rows; give one label for each row")
    if labels.dtype.kind not in "buifUS":
        raise DataError(
            f"{where}: labels are {labels.dtype}; give 0 for normal and 1 for anomalous, or names of classes"
        )
    if labels.dtype.kind == "f" and not (labels == np.rint(labels)).all():
        row = int(np.flatnonzero(~(labels == np.rint(labels)))[0])
        raise DataError(f"{where}: label {labels[row]} in row {row} is no class; give 0 for normal and 1 for anomalous")
    return class_names(labels)


def summary(array: Array) -> str:
    """ "1,000 pictures of 28 x 28" or "1,000 rows of 6 columns"."""
    if array.ndim == 2:
        rows, columns = len(array), array.shape[1]
        return f"{rows:,} row{'s' * (rows != 1)} of {columns} column{'s' * (columns != 1)}"
    return f"{len(array):,} picture{'s' * (len(array) != 1)} of {' x '.join(map(str, array.shape[1:]))}"


def _without_labels(path: Path, rows: Array) -> Split:
    return Split(name=path.stem, train=None, test=converted(rows), note=f"{summary(rows)} for test without labels")


def _load_npz(path: Path, normal: Collection[str] | None, anomaly: Collection[str] | None, all_rows: bool) -> Split:
    parts = read_npz(path)

    def rows(part: str) -> Array | None:
        return checked(parts[part][1], f"{path}[{parts[part][0]}]") if part in parts else None

    def classes(part: str, of: Array) -> NDArray[np.str_]:
        return read_labels(parts[part][1], len(of), f"{path}[{parts[part][0]}]")

    train, test = rows("training rows"), rows("test rows")
    if train is not None and test is not None and train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{path}: rows for training are {summary(train)}, for test {summary(test)}; give rows of one shape"
        )
    judged = train if test is None else test
    assert judged is not None  # `read_npz` checks that
    if train is None and not all_rows:
        raise DataError(
            f"{path}: holds a test part but no rows to train on; add them as x_train, or judge all rows with a model "
            "(all_rows)"
        )
    masks = _masks(path, parts, len(judged))
    if "labels" not in parts:
        if normal is not None or anomaly is not None or "training labels" in parts or masks is not None:
            raise DataError(
                f"{path}: holds no labels for {summary(judged)}; add them as y_test, 0 normal and 1 anomalous"
            )
        if all_rows:
            return _without_labels(path, np.concatenate([part for part in (train, test) if part is not None]))
        assert train is not None
        tested = "no test part" if test is None else f"{summary(test)} for test without labels"
        note = f"{summary(train)}, all taken as normal; {tested}"
        return converted_split(Split(name=path.stem, train=train, test=test, note=note))
    labels = classes("labels", judged)
    known = set(labels.tolist())
    if "training labels" in parts and train is not None:
        trained = classes("training labels", train)
        known |= set(trained.tolist())
    else:
        trained = None
    binary = known <= {"0", "1"} and normal is None and anomaly is None
    normals = normal_classes(str(path), known, normal, anomaly, {"0"} if binary else None)
    if all_rows:
        split = _whole(path.stem, train, trained, test, labels, normals, masks)
    elif test is None:
        assert train is not None
        split = held_out_split(path.stem, train, labels, normals, TEST_SHARE, masks)
    else:
        assert train is not None
        trained = _all_normal(train, normals) if trained is None else trained
        split = official_split(path.stem, train, trained, test, labels, normals)
        split = replace(split, masks=None if split.test is None else masks)
    return converted_split(replace(split, kinds=None) if binary else split)


def _all_normal(train: Array, normals: Collection[str]) -> NDArray[np.str_]:
    """The classes of training rows without labels, all of which are normal."""
    return np.full(len(train), next(iter(normals)))


def _whole(
    name: str,
    train: Array | None,
    trained: NDArray[np.str_] | None,
    test: Array | None,
    labels: NDArray[np.str_],
    normals: Collection[str],
    masks: list[NDArray[np.bool_] | None] | None,
) -> Split:
    """Both parts for the test. `labels` and `masks` are those of the test part, or of all rows where there is none."""
    if train is None or test is None:
        rows = test if train is None else train
        assert rows is not None
        return whole_split(name, rows, labels, normals, masks)
    trained = _all_normal(train, normals) if trained is None else trained
    first: list[NDArray[np.bool_] | None] = [
        np.zeros(train.shape[1:3], bool) if normal else None for normal in np.isin(trained, list(normals))
    ]
    masks = None if masks is None else first + masks
    return whole_split(name, np.concatenate([train, test]), np.concatenate([trained, labels]), normals, masks)


def _masks(path: Path, parts: dict[str, tuple[str, Array]], rows: int) -> list[NDArray[np.bool_] | None] | None:
    if "masks" not in parts:
        return None
    key, masks = parts["masks"]
    if masks.ndim == 4 and masks.shape[3] == 1:
        masks = masks[..., 0]
    if masks.ndim != 3 or len(masks) != rows or masks.dtype.kind not in "buif":
        raise DataError(f"{path}[{key}]: masks of shape {masks.shape} for {rows:,} test rows; give (n, H, W), n rows")
    if masks.dtype.kind == "f" and not np.isfinite(masks).all():
        raise DataError(f"{path}[{key}]: holds NaN or infinite values; give 0 for normal and 1 for anomalous pixels")
    warned: set[str] = set()
    return [as_mask(mask, f"{path}[{key}], row {i}", warned) for i, mask in enumerate(masks)]
