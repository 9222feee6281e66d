"""k nearest neighbours. Ramaswamy, Rastogi and Shim, "Efficient Algorithms for Mining Outliers from Large Data Sets",
SIGMOD 2000: the distance to the k-th. Angiulli and Pizzuti, "Fast Outlier Detection in High Dimensional Spaces", PKDD
2002: the sum of the distances to all k.

    x --> the k nearest training rows --> their distances

scikit-learn's `NearestNeighbors` on rows in the form that networks get them. Departures:

- New rows are compared with normal training rows; both papers look for outliers within one set.
- The mean of the k distances in place of their sum, which gives the same ranking.
- At most `max_rows` training rows are used.
- x_hat, the mean of the k rows, is ours: it shows where a row differs from its neighbours.
- Neighbours are found with a tree, never by a matrix product over many rows, whose rounding depends on the other rows.
"""

from typing import Annotated, Any, Literal

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ..kit.estimators import EstimatorDetector
from ..kit.recipe import detector
from ..parameters import Param


@detector
class KNN(EstimatorDetector):
    """k nearest neighbours: a row is anomalous if it is far from all normal rows.

    The terms that `score_by` can select: "kth" (Euclidean distance to the k-th nearest training row) and "mean" (mean
    of the k distances).
    """

    k: Annotated[int, Param("number of nearest rows (scikit-learn's n_neighbors)", low=1)] = 5
    score_by: Annotated[
        Literal["kth", "mean"], Param("the anomaly score: the distance to the k-th nearest row, or the mean of all k")
    ] = "kth"

    def estimator(self, rows: np.ndarray, seed: int) -> Any:
        """A tree of the rows, and the rows; not random."""
        k = min(self.k, len(rows))
        return NearestNeighbors(n_neighbors=k, algorithm="ball_tree", n_jobs=1).fit(rows), rows

    def judge(self, estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The distances to the k nearest rows, and the mean of these rows."""
        tree, kept = estimator
        distances, numbers = tree.kneighbors(rows)
        return {
            "x_hat": kept[numbers].mean(1),
            "kth": distances[:, -1],
            "mean": distances.mean(1),
        }
