"""A comparison of detectors as a document."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from ..evaluation import Comparison, Contender
from ..evaluation.figures import FIGURES, number
from . import charts, comparison, text
from . import document as doc

DRAWN = ("auroc", "auprc", "aupro", "least_kind")
"""Figures that are drawn, those that there are."""


def document(found: Comparison, commands: Sequence[str] = ()) -> doc.Document:
    """The whole report."""
    head, rows = comparison.table(found)
    rivals = rivals_of(found)
    rows += [[f"{name} alone", *_only_auroc(found, head, area)] for name, area in rivals.items()]
    faint = frozenset(range(len(rows) - len(rivals), len(rows)))
    notes = comparison.notes(found)
    if rivals:
        notes.append(
            "In grey what needs no detector: the mean, the deviation or the file size of a picture as its score. "
            "Detectors near these say little about this data."
        )
    return doc.Document(
        title=f"Detectors on {found.data}",
        kind="comparison",
        note=found.note,
        sections=(
            doc.Section("", (*_warnings(found), *_in_short(found))),
            doc.Section(
                "Side by side",
                (
                    *_charts(found, rivals),
                    doc.Table("", tuple(head), tuple(map(tuple, rows)), faint=faint),
                    doc.Notes(tuple(notes)),
                ),
            ),
            doc.Section("Kinds of simulated anomalies", _simulated(found)),
            doc.Section("Runs", _runs(found)),
            doc.Section("Parameters", _parameters(found)),
            doc.Section("Make it again", _again(found, commands)),
        ),
        footer="Made by oddgan. Every detector was trained on the same normal rows and judged on the same test rows; "
        "thresholds were set without labels. This file is self-contained: it loads nothing.",
    )


def rivals_of(found: Comparison) -> dict[str, float]:
    """AUROC of what needs no detector, by name; empty of tables, and of results of before it was kept."""
    return next((dict(cell.facts["rivals"]) for cell in found.cells if cell.facts.get("rivals")), {})


def _only_auroc(found: Comparison, head: Sequence[str], area: float) -> list[str]:
    return [number(area) if name == FIGURES["auroc"].short else "" for name in head[1:]]


def _warnings(found: Comparison) -> tuple[doc.Block, ...]:
    lines = []
    if found.simulated:
        lines.append(
            "No figure here is of a true anomaly: they are simulated, made of held-out normal rows. They rank "
            "detectors and promise nothing."
        )
    if failed := [one.name for one in found.contenders if one.errors]:
        lines.append(f"Not every run succeeded: {', '.join(failed)}")
    if len(found.seeds) == 1:
        lines.append("One seed says nothing about how much a figure would differ with another: give several")
    own = [one.figures["auroc"].mean for one in found.contenders if "auroc" in one.figures]
    rivals = rivals_of(found)
    if own and rivals and max(rivals.values()) >= max(own):
        name = max(rivals, key=lambda one: rivals[one])
        lines.append(f"{name} alone has AUROC {rivals[name]:.3f}, which no detector exceeds")
    return (doc.Warnings(tuple(lines)),) if lines else ()


def _leader(found: Comparison) -> tuple[Contender, str] | None:
    """The detector that is ahead, and the figure that it is so by."""
    by = found.ranked_by or "auroc"
    known = [one for one in found.contenders if by in one.figures]
    return (max(known, key=lambda one: one.figures[by].mean), by) if known else None


def _in_short(found: Comparison) -> tuple[doc.Block, ...]:
    ahead = _leader(found)
    if ahead is None:
        return (doc.Paragraph("No detector could be judged on this data; the reasons are below.", "lead"),)
    best, by = ahead
    spread = best.figures[by]
    what = f"simulated {FIGURES[by].head}" if found.simulated else FIGURES[by].head
    give = f" ± {spread.deviation:.3f}" if spread.deviation is not None else ""
    others = [one for one in found.contenders if by in one.figures and one is not best]
    close = [one.name for one in others if one.figures[by].mean + _give(one, by) >= spread.mean - _give(best, by)]
    judged, wanted = len(others) + 1, len(found.contenders) + len(found.untried)
    value = f"{number(spread.mean)}{give}"
    if judged == 1:
        who = f"Only {best.name}, of {wanted} detectors, could be judged: it" if wanted > 1 else best.name
        said = f"{who} has {what} {value}."
    else:
        of = f"{judged} detectors" if judged == wanted else f"the {judged} of {wanted} detectors that could be judged"
        said = f"Of {of}, {best.name} has the highest {what}: {value}."
    said += f" Within the seeds' deviations of it: {', '.join(close)}." if close else ""
    tiles = [doc.Tile("Best", best.name, (f"{what} {number(spread.mean)}",))]
    for name, label in (("detected", "Anomalies detected"), ("false_alarms", "False alarms")):
        if name in best.figures:
            asked = [f"{text.percent(best.figures['asked'].mean)} asked for"] * ("asked" in best.figures)
            tiles.append(doc.Tile(label, text.percent(best.figures[name].mean), (f"by {best.name}", *asked)))
    tiles.append(doc.Tile("Test rows", f"{found.n_test:,}", (f"{text.percent(found.chance)} anomalous",)))
    return doc.Paragraph(said, "lead"), doc.Tiles(tuple(tiles))


def _give(one: Contender, by: str) -> float:
    return one.figures[by].deviation or 0.0


def _charts(found: Comparison, rivals: dict[str, float]) -> tuple[doc.Block, ...]:
    drawn = []
    for name in DRAWN:
        rows = [(one.name, one.figures[name].values) for one in found.contenders if name in one.figures]
        if not rows:
            continue
        rows.sort(key=lambda row: -mean(row[1]))
        if name == "auroc":
            rows += [(f"{rival} alone", (area,)) for rival, area in rivals.items()]
        chance = found.chance if name == "auprc" else FIGURES[name].chance
        what = f"simulated {FIGURES[name].short}" if found.simulated else FIGURES[name].short
        beside = [f"{rival} alone" for rival in rivals]
        legend = [("contender", "one run each")] + [("rival", "no detector")] * (name == "auroc" and bool(rivals))
        drawn.append(doc.Chart(charts.dots(what, rows, chance, beside), what, "", legend, width="half"))
    return tuple(drawn)


def _simulated(found: Comparison) -> tuple[doc.Block, ...]:
    """AUROC of each kind of simulated anomaly, the mean over seeds."""
    by: dict[str, dict[str, list[float]]] = {}
    for cell, name in _cells(found):
        for kind, area in cell.facts.get("simulated", {}).items():
            by.setdefault(name, {}).setdefault(kind, []).append(area)
    if not by:
        return ()
    kinds = sorted({kind for some in by.values() for kind in some})
    rows = tuple(
        (name, *(number(mean(some[kind])) if kind in some else "" for kind in kinds)) for name, some in by.items()
    )
    return (
        doc.Table("AUROC of each kind against all held-out normals, the mean over seeds.", ("detector", *kinds), rows),
    )


def _cells(found: Comparison) -> list[tuple[Any, str]]:
    """Every cell with its contender's name: cells come contender by contender, a seed each."""
    names = [one.name for one in found.contenders for _ in found.seeds]
    if len(names) != len(found.cells) or found.simulated:  # contenders were put in another order
        known = {(one.detector, tuple(sorted(map(str, one.parameters.items())))): one.name for one in found.contenders}
        parts = (
            (cell, {key: value for key, value in cell.parameters.items() if key != "random_state"})
            for cell in found.cells
        )
        return [
            (cell, known.get((cell.detector, tuple(sorted(map(str, own.items())))), cell.detector))
            for cell, own in parts
        ]
    return list(zip(found.cells, names, strict=True))


def _runs(found: Comparison) -> tuple[doc.Block, ...]:
    shown = [name for name in FIGURES if any(cell.figures.get(name) is not None for cell in found.cells)]
    rows = []
    for cell, name in _cells(found):
        values = [FIGURES[figure].spelt(cell.figures.get(figure)) for figure in shown]
        rows.append((name, str(cell.seed), *values, cell.error or ""))
    failed = any(cell.error for cell in found.cells)
    head = ["detector", "seed", *(FIGURES[name].short for name in shown), *["failed"] * failed]
    rows = [row if failed else row[:-1] for row in rows]
    return (doc.Table("Every run.", tuple(head), tuple(rows)),) if rows else ()


def _parameters(found: Comparison) -> tuple[doc.Block, ...]:
    """Those that are not at their defaults."""
    groups = {}
    for one in found.contenders:
        changed = _changed(one)
        groups[one.name] = [(name, str(value)) for name, value in changed.items()] or [("all", "at their defaults")]
    return (doc.Facts(groups),)


def _changed(one: Contender) -> dict[str, Any]:
    from ..errors import OddganError
    from ..parameters import declared, plain

    try:
        from ..detectors import get

        known = declared(get(one.detector.lower()))
    except OddganError:  # one's own
        return dict(one.parameters)
    return {
        name: value
        for name, value in one.parameters.items()
        if name not in known or value != plain(known[name].default)
    }


def _again(found: Comparison, commands: Sequence[str]) -> tuple[doc.Block, ...]:
    if commands:
        return (doc.Commands("This report was made by", tuple(commands)),)
    lines = ["import oddgan", "", "detectors = {"]
    for one in found.contenders:
        given = ", ".join(f"{name}={value!r}" for name, value in _changed(one).items())
        lines.append(f"    {one.name!r}: oddgan.{one.detector}({given}),")
    lines += ["}", f"found = oddgan.compare(split, detectors, seeds={tuple(found.seeds)})  # {found.data}"]
    lines.append('oddgan.report.write(found, "report.html")')
    return (doc.Commands("In Python, with a split of oddgan.data.load", tuple(lines), "python"),)
