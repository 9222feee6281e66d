"""An evaluation on the terminal."""

from ..evaluation import Evaluation
from ..metrics import Estimate
from ..report.text import AREAS, PIXEL, PIXEL_CHANCE, headline, interval, number, percent
from . import terminal


def headline_figures(evaluation: Evaluation) -> list[str]:
    """The areas with interval and chance, and what the threshold does, a line each."""
    lines = [
        f"{AREAS[name]} {number(area.value)} ({interval(area)}; chance {number(area.chance)})"
        for name, area in evaluation.estimates.items()
        if name != "auprc_trapezoid"
    ]
    return lines + headline(evaluation)[-1:]


def show(evaluation: Evaluation) -> None:
    """Everything that was measured, as tables."""
    e = evaluation
    terminal.say(f"{e.detector.get('detector')} on {e.data}")
    terminal.say(e.note)
    terminal.say()
    rows = [(AREAS[name], *_estimate(area), number(area.chance)) for name, area in e.estimates.items()]
    if e.rates is not None:
        asked = f"asked: {percent(e.false_alarm_rate)}"
        for what, rate, beside in (
            ("detection rate", e.rates.detection_rate, ""),
            ("false-alarm rate", e.rates.false_alarm_rate, asked),
        ):
            if rate is not None:
                rows.append((what, percent(rate.value), interval(rate, share=True), beside))
        rows += [("precision", number(e.rates.precision), "", ""), ("F1", number(e.rates.f1), "", "")]
    rows += [(PIXEL[name], number(value), "", number(PIXEL_CHANCE[name])) for name, value in e.pixel.items()]
    if rows:
        terminal.table(("figure", "value", "95% interval", "chance"), rows)
        terminal.say()
    if e.by_kind:
        kinds = [
            (
                k.kind,
                f"{k.n:,}",
                *(_estimate(k.auroc) if k.auroc else ("", "")),
                f"{k.n_flagged:,}",
                percent(k.flagged.value),
            )
            for k in e.by_kind
        ]
        terminal.table(("kind", "rows", "AUROC", "95% interval", "flagged", "share"), kinds)
        terminal.say()
    for line in headline(e):
        terminal.say(line)
    for line in e.warnings:
        terminal.say(f"note: {line}")


def _estimate(area: Estimate) -> tuple[str, str]:
    return number(area.value), interval(area)
