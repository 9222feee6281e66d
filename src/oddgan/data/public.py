"""Data sets by name: those that come with scikit-learn, those that oddgan draws, and those in the folder ODDGAN_DATA.

Every set is used as in the literature. Nothing is downloaded unless asked for (`oddgan.data.fetch`): a missing set is
an error that says where to get it and where to put it.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import DataError
from ..rows.idx import idx_files
from ..rows.masks import TRUTH
from ..rows.picture_files import Pictures
from ..rows.scan import holds_pictures, scan
from .arrays import converted_split
from .built_in import READERS as BUILT_IN
from .catalogue import CATALOGUE, Entry, Test
from .drawn import DRAWN, drawn
from .public_pictures import read_cifar10, read_idx_set, read_svhn
from .public_tables import divided_kdd99, odds_reader, read_kdd99, read_nsl_kdd
from .split import Labelled, Rows, Split, held_out_split, normal_classes, official_split

Classes = Collection[str] | None  # names of classes, if the caller gave any

_PUBLIC: dict[str, Entry] = {name: entry for name, entry in CATALOGUE.items() if entry.library is None}


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """A data set that can be named in place of a path.

    kind is "pictures" or "table"; where is the folder (or library) that it is read from; shape is None where it is not
    known without reading the set; how says how to get it and how to use it.
    """

    name: str
    kind: str
    where: str
    rows: int | None
    shape: tuple[int, ...] | None
    licence: str
    found: bool
    how: str


def data_folder() -> Path | None:
    """The folder ODDGAN_DATA, read at every call, or None where it is not set."""
    setting = os.environ.get("ODDGAN_DATA", "").strip()
    return Path(setting).expanduser() if setting else None


def datasets() -> list[DatasetInfo]:
    """All data sets that have a name: those known to oddgan, found or not, and picture folders under ODDGAN_DATA."""
    root, listed = data_folder(), []
    for name, entry in (CATALOGUE | _PUBLIC).items():
        if entry.library is not None:
            found, where, how = True, entry.library, f"comes with {entry.library}; {entry.how}"
        else:
            place = _found(name)
            found, how = place is not None, f"{entry.files} from {entry.home}"
            where = str(place or (f"$ODDGAN_DATA/{folder_name(name)}" if root is None else root / folder_name(name)))
        listed.append(
            DatasetInfo(
                name=name,
                kind=entry.kind,
                where=where,
                rows=entry.rows,
                shape=entry.shape,
                licence=entry.licence,
                found=found,
                how=how,
            )
        )
    return listed + [_describe(folder) for folder in _picture_folders()]


def names() -> list[str]:
    """The names that `datasets` lists."""
    return [*CATALOGUE, *(folder.name for folder in _picture_folders())]


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
    return _READERS[name](folder)


def named_folder(name: str) -> Path | None:
    """The picture folder of this name under ODDGAN_DATA, if there is one."""
    root = data_folder()
    if root is None or name in _PUBLIC or name.startswith(".") or Path(name).name != name:
        return None
    return root / name if (root / name).is_dir() else None


def load_public(name: str, normal: Classes = None, anomaly: Classes = None) -> Split | None:
    """The public set `name`, divided as in the literature, or None where no set has this name."""
    if name not in CATALOGUE:
        return None
    return _DIVIDERS[CATALOGUE[name].test](name, labelled(name), normal, anomaly)


def labelled(name: str) -> Labelled:
    """All rows of the public set `name` with their classes. Raises `DataError` where it is not there."""
    if name in BUILT_IN:
        rows, classes = BUILT_IN[name]()
        return Labelled(rows=rows, classes=classes)
    if name in DRAWN:
        return drawn(name)
    if name not in _PUBLIC:
        raise DataError(f"{name}: is no public data set; there are {', '.join(CATALOGUE)}")
    return read_public(name, folder_of(name))


def public_rows(name: str) -> Rows | None:
    """The test rows of the public set `name` (all rows of one that comes with scikit-learn, which has no test part), or
    None where no set has this name."""
    if name in BUILT_IN:
        return BUILT_IN[name]()[0]
    if name not in CATALOGUE:
        return None
    held = labelled(name)
    if held.trained:
        return held.rows[held.trained :]
    return _DIVIDERS[CATALOGUE[name].test](name, held, None, None).test


def folder_of(name: str) -> Path:
    """The folder of the public set `name`. Raises `DataError` that says where to get it, if it is not there."""
    root, public = data_folder(), _PUBLIC[name]
    folder = folder_name(name)
    place = None if root is None else root / folder
    if place is not None and place.is_dir():
        return place
    if public.package is not None and Path(public.package).is_dir():
        return Path(public.package)
    get = f"get {public.files} from {public.home}"
    fetch = f"or let oddgan datasets --fetch {name} do it" if public.urls else ""
    if place is None:
        message = f"no folder of data sets is set; {get}, put it into FOLDER/{folder} and set ODDGAN_DATA=FOLDER"
    else:
        message = f"not found; {get} and put it into {place}"
    raise DataError(f"{name}: {', '.join(filter(None, (message, fetch)))}")


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
                continue  # it may not be read, which is reported when it is requested by its path
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


def load_idx_folder(files: dict[str, Path], name: str, normal: Classes, anomaly: Classes) -> Split:
    """The four files of a set in MNIST's format."""
    return _by_parts(name, read_idx_set(files), normal, anomaly, None)


def _published(name: str, held: Labelled, normal: Classes, anomaly: Classes) -> Split:
    return _by_parts(name, held, normal, anomaly, CATALOGUE[name].normal)


def _by_parts(name: str, held: Labelled, normal: Classes, anomaly: Classes, default: Classes) -> Split:
    """Train on the normal rows of the training part, test on the whole test part."""
    normals = normal_classes(name, set(held.classes.tolist()), normal, anomaly, default)
    parts = [(held.rows[part], held.classes[part]) for part in (slice(held.trained), slice(held.trained, None))]
    masks = None if held.masks is None else held.masks[held.trained :]
    return converted_split(official_split(name, *parts[0], *parts[1], normals, masks))


def _held_out(name: str, held: Labelled, normal: Classes, anomaly: Classes, share: float) -> Split:
    """A share of the normal rows is held out for the test, with all anomalies."""
    normals = normal_classes(name, set(held.classes.tolist()), normal, anomaly, CATALOGUE[name].normal)
    return held_out_split(name, held.rows, held.classes, normals, share)


def _idx_reader(name: str) -> Callable[[Path], Labelled]:
    def read(folder: Path) -> Labelled:
        files = idx_files(folder)
        if files is None:
            entry = CATALOGUE[name]
            raise DataError(f"{name}: none of its files is in {folder}; get {entry.files} from {entry.home}")
        return read_idx_set(files, CATALOGUE[name].checksums)

    return read


_READERS: dict[str, Callable[[Path], Labelled]] = {
    "mnist": _idx_reader("mnist"),
    "fashion-mnist": _idx_reader("fashion-mnist"),
    "thyroid": odds_reader("thyroid"),
    "arrhythmia": odds_reader("arrhythmia"),
    "kdd99": read_kdd99,
    "nsl-kdd": read_nsl_kdd,
    "cifar10": read_cifar10,
    "svhn": read_svhn,
}

_DIVIDERS: dict[Test, Callable[[str, Labelled, Classes, Classes], Split]] = {
    "published": _published,
    "half of normals": partial(_held_out, share=0.5),
    "fifth of normals": partial(_held_out, share=0.2),
    "half of rows": divided_kdd99,
}
