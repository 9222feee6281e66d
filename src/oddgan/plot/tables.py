"""Which columns make a row of a table anomalous."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import DataError, ParameterError
from ..model import Explanation
from ..rows import TableRows, open_rows
from . import palette
from .figures import Display, chosen, percent, tidy
from .judged import detector_and_rows


@dataclass(eq=False, kw_only=True, repr=False)
class ColumnsDisplay(Display):
    """The columns with the largest shares of a row's residual, each with its value and what was expected.

    Attributes
    ----------
    columns : tuple of str
        Of all k columns, by share, the largest first.
    shares : (k,) float64
        They add up to 1.
    values, expected : list or None
        The row's values and those of its reconstruction, in the user's units, in the order of `columns`.
    most : int
        How many are drawn.
    """

    columns: tuple[str, ...]
    shares: np.ndarray
    values: list[Any] | None = None
    expected: list[Any] | None = None
    most: int = 10
    title: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, i: int = 0, *, most: int = 10, ax: Any = None) -> Self:
        """Explain row i of X, and draw its `most` largest columns."""
        estimator, X = detector_and_rows(estimator, X)
        rows: Any = open_rows(X, like=estimator.preprocessor_)
        if rows.kind != "table":
            raise DataError("X holds pictures: take oddgan.plot.AnomalyMapDisplay")
        i = chosen(i, len(rows))
        one = rows.taken(i, i + 1)
        found = estimator.explain(one)
        return cls._of(found, 0, _values(one, 0, found.columns), most, rows.name(i)).plot(ax)

    @classmethod
    def from_explanation(
        cls, explanation: Explanation, i: int = 0, *, X: Any = None, most: int = 10, ax: Any = None
    ) -> Self:
        """Draw row i of an explanation; X: the rows that were explained, for their values. Raises `ParameterError` for
        pictures and where the detector locates nothing."""
        i = chosen(i, len(explanation.score))
        values, name = None, f"row {i}"
        if X is not None:
            rows: Any = open_rows(X)
            if rows.kind != "table" or len(rows) != len(explanation.score):
                n = len(explanation.score)
                raise DataError(f"X: there are {rows.describe()}, and the explanation is of {n:,} rows of a table")
            values, name = _values(rows, i, explanation.columns), rows.name(i)
        return cls._of(explanation, i, values, most, name).plot(ax)

    @classmethod
    def _of(cls, found: Explanation, i: int, values: list[Any] | None, most: int, name: str) -> Self:
        if not found.columns:
            raise ParameterError("the explanation is of pictures: take oddgan.plot.AnomalyMapDisplay")
        if found.anomaly_map is None:
            raise ParameterError("the detector locates nothing, so that columns have no shares: it only scores")
        shares = np.asarray(found.anomaly_map[i], np.float64)
        order = np.argsort(-shares, kind="stable")
        expected = None if found.reconstruction is None else list(found.reconstruction[i])
        verdict = "anomaly" if found.is_anomaly[i] else "normal"
        return cls(
            columns=tuple(found.columns[c] for c in order),
            shares=shares[order],
            values=None if values is None else [values[c] for c in order],
            expected=None if expected is None else [expected[c] for c in order],
            most=most,
            title=f"{name}: {verdict}, score {found.score[i]:.4g}, p = {found.p_value[i]:.2g}",
        )

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, or in a new figure."""
        n = min(self.most, len(self.columns))
        ax = self._single(ax, (6.4, 1.1 + 0.36 * n))
        places = np.arange(n)
        self.bars_ = ax.barh(places, self.shares[:n], color=palette.ANOMALOUS, alpha=0.75, height=0.62)
        ax.set_yticks(places, labels=[_short(name) for name in self.columns[:n]])
        ax.invert_yaxis()
        end = float(self.shares[0]) or 1.0
        for place in places:
            text = self._beside(int(place))
            ax.text(self.shares[place] + 0.015 * end, place, text, va="center", fontsize="small", color=palette.INK)
        ax.set_xlim(0, end * (1.75 if self.values is not None and self.expected is not None else 1.4))
        ax.set(xlabel="share of the row's residual")
        percent(ax.xaxis)
        tidy(ax)
        ax.grid(False, axis="y")
        ax.set_title(self.title, loc="left", fontsize="medium")
        return self

    def _beside(self, place: int) -> str:
        """What is written beside a bar."""
        value = None if self.values is None else f"{_said(self.values[place])}"
        expected = None if self.expected is None else f"expected {_said(self.expected[place])}"
        return ", ".join(filter(None, [value, expected]))


def _values(rows: TableRows, i: int, columns: tuple[str, ...]) -> list[Any]:
    """The values of row i, in the user's units."""
    one = rows.taken(i, i + 1)
    if not one.kinds:
        return [float(value) for value in one.values[0]]
    named = TableRows(one.values, columns, one.kinds, one.texts)
    return [named.column(name)[0] for name in columns]


def _said(value: Any) -> str:
    """A value in a few characters."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "missing"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else _short(str(value))


def _short(text: str, most: int = 28) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
