"""Local outlier factor. Breunig, Kriegel, Ng and Sander, "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000.

    x --> the k nearest training rows --> the density around them, relative to that around x

The factor is that of `local="density"` (`oddgan.verdict.reference`), on rows in the form that networks get them.
Departures:

- New rows are compared with normal training rows (scikit-learn's `novelty=True`); the paper looks for outliers within
  one set.
- At most `max_rows` training rows are used.
- Among more than k copies of a row the k-distance is 0 and the density infinite, and true outliers look normal beside
  the copies' neighbours (scikit-learn's does so). Here the k-th nearest row that differs counts, as the paper proposes
  below definition 6, and all copies are neighbours. Without copies the factor is scikit-learn's.
"""

from typing import Annotated, Literal

import numpy as np

from ..kit.estimators import EstimatorDetector
from ..kit.recipe import detector
from ..parameters import Param
from ..verdict import Reference


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

    def estimator(self, rows: np.ndarray, seed: int) -> Reference:
        """The densities at the rows; not random."""
        places, copies = np.unique(rows, axis=0, return_counts=True)
        if len(places) == 1:  # constant rows: any other row is far from them
            places, copies = np.repeat(places, 2, axis=0), np.repeat(copies / 2, 2)
        return Reference.of([places], {}, min(self.k, len(rows) - 1), copies=copies.astype(np.float64))

    def judge(self, estimator: Reference, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Definition 7."""
        return {"factor": estimator.outlier_factor([rows])}
