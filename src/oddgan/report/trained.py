"""A training as a document and as JSON."""

from collections.abc import Sequence

import numpy as np

from ..evaluation import Training
from ..hooks import clock
from . import document as doc
from . import evaluated, text
from .heat import SIDE, enlarged
from .pictures import TINY, data_address

SCHEMA_VERSION = 1

MEANINGS = {
    "trained": "whether networks were trained",
    "broken_off": "whether a stage ended before its budget did, by a failure or an interruption",
    "updates": "updates of the player that was updated least",
    "epochs": "passes over the training rows",
    "travel": "learning rate times updates: how far a weight could go",
    "moved": "how far training took the weights, as a share of their norm",
    "constant": "whether the losses stood still",
    "won": "highest cross-entropy of the discriminator in the second half; 1.39 is guessing",
    "fooled": "growth of the adversarial loss since the first quarter",
    "largest_term": "largest loss term",
    "growth": "growth of the loss term that grew most",
    "falling": "share of a loss's fall that came in the last fifth",
    "rising": "share of its fall that a held-out loss took back",
    "spread": "distances among generated rows, relative to training rows'",
    "coverage": "training rows near generated ones, of what held-out rows cover",
    "copies": "distance of generated rows to training rows, relative to held-out rows'",
    "answer": "reconstructions nearer to their own row than to another; one half is guessing",
    "answer_spread": "variance of reconstructions, relative to rows'",
    "kept": "variance of held-out rows that reconstructions explain",
    "kept_other": "the same of rows that are none; as high: anything is reconstructed",
    "features": "how much the features vary with the row",
    "score_range": "range of held-out rows' scores over their largest",
    "gap": "held-out rows that score above training rows; one half where nothing was memorised",
    "finds": "AUROC of simulated anomalies, which are easy, against held-out rows",
    "finds_error": "its standard error",
    "responds": "simulated anomalies that score above the rows that they were made of",
}
"""What the indicators of `oddgan.model.indicators` mean, in a line."""


def document(found: Training, commands: Sequence[str] = ()) -> doc.Document:
    """The whole report, with what the test rows say where there are labelled ones."""
    e = found.evaluation
    own = [] if e is None else [line for line in e.warnings if not line.startswith("of the training: ")]
    return doc.Document(
        title=f"{found.detector.get('detector', 'A detector')} trained on {found.data}",
        kind="training",
        note=found.note,
        sections=(
            doc.Section(
                "",
                (
                    *evaluated.warnings([*found.warnings, *own], "Before you use this model"),
                    *_in_short(found),
                ),
            ),
            doc.Section("Training", evaluated.curves_of_training(found.history)),
            doc.Section("How training went", _health(found)),
            doc.Section("Generated rows" if found.columns else "Generated", _generated(found)),
            doc.Section("Calibration", _calibration(found)),
            *(() if e is None else _tested(found)),
            doc.Section("Model card", (evaluated.card(found.detector),)),
            doc.Section(
                "Make it again", evaluated.again(found.detector, commands, "oddgan.evaluation.training_of(detector)")
            ),
        ),
        footer="Made by oddgan. Weights, threshold and scale come from normal rows alone. This file is self-contained: "
        "it loads nothing.",
    )


def to_json(found: Training, commands: Sequence[str] = ()) -> str:
    """Everything as strict JSON: "schema" ("oddgan.training"), "schema_version"; "data": {"name", "note", "rows":
    text}; "detector", "calibration", "warnings", "history", "commands" as an evaluation has them; "health": {indicator:
    value}; "seconds"; "calibration_scores": [number]; "generated": rows of a table's generator or null;
    "evaluation": as `oddgan.report.text.to_json` has it, or null. A key may be added within a version."""
    table = found.generated is not None and found.generated.ndim == 2
    return text.written(
        {
            "schema": "oddgan.training",
            "schema_version": SCHEMA_VERSION,
            "data": {"name": found.data, "note": found.note, "rows": found.rows},
            "detector": found.detector,
            "calibration": text.calibration_keys(found),
            "warnings": found.warnings,
            "health": found.health,
            "seconds": found.seconds,
            "history": found.history,
            "calibration_scores": found.calibration,
            "columns": found.columns,
            "generated": found.generated if table else None,
            "evaluation": None if found.evaluation is None else text.evaluation_keys(found.evaluation),
            "commands": commands,
        }
    )


def _in_short(found: Training) -> tuple[doc.Block, ...]:
    facts = found.detector.get("training", {})
    rows, updates = facts.get("rows", 0), facts.get("updates", {})
    steps = ", ".join(f"{_count(count)} updates ({stage})" for stage, count in updates.items())
    said = [
        f"{found.detector.get('detector', 'A detector')} learned from {rows:,} normal rows"
        f"{f' in {steps}' if steps else ''}. It takes {found.rows}."
    ]
    n = len(found.warnings)
    if n:
        said.append(f"Above {'are' if n > 1 else 'is'} {n} thing{'s' * (n > 1)} to know.")
    elif _trains(found):
        said.append("Nothing was found that speaks against this training.")
    tiles = [doc.Tile("Trained on", f"{rows:,}", ("normal rows",))]
    if found.seconds is not None:
        where = " on ".join(str(facts[name]) for name in ("precision", "device") if name in facts)
        tiles.append(doc.Tile("Time", clock(found.seconds), (where,) if where else ()))
    low, high = map(text.percent, found.false_alarm_range)
    beside = f"{low} to {high} in 9 of 10 cases", f"by {found.n_calibrate:,} held-out rows"
    tiles.append(doc.Tile("False alarms promised", text.percent(found.false_alarm_rate), beside))
    tiles.append(doc.Tile("Threshold", f"{found.threshold:.4g}", ("scores above it are anomalies",)))
    if found.evaluation is not None:
        tiles += evaluated.in_short(found.evaluation)[1].items[:2]
        said += text.headline(found.evaluation)
    return doc.Paragraph(" ".join(said), "lead"), doc.Tiles(tuple(tiles))


def _trains(found: Training) -> bool:
    """Whether there are networks, whose training can go wrong."""
    return bool(found.health.get("trained", 1.0))


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _health(found: Training) -> tuple[doc.Block, ...]:
    if not found.health:
        return ()
    rows = []
    for name, value in sorted(found.health.items()):
        what, _, player = name.partition(".")
        rows.append((f"{what} of {player}" if player else what, MEANINGS.get(what, ""), f"{value:.4g}"))
    fine = "No rule about these indicators found anything wrong."
    if not _trains(found):
        fine = "This detector trains no networks: there is no training that could go wrong."
        rows = [row for row in rows if row[0] != "trained"]
    said = doc.Notes(found.warnings) if found.warnings else doc.Paragraph(fine)
    how = "Indicators that need no anomalies, measured when training ended."
    return said, doc.Table(how, ("indicator", "what it is", "value"), tuple(rows), 2, folded=True)


def _generated(found: Training) -> tuple[doc.Block, ...]:
    made = found.generated
    if made is None or not len(made):
        return ()
    if made.ndim == 2:
        columns = found.columns or tuple(f"column {i}" for i in range(made.shape[1]))
        rows = tuple(tuple(_cell(value) for value in row[:12]) for row in made[:8].tolist())
        more = f"; the first 12 of {len(columns)} columns" if len(columns) > 12 else ""
        caption = f"Rows that the generator made{more}. They should look like training rows."
        return (doc.Table(caption, tuple(map(str, columns[:12])), rows, numbers_from=0),)
    views = tuple(_view(picture, i) for i, picture in enumerate(made))
    caption = "Pictures that the generator made. They should look like training pictures, and not like each other."
    return (doc.Sheet(views, caption),)


def _view(picture: np.ndarray, i: int) -> doc.View:
    sharp = max(picture.shape[:2]) <= TINY
    shown = enlarged(picture, SIDE // 2, 160)
    address = data_address(shown, lossless=sharp)
    return doc.View("generated", address, shown.shape[1], shown.shape[0], f"Generated picture {i + 1}", sharp)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _calibration(found: Training) -> tuple[doc.Block, ...]:
    groups = {"calibration": found.calibration}
    caption = (
        f"The scores of the {len(found.calibration):,} normal rows that were held out of training. The threshold is "
        f"set so that at most {text.percent(found.false_alarm_rate)} of such rows are above it."
    )
    return evaluated.histogram(groups, found.threshold, caption), *map(doc.Paragraph, found.guarantee)


def _tested(found: Training) -> tuple[doc.Section, ...]:
    """What the test rows say, but for what has been said of the calibration."""
    assert found.evaluation is not None
    titles = {"Scores": "Scores of the test rows", "Figures": "Figures on the test rows"}
    kept = [one for one in evaluated.sections(found.evaluation) if one.title != "What the threshold guarantees"]
    return tuple(doc.Section(titles.get(one.title, one.title), one.blocks) for one in kept)
