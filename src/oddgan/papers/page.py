"""A reproduced table as Markdown."""

from collections.abc import Iterable, Mapping
from statistics import mean, stdev

from ..evaluation.cells import Cell
from .figures import FIGURES
from .published import MEAN, Row, Run, Table

LONG = 90.0  # minutes, beyond which a cell that was not run says what it would cost
CLEAN = ("auroc", "auprc_at_10", "f1", "false_alarms")

By = Mapping[str, list[Cell]]  # cells by class


def markdown(table: Table, cells: Iterable[Cell], title: str = "#") -> str:
    """The whole table: methods, classes, what to know."""
    cells = list(cells)
    head, lines = methods(table, cells)
    parts = [f"{title} {table.title}", "", table.source, "", *_ruled([head, *lines])]
    if len(table.classes) > 1:
        for protocol in table.protocols:
            parts += _by_class(table, cells, protocol)
    return "\n".join([*parts, *(f"- {note}" for note in notes(table, cells)), ""])


def _ruled(lines: list[list[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return [f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:])] + [""]


def methods(table: Table, cells: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table of methods, over classes and seeds."""
    head = ["method", f"published {_head(table)}"]
    if "exact" in table.protocols:
        head += [f"exact {_head(table)}", "difference"]
        if table.figure.endswith("_at_percentile"):
            head += ["exact precision", "exact recall"]
    if "clean" in table.protocols:
        shown = dict.fromkeys((table.figure,) if not table.figure.endswith("_at_percentile") else ())
        head += [f"clean {FIGURES[name]}" for name in (*shown, *(one for one in CLEAN if one not in shown))]
    head += ["classes x seeds", "updates"]
    return head, [_line(table, row, cells) for row in table.rows]


def _line(table: Table, row: Row, cells: list[Cell]) -> list[str]:
    own = [cell for cell in cells if row.run is not None and cell.facts["run"] == row.run]
    found: dict[str, dict[str, list[Cell]]] = {protocol: {} for protocol in table.protocols}
    for cell in own:
        found[cell.facts["protocol"]].setdefault(cell.facts["class"], []).append(cell)
    term = row.term or "score"
    line = [row.name, _published(table, row, next(iter(found.values())))]
    if "exact" in table.protocols:
        exact = _over(found["exact"], term, table.figure)
        line.append(_spelt(exact))
        stated = _stated(table, row, found["exact"])
        line.append("" if exact is None or stated is None else f"{exact[0] - stated:+.{_places(table)}f}")
        if table.figure.endswith("_at_percentile"):
            line += [_spelt(_over(found["exact"], term, f"{name}_at_percentile")) for name in ("precision", "recall")]
    if "clean" in table.protocols:
        names = dict.fromkeys((*(() if table.figure.endswith("_at_percentile") else (table.figure,)), *CLEAN))
        line += [_spelt(_over(found["clean"], term, name)) for name in names]
    groups = max(found.values(), key=len)
    seeds = min((len(some) for some in groups.values()), default=0)
    line.append(f"{len(groups)} x {seeds}" if own else ("not run" if row.run else ""))
    line.append(_budget(table.runs[row.run], own) if row.run else "")
    return line


def _over(by: By, term: str, figure: str) -> tuple[float, float | None] | None:
    """Mean over classes and deviation over seeds of a figure; None where there is none."""
    values: list[list[float]] = []
    for some in by.values():
        known = [cell.figures.get(f"{term} {figure}") for cell in sorted(some, key=lambda cell: cell.seed)]
        values.append([value for value in known if value is not None])
    values = [some for some in values if some]
    if not values:
        return None
    seeds = min(map(len, values))
    spread = stdev([mean(some[i] for some in values) for i in range(seeds)]) if seeds > 1 else None
    return mean(map(mean, values)), spread


def _stated(table: Table, row: Row, by: By) -> float | None:
    """What was published of the classes that were run."""
    known = row.published.get(table.figure, {})
    if MEAN in known and (set(by) == set(table.classes) or not by):
        return known[MEAN]
    both = [known[name] for name in (by or known) if name in known]
    return mean(both) if both and (not by or len(both) == len(by)) else None


def _published(table: Table, row: Row, by: By) -> str:
    stated = _stated(table, row, by)
    if stated is None:
        stated, mark = _stated(table, row, {}), " (of other classes)"
    else:
        mark = ""
    if stated is None:
        return ""
    return f"{stated:.{_places(table)}f}{mark}{'†' if row.standing == 'remembered' else ''}"


def _budget(run: Run, own: list[Cell]) -> str:
    """Updates that were made, of the source's; or what the source's would take."""
    made = [max(cell.facts["updates"].values()) for cell in own if cell.facts.get("updates")]
    if not made:
        return ""
    told = f"{max(made):,}"
    if run.updates is None or max(made) >= run.updates:
        return told
    seconds = mean(cell.facts["seconds to train"] / max(cell.facts["updates"].values()) for cell in own)
    minutes = seconds * run.updates / 60
    hours = f"about {minutes / 60:.1f} h" if minutes > LONG else f"about {minutes:.0f} min"
    return f"{told} of {run.updates:,} ({hours} a cell)"


def _by_class(table: Table, cells: list[Cell], protocol: str) -> list[str]:
    groups = [name for name in table.classes if any(cell.facts["class"] == name for cell in cells)]
    some = [cell for cell in cells if cell.facts["protocol"] == protocol]
    if not some or len(groups) < 2:
        return []
    figure = table.figure
    head = ["method", *(f"{name}*" if name in table.development else name for name in groups)]
    lines = [head]
    for row in table.rows:
        by: dict[str, list[Cell]] = {}
        for cell in some:
            if cell.facts["run"] == row.run:
                by.setdefault(cell.facts["class"], []).append(cell)
        if row.run is not None and by:
            lines.append(
                [row.name, *(_spelt(_over({g: by[g]}, row.term or "score", figure)) if g in by else "" for g in groups)]
            )
        known = row.published.get(figure, {})
        if any(g in known for g in groups):
            mark = "†" if row.standing == "remembered" else ""
            lines.append([f"{row.name}, published{mark}", *(f"{known[g]:.3f}" if g in known else "" for g in groups)])
    return [f"{protocol.capitalize()}, {_head(table)} by class:", "", *_ruled(lines)]


def notes(table: Table, cells: list[Cell]) -> list[str]:
    """What a reader must know: of the source, of what leaks, of what went wrong."""
    lines = list(table.notes)
    if any(row.standing == "remembered" for row in table.rows):
        lines.append("† remembered from the paper; no text or code at hand confirms it.")
    if table.development:
        lines.append(f"* development data: recipes were chosen on class {', '.join(table.development)}.")
    leaks: dict[str, list[float]] = {}
    for cell in cells:
        for name, value in cell.facts.items():
            if isinstance(value, float) and ("trained on" in name or "equal" in name):
                leaks.setdefault(f"{cell.facts['protocol']}: {name}", []).append(value)
    lines += [f"{name}: {mean(values):.1%} (before any limit on rows)." for name, values in sorted(leaks.items())]
    for row in table.rows:
        if row.note:
            lines.append(f"{row.name}: {row.note}")
    for cell in cells:
        if cell.error is not None:
            lines.append(f"{cell.facts['run']}, {cell.facts['protocol']}, seed {cell.seed} failed: {cell.error}")
    return [" ".join(line.split()) for line in lines]


def _head(table: Table) -> str:
    return FIGURES[table.figure]


def _places(table: Table) -> int:
    return 1 if table.figure == "milliseconds_a_batch" else 3


def _spelt(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return ""
    value, spread = found
    places = 1 if value > 10 else 3
    return f"{value:.{places}f}" + ("" if spread is None else f" ± {spread:.{places}f}")
