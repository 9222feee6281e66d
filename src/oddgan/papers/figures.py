"""What the papers' tables state of a score, and what a reader needs beside it."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..verdict.calibration import Calibration

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

SHARE = 0.1
"""Of odd rows, which AUPRC is brought to so that classes and protocols can be compared."""

FIGURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC (average precision)",
    "auprc_trapezoid": "AUPRC (trapezoid)",
    "auprc_at_10": "AUPRC at 10% odd rows",
    "chance_auprc": "AUPRC of guessing",
    "precision_at_percentile": "precision",
    "recall_at_percentile": "recall",
    "f1_at_percentile": "F1",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "false_alarms": "false alarms",
    "milliseconds_a_batch": "ms a batch",
}
"""Every figure and its head in a table. Those "at percentile" take the threshold from the test's own scores, as the
source does; the calibrated threshold is set on normals that were held out, without labels, for 1
false alarm in 100, or the least that their number allows."""


def figures(
    labels: Labels, scores: Floats, calibrate: Floats | None = None, percentile: float | None = None
) -> dict[str, float]:
    """The figures of test rows' scores (n,), higher is odder, by name.

    `calibrate`: scores of held-out normals; `percentile`: of the test's scores, that the source's threshold is at.
    """
    scores = np.nan_to_num(scores, nan=np.finfo(np.float64).max)  # a row that cannot be scored is odd
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
    """Precision, recall and F1 of the flagged rows; no row flagged has a precision of 0."""
    hits = float((labels & flagged).sum())
    precision, recall = hits / max(1, int(flagged.sum())), hits / max(1, int(labels.sum()))
    return {"precision": precision, "recall": recall, "f1": 2 * hits / max(1.0, float(flagged.sum() + labels.sum()))}


def auprc_at(share: float, labels: Labels, scores: Floats) -> float:
    """Average precision as it would be if this share of the rows were odd: normal rows weigh more, or less."""
    from sklearn.metrics import average_precision_score

    odd = labels.mean()
    weights = np.where(labels, share / odd, (1 - share) / (1 - odd))
    return float(average_precision_score(labels, scores, sample_weight=weights))


def agreement(terms: Mapping[str, Floats]) -> dict[str, float]:
    """Spearman's rank correlation of every two score terms, by "one / other"."""
    from scipy.stats import spearmanr

    names = sorted(terms)
    correlated: Callable[[Floats, Floats], float] = lambda a, b: float(spearmanr(a, b).statistic)  # noqa: E731
    return {
        f"{one} / {other}": correlated(terms[one], terms[other])
        for i, one in enumerate(names)
        for other in names[i + 1 :]
    }
