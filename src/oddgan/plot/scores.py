"""Plots of scores and p-values."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import DataError
from ..metrics import wilson
from ..verdict import Calibration
from ..verdict.calibration import ROUNDING, rank_of
from ..verdict.uniformity import same_distribution
from . import palette
from .figures import Display, percent, tidy
from .judged import Judged, count_of, labels_of, p_values_of

BINS = 40
SQUEEZED = 0.15  # a threshold in this leftmost share of the width calls for a logarithmic scale
CERTAINTY = 0.95  # of bands
TICKS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
APART = 0.055  # share of the axis between two ticks of p-values at least


def _log_axis(ax: Any) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 times each power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def groups_of(labels: np.ndarray | None, n: int) -> dict[str, np.ndarray]:
    """Which rows (n,) bool are in each group: normal and anomalous ones, or all."""
    if labels is None:
        return {"all": np.ones(n, bool)}
    found = {"normal": ~labels, "anomalous": labels}
    return {name: rows for name, rows in found.items() if rows.any()}


@dataclass(eq=False, kw_only=True, repr=False)
class ScoreHistogramDisplay(Display):
    """How anomaly scores are distributed, beside the threshold, with p-values on a second axis.

    Attributes
    ----------
    scores : (n,) float64
    threshold : float
    labels : (n,) bool, optional
        Which rows are anomalous.
    calibration : Calibration, optional
        Scores of held-out normals, from which the scale of p-values is taken.
    edges, shares_ : (41,) float64, dict of str to (40,) float64
        Of the bars, once drawn: a group's shares add up to 1.
    """

    scores: np.ndarray
    threshold: float
    labels: np.ndarray | None = None
    calibration: Calibration | None = None
    name: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, *, ax: Any = None) -> Self:
        """Score rows X, or take an `Evaluation`, and draw. `y` (n,): true or nonzero for anomalies."""
        found = Judged.of(estimator, X, y)
        return cls(
            scores=found.scores,
            threshold=found.threshold,
            labels=found.labels,
            calibration=found.calibration,
            name=found.name,
        ).plot(ax)

    @classmethod
    def from_predictions(
        cls,
        scores: Any,
        threshold: float,
        labels: Any = None,
        calibration: Any = None,
        *,
        name: str = "",
        ax: Any = None,
    ) -> Self:
        """Draw scores (n,). `calibration`: scores (m,) of held-out normals, or a `Calibration`. Raises `DataError` for
        scores that are not finite."""
        scores = np.asarray(scores, np.float64)
        if scores.ndim != 1 or not scores.size:
            raise DataError(f"scores: have shape {scores.shape}; give one for each row, (n,)")
        if broken := int((~np.isfinite(scores)).sum()):
            raise DataError(f"scores: {broken} of {scores.size} are not finite")
        if not np.isfinite(threshold):
            raise DataError(f"threshold={threshold}: give a finite number")
        if calibration is not None and not isinstance(calibration, Calibration):
            calibration = Calibration.of(np.asarray(calibration, np.float64), "auto")
        marks = None if labels is None else labels_of(labels, len(scores))
        return cls(scores=scores, threshold=float(threshold), labels=marks, calibration=calibration, name=name).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, or in a new figure."""
        ax = self._single(ax)
        low, high = min(float(self.scores.min()), self.threshold), max(float(self.scores.max()), self.threshold)
        self.log_ = low > 0 and self.threshold - low < SQUEEZED * (high - low)
        if high - low <= 1e-9 * abs(high):
            low, high = low - 0.5, high + 0.5
        self.edges_ = np.geomspace(low, high, BINS + 1) if self.log_ else np.linspace(low, high, BINS + 1)
        self.edges_[[0, -1]] = low, high
        self.shares_ = {}
        for i, (name, rows) in enumerate(groups_of(self.labels, len(self.scores)).items()):
            count = int(rows.sum())
            share = np.histogram(self.scores[rows], self.edges_)[0] / count
            self.shares_[name] = share
            label = f"{name} ({count:,} row{'s' * (count != 1)})"
            colour = palette.of_group(name, i)
            ax.stairs(share, self.edges_, fill=True, color=colour, alpha=0.35)
            ax.stairs(share, self.edges_, color=colour, linewidth=1.6, label=label, linestyle="--" if i else "-")
        self.line_ = ax.axvline(
            self.threshold, color=palette.THRESHOLD, linewidth=1.5, label=f"threshold {self.threshold:.4g}"
        )
        if self.log_:
            _log_axis(ax)
        ax.set_xlim(low, high)
        ax.set_ylim(0, 1.08 * max(float(share.max()) for share in self.shares_.values()))
        ax.set(xlabel=f"anomaly score{' (logarithmic scale)' * self.log_}", ylabel="share of the group")
        percent(ax.yaxis)
        tidy(ax)
        ax.legend(frameon=False)
        self.p_axis_ = self._p_axis(ax) if self.calibration is not None else None
        if self.name:
            ax.set_title(self.name, loc="left")
        return self

    def _p_axis(self, ax: Any) -> Any:
        """A second axis above: the p-values of scores."""
        places = self.p_ticks(*ax.get_xlim())
        top = ax.secondary_xaxis("top")
        top.set_xticks([place for _, place in places], labels=[f"{p:g}" for p, _ in places])
        top.set_xticks([], minor=True)
        top.set_xlabel("p-value (share of normal rows that score as high)")
        return top

    def p_ticks(self, low: float, high: float) -> list[tuple[float, float]]:
        """p-values, and from which score on rows have them or smaller ones: those between two scores that are apart."""
        assert self.calibration is not None
        scale = np.log if self.log_ else np.asarray
        begin, end = scale(low), scale(high)
        found: list[tuple[float, float]] = []
        for p in TICKS[1:]:
            if rank_of(p, self.calibration.count) < 1:
                break
            at = self.calibration.with_rate(p).threshold
            if not low <= at <= high:
                continue
            if found and scale(at) - scale(found[-1][1]) < APART * (end - begin):
                continue
            found.append((p, at))
        return found


@dataclass(eq=False, kw_only=True, repr=False)
class PValueDisplay(Display):
    """The p-values of normal rows, which are uniform where these are like the calibration rows, and an exact band.

    The number of m normals in a bar that holds c of the n + 1 possible p-values is BetaBinomial(m, c, n + 1 - c), since
    the n calibration rows are a sample as well. The band holds 95 percent of the counts, of each bar by itself.

    Attributes
    ----------
    p_values : (m,) float64
        Of the normal rows.
    n_calibrate : int
        The number of calibration rows, or of groups of them.
    edges_, shares_, expected_, low_, high_ : float64
        Of the bars, once drawn: shares of the rows.
    chance : float or None
        The p-value of the test of Kolmogorov and Smirnov that normals are scored as calibration rows are.
    """

    p_values: np.ndarray
    n_calibrate: int
    name: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, *, ax: Any = None) -> Self:
        """The normal rows of X (of all, without labels `y`), or of an `Evaluation`."""
        found = Judged.of(estimator, X, y)
        return cls.from_predictions(found.p_values, found.n_calibrate, found.labels, name=found.name, ax=ax)

    @classmethod
    def from_predictions(
        cls, p_values: Any, n_calibrate: int, labels: Any = None, *, name: str = "", ax: Any = None
    ) -> Self:
        """Draw the p-values (m,) of normals, or, with labels, of those that are normal. Raises `DataError` where there
        are none."""
        p_values, n_calibrate = p_values_of(p_values), count_of(n_calibrate)
        if labels is not None:
            p_values = p_values[~labels_of(labels, len(p_values))]
        if not p_values.size:
            raise DataError("there are no normal rows, whose p-values could be uniform")
        return cls(p_values=p_values, n_calibrate=n_calibrate, name=name).plot(ax)

    @property
    def chance(self) -> float | None:
        """The p-value of the test that normals are scored as calibration rows are; None of fewer than 10 rows."""
        n = self.n_calibrate
        ranks = n + 0.5 - np.rint(self.p_values * (n + 1) - 1)  # between calibration scores 1 ... n
        return same_distribution(ranks, np.arange(1.0, n + 1))

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, or in a new figure."""
        from scipy import stats

        ax, m, n = self._single(ax), len(self.p_values), self.n_calibrate
        bins = min(10, n + 1)
        upto = np.array([round(i * (n + 1) / bins) for i in range(bins + 1)])  # possible p-values below each edge
        held = np.diff(upto)
        self.edges_ = upto / (n + 1)
        places = np.rint(self.p_values * (n + 1)).astype(int)
        self.shares_ = np.bincount(np.searchsorted(upto[1:], places), minlength=bins)[:bins] / m
        self.expected_ = held / (n + 1)
        rest = (1 - CERTAINTY) / 2
        counts = [stats.betabinom(m, c, n + 1 - c) if c <= n else None for c in held]
        self.low_, self.high_ = (
            np.array([1.0 if one is None else one.ppf(at) / m for one in counts]) for at in (rest, 1 - rest)
        )
        self.bars_ = ax.bar(
            self.edges_[:-1], self.shares_, np.diff(self.edges_), align="edge", color=palette.NORMAL, alpha=0.6,
            edgecolor="white", label=f"{m:,} normal row{'s' * (m != 1)}", zorder=2,
        )  # fmt: skip
        ax.stairs(self.high_, self.edges_, baseline=self.low_, fill=True, color=palette.GREY, alpha=0.3, zorder=3,
                  label=f"{100 * CERTAINTY:g} % of such bars")  # fmt: skip
        ax.stairs(
            self.expected_, self.edges_, color=palette.INK, linestyle=":", linewidth=1.5, label="expected", zorder=4
        )
        ax.set(xlim=(0, 1), xlabel="p-value", ylabel="share of the normal rows")
        ax.set_ylim(0, 1.12 * max(self.shares_.max(), self.high_.max()))
        percent(ax.yaxis)
        tidy(ax)
        ax.legend(frameon=False, fontsize="small", ncols=3, loc="upper center")
        test = "" if self.chance is None else f"uniform: p = {self.chance:.2g} (Kolmogorov and Smirnov)"
        ax.set_title(": ".join(filter(None, [self.name, test])), loc="left", fontsize="medium")
        return self


@dataclass(eq=False, kw_only=True, repr=False)
class OperatingDisplay(Display):
    """What each false-alarm rate that may be asked for gives: false alarms among normals, anomalies that are caught.

    Attributes
    ----------
    rates : (k,) float64
        The rates that the calibration rows can hold, i / (n + 1).
    false_alarms, caught : (k,) float64 or None
        Shares of the normal and of the anomalous rows that are flagged; None where there are no such rows.
    low, high : (k,) float64 or None
        The band that holds the share of false alarms in 95 of 100 cases, at each rate by itself; exact.
    rate : float, optional
        That in force.
    """

    rates: np.ndarray
    false_alarms: np.ndarray | None
    caught: np.ndarray | None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    rate: float | None = None
    counts: tuple[int, int] = (0, 0)
    name: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, *, up_to: float = 0.2, ax: Any = None) -> Self:
        """Judge rows X with labels `y` (n,), or take an `Evaluation`. `up_to`: the highest rate that is shown."""
        found = Judged.of(estimator, X, y)
        if found.labels is None:
            raise DataError("y: give a label for each row, true or nonzero for anomalies")
        return cls.from_predictions(
            found.p_values, found.labels, found.n_calibrate, rate=found.rate, up_to=up_to, name=found.name, ax=ax
        )

    @classmethod
    def from_predictions(
        cls,
        p_values: Any,
        labels: Any,
        n_calibrate: int,
        *,
        rate: float | None = None,
        up_to: float = 0.2,
        name: str = "",
        ax: Any = None,
    ) -> Self:
        """Draw p-values (n,) of labelled rows, against `n_calibrate` calibration rows or groups."""
        from scipy import stats

        p_values, n = p_values_of(p_values), count_of(n_calibrate)
        marks = labels_of(labels, len(p_values))
        for what, share in {"rate": rate, "up_to": up_to}.items():
            if share is not None and not 0 < share < 1:
                raise DataError(f"{what}={share}: give a share of normal rows between 0 and 1")
        ranks = np.arange(1, max(2, rank_of(up_to, n) + 1))
        rates = ranks / (n + 1)
        normal, anomalous = (np.sort(p_values[rows]) for rows in (~marks, marks))
        shares = [
            np.searchsorted(some, rates + ROUNDING, side="right") / len(some) if len(some) else None
            for some in (normal, anomalous)
        ]
        low = high = None
        if len(normal) and ranks[-1] <= n:
            rest = (1 - CERTAINTY) / 2
            low, high = (stats.betabinom(len(normal), ranks, n + 1 - ranks).ppf(at) / len(normal)
                         for at in (rest, 1 - rest))  # fmt: skip
        counts = len(normal), len(anomalous)
        return cls(
            rates=rates,
            false_alarms=shares[0],
            caught=shares[1],
            low=low,
            high=high,
            rate=rate,
            counts=counts,
            name=name,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, or in a new figure."""
        ax, end = self._single(ax), float(self.rates[-1])
        ax.plot([0, end], [0, end], color=palette.CHANCE, linestyle=":", linewidth=1.5, label="as requested")
        if self.low is not None and self.high is not None:
            ax.fill_between(self.rates, self.low, self.high, step="post", color=palette.BAND,
                            label=f"{100 * CERTAINTY:g} % of such samples")  # fmt: skip
        self.lines_ = {}
        parts = (
            ("caught", self.caught, palette.ANOMALOUS, "-"),
            ("false alarms", self.false_alarms, palette.NORMAL, "--"),
        )
        for (what, share, colour, style), n in zip(parts, self.counts[::-1], strict=True):
            if share is None:
                continue
            of = f"of {n:,} {'anomalous' if what == 'caught' else 'normal'} row{'s' * (n != 1)}"
            (self.lines_[what],) = ax.step(
                self.rates, share, where="post", color=colour, linestyle=style, linewidth=1.8, label=f"{what}, {of}"
            )
        if self.rate is not None and self.rate <= end:
            ax.axvline(self.rate, color=palette.THRESHOLD, linewidth=1)
            for what, line in self.lines_.items():
                at = float(line.get_ydata()[np.searchsorted(self.rates, self.rate + ROUNDING) - 1])
                rows = self.counts[what == "caught"]
                interval = wilson(round(at * rows), rows)
                ax.errorbar(
                    self.rate, at, [[max(0, at - interval.low)], [max(0, interval.high - at)]],
                    fmt="o", color=line.get_color(), capsize=3,
                )  # fmt: skip
        ax.set(xlim=(0, end), ylim=(0, 1.02), xlabel="false-alarm rate requested", ylabel="share of rows flagged")
        percent(ax.xaxis)
        percent(ax.yaxis)
        tidy(ax)
        ax.legend(frameon=False, fontsize="small")
        if self.name:
            force = "" if self.rate is None else f", in force {100 * self.rate:.3g} %"
            ax.set_title(f"{self.name}{force}", loc="left")
        return self
