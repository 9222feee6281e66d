"""Arrays in files: .npy, .npz and IDX, as tables or pictures."""

import operator
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .idx import read_idx
from .split import Rows, Split, class_names, held_out_split, normal_classes, official_split

Array = NDArray[Any]

SMALLEST = 8  # pixels, as for picture files
CHUNK_BYTES = 16 * 2**20
TEST_SHARE = 0.2  # of the normals, where labelled rows have no test part

_KEYS = {
    "training rows": ("x_train", "train", "x"),
    "training labels": ("y_train", "train_labels"),
    "test rows": ("x_test", "test"),
    "labels": ("y_test", "test_labels", "labels", "y"),
    "masks": ("masks", "masks_test", "test_masks"),
}


class ConvertedPictures:
    """Pictures of an array, each converted to a type that pictures have when it is asked for."""

    def __init__(self, array: Array, dtype: np.dtype[Any]) -> None:
        self.array, self.dtype = array, dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: SupportsIndex, /) -> Array:
        row = np.asarray(self.array[operator.index(index)]).astype(self.dtype)
        return row * np.uint8(255) if self.array.dtype.kind == "b" else row

    def header(self, index: int) -> tuple[int, int, int, str]:
        """(H, W, channels, dtype name) of picture `index`."""
        height, width = self.array.shape[1:3]
        return height, width, 1 if self.array.ndim == 3 else 3, self.dtype.name


def load_array(path: Path, normal: Collection[str] | None, anomaly: Collection[str] | None) -> Split:
    """What `load` gives for a .npy, .npz or IDX file."""
    if path.suffix.lower() == ".npz":
        return _load_npz(path, normal, anomaly)
    if normal is not None or anomaly is not None:
        raise DataError(f"{path}: has no labels that normal or anomaly could choose from; leave them out")
    array = checked(_read(path), str(path))
    return Split(name=path.stem, train=converted(array), note=f"{said(array)}, all taken as normal")


def array_rows(path: Path) -> Rows:
    """What `rows` gives for a .npy, .npz or IDX file."""
    if path.suffix.lower() != ".npz":
        return converted(checked(_read(path), str(path)))
    parts = _read_npz(path)
    part = next(part for part in ("test rows", "training rows") if part in parts)
    key, array = parts[part]
    return converted(checked(array, f"{path}[{key}]"))


def checked(array: Array, where: str) -> Array:
    """A table (n, d), or pictures (n, H, W) or (n, H, W, 3); raises `DataError` for what is neither, or not finite."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{where}: holds {array.dtype}, not numbers; save it as numbers")
    if array.ndim not in (2, 3, 4):
        raise DataError(f"{where}: has shape {array.shape}; give a table (n, d) or pictures (n, H, W) or (n, H, W, 3)")
    if not array.size:
        raise DataError(f"{where}: has shape {array.shape} and so no values; give at least one row")
    if array.ndim == 4:
        if array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
            raise DataError(
                f"{where}: shape {array.shape} looks like (n, C, H, W); put channels last, array.transpose(0, 2, 3, 1)"
            )
        if array.shape[3] not in (1, 3):
            raise DataError(f"{where}: pictures with {array.shape[3]} channels (shape {array.shape}); give 1 or 3")
        if array.shape[3] == 1:
            array = array[..., 0]
    if array.ndim > 2 and min(array.shape[1:3]) < SMALLEST:
        raise DataError(
            f"{where}: pictures of {array.shape[1]} x {array.shape[2]} (shape {array.shape}), at least {SMALLEST} x "
            f"{SMALLEST} are needed; one picture alone needs a first axis of 1, a table two axes"
        )
    _check_finite(array, where)
    return array


def converted(array: Array) -> Rows:
    """Pictures in a type that pictures have: uint8, uint16 or float32. Tables as they are."""
    if array.ndim == 2 or array.dtype in (np.uint8, np.uint16, np.float32):
        return array
    if array.dtype.kind == "b":
        return ConvertedPictures(array, np.dtype(np.uint8))
    fits = array.dtype.kind in "ui" and array.min() >= 0 and array.max() <= np.iinfo(np.uint16).max
    return ConvertedPictures(array, np.dtype(np.uint16 if fits else np.float32))


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
        raise DataError(f"{where}: labels are {labels.dtype}; give 0 for normal and 1 for odd, or names of classes")
    if labels.dtype.kind == "f" and not (labels == np.rint(labels)).all():
        row = int(np.flatnonzero(~(labels == np.rint(labels)))[0])
        raise DataError(f"{where}: label {labels[row]} in row {row} is no class; give 0 for normal and 1 for odd")
    return class_names(labels)


def said(array: Array) -> str:
    """ "1,000 pictures of 28 x 28" or "1,000 rows of 6 columns"."""
    if array.ndim == 2:
        return f"{len(array):,} rows of {array.shape[1]} columns"
    return f"{len(array):,} pictures of {' x '.join(map(str, array.shape[1:]))}"


def _check_finite(array: Array, where: str) -> None:
    if array.dtype.kind != "f":
        return
    step = max(1, CHUNK_BYTES // array[:1].nbytes)
    for start in range(0, len(array), step):
        chunk = array[start : start + step]
        if array.ndim > 2 and array.dtype.itemsize > 4:
            with np.errstate(over="ignore"):  # what pictures will be converted to
                chunk = chunk.astype(np.float32)
        if not np.isfinite(chunk).all():
            place = np.argwhere(~np.isfinite(chunk))[0]
            row = f"row {start + place[0]}" + (f", column {place[1]}" if array.ndim == 2 else "")
            raise DataError(f"{where}: {row} (counted from 0) is NaN or infinite; fill it in or leave the row out")


def _read(path: Path) -> Array:
    if path.suffix.lower() != ".npy":
        array = read_idx(path)
        if array.ndim == 1:
            raise DataError(f"{path}: holds labels, not pictures; give the file of pictures or the folder of all four")
        return array
    if _starts(path).startswith(b"PK"):
        raise DataError(f"{path}: is a .npz archive; name it so")
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise _not_numpy(path, error) from error


def _starts(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(6)
    except OSError as error:
        raise _not_numpy(path, error) from error


def _read_npz(path: Path) -> dict[str, tuple[str, Array]]:
    """{part: (the key it stands under, array)}"""
    parts: dict[str, tuple[str, Array]] = {}
    if _starts(path) == b"\x93NUMPY":
        raise DataError(f"{path}: is a .npy file; name it so")
    try:
        with path.open("rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as archive:
            keys = {key.lower(): key for key in archive.files}
            for part, names in _KEYS.items():
                if known := next((name for name in names if name in keys), None):
                    parts[part] = keys[known], archive[keys[known]]
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise _not_numpy(path, error) from error
    if not parts.keys() & {"training rows", "test rows"}:
        held = ", ".join(sorted(keys.values())) or "nothing"
        raise DataError(f"{path}: holds {held}; name the rows X, or x_train, x_test and y_test")
    return parts


def _not_numpy(path: Path, error: Exception) -> DataError:
    if isinstance(error, PermissionError):
        return DataError(f"{path}: may not be read (permission denied); give read permission")
    text = " ".join(str(error).split())
    if "object" in text.lower():
        return DataError(f"{path}: holds Python objects, which are not loaded; save plain numbers")
    return DataError(f"{path}: is not a NumPy file, or damaged or cut short ({text}); save it again")


def _load_npz(path: Path, normal: Collection[str] | None, anomaly: Collection[str] | None) -> Split:
    parts = _read_npz(path)

    def rows(part: str) -> Array | None:
        return checked(parts[part][1], f"{path}[{parts[part][0]}]") if part in parts else None

    def classes(part: str, of: Array) -> NDArray[np.str_]:
        return read_labels(parts[part][1], len(of), f"{path}[{parts[part][0]}]")

    train, test = rows("training rows"), rows("test rows")
    if train is not None and test is not None and train.shape[1:] != test.shape[1:]:
        raise DataError(f"{path}: rows for training are {said(train)}, for test {said(test)}; give rows of one shape")
    judged = train if test is None else test
    assert judged is not None  # `_read_npz` saw to that
    if train is None:
        raise DataError(f"{path}: holds a test part but no rows to train on; add them as x_train")
    masks = _masks(path, parts, len(judged))
    if "labels" not in parts:
        if normal is not None or anomaly is not None or "training labels" in parts or masks is not None:
            raise DataError(f"{path}: holds no labels for {said(judged)}; add them as y_test, 0 normal and 1 odd")
        tested = "no test part" if test is None else f"{said(test)} for test without labels"
        note = f"{said(train)}, all taken as normal; {tested}"
        return converted_split(Split(name=path.stem, train=train, test=test, note=note))
    labels = classes("labels", judged)
    known = set(labels.tolist())
    if "training labels" in parts:
        trained = classes("training labels", train)
        known |= set(trained.tolist())
    else:
        trained = None
    binary = known <= {"0", "1"} and normal is None and anomaly is None
    normals = normal_classes(str(path), known, normal, anomaly, {"0"} if binary else None)
    if test is None:
        split = held_out_split(path.stem, train, labels, normals, TEST_SHARE, masks)
    elif trained is None:  # nobody says what is odd in the training rows, so nothing is
        everything = np.full(len(train), next(iter(normals)))
        split = replace(official_split(path.stem, train, everything, test, labels, normals), masks=masks)
    else:
        split = replace(official_split(path.stem, train, trained, test, labels, normals), masks=masks)
    return converted_split(replace(split, kinds=None) if binary else split)


def _masks(path: Path, parts: dict[str, tuple[str, Array]], rows: int) -> list[NDArray[np.bool_] | None] | None:
    if "masks" not in parts:
        return None
    key, masks = parts["masks"]
    if masks.ndim == 4 and masks.shape[3] == 1:
        masks = masks[..., 0]
    if masks.ndim != 3 or len(masks) != rows or masks.dtype.kind not in "buif":
        raise DataError(f"{path}[{key}]: masks of shape {masks.shape} for {rows:,} test rows; give (n, H, W), n rows")
    return [np.asarray(mask != 0) for mask in masks]
