"""What may watch a training run: progress on a terminal, TensorBoard, or anything of your own.

    class Printer(Hook):
        def on_epoch(self, moment):
            log.info("%s %d: %s", moment.stage, moment.update, moment.losses)

    detector.fit(X, hooks=[Printer()])

A hook only watches: it gets no networks and cannot change the run, so a run gives the same bits with any hooks.
An exception that a hook raises stops the run; the last checkpoint stays.
"""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .errors import MissingExtra

REDRAWS_PER_SECOND = 5


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
        """An epoch is done (on a small set, ten updates or more): `moment.losses` are new."""

    def on_end(self, moment: Moment) -> None:
        """A stage is done."""


class Progress(Hook):
    """A bar on standard error: stage, updates done of total, rate, time left and the last losses.

    Nothing is shown where standard error is not a terminal. In a `with` block the bar also ends when the run fails.
    """

    def __init__(self) -> None:
        self._live: Any = None  # rich's display, while a stage is shown
        self._shown = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def on_start(self, moment: Moment) -> None:
        self._stop()
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.live import Live

        # No thread redraws it and nothing is redirected, so a run that fails leaves nothing behind.
        self._live = Live(
            _bar(moment), console=Console(stderr=True), auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()
        self._live.console.show_cursor(True)

    def on_update(self, moment: Moment) -> None:
        if self._live is not None and time.monotonic() - self._shown >= 1 / REDRAWS_PER_SECOND:
            self._shown = time.monotonic()
            self._live.update(_bar(moment), refresh=True)

    def on_end(self, moment: Moment) -> None:
        if self._live is not None:
            self._live.update(_bar(moment), refresh=True)
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _bar(moment: Moment) -> Any:
    """Two lines: how far the run is, and its losses."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = f"{moment.update:,} updates" if moment.total is None else f"{moment.update:,}/{moment.total:,}"
    left = "" if moment.seconds_left is None else f"{clock(moment.seconds_left)} left"
    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    for _ in range(3):
        line.add_column(no_wrap=True, justify="right")
    line.add_row(
        Text(moment.stage),
        ProgressBar(total=moment.total, completed=moment.update),
        Text(done),
        Text(f"{moment.rate:,.0f}/s" if moment.rate >= 10 else f"{moment.rate:.2g}/s"),
        Text(left),
    )
    losses = "  ".join(f"{name} {value:.3g}" for name, value in moment.losses.items())
    return Group(line, Text(losses, style="dim", no_wrap=True, overflow="ellipsis"))


def clock(seconds: float) -> str:
    """A time as 0:07, 12:30 or 3:05:00."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


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
