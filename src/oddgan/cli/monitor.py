"""oddgan monitor."""

import json
from pathlib import Path
from typing import Annotated

import typer

from . import terminal
from .process import loading

CHANGED = 3  # as for anomalies that were found


def monitor(
    state: Annotated[
        Path, typer.Argument(metavar="STATE.json", help="What oddgan score --monitor keeps.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    fail_on_alarm: Annotated[
        bool, typer.Option("--fail-on-alarm", help="Exit with code 3 if rows have changed.")
    ] = False,
) -> None:
    """Say whether rows that were scored over time still are like the calibration rows.

    The martingale is the evidence that they are not, 1 at the beginning; rows that do not change ever raise it to 100
    with a probability of at most 1 percent, however many they are.
    """
    with loading():
        from ..model.monitor import Monitor
    found = Monitor.read(state)
    stream = found.stream
    if as_json:
        terminal.say(json.dumps(found.to_json(), indent=2))
    else:
        terminal.facts(
            ("state", f"{state}: begun {found.begun}, added to {found.updates:,} times, last {found.updated}"),
            ("rows", f"{stream.rows:,}, {found.flagged:,} of them anomalies"),
            ("martingale", f"{stream.value:.3g}, highest {stream.highest:.3g}; alarm at {1 / stream.level:g}"),
            ("alarm", found.finding.message if found.finding else "none: nothing says that rows have changed"),
        )
    if fail_on_alarm and stream.alarm is not None:
        raise typer.Exit(CHANGED)
