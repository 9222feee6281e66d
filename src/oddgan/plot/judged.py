"""What plots of scores need: of a detector and rows, or of an evaluation."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, ParameterError
from ..evaluation import Evaluation
from ..verdict import Calibration


def detector_and_rows(estimator: Any, X: Any) -> tuple[Any, Any]:
    """A detector and what it is given: of a scikit-learn `Pipeline` its last step, and X as the steps before pass it
    on. Raises `ParameterError` for anything that is no detector of oddgan's."""
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, Pipeline):
        X, estimator = estimator[:-1].transform(X) if len(estimator) > 1 else X, estimator[-1]
    if not hasattr(estimator, "anomaly_score"):
        name = type(estimator).__name__
        raise ParameterError(f"{name}: is no detector of oddgan's; give its scores to from_predictions")
    return estimator, X


@dataclass(frozen=True, eq=False)
class Judged:
    """n rows that were scored. `labels` (n,) bool: which are anomalous, None where that is unknown; `calibration`:
    scores of held-out normals, None where an evaluation has kept only their number."""

    name: str
    scores: np.ndarray
    p_values: np.ndarray
    labels: np.ndarray | None
    threshold: float
    rate: float
    n_calibrate: int
    calibration: Calibration | None = None

    @classmethod
    def of(cls, detector: Any, X: Any, y: Any = None) -> "Judged":
        """Score X: rows with labels y, a `Split` with its own, or an `Evaluation`, which has all there is."""
        if isinstance(X, Evaluation):
            return cls(
                str(X.detector.get("detector", "detector")),
                X.scores,
                X.p_values,
                X.labels if y is None else labels_of(y, len(X.scores)),
                X.threshold,
                X.false_alarm_rate,
                X.n_calibrate,
                None if detector is None else detector.model_.calibration,
            )
        if type(X).__name__ == "Split" and hasattr(X, "test"):
            if X.test is None:
                raise DataError(f"{X.name}: there are no test rows to plot; give rows")
            X, y = X.test, X.labels if y is None else y
        detector, X = detector_and_rows(detector, X)
        scores = detector.anomaly_score(X)
        return cls(
            type(detector).__name__,
            scores,
            detector.p_value_of(scores),
            None if y is None else labels_of(y, len(scores)),
            detector.threshold_,
            detector.false_alarm_rate_,
            detector.n_calibrate_,
            detector.model_.calibration,
        )

    @property
    def marks(self) -> np.ndarray:
        """The labels. Raises `DataError` where there are none, or only of one class."""
        if self.labels is None:
            raise DataError("y: give a label for each row, true or nonzero for anomalies")
        if self.labels.all() or not self.labels.any():
            raise DataError(f"y: all rows are {'anomalous' if self.labels.all() else 'normal'}; give rows of both")
        return self.labels


def labels_of(y: Any, n: int) -> np.ndarray:
    """Which of n rows are anomalous, (n,) bool: those with a label that is true or not zero. Labels of 1 and -1 are
    what `predict` gives: -1 is anomalous. Where all are 1, they count as true: all rows are anomalous. Raises
    `DataError`."""
    labels = np.asarray(y)
    if labels.shape != (n,):
        raise DataError(f"y has shape {labels.shape}, and there are {n:,} rows: give one label for each")
    if labels.dtype == object:
        try:
            labels = labels.astype(np.float64)
        except (TypeError, ValueError):
            raise DataError(
                f"y holds {str(labels[0])!r}: give true or nonzero for anomalies, false or 0 for normals"
            ) from None
    if labels.dtype.kind not in "biuf":
        raise DataError(f"y holds {str(labels[0])!r}: give true or nonzero for anomalies, for instance y != 'good'")
    if np.isnan(labels.astype(np.float64)).any():
        raise DataError("y holds NaN: give a label for each row, or leave rows out that have none")
    if (labels.astype(np.float64) < 0).any():
        if set(np.unique(labels).tolist()) - {-1, 1}:
            raise DataError("y holds negative labels beside others: give 0 and 1, or 1 and -1 as predict does")
        return np.asarray(labels == -1)
    return np.asarray(labels != 0)


def p_values_of(p_values: Any) -> np.ndarray:
    """p-values (n,) float64. Raises `DataError` for other numbers."""
    found = np.asarray(p_values, np.float64)
    if found.ndim != 1 or not ((found > 0) & (found <= 1)).all():
        raise DataError("p_values: give one number above 0 and up to 1 for each row, as p_value does")
    return found


def count_of(n_calibrate: Any) -> int:
    """A number of calibration rows. Raises `DataError` for less than one."""
    if int(n_calibrate) < 1:
        raise DataError(f"n_calibrate={n_calibrate}: give the number of calibration rows, 1 at least")
    return int(n_calibrate)
