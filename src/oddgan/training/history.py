"""The history of a run: the mean of every loss term, line by line."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError
from .stage import Settings, Stage, rate

HISTORY_EVERY = 10  # updates per line at least: a set smaller than a batch would otherwise get a line per update

History = dict[str, list[Any]]
"""Columns of equal length: "stage", "epoch", "update", and the mean of each loss term, "PLAYER.TERM"; None where a
stage has no such term."""


class Recorder:
    """Collects the loss terms of one stage and appends their means to `history`, a line per epoch.

    Attributes
    ----------
    sums : dict of str to Tensor
        Sum and number of values (2,) of every loss term since the last line.
    since : int
        Updates since the last line.
    """

    def __init__(self, history: History, stage: Stage, settings: Settings) -> None:
        self.history, self.stage, self.settings = history, stage, settings
        self.sums: dict[str, Tensor] = {}
        self.since = 0

    def add(self, player: str, terms: Mapping[str, Tensor]) -> None:
        """Add the loss terms of one move of a player, of which an update may have several."""
        for term, value in terms.items():
            mean = value.detach().float().mean()
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

    def check_finite(self, update: int) -> None:
        """Raise `TrainingError` if a loss has become infinite or NaN since the last line."""
        for name, total in self.sums.items():
            if not math.isfinite(total[0]):
                raise TrainingError(
                    f"training diverged by update {update} of stage {self.stage.name}: the loss {name} is "
                    f"{float(total[0])}; lower the learning rate (now "
                    f"{rate(self.settings, self.stage, name.split('.')[0]):g}) or set precision='float32'"
                )

    def last(self) -> dict[str, float]:
        """The means of the last line, by "PLAYER.TERM"."""
        return {n: v[-1] for n, v in self.history.items() if "." in n and v and v[-1] is not None}
