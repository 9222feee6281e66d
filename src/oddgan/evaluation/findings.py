"""Figures by kind of anomaly, and warnings that a reader needs before trusting the figures."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .. import metrics
from ..metrics import Estimate, Rates
from ..verdict.calibration import Calibration, rank_of
from ..verdict.uniformity import flagged, same_distribution
from .results import Kind, OperatingPoint
from .rivals import FAIR

FEW = 20  # with fewer rows of a class its intervals are so wide that a warning is due
FEW_OF_A_KIND = 5
REQUESTED = (0.01, 0.02, 0.05, 0.1)  # false-alarm rates whose cost and gain are shown
SURPRISE = 0.005  # on either side: a correct false-alarm rate gets a warning once in 100 tests


def by_kind(
    scores: np.ndarray,
    flagged: np.ndarray,
    labels: np.ndarray | None,
    kinds: Sequence[str] | None,
    n: int,
    random_state: int,
) -> tuple[Kind, ...]:
    """Normal kinds first, then kinds of anomaly, both in alphabetical order."""
    if labels is None or kinds is None:
        return ()
    found, of_row = [], np.array(kinds)
    for anomalous, kind in sorted({(bool(label), kind) for label, kind in zip(labels, kinds, strict=True)}):
        rows = (of_row == kind) & (labels == anomalous)
        area = None
        if anomalous and not labels.all():
            beside = rows | ~labels
            area = metrics.bootstrap("auroc", labels[beside], scores[beside], n, random_state=random_state)
        count, hits = int(rows.sum()), int(flagged[rows].sum())
        found.append(
            Kind(
                kind=kind,
                is_anomaly=anomalous,
                n=count,
                n_flagged=hits,
                flagged=metrics.wilson(hits, count),
                auroc=area,
                median_score=float(np.median(scores[rows])),
            )
        )
    return tuple(found)


def operating_points(p_values: np.ndarray, labels: np.ndarray | None, n_calibrate: int) -> tuple[OperatingPoint, ...]:
    """Detections and false alarms at those of `REQUESTED` that the calibration rows can hold."""
    if labels is None:
        return ()
    found = []
    for rate in REQUESTED:
        if rank_of(rate, n_calibrate) >= 1:
            flagged = p_values <= rate + 1e-12
            shares = [float(flagged[rows].mean()) if rows.any() else None for rows in (labels, ~labels)]
            found.append(OperatingPoint(requested=rate, detected=shares[0], false_alarms=shares[1]))
    return tuple(found)


def warnings(
    scores: np.ndarray,
    estimates: Mapping[str, Estimate],
    rates: Rates | None,
    kinds: Sequence[Kind],
    requested: float,
    calibration: Calibration,
) -> Iterator[str]:
    """One line for each thing that a reader must know before trusting the figures."""
    area, n_calibrate = estimates.get("auroc"), calibration.count
    if scores.size > 1 and np.ptp(scores) == 0:
        yield f"all {scores.size} scores are equal ({scores[0]:.4g}): the detector distinguishes nothing"
    elif area is not None and area.high < 0.5:
        yield f"AUROC {area:.3f} is below 0.5: on this data normal rows get the higher scores"
    elif area is not None and area.low <= 0.5:
        yield f"AUROC {area:.3f} is not distinguishable from chance (0.5)"
    elif area is not None and area.low == area.high:
        yield "every anomalous row outscores every normal one: AUROC's interval has no width, which is too narrow"
    if rates is not None:
        for n, noun, what in (
            (rates.n_anomalous, "anomalous", "the detection rate"),
            (rates.n_normal, "normal", "the false-alarm rate"),
        ):
            if 0 < n < FEW:
                yield f"only {n} {noun} test row{'s' * (n > 1)}: the interval of {what} is wide"
            elif n == 0:
                yield f"no {noun} test rows: {what} is unknown, and no area can be computed"
    rare = [f"{kind.kind} ({kind.n})" for kind in kinds if kind.is_anomaly and kind.n < FEW_OF_A_KIND]
    if rare:
        yield f"kinds with fewer than {FEW_OF_A_KIND} rows, whose figures mean little: {', '.join(rare)}"
    if rates is not None and rates.false_alarm_rate is not None:
        detected, false = rates.detection_rate, rates.false_alarm_rate
        if detected is not None and detected.value <= false.value:
            shares = f"{detected.value:.1%} and {false.value:.1%}"
            yield f"at the threshold, anomalous rows are flagged no more often than normal ones ({shares})"
        yield from _false_alarm_warning(rates, rates.false_alarm_rate.value, requested, n_calibrate)
    if n_calibrate < 99:
        rows = calibration.describe()
        yield f"no p-value can be below {1 / (n_calibrate + 1):.3g}: only {rows} for calibration (99 reach 0.01)"


def _false_alarm_warning(rates: Rates, observed: float, requested: float, n_calibrate: int) -> Iterator[str]:
    """Whether the number of false alarms fits the requested rate.

    Under exchangeability the count is beta-binomial (`flagged`); a binomial test would raise false warnings whenever
    calibration rows are few.
    """
    k, count = rank_of(requested, n_calibrate), rates.n_false_alarms
    if not 0 < k <= n_calibrate:
        return
    expected = flagged(rates.n_normal, k, n_calibrate)
    for chance, word in ((expected.sf(count - 1), "more"), (expected.cdf(count), "fewer")):
        if chance < SURPRISE:
            yield (
                f"{count} of {rates.n_normal} normal test rows were flagged ({observed:.1%}) where {requested:.1%} "
                f"was requested, {word} than chance explains: they differ from the calibration rows"
            )


def unlike_calibration(normal: np.ndarray, calibration: Calibration) -> Iterator[str]:
    """Whether the scores of normal test rows, (n,), are distributed as the calibration rows' are, by the two-sample
    test of Kolmogorov and Smirnov: then their p-values are uniform."""
    chance = same_distribution(normal, calibration.scores)
    if chance is not None and chance < SURPRISE:
        p = calibration.p_value(normal)
        low, high = float((p > 0.9).mean()), float((p <= 0.1).mean())
        yield (
            f"p-values of normal test rows are not uniform ({low:.0%} are above 0.9 and {high:.0%} up to 0.1, "
            "where 10% each is due): normal test rows differ from the calibration rows, by another camera, lamp or "
            "season for instance, and the figures may measure that"
        )


def plain_rivals(areas: Mapping[str, float], estimates: Mapping[str, Estimate]) -> Iterator[str]:
    """Whether something that needs no detector separates anomalies about as well."""
    own = estimates.get("auroc")
    if own is None or not areas:
        return
    name, best = max(areas.items(), key=lambda item: item[1])
    if best >= FAIR and best >= own.low:
        yield (
            f"{name} alone has AUROC {best:.3f} (the detector: {own.value:.3f}): what separates the anomalies of this "
            "set may be lighting or compression rather than a defect"
        )
