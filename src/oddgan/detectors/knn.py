"""k nearest neighbours. Ramaswamy, Rastogi and Shim, "Efficient Algorithms for Mining Outliers from Large Data Sets",
SIGMOD 2000: the distance to the k-th. Angiulli and Pizzuti, "Fast Outlier Detection in High Dimensional Spaces", PKDD
2002: the distances to all k, added up.

    x --> the k training rows nearest to it --> how far they are

scikit-learn's `NearestNeighbors` on rows as the networks of other detectors see them. Departures:

- New rows are judged against normal training rows; both papers look for outliers among the rows at hand.
- The mean of the k distances and not their sum, which orders rows alike.
- At most `max_rows` training rows are compared with.
- x_hat, the mean of the k rows, is ours: it says where a row differs from its neighbours.
- A tree finds the neighbours, never a matrix product over many rows, which rounds by a row's company.
"""

from typing import Annotated, Any, Literal

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ..kit.estimators import EstimatorDetector
from ..kit.recipe import detector
from ..parameters import Param


@detector
class KNN(EstimatorDetector):
    """k nearest neighbours: a row is odd when normal rows are far from it.

    Its terms, each a choice of `score_by`: "kth" (Euclidean distance to the k-th nearest training row) and "mean" (of
    the k distances).
    """

    k: Annotated[int, Param("how many nearest rows (scikit-learn's n_neighbors)", low=1)] = 5
    score_by: Annotated[
        Literal["kth", "mean"], Param("the anomaly score: the distance to the k-th nearest row, or the mean of all k")
    ] = "kth"

    def estimator(self, rows: np.ndarray, seed: int) -> Any:
        """A tree of the rows, and the rows; nothing is random."""
        k = min(self.k, len(rows))
        return NearestNeighbors(n_neighbors=k, algorithm="ball_tree", n_jobs=1).fit(rows), rows

    def judge(self, estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The distances to the k nearest, and the mean of those rows."""
        tree, kept = estimator
        distances, numbers = tree.kneighbors(rows)
        return {
            "x_hat": kept[numbers].mean(1),
            "kth": distances[:, -1],
            "mean": distances.mean(1),
        }
