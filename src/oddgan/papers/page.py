"""A reproduced table in words."""

from collections.abc import Iterable, Mapping
from statistics import mean, stdev

from ..evaluation.cells import Cell
from .figures import FIGURES
from .published import MEAN, Row, Run, Table

NEARLY = 0.95  # of the source's updates, which are rounded, that count as all of them
LONG = 90.0  # minutes, from which on a cell's cost is told in hours
CLEAN = ("auroc", "auprc_at_10", "f1", "false_alarms")
PERCENTILE = "_at_percentile"
FEW_LINES = 2  # up to which agreement among them is not told
FEW_PAIRS = 3  # below which a paired difference says nothing
SHARES = ("share", "trained on", "asked")
"""What names of facts that are shares, and are to be told, hold."""

By = Mapping[str, list[Cell]]
"""Cells by class."""


def markdown(table: Table, cells: Iterable[Cell], title: str = "#") -> str:
    """The whole table: methods, classes, what to know."""
    cells = list(cells)
    head, lines = methods(table, cells)
    parts = [f"{title} {table.title}", "", table.source, "", *_ruled([head, *lines])]
    if len(table.classes) > 1 and table.task != "speed":
        for protocol in table.protocols:
            for figure in dict.fromkeys((table.figure, "auroc") if protocol == "clean" else (table.figure,)):
                parts += _by_class(table, cells, protocol, figure)
    return "\n".join([*parts, *(f"- {note}" for note in notes(table, cells)), ""])


def _ruled(lines: list[list[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(lines[0]) - 1)]
    return [f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:])] + [""]


def methods(table: Table, cells: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table of methods, over classes and seeds."""
    if table.task == "speed":
        return _speeds(table, cells)
    percentile = table.figure.endswith(PERCENTILE)
    head = ["method", f"published {_head(table)}"]
    if "exact" in table.protocols:
        head += [f"exact {_head(table)}", *(["exact AUROC"] if table.figure != "auroc" else [])]
    if "clean" in table.protocols:
        head += [f"clean {FIGURES[name]}" for name in _clean(table)]
    head.insert(3, "difference")
    if percentile:
        head.insert(4, "exact precision / recall")
    head += ["classes x seeds, budget", "updates"]
    ran = {cell.facts["class"] for cell in cells if cell.error is None}
    return head, [_line(table, row, cells, ran) for row in table.rows]


def _clean(table: Table) -> list[str]:
    own = [] if table.figure.endswith(PERCENTILE) else [table.figure]
    return list(dict.fromkeys((*own, *CLEAN)))


def _line(table: Table, row: Row, cells: list[Cell], ran: set[str]) -> list[str]:
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
        line[-1] = "not run" if row.run else "no detector of ours"
    budgets = {protocol: _budget(table.runs[row.run], cells) for protocol, cells in ran_by.items() if row.run}
    line.append(_either(budgets))
    return line


def _extent(cells: list[Cell]) -> str:
    """Classes, the seeds that each of them has, and the budget."""
    seeds: dict[str, int] = {}
    for cell in cells:
        seeds[cell.facts["class"]] = seeds.get(cell.facts["class"], 0) + 1
    budgets = dict.fromkeys(cell.facts["budget"] for cell in cells)
    return f"{len(seeds)} x {min(seeds.values())}, {', '.join(budgets)}"


def _either(said: Mapping[str, str]) -> str:
    """What is said of each protocol, once where it is the same."""
    if len(set(said.values())) < 2:
        return next(iter(said.values()), "")
    return "; ".join(f"{protocol}: {what}" for protocol, what in said.items() if what)


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


def _published(table: Table, row: Row, ran: set[str]) -> str:
    """The published value, of the classes that were run as far as there are such, and of which it is."""
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
    """Ours minus the published value, over the classes that both have; none where rows were left out of the test in
    a way that the figure feels."""
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


def _budget(run: Run, own: list[Cell]) -> str:
    """Updates that were made, of the source's, and what the source's would take."""
    made = [max(cell.facts["updates"].values()) for cell in own if cell.facts.get("updates")]
    if not made:
        return ""
    told = f"{max(made):,}"
    if run.updates is None or max(made) >= NEARLY * run.updates:
        return told
    timed = [cell for cell in own if cell.facts.get("updates") and cell.facts.get("seconds to train") is not None]
    if not timed:
        return f"{told} of {run.updates:,}"
    seconds = mean(cell.facts["seconds to train"] / max(cell.facts["updates"].values()) for cell in timed)
    minutes = seconds * run.updates / 60
    cost = f"about {minutes / 60:.1f} h" if minutes > LONG else f"about {max(1, round(minutes))} min"
    return f"{told} of {run.updates:,}, which would take {cost} a cell"


def _by_class(table: Table, cells: list[Cell], protocol: str, figure: str) -> list[str]:
    """A figure by class, its mean over the classes that were run, and over those on which no recipe was chosen."""
    some = [cell for cell in cells if cell.facts["protocol"] == protocol and cell.error is None]
    groups = [name for name in table.classes if any(cell.facts["class"] == name for cell in some)]
    if len(groups) < 2:
        return []
    means = {"mean": groups}
    if (others := [name for name in groups if name not in table.development]) != groups:
        means["mean without *"] = others
    lines = [["method", *(f"{name}*" if name in table.development else name for name in groups), *means]]
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
    return [f"{protocol.capitalize()}, {FIGURES[figure]} by class:", "", *_ruled(lines)]


def _speeds(table: Table, cells: list[Cell]) -> tuple[list[str], list[list[str]]]:
    """Milliseconds a batch by class, and how many times the first method is faster than each other."""
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
            line += ["" if stated is None else f"{stated:g}{mark}", "" if here is None else f"{here:.3g}"]
            line.append(f"{stated / base:.0f}x" if row is not first and stated and base else "")
            line.append(f"{here / there:.0f}x" if row is not first and here and there else "")
        lines.append(line)
    return head, lines


def notes(table: Table, cells: list[Cell]) -> list[str]:
    """What a reader must know: of the source, of what leaks, of budgets, of what went wrong."""
    lines = list(table.notes)
    if any(row.standing == "remembered" for row in table.rows):
        lines.append("† remembered from the paper; no text or code at hand confirms it.")
    if table.development:
        lines.append(f"* development data: recipes were chosen on class {', '.join(table.development)}.")
    budgets = dict.fromkeys(cell.facts["budget"] for cell in cells)
    lines += [f"Budget {budget}: {_told(table, budget)}." for budget in budgets]
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


def _beside(table: Table, cells: list[Cell]) -> list[str]:
    """AUROC of each line minus that of the line that the table compares with, seed by seed, by the clean protocol."""
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


def _agreements(table: Table, cells: list[Cell]) -> list[str]:
    """How alike the lines of one training rank the test rows, where it fills more than two lines."""
    lines = []
    for run in table.runs:
        rows = [row for row in table.rows if row.run == run and row.term is not None]
        pairs = [(one, other) for i, one in enumerate(rows) for other in rows[i + 1 :]]
        for protocol in table.protocols if len(rows) > FEW_LINES else ():
            own = [c for c in cells if c.error is None and (c.facts["run"], c.facts["protocol"]) == (run, protocol)]
            told = []
            for one, other in pairs:
                name = " / ".join(sorted((str(one.term), str(other.term))))
                if known := [rho for cell in own if (rho := cell.facts["agreement"].get(name)) is not None]:
                    told.append(f"{one.name} / {other.name} {mean(known):.2f}")
            if told:
                lines.append(f"Agreement of ranks, {protocol} (Spearman's rho, mean): {'; '.join(told)}.")
    return lines


def _interval(values: list[float]) -> tuple[float, float]:
    """Of the mean, by Student's t."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half


def _told(table: Table, budget: str) -> str:
    limits = table.budgets.get(budget)
    if limits is None or budget == "paper":
        return "what the source spends"
    parts = [f"{name} = {value}" for name, value in limits.parameters.items()]
    most = {"training": limits.train, "test": limits.test}
    parts += [f"at most {n:,} {what} rows" for what, n in most.items() if n is not None]
    return ", ".join(parts) or "as the source"


def _head(table: Table) -> str:
    return FIGURES[table.figure]


def _spelt(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return ""
    return f"{found[0]:.3f}" + ("" if found[1] is None else f" ± {found[1]:.3f}")
