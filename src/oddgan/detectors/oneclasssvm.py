"""One-class SVM. Schölkopf, Platt, Shawe-Taylor, Smola and Williamson, "Estimating the Support of a High-Dimensional
Distribution", Neural Computation 13, 2001.

    x --> sum of alpha_i k(x_i, x) over support vectors x_i, compared with rho          k(x, y) = exp(-gamma |x - y|^2)

scikit-learn's `OneClassSVM` (libsvm) with the RBF kernel, on rows in the form that networks get them. Departures:

- At most `max_rows` training rows are used: time is quadratic in their number.
- The threshold comes from conformal p-values, as for every detector, not from the sign of the decision function.
"""

from typing import Annotated, Any, Literal

import numpy as np
from sklearn import svm

from ..kit.estimators import EstimatorDetector
from ..kit.recipe import detector
from ..parameters import Param


@detector
class OneClassSVM(EstimatorDetector):
    """One-class SVM (Schölkopf et al., 2001): a row is anomalous if it is outside a boundary around normal rows.

    Its one term is "outside": rho - sum of alpha_i k(x_i, x), the negative of scikit-learn's `decision_function`.
    """

    nu: Annotated[
        float, Param("maximum share of training rows outside, minimum share of support vectors", low=1e-6, high=1)
    ] = 0.1
    gamma: Annotated[
        float | Literal["scale", "auto"],
        Param("coefficient of the kernel; scale: 1 / (columns x variance), auto: 1 / columns", low=0),
    ] = "scale"
    max_rows: Annotated[
        int, Param("maximum number of training rows to fit, drawn by the seed and stored in the model file", low=2)
    ] = 5_000
    score_by: Annotated[Literal["outside"], Param("the anomaly score")] = "outside"

    reconstructs = False
    locates = False

    def estimator(self, rows: np.ndarray, seed: int) -> Any:
        """The support vectors and their weights; not random."""
        model = svm.OneClassSVM(nu=self.nu, gamma=self.gamma)
        model.random_state = seed  # else scikit-learn draws libsvm's seed from NumPy's global generator
        return model.fit(rows)

    def judge(self, estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The distance outside the boundary, in units of the kernel sum."""
        return {"outside": -estimator.decision_function(rows)}
