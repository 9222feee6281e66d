"""A stream of rows over time."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import DataError
from ..verdict.drift import LEVEL, Martingale
from . import palette
from .figures import Display, tidy
from .judged import detector_and_rows

LOWEST = -6.0  # power of ten of the martingale, below which nothing is shown


@dataclass(eq=False, kw_only=True, repr=False)
class DriftDisplay(Display):
    """The conformal martingale of a stream with its alarm line, the p-values that it bets on, and the scores.

    Attributes
    ----------
    scores : (n,) float64
        In the order of time.
    p_values : (n,) float64
        Of the martingale: each row beside the calibration rows and all rows before it.
    log10_value : (n,) float64
        The power of ten of the martingale after each row. It begins at 0.
    level : float
        The alarm is at 1 / level; a stream that does not change ever gets there with a probability of at most that.
    alarm : int or None
        The number of the row, from 1, at which it got there.
    threshold : float or None
    """

    scores: np.ndarray
    p_values: np.ndarray
    log10_value: np.ndarray
    level: float
    alarm: int | None
    threshold: float | None = None
    name: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, level: float = LEVEL, ax: Any = None) -> Self:
        """Score rows X, which are in the order of time, and draw."""
        estimator, X = detector_and_rows(estimator, X)
        scores = estimator.anomaly_score(X)
        return cls.from_predictions(
            scores,
            estimator.model_.calibration.scores,
            threshold=estimator.threshold_,
            level=level,
            name=type(estimator).__name__,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        scores: Any,
        calibration: Any,
        *,
        threshold: float | None = None,
        level: float = LEVEL,
        name: str = "",
        ax: Any = None,
    ) -> Self:
        """Draw scores (n,) in the order of time, beside the scores (m,) of calibration rows. Raises `DataError` where
        one is not finite."""
        scores, calibration = np.asarray(scores, np.float64), np.sort(np.asarray(calibration, np.float64))
        if not len(scores) or not np.isfinite(scores).all() or not len(calibration):
            raise DataError("scores: give one finite score at least, and scores of calibration rows")
        begin = Martingale.begin(calibration, level=level)
        p_values, log_value = begin.trace(scores, calibration)
        return cls(
            scores=scores,
            p_values=p_values,
            log10_value=log_value / np.log(10),
            level=level,
            alarm=begin.after(scores, calibration).alarm,
            threshold=threshold,
            name=name,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, one Axes or three, or in a new figure."""
        axes = self._panels(ax, 3, 1, (7.2, 6.4), height_ratios=[1.3, 1.0, 1.0])[:, 0]
        time, top = np.arange(1, len(self.scores) + 1), -np.log10(self.level)
        first, second, third = axes
        (self.line_,) = first.plot(
            np.append(0, time),
            np.append(0.0, np.maximum(self.log10_value, LOWEST)),
            color=palette.NORMAL,
            linewidth=1.6,
        )
        self.alarm_line_ = first.axhline(top, color=palette.ANOMALOUS, linestyle="--", linewidth=1.4)
        first.annotate(f"alarm at {1 / self.level:g}", (0, top), xytext=(4, 3), textcoords="offset points",
                       color=palette.ANOMALOUS, fontsize="small")  # fmt: skip
        first.axhline(0, color=palette.CHANCE, linestyle=":", linewidth=1.2)
        first.set_ylabel("martingale")
        low, high = min(-1.0, *first.get_ylim()), max(top + 0.6, float(self.log10_value.max()) * 1.05)
        first.set_ylim(low, high)
        step = max(1, round((high - low) / 5))
        ticks = [power for power in range(int(np.ceil(low)), int(high) + 1) if power % step == 0]
        first.set_yticks(ticks, labels=[f"$10^{{{power}}}$" if power else "1" for power in ticks])
        second.plot(time, self.p_values, ".", color=palette.NORMAL, markersize=3, alpha=0.6)
        second.set(ylabel="p-value", ylim=(-0.02, 1.02))
        second.axhline(0.5, color=palette.CHANCE, linestyle=":", linewidth=1.2)
        third.plot(time, self.scores, ".", color=palette.MUTED, markersize=3, alpha=0.7)
        if self.threshold is not None:
            over = self.scores > self.threshold
            third.plot(time[over], self.scores[over], "^", color=palette.ANOMALOUS, markersize=5)
            third.axhline(self.threshold, color=palette.THRESHOLD, linewidth=1.2)
            third.annotate(
                "threshold", (0, self.threshold), xytext=(4, 3), textcoords="offset points", fontsize="small"
            )
        third.set(ylabel="anomaly score", xlabel="row, in the order of time")
        for panel in axes:
            tidy(panel)
            panel.set_xlim(0, len(time))
            if self.alarm is not None:
                panel.axvline(self.alarm, color=palette.ANOMALOUS, linewidth=1, linestyle=":")
        for panel in axes[:-1]:
            panel.tick_params(labelbottom=False)
        said = "no alarm" if self.alarm is None else f"alarm at row {self.alarm:,}"
        first.set_title(": ".join(filter(None, [self.name, said])), loc="left", fontsize="medium")
        return self
