"""What may watch a training run: progress on a terminal, TensorBoard, or anything of your own.

    class Printer(Hook):
        def on_epoch(self, moment):
            log.info("%s %d: %s", moment.stage, moment.update, moment.losses)

    detector.fit(X, hooks=[Printer()])

A hook only watches: it gets no networks and cannot change the run, so a run gives the same bits with any hooks.
An exception that a hook raises stops the run; the last checkpoint stays.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import MissingExtra


@dataclass
class Moment:
    """Where a run stands.

    `stage`: the stage's name. `update`: generator updates done in this stage, of `total` (None when a budget in
    minutes alone ends it). `epoch`: passes over the training rows. `rate`: updates a second. `seconds_left`: estimate
    until the stage ends, None before it can be told. `losses`: the mean of every loss term over the last finished
    epoch, by "PLAYER.TERM".
    """

    stage: str
    update: int
    total: int | None
    epoch: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    losses: dict[str, float] = field(default_factory=dict)


class Hook:
    """Override what you need. Every method gets the run's `Moment`, which is valid during the call only."""

    def on_start(self, moment: Moment) -> None:
        """A stage begins, or goes on after a resume."""

    def on_update(self, moment: Moment) -> None:
        """A generator update is done."""

    def on_epoch(self, moment: Moment) -> None:
        """An epoch is done: `moment.losses` are new."""

    def on_end(self, moment: Moment) -> None:
        """A stage is done."""


class TensorBoard(Hook):
    """Writes every loss term, by epoch, where TensorBoard reads it. Needs the extra ``tensorboard``."""

    def __init__(self, folder: str | Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise MissingExtra("tensorboardX", "tensorboard", "logging for TensorBoard") from error
        self._writer: Any = SummaryWriter(str(folder))

    def on_epoch(self, moment: Moment) -> None:
        for name, value in moment.losses.items():
            self._writer.add_scalar(f"{moment.stage}/{name}", value, moment.update)

    def on_end(self, moment: Moment) -> None:
        self._writer.flush()
