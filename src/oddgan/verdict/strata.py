"""Of which sort each row is."""

from typing import Any

import numpy as np

from ..errors import DataError
from .calibration import Calibration


def one_each(values: Any, n: int, name: str) -> np.ndarray | None:
    """Values as texts (n,), one for each row. Raises `DataError` where there are more or fewer."""
    if values is None:
        return None
    found = np.asarray(values, dtype=object)
    if found.shape != (n,):
        raise DataError(f"{name} has shape {found.shape}, and there are {n:,} rows: give one for each row")
    return found.astype(str)


def strata_of(calibration: Calibration, strata: Any, n: int) -> np.ndarray | None:
    """The strata of n rows as texts (n,). Warns of those that the calibration has no threshold for."""
    found, known = one_each(strata, n, "strata"), calibration.by_stratum
    if found is not None and (unknown := sorted(set(found.tolist()) - known.keys())):
        from ..cautions import CalibrationWarning, warn  # loads scikit-learn where that is installed

        warn(
            CalibrationWarning,
            "unknown-strata",
            f"there is no threshold for {len(unknown):,} strata, the first is {unknown[0]!r}; their rows are "
            "judged by the threshold of all: recalibrate with normal rows of them",
        )
    return found
