"""Local outlier factor. Breunig, Kriegel, Ng and Sander, "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000.

    x --> the k nearest training rows --> the density around them, relative to that around x

scikit-learn's `LocalOutlierFactor` on rows in the form that networks get them. Departures:

- New rows are compared with normal training rows (scikit-learn's `novelty=True`); the paper looks for outliers within
  one set.
- At most `max_rows` training rows are used.
- Neighbours are found with a tree, never by a matrix product over many rows, whose rounding depends on the other rows.
"""

from typing import Annotated, Any, Literal

import numpy as np
from sklearn.neighbors import LocalOutlierFactor

from ..kit.estimators import EstimatorDetector
from ..kit.recipe import detector
from ..parameters import Param


@detector
class LOF(EstimatorDetector):
    """Local outlier factor (Breunig et al., 2000): a row is anomalous if the density around it is lower than around its
    neighbours.

    Its one term is "factor" (definition 7): about 1 for normal rows, and higher for anomalous ones. `local="density"`
    of any other detector is the same idea in that detector's features.
    """

    k: Annotated[int, Param("number of nearest rows (the paper's MinPts, scikit-learn's n_neighbors)", low=1)] = 20
    max_rows: Annotated[
        int, Param("maximum number of training rows to fit, drawn by the seed and stored in the model file", low=2)
    ] = 5_000
    score_by: Annotated[Literal["factor"], Param("the anomaly score")] = "factor"

    reconstructs = False
    locates = False

    def estimator(self, rows: np.ndarray, seed: int) -> Any:
        """The densities at the rows; not random."""
        k = min(self.k, len(rows) - 1)
        return LocalOutlierFactor(n_neighbors=k, algorithm="ball_tree", novelty=True, n_jobs=1).fit(rows)

    def judge(self, estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Definition 7."""
        return {"factor": -estimator.score_samples(rows)}
