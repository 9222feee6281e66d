"""Data sets that come with scikit-learn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .split import Held

if TYPE_CHECKING:
    from ..rows.tables import TableRows


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A set that comes with scikit-learn; `normal`: what is normal unless it is said."""

    kind: str
    rows: int
    shape: tuple[int, ...]
    read: Callable[[], tuple[Held, NDArray[np.str_]]]
    normal: frozenset[str] | None
    how: str


def _digit_rows() -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # float32, for as uint8 their 0 to 16 would count as nearly black.
    return digits.images.astype(np.float32), digits.target.astype(np.str_)


def breast_cancer() -> "tuple[TableRows, NDArray[np.str_]]":
    """569 rows of 30 numbers: `benign` (357) and `malignant` (212)."""
    from sklearn.datasets import load_breast_cancer

    return _of_scikit_learn(load_breast_cancer())


def wine() -> "tuple[TableRows, NDArray[np.str_]]":
    """178 rows of 13 numbers, of three growers: `class_0` (59), `class_1` (71), `class_2` (48)."""
    from sklearn.datasets import load_wine

    return _of_scikit_learn(load_wine())


def _of_scikit_learn(held: Any) -> "tuple[TableRows, NDArray[np.str_]]":
    from ..rows.tables import TableRows

    rows = TableRows(held.data, tuple(map(str, held.feature_names)))
    return rows, np.asarray(held.target_names)[held.target].astype(np.str_)


BUILT_IN: dict[str, BuiltIn] = {
    "digits": BuiltIn(
        kind="pictures",
        rows=1797,
        shape=(8, 8),
        read=_digit_rows,
        normal=None,
        how="choose the classes with normal or anomaly",
    ),
    "breast-cancer": BuiltIn(
        kind="table",
        rows=569,
        shape=(30,),
        read=breast_cancer,
        normal=frozenset({"benign"}),
        how="benign is normal",
    ),
    "wine": BuiltIn(
        kind="table",
        rows=178,
        shape=(13,),
        read=wine,
        normal=frozenset({"class_1"}),
        how="class_1, the largest, is normal",
    ),
}
