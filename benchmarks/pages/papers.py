"""docs/results/papers.md, from benchmarks/results/papers: `python -m benchmarks.pages.papers`."""

import re
from dataclasses import replace

from oddgan import papers
from oddgan.evaluation.runner import CELLS, lines_of
from oddgan.papers.reproduction import identity, unfitted
from oddgan.report import reproduction

from ..studies.papers import results_of
from . import RESULTS

PAGE = RESULTS / "papers.md"
BUDGETS = ("fast", "desk", "splits", "paper")  # from the least to the most informative

HEAD = """# The papers' tables

Tables of the field's papers, run again, beside what was published.

## How to read them

Each table is run twice, where the source's protocol leaks ([exact and clean
protocols](../explanation/protocols.md)). **By the source's protocol** repeats what the source did, so that *published*
and *here* can be compared. **Clean** asks the same question without leaks: no row in both training and test, columns
scaled by training rows, the last step, the threshold set for 1 false alarm in 100 on held-out normal rows (more where
there are fewer than 99).

- *updates spent*: what share of the source's updates were made. Most tables were run on two cores, with a small share.
  A number of updates in its place: the source does not say how many it made, or there is no source. Nothing: no network
  is trained.
- *difference*: here minus published, over the classes that both have, and only where as much was spent as in the
  source. With less, a difference says nothing about the paper.
- *AUPRC at 10%* weights rows so that a tenth of them is anomalous and guessing gives 0.1. *AUPRC (trapezoid)* joins
  points by lines, as the source does, which overestimates. ± is over seeds. † and * are explained below each table.

Baselines are scikit-learn's with oddgan's defaults. The page is written by `python -m benchmarks.pages.papers` from
`benchmarks/results/papers`, which `python -m benchmarks.studies.papers` makes. Any table can be run separately:
`oddgan reproduce TABLE` (`oddgan reproduce --list` lists them).
"""


def cells_of(table) -> list:
    """The cells of a table as it is now; of each training and protocol, those of its largest budget."""
    cells = {cell.facts["of"]: cell for cell in lines_of(results_of(table), CELLS)}
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
    """The arguments of `oddgan reproduce` for these cells, runs with the same budget, classes and seeds together."""
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
    parts, machines, versions, listed = [], set(), set(), []
    for name, table in papers.tables().items():
        cells = cells_of(table)
        listed.append(f"- [{table.title}](#{slug(table.title)}){'' if cells else ', not run'}")
        if not cells:
            parts.append(f"## {table.title}\n\n{table.source}\n\nNot run: `oddgan reproduce {name}`.\n")
            continue
        machines |= {cell.facts["machine"] for cell in cells}
        versions |= {", ".join(f"{k} {v}" for k, v in cell.facts["versions"].items()) for cell in cells}
        made = "\n".join(f"    oddgan reproduce {name} {some}" for some in commands(table, cells))
        parts.append(f"{reproduction.page(table, cells, '##')}\nMade by\n\n{made}\n")
    measured = f"Measured on {'; '.join(sorted(machines))}; {'; '.join(sorted(versions))}.\n"
    contents = "\n".join(["## Contents\n", *listed, ""])
    return "\n".join([HEAD, measured, contents, *parts])


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
