"""Data sets that come with scikit-learn."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .split import Held

if TYPE_CHECKING:
    from ..rows.tables import TableRows


def digits() -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """1,797 pictures (8, 8) float32 with values 0 to 16; the classes are the digits."""
    from sklearn.datasets import load_digits

    held = load_digits()
    # As uint8, values of 0 to 16 would count as nearly black.
    return held.images.astype(np.float32), held.target.astype(np.str_)


def breast_cancer() -> "tuple[TableRows, NDArray[np.str_]]":
    """569 rows of 30 numbers: `benign` (357) and `malignant` (212)."""
    from sklearn.datasets import load_breast_cancer

    return _of_scikit_learn(load_breast_cancer())


def wine() -> "tuple[TableRows, NDArray[np.str_]]":
    """178 rows of 13 numbers, from three growers: `class_0` (59), `class_1` (71), `class_2` (48)."""
    from sklearn.datasets import load_wine

    return _of_scikit_learn(load_wine())


def _of_scikit_learn(held: Any) -> "tuple[TableRows, NDArray[np.str_]]":
    from ..rows.tables import TableRows

    rows = TableRows(held.data, tuple(map(str, held.feature_names)))
    return rows, np.asarray(held.target_names)[held.target].astype(np.str_)


READERS: dict[str, Callable[[], tuple[Held, NDArray[np.str_]]]] = {
    "digits": digits,
    "breast-cancer": breast_cancer,
    "wine": wine,
}
"""The rows and the class of each row, by the set's name."""
