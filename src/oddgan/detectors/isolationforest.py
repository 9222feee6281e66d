"""Isolation forest. Liu, Ting and Zhou, "Isolation Forest", ICDM 2008.

    x --> random trees, each grown until every row of a sample is isolated --> mean depth at which x is isolated

scikit-learn's `IsolationForest` with its defaults (100 trees of 256 rows each), on rows in the form that networks get
them. Departures:

- Trees draw their rows from at most `max_rows` training rows.
- The threshold comes from conformal p-values, as for every detector, not from a contamination rate.
"""

from typing import Annotated, Any, Literal

import numpy as np
from sklearn import ensemble

from ..kit.estimators import EstimatorDetector
from ..kit.recipe import detector
from ..parameters import Param


@detector
class IsolationForest(EstimatorDetector):
    """Isolation forest (Liu et al., 2008): a row is anomalous if few random splits isolate it.

    Its one term is "isolation": the paper's s(x, n) (equation 2), in (0, 1), the negative of scikit-learn's
    `score_samples`.
    """

    trees: Annotated[int, Param("number of trees (scikit-learn's n_estimators)", low=1, high=100_000)] = 100
    samples: Annotated[int, Param("training rows per tree (scikit-learn's max_samples)", low=2)] = 256
    score_by: Annotated[Literal["isolation"], Param("the anomaly score")] = "isolation"

    reconstructs = False
    locates = False

    def estimator(self, rows: np.ndarray, seed: int) -> Any:
        """The forest, grown from this seed."""
        samples = min(self.samples, len(rows))
        forest = ensemble.IsolationForest(n_estimators=self.trees, max_samples=samples, random_state=seed, n_jobs=1)
        return forest.fit(rows)

    def judge(self, estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Equation 2."""
        return {"isolation": -estimator.score_samples(rows)}
