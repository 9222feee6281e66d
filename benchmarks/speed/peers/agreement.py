"""Whether two ways of scoring agree, where they should."""

from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score


def agreement(exact: Any, fast: Any, rows: Any, is_odd: np.ndarray) -> dict[str, Any]:
    """Of two fitted detectors, one that scores in float32 and one in bfloat16, on the same rows: how their scores and
    verdicts differ. Each has a threshold of its own, from calibration scores that it made itself."""
    flips = int((exact.predict(rows) != fast.predict(rows)).sum())
    scores = {"in float32": exact.anomaly_score(rows), "in bfloat16": fast.anomaly_score(rows)}
    return compared(scores, is_odd) | {"verdicts that differ": f"{flips} of {len(is_odd)}"}


def compared(scores: dict[str, np.ndarray], is_odd: np.ndarray) -> dict[str, Any]:
    """Of two ways' scores (n,) of the same rows, by what to call the way: AUROC of each, and the rank correlation."""
    aurocs = {f"AUROC {way}": float(roc_auc_score(is_odd, values)) for way, values in scores.items()}
    return aurocs | {"rank correlation": float(spearmanr(*scores.values()).statistic)}
