"""scikit-learn's displays of ROC and precision-recall curves, for detectors. Its own `from_estimator` refuses outlier
detectors."""

from typing import Any

from sklearn import metrics

from . import palette
from .figures import require, tidy
from .judged import Judged, labels_of


class _Curve:
    """What both curves have in common: labels say anomalous or normal, scores are anomaly scores."""

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, *, ax: Any = None, **kwargs: Any) -> Any:
        """Score rows X with labels `y` (n,), true or nonzero for anomalies (or 1 and -1, as `predict` has them), or
        take an `Evaluation`, and draw. `kwargs`: as scikit-learn's `from_predictions` has them. Raises `DataError`
        where rows are all of one class."""
        found = Judged.of(estimator, X, y)
        kwargs.setdefault("name", found.name)
        return cls.from_predictions(found.marks, found.scores, ax=ax, **kwargs)

    @classmethod
    def from_predictions(cls, y_true: Any, y_score: Any = None, **kwargs: Any) -> Any:
        """Draw labels and anomaly scores (n,), higher for anomalies. `kwargs`: as scikit-learn has them."""
        require()
        kwargs.setdefault("plot_chance_level", True)
        kwargs.setdefault("chance_level_kw", {"color": palette.CHANCE, "linestyle": ":"})
        display = super().from_predictions(labels_of(y_true, len(y_true)), y_score, **kwargs)  # type: ignore[misc]
        display.line_.set(color=palette.NORMAL, linewidth=1.8)
        display.ax_.legend(frameon=False, loc="best")
        tidy(display.ax_)
        return display


class RocCurveDisplay(_Curve, metrics.RocCurveDisplay):  # type: ignore[misc]  # scikit-learn is not typed
    """scikit-learn's display of the ROC curve, whose `from_estimator` takes detectors: anomalies caught along false
    alarms, and the area (AUROC), 0.5 by chance. Its attributes are scikit-learn's: `fpr`, `tpr`, `roc_auc`, `ax_`,
    `figure_`, `line_`."""

    @classmethod
    def from_predictions(cls, y_true: Any, y_score: Any = None, **kwargs: Any) -> Any:
        """Draw labels and anomaly scores (n,), higher for anomalies. `kwargs`: as scikit-learn has them."""
        display = super().from_predictions(y_true, y_score, **kwargs)
        display.ax_.set(xlabel="false-alarm rate (share of normal rows)", ylabel="detection rate (share of anomalies)")
        return display


class PrecisionRecallDisplay(_Curve, metrics.PrecisionRecallDisplay):  # type: ignore[misc]
    """scikit-learn's display of the precision-recall curve, whose `from_estimator` takes detectors: the share of
    anomalies among flagged rows along the share that is caught. Chance is the share of anomalies among all rows. Its
    attributes are scikit-learn's: `precision`, `recall`, `average_precision`, `ax_`, `figure_`, `line_`."""

    @classmethod
    def from_predictions(cls, y_true: Any, y_score: Any = None, **kwargs: Any) -> Any:
        """Draw labels and anomaly scores (n,), higher for anomalies. `kwargs`: as scikit-learn has them."""
        display = super().from_predictions(y_true, y_score, **kwargs)
        display.ax_.set(xlabel="detection rate (recall)", ylabel="precision (share of flagged rows that are anomalies)")
        return display
