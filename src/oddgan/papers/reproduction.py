"""A table of a paper, reproduced: by its own protocol and by a clean one, over seeds, beside what was published.

    found = oddgan.papers.reproduce("egbad-kdd99", budget="fast", results="egbad-kdd99.jsonl")
    print(oddgan.report.to_markdown(found))

Each training is a cell: a protocol, a class and a seed. `oddgan.evaluation.runner` runs the cells and keeps them.
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
import torch

from .. import detectors, machine
from ..detector import Detector
from ..engine import Ray
from ..errors import ParameterError
from ..evaluation import runner
from ..evaluation.cells import Cell, key_of, parameters_of, versions
from ..evaluation.figures import FIGURES
from ..evaluation.runner import CELLS, Attempt, Facts, Figures, Job, Record, judged
from ..hooks import Hook
from ..kit.neural import NeuralRecipe
from ..parameters import declared
from . import protocols, speed
from .configured import detector as configured
from .figures import agreement, figures
from .protocols import PROTOCOLS, Protocol, Task
from .published import Run, Table, table

VERSION = 1
"""Of protocols and figures: raised when they change, so that cells made before are not taken for current ones."""

TUNED_ON = 1_000  # training rows, where no row is held out

SCORE = "score"
"""The name of a detector's score among its terms: what `score_by` selects."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training of a table that is to be run. `detector` is unfitted and has the cell's seed. `of` identifies what the
    cell is about, and `key` also where it is run: device and versions."""

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
    """A table and its cells, in the order in which they were planned. `oddgan.report` makes a page of it."""

    table: Table
    budget: str
    cells: tuple[Cell, ...]


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
    report: Callable[[str], None] = lambda message: None,
    engine: Ray | None = None,
) -> Reproduction:
    """Run the cells of the table `name` that are not in `results` yet.

    `protocol`: "exact", as the source did it; "clean"; or "both". `seeds`: how many, starting at 0; `classes` and
    `runs`: some of the table's. By default, the budget decides. `budget`: "paper", what the source spends, or one of
    the table's smaller ones. `results`: a file of JSON lines. `hooks` watch the training; `report` is called with a
    message when a cell begins and when it ends. `engine`: its workers run the cells, and hooks are not called.

    Raises `ParameterError` for an unknown name, `DataError` where the data is not available, `OutputError` when the
    results cannot be written. Two processes must not write one file of results at the same time.
    """
    wanted = table(name)
    planned = list(plan(wanted, protocol, seeds, classes, runs, budget))
    cells = runner.run(
        (_job(wanted, one) for one in planned),
        Record(results, CELLS),
        summary=lambda cell: _summary(cell, wanted.figure),
        checkpoint_seconds=checkpoint_seconds,
        hooks=hooks,
        report=report,
        engine=engine,
    )
    # A cell is found by what it depends on: another table or another budget may have run it.
    placed = (
        replace(cell, facts={**cell.facts, **_place(wanted, one)}) for cell, one in zip(cells, planned, strict=True)
    )
    return Reproduction(table=wanted, budget=budget, cells=tuple(placed))


def plan(
    wanted: Table,
    protocol: str = "both",
    seeds: int | None = None,
    classes: Iterable[str] | None = None,
    runs: Iterable[str] | None = None,
    budget: str = "fast",
) -> Iterator[Training]:
    """The cells of a table, in the order in which they are run: all runs of a class and seed together.

    Arguments as for `reproduce`. Raises `ParameterError` for anything that the table does not have.
    """
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
    """The unfitted detector of a run. In its configuration's data set, "{class}" stands for the group."""
    changes = dict(run.parameters) | (dict(run.clean) if protocol == "clean" else {})
    if run.of is not None:
        dataset, variant = (part.replace("{class}", group) for part in run.of)
        det = configured(run.detector, dataset, variant=variant, **changes)
    else:
        cls = detectors.get(run.detector)
        det = cls(**{"score_by": cls.own_score, **changes})
    if budget != "paper" and isinstance(det, NeuralRecipe):
        known = declared(type(det))
        smaller = {name: value for name, value in wanted.budgets[budget].parameters.items() if name in known}
        if "updates" in smaller:
            fewest = min(smaller["updates"], det.updates or smaller["updates"])  # a recipe may need fewer
            smaller = {"epochs": None, **smaller, "updates": fewest}
        det.set_params(**smaller)
    return det


def _chosen(table: str, what: str, known: Iterable[str], asked: Iterable[str] | None, usual: Any) -> list[str]:
    known = list(known)
    if asked is None:
        return list(usual or known)
    found = [str(one) for one in asked]
    if unknown := [one for one in found if one not in known]:
        raise ParameterError(f"{table} has no {what} {unknown[0]!r}; it has {', '.join(known)}")
    return [one for one in known if one in found]


def identity(wanted: Table, protocol: str, group: str, budget: str, detector: Detector) -> str:
    """Identifies what a cell is about, wherever it is run."""
    limits = wanted.budgets[budget]
    return key_of(
        table=[wanted.data, wanted.task, protocol, group, VERSION],
        rows=[limits.train, limits.test],
        detector=type(detector).__name__,
        parameters=parameters_of(detector),
    )


def _key(of: str, detector: Detector) -> str:
    """Identifies everything that a cell's figures depend on: what it is `of`, device and versions."""
    return key_of(of=of, device=machine.device(detector.device).type, versions=list(versions().values()))


def _job(wanted: Table, one: Training) -> Job[Cell]:
    title = f"{one.run.name}, {one.protocol}{one.group and f', class {one.group}'}, seed {one.seed}"
    return Job(key=one.key, title=title, run=lambda attempt: _cell(wanted, one, attempt))


def _cell(wanted: Table, one: Training, attempt: Attempt) -> Cell:
    task = None
    if wanted.task != "speed":
        limits = wanted.budgets[one.budget]
        place = one.protocol, one.group, one.seed
        task = protocols.task(wanted.task, wanted.data, *place, train=limits.train, test=limits.test)

    def judge() -> tuple[Figures, Facts]:
        return speed.measure(one.detector, one.group) if task is None else _judged(one.detector, task, attempt)

    found, facts, error = judged(judge)
    parameters, of_packages = parameters_of(one.detector), versions()
    return Cell(
        key=one.key,
        data=wanted.data if task is not None else one.group,
        detector=type(one.detector).__name__,
        parameters=parameters,
        seed=one.seed,
        figures={name: _finite(value) for name, value in found.items()},
        error=error,
        facts={
            **_place(wanted, one),
            **facts,
            "versions": {name: of_packages[name] for name in ("oddgan", "torch", "numpy")},
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


def _judged(detector: Detector, task: Task, attempt: Attempt) -> tuple[Figures, Facts]:
    """Fit, score, and the figures of every term, named "TERM FIGURE"."""
    if task.calibrate is None:
        # Exact: the source holds no row out, so none is. What weighs terms is tuned on training rows; the threshold
        # that two of them give means nothing and is not used.
        held_out = {"tune": protocols.some(task.train, TUNED_ON), "calibrate": task.train[:2]}
    else:
        held_out = {"calibrate": protocols.some(task.calibrate, detector.max_held_out_rows)}
    fit = attempt.fit(detector, task.train, **held_out)
    started = time.perf_counter()
    terms = _terms(detector, task.test)
    seconds = time.perf_counter() - started
    calibrate = {} if task.calibrate is None else _terms(detector, held_out["calibrate"])
    found: dict[str, float | None] = {}
    for term, scores in terms.items():
        for name, value in figures(task.labels, scores, calibrate.get(term), task.percentile).items():
            found[f"{term} {name}"] = value
    facts = {
        **task.facts,
        "updates": detector.training_.get("updates"),
        "seconds to train": None if fit.seconds is None else round(fit.seconds, 2),
        "milliseconds to explain a row": round(1e3 * seconds / len(task.test), 4),
        "agreement": {pair: _finite(value) for pair, value in agreement(terms).items()} if len(terms) > 2 else {},
    }
    if calibrate:
        facts["false alarms requested"] = detector.false_alarm_rate_
    return found, facts


def _terms(detector: Detector, rows: Any) -> dict[str, np.ndarray]:
    found = detector.explain(rows)
    return {SCORE: np.asarray(found.score), **{name: np.asarray(value) for name, value in found.terms.items()}}


def _summary(cell: Cell, figure: str) -> str:
    if cell.error is not None:
        return f"failed: {cell.error}"
    values: Mapping[str, float | None] = cell.figures
    name = figure if f"{SCORE} {figure}" in values else "auroc"
    value = values[f"{SCORE} {name}"]
    return f"{FIGURES[name].head} {'none' if value is None else f'{value:.3f}'}"
