"""What must be said below a reproduced table: the source, leaks, budgets, pairs, and cells that failed."""

from collections.abc import Sequence
from statistics import mean, stdev

from ..evaluation.cells import Cell
from ..papers.published import Table

NEARLY = 0.95  # of the source's updates, which are rounded: as many count as all of them
LONG = 90.0  # minutes, above which a cell's cost is stated in hours
FEW_LINES = 2  # up to so many lines of one training, their agreement is left out
FEW_PAIRS = 3  # with fewer pairs, a paired difference means nothing
SHARES = ("share", "trained on", "requested")
"""Words that mark a fact as a share to be stated below the table."""


def notes(table: Table, cells: Sequence[Cell]) -> list[str]:
    """What a reader must know about the source, leaks, budgets, and cells that failed."""
    lines = list(table.notes)
    if any(row.standing == "remembered" for row in table.rows):
        lines.append("† remembered from the paper; not confirmed by any available text or code.")
    if table.development:
        lines.append(f"* development data: recipes were chosen on class {', '.join(table.development)}.")
    budgets = dict.fromkeys(cell.facts["budget"] for cell in cells)
    lines += [f"Budget {budget}: {_limits(table, budget)}." for budget in budgets]
    lines += _costs(table, cells) + _beside(table, cells) + _agreements(table, cells)
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


def made(cells: Sequence[Cell]) -> int:
    """The updates of a training of these; 0 where no network is trained."""
    return max((max(cell.facts["updates"].values()) for cell in cells if cell.facts.get("updates")), default=0)


def _costs(table: Table, cells: Sequence[Cell]) -> list[str]:
    """How long a training with the source's updates would take, of those that had fewer."""
    found: dict[str, str] = {}
    for row in table.rows:
        run = table.runs.get(row.run or "")
        own = [cell for cell in cells if cell.error is None and run is not None and cell.facts["run"] == run.name]
        timed = [cell for cell in own if cell.facts.get("updates") and cell.facts.get("seconds to train") is not None]
        if (
            run is None
            or run.updates is None
            or not timed
            or min(map(made, ([c] for c in timed))) >= NEARLY * run.updates
        ):
            continue
        seconds = mean(cell.facts["seconds to train"] / made([cell]) for cell in timed)
        minutes = seconds * run.updates / 60
        cost = f"{minutes / 60:.1f} h" if minutes > LONG else f"{max(1, round(minutes))} min"
        found.setdefault(run.name, f"{row.name} {cost} for {run.updates:,} updates")
    return [f"A training of the source's length would take here, about: {'; '.join(found.values())}."] if found else []


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
