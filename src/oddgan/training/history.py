"""The history of a run: the mean of every loss term, line by line."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError
from ..ranks import SINGLE, World
from .stage import Settings, Stage, rate

HISTORY_EVERY = 10  # updates per line at least: a set smaller than a batch would otherwise get a line per update

History = dict[str, list[Any]]
"""Columns of equal length: "stage", "epoch", "update", and the mean of each loss term, "PLAYER.TERM"; None where a
stage has no such term. "val.PLAYER.TERM" is its mean over held-out rows, None where it was not taken."""

VALIDATED = "val."


class Diverged(TrainingError):
    """A loss is no longer finite, or has exploded. `why`: which, and what to try."""

    def __init__(self, update: int, stage: str, why: str) -> None:
        super().__init__(f"training diverged by update {update} of stage {stage}: {why}")
        self.why = why


class Recorder:
    """Collects the loss terms of one stage and appends their means to `history`, a line per epoch.

    Attributes
    ----------
    sums : dict of str to Tensor
        Sum and number of values (2,) of every loss term since the last line.
    since : int
        Updates since the last line.
    latest : dict of str to Tensor
        The values of the last move, of every loss term.
    """

    def __init__(self, history: History, stage: Stage, settings: Settings, world: World = SINGLE) -> None:
        self.history, self.stage, self.settings, self.world = history, stage, settings, world
        self.sums: dict[str, Tensor] = {}
        self.since = 0
        self.latest: dict[str, Tensor] = {}

    def add(self, player: str, terms: Mapping[str, Tensor], means: Mapping[str, Tensor] | None = None) -> None:
        """Add the loss terms of one move of a player, of which an update may have several. `means`: over the rows of
        all processes, where there are several."""
        for term, value in terms.items():
            self.latest[f"{player}.{term}"] = value = value.detach()
            mean = value.float().mean() if means is None else means[term]
            moved = torch.stack([mean, torch.ones_like(mean)])
            self.sums[f"{player}.{term}"] = self.sums.get(f"{player}.{term}", 0) + moved

    def close_epoch(self, epoch: int, update: int) -> bool:
        """Append a line if the last update has ended an epoch; return whether it has."""
        ended = epoch > (self.history["epoch"][-1] if self.since < update else 0)
        if self.since % HISTORY_EVERY == 0:
            self.check_finite(update)
        if not (ended and self.since >= HISTORY_EVERY):
            return False
        self.add_line(epoch, update)
        return True

    def add_line(self, epoch: int, update: int) -> None:
        """Append the means since the last line. Raises as `check_finite` does."""
        self.check_finite(update)
        means = {name: float(total[0] / total[1]) for name, total in self.sums.items()}
        lines = len(self.history["stage"])
        line = {"stage": self.stage.name, "epoch": epoch, "update": update, **means}
        for name in [*dict.fromkeys([*self.history, *line])]:
            self.history.setdefault(name, [None] * lines).append(line.get(name))
        self.sums, self.since = {}, 0

    def add_validation(self, means: Mapping[str, float]) -> None:
        """Add the means over held-out rows to the last line; None for those that are not finite."""
        lines = len(self.history["stage"])
        for name, mean in means.items():
            column = self.history.setdefault(f"{VALIDATED}{name}", [None] * lines)
            column[-1] = mean if math.isfinite(mean) else None

    def size(self, name: str) -> float:
        """The median of the absolute values of a term in the last move."""
        latest = self.latest[name].float()
        return float((latest if self.world.size == 1 else self.world.stacked(latest)).abs().median())

    def means(self) -> dict[str, float]:
        """The means since the last line, by "PLAYER.TERM"."""
        totals = torch.stack(list(self.sums.values())).tolist() if self.sums else []
        return {name: total / count for name, (total, count) in zip(self.sums, totals, strict=True)}

    def check_finite(self, update: int) -> None:
        """Raise `Diverged` if a loss has become infinite or NaN since the last line."""
        for name, mean in self.means().items():
            if not math.isfinite(mean):
                raise self.diverged(update, name, mean)

    def diverged(self, update: int, name: str, value: float) -> Diverged:
        """The error that says so of a loss term."""
        lr = rate(self.settings, self.stage, name.split(".")[0])
        why = f"the loss {name} is {value:.3g}; lower the learning rate (now {lr:g}) or set precision='float32'"
        return Diverged(update, self.stage.name, why)

    def last(self) -> dict[str, float]:
        """The means of the last line, by "PLAYER.TERM"."""
        return self._last(validated=False)

    def last_validation(self) -> dict[str, float]:
        """The means over held-out rows in this stage's last line that has some, by "PLAYER.TERM"."""
        return {name.removeprefix(VALIDATED): value for name, value in self._last(validated=True).items()}

    def _last(self, *, validated: bool) -> dict[str, float]:
        columns = {n: v for n, v in self.history.items() if "." in n and n.startswith(VALIDATED) == validated}
        return {n: v[-1] for n, v in columns.items() if v and v[-1] is not None}
