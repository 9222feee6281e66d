"""The papers' tables, run.

    ODDGAN_DATA=... python -m benchmarks.studies.papers [TABLE ...] [--budget desk] [--seeds N] [--classes A,B]
        [--runs A,B]
    python -m benchmarks.pages.papers          # docs/results/papers.md

Results are kept in benchmarks/results/papers, a file for each data set and a line for each training. `desk` is what two
cores can afford; docs/results/papers.md states for every figure how many of the source's updates were made. One
thread: several processes may run at the same time, on different data.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from . import RESULTS, say


def results_of(table) -> Path:
    """The file of a table's cells: tables on the same data share the cells that they have in common."""
    return RESULTS / "papers" / f"{'speed' if table.task == 'speed' else table.data}.jsonl"


def run(names: Iterable[str], budget: str | None, **limits) -> None:
    """Run the trainings that are missing; `limits`: seeds, classes, runs and protocol, as `reproduce` takes them."""
    import torch

    from oddgan import papers

    torch.set_num_threads(1)
    for name in names or papers.tables():
        table = papers.table(name)
        papers.reproduce(
            name,
            budget=budget or ("desk" if "desk" in table.budgets else "fast"),
            results=results_of(table),
            report=lambda message, name=name: say(f"{name} {message}"),
            **limits,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--budget")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--classes")
    parser.add_argument("--runs")
    parser.add_argument("--protocol", default="both")
    options = parser.parse_args()
    lists = {
        name: value.split(",") if value else None
        for name, value in (("classes", options.classes), ("runs", options.runs))
    }
    run(options.tables, options.budget, seeds=options.seeds, protocol=options.protocol, **lists)
