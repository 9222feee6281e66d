"""Choosing a detector for rows without a label, within a time: what `oddgan train --detector auto` does.

    choice = oddgan.choose(parts, minutes=5)
    print(oddgan.report.to_markdown(choice.comparison))
    detector = choice.detector.fit(parts)

Candidates are trained with a reduced budget on some of the rows, and judged by held-out normals and simulated anomalies
of them (`oddgan.evaluation.unlabelled`). How good such choices are was measured: docs/results/choosing_measured.md.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from sklearn.base import clone

from .advice import LARGE_PARTS, recommended
from .errors import DataError, OddganError, ParameterError
from .evaluation import unlabelled
from .evaluation.cells import Cell
from .evaluation.comparison import Comparison, common_region, comparison, job, summary
from .evaluation.runner import Attempt
from .hooks import Hook, Moment, clock
from .model.scored_by import SMALL_PICTURES
from .parameters import declared
from .preprocessing import longest_of, sides_of
from .preprocessing.prepared import spread
from .rows import PictureRows, open_rows

if TYPE_CHECKING:
    from .data import Split
    from .detector import Detector

__all__ = ["MINUTES", "Choice", "candidates", "choose", "trial"]

MINUTES = 5.0
RECOMMENDED = " (recommended)"
MOST_ROWS = {"table": 2_200, "pictures": 1_000}  # normal rows that candidates are tried on
MOST_HELD = {"table": 200, "pictures": 60}  # of them held out
TRAINED_PIXELS, JUDGED_PIXELS = 60e6, 40e6  # in pictures that candidates are tried on, and in those they are judged by
UPDATES = {"table": 500, "pictures": 300}  # of candidates whose networks are trained, at most
SLOW = {"alad": 250, "draem": 200}  # updates of those that take longer
PROBED = {"table": 64, "pictures": 24}  # rows that the time of a candidate is estimated on
PROBE_UPDATES = 3
PROBE_SCORED = 6
ON_TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "pca": ("pca", {}),
    "isolationforest": ("isolationforest", {}),
    "oneclasssvm": ("oneclasssvm", {}),
    "lof": ("lof", {}),
    "knn": ("knn", {}),
    "knn --local views": ("knn", {"local": "views"}),
    "ganomaly": ("ganomaly", {}),
    "vae": ("vae", {}),
    "alad": ("alad", {}),
}
ON_SMALL_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "pca": ("pca", {}),
    "isolationforest": ("isolationforest", {}),
    "lof": ("lof", {}),
    "knn": ("knn", {}),
    "ganomaly": ("ganomaly", {}),
    "vae": ("vae", {}),
    "draem": ("draem", {}),
}
ON_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "pca": ("pca", {}),
    "knn": ("knn", {}),
    "patchcore": ("patchcore", {}),
    "ganomaly": ("ganomaly", LARGE_PARTS),
    "draem": ("draem", {}),
}
BETTER = 0.05  # by how much a rival's mean AUROC over kinds must exceed the recommended one's
EARLY = 3  # candidates that are tried before the recommended one, all of them cheap


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What `choose` found.

    `detector`: unfitted, with its whole budget; `name`: what `comparison` calls it, in which the candidates stand with
    their figures, best first, and those that there was no time for. `seconds`: what it took. Where no candidate could
    be judged, the detector is the recommended one, or else the first.
    """

    name: str
    detector: Detector
    comparison: Comparison
    seconds: float


def candidates(X: Any, **changes: Any) -> dict[str, Detector]:
    """The unfitted detectors that `choose` tries, in its order: what `recommended` gives for these rows, and rivals.

    X: as for `Detector.fit`. `changes`: parameters that the caller sets otherwise, of every detector that has them.
    """
    from . import detectors

    rows = open_rows(X)
    best = recommended(rows, **changes)
    rivals = ON_TABLES
    if rows.kind == "pictures":
        sides = sides_of(cast(PictureRows, rows))
        small = best.tile is None and longest_of(best.size, sides) <= SMALL_PICTURES
        rivals = ON_SMALL_PICTURES if small else ON_PICTURES
    best.check_parameters()
    found: dict[str, Detector] = {}
    seen = [(type(best), best.get_params())]
    for name, (kind, settings) in rivals.items():
        if len(found) == EARLY:
            found[f"{type(best).__name__.lower()}{RECOMMENDED}"] = best
        cls = detectors.get(kind)
        mine = {key: value for key, value in changes.items() if key in declared(cls)}
        if {"epochs", "minutes"} & mine.keys():
            settings = {key: value for key, value in settings.items() if key != "updates"}
        one = cls(**{**settings, **mine})
        try:
            one.check_parameters()
        except ParameterError:  # what the caller sets is not for this one
            continue
        if (cls, one.get_params()) not in seen:
            seen.append((cls, one.get_params()))
            found[name] = one
    return {**found, f"{type(best).__name__.lower()}{RECOMMENDED}": best}


def trial(detector: Detector, kind: str) -> Detector:
    """A copy of an unfitted detector for rows of that kind, with the reduced budget that candidates are tried with."""
    copy: Detector = clone(detector)
    if "updates" in declared(type(copy)):
        most = min(UPDATES[kind], SLOW.get(type(copy).__name__.lower(), UPDATES[kind]))
        copy.set_params(updates=min(most, copy.updates or most), epochs=None, minutes=None)
    return copy


def choose(
    X: Any,
    *,
    minutes: float = MINUTES,
    among: Mapping[str, Detector] | None = None,
    random_state: int = 0,
    hooks: Iterable[Hook] = (),
    report: Callable[[str], None] = lambda message: None,
) -> Choice:
    """The detector for normal rows X that best distinguishes held-out ones from simulated anomalies of them.

    Each candidate is trained once, with at most some hundred updates, on at most 2,200 rows of a table or 1,000
    pictures, fewer of large ones, less a fifth that is held out. Before it begins its time is estimated from a few
    updates on a few rows; a candidate that would not be done in time is left out, and one that nevertheless takes too
    long is stopped. Figures depend on the rows and `random_state` alone, and on the clock only which candidates have
    any. Where none is better than the recommended one by more than 0.05 of the mean AUROC over kinds, that is taken.

    Parameters
    ----------
    X : as for `Detector.fit`, or Split
        Normal rows; of a split its training rows alone: neither its test rows nor its labels are looked at.
    minutes : float
        For all candidates together. The fit of the chosen one comes on top of it.
    among : mapping of str to Detector, optional
        Unfitted candidates under names of your own, in the order in which they are tried. By default `candidates(X)`,
        which also takes parameters that all of them are to have.
    random_state : int
        The seed of the candidates, of the rows that are held out and of the simulated anomalies.
    hooks : iterable of Hook
        Watch the trainings (`oddgan.hooks`).
    report : callable
        Called with a message when a candidate begins and when it ends.

    Returns
    -------
    Choice

    Raises
    ------
    DataError
        There are fewer than ten normal rows, or rows that cannot be used.
    ParameterError
        A parameter is out of range, or no candidate is given.
    """
    from .data import Split

    if not minutes > 0:
        raise ParameterError(f"minutes={minutes}: must be above 0")
    started = _now()
    deadline = _Deadline(started + 60 * minutes)
    split = X if isinstance(X, Split) else Split(name="rows", train=cast(Any, open_rows(X)))
    if split.train is None:
        raise DataError(f"{split.name}: no normal rows to train on; give data with normal rows")
    given = candidates(split.train) if among is None else dict(among)
    if not given:
        raise ParameterError("choose: give at least one candidate")
    for one in given.values():
        one.check_parameters()
    test = trial_split(split, random_state, common_region(given.values()))
    cells: dict[str, dict[int, Cell]] = {}
    untried: dict[str, str] = {}
    for number, (name, detector) in enumerate(given.items(), 1):
        what = f"[{number}/{len(given)}] {name}"
        found = _tried(trial(detector, open_rows(test.train).kind), name, test, random_state, deadline, hooks)
        if isinstance(found, Cell):
            cells[name] = {random_state: found}
            report(f"{what}: {summary(found)}")
        else:
            untried[name] = found
            report(f"{what}: not tried, {found}")
    compared = comparison(test, cells, given, simulated=True, untried=untried)
    best = _best(compared, given)
    detector = clone(given[best])
    if detector.random_state is None:
        detector.set_params(random_state=random_state)
    return Choice(name=best, detector=detector, comparison=compared, seconds=_now() - started)


def _tried(
    detector: Detector, name: str, test: Split, seed: int, deadline: _Deadline, hooks: Iterable[Hook]
) -> Cell | str:
    """A candidate's cell, or why it was not tried."""
    if deadline.left() <= 0:
        return "the time was used up"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trials: the fit that follows warns of the user's own rows
        try:
            needed, left = _seconds(detector, test, deadline), deadline.left()
            if needed > left:
                return f"it takes about {clock(needed)}, and {clock(max(0.0, left))} was left"
            return job(detector, name, seed, test, name, simulated=True).run(
                Attempt(checkpoint=None, checkpoint_seconds=60.0, hooks=(*hooks, deadline), resumed=False)
            )
        except _OutOfTime:
            return "it was stopped when the time was used up"


def best_of(figures: Mapping[str, float], favourite: str | None) -> str | None:
    """The name with the highest of these figures, or the favourite where none is better by more than `BETTER`."""
    best = max(figures, key=lambda name: figures[name], default=None)
    if best is None or favourite is None or favourite not in figures:
        return best
    return best if figures[best] > figures[favourite] + BETTER else favourite


def _best(found: Comparison, given: Mapping[str, Detector]) -> str:
    """The name of the best candidate that has figures, or else of the recommended one, or of the first."""
    by = str(found.ranked_by)
    favourite = next((name for name in given if name.endswith(RECOMMENDED)), None)
    figures = {one.name: one.figures[by].mean for one in found.contenders if by in one.figures}
    return best_of(figures, favourite) or favourite or next(iter(given))


def trial_split(split: Split, seed: int, roi: Any = None, size: tuple[float, float] | None = None) -> Split:
    """No more of the split's training rows than candidates are tried on, some of them held out for the yardstick: fewer
    of large pictures."""
    rows = open_rows(split.train)
    most, held, simulated = MOST_ROWS[rows.kind], MOST_HELD[rows.kind], unlabelled.SIMULATED
    if rows.kind == "pictures":
        pixels = float(np.median(np.prod(sides_of(cast(PictureRows, rows)), axis=1)))
        most = min(most, max(100, int(TRAINED_PIXELS / pixels)))
        judged = max(50, int(JUDGED_PIXELS / pixels))
        held = min(held, judged // 5)
        simulated = min(simulated, judged - held)
    if most < len(rows):
        numbers = np.sort(np.random.default_rng([seed, len(rows)]).permutation(len(rows))[:most])
        split = replace(split, train=rows.some(numbers))
    return unlabelled.yardstick(split, roi=roi, seed=seed, most=held, simulated=simulated, size=size)


def _seconds(tried: Detector, test: Split, deadline: _Deadline) -> float:
    """About how long it takes to train and judge a candidate, by a few updates on a few rows; 0 where it cannot be
    trained on them."""
    rows, judged = open_rows(test.train), open_rows(test.test)
    few = rows.some(spread(len(rows), PROBED[rows.kind]))
    short = clone(tried).set_params(false_alarm_rate="auto")
    timed, updates = _Timed(), getattr(short, "updates", None)
    if updates is not None:
        short.set_params(updates=min(updates, PROBE_UPDATES))
    begun = _now()
    try:
        short.fit(few, hooks=[timed, deadline])
        fitted = _now()
        short.anomaly_score(judged.taken(0, min(PROBE_SCORED, len(judged))))
    except OddganError:  # its trial says what is wrong
        return 0.0
    scored = (_now() - fitted) * len(judged) / min(PROBE_SCORED, len(judged))
    others = (fitted - begun - timed.seconds) * len(rows) / len(few)
    return scored + others + timed.whole(updates)


class _Timed(Hook):
    """How long the updates of each stage took."""

    def __init__(self) -> None:
        self.begun = self.seconds = 0.0
        self.stages: list[tuple[int, float]] = []

    def on_start(self, moment: Moment) -> None:
        self.begun = _now()

    def on_end(self, moment: Moment) -> None:
        spent = _now() - self.begun
        self.seconds += spent
        self.stages.append((moment.update, spent))

    def whole(self, updates: int | None) -> float:
        """Seconds that so many updates of every stage take; those of a stage that has a budget of its own, as many as
        it did."""
        return sum(
            spent if updates is None or done > PROBE_UPDATES else spent * updates / max(1, done)
            for done, spent in self.stages
        )


class _OutOfTime(Exception):
    """The time for choosing is used up."""


class _Deadline(Hook):
    """Stops a training at a time of the clock."""

    def __init__(self, end: float) -> None:
        self.end = end

    def left(self) -> float:
        """Seconds that are left."""
        return self.end - _now()

    def on_update(self, moment: Moment) -> None:
        if self.left() <= 0:
            raise _OutOfTime

    def on_calibrate(self, done: int, total: int) -> None:
        if self.left() <= 0:
            raise _OutOfTime


_now = time.monotonic
