"""The figures that the papers' tables state about scores, and those that a reader needs beside them."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..verdict.calibration import Calibration

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

SHARE = 0.1
"""The share of anomalies to which AUPRC is normalised, so that classes and protocols can be compared."""


def figures(
    labels: Labels, scores: Floats, calibrate: Floats | None = None, percentile: float | None = None
) -> dict[str, float]:
    """The figures of test rows' anomaly scores (n,), by name (`oddgan.evaluation.figures.FIGURES`).

    `labels` (n,): true for an anomaly. `calibrate`: scores of held-out normal rows; `percentile`: the percentile of the
    test's scores that is the source's threshold.
    """
    scores = np.nan_to_num(scores, nan=np.finfo(np.float64).max)  # a row that cannot be scored counts as anomalous
    found = {
        "auroc": metrics.auroc(labels, scores),
        "auprc": metrics.average_precision(labels, scores),
        "auprc_trapezoid": metrics.auprc_trapezoid(labels, scores),
        "auprc_at_10": auprc_at(SHARE, labels, scores),
        "chance_auprc": float(labels.mean()),
    }
    if percentile is not None:
        flagged = scores >= np.percentile(scores, percentile)
        found |= {f"{name}_at_percentile": value for name, value in verdicts(labels, flagged).items()}
    if calibrate is not None:
        flagged = scores > Calibration.of(calibrate, "auto").threshold
        found |= verdicts(labels, flagged) | {"false_alarms": float(flagged[~labels].mean())}
    return found


def verdicts(labels: Labels, flagged: Labels) -> dict[str, float]:
    """Precision, recall and F1 of the flagged rows; where no row is flagged, precision is 0."""
    hits = float((labels & flagged).sum())
    precision, recall = hits / max(1, int(flagged.sum())), hits / max(1, int(labels.sum()))
    return {"precision": precision, "recall": recall, "f1": 2 * hits / max(1.0, float(flagged.sum() + labels.sum()))}


def auprc_at(share: float, labels: Labels, scores: Floats) -> float:
    """Average precision as it would be if this share of the rows were anomalous, by weights of rows."""
    from sklearn.metrics import average_precision_score

    actual = labels.mean()
    weights = np.where(labels, share / actual, (1 - share) / (1 - actual))
    return float(average_precision_score(labels, scores, sample_weight=weights))


def agreement(terms: Mapping[str, Floats]) -> dict[str, float]:
    """Spearman's rank correlation of every pair of score terms, by "one / other"."""
    from scipy.stats import spearmanr

    names = sorted(terms)
    correlated: Callable[[Floats, Floats], float] = lambda a, b: float(spearmanr(a, b).statistic)  # noqa: E731
    return {
        f"{one} / {other}": correlated(terms[one], terms[other])
        for i, one in enumerate(names)
        for other in names[i + 1 :]
    }
