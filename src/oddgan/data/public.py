"""Public data sets by name: those that come with scikit-learn, and what lies in the folder ODDGAN_DATA.

Every set is used as the literature does. Nothing is downloaded unasked (`oddgan.data.fetch`): a set that is missing is
an error that says where to get it and where to put it.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import DataError
from ..rows.idx import PARTS, idx_files
from ..rows.picture_files import Pictures
from ..rows.scan import holds_pictures, scan
from .arrays import converted_split
from .built_in import BUILT_IN
from .layouts import TRUTH
from .public_pictures import (
    CIFAR10_FILE,
    FASHION_MNIST_SUMS,
    MNIST_SUMS,
    SVHN_SUMS,
    read_cifar10,
    read_idx_set,
    read_svhn,
)
from .public_tables import (
    KDD99_FILE,
    KDD99_HOME,
    NSL_KDD_FILES,
    NSL_KDD_HOME,
    divided_kdd99,
    odds_reader,
    read_kdd99,
    read_nsl_kdd,
)
from .split import Labelled, Rows, Split, held_out_split, normal_classes, official_split

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
    read: Callable[[Path], Labelled]
    divide: Callable[[str, Labelled, Told, Told], Split]
    folder: str | None = None  # under ODDGAN_DATA, where it is not the name
    package: str | None = None  # a folder that a system's package puts the files into
    urls: tuple[str, ...] = ()  # the files, where they may be fetched one by one


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
        for name, held in BUILT_IN.items()
    ]
    for name, public in _PUBLIC.items():
        found = _found(name)
        folder = found or (None if root is None else root / folder_name(name))
        listed.append(
            DatasetInfo(
                name=name,
                kind=public.kind,
                where=str(folder or f"$ODDGAN_DATA/{folder_name(name)}"),
                rows=public.rows,
                shape=public.shape,
                licence=public.licence,
                found=found is not None,
                how=f"{public.files} from {public.home}",
            )
        )
    return listed + [_describe(folder) for folder in _picture_folders()]


def names() -> list[str]:
    """The names that `datasets` lists."""
    return [*BUILT_IN, *_PUBLIC, *(folder.name for folder in _picture_folders())]


def _found(name: str) -> Path | None:
    try:
        return folder_of(name)
    except DataError:
        return None


def urls_of(name: str) -> tuple[str, ...]:
    """Where the files of the public set `name` can be fetched. Raises `DataError` where they cannot."""
    if name not in _PUBLIC or not _PUBLIC[name].urls:
        may = ", ".join(name for name, public in _PUBLIC.items() if public.urls)
        how = f"; get it from {_PUBLIC[name].home}" if name in _PUBLIC else ""
        raise DataError(f"{name}: cannot be fetched by its name; {may} can{how}")
    return _PUBLIC[name].urls


def folder_name(name: str) -> str:
    """What the folder of the public set `name` is called under ODDGAN_DATA."""
    return _PUBLIC[name].folder or name


def read_public(name: str, folder: Path) -> Labelled:
    """The public set `name` from the files in `folder`, checked against what was published."""
    return _PUBLIC[name].read(folder)


def named_folder(name: str) -> Path | None:
    """The picture folder of this name under ODDGAN_DATA, if there is one."""
    root = data_folder()
    if root is None or name in _PUBLIC or name.startswith(".") or Path(name).name != name:
        return None
    return root / name if (root / name).is_dir() else None


def load_public(name: str, normal: Told = None, anomaly: Told = None) -> Split | None:
    """The public set `name` divided as the literature does, or None where no set has this name."""
    if name in BUILT_IN:
        held = BUILT_IN[name]
        rows, classes = held.read()
        normals = normal_classes(name, set(classes.tolist()), normal, anomaly, held.normal)
        return held_out_split(name, rows, classes, normals, 0.2)
    if name not in _PUBLIC:
        return None
    return _PUBLIC[name].divide(name, labelled(name), normal, anomaly)


def labelled(name: str) -> Labelled:
    """All rows of the public set `name` with their classes. Raises `DataError` where it is not there."""
    if name in BUILT_IN:
        rows, classes = BUILT_IN[name].read()
        return Labelled(rows=rows, classes=classes)
    if name not in _PUBLIC:
        raise DataError(f"{name}: is no public data set; there are {', '.join((*BUILT_IN, *_PUBLIC))}")
    return _PUBLIC[name].read(folder_of(name))


def public_rows(name: str) -> Rows | None:
    """The test rows of the public set `name` (all rows of one that comes with scikit-learn and so has no test part),
    or None: no such set."""
    if name in BUILT_IN:
        return BUILT_IN[name].read()[0]
    if name not in _PUBLIC:
        return None
    held = labelled(name)
    if held.trained:
        return held.rows[held.trained :]
    return _PUBLIC[name].divide(name, held, None, None).test


def folder_of(name: str) -> Path:
    """Where the public set `name` lies. Raises `DataError`, which says where to get it, if it is not there."""
    root, public = data_folder(), _PUBLIC[name]
    folder = folder_name(name)
    place = None if root is None else root / folder
    if place is not None and place.is_dir():
        return place
    if public.package is not None and Path(public.package).is_dir():
        return Path(public.package)
    get = f"get {public.files} from {public.home}"
    mend = f"or let oddgan datasets --fetch {name} do it" if public.urls else ""
    if place is None:
        told = f"no folder of data sets is set; {get}, put it into FOLDER/{folder} and set ODDGAN_DATA=FOLDER"
    else:
        told = f"not found; {get} and put it into {place}"
    raise DataError(f"{name}: {', '.join(filter(None, (told, mend)))}")


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


def load_idx_folder(files: dict[str, Path], name: str, normal: Told, anomaly: Told) -> Split:
    """The four files of a set that is published as MNIST is."""
    return _by_parts(name, read_idx_set(files), normal, anomaly)


def _by_parts(name: str, held: Labelled, normal: Told, anomaly: Told, default: Told = None) -> Split:
    """Train on the normal rows of the training part, test on the whole test part."""
    normals = normal_classes(name, set(held.classes.tolist()), normal, anomaly, default)
    parts = [(held.rows[part], held.classes[part]) for part in (slice(held.trained), slice(held.trained, None))]
    return converted_split(official_split(name, *parts[0], *parts[1], normals))


def _held_out(name: str, held: Labelled, normal: Told, anomaly: Told) -> Split:
    """Half of the normals are held out for the test, with all anomalies."""
    normals = normal_classes(name, {"normal", "anomaly"}, normal, anomaly, {"normal"})
    return held_out_split(name, held.rows, held.classes, normals, 0.5)


def _idx_reader(name: str, sums: dict[str, str]) -> Callable[[Path], Labelled]:
    def read(folder: Path) -> Labelled:
        files = idx_files(folder)
        if files is None:
            public = _PUBLIC[name]
            raise DataError(f"{name}: none of its files is in {folder}; get {public.files} from {public.home}")
        return read_idx_set(files, sums)

    return read


_FOUR = "the four files train-images, train-labels, t10k-images and t10k-labels"

_FOUR_FILES = tuple(f"{start}-idx{3 if 'images' in start else 1}-ubyte.gz" for start in PARTS.values())

_PUBLIC: dict[str, _Public] = {
    "mnist": _Public(
        kind="pictures",
        rows=70_000,
        shape=(28, 28),
        licence="CC BY-SA 3.0 as commonly stated",
        home="http://yann.lecun.com/exdb/mnist/",
        files=_FOUR,
        read=_idx_reader("mnist", MNIST_SUMS),
        divide=_by_parts,
        urls=tuple(f"https://storage.googleapis.com/cvdf-datasets/mnist/{part}" for part in _FOUR_FILES),
    ),
    "fashion-mnist": _Public(
        kind="pictures",
        rows=70_000,
        shape=(28, 28),
        licence="MIT",
        home="https://github.com/zalandoresearch/fashion-mnist",
        files=_FOUR,
        read=_idx_reader("fashion-mnist", FASHION_MNIST_SUMS),
        divide=_by_parts,
        package="/usr/share/datasets/fashion-mnist",  # Debian's dataset-fashion-mnist
        urls=tuple(f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{part}" for part in _FOUR_FILES),
    ),
    "thyroid": _Public(
        kind="table",
        rows=3772,
        shape=(6,),
        licence="UCI and ODDS: cite",
        home="http://odds.cs.stonybrook.edu/thyroid-disease-dataset/",
        files="thyroid.mat",
        read=odds_reader("thyroid", (3772, 6), 93),
        divide=_held_out,
    ),
    "arrhythmia": _Public(
        kind="table",
        rows=452,
        shape=(274,),
        licence="UCI and ODDS: cite",
        home="http://odds.cs.stonybrook.edu/arrhythmia-dataset/",
        files="arrhythmia.mat",
        read=odds_reader("arrhythmia", (452, 274), 66),
        divide=_held_out,
    ),
    "kdd99": _Public(
        kind="table",
        rows=494_021,
        shape=(41,),
        licence="UCI KDD archive",
        home=KDD99_HOME,
        files=f"{KDD99_FILE}.gz",
        read=read_kdd99,
        divide=divided_kdd99,
        folder="kddcup99",
        urls=(f"http://kdd.ics.uci.edu/databases/kddcup99/{KDD99_FILE}.gz",),
    ),
    "nsl-kdd": _Public(
        kind="table",
        rows=148_517,
        shape=(41,),
        licence="Canadian Institute for Cybersecurity: cite",
        home=NSL_KDD_HOME,
        files=" and ".join(NSL_KDD_FILES),
        read=read_nsl_kdd,
        divide=partial(_by_parts, default={"normal"}),
    ),
    "cifar10": _Public(
        kind="pictures",
        rows=60_000,
        shape=(32, 32, 3),
        licence="not stated: cite",
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
        files=CIFAR10_FILE,
        read=read_cifar10,
        divide=_by_parts,
        urls=(f"https://www.cs.toronto.edu/~kriz/{CIFAR10_FILE}",),
    ),
    "svhn": _Public(
        kind="pictures",
        rows=99_289,
        shape=(32, 32, 3),
        licence="for non-commercial use",
        home="http://ufldl.stanford.edu/housenumbers/",
        files=" and ".join(SVHN_SUMS),
        read=read_svhn,
        divide=_by_parts,
        urls=tuple(f"http://ufldl.stanford.edu/housenumbers/{part}" for part in SVHN_SUMS),
    ),
}
