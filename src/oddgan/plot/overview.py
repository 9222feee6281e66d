"""An evaluation at a glance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from ..evaluation import Evaluation
from .curves import PrecisionRecallDisplay, RocCurveDisplay
from .figures import Display
from .scores import OperatingDisplay, PValueDisplay, ScoreHistogramDisplay


@dataclass(eq=False, kw_only=True, repr=False)
class EvaluationDisplay(Display):
    """Scores, p-values of normals, false alarms and catches, and the curves: of labelled rows; of others, the scores.

    Attributes
    ----------
    evaluation : Evaluation
    displays_ : dict of str to display
        Once drawn: "scores" and, of labelled rows, "p-values", "operating", "roc", "precision-recall", as far as there
        are normal and anomalous ones.
    """

    evaluation: Evaluation

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation, *, ax: Any = None) -> Self:
        """Draw what `oddgan.evaluate` found."""
        return cls(evaluation=evaluation).plot(ax)

    @property
    def panels(self) -> tuple[str, ...]:
        """What there is to show."""
        marks = self.evaluation.labels
        if marks is None:
            return ("scores",)
        normal = ("p-values",) if not marks.all() else ()
        both = ("roc", "precision-recall") if marks.any() and not marks.all() else ()
        return "scores", *normal, "operating", *both

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, one Axes or one for each of `panels`, or in a new figure."""
        found, names = self.evaluation, self.panels
        axes = self._grid(ax, len(names), 2, (6.0, 4.1))
        draw: dict[str, Callable[[Any], Any]] = {
            "scores": lambda ax: ScoreHistogramDisplay.from_estimator(None, found, ax=ax),
            "p-values": lambda ax: PValueDisplay.from_estimator(None, found, ax=ax),
            "operating": lambda ax: OperatingDisplay.from_estimator(None, found, ax=ax),
            "roc": lambda ax: RocCurveDisplay.from_estimator(None, found, ax=ax),
            "precision-recall": lambda ax: PrecisionRecallDisplay.from_estimator(None, found, ax=ax),
        }
        self.displays_ = {name: draw[name](panel) for name, panel in zip(names, axes, strict=True)}
        return self
