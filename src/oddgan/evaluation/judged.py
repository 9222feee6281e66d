"""What a report says of rows without labels, of a training, and of a calibration: plain frozen data.

found = oddgan.evaluation.judge(detector, new_rows)          # Scores
found = oddgan.evaluation.training_of(detector)              # Training
found = oddgan.evaluation.calibration_of(before, after)      # Recalibration
oddgan.report.write(found, "report.html")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OddganError
from .examples import Gallery, shown_pictures
from .latent import Mapper
from .results import Evaluation
from .run import in_chunks

if TYPE_CHECKING:
    from ..detector import Detector, Explanation
    from ..model.drift import Drift
    from ..model.monitor import Monitor
    from ..rows import Rows
    from ..verdict import KnownDefects

GENERATED = 16  # rows that show what a generator makes


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Rows that were scored without labels. `rows`: scores, verdicts and examples, as an `Evaluation` without labels
    has them; NaN where a row could not be used (`rows.skipped`). `drift`: whether they are like training rows;
    `monitor`: the state of the stream that they belong to. `fdr`: the false discovery rate that verdicts are by, then
    with `q_values` (n,); `at_rates`: (rate, number of anomalies) at further rates."""

    rows: Evaluation
    drift: Drift
    monitor: Monitor | None = None
    fdr: float | None = None
    q_values: np.ndarray | None = None
    at_rates: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """A training. `data`, `note`: what it was on; `detector`: what the model is, as its file has it; `history`: every
    loss term by epoch; `calibration` (k,): scores of the calibration rows. `generated`: rows of the generator, as
    pictures (m, H, W[, C]) uint8 or as a table (m, d), whose `columns` have names; None without a generator.
    `seconds`: what it took, where that is known. `evaluation`: of the test rows, where there are labelled ones."""

    data: str
    note: str
    detector: Mapping[str, Any]
    rows: str
    history: Mapping[str, Sequence[Any]]
    calibration: np.ndarray
    threshold: float
    false_alarm_rate: float
    false_alarm_range: tuple[float, float]
    n_calibrate: int
    guarantee: tuple[str, ...]
    warnings: tuple[str, ...]
    health: Mapping[str, float] = field(default_factory=dict)
    generated: np.ndarray | None = None
    columns: tuple[str, ...] = ()
    seconds: float | None = None
    evaluation: Evaluation | None = None


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One calibration: `scores` (k,) of its rows, what it was set for, and what it guarantees. `by_stratum`: (name,
    threshold, number of rows) of strata with thresholds of their own."""

    threshold: float
    false_alarm_rate: float
    false_alarm_range: tuple[float, float]
    n_calibrate: int
    scores: np.ndarray
    guarantee: tuple[str, ...]
    by_stratum: tuple[tuple[str, float, int], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Recalibration:
    """A threshold `before` and `after` it was set anew. `flagged_before`: the share of the new calibration rows above
    the old threshold. `defects`: what the new one makes of some known ones."""

    data: str
    note: str
    detector: Mapping[str, Any]
    before: Threshold
    after: Threshold
    flagged_before: float
    warnings: tuple[str, ...] = ()
    defects: KnownDefects | None = None


class Judged:
    """Collects rows that are scored, some at a time. Memory grows with their number, not with what they hold."""

    def __init__(
        self, detector: Detector, data: str, *, examples: int = 12, mapped: int = 400, random_state: int = 0
    ) -> None:
        facts = detector.info()
        self.detector, self.data, self.facts = detector, data, facts
        self.gallery, self.mapper = Gallery(examples, facts=facts, random_state=random_state), Mapper(detector, mapped)
        self.names: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.columns: tuple[list[np.ndarray], ...] = ([], [], [])
        self.map_threshold: float | None = None

    def add(self, rows: Rows, names: Sequence[str], scored: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """More rows with their names: score, p-value and verdict (m,) of each."""
        start = len(self.names)
        self.names += names
        for column, values in zip(self.columns, scored, strict=True):
            column.append(np.asarray(values))
        self.gallery.add_scored(start, rows, scored, names, self._explained)
        self.mapper.add(start, rows)

    def _explained(self, rows: Rows) -> Explanation:
        found = self.detector.explain(rows)
        self.map_threshold = found.map_threshold
        return found

    def found(
        self,
        drift: Drift,
        *,
        flagged: np.ndarray | None = None,
        warned: Sequence[str] = (),
        note: str = "",
        **more: Any,
    ) -> Scores:
        """All of it. `flagged` (n,): the verdicts, where only all rows together give them; `warned`: what was warned
        of; `more`: the other fields of `Scores`."""
        scores, p_values, before = (np.concatenate([*column, np.empty(0)]) for column in self.columns)
        verdicts = before.astype(bool) if flagged is None else flagged
        examples = tuple(replace(one, is_anomaly=bool(verdicts[one.row])) for one in self.gallery.examples())
        peaks = [float(np.quantile(one.anomaly_map, 0.99)) for one in examples if one.anomaly_map is not None]
        held = threshold_of(self.detector)
        trained = (f"of the training: {one['message']}" for one in self.facts["training"].get("warnings", ()))
        return Scores(
            rows=Evaluation(
                data=self.data,
                note=note or f"{len(self.names):,} row{'s' * (len(self.names) != 1)} without labels",
                detector=self.facts,
                names=tuple(self.names),
                scores=scores,
                p_values=p_values,
                is_anomaly=verdicts,
                labels=None,
                kinds=None,
                terms={},
                estimates={},
                rates=None,
                by_kind=(),
                pixel={},
                n_masks=0,
                threshold=held.threshold,
                false_alarm_rate=held.false_alarm_rate,
                false_alarm_range=held.false_alarm_range,
                guarantee=held.guarantee,
                n_calibrate=held.n_calibrate,
                history={},
                warnings=tuple(dict.fromkeys([*trained, *(one.message for one in drift.findings), *warned])),
                examples=examples,
                map_scale=max(peaks, default=0.0) or 1.0,
                map_threshold=self.map_threshold,
                skipped=tuple(self.skipped),
                latent=self.mapper.found(),
                calibration=held.scores,
            ),
            drift=drift,
            **more,
        )


def judge(detector: Detector, X: Any, *, name: str = "rows", examples: int = 12, mapped: int = 400) -> Scores:
    """Score rows without labels, for a report.

    Parameters
    ----------
    detector : Detector
        Fitted.
    X : as for `Detector.fit`
        The rows.
    name : str
        What to call them.
    examples, mapped : int
        As for `oddgan.evaluate`.

    Returns
    -------
    Scores

    Raises
    ------
    DataError
        The detector does not take these rows.
    """
    from ..cautions import kept
    from ..model.drift import Watch
    from ..rows import open_rows
    from ..verdict.calibration import ROUNDING

    rows = open_rows(X, like=detector.preprocessor_)
    held, watch = Judged(detector, name, examples=examples, mapped=mapped), Watch(detector.model_)
    with kept() as warned:
        for start, part in in_chunks(rows, detector.block_size):
            score = detector.anomaly_score(part)
            p_value = detector.p_value_of(score)
            flagged = p_value <= detector.false_alarm_rate_ + ROUNDING
            held.add(part, [rows.name(start + j) for j in range(len(part))], (score, p_value, flagged))
            watch.add(part, score)
    return held.found(watch.drift(), warned=[one["message"] for one in warned])


def training_of(
    detector: Detector,
    *,
    data: str = "the training rows",
    note: str = "",
    seconds: float | None = None,
    evaluation: Evaluation | None = None,
) -> Training:
    """What a fitted detector was trained on, and how that went. `data`, `note`, `seconds`, `evaluation`: what it does
    not know itself, as `Training` has them."""
    facts, held = detector.info(), threshold_of(detector)
    generated, columns = _generated(detector)
    return Training(
        data=data,
        note=note,
        detector=facts,
        rows=detector.preprocessor_.describe(),
        history={name: list(column) for name, column in detector.history_.items()},
        calibration=held.scores,
        threshold=held.threshold,
        false_alarm_rate=held.false_alarm_rate,
        false_alarm_range=held.false_alarm_range,
        n_calibrate=held.n_calibrate,
        guarantee=held.guarantee,
        warnings=tuple(one["message"] for one in facts["training"].get("warnings", ())),
        health=dict(facts["training"].get("health", {})),
        generated=generated,
        columns=columns,
        seconds=seconds,
        evaluation=evaluation,
    )


def _generated(detector: Detector) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Rows of the generator, and the names of their columns; None of a detector without one."""
    if not detector.generates:
        return None, ()
    try:
        made = detector.generate(GENERATED)
    except OddganError:
        return None, ()
    kind = detector.preprocessor_
    if kind.kind != "pictures":
        return made, tuple(kind.names)
    return shown_pictures(made, detector.info().get("preprocessing")), ()


def calibration_of(
    before: Detector,
    after: Detector,
    *,
    data: str = "the calibration rows",
    note: str = "",
    warned: Sequence[str] = (),
    defects: KnownDefects | None = None,
) -> Recalibration:
    """What a new calibration (`Detector.recalibrate`) changed. `data`, `note`: what it was set with; `warned`: what was
    warned of; `defects`: what `after.known_defects` gives."""
    old, new = threshold_of(before), threshold_of(after)
    facts = after.info()
    kept = [one["message"] for one in facts["training"].get("warnings", ())]
    return Recalibration(
        data=data,
        note=note,
        detector=facts,
        before=old,
        after=new,
        flagged_before=float((new.scores > old.threshold).mean()),
        warnings=tuple(dict.fromkeys([*kept, *warned])),
        defects=defects,
    )


def threshold_of(detector: Detector) -> Threshold:
    """The calibration of a fitted detector."""
    held, promised = detector.model_.calibration, detector.guarantee_
    return Threshold(
        threshold=float(held.threshold),
        false_alarm_rate=float(held.rate),
        false_alarm_range=(promised.low, promised.high),
        n_calibrate=int(held.count),
        scores=np.sort(np.asarray(held.scores, np.float64)),
        guarantee=promised.paragraphs,
        by_stratum=tuple((name, float(own.threshold), int(own.count)) for name, own in held.by_stratum.items()),
    )
