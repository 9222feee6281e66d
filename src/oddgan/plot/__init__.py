"""Plots, in scikit-learn's convention of displays: a class for each, whose data are attributes.

    oddgan.plot.AnomalyMapDisplay.from_estimator(detector, pictures, i=3)
    oddgan.plot.RocCurveDisplay.from_estimator(detector, pictures, labels, ax=ax)

`from_estimator` takes a fitted detector; `from_predictions`, `from_explanation` and the like take figures alone.
Both draw at once, `plot(ax=)` draws again. A display of several panels takes one Axes, which it divides, or as many
Axes as it has panels. matplotlib (extra ``plot``) is imported when something is drawn; without `ax` the figure is one
of pyplot's, to be shown by `plt.show()` or by a notebook.
"""

from .alarms import FalseAlarmsDisplay
from .curves import PrecisionRecallDisplay, RocCurveDisplay
from .drift import DriftDisplay
from .embedding import EmbeddingDisplay
from .generated import LatentWalkDisplay, SamplesDisplay
from .overview import EvaluationDisplay
from .pictures import AnomalyMapDisplay
from .scores import OperatingDisplay, PValueDisplay, ScoreHistogramDisplay
from .searching import SearchDisplay
from .tables import ColumnsDisplay
from .training import TrainingDisplay

__all__ = [
    "AnomalyMapDisplay",
    "ColumnsDisplay",
    "DriftDisplay",
    "EmbeddingDisplay",
    "EvaluationDisplay",
    "FalseAlarmsDisplay",
    "LatentWalkDisplay",
    "OperatingDisplay",
    "PValueDisplay",
    "PrecisionRecallDisplay",
    "RocCurveDisplay",
    "SamplesDisplay",
    "ScoreHistogramDisplay",
    "SearchDisplay",
    "TrainingDisplay",
]
