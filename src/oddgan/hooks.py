"""Hooks that observe a training run: a progress bar, TensorBoard, or your own.

    class Printer(Hook):
        def on_epoch(self, moment):
            log.info("%s %d: %s", moment.stage, moment.update, moment.losses)

    detector.fit(X, hooks=[Printer()])

A hook gets no networks. All that it can change is when a stage ends: `moment.stop("good enough")` ends it in the state
that it has, and the fit goes on with the next stage, or with calibration. Else the run gives the same bits with any
hooks. An exception in a hook stops the run; the last checkpoint is kept.
"""

import importlib
import io
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .errors import MissingExtra

REDRAWS_PER_SECOND = 5
CELL_WIDTH = 100  # characters, of a bar in a notebook
LINE_SECONDS = 10.0  # between two lines where there is no terminal


@dataclass
class Moment:
    """The state of a run.

    Attributes
    ----------
    stage : str
        The stage's name.
    update : int
        Generator updates done in this stage.
    total : int, optional
        The updates that the stage will take; None if only a budget in minutes ends it.
    epoch : int
        Passes over the training rows.
    rate : float
        Updates per second.
    seconds_left : float, optional
        Estimated time to the end of the stage; None as long as there is no estimate.
    losses : dict
        The mean of every loss term over the last complete epoch, by "PLAYER.TERM".
    held_out : dict
        The mean of every loss term over held-out rows, when it was last taken; empty before, and without such rows.
    """

    stage: str
    update: int
    total: int | None
    epoch: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)
    stopped: str | None = None  # why a hook ended the stage

    def stop(self, why: str) -> None:
        """End the stage, before the next update. Without effect in `Hook.on_end`, where it has ended."""
        self.stopped = why


class Hook:
    """Base class: override the methods you need. Each gets the run's `Moment`, which is valid during the call only."""

    def on_start(self, moment: Moment) -> None:
        """A stage begins or is resumed."""

    def on_update(self, moment: Moment) -> None:
        """A generator update is done."""

    def on_epoch(self, moment: Moment) -> None:
        """An epoch is done (on a small set, ten updates or more), and `moment.losses` is up to date."""

    def on_end(self, moment: Moment) -> None:
        """A stage is done."""

    def on_calibrate(self, done: int, total: int) -> None:
        """After training: so many of all held-out rows have been scored, to set weights of terms and the threshold. A
        detector that searches for each row may take longer for it than for training."""


class Progress(Hook):
    """A progress bar on standard error, or below a notebook's cell: stage, updates of total, rate, time left and the
    last losses.

    If standard error is not a terminal, a line is written every ten seconds instead. In a `with` block the bar is also
    closed when the run fails.
    """

    def __init__(self) -> None:
        self._live: Any = None  # what is redrawn, while a stage is shown
        self._shown = time.monotonic()
        self._calibrating: float | None = None  # since when
        self._calibrated: _Cell | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def on_start(self, moment: Moment) -> None:
        self._stop()
        self._shown = time.monotonic()
        if (cell := _cell()) is not None:
            self._live = _Cell(cell, _bar(moment))
        elif sys.stderr.isatty():
            self._live = _live(_bar(moment))
        if self._live is not None:
            self._shown = 0.0

    def on_update(self, moment: Moment) -> None:
        if self._live is not None and time.monotonic() - self._shown >= 1 / REDRAWS_PER_SECOND:
            self._shown = time.monotonic()
            self._live.update(_bar(moment), refresh=True)
        elif self._live is None and self._due():
            done = f"{moment.update:,}" if moment.total is None else f"{moment.update:,} of {moment.total:,}"
            left = "" if moment.seconds_left is None else f", {clock(moment.seconds_left)} left"
            self._line(f"training, {moment.stage}: {done} updates, {moment.rate:,.3g} a second{left}")

    def on_calibrate(self, done: int, total: int) -> None:
        if self._calibrating is None:
            self._calibrating = time.monotonic()
        if self._calibrated is None and (cell := _cell()) is not None:
            self._calibrated = _Cell(cell, "")
        if self._calibrated is not None:
            if done == total or time.monotonic() - self._shown >= 1 / REDRAWS_PER_SECOND:
                self._shown = time.monotonic()
                self._calibrated.update(f"held-out rows: {done:,} of {total:,} scored", refresh=True)
        elif done < total and self._due():
            spent = time.monotonic() - self._calibrating
            left = f", {clock(spent / done * (total - done))} left" if done else ""
            self._line(f"after training, scoring held-out rows: {done:,} of {total:,}{left}")

    def _due(self) -> bool:
        """Whether it is time for another line."""
        return not sys.stderr.isatty() and time.monotonic() - self._shown >= LINE_SECONDS

    def _line(self, text: str) -> None:
        self._shown = time.monotonic()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def on_end(self, moment: Moment) -> None:
        if self._live is not None:
            self._live.update(_bar(moment), refresh=True)
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _live(bar: Any) -> Any:
    """The bar on a terminal."""
    from rich.console import Console
    from rich.live import Live

    # Without a refresh thread and redirected streams, a run that fails leaves nothing to clean up.
    live = Live(bar, console=Console(stderr=True), auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    live.start()
    live.console.show_cursor(True)
    return live


def _cell() -> Any:
    """IPython's `display` where this process is a notebook's, else None. IPython is there then, and loaded."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:  # none, or IPython on a terminal
        return None
    return importlib.import_module("IPython.display").display


class _Cell:
    """A text below a notebook's cell that is redrawn in place. rich's own display would need ipywidgets for that."""

    def __init__(self, display: Any, shown: Any) -> None:
        self._handle = display(self._drawn(shown), raw=True, display_id=True)

    def update(self, shown: Any, *, refresh: bool) -> None:
        """Draw it again."""
        del refresh  # as a Live has it
        self._handle.update(self._drawn(shown), raw=True)

    def stop(self) -> None:
        """Leave it as it is."""

    def _drawn(self, shown: Any) -> dict[str, str]:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=CELL_WIDTH, force_jupyter=False, color_system=None).print(shown)
        return {"text/plain": text.getvalue().rstrip()}


def _bar(moment: Moment) -> Any:
    """Two lines: the progress, and the losses."""
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
    """Format a duration as 0:07, 12:30 or 3:05:00."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class TensorBoard(Hook):
    """Write every loss term, by epoch, to `folder` in TensorBoard's format. Needs the extra ``tensorboard``."""

    def __init__(self, folder: str | Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise MissingExtra("tensorboardX", "tensorboard", "logging for TensorBoard") from error
        self._writer: Any = SummaryWriter(str(folder))

    def on_epoch(self, moment: Moment) -> None:
        held_out = {f"val.{name}": value for name, value in moment.held_out.items()}
        for name, value in {**moment.losses, **held_out}.items():
            self._writer.add_scalar(f"{moment.stage}/{name}", value, moment.update)

    def on_end(self, moment: Moment) -> None:
        self._writer.flush()
