"""Do new rows look like training rows at all? `Watch` looks at them some at a time, `Drift` says what was found."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import cautions, show
from ..cautions import DriftWarning
from ..preprocessing import profile
from ..rows import Rows
from ..verdict.drift import LEVEL, Martingale
from ..verdict.uniformity import Finding, Sample, flagged_range, of_scores, same_distribution
from .judge import Judge

SCORES = 10_000  # of new rows that are compared with calibration scores, drawn from all of them


@dataclass(frozen=True)
class Drift:
    """How new rows compare with training rows.

    `rows`: how many were looked at. `flagged`: how many of them are anomalies, and `flagged_range`: between which
    numbers that lies for normal rows, in 99 of 100 cases. `uniformity`: the p-value of the test that p-values are
    uniform (Kolmogorov and Smirnov, two samples), None of fewer than 10 rows; anomalies among the rows make it small
    as well. `stream`: the conformal martingale over the rows in their order (`oddgan.verdict.drift`), None where it
    was not asked for. `findings`: what differs so much that it matters, each with a `code`.
    """

    rows: int
    flagged: int
    flagged_range: tuple[int, int]
    uniformity: float | None
    stream: Martingale | None
    findings: tuple[Finding, ...]

    @property
    def martingale(self) -> float | None:
        """The evidence that rows changed in the course of the stream, or differ from the calibration rows: 1 at the
        beginning; usual rows ever reach 100 with a probability of at most 0.01."""
        return None if self.stream is None else self.stream.value

    @property
    def warnings(self) -> tuple[DriftWarning, ...]:
        """The findings as warnings, each with its code."""
        return tuple(DriftWarning(one.message, one.code) for one in self.findings)

    def warn(self) -> None:
        """Give these warnings (`oddgan.cautions`)."""
        for one in self.findings:
            cautions.warn(DriftWarning, one.code, one.message)

    def __repr__(self) -> str:
        return show.text(*self._summary())

    def _repr_html_(self) -> str:
        return show.html(*self._summary())

    def _summary(self) -> tuple[str, list[str], dict[str, Any]]:
        """Title, warnings and facts."""
        low, high = self.flagged_range
        facts: dict[str, Any] = {"flagged": f"{self.flagged:,}, where {low:,} to {high:,} are usual of normal rows"}
        if self.uniformity is not None:
            facts["p-values are uniform"] = f"p = {self.uniformity:.2g}"
        if self.stream is not None:
            alarm = "no alarm" if self.stream.alarm is None else f"alarm at row {self.stream.alarm:,}"
            facts["martingale"] = f"{self.stream.value:.3g}, highest {self.stream.highest:.3g}: {alarm}"
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        title = f"Drift of {rows}: {len(self.findings) or 'no'} finding{'s' * (len(self.findings) != 1)}"
        return title, [f"{one.code}: {one.message}" for one in self.findings], facts

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "rows": self.rows,
            "flagged": self.flagged,
            "flagged_range": list(self.flagged_range),
            "uniformity": self.uniformity,
            "martingale": self.martingale,
            "alarm": None if self.stream is None else self.stream.alarm,
            "findings": [one.to_json() for one in self.findings],
        }


class Watch:
    """Rows that are scored, some at a time. `stream`: whether their order is tested as well, which takes longer."""

    def __init__(self, model: Judge, *, stream: bool = False) -> None:
        self.model, self.inputs = model, profile.Watch(model.profile)
        self._scores = Sample(SCORES)
        self._flagged = self._rows = 0
        self._stream = Martingale.begin(model.calibration.scores) if stream else None

    def add(self, rows: Rows, scores: np.ndarray) -> None:
        """These rows, and their scores (n,) float64."""
        calibration = self.model.calibration
        self.inputs.add(rows)
        self._rows += len(scores)
        self._flagged += int((scores > calibration.threshold).sum())
        self._scores.put(scores[self._scores.chosen(len(scores))])
        if self._stream is not None:
            self._stream = self._stream.after(scores, calibration.scores)

    def drift(self) -> Drift:
        """What was found."""
        calibration = self.model.calibration
        scores = self._scores.values
        found = [*self.inputs.findings(), *of_scores(scores, calibration.scores)]
        if self._stream is not None and self._stream.alarm is not None:
            found.append(changed(self._stream))
        return Drift(
            rows=self._rows,
            flagged=self._flagged,
            flagged_range=flagged_range(self._rows, calibration.rate, calibration.count),
            uniformity=same_distribution(scores, calibration.scores),
            stream=self._stream,
            findings=tuple(found),
        )


def of(model: Judge, rows: Rows) -> Drift:
    """How these rows compare with the training rows of a model."""
    watch = Watch(model, stream=True)
    watch.add(rows, model.score(rows))
    return watch.drift()


def changed(stream: Martingale) -> Finding:
    """What an alarm of a martingale says."""
    return Finding(
        "stream-changed",
        f"from row {stream.alarm:,} on the scores are evidence against rows like the calibration rows (martingale "
        f"{stream.value:.3g}, highest {stream.highest:.3g}; rows that do not change ever reach "
        f"{1 / stream.level:g} with a probability of at most {stream.level:g}): either rows have changed, or there are "
        "more anomalies than among calibration rows; look at some, and calibrate with recent normal rows",
        figures={"alarm": float(stream.alarm or 0), "value": stream.value, "level": stream.level},
    )


def fingerprint(model: Judge) -> str:
    """What distinguishes a model, with its calibration, from others: another threshold of the same leaves it."""
    digest = hashlib.sha256(np.ascontiguousarray(model.calibration.scores).tobytes())
    digest.update(np.ascontiguousarray(model.trained_on).tobytes())
    return digest.hexdigest()[:32]


__all__ = ["LEVEL", "Drift", "Watch", "changed", "fingerprint", "of"]
