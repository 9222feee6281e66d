"""Several detectors on one data set: each trained with several seeds on the same rows, judged on the same test rows.

    comparison = oddgan.compare(split, ["ganomaly", "knn"], seeds=(0, 1, 2), results="runs.jsonl")
    print(oddgan.report.to_markdown(comparison))

Where no test row is labelled, held-out normals and simulated anomalies are the test (`unlabelled`). Finished runs are
kept in `results`: a comparison that was killed continues where it was, and one that is repeated with another detector
trains only that one.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import show
from ..errors import DataError, ParameterError
from ..rows import open_rows
from .cells import Cell, fingerprint, key_of, parameters_of, versions
from .figures import FIGURES
from .run import evaluate
from .runner import CELLS, Attempt, Facts, Figures, Job, Record, judged, run

if TYPE_CHECKING:
    from ..data import Split
    from ..detector import Detector
    from ..engine import Ray
    from ..hooks import Hook
    from .results import Evaluation

TIMED_ROWS = 256  # at most, that scoring is timed on
SHOWN = ("auroc", "auprc", "pixel_auroc", "aupro", "detected", "false_alarms")  # in a notebook
BOOTSTRAP = 2  # the spread comes from seeds here, not from resamples


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure over seeds: mean, standard deviation (None for one seed), median, and the values in the seeds' order."""

    mean: float
    deviation: float | None
    median: float
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One detector over all seeds. `figures` by name, those that exist; `errors`: for each seed that it could not be
    trained with, the reason. `trains_on_simulated`: it learns from simulated anomalies, which favours it where they are
    the test."""

    name: str
    detector: str
    parameters: Mapping[str, Any]
    figures: Mapping[str, Spread]
    errors: Mapping[int, str]
    trains_on_simulated: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found: `contenders` in the order given, and one of `cells` for each contender and seed.

    `chance`: the AUPRC of guessing, which is the share of anomalies among the `n_test` test rows. `simulated`: whether
    the anomalies are simulated ones; then contenders are in the order of the figure `ranked_by`, best first, and those
    without figures last. `untried`: detectors that there was no time for, with the reason. `oddgan.report` turns it
    into tables, Markdown and JSON.
    """

    data: str
    note: str
    seeds: tuple[int, ...]
    n_test: int
    chance: float
    contenders: tuple[Contender, ...]
    cells: tuple[Cell, ...]
    simulated: bool = False
    ranked_by: str | None = None
    untried: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        title, warnings, facts = self._summary()
        head, lines = self._table()
        spelt = {row[0]: ", ".join(f"{h} {v}" for h, v in zip(head[1:], row[1:], strict=True)) for row in lines}
        return show.text(title, warnings, {**facts, **spelt})

    def _repr_html_(self) -> str:
        return show.html(*self._summary(), table=self._table())

    def _summary(self) -> tuple[str, list[str], dict[str, Any]]:
        """Title, warnings and facts."""
        warnings = ["the anomalies are simulated: figures rank detectors, and promise nothing about true anomalies"]
        warnings *= self.simulated
        for one in self.contenders:
            warnings += [f"{one.name}, seed {seed}: {why}" for seed, why in one.errors.items()]
        warnings += [f"{name}: not tried, {why}" for name, why in self.untried.items()]
        facts = {"seeds": ", ".join(map(str, self.seeds)), "test": f"{self.n_test:,} rows, {self.chance:.1%} anomalous"}
        return f"Comparison of {len(self.contenders)} detectors on {self.data}", warnings, facts

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows: the mean of each figure over seeds, and its deviation."""
        names = [name for name in SHOWN if any(name in one.figures for one in self.contenders)]
        rows = [
            [one.name, *(_spread(one.figures[name]) if name in one.figures else "–" for name in names)]
            for one in self.contenders
        ]
        return ["detector", *(FIGURES[name].short for name in names)], rows


def _spread(found: Spread) -> str:
    return f"{found.mean:.3f}" + ("" if found.deviation is None else f" ± {found.deviation:.3f}")


def compare(
    split: Any,
    detectors: Mapping[str, Detector] | Iterable[str],
    *,
    seeds: Iterable[int] = (0, 1, 2),
    labels: bool | None = None,
    results: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    hooks: Iterable[Hook] = (),
    report: Callable[[str], None] = lambda message: None,
    engine: Ray | None = None,
) -> Comparison:
    """Train each of `detectors` with each of `seeds` on the split's normal rows, and judge it on the test rows.

    Without labelled test rows a fifth of the normal rows, 200 at most, is held out, and the test is these and simulated
    anomalies of them: the figures then rank detectors, and promise nothing about true anomalies. A detector that cannot
    be trained on these rows gets the reason in its cell, and the comparison continues.

    Parameters
    ----------
    split : Split, or as X for `Detector.fit`
        Normal rows to train on, and test rows with labels of both classes if there are any.
    detectors : mapping of str to Detector, or iterable of str
        Unfitted detectors under names of your own, or names of detectors, which get their defaults.
    seeds : iterable of int
        Replace the detectors' random_state.
    labels : bool, optional
        True: the split must have labelled test rows. False: they are not looked at. By default they are used where
        there are any.
    results : path, optional
        A file of JSON lines, one per finished run. A run that is in it (same data, detector, parameters, seed, device
        and versions) is not repeated, and an interrupted one continues from its checkpoint beside the file.
    checkpoint_seconds : float
        Seconds from one checkpoint of a run to the next.
    hooks : iterable of Hook
        Watch the training (`oddgan.hooks`).
    report : callable
        Called with a message when a run begins and when it ends.
    engine : Ray, optional
        `oddgan.engine.Ray`: runs are trained by its workers, several at a time, and hooks are not called.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        The split's labels are all of one class, or `labels` is true and it has none; or there are fewer than ten normal
        rows to hold some out of.
    ParameterError
        A parameter is out of range.
    ArtifactError
        A checkpoint is damaged.
    OutputError
        The results cannot be written.
    EngineError
        There is no engine, or workers died at every try; all other runs are kept.
    """
    from ..data import Split

    untrained, seeds = _untrained(detectors), _different(seeds)
    if not isinstance(split, Split):
        split = Split(name="rows", train=open_rows(split))
    simulated = not (split.labels is not None if labels is None else labels)
    if simulated:
        from . import unlabelled  # torch comes with it

        split = unlabelled.yardstick(split, roi=common_region(untrained.values()))
    marks, record = _checked(split), Record(results, CELLS)
    data = fingerprint(split.train, split.tune, split.calibrate, split.test, marks, split.masks)
    places = [(seed, name) for seed in seeds for name in untrained]
    jobs = [job(untrained[name], name, seed, split, data, simulated=simulated) for seed, name in places]
    how: Any = {"checkpoint_seconds": checkpoint_seconds, "hooks": hooks, "report": report, "engine": engine}
    lines = run(jobs, record, summary=summary, **how)
    found: dict[str, dict[int, Cell]] = {name: {} for name in untrained}
    for (seed, name), cell in zip(places, lines, strict=True):
        found[name][seed] = cell
    return comparison(split, found, untrained, simulated=simulated)


def comparison(
    split: Split,
    found: Mapping[str, Mapping[int, Cell]],
    untrained: Mapping[str, Detector],
    *,
    simulated: bool,
    untried: Mapping[str, str] | None = None,
) -> Comparison:
    """The comparison that these cells are, by detector and seed; the test of `split` is labelled."""
    from . import unlabelled

    marks = np.asarray(split.labels, dtype=bool)
    contenders = [_contender(name, cells, untrained[name]) for name, cells in found.items()]
    by = (unlabelled.CRITERION, unlabelled.TIES)
    if simulated:
        contenders.sort(key=lambda one: [-one.figures[name].mean if name in one.figures else np.inf for name in by])
    return Comparison(
        data=split.name,
        note=split.note,
        seeds=tuple(next(iter(found.values()), {})),
        n_test=len(marks),
        chance=float(marks.mean()),
        contenders=tuple(contenders),
        cells=tuple(cell for cells in found.values() for cell in cells.values()),
        simulated=simulated,
        ranked_by=unlabelled.CRITERION if simulated else None,
        untried=dict(untried or {}),
    )


def common_region(untrained: Iterable[Detector]) -> Any:
    """The region of interest where all detectors have the same."""
    regions = {detector.roi for detector in untrained}
    return regions.pop() if len(regions) == 1 else None


def _untrained(detectors: Mapping[str, Detector] | Iterable[str]) -> dict[str, Detector]:
    from ..detectors import get

    if isinstance(detectors, str):
        raise ParameterError(
            f"compare: detectors={detectors!r} must be a list of names, or a mapping from names to detectors"
        )
    if not isinstance(detectors, Mapping):
        names = [name.lower() for name in detectors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ParameterError(
                f"compare: {min(twice)} is given twice; to compare settings, give detectors under names of your own"
            )
        detectors = {name: get(name)() for name in names}
    if not detectors:
        raise ParameterError("compare: give at least one detector")
    for detector in detectors.values():
        detector.check_parameters()
    return dict(detectors)


def _different(seeds: Iterable[int]) -> tuple[int, ...]:
    found = tuple(map(int, seeds))
    if not found or len(set(found)) < len(found):
        raise ParameterError(f"compare: seeds={found} must be distinct whole numbers, at least one")
    return found


def _checked(split: Split) -> np.ndarray:
    """The labels of the test rows."""
    if split.train is None or len(split.train) == 0:
        raise DataError(f"{split.name}: no normal rows to train on; give data with normal rows")
    labels = None if split.labels is None or split.test is None else np.asarray(split.labels, dtype=bool)
    if labels is None or labels.all() or not labels.any():
        raise DataError(
            f"{split.name}: has no test rows labelled normal and anomalous ({split.note}); labels=False (--no-labels) "
            "compares by simulated anomalies"
        )
    return labels


def job(detector: Detector, name: str, seed: int, split: Split, data: str, *, simulated: bool) -> Job[Cell]:
    """The cell of an unfitted detector with that seed; `data` identifies the rows. It is copied, not changed."""
    from sklearn.base import clone

    from .. import machine

    detector = clone(detector).set_params(random_state=seed)
    cls, parameters = type(detector), parameters_of(detector)
    key = key_of(
        data=data,
        detector=f"{cls.__module__}.{cls.__qualname__}",
        parameters=parameters | {"device": machine.device(detector.device).type},
        versions=list(versions().values()),
    )

    def make(attempt: Attempt) -> Cell:
        import torch

        figures, more, error = judged(lambda: _judged(detector, split, attempt, simulated))
        facts = {"threads": torch.get_num_threads(), "processor": platform.machine(), "resumed": attempt.resumed}
        return Cell(
            key=key,
            data=split.name,
            detector=cls.__name__,
            parameters=parameters,
            seed=seed,
            figures=figures,
            error=error,
            facts={**facts, **more, **getattr(detector, "training_", {})},
        )

    return Job(key=key, title=f"{name}, seed {seed}", run=make)


def _judged(detector: Detector, split: Split, attempt: Attempt, simulated: bool) -> tuple[Figures, Facts]:
    fit = attempt.fit(detector, split.train, tune=split.tune, calibrate=split.calibrate)
    facts: Facts = {}
    if simulated:
        from . import unlabelled

        figures, by_kind = unlabelled.figures(detector, split)
        facts = {"simulated": by_kind}
    else:
        found = evaluate(detector, split, examples=0, bootstrap=BOOTSTRAP, mapped=0)
        figures, facts = _figures(found), {"rivals": dict(found.rivals)} if found.rivals else {}
    figures["seconds_to_train"] = fit.seconds
    figures["seconds_to_score"] = _seconds_to_score(detector, split.test)
    return figures, facts


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
    """For 1000 rows, measured on rows in memory. The evaluation before it was the warm-up."""
    rows = open_rows(test)
    rows = rows.taken(0, min(TIMED_ROWS, len(rows)))
    started = time.perf_counter()
    detector.anomaly_score(rows)
    return 1000 * (time.perf_counter() - started) / len(rows)


def _contender(name: str, cells: Mapping[int, Cell], detector: Detector) -> Contender:
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
        trains_on_simulated=getattr(detector, "trains_on_simulated", False),
    )


def summary(cell: Cell) -> str:
    """What a message says of a cell that is done."""
    what = "simulated AUROC" if "simulated" in cell.facts else "AUROC"
    return cell.error or f"{what} {cell.figures['auroc']:.3f}"
