"""Rows that were scored without labels, as a document and as JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..evaluation import Scores
from ..evaluation.findings import REQUESTED
from ..verdict.calibration import ROUNDING, rank_of
from ..verdict.uniformity import LEAST, flagged_range
from . import charts, evaluated, pictures, text
from . import document as doc

SCHEMA_VERSION = 1


def document(found: Scores, commands: Sequence[str] = ()) -> doc.Document:
    """The whole report."""
    e = found.rows
    return doc.Document(
        title=f"{text.detector_name(e)} on {e.data}",
        kind="scores",
        note=e.note,
        sections=(
            doc.Section("", (*evaluated.warnings(e.warnings, "Before you trust these verdicts"), *_in_short(found))),
            doc.Section("Scores", _scores(found)),
            doc.Section("Verdicts at other rates", _points(found)),
            doc.Section("Are these rows like the training rows?", _drift(found)),
            doc.Section("Examples", pictures.galleries(e)),
            doc.Section("Map of the rows", evaluated.latent(e)),
            doc.Section("What is guaranteed", tuple(map(doc.Paragraph, _promised(found)))),
            doc.Section("All rows", evaluated.listing(e)),
            doc.Section("Left out", evaluated.left_out(e)),
            doc.Section("Model card", (evaluated.card(e.detector),)),
            doc.Section("Make it again", _again(found, commands)),
        ),
        footer=f"Made by oddgan from {text.counted(len(e.names))}. There were no labels: how many anomalies were "
        "missed is unknown. This file is self-contained: it loads nothing.",
    )


def to_json(found: Scores, commands: Sequence[str] = ()) -> str:
    """Everything as strict JSON: "schema" ("oddgan.scores"), "schema_version"; "data": {"name", "note", "rows"};
    "detector", "calibration", "skipped", "warnings", "examples", "latent_map", "commands" as an evaluation has them;
    "anomalies": how many there are; "fdr": null, or the rate that verdicts are by; "at_rates": [{"rate", "anomalies"}];
    "operating_points": [{"rate", "anomalies", "normal_range": [low, high]}]; "drift": {"rows", "flagged",
    "flagged_range", "uniformity", "martingale", "alarm", "findings"}; "monitor": {"rows", "value", "highest", "alarm"}
    or null; "rows": [{"name", "score", "p_value", "is_anomaly", "q_value"}] in their order. A key may be added within a
    version."""
    e = found.rows
    q_values: Any = [None] * len(e.names) if found.q_values is None else found.q_values
    columns = zip(e.names, e.scores, e.p_values, e.is_anomaly, q_values, strict=True)
    names = ("name", "score", "p_value", "is_anomaly", "q_value")
    kept = {name: value for name, value in text.evaluation_keys(e).items() if name in SHARED}
    stream = None if found.monitor is None else found.monitor.stream
    keys = {
        "schema": "oddgan.scores",
        "schema_version": SCHEMA_VERSION,
        **kept,
        "anomalies": int(e.is_anomaly.sum()),
        "fdr": found.fdr,
        "at_rates": [{"rate": rate, "anomalies": n} for rate, n in found.at_rates],
        "operating_points": [
            {"rate": rate, "anomalies": n, "normal_range": between} for rate, n, between in _counts(found)
        ],
        "drift": found.drift.to_json(),
        "monitor": stream
        and {"rows": stream.rows, "value": stream.value, "highest": stream.highest, "alarm": stream.alarm},
        "commands": commands,
        "rows": [dict(zip(names, row, strict=True)) for row in columns],
    }
    return text.written(keys)


SHARED = ("data", "detector", "calibration", "skipped", "warnings", "examples", "latent_map")


def _in_short(found: Scores) -> tuple[doc.Block, ...]:
    e, drift = found.rows, found.drift
    n, flagged = len(e.names), int(e.is_anomaly.sum())
    share, of_all = text.percent(flagged / max(1, n)), text.counted(n)
    low, high = drift.flagged_range
    if found.fdr is not None:
        why = (
            f"They are chosen among all rows together, so that on average at most {text.percent(found.fdr)} of them "
            "are normal."
        )
    else:
        more, normal = "no more" if flagged <= high else "more", text.counted(n, "normal")
        why = (
            f"That is {more} than chance explains: among {normal}, {low:,} to {high:,} would be flagged by chance (in "
            "99 of 100 cases)."
        )
    said = f"{flagged:,} of {of_all} {'is an anomaly' if 1 in (flagged, n) else 'are anomalies'} ({share}). {why}"
    tiles = [doc.Tile("Anomalies", f"{flagged:,}", (f"{share} of {of_all}",))]
    if found.fdr is None:
        rate = text.percent(e.false_alarm_rate)
        tiles.append(doc.Tile("Due among normal rows", f"{low:,} – {high:,}", (f"at {rate} false alarms",)))
    if e.scores.size:
        top = int(np.argmax(e.scores))
        beside = (f"threshold {e.threshold:.4g}", f"p-value {e.p_values[top]:.3g}")
        tiles.append(doc.Tile("Highest score", f"{e.scores[top]:.4g}", beside))
    n_found = len(drift.findings)
    state = f"{n_found} finding{'s' * (n_found != 1)}" if n_found else "none found"
    if not n_found and drift.rows < LEAST:
        tiles.append(doc.Tile("Drift", "not tested", (f"fewer than {LEAST} rows",)))
    else:
        tiles.append(doc.Tile("Drift", state, ("beside the training rows",)))
    if e.skipped:
        tiles.append(doc.Tile("Could not be used", f"{len(e.skipped):,}", ("listed below",)))
    return doc.Paragraph(said, "lead"), doc.Tiles(tuple(tiles))


def _scores(found: Scores) -> tuple[doc.Block, ...]:
    e = found.rows
    if not e.scores.size:
        return ()
    groups = {name: some for name, some in (("calibration", e.calibration), ("scored", e.scores)) if some.size}
    caption = (
        f"The scores of these rows beside those of the {len(e.calibration):,} calibration rows, which are normal. Rows "
        f"to the right of the threshold {e.threshold:.6g} are anomalies. Each group's bars add up to 100%."
    )
    legend = [(name, {"calibration": "calibration rows", "scored": "these rows"}[name]) for name in groups]
    blocks: list[doc.Block] = [evaluated.histogram(groups, e.threshold, caption, legend)]
    if e.p_values.size >= 10:
        caption = (
            "p-values of all rows. Rows like the calibration rows fill the bars evenly; anomalies raise the first bar "
            "alone. Bars that slope mean that all rows differ, which is no matter of anomalies."
        )
        chart = charts.p_value_histogram(e.p_values, e.n_calibrate, "rows")
        blocks.append(doc.Chart(chart, "", caption, width="half"))
    return tuple(blocks)


def _counts(found: Scores) -> list[tuple[float, int, tuple[int, int]]]:
    """(rate, anomalies, how many normal rows would be flagged) at the rates that the calibration rows can hold."""
    e = found.rows
    rates = sorted({*REQUESTED, e.false_alarm_rate, *(rate for rate, _ in found.at_rates)})
    return [
        (rate, int((e.p_values <= rate + ROUNDING).sum()), flagged_range(len(e.names), rate, e.n_calibrate))
        for rate in rates
        if rank_of(rate, e.n_calibrate) >= 1
    ]


def _points(found: Scores) -> tuple[doc.Block, ...]:
    rows = tuple(
        (text.percent(rate), f"{n:,}", f"{between[0]:,} to {between[1]:,}") for rate, n, between in _counts(found)
    )
    caption = "How many rows are anomalies at other false-alarm rates, and how many of as many normal rows would be."
    return (doc.Table(caption, ("false-alarm rate", "anomalies", "due among normal rows"), rows),)


def _drift(found: Scores) -> tuple[doc.Block, ...]:
    drift = found.drift
    lines = [one.message for one in drift.findings]
    if drift.rows < LEAST:
        lines.append(f"Inputs and scores were not tested: fewer than {LEAST} rows say too little about drift.")
    elif not lines and drift.uniformity is None:
        lines = [
            "Nothing was found that speaks against it, but scores were not tested: there are fewer than "
            f"{LEAST} calibration rows."
        ]
    elif not lines:
        lines = ["Nothing was found that speaks against it: inputs and scores are like those of training."]
    if drift.uniformity is not None:
        lines.append(
            f"The test that these scores are distributed as the calibration rows' are has p = {drift.uniformity:.3g}. "
            "Many anomalies make it small as well, and so does, in many rows, a difference that is too small to matter."
        )
    if found.monitor is not None:
        lines.append(f"Over all runs: {found.monitor.describe()}.")
    return (doc.Notes(tuple(lines)),)


def _promised(found: Scores) -> tuple[str, ...]:
    if found.fdr is None:
        return found.rows.guarantee
    return (
        f"Anomalies were chosen by a false discovery rate of {text.percent(found.fdr)} (Benjamini and Hochberg): of "
        "what is called an anomaly, at most that share is normal on average, if normal rows are like the calibration "
        "rows. What follows is of single rows at the threshold.",
        *found.rows.guarantee,
    )


def _again(found: Scores, commands: Sequence[str]) -> tuple[doc.Block, ...]:
    if commands:
        return (doc.Commands("This report was made by", tuple(commands)),)
    lines = (
        "import oddgan",
        "",
        'detector = oddgan.load("MODEL")',
        "found = oddgan.evaluation.judge(detector, X)",
        'oddgan.report.write(found, "report.html")',
    )
    return (doc.Commands("In Python", lines, "python"),)
