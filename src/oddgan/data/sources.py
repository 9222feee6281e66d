"""From what a user names to data: a path, or the name of a public set."""

import difflib
import os
from collections.abc import Collection
from pathlib import Path

from ..errors import DataError
from ..rows.array_files import array_rows, checked, converted
from ..rows.decode import SUFFIXES
from ..rows.idx import idx_files, is_idx, read_idx
from ..rows.picture_files import Pictures, Progress
from ..rows.scan import scan
from ..rows.table_files import Columns, TableFile, is_table_file
from .arrays import load_array
from .layouts import TRUTH, load_folder, without_unreadable
from .public import load_idx_folder, load_public, named_folder, names, public_rows
from .split import Rows, Split
from .tables import load_table


def load(
    source: str | os.PathLike[str],
    *,
    normal: Collection[str] | None = None,
    anomaly: Collection[str] | None = None,
    label: str | None = None,
    drop: Collection[str] = (),
    category: Collection[str] = (),
    like: Columns | None = None,
    all_rows: bool = False,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Split:
    """A data set, divided into normals for training and rows to be judged.

    source    a folder of pictures (flat; MVTec AD; train and test; normal and abnormal), an .npy or .npz file (a table
              (n, d), or pictures (n, H, W) or (n, H, W, 3)), a CSV or Parquet file (a table), an IDX file or the folder
              of the four files that MNIST is published as, or the name of a public set (see `datasets`). A path that
              exists goes before a name.
    normal, anomaly    names of the classes that are normal, or odd, in a labelled set: give one of the two
    label     of a CSV or Parquet file, the column that holds the classes; it is not looked at otherwise
    drop, category    of a CSV or Parquet file, columns to leave out, and columns of numbers that are categories (codes)
    like      of a CSV or Parquet file, what knows which columns to take and what they hold: `preprocessor_` of a model
    all_rows  of a CSV or Parquet file, all rows are for the test, as in a file that was not trained on
    skip_bad  leave out pictures that cannot be read, and name them in `Split.skipped`; decodes every picture once
    progress  called with (done, total) while pictures are checked

    An .npz file holds X, or x_train with, if there are, y_train, x_test, y_test (0 normal, 1 odd) and masks
    (n_test, H, W). Where a set has no test part of its own, a fixed share of its normals is held out for the test, the
    same at every call.

    Raises `DataError`, one line that names the file and the mend, for whatever cannot be understood or used. Pictures
    are not decoded before they are asked for, so unreadable ones are told then unless `skip_bad` is true.
    """
    path = _existing(os.fspath(source))
    if path is not None and path.is_file() and is_table_file(path):
        return load_table(
            path, normal, anomaly, label=label, drop=drop, category=category, like=like, all_rows=all_rows
        )
    if label is not None or drop or category or all_rows:
        raise DataError(
            f"{source}: has no columns with names: label, drop, category and all_rows are of CSV and Parquet"
        )
    split = _load(os.fspath(source), path, normal, anomaly)
    return without_unreadable(split, progress) if skip_bad else split


def rows(source: str | os.PathLike[str], *, drop: Collection[str] = ()) -> Rows | TableFile:
    """Everything in `source`, to be scored: layout and labels are ignored.

    A folder gives every picture below it, sorted by path (masks in a folder called ground_truth are not pictures to
    score), a single picture itself. A public set and a folder of IDX files give their test part (digits, which have
    none, all rows), an .npz file x_test, or X where there is none, a CSV or Parquet file all of its rows, without the
    columns `drop`, as a `TableFile`. Raises `DataError` as `load` does.
    """
    told = os.fspath(source)
    path = _existing(told)
    if drop and (path is None or not is_table_file(path)):
        raise DataError(f"{told}: has no columns with names to drop; only CSV and Parquet files have")
    if path is None:
        if (public := public_rows(told)) is not None:
            return public
        raise _no_such(told)
    if not path.is_dir():
        if path.suffix.lower() in SUFFIXES:
            return Pictures([path], root=path.parent)
        if is_table_file(path):
            return TableFile(path, drop)
        return array_rows(_array_file(path))
    if files := _idx_folder(path):
        part = files["test pictures"]
        return converted(checked(read_idx(part), str(part)))
    found = scan(path)
    pictures = [name for name in found.pictures if not TRUTH & set(name.lower().split("/")[:-1])]
    if not pictures:
        held = f"only {found.ignored()}" if found.others else "nothing"
        raise DataError(f"{path}: no pictures here, {held}; give a folder with PNG, JPEG, BMP, TIFF or WebP pictures")
    return Pictures((path / name for name in pictures), root=path)


def _load(told: str, path: Path | None, normal: Collection[str] | None, anomaly: Collection[str] | None) -> Split:
    if path is None:
        if (public := load_public(told, normal, anomaly)) is not None:
            return public
        raise _no_such(told)
    if path.is_dir():
        name = path.name or path.resolve().name
        if files := _idx_folder(path):
            return load_idx_folder(files, name, normal, anomaly)
        return load_folder(path, name, normal, anomaly)
    if path.suffix.lower() in SUFFIXES:
        raise DataError(f"{path}: one picture is not enough to train on or to evaluate with; give a folder of pictures")
    return load_array(_array_file(path), normal, anomaly)


def _existing(told: str) -> Path | None:
    """The path that is meant: as told, or a picture folder of that name under ODDGAN_DATA; None: a set's name."""
    path = Path(told).expanduser()
    try:
        if path.exists():
            return path
    except (OSError, ValueError) as error:
        raise DataError(f"{told}: cannot be reached ({error}); check the path") from None
    return named_folder(told)


def _idx_folder(path: Path) -> dict[str, Path] | None:
    try:
        return idx_files(path)
    except PermissionError:
        raise DataError(f"{path}: the folder may not be read (permission denied); give read permission") from None


def _array_file(path: Path) -> Path:
    if path.suffix.lower() in {".npy", ".npz"} or is_idx(path):
        return path
    raise DataError(
        f"{path}: this kind of file is not understood; give a folder of pictures, a picture, .csv, "
        ".parquet, .npy, .npz or IDX"
    )


def _no_such(told: str) -> DataError:
    known = names()
    near = difflib.get_close_matches(told.lower(), known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"public sets are {', '.join(known)}"
    return DataError(f"{told}: there is no such file or folder, nor a public data set of that name; {hint}")
