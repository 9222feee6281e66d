"""The results of an evaluation: plain frozen data, from which `oddgan.report` makes pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .. import show
from ..metrics import Estimate, Rates
from .latent import LatentMap

Group = Literal["most anomalous", "miss", "false alarm", "most normal", "random"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One test row kept as an example. `group`: what it is an example of; a row may be one of several.

    For a picture: `picture` and `reconstruction` (of the model's size; with a region of interest, of the picture's and
    black outside) are uint8 for display, (H, W) or (H, W, 3); `anomaly_map` (float32) and `mask` (bool) are (H, W) of
    the picture's size. The longest side is reduced to 768. A detector without anomaly maps gives no reconstruction and
    no map. For a table row: `columns`, the columns with the largest shares in the residual, largest first.
    """

    group: Group
    row: int
    name: str
    score: float
    p_value: float
    is_anomaly: bool
    label: bool | None = None
    kind: str | None = None
    picture: np.ndarray | None = None
    reconstruction: np.ndarray | None = None
    anomaly_map: np.ndarray | None = None
    mask: np.ndarray | None = None
    columns: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The test rows of one kind.

    `auroc` compares them with all normal rows, and is None for a normal kind; `flagged` is the share with the verdict
    "anomaly": detections, or false alarms for a normal kind.
    """

    kind: str
    is_anomaly: bool
    n: int
    n_flagged: int
    flagged: Estimate
    auroc: Estimate | None
    median_score: float


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What the same scores give at another threshold: the false-alarm rate that is asked for, and the shares of
    anomalous and of normal test rows that are then flagged, None where there are none."""

    requested: float
    detected: float | None
    false_alarms: float | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Evaluation:
    """What `evaluate` found. Arrays have one entry per test row, in the split's order.

    `estimates` has "auroc", "average_precision" and "auprc_trapezoid", and is empty unless there are normal and
    anomalous test rows. `rates` is None without labels. `pixel` has "pixel_auroc", "aupro_0.3" and "aupro_0.05", from
    `n_masks` masks, and is empty without masks.

    `false_alarm_rate` is what the threshold was set for; `false_alarm_range` holds the true rate for 9 of 10
    calibration sets of `n_calibrate` rows; `guarantee` says in full what is guaranteed. `map_threshold` is the value
    above which a place of an anomaly map is anomalous, None for maps without a scale; then `map_scale` is the value
    that heat maps show at full strength.
    `operating_points`: detections and false alarms at several rates that may be asked for; empty without labels.
    `rivals`: of pictures, what needs no detector: AUROC of "mean grey", "deviation" and "file size", each in its better
    direction. `skipped`: (name, reason) of what was left out since it cannot be used.
    `latent`: where rows are in the detector's features. `calibration` (k,): the scores of the calibration rows.
    `history` has one entry per epoch in each column: "stage", "epoch", "update", then every loss term as "PLAYER.term".
    """

    data: str
    note: str
    detector: Mapping[str, Any]
    names: tuple[str, ...]
    scores: np.ndarray
    p_values: np.ndarray
    is_anomaly: np.ndarray
    labels: np.ndarray | None
    kinds: tuple[str, ...] | None
    terms: Mapping[str, np.ndarray]
    estimates: Mapping[str, Estimate]
    rates: Rates | None
    by_kind: tuple[Kind, ...]
    pixel: Mapping[str, float]
    n_masks: int
    threshold: float
    false_alarm_rate: float
    false_alarm_range: tuple[float, float]
    n_calibrate: int
    guarantee: tuple[str, ...]
    history: Mapping[str, Sequence[Any]]
    warnings: tuple[str, ...]
    examples: tuple[Example, ...]
    map_scale: float
    map_threshold: float | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    rivals: Mapping[str, float] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    latent: LatentMap | None = None
    calibration: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __repr__(self) -> str:
        return show.text(*self._summary())

    def _repr_html_(self) -> str:
        points = [
            [
                f"{100 * one.requested:g} %",
                *("–" if v is None else f"{v:.1%}" for v in (one.false_alarms, one.detected)),
            ]
            for one in self.operating_points
        ]
        head = "false-alarm rate requested", "normal rows flagged", "anomalous rows detected"
        return show.html(*self._summary(), table=(head, points) if points else None)

    def plot(self, *, ax: Any = None) -> Any:
        """Draw scores, p-values of normals, what each false-alarm rate gives, and the curves, as far as labels allow.
        Returns an `oddgan.plot.EvaluationDisplay`. Raises `MissingExtra` without matplotlib."""
        return show.plots().EvaluationDisplay.from_evaluation(self, ax=ax)

    def _summary(self) -> tuple[str, Sequence[str], dict[str, Any]]:
        """Title, warnings and facts."""
        facts: dict[str, Any] = {name: str(area) for name, area in self.estimates.items()}
        if self.rates is not None:
            facts[f"at {self.false_alarm_rate:g} false alarms"] = (
                f"{self.rates.n_detected} of {self.rates.n_anomalous} anomalous rows detected, "
                f"{self.rates.n_false_alarms} of {self.rates.n_normal} normal rows flagged"
            )
        return f"Evaluation of {self.detector.get('detector', 'a detector')} on {self.data}", self.warnings, facts
