"""What a threshold makes of a few known anomalies. They choose nothing: the rate is that of normals."""

import math
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..metrics import wilson


@dataclass(frozen=True, eq=False)
class KnownDefects:
    """Conformal p-values (n,) float64 of known anomalies, and the false-alarm `rate` in force."""

    p_values: np.ndarray
    rate: float

    def __post_init__(self) -> None:
        if not len(self.p_values):
            raise DataError("n_samples = 0: there are no known defects to judge")

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.p_values)

    @property
    def n_caught(self) -> int:
        """How many are called anomalies."""
        return int((self.p_values <= self.rate + 1e-12).sum())

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 percent interval of the share of such defects that is caught."""
        found = wilson(self.n_caught, self.n)
        return found.low, found.high

    def rate_for(self, share: float) -> float:
        """The lowest false-alarm rate at which this share of them, above 0 and up to 1, is caught. A rate that is
        chosen so promises nothing about other defects; what it costs, its share of normals, holds."""
        if not 0 < share <= 1:
            raise DataError(f"share={share!r}: give a share above 0 and up to 1")
        return float(np.sort(self.p_values)[math.ceil(share * self.n - 1e-9) - 1])
