"""When a stage of training ends."""

import math
import time
from dataclasses import dataclass
from typing import Self

from .batch import Batch
from .stage import Settings, Stage

EPOCHS_BY_DEFAULT = 15  # as in GANomaly; a reasonable budget for large sets
UPDATES_AT_LEAST = 2_000  # 15 epochs of a small set may be no more than 45 updates


def updates_by_default(rows: int, batch_size: int) -> int:
    """The budget of updates where none is given: 15 epochs, and at least 2,000 updates."""
    return max(UPDATES_AT_LEAST, math.ceil(EPOCHS_BY_DEFAULT * rows / min(batch_size, rows)))


@dataclass(frozen=True)
class Budget:
    """The limits of one stage, None where there is none: whichever is reached first ends it."""

    updates: int | None
    epochs: int | None
    minutes: float | None

    @classmethod
    def of(cls, stage: Stage, settings: Settings, stages: int = 1) -> Self:
        """The budget of one of so many stages. A stage's own updates replace the run's updates and epochs; the run's
        minutes are divided equally."""
        minutes = None if settings.minutes is None else settings.minutes / stages
        return cls(stage.updates or settings.updates, None if stage.updates else settings.epochs, minutes)

    def exhausted(self, update: int, epoch: int, seconds: float) -> bool:
        """Whether a limit is reached after so many updates, epochs and seconds."""
        return (
            (self.updates is not None and update >= self.updates)
            or (self.epochs is not None and epoch >= self.epochs)
            or (self.minutes is not None and seconds >= 60 * self.minutes)
        )

    def share(self, update: int, batch: Batch, seconds: float) -> float:
        """How much of the stage is done, by the limit that is nearest; 1 and more at its end."""
        shares = [] if self.updates is None else [update / self.updates]
        if self.epochs is not None:
            shares.append(batch.drawn * batch.size / (self.epochs * len(batch.rows)))
        if self.minutes is not None:
            shares.append(seconds / (60 * self.minutes))
        return max(shares, default=0.0)

    def total(self, update: int, batch: Batch) -> int | None:
        """The updates that the stage will take, estimated after `update` of them from how many batches a step draws;
        None where only time limits it."""
        totals = [] if self.updates is None else [self.updates]
        if self.epochs is not None:
            batches = math.ceil(self.epochs * len(batch.rows) / batch.size)
            totals.append(math.ceil(batches * max(1, update) / max(1, batch.drawn)))
        return min(totals) if totals else None

    def seconds_left(self, update: int, total: int | None, rate: float, seconds: float) -> float | None:
        """An estimate of the time to the stage's end at `rate` updates per second; None as long as there is none."""
        left = [] if total is None or not rate else [(total - update) / rate]
        if self.minutes is not None:
            left.append(60 * self.minutes - seconds)
        return max(0.0, min(left)) if left else None


class Clock:
    """The time spent on a stage, including earlier processes of a resumed run: `spent` seconds, `updates` updates."""

    def __init__(self, spent: float = 0.0, updates: int = 0) -> None:
        self.spent, self.updates, self.started = spent, updates, time.monotonic()
        self.agreed: float | None = None  # the seconds of all processes together, where there are several

    def seconds(self) -> float:
        """Seconds spent on the stage."""
        return self.here() if self.agreed is None else self.agreed

    def here(self) -> float:
        """Seconds spent on the stage by this process's own clock."""
        return self.spent + time.monotonic() - self.started

    def rate(self, updates: int) -> float:
        """Updates per second in this process, after so many updates of the stage."""
        here = time.monotonic() - self.started
        return (updates - self.updates) / here if here > 0 else 0.0
