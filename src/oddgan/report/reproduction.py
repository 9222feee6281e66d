"""A reproduced table of a paper as a table of text and as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from ..evaluation.cells import Cell
from ..evaluation.figures import FIGURES, number
from ..papers.published import MEAN, Row, Run, Table
from . import markdown
from .reproduction_notes import NEARLY, made, notes

CLEAN = ("auroc", "auprc_at_10", "f1", "false_alarms")
PERCENTILE = "_at_percentile"
SHORT = {"auprc_at_10": "AUPRC at 10%", "false_alarms": "false alarms"}
"""Headings of columns that are too long otherwise; what they mean is said once on the page."""
MOST_CLASSES = 12  # with more of them, a table has a row for each and not a column

By = Mapping[str, list[Cell]]
"""Cells by class."""
Section = tuple[str, list[str], list[list[str]]]
"""A table: what it shows, its head, its rows."""


def page(table: Table, cells: Sequence[Cell], level: str = "#") -> str:
    """The whole table as GitHub-flavoured Markdown: methods by protocol, classes, notes. `level`: what the heading
    begins with."""
    parts = [f"{level} {table.title}", "", table.source, ""]
    for title, head, lines in sections(table, cells):
        parts += [*([f"**{title}**", ""] if title else []), markdown.table(head, lines), ""]
    return "\n".join([*parts, *(f"- {note}" for note in notes(table, cells)), ""])


def sections(table: Table, cells: Sequence[Cell]) -> list[Section]:
    """The tables of methods, over classes and seeds, a protocol each, and those by class, as text."""
    return [*methods(table, cells), *classes(table, cells)]


def classes(table: Table, cells: Sequence[Cell]) -> list[Section]:
    """The tables by class, as text."""
    if len(table.classes) < 2 or table.task == "speed":
        return []
    return [
        section
        for protocol in table.protocols
        for figure in dict.fromkeys((table.figure, "auroc") if protocol == "clean" else (table.figure,))
        for section in _by_class(table, cells, protocol, figure)
    ]


def stated(table: Table, row: Row, cells: Sequence[Cell]) -> float | None:
    """What was published of the table's figure: the mean over the classes that were run, where all of these are known,
    or else the one over all classes."""
    known = row.published.get(table.figure, {})
    whole = [cell for cell in cells if cell.error is None]
    ran = {cell.facts["class"] for cell in whole if cell.facts["run"] == row.run} or {c.facts["class"] for c in whole}
    if ran and known.keys() >= ran:
        return mean(known[name] for name in ran)
    return known.get(MEAN)


def methods(table: Table, cells: Sequence[Cell]) -> list[Section]:
    """The tables of methods, over classes and seeds: by the source's protocol beside what was published, and clean."""
    if table.task == "speed":
        return [("", *_speeds(table, cells))]
    held = {protocol: _held(table, cells, protocol) for protocol in table.protocols}
    ran = {cell.facts["class"] for cell in cells if cell.error is None}
    found = []
    if "exact" in table.protocols:
        found.append(("By the source's protocol", *_exact(table, held["exact"], ran)))
    if "clean" in table.protocols:
        found.append(("Clean", *_clean(table, held["clean"], None if "exact" in table.protocols else ran)))
    return [section for section in found if section[2]]


def _held(table: Table, cells: Sequence[Cell], protocol: str) -> dict[str, By]:
    """The cells of a protocol by run, and by class."""
    found: dict[str, dict[str, list[Cell]]] = {name: {} for name in table.runs}
    for cell in cells:
        if cell.error is None and cell.facts["protocol"] == protocol:
            found[cell.facts["run"]].setdefault(cell.facts["class"], []).append(cell)
    return dict(found)


def _exact(table: Table, held: Mapping[str, By], ran: set[str]) -> tuple[list[str], list[list[str]]]:
    percentile, several = table.figure.endswith(PERCENTILE), table.figure != "auroc"
    head = ["method", f"published {_head(table)}", f"{_head(table)} here", "difference"]
    head += [*(["precision / recall"] if percentile else []), *(["AUROC"] if several else []), _runs_head(table)]
    head.append("updates spent")
    lines = []
    for row in table.rows:
        by, term = held.get(row.run or "", {}), row.term or "score"
        published = _published(table, row, set(by) or ran)
        if not published and not by:
            continue
        line = [row.name, published, _spelt(_over(by, term, table.figure))]
        line.append(_difference(table, row, by, term) if _whole(table, row, by) else "")
        if percentile:
            both = (_over(by, term, f"{name}{PERCENTILE}") for name in ("precision", "recall"))
            line.append(" / ".join(f"{one[0]:.3f}" for one in both if one is not None))
        line += [_spelt(_over(by, term, "auroc"))] if several else []
        lines.append([*line, *_spent(table, row, by)])
    return head, lines


def _clean(table: Table, held: Mapping[str, By], published: set[str] | None) -> tuple[list[str], list[list[str]]]:
    """`published`: the classes that were run, where published values stand here, since there is no other protocol."""
    own = [] if table.figure.endswith(PERCENTILE) else [table.figure]
    figures = list(dict.fromkeys((*own, *CLEAN)))
    beside = published is not None
    head = ["method", *([f"published {_head(table)}"] if beside else [])]
    head += [SHORT.get(name, FIGURES[name].head) for name in figures]
    head[3:3] = ["difference"] if beside else []
    head += [_runs_head(table), "updates spent"]
    lines = []
    for row in table.rows:
        by, term = held.get(row.run or "", {}), row.term or "score"
        stated = _published(table, row, set(by) or published or set()) if beside else ""
        if not by and not stated:
            continue
        line = [row.name, *([stated] if beside else [])]
        line += [_spelt(_over(by, term, name)) for name in figures]
        line[3:3] = [_difference(table, row, by, term) if _whole(table, row, by) else ""] if beside else []
        lines.append([*line, *_spent(table, row, by)])
    return head, lines


def _runs_head(table: Table) -> str:
    return "classes x seeds, budget" if len(table.classes) > 1 else "seeds, budget"


def _spent(table: Table, row: Row, by: By) -> list[str]:
    """How many classes, seeds and updates were run, with which budget."""
    cells = [cell for some in by.values() for cell in some]
    if not cells or row.run is None:
        return ["not run" if row.run else "not in oddgan", ""]
    return [_extent(table, cells), _updates(table.runs[row.run], cells)]


def _whole(table: Table, row: Row, by: By) -> bool:
    """Whether as much was spent as in the source: else a difference says nothing about it."""
    cells = [cell for some in by.values() for cell in some]
    if not cells or row.run is None:
        return False
    run = table.runs[row.run]
    limits = [table.budgets.get(name) for name in {cell.facts["budget"] for cell in cells} if name != "paper"]
    if any(one is None or one.train is not None for one in limits):
        return False
    if limits and (updates := made(cells)):
        fewer_steps = any(one is not None and "steps" in one.parameters for one in limits)
        searches = any("steps" in cell.parameters for cell in cells)
        return run.updates is not None and updates >= NEARLY * run.updates and not (fewer_steps and searches)
    return True


def _updates(run: Run, cells: Sequence[Cell]) -> str:
    """What share of the source's updates were made; how many, where theirs are not known."""
    updates = made(cells)
    if not updates:
        return ""
    if run.updates is None:
        return f"{updates:,}"
    share = updates / run.updates
    return "all" if share >= NEARLY else f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"


def _extent(table: Table, cells: Sequence[Cell]) -> str:
    """How many classes, where there are several, how many seeds for each of them, and the budget."""
    seeds: dict[str, int] = {}
    for cell in cells:
        seeds[cell.facts["class"]] = seeds.get(cell.facts["class"], 0) + 1
    budgets = dict.fromkeys(cell.facts["budget"] for cell in cells)
    classes = f"{len(seeds)} x " if len(table.classes) > 1 else ""
    return f"{classes}{min(seeds.values())}, {', '.join(budgets)}"


def _over(by: By, term: str, figure: str) -> tuple[float, float | None] | None:
    """Mean over classes and deviation over seeds of a figure; None where no cell has it."""
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


def _published(table: Table, row: Row, ran: set[str]) -> str:
    """The published value, of the classes that were run if it is known for them, and which classes it is of."""
    known = row.published.get(table.figure, {})
    if not known:
        return ""
    mark = "†" if row.standing == "remembered" else ""
    single = [name for name in table.classes if name in known]
    both = [name for name in single if name in ran]
    if MEAN in known and (not both or ran >= set(table.classes)):
        whole = len(table.classes) == 1 or ran >= set(table.classes)
        return f"{known[MEAN]:.3f}{mark}{'' if whole else ' (all classes)'}"
    shown = both or single
    of = "" if set(shown) == (ran or set(table.classes)) else f" (class {', '.join(shown)})"
    return f"{mean(known[name] for name in shown):.3f}{mark}{of}"


def _difference(table: Table, row: Row, by: By, term: str) -> str:
    """Our value minus the published one, over the classes that both have; empty where they have none in common."""
    known = row.published.get(table.figure, {})
    if not known or not by:
        return ""
    both = [name for name in by if name in known]
    if both:
        ours, theirs = _over({name: by[name] for name in both}, term, table.figure), mean(known[name] for name in both)
    elif MEAN in known and set(by) == set(table.classes):
        ours, theirs = _over(by, term, table.figure), known[MEAN]
    else:
        return ""
    return "" if ours is None else f"{ours[0] - theirs:+.3f}"


def _by_class(table: Table, cells: Sequence[Cell], protocol: str, figure: str) -> list[Section]:
    """A figure by class, and its mean over the classes that were run, and over those without development data."""
    some = [cell for cell in cells if cell.facts["protocol"] == protocol and cell.error is None]
    groups = [name for name in table.classes if any(cell.facts["class"] == name for cell in some)]
    if len(groups) < 2:
        return []
    means = {"mean": groups}
    if (others := [name for name in groups if name not in table.development]) != groups:
        means |= {"mean without *": others} if others else {}
    head = ["method", *(f"{name}*" if name in table.development else name for name in groups), *means]
    ours, theirs = [], []
    for row in table.rows:
        by: dict[str, list[Cell]] = {}
        for cell in some:
            if cell.facts["run"] == row.run:
                by.setdefault(cell.facts["class"], []).append(cell)
        if by:
            sets = [[name] for name in groups] + list(means.values())
            whole = ({g: by[g] for g in names} if by.keys() >= set(names) else {} for names in sets)
            ours.append([row.name, *(_mean(_over(part, row.term or "score", figure)) for part in whole)])
        known = row.published.get(figure, {})
        if any(g in known for g in groups):
            mark = "†" if row.standing == "remembered" else ""
            stated = [f"{known[g]:.3f}" if g in known else "" for g in groups]
            stated += [
                f"{mean(known[g] for g in of):.3f}" if of and known.keys() >= set(of) else "" for of in means.values()
            ]
            theirs.append([f"{row.name}, published{mark}", *stated])
    title = f"{protocol.capitalize()}, {FIGURES[figure].head} by class"
    if len(groups) <= MOST_CLASSES:
        return [(title, head, sorted([*ours, *theirs], key=lambda line: _place(table, line[0])))]
    found = [(title, ours), (f"Published, {FIGURES[figure].head} by class", theirs)]
    return [(name, *_turned([head, *lines])) for name, lines in found if lines]


def _place(table: Table, line: str) -> tuple[int, bool]:
    """Where a method's line stands: published values below those of the same method here."""
    name = line.partition(", published")[0] if ", published" in line else line
    names = [row.name for row in table.rows]
    return names.index(name), name != line


def _turned(lines: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Rows as columns."""
    head, *rest = [list(column) for column in zip(*lines, strict=True)]
    return ["class", *(name.removesuffix(", published") for name in head[1:])], rest


def _speeds(table: Table, cells: Sequence[Cell]) -> tuple[list[str], list[list[str]]]:
    """Milliseconds per batch by class, and how many times as long each method takes as the first one."""
    figure, ours = table.figure, {}
    for cell in cells:
        if cell.error is None:
            ours[cell.facts["run"], cell.facts["class"]] = cell.figures[f"score {figure}"]
    first, unit = table.rows[0], _head(table)
    head = ["data", "method", f"published {unit}", f"{unit} here", f"times {first.name}'s, published", "here"]
    lines = []
    for group in table.classes:
        for row in table.rows:
            stated, base = (one.published.get(figure, {}).get(group) for one in (row, first))
            here, there = ours.get((row.run, group)), ours.get((first.run, group))
            mark = "†" if row.standing == "remembered" else ""
            line = [group, row.name, "" if stated is None else f"{stated:g}{mark}"]
            line.append("" if here is None else FIGURES[figure].spelt(here))
            line.append(f"{stated / base:.0f}" if row is not first and stated and base else "")
            lines.append([*line, f"{here / there:.0f}" if row is not first and here and there else ""])
    return head, lines


def _head(table: Table) -> str:
    return FIGURES[table.figure].head


def _mean(found: tuple[float, float | None] | None) -> str:
    """Without its deviation, for tables of many columns."""
    return "" if found is None else number(found[0])


def _spelt(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return ""
    return number(found[0]) + ("" if found[1] is None else f" ± {number(found[1])}")
