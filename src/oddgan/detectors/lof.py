"""Local outlier factor. Breunig, Kriegel, Ng and Sander, "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000.

    x --> the k training rows nearest to it --> how empty its place is, compared with theirs

scikit-learn's `LocalOutlierFactor` on rows as the networks of other detectors see them. Departures:

- New rows are judged against normal training rows (scikit-learn's `novelty=True`); the paper looks for outliers among
  the rows at hand.
- At most `max_rows` training rows are compared with.
- A tree finds the neighbours, never a matrix product over many rows, which rounds by a row's company.
"""

from typing import Annotated, Any, Literal

import numpy as np
from sklearn.neighbors import LocalOutlierFactor

from ..kit.estimators import EstimatorDetector
from ..kit.recipe import detector
from ..parameters import Param


@detector
class LOF(EstimatorDetector):
    """Local outlier factor (Breunig et al., 2000): a row is odd when its place is emptier than its neighbours' places.

    Its one term is "factor" (definition 7): about 1 among normal rows, more the odder. `local="density"` of any other
    detector is the same idea among that detector's features.
    """

    k: Annotated[int, Param("how many nearest rows (the paper's MinPts, scikit-learn's n_neighbors)", low=1)] = 20
    max_rows: Annotated[
        int, Param("training rows to fit to at most, drawn by the seed; the model file holds them", low=2)
    ] = 5_000
    score_by: Annotated[Literal["factor"], Param("the anomaly score")] = "factor"

    reconstructs = False
    locates = False

    def estimator(self, rows: np.ndarray, seed: int) -> Any:
        """Densities at the rows; nothing is random."""
        k = min(self.k, len(rows) - 1)
        return LocalOutlierFactor(n_neighbors=k, algorithm="ball_tree", novelty=True, n_jobs=1).fit(rows)

    def judge(self, estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Definition 7."""
        return {"factor": -estimator.score_samples(rows)}
