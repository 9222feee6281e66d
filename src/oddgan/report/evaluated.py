"""The document of an evaluation, section by section; other reports take some of its sections."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import metrics
from ..errors import OddganError
from ..evaluation import Evaluation
from ..evaluation.figures import FIGURES, number
from . import charts, pictures, text
from . import document as doc

LISTED = 12_000  # rows that a page lists: their text is about a megabyte and a half
STATED = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # false-alarm rates at which a curve is stated in numbers


def document(e: Evaluation, commands: Sequence[str] = ()) -> doc.Document:
    """The whole report."""
    return doc.Document(
        title=f"{text.detector_name(e)} on {e.data}",
        kind="evaluation",
        note=e.note,
        sections=(
            doc.Section("", (*warnings(e.warnings), *in_short(e))),
            *sections(e),
            doc.Section("Training", curves_of_training(e.history)),
            doc.Section("Model card", (card(e.detector),)),
            doc.Section("Make it again", again(e.detector, commands, f"oddgan.evaluate(detector, split)  # {e.data}")),
        ),
        footer=f"Made by oddgan from {len(e.names):,} test rows. Nothing was tuned on them: weights, threshold and "
        "scale come from normal rows alone. This file is self-contained: it loads nothing.",
    )


def sections(e: Evaluation) -> tuple[doc.Section, ...]:
    """What the test rows say."""
    return (
        doc.Section("Scores", scores(e)),
        doc.Section("Figures", figures(e)),
        doc.Section("By kind", kinds(e)),
        doc.Section("Examples", pictures.galleries(e)),
        doc.Section("Map of the rows", latent(e)),
        doc.Section("What the threshold guarantees", (*map(doc.Paragraph, e.guarantee), *p_values(e))),
        doc.Section("All rows", listing(e)),
        doc.Section("Left out", left_out(e)),
    )


def warnings(lines: Sequence[str], title: str = "Before you trust these figures") -> tuple[doc.Block, ...]:
    """What a reader must know first."""
    return (doc.Warnings(tuple(lines), title),) if lines else ()


def in_short(e: Evaluation) -> tuple[doc.Paragraph, doc.Tiles]:
    """The main figures in a sentence or two, and on top."""
    tiles = []
    for name in ("auroc", "average_precision"):
        if name in e.estimates:
            area = e.estimates[name]
            beside = text.interval(area), f"chance {number(area.chance)}"
            tiles.append(doc.Tile(FIGURES[name].short, number(area.value), beside))
    if e.rates is not None:
        r = e.rates
        for label, rate, n, of, kind in (
            ("Anomalies detected", r.detection_rate, r.n_detected, r.n_anomalous, "anomalous"),
            ("False alarms", r.false_alarm_rate, r.n_false_alarms, r.n_normal, "normal"),
        ):
            if rate is not None:
                beside = text.interval(rate, share=True), f"{n:,} of {text.counted(of, kind)}"
                tiles.append(doc.Tile(label, text.percent(rate.value), beside))
    else:
        flagged, n = int(e.is_anomaly.sum()), e.scores.size
        beside = f"{flagged:,} of {text.counted(n)}", "no labels"
        tiles.append(doc.Tile("Flagged", text.percent(flagged / max(1, n)), beside))
    if e.pixel:
        pixel = {name: number(value) for name, value in e.pixel.items()}
        beside = f"to 5%: {pixel['aupro_0.05']}", f"pixel AUROC {pixel['pixel_auroc']}"
        tiles.append(doc.Tile(FIGURES["aupro_0.3"].short, pixel["aupro_0.3"], beside))
    return doc.Paragraph(" ".join(text.headline(e)), "lead"), doc.Tiles(tuple(tiles))


def scores(e: Evaluation) -> tuple[doc.Block, ...]:
    """How scores are distributed, and how they separate."""
    groups = {"all": e.scores}
    if e.labels is not None:
        groups = {"normal": e.scores[~e.labels], "anomalous": e.scores[e.labels]}
    groups = {name: some for name, some in groups.items() if some.size}
    caption = (
        f"Rows to the right of the threshold {e.threshold:.6g} are flagged. It was set on {e.n_calibrate:,} normal "
        f"rows held out of training, for {text.percent(e.false_alarm_rate)} false alarms. Each group's bars add "
        "up to 100%."
    )
    legend = [(name, f"{name} rows") for name in groups]
    return (
        histogram(groups, e.threshold, caption, legend),
        *_areas(e),
    )


def histogram(
    groups: dict[str, np.ndarray], threshold: float, caption: str, legend: doc.Pairs = (), before: float | None = None
) -> doc.Chart:
    """The distribution of scores, as `charts.score_histogram` draws it, for wide and for narrow pages."""
    wide, narrow = (charts.score_histogram(groups, threshold, before, width) for width in (960, 460))
    return doc.Chart(wide, "", caption, legend, _quantiles(groups), narrow=narrow)


def _quantiles(groups: Mapping[str, np.ndarray]) -> doc.Table:
    """A histogram in numbers."""
    shares = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    rows = [(name, *(f"{value:.4g}" for value in np.quantile(some, shares))) for name, some in groups.items()]
    return doc.Table("Quantiles of the scores", ("rows", *(text.percent(one) for one in shares)), tuple(rows))


def _areas(e: Evaluation) -> tuple[doc.Chart, ...]:
    if not e.estimates or e.labels is None or e.rates is None:
        return ()
    detected, false = (rate.value if rate else math.nan for rate in (e.rates.detection_rate, e.rates.false_alarm_rate))
    alarms, found = metrics.roc_curve(e.labels, e.scores)
    recall, precision = metrics.precision_recall_curve(e.labels, e.scores)
    roc, pr = e.estimates["auroc"], e.estimates["average_precision"]
    stated = tuple(
        (text.percent(rate), text.percent(float(found[np.searchsorted(alarms, rate, side="right") - 1])))
        for rate in STATED
    )
    head = "false alarms", "detected"
    return (
        doc.Chart(
            charts.curve("ROC", zip(alarms, found, strict=True), roc, (false, detected)),
            "ROC curve",
            f"AUROC {roc.value:.3f}. Dashed: chance, {number(roc.chance)}.",
            data=doc.Table("Detected at false-alarm rates of the test rows", head, stated, numbers_from=0),
            width="half",
        ),
        doc.Chart(
            charts.curve("Precision-recall", charts.steps(recall, precision), pr, (detected, e.rates.precision)),
            "Precision-recall curve",
            f"AUPRC {pr.value:.3f}. Dashed: chance, {number(pr.chance)}.",
            width="half",
        ),
    )


def figures(e: Evaluation) -> tuple[doc.Block, ...]:
    """Everything that was measured, with what needs no detector beside it, and other thresholds."""
    found: list[doc.Block] = []
    if e.estimates or e.rates:
        rows = text.figure_rows(e)
        faint = frozenset(range(len(rows) - len(e.rivals), len(rows)))
        caption = "Areas with 95% bootstrap intervals, rates at the threshold with 95% Wilson intervals."
        if e.rivals:
            caption += (
                " In grey, what needs no detector: where that does as well, a figure says little about the detector."
            )
        found.append(doc.Table(caption, text.FIGURE_HEAD, tuple(rows), faint=faint))
    if e.pixel:
        found.append(
            doc.Paragraph(
                f"Pixel figures measure how well the heat maps localise defects, over {e.n_masks:,} pictures with "
                "masks, at the masks' size. AUPRO averages over defect regions, so that small ones count as much as "
                "large ones.",
                "soft",
            )
        )
    if e.operating_points:
        caption = "The same scores at other thresholds: what a false-alarm rate costs and what it gains."
        found.append(doc.Table(caption, text.POINT_HEAD, tuple(text.point_rows(e))))
    return tuple(found)


def kinds(e: Evaluation) -> tuple[doc.Block, ...]:
    """Every kind of test row."""
    if not e.by_kind:
        return ()
    order = sorted(range(len(e.by_kind)), key=lambda i: not e.by_kind[i].is_anomaly)  # anomalies first
    strips = tuple(charts.strip(area) if (area := e.by_kind[i].auroc) else "" for i in order)
    faint = frozenset(k for k, i in enumerate(order) if not e.by_kind[i].is_anomaly)
    rows = text.kind_rows(e)
    caption = "Each kind of anomaly against all normal rows."
    if any(strips):
        caption += " The strip shows AUROC from 0 to 1 with its interval; the tick is chance."
    return (doc.Table(caption, text.KIND_HEAD, tuple(rows[i] for i in order), strips=strips, faint=faint),)


def latent(e: Evaluation) -> tuple[doc.Block, ...]:
    """Where rows are in the detector's features."""
    if e.latent is None:
        return ()
    groups: dict[tuple[str, str], list[tuple[float, float, str]]] = {}
    for row, (x, y) in zip(e.latent.rows.tolist(), e.latent.points.tolist(), strict=True):
        name, _ = text.verdict(bool(e.is_anomaly[row]), None if e.labels is None else bool(e.labels[row]))
        kind = f" ({e.kinds[row]})" if e.kinds else ""
        note = f"{e.names[row]}{kind}: {name}, score {e.scores[row]:.4g}"
        groups.setdefault((name, CSS[name]), []).append((x, y, note))
    groups = {key: groups[key] for key in sorted(groups, key=lambda key: list(CSS).index(key[0]))}
    of = f"{len(e.latent.rows):,} rows drawn from all {len(e.names):,}"
    if len(e.latent.rows) == len(e.names):
        of = f"all {len(e.names):,} rows" if len(e.names) > 1 else "the one row"
    first, second = map(text.percent, e.latent.share)
    caption = (
        f"The detector's features of {of}, in their first two principal components, which have {first} and {second} of "
        "the variance. Near each other are rows that the detector finds alike; anomalies among normal rows here may "
        "still be apart in other directions."
    )
    legend = [(css, name) for name, css in groups]
    return (doc.Chart(charts.scatter(groups), "", caption, legend),)


CSS = {"passed": "passed", "normal": "passed", "false alarm": "alarm", "detected": "detected", "anomaly": "detected"}
CSS["missed"] = "missed"


def p_values(e: Evaluation) -> tuple[doc.Block, ...]:
    """Whether normal test rows are like the calibration rows, where there are enough to show a shape."""
    normal = e.p_values[~e.labels] if e.labels is not None else np.empty(0)
    if normal.size < 10:
        return ()
    caption = (
        "p-values of the normal test rows. If these resemble the calibration rows, the bars are level, and nearly all "
        "are within the grey band. Tall bars on the left mean more false alarms than requested."
    )
    return (doc.Chart(charts.p_value_histogram(normal, e.n_calibrate), "", caption, width="half"),)


def listing(e: Evaluation) -> tuple[doc.Block, ...]:
    """All rows, most anomalous first."""
    order = np.argsort(-e.scores, kind="stable")[:LISTED].tolist()
    head = [
        "row",
        "score",
        "p-value",
        "verdict",
        *["label"] * (e.labels is not None),
        *["kind"] * (e.kinds is not None),
    ]
    rows = []
    for i in order:
        label = None if e.labels is None else bool(e.labels[i])
        line = [e.names[i], f"{e.scores[i]:.6g}", f"{e.p_values[i]:.4g}", text.verdict(bool(e.is_anomaly[i]), label)[0]]
        line += [] if label is None else ["anomalous" if label else "normal"]
        line += [] if e.kinds is None else [e.kinds[i]]
        rows.append(tuple(line))
    n = len(e.names)
    whole = f"All {n:,} rows" if n > 1 else "The one row"
    which = whole if n <= LISTED else f"The {LISTED:,} most anomalous of {n:,} rows; the JSON has all"
    choices = tuple(i for i, name in enumerate(head) if name in ("verdict", "kind"))
    caption = f"{which}, most anomalous first."
    return (doc.Listing(caption, tuple(head), tuple(rows), frozenset({1, 2}), choices),) if rows else ()


def left_out(e: Evaluation) -> tuple[doc.Block, ...]:
    """What could not be used."""
    if not e.skipped:
        return ()
    shown = tuple(e.skipped[:100])
    more = f"; the first {len(shown)}" if len(shown) < len(e.skipped) else ""
    return (doc.Table(f"{len(e.skipped):,} could not be used{more}.", ("row", "reason"), shown, numbers_from=2),)


def curves_of_training(history: Mapping[str, Sequence[Any]]) -> tuple[doc.Block, ...]:
    """The curves of all loss terms, player by player: "G.adv" is the term adv of player G."""
    stages, updates = history.get("stage", ()), _running_total(history)
    found = [
        doc.Chart(
            charts.training_curve(column, values, updates, stages, history.get(f"val.{column}", ())),
            column,
            width="small",
        )
        for column, values in history.items()
        if "." in column and not column.startswith("val.")
    ]
    if not found:
        return ()
    how = (
        "Every loss term over the updates, by the network that is updated (before the dot); dashed: on held-out rows. "
        "In an adversarial game a level curve can be healthy; a discriminator's loss at zero or a term that explodes "
        "is not."
    )
    return doc.Paragraph(how, "soft"), *sorted(found, key=lambda one: one.title.partition(".")[0])


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


FOLDED = ("tuning", "neighbourhood", "maps", "profile")
"""Groups of facts that few readers look for."""


def card(facts: Mapping[str, Any]) -> doc.Facts:
    """The detector's facts: one group for each group of facts, and "model" for facts without a group."""
    single = [(name, _short(value)) for name, value in facts.items() if not isinstance(value, Mapping)]
    groups = {name: _flat(value) for name, value in facts.items() if isinstance(value, Mapping)}
    for name in ("health", "warnings"):  # which have sections of their own
        groups = {key: [one for one in pairs if not one[0].startswith(name)] for key, pairs in groups.items()}
    folded = {name: groups.pop(name) for name in FOLDED if name in groups}
    return doc.Facts({"model": single} | groups, folded)


def _flat(facts: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as (dotted name, value) pairs for a table; long lists are truncated."""
    if isinstance(facts, Mapping):
        return [
            pair for key, value in facts.items() for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    return [(prefix, _short(facts))]


def _short(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        if any(isinstance(one, Mapping) for one in value):
            return f"{len(value)}"
        return ", ".join(_short(item) for item in value[:8]) + (f", … ({len(value)})" if len(value) > 8 else "")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def again(facts: Mapping[str, Any], commands: Sequence[str], call: str) -> tuple[doc.Block, ...]:
    """What makes it again: the commands that were used, or else the call in Python, after `call`'s detector."""
    if commands:
        return (doc.Commands("This report was made by", tuple(commands)),)
    made = construction(facts)
    fit = "detector.fit(split.train, tune=split.tune, calibrate=split.calibrate)"
    write = f"found = {call}", 'oddgan.report.write(found, "report.html")'
    lines = ("import oddgan", "", *([f"detector = {made}", fit] if made else []), *write)
    return (doc.Commands("In Python, with a split of oddgan.data.load", lines, "python"),)


def construction(facts: Mapping[str, Any]) -> str:
    """The call that makes a detector like this one, with all parameters that are not at their defaults; "" of one that
    has no name of its own."""
    from ..parameters import declared

    name, given = str(facts.get("detector", "")), facts.get("parameters", {})
    try:
        from ..detectors import get

        known = declared(get(name.lower()))
    except OddganError:  # of another package, or an ensemble
        return ""
    seed = facts.get("training", {}).get("seed")
    values = {key: value for key, value in given.items() if key in known and value != known[key].default}
    values |= {"random_state": seed} if seed is not None and not values.get("random_state") else {}
    shown = ", ".join(f"{key}={tuple(value) if isinstance(value, list) else value!r}" for key, value in values.items())
    return f"oddgan.{name}({shown})"
