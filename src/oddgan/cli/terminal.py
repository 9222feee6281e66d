"""What the command line writes where: results to standard output, everything else to standard error.

Nothing here reads markup, so a path may hold brackets.
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import OddganWarning, without_secrets
from ..hooks import Hook, Progress

WIDE = 10_000  # columns when the output is a file or a pipe: nothing wraps there

LABEL = 9  # columns of a label, so that consecutive facts align

quiet = False  # set by --quiet
speaker = ""  # before what goes wrong, where several processes may say so
asked: list[str] = []  # the words of the command, for reports


class Interrupted(Exception):
    """The user pressed Ctrl-C. The message says what remains and how to go on."""


def say(text: str = "") -> None:
    """A line of result, on standard output."""
    print(without_secrets(text))


def note(text: str) -> None:
    """A line beside the results, on standard error, unless --quiet."""
    if not quiet:
        print(without_secrets(text), file=sys.stderr)


def written(*places: Path | None) -> None:
    """Say what files or folders there are now."""
    for place in places:
        if place is not None:
            note(f"written: {place}")


def complain(text: str) -> None:
    """One line on standard error that says what went wrong, whatever line breaks a message holds."""
    print(f"oddgan: {speaker}{' '.join(without_secrets(text).split())}", file=sys.stderr)


def show_warning(others: Callable[..., None]) -> Callable[..., None]:
    """In place of `warnings.showwarning`: what oddgan warns of, on standard error, unless --quiet; `others` shows the
    rest."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, OddganWarning):
            others(message, category, *where, **more)
        elif not quiet:
            complain(f"warning: {message}")

    return show


def facts(*pairs: tuple[str, str | Sequence[str]]) -> None:
    """Labels and one line or several that are to be said of each, in two columns, on standard output."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=LABEL)
    grid.add_column(overflow="fold")
    for label, value in pairs:
        for i, line in enumerate([value] if isinstance(value, str) else value):
            grid.add_row(Text("" if i else label, style="bold"), Text(line))
    _print(grid)


def commands(*lines: Sequence[str]) -> None:
    """Commands to go on with, on standard output: never broken, so that they can be copied."""
    for i, words in enumerate(lines):
        say(f"{'' if i else 'next':<{LABEL}}  {shlex.join(words)}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1) -> None:
    """A table on standard output; columns from `numbers_from` on are set to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(head):
        shown.add_column(Text(name), justify="right" if i >= numbers_from else "left", overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    _print(shown)


def _print(renderable: object) -> None:
    from rich.console import Console

    lines = Console(width=None if sys.stdout.isatty() else WIDE)
    with lines.capture() as captured:
        lines.print(renderable)
    for line in captured.get().splitlines():
        print(without_secrets(line.rstrip()))


def size(path: Path) -> str:
    """How large a file is, for a person."""
    count = path.stat().st_size
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


@contextmanager
def resumable() -> Iterator[list[Hook]]:
    """Around trainings that go on where they were when their command is given again: gives the hooks that are to watch
    them, and says so when the user presses Ctrl-C."""
    try:
        with Progress() as shown:
            yield [] if quiet else [shown]
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command goes on from here") from None


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, gone when the block ends: call it with (done, total). Only on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(what, total=None)

    def show(done: int, total: int) -> None:
        if done < total:  # what is done at once needs no bar
            progress.start()
        progress.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        progress.stop()
