"""An evaluation as sentences, as rows of tables and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation import Evaluation
from ..evaluation.figures import FIGURES, number
from ..metrics import Estimate, Rates
from ..verdict.guarantee import percent as spelt

SCHEMA_VERSION = 2


def detector_name(evaluation: Evaluation) -> str:
    """The detector's name, from its own facts."""
    return str(evaluation.detector.get("detector", "detector"))


def headline(evaluation: Evaluation) -> list[str]:
    """The main figures, a sentence each."""
    found = []
    area, rates = evaluation.estimates.get("auroc"), evaluation.rates
    if area is not None:
        found.append(
            f"In {100 * area.value:.0f} of 100 pairs of an anomalous and a normal row, the anomalous one scores higher "
            f"(AUROC {area.value:.3f}, 95% interval {area.low:.3f} to {area.high:.3f}; guessing gives 0.5)."
        )
    if rates is None:
        flagged = int(evaluation.is_anomaly.sum())
        were = "was" if evaluation.scores.size == 1 else "were"
        found.append(
            f"{flagged} of {counted(evaluation.scores.size)} {were} flagged; there are no labels to compare with."
        )
    else:
        found.append(
            f"At the threshold set for {percent(evaluation.false_alarm_rate)} false alarms it {_flagged(rates)}."
        )
    return found


def _flagged(rates: Rates) -> str:
    parts = []
    if rates.detection_rate is not None:
        share = percent(rates.detection_rate.value)
        parts.append(f"detected {rates.n_detected:,} of {counted(rates.n_anomalous, 'anomalous')} ({share})")
    if rates.false_alarm_rate is not None:
        share = percent(rates.false_alarm_rate.value)
        parts.append(f"flagged {rates.n_false_alarms:,} of {counted(rates.n_normal, 'normal')} ({share})")
    return " and ".join(parts)


FIGURE_HEAD = ("figure", "value", "95% interval", "chance")
KIND_HEAD = ("kind", "rows", "AUROC", "95% interval", "flagged", "share", "median score")


def figure_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """Every figure as a row of a table under `FIGURE_HEAD`."""
    rows = [_row(name, area.value, interval(area), number(area.chance)) for name, area in e.estimates.items()]
    if e.rates is not None:
        requested = f"requested: {percent(e.false_alarm_rate)}"
        for name, rate, beside in (
            ("detected", e.rates.detection_rate, ""),
            ("false_alarms", e.rates.false_alarm_rate, requested),
        ):
            if rate is not None:
                rows.append(_row(name, rate.value, interval(rate, share=True), beside))
        rows += [_row("precision", e.rates.precision), _row("f1", e.rates.f1)]
    rows += [_row(name, value, chance=number(FIGURES[name].chance)) for name, value in e.pixel.items()]
    rows += [rival_row(name, value) for name, value in e.rivals.items()]
    return rows


POINT_HEAD = ("false alarms asked for", "detected", "false alarms found")


def point_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """What other thresholds would give, as rows of a table under `POINT_HEAD`."""
    return [(percent(p.requested), percent(p.detected), percent(p.false_alarms)) for p in e.operating_points]


def rival_row(name: str, area: float) -> tuple[str, str, str, str]:
    """What needs no detector, as a row of a table under `FIGURE_HEAD`."""
    return f"AUROC of {name} alone", number(area), "", "0.500 or more"


def _row(name: str, value: float, between: str = "", chance: str = "") -> tuple[str, ...]:
    figure = FIGURES[name]
    return figure.head, percent(value) if figure.share else figure.spelt(value), between, chance


def kind_rows(e: Evaluation) -> list[tuple[str, ...]]:
    """Every kind of test row as a row of a table under `KIND_HEAD`."""
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


def verdict(flagged: bool, label: bool | None) -> tuple[str, str]:
    """Whether the verdict was right, as text and as a class of the style sheet."""
    if label is None:
        return ("anomaly", "flagged") if flagged else ("normal", "plain")
    if label:
        return ("detected", "right") if flagged else ("missed", "wrong")
    return ("false alarm", "wrong") if flagged else ("passed", "right")


def to_json(evaluation: Evaluation, commands: Sequence[str] = ()) -> str:
    """The evaluation as strict JSON (NaN and infinite become null), UTF-8, keys in a fixed order.

    Schema version 2: "schema" ("oddgan.evaluation"), "schema_version"; "data": {"name", "note", "rows"}; "detector":
    the detector's own facts; "calibration": {"threshold", "false_alarm_rate", "false_alarm_range", "n_calibrate",
    "guarantee": [text]}; "estimates": {name: {"value", "low", "high", "chance"}}; "rates": {"false_alarm_rate" and
    "detection_rate" as estimates, "precision", "f1", "n_normal", "n_anomalous", "n_false_alarms", "n_detected"} or
    null; "by_kind": [{"kind", "is_anomaly", "n", "n_flagged", "flagged", "auroc", "median_score"}]; "pixel": {name:
    value}; "n_masks"; "operating_points": [{"requested", "detected", "false_alarms"}]; "rivals": {name: AUROC of what
    needs no detector}; "skipped": [{"name", "reason"}]; "warnings": [text]; "history": {column: [values]}; "examples":
    [{"group", "row"}]; "latent_map": {"rows", "points", "share"} or null; "commands": [text] that make it again;
    "rows": [{"name", "score", "p_value", "is_anomaly", "label", "kind", "terms": {name: value}}] in the test's order,
    which "row" counts from 0. A key may be added within a version; a key that is removed or changes its meaning makes a
    new version.
    """
    return written(evaluation_keys(evaluation) | {"commands": commands})


def evaluation_keys(e: Evaluation) -> dict[str, Any]:
    """What the JSON of an evaluation holds, without the commands."""
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
    return {
        "schema": "oddgan.evaluation",
        "schema_version": SCHEMA_VERSION,
        "data": {"name": e.data, "note": e.note, "rows": len(e.names)},
        "detector": e.detector,
        "calibration": calibration_keys(e),
        "estimates": e.estimates,
        "rates": e.rates,
        "by_kind": e.by_kind,
        "pixel": e.pixel,
        "n_masks": e.n_masks,
        "operating_points": e.operating_points,
        "rivals": e.rivals,
        "skipped": [{"name": name, "reason": reason} for name, reason in e.skipped],
        "warnings": e.warnings,
        "history": e.history,
        "examples": [{"group": one.group, "row": one.row} for one in e.examples],
        "latent_map": e.latent,
        "rows": rows,
    }


def calibration_keys(one: Any) -> dict[str, Any]:
    """The key "calibration" of several reports."""
    names = ("threshold", "false_alarm_rate", "false_alarm_range", "n_calibrate", "guarantee")
    return {name: getattr(one, name) for name in names}


def written(keys: Mapping[str, Any]) -> str:
    """Strict JSON: numbers that are not finite become null; UTF-8, keys in their order."""
    return json.dumps(_plain(keys), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def percent(share: float | None) -> str:
    """A share as a percentage with the decimals that it needs: 41%, 6.5%, 0.25%."""
    return "–" if share is None or not math.isfinite(share) else spelt(share)


def interval(estimate: Estimate | None, *, share: bool = False) -> str:
    """ "0.871 to 0.946", or in percent; empty without an estimate."""
    if estimate is None:
        return ""
    show = percent if share else number
    return f"{show(estimate.low)} to {show(estimate.high)}"


def counted(n: int, kind: str = "") -> str:
    """ "1,200 normal rows", "1 row"."""
    return f"{n:,} {kind} row{'' if n == 1 else 's'}".replace("  ", " ")


def _plain(value: Any) -> Any:
    """`value` in JSON's types; numbers that are not finite become None."""
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
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # a file's name may be bytes that are no text
    return value if value is None or isinstance(value, int) else str(value)
