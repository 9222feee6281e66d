"""The papers' tables, run and written down.

    ODDGAN_DATA=... python benchmarks/papers.py [TABLE ...] [--budget desk] [--seeds N] [--classes A,B] [--runs A,B]
    python benchmarks/papers.py --write        # docs/papers.md

Results are kept in benchmarks/results/papers, a file for each data set and a line for each training; what is there is
not run again, so a killed run goes on where it was. `desk` is what two cores can afford; docs/papers.md says beside
every figure how many updates it took of the source's. One thread: several may run side by side, on different data.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "papers"
PAGE = ROOT / "docs" / "papers.md"
BUDGETS = ("fast", "desk", "splits", "paper")  # the later, the more it says

HEAD = """# The papers' tables

Written by `python benchmarks/papers.py --write` from `benchmarks/results/papers`, which `python benchmarks/papers.py`
makes. Any table can be run by itself: `oddgan reproduce TABLE` (`oddgan reproduce --list` names them).

**exact**: the source's own protocol, with its leaks. **clean**: the same question without them: no row on both sides,
columns scaled with training rows, the last step, evaluation mode, the threshold set for 1 false alarm in 100 on
normals that were held out (more where these are fewer than 99). *difference* is ours minus published by the source's
protocol, over the classes that both have. AUPRC "at 10% odd rows" weighs normal rows so that guessing gives 0.1;
"AUPRC (trapezoid)" joins points by lines, as the source does, which flatters. Deviations are over seeds. *updates*
says how many were made, of how many in the source, and what those would take here: most cells spend far less than the
source did, and a difference is then no verdict on the paper.

A line without a budget of updates trains no network. Baselines come from scikit-learn with oddgan's defaults.
"""


def results_of(table) -> Path:
    """The file of a table's cells: tables on the same data share what they have in common."""
    return RESULTS / f"{'speed' if table.task == 'speed' else table.data}.jsonl"


def cells_of(table) -> list:
    """The cells of a table as it is now, of each training and protocol those of its largest budget."""
    from dataclasses import replace

    from oddgan.evaluation.cells import Record
    from oddgan.papers.reproduction import identity, unfitted

    file = results_of(table)
    cells = {cell.facts["of"]: cell for cell in (Record(file).cells() if file.exists() else ())}
    places = sorted({(cell.facts["protocol"], cell.facts["class"], cell.seed) for cell in cells.values()})
    found: dict[tuple[tuple[str, str], str], list] = {}
    for run in table.runs.values():
        for protocol, group, seed in places:
            if protocol not in table.protocols or group not in table.classes:
                continue
            for budget in (name for name in BUDGETS if name in table.budgets):
                det = unfitted(table, run, protocol, group, budget).set_params(random_state=seed)
                cell = cells.get(identity(table, protocol, group, budget, det))
                if cell is not None:
                    place = {"table": table.name, "run": run.name, "budget": budget}
                    found.setdefault(((run.name, protocol), budget), []).append(
                        replace(cell, facts={**cell.facts, **place})
                    )
    largest = {run: max((b for r, b in found if r == run), key=BUDGETS.index) for run, _ in found}
    return [cell for (run, budget), some in found.items() if largest[run] == budget for cell in some]


def commands(table, cells) -> list[str]:
    """What `oddgan reproduce` is told for these cells: together the runs that have budget, classes and seeds alike."""
    had: dict[tuple[str, str, str], set] = {}
    for cell in cells:
        at = tuple(cell.facts[name] for name in ("budget", "protocol", "run"))
        had.setdefault(at, set()).add((cell.facts["class"], cell.seed))
    alike: dict[tuple, list[str]] = {}
    for (budget, protocol, run), places in had.items():
        classes = ",".join(name for name in table.classes if any(name == group for group, _ in places))
        alike.setdefault((budget, classes, 1 + max(seed for _, seed in places), protocol), []).append(run)
    both: dict[tuple, list[str]] = {}
    for (*same, protocol), runs in alike.items():
        both.setdefault((*same, tuple(runs)), []).append(protocol)
    found = []
    for (budget, classes, seeds, runs), protocols in both.items():
        asked = f" --protocol {protocols[0]}" if len(protocols) < len(table.protocols) else ""
        asked += f" --classes {classes}" if classes else ""
        asked += f" --runs {','.join(runs)}" if len(runs) < len(table.runs) else ""
        found.append(f"--budget {budget}{asked} --seeds {seeds}")
    return sorted(found)


def text() -> str:
    """The page."""
    from oddgan import papers
    from oddgan.papers.page import markdown

    parts, machines, versions = [], set(), set()
    for name, table in papers.tables().items():
        cells = cells_of(table)
        if not cells:
            parts.append(f"## {table.title}\n\n{table.source}\n\nNot run: `oddgan reproduce {name}`.\n")
            continue
        machines |= {cell.facts["machine"] for cell in cells}
        versions |= {", ".join(f"{k} {v}" for k, v in cell.facts["versions"].items()) for cell in cells}
        listed = "\n".join(f"    oddgan reproduce {name} {some}" for some in commands(table, cells))
        parts.append(f"{markdown(table, cells, '##')}\nMade by\n\n{listed}\n")
    measured = f"Measured on {'; '.join(sorted(machines))}; {'; '.join(sorted(versions))}.\n"
    return "\n".join([HEAD, measured, *parts])


def run(names: Iterable[str], budget: str | None, **some) -> None:
    """The trainings that are missing; `some`: of which seeds, classes, runs and protocol."""
    import torch

    from oddgan import papers

    torch.set_num_threads(1)
    for name in names or papers.tables():
        table = papers.table(name)
        papers.reproduce(
            name,
            budget=budget or ("desk" if "desk" in table.budgets else "fast"),
            results=results_of(table),
            report=lambda line, name=name: print(name, line, flush=True),
            **some,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--budget")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--classes")
    parser.add_argument("--runs")
    parser.add_argument("--protocol", default="both")
    parser.add_argument("--write", action="store_true")
    told = parser.parse_args()
    if told.write:
        PAGE.write_text(text(), "utf-8")
    else:
        lists = {
            name: value.split(",") if value else None
            for name, value in (("classes", told.classes), ("runs", told.runs))
        }
        run(told.tables, told.budget, seeds=told.seeds, protocol=told.protocol, **lists)
