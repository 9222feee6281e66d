"""The cost of wrapping scikit-learn's detectors: oddgan's isolation forest and one-class SVM against the originals."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from .. import Plan, Work
from ..timing import interleaved

COLUMNS = 20


def table(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, as many test rows, and which of these are anomalous: their columns are not correlated."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(5, COLUMNS))

    def normal(n: int) -> np.ndarray:
        return np.tanh(random.normal(size=(n, 5))) @ mix + 0.3 * random.normal(size=(n, COLUMNS))

    train, test = normal(rows), normal(rows)
    anomalous = np.arange(rows) % 2 == 1
    test[anomalous] = random.permuted(test[anomalous], axis=0)
    return train, test, anomalous


def wrapped(name: str, rows: int, theirs: Callable[[np.ndarray], Any]) -> Work:
    """Fit to `rows` rows and score as many, with oddgan's detector `name` and with scikit-learn's, which `theirs` makes
    for the rows that oddgan fits to."""

    def work(plan: Plan) -> dict[str, Any]:
        import oddgan

        train, test, anomalous = table(rows // 10 if plan.quick else rows)
        det = getattr(oddgan, name)(random_state=0)
        scores: dict[str, np.ndarray] = {}

        def ours() -> None:
            scores["oddgan"] = det.fit(train).anomaly_score(test)

        def plain() -> None:
            fitted = det.training_["rows"]  # the rows that oddgan holds out are not for training here either
            scaler = StandardScaler().fit(train[:fitted])
            estimator = theirs(scaler.transform(train[:fitted]))
            scores["scikit-learn"] = -estimator.score_samples(scaler.transform(test))

        found = interleaved(ours, plain, 2 if plan.quick else plan.rounds)
        return {
            "what": f"{name}, fitted to {det.training_['rows']} rows of {COLUMNS} columns, and scores of {len(test)}",
            "against": "scikit-learn's own on standardised rows, no threshold, no p-values",
            "reach": None,
            "aim": None,
            **found.entry(),
            "unit": "seconds to fit and score",
            "accuracy": {f"AUROC, {who}": float(roc_auc_score(anomalous, score)) for who, score in scores.items()},
            "facts": {
                "rows given to oddgan": len(train),
                "what oddgan does besides": "checks every value, fingerprints training rows, scores the rows that it "
                "held out, and scores in blocks of one size",
            },
        }

    work.__doc__ = f"scikit-learn's {name}, wrapped by oddgan and by itself"
    return work


def forest(rows: np.ndarray) -> Any:
    """As oddgan's, by default."""
    return IsolationForest(n_estimators=100, max_samples=256, random_state=0, n_jobs=1).fit(rows)


def svm(rows: np.ndarray) -> Any:
    """As oddgan's, by default."""
    return OneClassSVM(nu=0.1, gamma="scale").fit(rows)


WORKS: dict[str, Work] = {
    "outlier-tables-forest": wrapped("IsolationForest", 10_000, forest),
    "outlier-tables-svm": wrapped("OneClassSVM", 5_000, svm),
}
