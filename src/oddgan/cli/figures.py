"""An evaluation on the terminal."""

from ..evaluation import Evaluation
from ..evaluation.figures import FIGURES, number
from ..report.text import (
    FIGURE_HEAD,
    KIND_HEAD,
    POINT_HEAD,
    figure_rows,
    headline,
    interval,
    kind_rows,
    percent,
    point_rows,
)
from . import terminal


def headline_figures(evaluation: Evaluation) -> list[str]:
    """The areas with interval and chance, and the rates at the threshold, one line each."""
    lines = [
        f"{FIGURES[name].head} {number(area.value)} ({interval(area)}; chance {number(area.chance)})"
        for name, area in evaluation.estimates.items()
        if name != "auprc_trapezoid"
    ]
    points = [
        f"{percent(p.detected)} at {percent(p.requested)} (found: {percent(p.false_alarms)})"
        for p in evaluation.operating_points
    ]
    trade = [f"Detected at a false-alarm rate of: {', '.join(points)}"] if points else []
    return lines + headline(evaluation)[-1:] + trade


def show(evaluation: Evaluation) -> None:
    """Everything that was measured, as tables."""
    e = evaluation
    terminal.say(f"{e.detector.get('detector')} on {e.data}")
    terminal.say(e.note)
    terminal.say()
    if rows := figure_rows(e):
        terminal.table(FIGURE_HEAD, rows)
        terminal.say()
    if e.operating_points:
        terminal.table(POINT_HEAD, point_rows(e), numbers_from=0)
        terminal.say()
    if e.by_kind:
        terminal.table(KIND_HEAD, kind_rows(e))
        terminal.say()
    for line in headline(e):
        terminal.say(line)
    for line in e.warnings:
        terminal.say(f"note: {line}")
