"""Detectors side by side: each trained with several seeds on the same rows, and judged on the same test.

    comparison = oddgan.compare(split, ["ganomaly", "knn"], seeds=(0, 1, 2), results="runs.jsonl")
    print(comparison.to_markdown())

What is done is kept in `results`, so that a comparison that was killed goes on where it was, and one that is made again
with another detector trains only that one.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, ParameterError, TrainingError
from ..rows import open_rows
from .cells import Cell, Planned, Record, fingerprint, key_of, run
from .run import evaluate

if TYPE_CHECKING:
    from ..data import Split
    from ..detector import Detector
    from ..hooks import Hook
    from .results import Evaluation

SCHEMA_VERSION = 1
TIMED_ROWS = 256  # that the time to score is taken over, at most
BOOTSTRAP = 2  # intervals come from seeds here, not from resamples

FIGURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO (to 30%)",
    "detected": "detected",
    "false_alarms": "false alarms",
    "asked": "asked",
    "seconds_to_train": "seconds to train",
    "seconds_to_score": "seconds to score 1000",
}
"""Every figure of a cell and the head of its column. "auprc" is average precision; "detected" and "false_alarms" are
shares of the odd and of the normal test rows at the threshold that was set for the rate "asked", without labels.
"seconds_to_train" is None for a run that was broken off and resumed."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure over seeds: mean, standard deviation (None of one seed), median, and the values, in the seeds' order."""

    mean: float
    deviation: float | None
    median: float
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One detector over all seeds. `figures` by name, as far as there are any; `errors`: by each seed that it could not
    be trained with, why."""

    name: str
    detector: str
    parameters: Mapping[str, Any]
    figures: Mapping[str, Spread]
    errors: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found: `contenders` in the order they were given in, `cells` one for each of them and each seed.

    `chance`: the AUPRC that guessing reaches, the share of odd rows among the `n_test` test rows.
    """

    data: str
    note: str
    seeds: tuple[int, ...]
    n_test: int
    chance: float
    contenders: tuple[Contender, ...]
    cells: tuple[Cell, ...]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and lines of the table, in words. Figures that no detector has are left out."""
        shown = [name for name in FIGURES if any(name in one.figures for one in self.contenders)]
        lines = [[one.name, *(_spelt(name, one.figures.get(name)) for name in shown)] for one in self.contenders]
        return ["detector", *(FIGURES[name] for name in shown)], lines

    def notes(self) -> list[str]:
        """What a reader must know: over what the figures are, what guessing reaches, and what went wrong."""
        seeds = ", ".join(map(str, self.seeds))
        over = f"Mean ± standard deviation over seeds {seeds}" if len(self.seeds) > 1 else f"Seed {seeds}"
        lines = [
            f"{over}; {self.n_test:,} test rows. Guessing gives an AUROC of 0.5 and an AUPRC of {self.chance:.3f}.",
            "Detected and false alarms are shares of odd and of normal test rows at the threshold that was set without "
            "labels for the rate asked. Times are medians, of this machine; a resumed run has no time to train.",
        ]
        if not any(one.figures for one in self.contenders):
            lines = []
        for one in self.contenders:
            for seed, error in one.errors.items():
                lines.append(f"{one.name} failed with seed {seed}: {error}")
        return lines

    def to_markdown(self) -> str:
        """The table as GitHub-flavoured Markdown, with its notes."""
        head, lines = self.table()
        cells = [[cell.replace("|", "\\|") for cell in line] for line in (head, *lines)]
        rule = ["---"] + ["---:"] * (len(head) - 1)
        rows = [f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:])]
        notes = [f"- {' '.join(line.split())}" for line in self.notes()]
        return "\n".join([f"# Detectors on {self.data}", "", self.note, "", *rows, "", *notes, ""])

    def to_json(self) -> str:
        """Everything as strict JSON: "schema" ("oddgan.comparison"), "schema_version"; "data": {"name", "note", "rows",
        "chance"}; "seeds"; "detectors": [{"name", "detector", "parameters", "figures": {name: {"mean", "deviation",
        "median", "values"}}, "errors": {seed: text}}]; "cells": every run. A key may be added within a version."""
        document = {
            "schema": "oddgan.comparison",
            "schema_version": SCHEMA_VERSION,
            "data": {"name": self.data, "note": self.note, "rows": self.n_test, "chance": self.chance},
            "seeds": self.seeds,
            "detectors": self.contenders,
            "cells": self.cells,
        }
        return json.dumps(document, default=_fields, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def compare(
    split: Split,
    detectors: Mapping[str, Detector] | Iterable[str],
    *,
    seeds: Iterable[int] = (0, 1, 2),
    results: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    hooks: Iterable[Hook] = (),
    report: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Train each of `detectors` with each of `seeds` on the split's normal rows, and judge it on the test rows.

    `detectors`: unfitted detectors by a name of your own, or names of detectors, whose defaults are taken. `seeds` take
    the place of their random_state. `results`: a file of JSON lines, one for each run that is done; a run that is there
    (same data, detector, parameters, seed, device and versions) is not made again, and one that was broken off goes on
    from its checkpoint, which lies beside the file and is written every `checkpoint_seconds`. `hooks` watch the
    training (`oddgan.hooks`); `report` is called with a line when a run begins and when it ends.

    A detector that cannot be trained on these rows is noted in its cell, and the others go on. Raises `DataError`
    without labelled test rows of both kinds, `ParameterError` for parameters out of range, `ArtifactError` for a
    damaged checkpoint, `OutputError` when the results cannot be written.
    """
    from sklearn.base import clone

    untrained, seeds = _untrained(detectors), _different(seeds)
    runs = [(seed, name) for seed in seeds for name in untrained]
    labels, record, watching = _checked(split), Record(results), tuple(hooks)
    data = fingerprint(split.train, split.tune, split.calibrate, split.test, labels, split.masks)

    def planned(seed: int, name: str) -> Planned:
        detector: Detector = clone(untrained[name]).set_params(random_state=seed)
        parameters, key = _identity(detector, data)

        def make(checkpoint: Path | None) -> Cell:
            return Cell(
                key=key,
                data=split.name,
                detector=type(detector).__name__,
                parameters=parameters,
                seed=seed,
                **_run(detector, split, checkpoint, checkpoint_seconds, watching),
            )

        return Planned(key=key, name=f"{name}, seed {seed}", make=make)

    done = run([planned(seed, name) for seed, name in runs], record, _summary, report)
    found: dict[str, dict[int, Cell]] = {name: {} for name in untrained}
    for (seed, name), cell in zip(runs, done, strict=True):
        found[name][seed] = cell
    return Comparison(
        data=split.name,
        note=split.note,
        seeds=seeds,
        n_test=len(labels),
        chance=float(labels.mean()),
        contenders=tuple(_contender(name, cells) for name, cells in found.items()),
        cells=tuple(cell for cells in found.values() for cell in cells.values()),
    )


def _untrained(detectors: Mapping[str, Detector] | Iterable[str]) -> dict[str, Detector]:
    from ..detectors import get

    if isinstance(detectors, str):
        raise ParameterError(f"compare: detectors={detectors!r} must be a list of names, or detectors by name")
    if not isinstance(detectors, Mapping):
        names = [name.lower() for name in detectors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ParameterError(f"compare: {min(twice)} is given twice; to compare settings, give detectors by name")
        detectors = {name: get(name)() for name in names}
    if not detectors:
        raise ParameterError("compare: give at least one detector")
    for detector in detectors.values():
        detector.check_parameters()
    return dict(detectors)


def _different(seeds: Iterable[int]) -> tuple[int, ...]:
    found = tuple(map(int, seeds))
    if not found or len(set(found)) < len(found):
        raise ParameterError(f"compare: seeds={found} must be different whole numbers, at least one")
    return found


def _checked(split: Split) -> np.ndarray:
    """The labels of the test rows."""
    if split.train is None or len(split.train) == 0:
        raise DataError(f"{split.name}: no normal rows to train on; give data with normal ones")
    labels = None if split.labels is None or split.test is None else np.asarray(split.labels, dtype=bool)
    if labels is None or labels.all() or not labels.any():
        raise DataError(f"{split.name}: has no test rows labelled normal and odd ({split.note}); compare needs both")
    return labels


def _identity(detector: Detector, data: str) -> tuple[dict[str, Any], str]:
    """The detector's parameters, as JSON has them, and the key of its run on this data."""
    import sklearn
    import torch

    from .. import __version__, machine
    from ..parameters import plain

    parameters = {name: plain(value) for name, value in detector.get_params(deep=False).items()}
    cls = type(detector)
    key = key_of(
        data=data,
        detector=f"{cls.__module__}.{cls.__qualname__}",
        parameters=parameters | {"device": machine.device(detector.device).type},
        versions=[__version__, torch.__version__, np.__version__, sklearn.__version__],
    )
    return parameters, key


def _run(
    detector: Detector, split: Split, checkpoint: Path | None, checkpoint_seconds: float, hooks: tuple[Hook, ...]
) -> dict[str, Any]:
    """Figures, error and facts of one run."""
    import torch

    resumed = checkpoint is not None and checkpoint.exists()
    figures: dict[str, float | None] = {}
    error = None
    started = time.perf_counter()
    try:
        detector.fit(
            split.train,
            tune=split.tune,
            calibrate=split.calibrate,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            hooks=hooks,
        )
        seconds = time.perf_counter() - started
        figures = _figures(evaluate(detector, split, examples=0, bootstrap=BOOTSTRAP))
        figures["seconds_to_train"] = None if resumed else seconds
        figures["seconds_to_score"] = _seconds_to_score(detector, split.test)
    except (DataError, ParameterError, TrainingError) as reason:
        error = str(reason)
    facts = {"threads": torch.get_num_threads(), "processor": platform.machine(), "resumed": resumed}
    return {"figures": figures, "error": error, "facts": facts | getattr(detector, "training_", {})}


def _figures(e: Evaluation) -> dict[str, float | None]:
    assert e.rates is not None  # there are labels
    assert e.rates.detection_rate is not None
    assert e.rates.false_alarm_rate is not None
    return {
        "auroc": e.estimates["auroc"].value,
        "auprc": e.estimates["average_precision"].value,
        "pixel_auroc": e.pixel.get("pixel_auroc"),
        "aupro": e.pixel.get("aupro_0.3"),
        "detected": e.rates.detection_rate.value,
        "false_alarms": e.rates.false_alarm_rate.value,
        "asked": e.false_alarm_rate,
    }


def _seconds_to_score(detector: Detector, test: Any) -> float:
    """For 1000 rows, from some that are in memory. The evaluation has warmed everything up."""
    rows = open_rows(test)
    rows = rows.taken(0, min(TIMED_ROWS, len(rows)))
    started = time.perf_counter()
    detector.anomaly_score(rows)
    return 1000 * (time.perf_counter() - started) / len(rows)


def _contender(name: str, cells: Mapping[int, Cell]) -> Contender:
    first = next(iter(cells.values()))
    figures = {}
    for figure in FIGURES:
        values = [cell.figures.get(figure) for cell in cells.values()]
        known = [value for value in values if value is not None]
        if known:
            figures[figure] = Spread(
                mean=float(np.mean(known)),
                deviation=float(np.std(known, ddof=1)) if len(known) > 1 else None,
                median=float(np.median(known)),
                values=tuple(known),
            )
    return Contender(
        name=name,
        detector=first.detector,
        parameters={key: value for key, value in first.parameters.items() if key != "random_state"},
        figures=figures,
        errors={seed: cell.error for seed, cell in cells.items() if cell.error is not None},
    )


def _spelt(name: str, figure: Spread | None) -> str:
    if figure is None:
        return "–"
    if name.startswith("seconds"):
        return f"{figure.median:.3g}"  # the first run of a process bears what is loaded and warmed up
    return f"{figure.mean:.3f}" + ("" if figure.deviation is None else f" ± {figure.deviation:.3f}")


def _summary(cell: Cell) -> str:
    return cell.error or f"AUROC {cell.figures['auroc']:.3f}"


def _fields(value: Any) -> Any:
    """A dataclass as JSON has it."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
