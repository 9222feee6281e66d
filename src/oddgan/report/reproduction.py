"""A reproduced table of a paper as a table of text and as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from ..evaluation.cells import Cell
from ..evaluation.figures import FIGURES, number
from ..papers.published import MEAN, Row, Run, Table
from . import markdown

NEARLY = 0.95  # of the source's updates, which are rounded: as many count as all of them
LONG = 90.0  # minutes, above which a cell's cost is stated in hours
CLEAN = ("auroc", "auprc_at_10", "f1", "false_alarms")
PERCENTILE = "_at_percentile"
FEW_LINES = 2  # up to so many lines of one training, their agreement is left out
FEW_PAIRS = 3  # with fewer pairs, a paired difference means nothing
SHARES = ("share", "trained on", "requested")
"""Words that mark a fact as a share to be stated below the table."""

By = Mapping[str, list[Cell]]
"""Cells by class."""


def page(table: Table, cells: Sequence[Cell], level: str = "#") -> str:
    """The whole table as GitHub-flavoured Markdown: methods, classes, notes. `level`: what the heading begins with."""
    head, lines = methods(table, cells)
    parts = [f"{level} {table.title}", "", table.source, "", markdown.table(head, lines), ""]
    for title, names, rows in classes(table, cells):
        parts += [f"{title}:", "", markdown.table(names, rows), ""]
    return "\n".join([*parts, *(f"- {note}" for note in notes(table, cells)), ""])


def classes(table: Table, cells: Sequence[Cell]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, head and rows of the tables by class, as text."""
    if len(table.classes) < 2 or table.task == "speed":
        return []
    found = [
        _by_class(table, cells, protocol, figure)
        for protocol in table.protocols
        for figure in dict.fromkeys((table.figure, "auroc") if protocol == "clean" else (table.figure,))
    ]
    return [one for one in found if one is not None]


def stated(table: Table, row: Row, cells: Sequence[Cell]) -> float | None:
    """What was published of the table's figure: the mean over the classes that were run, where all of these are known,
    or else the one over all classes."""
    known = row.published.get(table.figure, {})
    whole = [cell for cell in cells if cell.error is None]
    ran = {cell.facts["class"] for cell in whole if cell.facts["run"] == row.run} or {c.facts["class"] for c in whole}
    if ran and known.keys() >= ran:
        return mean(known[name] for name in ran)
    return known.get(MEAN)


def methods(table: Table, cells: Sequence[Cell]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of methods, over classes and seeds, as text."""
    if table.task == "speed":
        return _speeds(table, cells)
    percentile = table.figure.endswith(PERCENTILE)
    head = ["method", f"published {_head(table)}"]
    if "exact" in table.protocols:
        head += [f"exact {_head(table)}", *(["exact AUROC"] if table.figure != "auroc" else [])]
    if "clean" in table.protocols:
        head += [f"clean {FIGURES[name].head}" for name in _clean(table)]
    head.insert(3, "difference")
    if percentile:
        head.insert(4, "exact precision / recall")
    head += ["classes x seeds, budget", "updates"]
    ran = {cell.facts["class"] for cell in cells if cell.error is None}
    return head, [_line(table, row, cells, ran) for row in table.rows]


def _clean(table: Table) -> list[str]:
    own = [] if table.figure.endswith(PERCENTILE) else [table.figure]
    return list(dict.fromkeys((*own, *CLEAN)))


def _line(table: Table, row: Row, cells: Sequence[Cell], ran: set[str]) -> list[str]:
    own = [cell for cell in cells if row.run is not None and cell.facts["run"] == row.run and cell.error is None]
    found: dict[str, dict[str, list[Cell]]] = {protocol: {} for protocol in table.protocols}
    for cell in own:
        found[cell.facts["protocol"]].setdefault(cell.facts["class"], []).append(cell)
    term, first = row.term or "score", found[table.protocols[0]]
    line = [row.name, _published(table, row, set(first) or ran)]
    if "exact" in table.protocols:
        line.append(_spelt(_over(found["exact"], term, table.figure)))
        if table.figure != "auroc":
            line.append(_spelt(_over(found["exact"], term, "auroc")))
    if "clean" in table.protocols:
        line += [_spelt(_over(found["clean"], term, name)) for name in _clean(table)]
    line.insert(3, _difference(table, row, first, term))
    if table.figure.endswith(PERCENTILE):
        both = (_over(found["exact"], term, f"{name}{PERCENTILE}") for name in ("precision", "recall"))
        line.insert(4, " / ".join(f"{one[0]:.3f}" for one in both if one is not None))
    ran_by = {protocol: [cell for some in by.values() for cell in some] for protocol, by in found.items() if by}
    line.append(_either({protocol: _extent(cells) for protocol, cells in ran_by.items()}))
    if not own:
        line[-1] = "not run" if row.run else "not in oddgan"
    budgets = {protocol: _budget(table.runs[row.run], cells) for protocol, cells in ran_by.items() if row.run}
    line.append(_either(budgets))
    return line


def _extent(cells: Sequence[Cell]) -> str:
    """How many classes, how many seeds for each of them, and the budget."""
    seeds: dict[str, int] = {}
    for cell in cells:
        seeds[cell.facts["class"]] = seeds.get(cell.facts["class"], 0) + 1
    budgets = dict.fromkeys(cell.facts["budget"] for cell in cells)
    return f"{len(seeds)} x {min(seeds.values())}, {', '.join(budgets)}"


def _either(texts: Mapping[str, str]) -> str:
    """The text of each protocol, once where all are the same."""
    if len(set(texts.values())) < 2:
        return next(iter(texts.values()), "")
    return "; ".join(f"{protocol}: {text}" for protocol, text in texts.items() if text)


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


def _budget(run: Run, own: Sequence[Cell]) -> str:
    """How many updates were made, of how many in the source, and how long the source's would take."""
    made = [max(cell.facts["updates"].values()) for cell in own if cell.facts.get("updates")]
    if not made:
        return ""
    count = f"{max(made):,}"
    if run.updates is None or max(made) >= NEARLY * run.updates:
        return count
    timed = [cell for cell in own if cell.facts.get("updates") and cell.facts.get("seconds to train") is not None]
    if not timed:
        return f"{count} of {run.updates:,}"
    seconds = mean(cell.facts["seconds to train"] / max(cell.facts["updates"].values()) for cell in timed)
    minutes = seconds * run.updates / 60
    cost = f"about {minutes / 60:.1f} h" if minutes > LONG else f"about {max(1, round(minutes))} min"
    return f"{count} of {run.updates:,}, which would take {cost} per cell"


def _by_class(
    table: Table, cells: Sequence[Cell], protocol: str, figure: str
) -> tuple[str, list[str], list[list[str]]] | None:
    """A figure by class, and its mean over the classes that were run, and over those without development data."""
    some = [cell for cell in cells if cell.facts["protocol"] == protocol and cell.error is None]
    groups = [name for name in table.classes if any(cell.facts["class"] == name for cell in some)]
    if len(groups) < 2:
        return None
    means = {"mean": groups}
    if (others := [name for name in groups if name not in table.development]) != groups:
        means["mean without *"] = others
    head = ["method", *(f"{name}*" if name in table.development else name for name in groups), *means]
    lines = []
    for row in table.rows:
        by: dict[str, list[Cell]] = {}
        for cell in some:
            if cell.facts["run"] == row.run:
                by.setdefault(cell.facts["class"], []).append(cell)
        if by:
            sets = [[name] for name in groups] + list(means.values())
            whole = ({g: by[g] for g in names} if by.keys() >= set(names) else {} for names in sets)
            lines.append([row.name, *(_spelt(_over(part, row.term or "score", figure)) for part in whole)])
        known = row.published.get(figure, {})
        if any(g in known for g in groups):
            mark = "†" if row.standing == "remembered" else ""
            stated = [f"{known[g]:.3f}" if g in known else "" for g in groups]
            stated += [
                f"{mean(known[g] for g in of):.3f}" if of and known.keys() >= set(of) else "" for of in means.values()
            ]
            lines.append([f"{row.name}, published{mark}", *stated])
    return f"{protocol.capitalize()}, {FIGURES[figure].head} by class", head, lines


def _speeds(table: Table, cells: Sequence[Cell]) -> tuple[list[str], list[list[str]]]:
    """Milliseconds per batch by class, and how many times faster the first method is than each of the others."""
    figure, ours = table.figure, {}
    for cell in cells:
        if cell.error is None:
            ours[cell.facts["run"], cell.facts["class"]] = cell.figures[f"score {figure}"]
    head, lines, first = ["method"], [], table.rows[0]
    for group in table.classes:
        head += [f"{group}, published {_head(table)}", f"{group}, ours", f"{group}: {first.name} is faster, published"]
        head.append("ours")
    for row in table.rows:
        line = [row.name]
        for group in table.classes:
            stated, base = (one.published.get(figure, {}).get(group) for one in (row, first))
            here, there = ours.get((row.run, group)), ours.get((first.run, group))
            mark = "†" if row.standing == "remembered" else ""
            line += ["" if stated is None else f"{stated:g}{mark}", "" if here is None else FIGURES[figure].spelt(here)]
            line.append(f"{stated / base:.0f}x" if row is not first and stated and base else "")
            line.append(f"{here / there:.0f}x" if row is not first and here and there else "")
        lines.append(line)
    return head, lines


def notes(table: Table, cells: Sequence[Cell]) -> list[str]:
    """What a reader must know about the source, leaks, budgets, and cells that failed."""
    lines = list(table.notes)
    if any(row.standing == "remembered" for row in table.rows):
        lines.append("† remembered from the paper; not confirmed by any available text or code.")
    if table.development:
        lines.append(f"* development data: recipes were chosen on class {', '.join(table.development)}.")
    budgets = dict.fromkeys(cell.facts["budget"] for cell in cells)
    lines += [f"Budget {budget}: {_limits(table, budget)}." for budget in budgets]
    lines += _beside(table, cells) + _agreements(table, cells)
    shares: dict[str, list[float]] = {}
    for cell in cells:
        for name, value in cell.facts.items():
            if isinstance(value, float) and any(word in name for word in SHARES):
                shares.setdefault(f"{cell.facts['protocol']}: {name}", []).append(value)
    lines += [f"{name}: {mean(values):.1%}." for name, values in sorted(shares.items())]
    sources: dict[str, list[str]] = {}
    for row in table.rows:
        if row.source:
            sources.setdefault(row.source, []).append(row.name)
        if row.note:
            lines.append(f"{row.name}: {row.note}")
    lines += [f"Published values of {', '.join(names)}: {source}." for source, names in sources.items()]
    lines += [
        f"{cell.facts['run']}, {cell.facts['protocol']}, seed {cell.seed} failed: {cell.error}"
        for cell in cells
        if cell.error is not None
    ]
    return [" ".join(line.split()) for line in lines]


def _beside(table: Table, cells: Sequence[Cell]) -> list[str]:
    """Clean AUROC of each line minus that of the line that the table compares with, seed by seed."""
    if table.beside is None:
        return []
    held: dict[str, dict[tuple[str, int], Cell]] = {}
    for cell in cells:
        if cell.error is None and cell.facts["protocol"] == "clean":
            held.setdefault(cell.facts["run"], {})[cell.facts["class"], cell.seed] = cell
    base = held.get(table.beside, {})
    name = next(row.name for row in table.rows if row.run == table.beside)
    found = []
    for row in table.rows:
        own = held.get(row.run or "", {})
        both = sorted(own.keys() & base.keys())
        if row.run == table.beside or len(both) < FEW_PAIRS:
            continue
        pairs = ((own[at].figures[f"{row.term or 'score'} auroc"], base[at].figures["score auroc"]) for at in both)
        gaps = [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]
        low, high = _interval(gaps)
        found.append(f"{row.name} {mean(gaps):+.4f} [{low:+.4f}, {high:+.4f}] ({len(gaps)} pairs)")
    if not found:
        return []
    return [f"Clean AUROC minus that of {name}, by class and seed, mean with its 95% interval: {'; '.join(found)}."]


def _agreements(table: Table, cells: Sequence[Cell]) -> list[str]:
    """How similarly the lines of one training rank the test rows, where it fills more than two lines."""
    lines = []
    for run in table.runs:
        rows = [row for row in table.rows if row.run == run and row.term is not None]
        pairs = [(one, other) for i, one in enumerate(rows) for other in rows[i + 1 :]]
        for protocol in table.protocols if len(rows) > FEW_LINES else ():
            own = [c for c in cells if c.error is None and (c.facts["run"], c.facts["protocol"]) == (run, protocol)]
            found = []
            for one, other in pairs:
                name = " / ".join(sorted((str(one.term), str(other.term))))
                if known := [rho for cell in own if (rho := cell.facts["agreement"].get(name)) is not None]:
                    found.append(f"{one.name} / {other.name} {mean(known):.2f}")
            if found:
                lines.append(f"Agreement of ranks, {protocol} (mean of Spearman's rho): {'; '.join(found)}.")
    return lines


def _interval(values: list[float]) -> tuple[float, float]:
    """The 95% interval of the mean, by Student's t."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half


def _limits(table: Table, budget: str) -> str:
    limits = table.budgets.get(budget)
    if limits is None or budget == "paper":
        return "what the source spends"
    parts = [f"{name} = {value}" for name, value in limits.parameters.items()]
    most = {"training": limits.train, "test": limits.test}
    parts += [f"at most {n:,} {what} rows" for what, n in most.items() if n is not None]
    return ", ".join(parts) or "as the source"


def _head(table: Table) -> str:
    return FIGURES[table.figure].head


def _spelt(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return ""
    return number(found[0]) + ("" if found[1] is None else f" ± {number(found[1])}")
