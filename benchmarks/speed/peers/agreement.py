"""Whether two ways of scoring agree as they should."""

from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score


def agreement(exact: Any, fast: Any, rows: Any, anomalous: np.ndarray) -> dict[str, Any]:
    """How scores and verdicts of two fitted detectors differ on the same rows: one scores in float32, one in bfloat16.
    Each has its own threshold, from its own calibration scores."""
    flips = int((exact.predict(rows) != fast.predict(rows)).sum())
    scores = {"in float32": exact.anomaly_score(rows), "in bfloat16": fast.anomaly_score(rows)}
    return compared(scores, anomalous) | {"verdicts that differ": f"{flips} of {len(anomalous)}"}


def compared(scores: dict[str, np.ndarray], anomalous: np.ndarray) -> dict[str, Any]:
    """AUROC of each way's scores (n,) of the same rows, by the name of the way, and their rank correlation."""
    aurocs = {f"AUROC {way}": float(roc_auc_score(anomalous, values)) for way, values in scores.items()}
    return aurocs | {"rank correlation": float(spearmanr(*scores.values()).statistic)}
