"""How a detector that searches for each row finds its reconstruction: AnoGAN's path."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..errors import DataError, ParameterError
from ..model.searching import path_of
from ..rows import open_rows
from . import palette
from .figures import Display, displayed, mosaic, show, tidy

SHOWN = 9  # pictures of the path, where nobody says which


@dataclass(eq=False, kw_only=True, repr=False)
class SearchDisplay(Display):
    """From G(z_0) to the reconstruction: what is generated along the search, and what the search minimises.

    Attributes
    ----------
    row : (h, w) or (h, w, C) float32, or (k,)
        What was searched for, as the networks see it, in the user's units.
    steps : (m,) int64
        The steps that are shown.
    pictures : (m, h, w) or (m, h, w, C) float32, or (m, k)
        What was generated at them, in the user's units.
    losses : (runs, n) float64
        What the search minimises after each step, from each of its starts; NaN where a run had ended.
    best : int
        The start with the lowest value, whose path is shown.
    """

    row: np.ndarray
    steps: np.ndarray
    pictures: np.ndarray
    losses: np.ndarray
    best: int
    value_range: tuple[float, float] | None
    loss: str = ""
    name: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, x: Any, steps: Sequence[int] | None = None, *, ax: Any = None) -> Self:
        """Score one row x, and draw its search at `steps`, some of 0 to the last by default; those beyond the end of
        the search are left out. Raises `ParameterError` for a detector without a search, `DataError` for several rows.
        """
        check_is_fitted(estimator, "model_")
        name = type(estimator).__name__
        members = getattr(estimator.model_, "members", None) or {name: estimator.model_}
        model = next((one for one in members.values() if one.recipe.searches), None)
        if model is None:
            raise ParameterError(f"{name} does not search: it reconstructs a row in one pass; AnoGAN and ADGAN search")
        if getattr(model.recipe, "tile", None) is not None:
            raise ParameterError(f"{name} searches for each tile of a picture: give a model without tile")
        rows = open_rows(x, like=estimator.preprocessor_)
        if len(rows) != 1:
            raise DataError(f"x holds {rows.describe()}: give one, for instance X[:1]")
        found = path_of(model, rows)
        last = found.last
        wanted = some_steps(last) if steps is None else np.unique([int(step) for step in steps if 0 <= step <= last])
        if not len(wanted):
            raise ParameterError(f"steps={tuple(steps or ())}: the search has steps 0 to {last}")
        return cls(
            row=found.row,
            steps=wanted,
            pictures=found.at(wanted),
            losses=found.losses,
            best=found.best,
            value_range=getattr(model.preprocessor, "value_range", None),
            name=name,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, one Axes or two (of a table's row one), or in a new figure."""
        if self.value_range is None:
            panels = self._panels(ax, 1, 1, (6.4, 3.2))[:, 0]
        else:
            n, (h, w) = len(self.steps) + 1, self.row.shape[:2]
            wide = max(6.4, 0.85 * n)
            panels = self._panels(ax, 2, 1, (wide, wide / n * h / w + 3.2), height_ratios=[wide / n * h / w + 0.3, 2.4])
            panels = panels[:, 0]
            self._draw_strip(panels[0])
        curve = panels[-1]
        self.lines_ = []
        for run, values in enumerate(self.losses):
            mine = run == self.best
            self.lines_ += curve.plot(
                np.arange(len(values)), values, color=palette.NORMAL if mine else palette.CHANCE,
                linewidth=1.8 if mine else 0.8, zorder=3 if mine else 2, alpha=1.0 if mine else 0.7,
                label=("best start" if mine else "other starts" if run == (self.best == 0) else None)
                if len(self.losses) > 1 else None,
            )  # fmt: skip
        curve.plot(self.steps, self.losses[self.best, self.steps], "o", color=palette.NORMAL, markersize=4, zorder=4)
        curve.set(xlabel="step of the search", ylabel=f"what the search minimises{self.loss}", ylim=(0, None))
        curve.set_xlim(0, max(1, self.losses.shape[1] - 1))
        tidy(curve)
        if len(self.losses) > 1:
            curve.legend(frameon=False, fontsize="small")
        low, high = float(np.nanmin(self.losses[self.best])), float(self.losses[self.best, 0])
        said = f"search: from {high:.4g} to {low:.4g}"
        panels[0].set_title(f"{self.name}, {said}" if self.name else said, loc="left", fontsize="medium")
        return self

    def _draw_strip(self, ax: Any) -> None:
        assert self.value_range is not None
        shown = [displayed(one, self.value_range) for one in (self.row, *self.pictures)]
        self.image_ = show(ax, mosaic(shown, len(shown)))
        w = self.row.shape[1]
        places = np.arange(len(shown)) * (w + 1) + (w - 1) / 2
        ax.set_xticks(places, labels=["x", *(f"step {step}" for step in self.steps)])
        ax.tick_params(length=0, labelsize="small", colors=palette.MUTED)


def some_steps(last: int) -> np.ndarray:
    """About `SHOWN` steps from 0 to the last, denser at the beginning, where most happens."""
    if last < SHOWN:
        return np.arange(last + 1)
    return np.unique(np.rint(np.append(0, np.geomspace(1, last, SHOWN - 1))).astype(int))
