"""A paper's table, run by us: its protocol as it was, the clean one beside it, over seeds, beside what was published.

    found = oddgan.papers.reproduce("egbad-kdd99", budget="fast", results="egbad-kdd99.jsonl")
    print(found.to_markdown())

Each training is a cell: a protocol, a class and a seed. Cells stream into a file as they come; one that is there is
never run twice, and one that was broken off goes on from its checkpoint.
"""

import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

from .. import __version__, detectors, machine
from ..detector import Detector
from ..errors import DataError, ParameterError, TrainingError
from ..evaluation import cells as runner
from ..evaluation.cells import Cell, Planned, Record, key_of
from ..hooks import Hook
from ..kit.recipe import NeuralRecipe
from ..parameters import declared, plain
from . import protocols, speed
from .configured import detector as configured
from .figures import FIGURES, agreement, figures
from .page import markdown, methods, notes
from .protocols import PROTOCOLS, Protocol, Task
from .published import Run, Table, table

VERSION = 1
"""Of protocols and figures: raised when they change, so that cells of before are not taken for those of now."""

TUNED_ON = 1_000  # training rows, where no row is put aside

SCORE = "score"
"""The name of a detector's score among its terms: what `score_by` says, weighed as it weighs them."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training of a table that is to be run. `detector` is unfitted and has the cell's seed. `of`: a name for what it
    is of; `key`: one for that and where it runs.
    """

    run: Run
    protocol: Protocol
    group: str
    seed: int
    budget: str
    detector: Detector
    of: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of a table: its cells, by what they are of."""

    table: Table
    budget: str
    cells: tuple[Cell, ...]

    def to_markdown(self) -> str:
        """The table as GitHub-flavoured Markdown: published, ours, difference; the clean protocol; what to know."""
        return markdown(self.table, self.cells)

    def lines(self) -> tuple[list[str], list[list[str]]]:
        """Head and lines of the table of methods, in words."""
        return methods(self.table, list(self.cells))

    def notes(self) -> list[str]:
        """What a reader must know."""
        return notes(self.table, list(self.cells))


def reproduce(
    name: str,
    *,
    protocol: Protocol | str = "both",
    seeds: int | None = None,
    classes: Iterable[str] | None = None,
    runs: Iterable[str] | None = None,
    budget: str = "fast",
    results: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    hooks: Iterable[Hook] = (),
    report: Callable[[str], None] = lambda line: None,
) -> Reproduction:
    """Run the table `name` as far as its cells are not in `results` yet.

    `protocol`: "exact", as the source did it; "clean"; or "both". `seeds`: how many, from 0 on; `classes` and `runs`:
    some of the table's; without them, what the budget says. `budget`: "paper", what the source spends, or one of the
    table's smaller ones. `results`: a file of JSON lines. `hooks` watch the training; `report` is called with a line
    when a cell begins and when it ends.

    Raises `ParameterError` for a name that is not there, `DataError` where the data is not at hand, `OutputError` when
    the results cannot be written. Two processes must not write one file of results at a time.
    """
    wanted = table(name)
    record, watching = Record(results), tuple(hooks)

    def planned(one: Training) -> Planned:
        return Planned(
            key=one.key,
            name=f"{one.run.name}, {one.protocol}{one.group and f', class {one.group}'}, seed {one.seed}",
            make=lambda checkpoint: _cell(wanted, one, checkpoint, checkpoint_seconds, watching),
            # Found by what it depends on: another table, or another budget, may have run it.
            found=lambda cell: replace(cell, facts={**cell.facts, **_place(wanted, one)}),
        )

    todo = [planned(one) for one in plan(wanted, protocol, seeds, classes, runs, budget)]
    cells = runner.run(todo, record, lambda cell: _summary(cell, wanted.figure), report)
    return Reproduction(table=wanted, budget=budget, cells=tuple(cells))


def plan(
    wanted: Table,
    protocol: str = "both",
    seeds: int | None = None,
    classes: Iterable[str] | None = None,
    runs: Iterable[str] | None = None,
    budget: str = "fast",
) -> Iterator[Training]:
    """The cells of a table, in the order in which they are run: all lines of a class and seed together."""
    if protocol not in (*PROTOCOLS, "both"):
        raise ParameterError(f"protocol={protocol!r}: must be exact, clean or both")
    if budget not in wanted.budgets:
        raise ParameterError(f"{wanted.name} has no budget {budget!r}; it has {', '.join(wanted.budgets)}")
    limits = wanted.budgets[budget]
    count = (limits.seeds or wanted.seeds) if seeds is None else seeds
    if count < 1:
        raise ParameterError(f"seeds={count}: must be at least 1")
    groups = _chosen(wanted.name, "class", wanted.classes, classes, limits.classes)
    names = _chosen(wanted.name, "run", wanted.runs, runs, None)
    asked = [one for one in wanted.protocols if protocol in (one, "both")]
    if not asked:
        raise ParameterError(f"{wanted.name} has no protocol {protocol!r}, only {wanted.protocols[0]}: {wanted.source}")
    for seed in range(count):
        for group in groups:
            for one in asked:
                for run in (wanted.runs[name] for name in names):
                    detector = unfitted(wanted, run, one, group, budget).set_params(random_state=seed)  # type: ignore[arg-type]
                    of = identity(wanted, one, group, budget, detector)
                    yield Training(
                        run=run,
                        protocol=one,  # type: ignore[arg-type]
                        group=group,
                        seed=seed,
                        budget=budget,
                        detector=detector,
                        of=of,
                        key=_key(of, detector),
                    )


def trainings(wanted: Table, budget: str) -> int:
    """How many cells the table has under a budget."""
    limits = wanted.budgets[budget]
    groups = len(limits.classes or wanted.classes)
    return (limits.seeds or wanted.seeds) * groups * len(wanted.protocols) * len(wanted.runs)


def unfitted(wanted: Table, run: Run, protocol: Protocol, group: str = "", budget: str = "paper") -> Detector:
    """The detector of a run, unfitted. A data set called "{class}" in its configuration is the group."""
    changes = dict(run.parameters) | (dict(run.clean) if protocol == "clean" else {})
    if run.of is not None:
        dataset, variant = (part.replace("{class}", group) for part in run.of)
        det = configured(run.detector, dataset, variant=variant, **changes)
    else:
        det = detectors.get(run.detector)(**changes)
    if budget != "paper" and isinstance(det, NeuralRecipe):
        known = declared(type(det))
        smaller = {name: value for name, value in wanted.budgets[budget].parameters.items() if name in known}
        if "updates" in smaller:
            least = min(smaller["updates"], det.updates or smaller["updates"])  # a recipe may need less
            smaller = {"epochs": None, **smaller, "updates": least}
        det.set_params(**smaller)
    return det


def _chosen(table: str, what: str, known: Iterable[str], asked: Iterable[str] | None, usual: Any) -> list[str]:
    known = list(known)
    if asked is None:
        return list(usual or known)
    found = [str(one) for one in asked]
    if strange := [one for one in found if one not in known]:
        raise ParameterError(f"{table} has no {what} {strange[0]!r}; it has {', '.join(known)}")
    return [one for one in known if one in found]


def identity(wanted: Table, protocol: str, group: str, budget: str, detector: Detector) -> str:
    """A name for what a cell is of, wherever it is run."""
    limits = wanted.budgets[budget]
    return key_of(
        table=[wanted.data, wanted.task, protocol, group, VERSION],
        rows=[limits.train, limits.test],
        detector=type(detector).__name__,
        parameters={name: plain(value) for name, value in detector.get_params(deep=False).items()},
    )


def _key(of: str, detector: Detector) -> str:
    """A name for everything that a cell's figures depend on: what it is `of`, device and versions."""
    versions = [__version__, torch.__version__, np.__version__, sklearn.__version__]
    return key_of(of=of, device=machine.device(detector.device).type, versions=versions)


def _cell(
    wanted: Table, one: Training, checkpoint: Path | None, checkpoint_seconds: float, hooks: tuple[Hook, ...]
) -> Cell:
    found: dict[str, float | None] = {}
    facts: dict[str, Any] = {}
    error = None
    task = None
    if wanted.task != "speed":
        limits = wanted.budgets[one.budget]
        place = one.protocol, one.group, one.seed
        task = protocols.task(wanted.task, wanted.data, *place, train=limits.train, test=limits.test)
    try:
        if task is None:
            found, facts = speed.measure(one.detector, one.group)
        else:
            found, facts = _judged(one.detector, task, checkpoint, checkpoint_seconds, hooks)
    except (DataError, ParameterError, TrainingError) as reason:
        error = str(reason)
    versions = {"oddgan": __version__, "torch": torch.__version__, "numpy": np.__version__}
    return Cell(
        key=one.key,
        data=wanted.data if task is not None else one.group,
        detector=type(one.detector).__name__,
        parameters={name: plain(value) for name, value in one.detector.get_params(deep=False).items()},
        seed=one.seed,
        figures={name: _finite(value) for name, value in found.items()},
        error=error,
        facts={
            **_place(wanted, one),
            **facts,
            "versions": versions,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        },
    )


def _place(wanted: Table, one: Training) -> dict[str, Any]:
    return {
        "table": wanted.name,
        "run": one.run.name,
        "protocol": one.protocol,
        "class": one.group,
        "budget": one.budget,
        "of": one.of,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _judged(
    detector: Detector, task: Task, checkpoint: Path | None, checkpoint_seconds: float, hooks: tuple[Hook, ...]
) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Fit, score, and the figures of every term, named "TERM FIGURE"."""
    if task.calibrate is None:
        # Exact: the source puts no row aside, so none is. What weighs terms is tuned on training rows; the threshold
        # that two of them give is of no use and not used.
        held = {"tune": protocols.some(task.train, TUNED_ON), "calibrate": task.train[:2]}
    else:
        held = {"calibrate": protocols.some(task.calibrate, detector.max_held_out_rows)}
    resumed = checkpoint is not None and checkpoint.exists()
    started = time.perf_counter()
    detector.fit(task.train, **held, checkpoint=checkpoint, checkpoint_seconds=checkpoint_seconds, hooks=hooks)
    trained = time.perf_counter()
    terms = _terms(detector, task.test)
    explained = time.perf_counter()
    calibrate = {} if task.calibrate is None else _terms(detector, held["calibrate"])
    found: dict[str, float | None] = {}
    for term, scores in terms.items():
        for name, value in figures(task.labels, scores, calibrate.get(term), task.percentile).items():
            found[f"{term} {name}"] = value
    facts = {
        **task.facts,
        "updates": detector.training_.get("updates"),
        "seconds to train": None if resumed else round(trained - started, 2),
        "milliseconds to explain a row": round(1e3 * (explained - trained) / len(task.test), 4),
        "agreement": {pair: _finite(value) for pair, value in agreement(terms).items()} if len(terms) > 2 else {},
    }
    if calibrate:
        facts["false alarms asked"] = detector.false_alarm_rate_
    return found, facts


def _terms(detector: Detector, rows: Any) -> dict[str, np.ndarray]:
    found = detector.explain(rows)
    return {SCORE: np.asarray(found.score), **{name: np.asarray(value) for name, value in found.terms.items()}}


def _summary(cell: Cell, figure: str) -> str:
    if cell.error is not None:
        return f"failed: {cell.error}"
    value: Mapping[str, float | None] = cell.figures
    name = figure if f"{SCORE} {figure}" in value else "auroc"
    shown = value[f"{SCORE} {name}"]
    return f"{FIGURES[name]} {'none' if shown is None else f'{shown:.3f}'}"
