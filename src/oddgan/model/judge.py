"""What every fitted model can be asked, one of a single detector or one made of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from ..preprocessing import Preprocessor
from ..preprocessing.profile import Profile
from ..rows import Rows
from ..verdict import Calibration
from .explanation import Explanation

if TYPE_CHECKING:  # the state of a stream is kept without torch
    from torch import nn

    from ..training import History


class Judge(Protocol):
    """A fitted model: `Model`, or `oddgan.model.ensemble.EnsembleModel`. Nothing of it changes, and `replace` gives
    another."""

    @property
    def net(self) -> nn.ModuleDict:
        """The networks by name."""

    @property
    def preprocessor(self) -> Preprocessor:
        """From rows to parts; it says which rows the model takes."""

    @property
    def calibration(self) -> Calibration:
        """Scores of held-out normals and the false-alarm rate."""

    @property
    def history(self) -> History:
        """Every loss term by epoch."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """About the training."""

    @property
    def trained_on(self) -> np.ndarray:
        """Fingerprints of the training rows, (n,) uint64."""

    @property
    def profile(self) -> Profile | None:
        """What training rows looked like."""

    @property
    def map_threshold(self) -> float | None:
        """Above this value a place of an anomaly map of a picture is anomalous; None where maps have no scale."""

    @property
    def scored_by_peak(self) -> bool:
        """Whether the score is the peak of the map."""

    def score(self, rows: Rows) -> np.ndarray:
        """The anomaly score of each row, (n,) float64."""

    def explain(self, rows: Rows) -> Explanation:
        """Everything about each row."""

    def shares(self, rows: Rows) -> tuple[np.ndarray, np.ndarray | None]:
        """Of a table's rows: score (n,) and each column's share of it (n, k), or None."""

    def features(self, rows: Rows) -> np.ndarray:
        """Features of each row as vectors (n, k) float32."""

    def generate(self, n: int, seed: int) -> np.ndarray:
        """n new rows, in the user's units."""

    def recalibrated(self, rows: Rows, rate: Any, *, groups: Any = None, strata: Any = None) -> Self:
        """Another model with a threshold from these normals, at `rate` or, where it is None, as before."""

    def replace(self, **changes: Any) -> Self:
        """Another model that differs in `false_alarm_rate`, `block_size` or `convert`."""
