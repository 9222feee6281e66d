"""`load` and `rows`: data from a path or from the name of a public set."""

import difflib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import DataError
from ..rows.files import array_file, open_path
from ..rows.idx import idx_files
from ..rows.picture_files import Pictures, Progress
from ..rows.places import SUFFIXES
from ..rows.remote import is_address, local
from ..rows.table_files import Columns, TableFile, is_table
from ..rows.tar_shards import is_tar, is_tar_folder, shards_of
from .arrays import converted_split, load_array
from .catalogue import CATALOGUE
from .keys import keyed
from .layouts import load_folder, without_unreadable
from .public import labelled, load_idx_folder, load_public, named_folder, names, public_rows
from .public_pictures import read_idx_set
from .shards import load_shards
from .split import Labelled, Rows, Split, normal_classes, whole_split
from .tables import load_table


def load(
    source: str | os.PathLike[str],
    *,
    normal: Collection[str] | None = None,
    anomaly: Collection[str] | None = None,
    label: str | None = None,
    drop: Collection[str] = (),
    category: Collection[str] = (),
    number: Collection[str] = (),
    like: Columns | None = None,
    all_rows: bool = False,
    channels_from: Sequence[str] = (),
    groups: str | None = None,
    strata: str | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Split:
    """A data set, divided into normal training rows and test rows.

    An .npz file holds X, or x_train and optionally y_train, x_test, y_test (0 normal, 1 anomalous) and masks
    (n_test, H, W). Where a set has no test part, a fixed share of its normal rows is held out for the test, the same
    in every call. Pictures are decoded on access, so unreadable ones are reported only then, unless `skip_bad` is true.

    Parameters
    ----------
    source : path or str
        A folder of pictures (flat; MVTec AD; train and test; normal and abnormal), an .npy or .npz file (a table
        (n, d), or pictures (n, H, W) or (n, H, W, 3)), a CSV or Parquet file or a folder of Parquet files (a table), a
        .tar archive of pictures, a folder or a range of them, an IDX file or the folder of the four files in which
        MNIST is published, the address of any of these that fsspec reads ("s3://bucket/parts"), or the name of a
        public set (see `datasets`). An existing path takes precedence over a name.
    normal, anomaly : collection of str, optional
        Names of the classes that are normal, or anomalous, in a labelled set: give one of the two. A name may hold
        several, separated by commas, unless a class is called so; "all": every class is normal.
    label : str, optional
        The column of a CSV or Parquet file that holds the classes; it is used for nothing else.
    drop, category, number : collection of str
        Columns of a CSV or Parquet file to leave out, those that hold categories whatever they look like (codes,
        dates), and those that must hold numbers.
    like : Columns, optional
        The `preprocessor_` of a model, which says which columns of a CSV or Parquet file to read, and their kinds.
    all_rows : bool
        Use all rows for the test and none for training, as for data that was not used in training.
    channels_from : sequence of str
        Endings of files' names (before the suffix) that are the channels of one picture: ("_vis", "_ir").
    groups, strata : str, optional
        Where `Split.groups` and `Split.strata` come from: a column of a CSV or Parquet file, which is used for nothing
        else; of pictures "folder", or a regular expression for a part of their names ("clip[0-9]+").
    skip_bad : bool
        Leave out pictures that cannot be read, and name them in `Split.skipped`; decodes every picture once.
    progress : callable, optional
        Called with (done, total) while pictures are checked.

    Returns
    -------
    Split

    Raises
    ------
    DataError
        The data cannot be used; one line that names the file and what to do.
    """
    path = _existing(os.fspath(source))
    if path is not None and is_table(path):
        keys = list(dict.fromkeys(key for key in (groups, strata) if key is not None))
        if taken := set(keys) & {label, *drop}:
            raise DataError(f"{source}: the column {min(map(str, taken))!r} is used twice; choose what it is for")
        split = load_table(
            path,
            normal,
            anomaly,
            label=label,
            drop=drop,
            category=category,
            number=number,
            keys=keys,
            like=like,
            all_rows=all_rows,
        )
        return keyed(split, groups, strata)
    if label is not None or drop or category or number:
        raise DataError(f"{source}: has no columns with names: label, drop, category and number are of CSV and Parquet")
    if channels_from and (path is None or not path.is_dir()):
        raise DataError(f"{source}: is no folder of pictures, whose files channels_from could put together")
    split = _load(os.fspath(source), path, normal, anomaly, all_rows, channels_from)
    return keyed(without_unreadable(split, progress) if skip_bad else split, groups, strata)


def rows(
    source: str | os.PathLike[str], *, drop: Collection[str] = (), channels_from: Sequence[str] = ()
) -> Rows | TableFile:
    """All rows of `source`, for scoring. Layout and labels are ignored.

    A folder gives every picture below it, sorted by path, without masks in a folder called ground_truth; a picture file
    gives that picture. A public set and a folder of IDX files give their test part (all rows of sets that have none,
    such as digits), an .npz file x_test or else X, and a CSV or Parquet file all its rows as a `TableFile`, without the
    columns `drop`. `channels_from`: see `load`. Raises `DataError` as `load` does.
    """
    name = os.fspath(source)
    path = _existing(name)
    if drop and (path is None or not is_table(path)):
        raise DataError(f"{name}: has no columns with names to drop; only CSV and Parquet files have")
    if path is None:
        if (public := public_rows(name)) is not None:
            return public
        raise _no_such(name)
    if is_table(path):
        return TableFile(path, drop)
    found: Rows | TableFile = open_path(path)
    if channels_from:
        if not isinstance(found, Pictures):
            raise DataError(f"{source}: holds no picture files, which channels_from could put together")
        return found.grouped(channels_from)
    return found


def _load(
    name: str,
    path: Path | None,
    normal: Collection[str] | None,
    anomaly: Collection[str] | None,
    all_rows: bool,
    channels_from: Sequence[str],
) -> Split:
    if path is not None and (is_tar(path) or (path.is_dir() and is_tar_folder(path))):
        return load_shards(path, normal, anomaly, all_rows=all_rows)
    if path is not None and path.is_dir() and not _idx_folder(path):
        return load_folder(
            path,
            path.name or path.resolve().name,
            normal,
            anomaly,
            all_rows=all_rows,
            channels_from=channels_from,
        )
    if path is None:
        if all_rows and name in CATALOGUE:
            usual = CATALOGUE[name]
            if normal is None and anomaly is None:
                normal, anomaly = usual.normal, usual.anomaly
            return _whole(name, labelled(name), normal, anomaly)
        if (public := load_public(name, normal, anomaly)) is not None:
            return public
        raise _no_such(name)
    if path.is_dir():
        name = path.name or path.resolve().name
        files = _idx_folder(path)
        assert files is not None
        if all_rows:
            return _whole(name, read_idx_set(files), normal, anomaly)
        return load_idx_folder(files, name, normal, anomaly)
    if path.suffix.lower() in SUFFIXES:
        raise DataError(f"{path}: one picture is not enough to train on or to evaluate with; give a folder of pictures")
    return load_array(array_file(path), normal, anomaly, all_rows=all_rows)


def _whole(name: str, held: Labelled, normal: Collection[str] | None, anomaly: Collection[str] | None) -> Split:
    normals = normal_classes(name, set(held.classes.tolist()), normal, anomaly)
    masks = None if held.masks is None else list(held.masks)
    return converted_split(whole_split(name, held.rows, held.classes, normals, masks))


def _existing(source: str) -> Path | None:
    """The existing path `source`, or else the picture folder of that name under ODDGAN_DATA, or None."""
    if is_address(source):
        return local(source)
    path = Path(source).expanduser()
    try:
        if path.exists() or (is_tar(path) and shards_of(path)[0].exists()):
            return path
    except (OSError, ValueError) as error:
        raise DataError(f"{source}: cannot be reached ({error}); check the path") from None
    return named_folder(source)


def _idx_folder(path: Path) -> dict[str, Path] | None:
    try:
        return idx_files(path)
    except PermissionError:
        raise DataError(f"{path}: the folder may not be read (permission denied); give read permission") from None


def _no_such(source: str) -> DataError:
    known = names()
    near = difflib.get_close_matches(source.lower(), known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"public sets are {', '.join(known)}"
    return DataError(f"{source}: there is no such file or folder, nor a public data set of that name; {hint}")
