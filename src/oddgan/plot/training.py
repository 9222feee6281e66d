"""How a training went."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..errors import DataError
from . import palette
from .figures import Display, tidy

WIDE, TALL = 4.4, 3.2  # inches of a panel
SPREAD = 30.0  # largest over smallest value, from which on a scale is logarithmic
LINE = 0.17  # inches of a line of text
MOST = 3  # panels beside each other
LETTERS = 100  # of a line of an alarm


@dataclass(eq=False, kw_only=True, repr=False)
class TrainingDisplay(Display):
    """Every loss term along the updates, a panel for each player; dashed on held-out rows; alarms named below.

    Attributes
    ----------
    updates : (n,) int64
        Updates done at each line of the history, over all stages.
    terms : dict of str to (n,) float64
        By "PLAYER.TERM"; NaN where a stage has no such term.
    held_out : dict of str to (n,) float64
        The same on held-out rows; NaN where it was not taken.
    stages : list of (str, int)
        The stages, and after which update each begins.
    warnings : tuple of str
        What the training was warned of.
    """

    updates: np.ndarray
    terms: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]
    stages: list[tuple[str, int]]
    warnings: tuple[str, ...] = ()
    name: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw a fitted detector's history, with what its fit has warned of the training."""
        check_is_fitted(estimator, "model_")
        if not estimator.history_:
            raise DataError(f"{type(estimator).__name__} trains no networks, so there is no history to plot")
        found = estimator.training_.get("warnings", ())
        alarms = [f"{one['code']}: {one['message']}" for one in found if one["kind"] == "TrainingWarning"]
        return cls.from_history(estimator.history_, alarms, name=type(estimator).__name__, ax=ax)

    @classmethod
    def from_history(
        cls, history: Mapping[str, Sequence[Any]], warnings: Iterable[str] = (), *, name: str = "", ax: Any = None
    ) -> Self:
        """Draw a history as `history_` is. Raises `DataError` where it is empty."""
        if not history or not len(history.get("update", ())):
            raise DataError("the history is empty: there is nothing to plot")
        updates, stages = running_total(history)
        columns = {
            column: np.array([np.nan if value is None else float(value) for value in values])
            for column, values in history.items()
            if "." in column
        }
        return cls(
            updates=updates,
            terms={column: values for column, values in columns.items() if not column.startswith("val.")},
            held_out={c.removeprefix("val."): values for c, values in columns.items() if c.startswith("val.")},
            stages=stages,
            warnings=tuple(map(str, warnings)),
            name=name,
        ).plot(ax)

    @property
    def players(self) -> tuple[str, ...]:
        """Who trains, in the order of the history."""
        return tuple(dict.fromkeys(column.split(".")[0] for column in self.terms))

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, one Axes or one for each of `players`, or in a new figure."""
        players = self.players
        letters = LETTERS * min(MOST, len(players)) // 2 + 15
        notes = [textwrap.fill(one, letters) for one in self.warnings]
        axes = self._grid(ax, len(players), MOST, (WIDE, TALL))
        self.lines_: dict[str, Any] = {}
        for player, panel in zip(players, axes, strict=True):
            self._draw(panel, player)
        title = f"{self.name}: loss terms" if self.name else "loss terms"
        axes[0].set_title(f"{title} of {players[0]}", loc="left", fontsize="medium")
        self.notes_ = None
        if notes:
            if self._own:
                self.figure_.set_figheight(self.figure_.get_figheight() + LINE * sum(1 + n.count("\n") for n in notes))
            self.notes_ = self._note("\n".join(notes))
        return self

    def _draw(self, ax: Any, player: str) -> None:
        mine = [column for column in self.terms if column.split(".")[0] == player]
        values = np.concatenate([self.terms[c] for c in mine] + [self.held_out[c] for c in mine if c in self.held_out])
        values = values[np.isfinite(values)]
        if values.size and values.min() > 0 and values.max() > SPREAD * values.min():
            ax.set_yscale("log")
        for i, column in enumerate(mine):
            colour, known = palette.CYCLE[i % len(palette.CYCLE)], np.isfinite(self.terms[column])
            marker = palette.MARKERS[i % len(palette.MARKERS)] if known.sum() <= 1 else None
            (self.lines_[column],) = ax.plot(
                self.updates, self.terms[column], color=colour, linewidth=1.6, marker=marker,
                label=column.split(".", 1)[1],
            )  # fmt: skip
            if column in self.held_out:
                there = np.isfinite(self.held_out[column])
                (self.lines_[f"val.{column}"],) = ax.plot(
                    self.updates[there], self.held_out[column][there], color=colour, linewidth=1.4, linestyle="--",
                    marker=".", markersize=4,
                )  # fmt: skip
        if any(column in self.held_out for column in mine):
            ax.plot([], [], color=palette.MUTED, linewidth=1.4, linestyle="--", label="held-out rows")
        tidy(ax)
        for stage, begin in self.stages if len(self.stages) > 1 else ():
            ax.axvline(begin, color=palette.CHANCE, linewidth=1, linestyle=":")
            ax.annotate(
                stage, (begin, 1), xycoords=ax.get_xaxis_transform(), xytext=(3, -2), textcoords="offset points",
                va="top", ha="left", fontsize="x-small", color=palette.MUTED, rotation=90,
            )  # fmt: skip
        ax.set(xlabel="generator updates", ylabel="mean loss of an epoch", xlim=(0, max(1, int(self.updates[-1]))))
        ax.set_title(f"loss terms of {player}", loc="left", fontsize="medium")
        ax.legend(fontsize="small", framealpha=0.8, edgecolor="none")


def running_total(history: Mapping[str, Sequence[Any]]) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """The updates done at each line over all stages, (n,) int64, and after which of them each stage begins."""
    total: list[int] = []
    stages: list[tuple[str, int]] = []
    done, last = 0, 0
    for stage, update in zip(history["stage"], history["update"], strict=True):
        if not stages or stages[-1][0] != stage:
            done = total[-1] if total else 0
            stages.append((str(stage), done))
        last = done + int(update)
        total.append(last)
    return np.array(total, np.int64), stages
