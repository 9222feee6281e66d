"""Public tables: KDD Cup 1999, NSL-KDD, and tables of ODDS."""

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
from .split import Labelled, Split, hold_out, normal_classes, official_split

if TYPE_CHECKING:
    from ..rows.tables import Kind, TableRows

KDD99_FILE = "kddcup.data_10_percent"
KDD99_HOME = "http://kdd.ics.uci.edu/databases/kddcup99/kddcup99.html"
KDD99_SUM = "f8c8267ebcd9c0ed1fd7d6277fe5bfff8732e9b7db8e61b873542b2a534b6f9a"
"""SHA-256 of the unpacked file."""

NSL_KDD_HOME = "https://www.unb.ca/cic/datasets/nsl.html"
NSL_KDD_FILES = {"KDDTrain+.txt": 125_973, "KDDTest+.txt": 22_544}
"""The files and their numbers of rows, training part first."""

ODDS_SUMS = {
    "arrhythmia": "e4d47e499591ae31e5d7f0cd983367092353eac240f48e14c9b36457edb3460d",
    "thyroid": "49155d7861b977e90808faf68343ff67a67f63090c2744d514dbb67ac68e7e33",
}
"""SHA-256 of the files."""

KDD99_CATEGORIES = ("protocol_type", "service", "flag", "land", "logged_in", "is_host_login", "is_guest_login")
"""The columns that the literature turns into columns of 0 and 1."""

# fmt: off
KDD99_COLUMNS = (
    "duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land", "wrong_fragment", "urgent",
    "hot", "num_failed_logins", "logged_in", "num_compromised", "root_shell", "su_attempted", "num_root",
    "num_file_creations", "num_shells", "num_access_files", "num_outbound_cmds", "is_host_login", "is_guest_login",
    "count", "srv_count", "serror_rate", "srv_serror_rate", "rerror_rate", "srv_rerror_rate", "same_srv_rate",
    "diff_srv_rate", "srv_diff_host_rate", "dst_host_count", "dst_host_srv_count", "dst_host_same_srv_rate",
    "dst_host_diff_srv_rate", "dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate", "dst_host_serror_rate",
    "dst_host_srv_serror_rate", "dst_host_rerror_rate", "dst_host_srv_rerror_rate",
)
# fmt: on


def divided_kdd99(
    name: str, all_rows: Labelled, normal: Collection[str] | None, anomaly: Collection[str] | None
) -> Split:
    """The 10 percent set as the literature has it: attacks are what is usual and `normal.` is the anomaly; half of all
    rows are for training (their attacks alone), the other half for the test. The halves are drawn once and for ever."""
    rows, classes = all_rows.rows, all_rows.classes
    known = set(classes.tolist())
    normals = normal_classes(name, known, normal, anomaly, known - {"normal."})
    train, test = hold_out(len(rows), 0.5)
    split = official_split(name, rows[train], classes[train], rows[test], classes[test], normals)
    if normals == known - {"normal."}:
        said = split.note.partition("; normal: ")[0] + "; normal: every class but normal."
    else:
        said = split.note
    note = f"{said}; a fixed half of the rows is for the test, most of whose attacks are copies of training rows"
    return replace(split, note=note)


def read_kdd99(folder: Path) -> Labelled:
    """All 494,021 rows of the 10 percent set and their classes, "normal.", "smurf." and so on. Raises `DataError`
    unless the file is the one that was published."""
    path = next((one for one in (folder / f"{KDD99_FILE}.gz", folder / KDD99_FILE) if one.exists()), None)
    if path is None:
        raise DataError(f"kdd99: {folder / KDD99_FILE}.gz is missing; get it from {KDD99_HOME}")
    if _sum_of(path) != KDD99_SUM:
        raise DataError(f"{path}: is not the file that was published (its checksum differs); fetch it again")
    return Labelled(**_kdd_rows(path))


def read_nsl_kdd(folder: Path) -> Labelled:
    """NSL-KDD: 125,973 rows to train on and 22,544 for the test, and their classes, "normal", "neptune" and so on.

    No checksum of its files was published; they are known by their names and their numbers of rows.
    """
    parts = []
    for name, count in NSL_KDD_FILES.items():
        path = folder / name
        if not path.exists():
            raise DataError(f"nsl-kdd: {path} is missing; get it from {NSL_KDD_HOME}")
        parts.append(_kdd_rows(path, ("difficulty",)))
        if len(parts[-1]["rows"]) != count:
            raise DataError(
                f"{path}: holds {len(parts[-1]['rows']):,} rows, not the {count:,} published; fetch it again"
            )
    (train, test) = parts
    return Labelled(
        rows=stacked(train["rows"], test["rows"]),
        classes=np.concatenate([train["classes"], test["classes"]]),
        trained=len(train["rows"]),
    )


def _kdd_rows(path: Path, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """The rows and classes of a file in the form of KDD Cup 1999, which names no columns."""
    file = CsvFile(path, (*KDD99_COLUMNS, "class", *more))
    kinds: dict[str, Kind] = dict.fromkeys((*KDD99_COLUMNS, *more), "number")
    kinds |= dict.fromkeys((*KDD99_CATEGORIES, "class"), "category")
    rows = file.whole(file.columns, kinds)
    return {"rows": rows.without(["class", *more]), "classes": rows.column("class").astype(np.str_)}


def stacked(first: "TableRows", second: "TableRows") -> "TableRows":
    """The rows of two tables with the same columns, one after the other."""
    from ..rows.tables import TableRows

    values, texts = second.values.copy(), list(first.texts)
    for i, own in enumerate(second.texts):
        if own:
            texts[i] = first.texts[i] + tuple(text for text in own if text not in first.texts[i])
            places = np.array([texts[i].index(text) for text in own], dtype=values.dtype)
            known = ~np.isnan(values[:, i])
            values[known, i] = places[values[known, i].astype(int)]
    return TableRows(np.concatenate([first.values, values]), first.columns, first.kinds, tuple(texts))


def odds_reader(name: str, shape: tuple[int, int], anomalies: int) -> Callable[[Path], Labelled]:
    """A table of ODDS in MATLAB's format: X (n, d), and y with 1 for an anomaly."""

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
        except Exception as error:  # scipy's reader raises many kinds on damaged files
            raise DataError(f"{path}: is damaged or not a file of this set ({error}); fetch it again") from error
        if rows.shape != shape or labels.shape != shape[:1] or int((labels == 1).sum()) != anomalies:
            raise DataError(f"{path}: is not the published set of {shape} with {anomalies} anomalies; fetch it again")
        if hashlib.sha256(content).hexdigest() != ODDS_SUMS[name]:
            raise DataError(f"{path}: is not the file that was published (its checksum differs); fetch it again")
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
        raise DataError(f"{path}: the gzip file is damaged or cut short ({error}); fetch it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    return total.hexdigest()
