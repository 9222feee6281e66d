"""Readers of public tables: KDD Cup 1999, NSL-KDD, and tables of ODDS."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..rows.array_files import checked
from ..rows.csv_files import CsvFile
from .catalogue import CATALOGUE
from .split import Labelled, Split, hold_out, normal_classes, official_split

if TYPE_CHECKING:
    from ..rows.tables import Kind, TableRows

KDD99 = CATALOGUE["kdd99"]
KDD99_FILE = KDD99.files.removesuffix(".gz")
KDD99_SUM = KDD99.checksums[KDD99_FILE]
KDD99_CATEGORIES = KDD99.categories
NSL_KDD_FILES = CATALOGUE["nsl-kdd"].counts
ODDS_SUMS = {name: CATALOGUE[name].checksums[f"{name}.mat"] for name in ("thyroid", "arrhythmia")}


def divided_kdd99(
    name: str, all_rows: Labelled, normal: Collection[str] | None, anomaly: Collection[str] | None
) -> Split:
    """The 10 percent set as the literature uses it: attacks are normal, and the class `normal.` is the anomaly. A fixed
    half of all rows is for training, without its anomalies; the other half is for the test."""
    rows, classes = all_rows.rows, all_rows.classes
    known = set(classes.tolist())
    usual = known - set(KDD99.anomaly or ())
    normals = normal_classes(name, known, normal, anomaly, usual)
    train, test = hold_out(len(rows), 0.5)
    split = official_split(name, rows[train], classes[train], rows[test], classes[test], normals)
    summary = split.note
    if normals == usual:
        summary = f"{summary.partition('; normal: ')[0]}; normal: every class but normal."
    note = f"{summary}; a fixed half of the rows is for the test, most of whose attacks are copies of training rows"
    return replace(split, note=note)


def read_kdd99(folder: Path) -> Labelled:
    """All 494,021 rows of the 10 percent set with their classes, "normal.", "smurf." and so on. Raises `DataError`
    unless the file is the published one."""
    path = next((one for one in (folder / f"{KDD99_FILE}.gz", folder / KDD99_FILE) if one.exists()), None)
    if path is None:
        raise DataError(f"kdd99: {folder / KDD99_FILE}.gz is missing; get it from {KDD99.home}")
    if _sum_of(path) != KDD99_SUM:
        raise DataError(f"{path}: is not the published file (its checksum differs); download it again")
    return Labelled(**_kdd_rows(path))


def read_nsl_kdd(folder: Path) -> Labelled:
    """NSL-KDD: 125,973 training rows and 22,544 test rows, with their classes, "normal", "neptune" and so on.

    No checksums were published, so the files are recognised by their names and numbers of rows.
    """
    parts = []
    for name, count in NSL_KDD_FILES.items():
        path = folder / name
        if not path.exists():
            raise DataError(f"nsl-kdd: {path} is missing; get it from {CATALOGUE['nsl-kdd'].home}")
        parts.append(_kdd_rows(path, ("difficulty",)))
        if len(parts[-1]["rows"]) != count:
            raise DataError(
                f"{path}: holds {len(parts[-1]['rows']):,} rows, not the {count:,} published; download it again"
            )
    (train, test) = parts
    return Labelled(
        rows=stacked(train["rows"], test["rows"]),
        classes=np.concatenate([train["classes"], test["classes"]]),
        trained=len(train["rows"]),
    )


def _kdd_rows(path: Path, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """The rows and classes of a file in the format of KDD Cup 1999, which has no header."""
    file = CsvFile(path, (*KDD99.columns, "class", *more))
    kinds: dict[str, Kind] = dict.fromkeys((*KDD99.columns, *more), "number")
    kinds |= dict.fromkeys((*KDD99_CATEGORIES, "class"), "category")
    rows = file.whole(file.columns, kinds)
    return {"rows": rows.without(["class", *more]), "classes": rows.column("class").astype(np.str_)}


def stacked(first: "TableRows", second: "TableRows") -> "TableRows":
    """The rows of two tables with the same columns, one after the other."""
    from ..rows.tables import TableRows

    values, texts = np.array(second.values), list(first.texts)
    for i, own in enumerate(second.texts):
        if own:
            texts[i] = first.texts[i] + tuple(text for text in own if text not in first.texts[i])
            places = np.array([texts[i].index(text) for text in own], dtype=values.dtype)
            known = ~np.isnan(values[:, i])
            values[known, i] = places[values[known, i].astype(int)]
    return TableRows(np.concatenate([first.values, values]), first.columns, first.kinds, tuple(texts))


def odds_reader(name: str) -> Callable[[Path], Labelled]:
    """The reader of a table of ODDS in MATLAB's format: X (n, d), and y with 1 for an anomaly."""
    entry = CATALOGUE[name]
    shape, anomalies = (entry.rows, *entry.shape), entry.anomalies

    def read(folder: Path) -> Labelled:
        from scipy.io import loadmat

        path = folder / f"{name}.mat"
        try:
            content = path.read_bytes()
            held = loadmat(io.BytesIO(content))
            rows, labels = np.asarray(held["X"]), np.asarray(held["y"]).ravel()
        except FileNotFoundError:
            raise DataError(f"{name}: {path} is missing; oddgan datasets says where to get it") from None
        except PermissionError:
            raise DataError(f"{path}: may not be read (permission denied); give read permission") from None
        except Exception as error:  # scipy's reader raises many types on damaged files
            raise DataError(f"{path}: is damaged or not a file of this set ({error}); download it again") from error
        if rows.shape != shape or labels.shape != shape[:1] or int((labels == 1).sum()) != anomalies:
            raise DataError(
                f"{path}: is not the published set of {shape} with {anomalies} anomalies; download it again"
            )
        if hashlib.sha256(content).hexdigest() != ODDS_SUMS[name]:
            raise DataError(f"{path}: is not the published file (its checksum differs); download it again")
        classes = np.where(labels == 1, "anomaly", "normal")
        return Labelled(rows=checked(rows, str(path)).astype(np.float64), classes=classes)

    return read


def _sum_of(path: Path) -> str:
    total = hashlib.sha256()
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged or truncated ({error}); download it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    return total.hexdigest()
