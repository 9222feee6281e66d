"""A calibration that was made anew, as a document and as JSON."""

from collections.abc import Sequence

from ..evaluation import Recalibration
from ..verdict.uniformity import flagged_range
from . import document as doc
from . import evaluated, text

SCHEMA_VERSION = 1


def document(found: Recalibration, commands: Sequence[str] = ()) -> doc.Document:
    """The whole report."""
    return doc.Document(
        title=f"{found.detector.get('detector', 'A detector')} calibrated with {found.data}",
        kind="calibration",
        note=found.note,
        sections=(
            doc.Section("", (*evaluated.warnings(found.warnings, "Before you use this threshold"), *_in_short(found))),
            doc.Section("Before and after", _thresholds(found)),
            doc.Section("Known defects", _defects(found)),
            doc.Section("What is guaranteed", tuple(map(doc.Paragraph, found.after.guarantee))),
            doc.Section("Model card", (evaluated.card(found.detector),)),
            doc.Section("Make it again", _again(commands)),
        ),
        footer="Made by oddgan. The networks are as they were; only threshold, p-values and the scale of maps are new. "
        "This file is self-contained: it loads nothing.",
    )


def to_json(found: Recalibration, commands: Sequence[str] = ()) -> str:
    """Everything as strict JSON: "schema" ("oddgan.calibration"), "schema_version"; "data": {"name", "note"};
    "detector", "warnings", "commands" as an evaluation has them; "before" and "after": {"threshold",
    "false_alarm_rate", "false_alarm_range", "n_calibrate", "guarantee", "scores": [number], "by_stratum": [[name,
    threshold, rows]]}; "flagged_before": share of the new calibration rows above the old threshold; "defects": {"n",
    "caught", "interval": [low, high], "rate_for_all", "rate_for_90_percent"} or null. A key may be added within a
    version."""
    keys = {
        "schema": "oddgan.calibration",
        "schema_version": SCHEMA_VERSION,
        "data": {"name": found.data, "note": found.note},
        "detector": found.detector,
        "before": found.before,
        "after": found.after,
        "flagged_before": found.flagged_before,
        "defects": None,
        "warnings": found.warnings,
        "commands": commands,
    }
    if (known := found.defects) is not None:
        keys["defects"] = {
            "n": known.n,
            "caught": known.n_caught,
            "interval": known.interval,
            "rate_for_all": known.rate_for(1.0),
            "rate_for_90_percent": known.rate_for(0.9),
        }
    return text.written(keys)


def _in_short(found: Recalibration) -> tuple[doc.Block, ...]:
    before, after = found.before, found.after
    was, asked = text.percent(found.flagged_before), text.percent(before.false_alarm_rate)
    n = len(after.scores)
    low, high = flagged_range(n, before.false_alarm_rate, before.n_calibrate)
    said = (
        f"The threshold is now {after.threshold:.6g}; before, it was {before.threshold:.6g}. "
        f"The old one was set for {asked} false alarms and would have flagged {was} of the new calibration rows, which "
        f"is {_beside(round(n * found.flagged_before), low, high)} (in 99 of 100 cases {low:,} to {high:,} of {n:,} "
        "rows are flagged where nothing has changed)."
    )
    spread = map(text.percent, after.false_alarm_range)
    tiles = (
        doc.Tile("Threshold", f"{after.threshold:.4g}", (f"before: {before.threshold:.4g}",)),
        doc.Tile(
            "False alarms promised", text.percent(after.false_alarm_rate), (" to ".join(spread) + " in 9 of 10 cases",)
        ),
        doc.Tile("Under the old threshold", was, (f"of {len(after.scores):,} new rows flagged",)),
        doc.Tile("Calibration rows", f"{after.n_calibrate:,}", (f"before: {before.n_calibrate:,}",)),
    )
    return doc.Paragraph(said, "lead"), doc.Tiles(tiles)


def _beside(flagged: int, low: int, high: int) -> str:
    """What the number of new calibration rows above the old threshold says of it."""
    if flagged > high:
        return "more than chance explains: it no longer held, and a new one was due"
    if flagged < low:
        return "less than chance explains: it was stricter than such rows need"
    return "usual"


def _thresholds(found: Recalibration) -> tuple[doc.Block, ...]:
    before, after = found.before, found.after
    groups = {"before": before.scores, "after": after.scores}
    caption = (
        "The scores of the calibration rows, the old ones and the new ones. Dashed: the old threshold. Each group's "
        "bars add up to 100%."
    )
    legend = [("before", "calibration rows before"), ("after", "calibration rows now")]
    rows = [
        ("threshold", f"{before.threshold:.6g}", f"{after.threshold:.6g}"),
        ("false-alarm rate", text.percent(before.false_alarm_rate), text.percent(after.false_alarm_rate)),
        ("true rate in 9 of 10 cases", *(_range(one.false_alarm_range) for one in (before, after))),
        ("calibration rows", f"{before.n_calibrate:,}", f"{after.n_calibrate:,}"),
        ("of the new rows flagged", text.percent(found.flagged_before), text.percent(_flagged(found))),
    ]
    blocks: list[doc.Block] = [
        evaluated.histogram(groups, after.threshold, caption, legend, before.threshold),
        doc.Table("What has changed", ("", "before", "now"), tuple(rows)),
    ]
    if after.by_stratum:
        own = tuple((name, f"{threshold:.6g}", f"{n:,}") for name, threshold, n in after.by_stratum)
        blocks.append(doc.Table("Sorts of normals with thresholds of their own", ("sort", "threshold", "rows"), own))
    return tuple(blocks)


def _flagged(found: Recalibration) -> float:
    return float((found.after.scores > found.after.threshold).mean())


def _range(between: tuple[float, float]) -> str:
    return " to ".join(map(text.percent, between))


def _defects(found: Recalibration) -> tuple[doc.Block, ...]:
    known = found.defects
    if known is None:
        return ()
    rows = (
        ("caught at the new threshold", f"{known.n_caught} of {known.n}", text.percent(known.n_caught / known.n)),
        ("95% interval of that share", "", _range(known.interval)),
        ("false-alarm rate that catches nine of ten", "", text.percent(known.rate_for(0.9))),
        ("false-alarm rate that catches all", "", text.percent(known.rate_for(1.0))),
    )
    said = "They had no influence on the threshold. A rate that is chosen to catch them catches fewer of new defects."
    return doc.Table("Some known defects", ("", "number", "share"), rows), doc.Paragraph(said, "soft")


def _again(commands: Sequence[str]) -> tuple[doc.Block, ...]:
    if commands:
        return (doc.Commands("This report was made by", tuple(commands)),)
    lines = (
        "import oddgan",
        "",
        'before = oddgan.load("MODEL")',
        "after = before.recalibrate(X)",
        "found = oddgan.evaluation.calibration_of(before, after)",
        'oddgan.report.write(found, "report.html")',
    )
    return (doc.Commands("In Python", lines, "python"),)
