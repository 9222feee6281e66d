"""Public tables whose columns have names: KDD Cup 1999, and what comes with scikit-learn."""

import gzip
import hashlib
import zlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .csv_files import CsvFile
from .split import Split, hold_out, normal_classes, official_split

if TYPE_CHECKING:
    from ..preprocessing.table_rows import Kind, TableRows

KDD99_FILE = "kddcup.data_10_percent"
KDD99_HOME = "http://kdd.ics.uci.edu/databases/kddcup99/kddcup99.html"
KDD99_SUM = "f8c8267ebcd9c0ed1fd7d6277fe5bfff8732e9b7db8e61b873542b2a534b6f9a"
"""SHA-256 of the unpacked file."""

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


def load_kdd99(folder: Path, normal: Collection[str] | None, anomaly: Collection[str] | None) -> Split:
    """The 10 percent set as the literature has it: attacks are what is usual and `normal.` is the anomaly; half of all
    rows are for training (their attacks alone), the other half for the test. The halves are drawn once and for ever."""
    rows, classes = read_kdd99(folder)
    known = set(classes.tolist())
    normals = normal_classes("kdd99", known, normal, anomaly, known - {"normal."})
    train, test = hold_out(len(rows), 0.5)
    split = official_split("kdd99", rows[train], classes[train], rows[test], classes[test], normals)
    if normals == known - {"normal."}:
        said = split.note.partition("; normal: ")[0] + "; normal: every class but normal."
    else:
        said = split.note
    note = f"{said}; a fixed half of the rows is for the test, most of whose attacks are copies of training rows"
    return replace(split, note=note)


def read_kdd99(folder: Path) -> "tuple[TableRows, NDArray[np.str_]]":
    """All 494,021 rows of the 10 percent set and their classes, "normal.", "smurf." and so on. Raises `DataError`
    unless the file is the one that was published."""
    path = next((one for one in (folder / f"{KDD99_FILE}.gz", folder / KDD99_FILE) if one.exists()), None)
    if path is None:
        raise DataError(f"kdd99: {folder / KDD99_FILE}.gz is missing; get it from {KDD99_HOME}")
    if _sum_of(path) != KDD99_SUM:
        raise DataError(f"{path}: is not the file that was published (its checksum differs); fetch it again")
    file = CsvFile(path, (*KDD99_COLUMNS, "class"))
    kinds: dict[str, Kind] = dict.fromkeys(KDD99_COLUMNS, "number")
    kinds |= dict.fromkeys((*KDD99_CATEGORIES, "class"), "category")
    rows = file.whole(file.columns, kinds)
    return rows.without(["class"]), rows.column("class").astype(np.str_)


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


def breast_cancer() -> "tuple[TableRows, NDArray[np.str_]]":
    """569 rows of 30 numbers: `benign` (357) and `malignant` (212)."""
    from sklearn.datasets import load_breast_cancer

    return _of_scikit_learn(load_breast_cancer())


def wine() -> "tuple[TableRows, NDArray[np.str_]]":
    """178 rows of 13 numbers, of three growers: `class_0` (59), `class_1` (71), `class_2` (48)."""
    from sklearn.datasets import load_wine

    return _of_scikit_learn(load_wine())


def _of_scikit_learn(held: Any) -> "tuple[TableRows, NDArray[np.str_]]":
    from ..preprocessing.table_rows import TableRows

    rows = TableRows(held.data, tuple(map(str, held.feature_names)))
    return rows, np.asarray(held.target_names)[held.target].astype(np.str_)
