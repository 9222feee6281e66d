"""What it costs to have scikit-learn's detectors wrapped: oddgan's isolation forest and one-class SVM against them."""

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
    """Training rows, as many test rows, and which of these are odd: columns that hang together, or do not."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(5, COLUMNS))

    def normal(n: int) -> np.ndarray:
        return np.tanh(random.normal(size=(n, 5))) @ mix + 0.3 * random.normal(size=(n, COLUMNS))

    train, test = normal(rows), normal(rows)
    is_odd = np.arange(rows) % 2 == 1
    test[is_odd] = random.permuted(test[is_odd], axis=0)
    return train, test, is_odd


def wrapped(name: str, rows: int, theirs: Callable[[np.ndarray], Any]) -> Work:
    """Fit to so many rows and score as many, by oddgan's detector `name` and by scikit-learn's own, as `theirs` makes
    it for the rows that oddgan fits to."""

    def work(plan: Plan) -> dict[str, Any]:
        import oddgan

        train, test, is_odd = table(rows // 10 if plan.quick else rows)
        det = getattr(oddgan, name)(random_state=0)
        scores: dict[str, np.ndarray] = {}

        def ours() -> None:
            scores["oddgan"] = det.fit(train).anomaly_score(test)

        def plain() -> None:
            fitted = det.training_["rows"]  # those that oddgan holds back are not for training here either
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
            "accuracy": {f"AUROC, {who}": float(roc_auc_score(is_odd, score)) for who, score in scores.items()},
            "facts": {
                "rows given to oddgan": len(train),
                "what oddgan does besides": "checks every value, fingerprints training rows, scores the rows that it "
                "held back, and scores in blocks of one size",
            },
        }

    work.__doc__ = f"scikit-learn's {name}, in oddgan's frame and by itself"
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
