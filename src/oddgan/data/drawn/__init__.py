"""Data sets that oddgan draws itself: nothing to download, and no terms. They are made up and prove nothing about real
data; they are here to try things on.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import DataError, OutputError
from ...files import whole_file, whole_folder
from ..split import Labelled
from . import flows, tissue, washers

GOOD = "good"
CLASS = "class"
"""The column of a written table that holds the classes."""

Drawn = tuple[NDArray[np.uint8], NDArray[np.bool_]]  # a picture and its mask


def _all_washers() -> Labelled:
    """288 washers (128, 128, 3) uint8, 200 of them for training: `good` (240), and 12 of each kind of defect."""
    return _pictures(washers.washer, washers.KINDS, washers.TRAIN, washers.GOOD, washers.EACH)


def _all_sections() -> Labelled:
    """520 sections (64, 64) uint8, 400 of them for training: `good` (460), and 20 of each kind of lesion."""
    return _pictures(tissue.section, tissue.KINDS, tissue.TRAIN, tissue.GOOD, tissue.EACH)


def _all_flows() -> Labelled:
    """2,740 flows of 11 columns: `benign` (2,500), and 60 of each kind of attack."""
    rows, classes = flows.flows()
    return Labelled(rows=rows, classes=classes)


def _pictures(draw: Callable[[int, str], Drawn], kinds: tuple[str, ...], train: int, good: int, each: int) -> Labelled:
    classes = np.repeat([GOOD, *kinds], [train + good, *[each] * len(kinds)]).astype(np.str_)
    drawn = [draw(i, kind) for i, kind in enumerate(classes.tolist())]
    return Labelled(
        rows=np.stack([picture for picture, _ in drawn]),
        classes=classes,
        trained=train,
        masks=np.stack([mask for _, mask in drawn]),
    )


_READERS: dict[str, Callable[[], Labelled]] = {"washers": _all_washers, "tissue": _all_sections, "flows": _all_flows}
DRAWN = frozenset(_READERS)
"""The names of the sets."""


@lru_cache(maxsize=1)
def drawn(name: str) -> Labelled:
    """The set `name`, one of `DRAWN`: the same bits in every call, and everywhere. Its arrays are read-only."""
    from threadpoolctl import threadpool_limits  # oddgan-runtime comes without it

    with threadpool_limits(1, user_api="blas"):  # many small products: more threads wait for each other
        held = _READERS[name]()
    for array in (held.rows, held.masks):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return held


def write(name: str, place: Path) -> None:
    """Write a drawn set where a user can look at it: pictures as a folder in MVTec AD's layout, a table as a CSV file
    with the classes in the column `class`. Raises `DataError` where no drawn set has this name, and `OutputError` where
    `place` is taken."""
    if name not in DRAWN:
        raise DataError(f"{name}: is not drawn by oddgan, so it cannot be written; {', '.join(_READERS)} can")
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise OutputError(f"{place}: is there already; remove it or choose another place")
    held = drawn(name)
    if not isinstance(held.rows, np.ndarray) and place.suffix.lower() != ".csv":
        raise OutputError(f"{place}: {name} is a table; give the name of a file that ends in .csv")
    if isinstance(held.rows, np.ndarray):
        with whole_folder(place) as folder:
            _write_pictures(folder, held, held.rows)
        return
    rows, text = held.rows, io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*(rows.columns or ()), CLASS])
    columns = [rows.column(name).tolist() for name in rows.columns or ()]
    for *values, kind in zip(*columns, held.classes.tolist(), strict=True):
        table.writerow([*(_short(value) for value in values), kind])
    with whole_file(place) as file:
        file.write(text.getvalue().encode())


def _write_pictures(folder: Path, held: Labelled, pictures: NDArray[np.uint8]) -> None:
    assert held.masks is not None
    counts: Counter[str] = Counter()
    for i, kind in enumerate(held.classes.tolist()):
        part = "train" if i < held.trained else "test"
        number = counts[f"{part}/{kind}"]
        counts[f"{part}/{kind}"] += 1
        _save(pictures[i], folder / part / kind / f"{number:03}.png")
        if kind != GOOD:
            _save(held.masks[i] * np.uint8(255), folder / "ground_truth" / kind / f"{number:03}_mask.png")


def _save(picture: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, compress_level=1)


def _short(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
