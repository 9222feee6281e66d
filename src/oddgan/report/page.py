"""An evaluation as one self-contained HTML page."""

import base64
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .. import metrics
from ..evaluation import Evaluation, Example
from ..evaluation.figures import FIGURES, number
from ..files import whole_file
from . import charts, text
from .heat import png, shades_of, views

SIDE, LONGEST = 144, 320  # of the pictures in the page: tiny ones are enlarged, large ones reduced
GROUPS = {
    "most anomalous": ("Most anomalous rows", "The highest scores of all test rows, highest first."),
    "miss": ("Worst misses", "Anomalous rows below the threshold, lowest score first."),
    "false alarm": ("Worst false alarms", "Normal rows above the threshold, highest score first."),
}


def write_html(evaluation: Evaluation, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all. Raises OutputError when it cannot be written."""
    page = to_html(evaluation)
    with whole_file(path) as file:
        file.write(page.encode())


def to_html(evaluation: Evaluation) -> str:
    """One self-contained HTML page with its styles, charts and pictures: it loads nothing and runs no script."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": number,
        "percent": text.percent,
        "interval": text.interval,
        "strip": charts.strip,
    }
    e = evaluation
    return environment.get_template("report.html.j2").render(
        e=e,
        title=f"{text.detector_name(e)} on {e.data}",
        headline=text.headline(e),
        guarantee=e.guarantee,
        tiles=_tiles(e),
        histogram=charts.score_histogram(_groups(e), e.threshold),
        groups=list(_groups(e)),
        curves=_curves(e),
        pixel=[(FIGURES[name].head, value, FIGURES[name].chance) for name, value in e.pixel.items()],
        rivals=[text.rival_row(name, area) for name, area in e.rivals.items()],
        points=text.point_rows(e),
        galleries=_galleries(e),
        p_values=_p_values(e),
        players=_players(e),
        card=_card(e.detector),
        figures=FIGURES,
    )


def _template(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _tiles(e: Evaluation) -> list[tuple[str, str, str, str]]:
    """The few figures on top: name, value, and two lines about its certainty."""
    found = []
    for name in ("auroc", "average_precision"):
        if name in e.estimates:
            area = e.estimates[name]
            found.append(
                (
                    FIGURES[name].short,
                    number(area.value),
                    f"{text.interval(area)}",
                    f"chance {number(area.chance)}",
                )
            )
    if e.rates is not None:
        r = e.rates
        for label, rate, n, of, kind in (
            ("Anomalies detected", r.detection_rate, r.n_detected, r.n_anomalous, "anomalous"),
            ("False alarms", r.false_alarm_rate, r.n_false_alarms, r.n_normal, "normal"),
        ):
            if rate is not None:
                found.append(
                    (
                        label,
                        text.percent(rate.value),
                        f"{text.interval(rate, share=True)}",
                        f"{n:,} of {of:,} {kind} rows",
                    )
                )
    else:
        flagged = int(e.is_anomaly.sum())
        found.append(
            ("Flagged", text.percent(flagged / e.scores.size), f"{flagged} of {e.scores.size} rows", "no labels")
        )
    if e.pixel:
        pixel = {name: number(value) for name, value in e.pixel.items()}
        details = f"to 5%: {pixel['aupro_0.05']}", f"pixel AUROC {pixel['pixel_auroc']}"
        found.append((FIGURES["aupro_0.3"].short, pixel["aupro_0.3"], *details))
    return found


def _groups(e: Evaluation) -> dict[str, np.ndarray]:
    if e.labels is None:
        return {"all": e.scores}
    groups = {"normal": e.scores[~e.labels], "anomalous": e.scores[e.labels]}
    return {name: scores for name, scores in groups.items() if scores.size}


def _curves(e: Evaluation) -> list[dict[str, Any]]:
    if not e.estimates or e.labels is None or e.rates is None:
        return []
    detected, false = (rate.value if rate else math.nan for rate in (e.rates.detection_rate, e.rates.false_alarm_rate))
    alarms, found = metrics.roc_curve(e.labels, e.scores)
    recall, precision = metrics.precision_recall_curve(e.labels, e.scores)
    areas = e.estimates["auroc"], e.estimates["average_precision"]
    roc = charts.curve("ROC", zip(alarms, found, strict=True), areas[0], (false, detected))
    pr = charts.curve("Precision-recall", charts.steps(recall, precision), areas[1], (detected, e.rates.precision))
    return [
        {"name": "ROC curve", "svg": roc, "area": f"AUROC {areas[0]:.3f}", "chance": areas[0].chance},
        {"name": "Precision-recall curve", "svg": pr, "area": f"AUPRC {areas[1]:.3f}", "chance": areas[1].chance},
    ]


def _p_values(e: Evaluation) -> Any:
    """The histogram for normal test rows; None where there are too few to show a shape."""
    normal = e.p_values[~e.labels] if e.labels is not None else np.empty(0)
    return charts.p_value_histogram(normal, e.n_calibrate) if normal.size >= 10 else None


def _players(e: Evaluation) -> dict[str, list[dict[str, Any]]]:
    """The curves of all loss terms, by player: "G.adv" is the term adv of player G."""
    players: dict[str, list[dict[str, Any]]] = {}
    stages, updates = e.history.get("stage", ()), _running_total(e.history)
    for column, values in e.history.items():
        player, dot, term = column.partition(".")
        if dot and player != "val":
            curve = charts.training_curve(column, values, updates, stages, e.history.get(f"val.{column}", ()))
            players.setdefault(player, []).append({"term": term, "svg": curve})
    return players


def _running_total(history: Mapping[str, Sequence[Any]]) -> list[int]:
    """Updates since the start of the run at each line of the history; each stage counts from 0."""
    totals: list[int] = []
    before = 0
    stages, updates = history.get("stage", ()), history.get("update", ())
    for i, update in enumerate(updates):
        if i and stages[i] != stages[i - 1]:
            before = totals[-1]
        totals.append(before + update)
    return totals


def _galleries(e: Evaluation) -> list[dict[str, Any]]:
    found = []
    for group, (title, caption) in GROUPS.items():
        items = [_item(example, e) for example in e.examples if example.group == group]
        if items:
            found.append(
                {
                    "title": title,
                    "caption": caption,
                    "items": items,
                    "table": items[0]["picture"] is None,
                    "located": any(item["heat"] or item["example"].columns for item in items),
                }
            )
    return found


def _item(example: Example, e: Evaluation) -> dict[str, Any]:
    item: dict[str, Any] = {"example": example, "verdict": _verdict(example), "picture": None, "heat": None}
    if example.picture is not None:
        picture, *heat = views(example, shades_of(e), SIDE, LONGEST)
        item |= {"picture": _embedded(picture), "size": picture.shape}
        if example.anomaly_map is not None:
            item |= {"heat": _embedded(heat[0]), "where": _where(example.anomaly_map)}
    return item


def _verdict(example: Example) -> tuple[str, str]:
    """Whether the verdict was right, as text and as a class of the style sheet."""
    flagged, label = example.is_anomaly, example.label
    if label is None:
        return ("flagged" if flagged else "not flagged"), "plain"
    if label:
        return ("detected", "right") if flagged else ("missed", "wrong")
    return ("false alarm", "wrong") if flagged else ("passed", "right")


def _where(anomaly_map: np.ndarray) -> str:
    """Where a map peaks, as text for screen readers."""
    y, x = np.unravel_index(int(np.argmax(anomaly_map)), anomaly_map.shape)
    row = ("upper", "middle", "lower")[int(3 * y // anomaly_map.shape[0])]
    column = ("left", "centre", "right")[int(3 * x // anomaly_map.shape[1])]
    return f"{row} {column}"


def _embedded(picture: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def _card(facts: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """The detector's facts as tables: one for each group of facts, and "model" for facts without a group."""
    single = [(name, _short(value)) for name, value in facts.items() if not isinstance(value, Mapping)]
    return {"model": single} | {name: _flat(value) for name, value in facts.items() if isinstance(value, Mapping)}


def _flat(facts: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as (dotted name, value) pairs for a table; long lists are truncated."""
    if isinstance(facts, Mapping):
        return [
            pair for key, value in facts.items() for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(facts, list | tuple):
        shown = ", ".join(_short(item) for item in facts[:8]) + (f", … ({len(facts)})" if len(facts) > 8 else "")
        return [(prefix, shown)]
    return [(prefix, _short(facts))]


def _short(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
