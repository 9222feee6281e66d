"""The "Classical" tables of ADBench (Han et al., NeurIPS 2022), read from the folder ODDGAN_DATA; never downloaded."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..data import Labelled
from ..data.public import data_folder
from ..errors import DataError
from ..rows.array_files import checked, read_npz

FOLDERS = ("adbench", "adbench-dev")
"""Under ODDGAN_DATA; a table is read from the first that holds it."""

GET = "adbench/datasets/Classical of https://github.com/Minqi824/ADBench"


def read(name: str) -> Labelled:
    """The table `name` ("cardio" is 6_cardio.npz, in any case), with the classes "normal" and "anomaly".

    Raises `DataError` where there is no such file, or where it does not hold rows X and labels y of 0 and 1.
    """
    root = data_folder()
    if root is None:
        raise DataError(
            f"adbench: no folder of data sets is set; put the files of {GET} into FOLDER/{FOLDERS[0]} and set "
            "ODDGAN_DATA=FOLDER"
        )
    folders = [folder for folder in (root / one for one in FOLDERS) if folder.is_dir()]
    if not folders:
        raise DataError(f"adbench: not found; put the files of {GET} into {root / FOLDERS[0]}")
    files: dict[str, Path] = {}
    for folder in reversed(folders):
        files |= {path.stem.partition("_")[2].lower(): path for path in sorted(folder.glob("*_*.npz"))}
    path = files.get(name.lower())
    if path is None:
        raise DataError(
            f"adbench: no file of the table {name!r} is in {' or '.join(map(str, folders))}; put it there from {GET}, "
            f"or choose classes among {', '.join(sorted(files)) or 'none'}"
        )
    return _table(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _table(path: Path, changed: int) -> Labelled:
    del changed
    parts = read_npz(path)
    if not {"training rows", "labels"} <= parts.keys():
        raise DataError(f"{path}: does not hold rows X and labels y; get it again from {GET}")
    rows, labels = checked(parts["training rows"][1], f"{path}[X]"), parts["labels"][1].ravel()
    if rows.ndim != 2 or len(labels) != len(rows) or set(np.unique(labels).tolist()) != {0, 1}:
        raise DataError(
            f"{path}: X has shape {rows.shape}, and y must hold a 0 or 1 for each of its rows, and both of them; get "
            f"it again from {GET}"
        )
    return Labelled(rows=rows.astype(np.float64), classes=np.where(labels == 1, "anomaly", "normal"))
