"""Public data sets by name: those that come with scikit-learn, and what lies in the folder ODDGAN_DATA.

Every set is used as the literature does. Nothing is ever downloaded: a set that is missing is an error that says where
to get it and where to put it.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .arrays import checked, converted_split, read_labels
from .idx import idx_files, read_idx
from .layouts import TRUTH
from .pictures import Pictures
from .public_tables import KDD99_FILE, KDD99_HOME, breast_cancer, load_kdd99, wine
from .scan import holds_pictures, scan
from .split import Held, Rows, Split, held_out_split, normal_classes, official_split

Told = Collection[str] | None  # names of classes, if the caller gave any


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """A data set that can be named in place of a path.

    kind is "pictures" or "table"; where the folder (or library) it is read from; rows and shape are None where it is
    missing or its shape is not known without reading it; how says how to get and to use it.
    """

    name: str
    kind: str
    where: str
    rows: int | None
    shape: tuple[int, ...] | None
    licence: str
    found: bool
    how: str


@dataclass(frozen=True, kw_only=True)
class _Public:
    kind: str
    rows: int
    shape: tuple[int, ...]
    licence: str
    home: str
    files: str
    load: Callable[[Path, Told, Told], Split]
    sums: dict[str, str] | None = None
    folder: str | None = None  # under ODDGAN_DATA, where it is not the name


@dataclass(frozen=True, kw_only=True)
class _BuiltIn:
    """A set that comes with scikit-learn; `normal`: what is normal unless it is said."""

    kind: str
    rows: int
    shape: tuple[int, ...]
    read: Callable[[], tuple[Held, NDArray[np.str_]]]
    normal: frozenset[str] | None
    how: str


def data_folder() -> Path | None:
    """The folder ODDGAN_DATA, read at every call, or None where it is not set."""
    told = os.environ.get("ODDGAN_DATA", "").strip()
    return Path(told).expanduser() if told else None


def datasets() -> list[DatasetInfo]:
    """All data sets that have a name: those known to oddgan, found or not, and picture folders under ODDGAN_DATA."""
    root = data_folder()
    listed = [
        DatasetInfo(
            name=name,
            kind=held.kind,
            where="scikit-learn",
            rows=held.rows,
            shape=held.shape,
            licence="CC BY 4.0",
            found=True,
            how=f"comes with scikit-learn; {held.how}",
        )
        for name, held in _BUILT_IN.items()
    ]
    for name, public in _PUBLIC.items():
        folder = None if root is None else root / (public.folder or name)
        listed.append(
            DatasetInfo(
                name=name,
                kind=public.kind,
                where=str(folder or f"$ODDGAN_DATA/{public.folder or name}"),
                rows=public.rows,
                shape=public.shape,
                licence=public.licence,
                found=folder is not None and folder.is_dir(),
                how=f"{public.files} from {public.home}",
            )
        )
    return listed + [_describe(folder) for folder in _picture_folders()]


def names() -> list[str]:
    """The names that `datasets` lists."""
    return [*_BUILT_IN, *_PUBLIC, *(folder.name for folder in _picture_folders())]


def named_folder(name: str) -> Path | None:
    """The picture folder of this name under ODDGAN_DATA, if there is one."""
    root = data_folder()
    if root is None or name in _PUBLIC or name.startswith(".") or Path(name).name != name:
        return None
    return root / name if (root / name).is_dir() else None


def load_public(name: str, normal: Told = None, anomaly: Told = None) -> Split | None:
    """The public set `name` divided as the literature does, or None where no set has this name."""
    if name in _BUILT_IN:
        held = _BUILT_IN[name]
        rows, classes = held.read()
        normals = normal_classes(name, set(classes.tolist()), normal, anomaly, held.normal)
        return held_out_split(name, rows, classes, normals, 0.2)
    if name not in _PUBLIC:
        return None
    return _PUBLIC[name].load(_folder_of(name), normal, anomaly)


def public_rows(name: str) -> Rows | None:
    """The test rows of the public set `name` (all rows of one that comes with scikit-learn and so has no test part),
    or None: no such set."""
    if name in _BUILT_IN:
        return _BUILT_IN[name].read()[0]
    if name not in _PUBLIC:
        return None
    if _PUBLIC[name].sums is not None:
        return _read_part(name, _folder_of(name), "test pictures")
    split = load_public(name)
    return None if split is None else split.test


def _folder_of(name: str) -> Path:
    root, public = data_folder(), _PUBLIC[name]
    folder = public.folder or name
    if root is None:
        raise DataError(
            f"{name}: no folder of data sets is set; get {public.files} from {public.home}, put it into "
            f"FOLDER/{folder} and set ODDGAN_DATA=FOLDER"
        )
    if not (root / folder).is_dir():
        raise DataError(f"{name}: not found; get {public.files} from {public.home} and put it into {root / folder}")
    return root / folder


def _picture_folders() -> list[Path]:
    root = data_folder()
    if root is None or not root.is_dir():
        return []
    found = []
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in _PUBLIC:
            try:
                if holds_pictures(folder):
                    found.append(folder)
            except DataError:
                continue  # it may not be read: told when it is asked for by its path
    return found


def _describe(folder: Path) -> DatasetInfo:
    paths = [path for path in scan(folder).pictures if not TRUTH & set(path.lower().split("/")[:-1])]
    terms = next((path.name for path in sorted(folder.iterdir()) if path.stem.lower() in {"license", "licence"}), None)
    shape: tuple[int, ...] | None = None
    try:
        height, width, channels, _ = Pictures([folder / path for path in paths[:1]]).header(0)
        shape = (height, width) if channels == 1 else (height, width, channels)
    except (DataError, IndexError):
        pass  # the first picture cannot be read, or all are masks
    return DatasetInfo(
        name=folder.name,
        kind="pictures",
        where=str(folder),
        rows=len(paths),
        shape=shape,
        licence=f"see {terms}" if terms else "not stated",
        found=True,
        how="a folder of pictures under ODDGAN_DATA",
    )


def _digit_rows() -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # float32, for as uint8 their 0 to 16 would count as nearly black.
    return digits.images.astype(np.float32), digits.target.astype(np.str_)


def load_idx_folder(
    files: dict[str, Path], name: str, normal: Told, anomaly: Told, sums: dict[str, str] | None = None
) -> Split:
    """The four files of a set that is published as MNIST is."""
    arrays = {part: read_idx(path, sha256=sums[part] if sums else None) for part, path in files.items()}
    train, test = (checked(arrays[part], str(files[part])) for part in ("training pictures", "test pictures"))
    trained, tested = (
        read_labels(arrays[part], len(rows), str(files[part]))
        for part, rows in (("training labels", train), ("test labels", test))
    )
    normals = normal_classes(name, set(trained.tolist()) | set(tested.tolist()), normal, anomaly)
    return converted_split(official_split(name, train, trained, test, tested, normals))


def _files_of(name: str, folder: Path) -> dict[str, Path]:
    files = idx_files(folder)
    if files is None:
        raise DataError(
            f"{name}: none of its files is in {folder}; get {_PUBLIC[name].files} from {_PUBLIC[name].home}"
        )
    return files


def _read_part(name: str, folder: Path, part: str) -> NDArray[Any]:
    return read_idx(_files_of(name, folder)[part], sha256=(_PUBLIC[name].sums or {})[part])


def _idx_set(name: str) -> Callable[[Path, Told, Told], Split]:
    def load(folder: Path, normal: Told, anomaly: Told) -> Split:
        return load_idx_folder(_files_of(name, folder), name, normal, anomaly, _PUBLIC[name].sums)

    return load


def _mat_set(name: str, anomalies: int) -> Callable[[Path, Told, Told], Split]:
    """A table of ODDS: X, and y with 1 for an anomaly. Half of the normals are held out for the test."""

    def load(folder: Path, normal: Told, anomaly: Told) -> Split:
        from scipy.io import loadmat

        path = folder / f"{name}.mat"
        try:
            with path.open("rb") as stream:
                held = loadmat(stream)
            rows, labels = np.asarray(held["X"]), np.asarray(held["y"]).ravel()
        except FileNotFoundError:
            raise DataError(f"{name}: {path} is missing; get it from {_PUBLIC[name].home}") from None
        except PermissionError:
            raise DataError(f"{path}: may not be read (permission denied); give read permission") from None
        except Exception as error:  # scipy's reader raises many kinds on damaged files
            raise DataError(f"{path}: is damaged or not a file of this set ({error}); fetch it again") from error
        expected = (_PUBLIC[name].rows, *_PUBLIC[name].shape)
        if rows.shape != expected or labels.shape != expected[:1] or int((labels == 1).sum()) != anomalies:
            raise DataError(
                f"{path}: is not the published set of {expected} with {anomalies} anomalies; fetch it again"
            )
        classes = np.where(labels == 1, "anomaly", "normal")
        normals = normal_classes(name, {"normal", "anomaly"}, normal, anomaly, {"normal"})
        return held_out_split(name, checked(rows, str(path)).astype(np.float64), classes, normals, 0.5)

    return load


_BUILT_IN: dict[str, _BuiltIn] = {
    "digits": _BuiltIn(
        kind="pictures",
        rows=1797,
        shape=(8, 8),
        read=_digit_rows,
        normal=None,
        how="choose the classes with normal or anomaly",
    ),
    "breast-cancer": _BuiltIn(
        kind="table",
        rows=569,
        shape=(30,),
        read=breast_cancer,
        normal=frozenset({"benign"}),
        how="benign is normal",
    ),
    "wine": _BuiltIn(
        kind="table",
        rows=178,
        shape=(13,),
        read=wine,
        normal=frozenset({"class_1"}),
        how="class_1, the largest, is normal",
    ),
}

_FOUR = "the four files train-images, train-labels, t10k-images and t10k-labels"

# Checksums are of the unpacked content of the files whose MD5 sums were published, so they hold for files that were
# unpacked or packed anew.
_PUBLIC: dict[str, _Public] = {
    "mnist": _Public(
        kind="pictures",
        rows=70_000,
        shape=(28, 28),
        licence="CC BY-SA 3.0 as commonly stated",
        home="http://yann.lecun.com/exdb/mnist/",
        files=_FOUR,
        load=_idx_set("mnist"),
        sums={
            "training pictures": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "training labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "test pictures": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "test labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion-mnist": _Public(
        kind="pictures",
        rows=70_000,
        shape=(28, 28),
        licence="MIT",
        home="https://github.com/zalandoresearch/fashion-mnist",
        files=_FOUR,
        load=_idx_set("fashion-mnist"),
        sums={
            "training pictures": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "training labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "test pictures": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "test labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ),
    "thyroid": _Public(
        kind="table",
        rows=3772,
        shape=(6,),
        licence="UCI and ODDS: cite",
        home="http://odds.cs.stonybrook.edu/thyroid-disease-dataset/",
        files="thyroid.mat",
        load=_mat_set("thyroid", 93),
    ),
    "arrhythmia": _Public(
        kind="table",
        rows=452,
        shape=(274,),
        licence="UCI and ODDS: cite",
        home="http://odds.cs.stonybrook.edu/arrhythmia-dataset/",
        files="arrhythmia.mat",
        load=_mat_set("arrhythmia", 66),
    ),
    "kdd99": _Public(
        kind="table",
        rows=494_021,
        shape=(41,),
        licence="UCI KDD archive",
        home=KDD99_HOME,
        files=f"{KDD99_FILE}.gz",
        load=load_kdd99,
        folder="kddcup99",
    ),
}
