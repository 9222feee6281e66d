"""A reproduced table of a paper as a document and as JSON."""

from collections.abc import Sequence

from ..evaluation.figures import FIGURES
from ..papers import Reproduction
from . import charts, reproduction, reproduction_notes, text
from . import document as doc

SCHEMA_VERSION = 1


def document(found: Reproduction, commands: Sequence[str] = ()) -> doc.Document:
    """The whole report."""
    table, cells = found.table, found.cells
    failed = [cell for cell in cells if cell.error is not None]
    warnings = []
    if failed:
        warnings.append(f"{len(failed)} of {len(cells)} runs failed; the reasons are among the notes")
    if found.budget != "paper":
        warnings.append(
            f"The budget is {found.budget!r} and not the paper's: what is below the published figure may be so for "
            "that reason alone"
        )
    return doc.Document(
        title=table.title,
        kind="reproduction",
        note=table.source,
        sections=(
            doc.Section("", (doc.Warnings(tuple(warnings)),) if warnings else ()),
            doc.Section(
                "Methods",
                (*_chart(found), *_tables(reproduction.methods(table, cells))),
            ),
            doc.Section("By class", tuple(_tables(reproduction.classes(table, cells)))),
            doc.Section("Notes", (doc.Notes(tuple(reproduction_notes.notes(table, cells))),)),
            doc.Section("Make it again", _again(found, commands)),
        ),
        footer=f"Made by oddgan from {len(cells):,} runs. This file is self-contained: it loads nothing.",
    )


def to_json(found: Reproduction, commands: Sequence[str] = ()) -> str:
    """Everything as strict JSON: "schema" ("oddgan.reproduction"), "schema_version"; "table": {"name", "title",
    "source", "data", "figure", "classes", "protocols"}; "budget"; "methods": [{"title", "head": [text],
    "rows": [[text]]}];
    "notes": [text]; "published": [{"name", "run", "standing", "published": {figure: {class: value}}}]; "cells": every
    run; "commands": [text]. A key may be added within a version."""
    table = found.table
    names = ("name", "title", "source", "data", "figure", "classes", "protocols")
    return text.written(
        {
            "schema": "oddgan.reproduction",
            "schema_version": SCHEMA_VERSION,
            "table": {name: getattr(table, name) for name in names},
            "budget": found.budget,
            "methods": [
                {"title": title, "head": head, "rows": rows}
                for title, head, rows in reproduction.methods(table, found.cells)
            ],
            "notes": reproduction_notes.notes(table, found.cells),
            "published": [
                {"name": row.name, "run": row.run, "standing": row.standing, "published": row.published}
                for row in table.rows
            ],
            "cells": found.cells,
            "commands": commands,
        }
    )


def _tables(sections: Sequence[reproduction.Section]) -> list[doc.Table]:
    return [doc.Table(title, tuple(head), tuple(map(tuple, rows))) for title, head, rows in sections]


def _chart(found: Reproduction) -> tuple[doc.Block, ...]:
    """Each method's runs of the first protocol beside what was published, where both are shares."""
    table = found.table
    if table.task == "speed":
        return ()
    rows: list[tuple[str, list[float]]] = []
    published: dict[str, float] = {}
    for row in table.rows:
        figure = f"{row.term or 'score'} {table.figure}"
        own = [
            cell.figures.get(figure)
            for cell in found.cells
            if cell.error is None and cell.facts["run"] == row.run and cell.facts["protocol"] == table.protocols[0]
        ]
        known = [value for value in own if value is not None]
        stated = reproduction.stated(table, row, found.cells)
        if known or stated is not None:
            rows.append((row.name, known))
            published |= {} if stated is None else {row.name: stated}
    if not any(some for _, some in rows):
        return ()
    what = FIGURES[table.figure].head
    chart = charts.dots(f"{what}, {table.protocols[0]}", rows, FIGURES[table.figure].chance, marks=published, width=960)
    legend = [("contender", "one run each"), ("published", "published")]
    caption = (
        "Each dot is a run (a class and a seed), the line their mean; the ring is what was published, of the classes "
        "that were run where these are stated."
    )
    return (doc.Chart(chart, "", caption, legend),)


def _again(found: Reproduction, commands: Sequence[str]) -> tuple[doc.Block, ...]:
    if commands:
        return (doc.Commands("This report was made by", tuple(commands)),)
    lines = (
        "import oddgan",
        "",
        f"found = oddgan.papers.reproduce({found.table.name!r}, budget={found.budget!r})",
        'oddgan.report.write(found, "report.html")',
    )
    return (doc.Commands("In Python", lines, "python"),)
