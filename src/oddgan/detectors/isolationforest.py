"""Isolation forest. Liu, Ting and Zhou, "Isolation Forest", ICDM 2008.

    x --> random trees, each grown until every row of a sample is alone --> how soon x is alone, on average

scikit-learn's `IsolationForest` with its defaults (100 trees, 256 rows each), on rows as the networks of other
detectors see them. Departures:

- Trees draw their rows from at most `max_rows` training rows.
- The verdict is not a share of contamination, but a conformal p-value as of every detector.
"""

from typing import Annotated, Any, Literal

import numpy as np
from sklearn import ensemble

from ..kit.estimators import EstimatorDetector
from ..kit.recipe import detector
from ..parameters import Param


@detector
class IsolationForest(EstimatorDetector):
    """Isolation forest (Liu et al., 2008): a row is odd when random splits soon leave it alone.

    Its one term is "isolation": the paper's s(x, n) (equation 2), in (0, 1), minus scikit-learn's `score_samples`.
    """

    trees: Annotated[int, Param("how many trees (scikit-learn's n_estimators)", low=1)] = 100
    samples: Annotated[int, Param("training rows of each tree (scikit-learn's max_samples)", low=2)] = 256
    score_by: Annotated[Literal["isolation"], Param("the anomaly score")] = "isolation"

    reconstructs = False
    locates = False

    def estimator(self, rows: np.ndarray, seed: int) -> Any:
        """The forest that this seed grows."""
        samples = min(self.samples, len(rows))
        forest = ensemble.IsolationForest(n_estimators=self.trees, max_samples=samples, random_state=seed, n_jobs=1)
        return forest.fit(rows)

    def judge(self, estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Equation 2."""
        return {"isolation": -estimator.score_samples(rows)}
