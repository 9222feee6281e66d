"""What the figures mean: by kind of defect, and what a reader must know before trusting them."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .. import metrics
from ..metrics import Estimate, Rates
from .results import Kind

FEW = 20  # with fewer rows of a class its intervals are so wide that it must be said
FEW_OF_A_KIND = 5
SURPRISE = 0.005  # on either side: a sound detector is accused of a wrong false-alarm rate once in 100 tests


def by_kind(
    scores: np.ndarray,
    flagged: np.ndarray,
    labels: np.ndarray | None,
    kinds: Sequence[str] | None,
    n: int,
    random_state: int,
) -> tuple[Kind, ...]:
    """Normal kinds first, then the kinds of anomaly, each in the order of their names."""
    if labels is None or kinds is None:
        return ()
    found, of_row = [], np.array(kinds)
    for odd, kind in sorted({(bool(label), kind) for label, kind in zip(labels, kinds, strict=True)}):
        rows = (of_row == kind) & (labels == odd)
        area = None
        if odd and not labels.all():
            beside = rows | ~labels
            area = metrics.bootstrap("auroc", labels[beside], scores[beside], n, random_state=random_state)
        count, hits = int(rows.sum()), int(flagged[rows].sum())
        found.append(
            Kind(
                kind=kind,
                is_anomaly=odd,
                n=count,
                n_flagged=hits,
                flagged=metrics.wilson(hits, count),
                auroc=area,
                median_score=float(np.median(scores[rows])),
            )
        )
    return tuple(found)


def false_alarm_range(asked: float, n_calibrate: int) -> tuple[float, float]:
    """Where the true false-alarm rate lies for 9 of 10 calibration sets of this size.

    With k = floor(asked (n + 1)) the rate that one set of n exchangeable rows gives is Beta(k, n + 1 - k).
    """
    from scipy import stats

    k = _rank(asked, n_calibrate)
    if not 0 < k <= n_calibrate:
        return 0.0, 1.0
    low, high = stats.beta(k, n_calibrate + 1 - k).ppf([0.05, 0.95])
    return float(low), float(high)


def _rank(asked: float, n_calibrate: int) -> int:
    """p <= asked in counts: a row is flagged when fewer than this many calibration scores reach its own."""
    return math.floor(asked * (n_calibrate + 1) + 1e-9)


def warnings(
    scores: np.ndarray,
    estimates: Mapping[str, Estimate],
    rates: Rates | None,
    kinds: Sequence[Kind],
    asked: float,
    n_calibrate: int,
) -> Iterator[str]:
    """One line on each thing that a reader must know before trusting the figures."""
    area = estimates.get("auroc")
    if scores.size > 1 and np.ptp(scores) == 0:
        yield f"all {scores.size} scores are the same ({scores[0]:.4g}): the detector tells nothing apart"
    elif area is not None and area.high < 0.5:
        yield f"AUROC {area:.3f} is below 0.5: scores are inverted on this data, normal rows look odder"
    elif area is not None and area.low <= 0.5:
        yield f"AUROC {area:.3f} cannot be told from chance (0.5)"
    elif area is not None and area.low == area.high:
        yield "every odd row outscores every normal one: AUROC's interval has no width, which is too narrow"
    if rates is not None:
        for n, noun, what in (
            (rates.n_odd, "odd", "the detection rate"),
            (rates.n_normal, "normal", "the false-alarm rate"),
        ):
            if 0 < n < FEW:
                yield f"only {n} {noun} row{'s' * (n > 1)} in the test: the interval of {what} is wide"
            elif n == 0:
                yield f"no {noun} rows in the test: nothing is known of {what}, and no area can be computed"
    rare = [f"{kind.kind} ({kind.n})" for kind in kinds if kind.is_anomaly and kind.n < FEW_OF_A_KIND]
    if rare:
        yield f"kinds with fewer than {FEW_OF_A_KIND} rows, whose figures say little: {', '.join(rare)}"
    if rates is not None and rates.false_alarm_rate is not None:
        caught, false = rates.detection_rate, rates.false_alarm_rate
        if caught is not None and caught.value <= false.value:
            shares = f"{caught.value:.1%} and {false.value:.1%}"
            yield f"at the threshold odd rows are flagged no more often than normal ones ({shares})"
        yield from _false_alarm_warning(rates, rates.false_alarm_rate.value, asked, n_calibrate)
    if n_calibrate < 99:
        rows = f"{n_calibrate} normal row{'s' * (n_calibrate != 1)}"
        yield (f"no p-value can be below {1 / (n_calibrate + 1):.3g}: only {rows} set the scale (99 reach 0.01)")


def _false_alarm_warning(rates: Rates, observed: float, asked: float, n_calibrate: int) -> Iterator[str]:
    """Whether the false alarms fit the asked rate.

    Both the test normals and the calibration rows are samples, so under exchangeability the count is
    beta-binomial; a plain binomial test would accuse a sound detector whenever calibration rows are few.
    """
    from scipy import stats

    k, count = _rank(asked, n_calibrate), rates.n_false_alarms
    if not 0 < k <= n_calibrate:
        return
    expected = stats.betabinom(rates.n_normal, k, n_calibrate + 1 - k)
    for chance, word in ((expected.sf(count - 1), "more"), (expected.cdf(count), "fewer")):
        if chance < SURPRISE:
            yield (
                f"{count} of {rates.n_normal} test normals were flagged ({observed:.1%}) where {asked:.1%}"
                f" was asked for, {word} than chance explains: they differ from the calibration rows"
            )
