"""Evaluation of a fitted detector on test rows: figures with intervals, figures by kind, and examples.

The test rows are read in chunks, and every figure comes from one pass. The detector is not changed: its threshold was
set on normal rows held out of training, before any test row was seen.
"""

from .comparison import Comparison, Contender, Spread, compare
from .judged import Recalibration, Scores, Training, calibration_of, judge, training_of
from .results import Evaluation, Example, Kind
from .run import evaluate

__all__ = [
    "Comparison",
    "Contender",
    "Evaluation",
    "Example",
    "Kind",
    "Recalibration",
    "Scores",
    "Spread",
    "Training",
    "calibration_of",
    "compare",
    "evaluate",
    "judge",
    "training_of",
]
