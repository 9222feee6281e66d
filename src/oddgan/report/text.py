"""An evaluation in words, as Markdown and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation import Evaluation
from ..metrics import Estimate, Rates

SCHEMA_VERSION = 1

AREAS = {
    "auroc": "AUROC",
    "average_precision": "AUPRC (average precision)",
    "auprc_trapezoid": "AUPRC (trapezoid)",
}
PIXEL = {
    "pixel_auroc": "pixel AUROC",
    "aupro_0.3": "AUPRO up to 30% false-alarm pixels",
    "aupro_0.05": "AUPRO up to 5%",
}
PIXEL_CHANCE = {"pixel_auroc": 0.5, "aupro_0.3": 0.15, "aupro_0.05": 0.025}


def detector_name(evaluation: Evaluation) -> str:
    """The detector's name, from its own facts."""
    return str(evaluation.detector.get("detector", "detector"))


def headline(evaluation: Evaluation) -> list[str]:
    """The verdict figures in plain words, a sentence each."""
    found = []
    area, rates = evaluation.estimates.get("auroc"), evaluation.rates
    if area is not None:
        found.append(
            f"Of 100 pairs of an odd and a normal row, the odd one gets the higher score in {100 * area.value:.0f} "
            f"(AUROC {area.value:.3f}, 95% interval {area.low:.3f} to {area.high:.3f}; guessing gives 0.5)."
        )
    if rates is None:
        flagged = int(evaluation.is_anomaly.sum())
        found.append(
            f"{flagged} of {_rows(evaluation.scores.size)} were flagged as odd; there are no labels to compare with."
        )
    else:
        found.append(
            f"At the threshold set for {percent(evaluation.false_alarm_rate)} false alarms it {_caught(rates)}."
        )
    return found


def _caught(rates: Rates) -> str:
    parts = []
    if rates.detection_rate is not None:
        share = percent(rates.detection_rate.value)
        parts.append(f"caught {rates.n_detected:,} of {_rows(rates.n_odd, 'odd')} ({share})")
    if rates.false_alarm_rate is not None:
        share = percent(rates.false_alarm_rate.value)
        parts.append(f"flagged {rates.n_false_alarms:,} of {_rows(rates.n_normal, 'normal')} ({share})")
    return " and ".join(parts)


def guarantee(evaluation: Evaluation) -> list[str]:
    """What the threshold promises, and when it does not."""
    low, high = evaluation.false_alarm_range
    asked, n = percent(evaluation.false_alarm_rate), evaluation.n_calibrate
    return [
        f"The threshold comes from {_rows(n, 'normal')} that were held out of training; no label and no test row "
        f"was used to set it. A row's p-value is the share of them, itself included, that score as high.",
        f"If new normal rows come from the same process as those (they are exchangeable), a normal row is flagged "
        f"with a probability of at most {asked}. That holds on average over calibration sets (it is marginal): "
        f"for this one set of {n} the true rate lies between {percent(low)} and {percent(high)} with a "
        f"probability of 90%, and more calibration rows narrow it.",
        "It does not hold when new normals differ from the calibration rows: another camera or lighting, another "
        "supplier, a drifting machine, near-duplicates of training rows in the calibration set. And it "
        "promises nothing about how many anomalies are caught; only test rows with labels tell.",
    ]


FIGURES = ("figure", "value", "95% interval", "chance")
KINDS = ("kind", "rows", "AUROC", "95% interval", "flagged", "share", "median score")


def figure_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """Every figure as a line of a table under `FIGURES`."""
    rows: list[tuple[str, ...]] = [
        (AREAS[name], number(area.value), interval(area), number(area.chance)) for name, area in e.estimates.items()
    ]
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
    return rows


def kind_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """Every kind of test row as a line of a table under `KINDS`."""
    return [
        (
            k.kind if k.is_anomaly else f"{k.kind} (normal)",
            f"{k.n:,}",
            number(k.auroc.value) if k.auroc else "",
            interval(k.auroc),
            f"{k.n_flagged:,}",
            percent(k.flagged.value),
            f"{k.median_score:.4g}",
        )
        for k in e.by_kind
    ]


def to_markdown(evaluation: Evaluation) -> str:
    """The figures as GitHub-flavoured Markdown: headline, warnings, tables of figures and kinds, the model."""
    e = evaluation
    lines = [f"# {detector_name(e)} on {e.data}", "", e.note, "", " ".join(headline(e)), ""]
    if e.warnings:
        lines += ["**Before you trust these figures**", "", *(f"- {line}" for line in e.warnings), ""]
    lines += _table(FIGURES, figure_rows(e))
    if e.by_kind:
        lines += _table(KINDS, kind_rows(e))
    lines += [
        f"Threshold {e.threshold:.6g}, set for {percent(e.false_alarm_rate)} false alarms by "
        f"{_rows(e.n_calibrate, 'normal')} held out of training.",
        "",
    ]
    return "\n".join(lines)


def to_json(evaluation: Evaluation) -> str:
    """The evaluation as strict JSON (NaN and infinite become null), UTF-8, keys in a fixed order.

    Schema version 1: "schema" ("oddgan.evaluation"), "schema_version"; "data": {"name", "note", "rows"};
    "detector": the detector's own facts; "calibration": {"threshold", "false_alarm_rate", "false_alarm_range",
    "n_calibrate"}; "estimates": {name: {"value", "low", "high", "chance"}}; "rates": {"false_alarm_rate" and
    "detection_rate" as estimates, "precision", "f1", "n_normal", "n_odd", "n_false_alarms", "n_detected"} or
    null; "by_kind": [{"kind", "is_anomaly", "n", "n_flagged", "flagged", "auroc", "median_score"}]; "pixel":
    {name: value}; "n_masks"; "warnings": [text]; "history": {column: [values]}; "rows": [{"name", "score",
    "p_value", "is_anomaly", "label", "kind", "terms": {name: value}}] in the test's order. A key may be added
    within a version; one that changes its meaning or goes makes a new version.
    """
    e = evaluation
    rows = [
        {
            "name": name,
            "score": e.scores[i],
            "p_value": e.p_values[i],
            "is_anomaly": e.is_anomaly[i],
            "label": None if e.labels is None else e.labels[i],
            "kind": None if e.kinds is None else e.kinds[i],
            "terms": {term: values[i] for term, values in e.terms.items()},
        }
        for i, name in enumerate(e.names)
    ]
    document = {
        "schema": "oddgan.evaluation",
        "schema_version": SCHEMA_VERSION,
        "data": {"name": e.data, "note": e.note, "rows": len(e.names)},
        "detector": e.detector,
        "calibration": {
            "threshold": e.threshold,
            "false_alarm_rate": e.false_alarm_rate,
            "false_alarm_range": e.false_alarm_range,
            "n_calibrate": e.n_calibrate,
        },
        "estimates": e.estimates,
        "rates": e.rates,
        "by_kind": e.by_kind,
        "pixel": e.pixel,
        "n_masks": e.n_masks,
        "warnings": e.warnings,
        "history": e.history,
        "rows": rows,
    }
    return json.dumps(_plain(document), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def number(value: float | None) -> str:
    """Three decimals, or a dash where there is no figure."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}"


def percent(share: float | None) -> str:
    """A share as a percentage, with as many decimals as it needs: 41%, 6.5%, 0.25%."""
    if share is None or not math.isfinite(share):
        return "–"
    decimals = 0 if share in (0, 1) else 1 if share >= 0.01 else 2
    text = f"{100 * share:.{decimals}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def interval(estimate: Estimate | None, *, share: bool = False) -> str:
    """ "0.871 to 0.946", or in percent; empty without an estimate."""
    if estimate is None:
        return ""
    show = percent if share else number
    return f"{show(estimate.low)} to {show(estimate.high)}"


def _rows(n: int, kind: str = "") -> str:
    return f"{n:,} {kind} row{'' if n == 1 else 's'}".replace("  ", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column to the left and numbers to the right; nothing without rows."""
    if not rows:
        return []
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(line)} |" for line in (head, rule, *cells)] + [""]


def _plain(value: Any) -> Any:
    """`value` in JSON's own types; what is not a finite number becomes None."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
