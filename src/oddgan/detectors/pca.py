"""Principal components. Hotelling's and Pearson's components as a detector: Jackson and Mudholkar, "Control Procedures
for Residuals Associated With Principal Component Analysis", Technometrics 21, 1979.

    x --> z = A (x - mean) --> x_hat = mean + A^T z          A (k, d): the k directions in which normal rows vary most

scikit-learn's `PCA` on rows in the form that networks get them: the linear autoencoder. Departures:

- At most `max_rows` training rows are used.
- At least one direction is left out, for else every row is reconstructed exactly. The columns of a category sum to 1,
  which rules one direction out for every row: it does not count, nor do constant columns.
- The residual is a mean over columns in place of a sum, which gives the same ranking.
- The threshold comes from conformal p-values of held-out normal rows, not from a normal distribution.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from sklearn import decomposition
from torch import Tensor, nn

from ..detector import Detector
from ..errors import ParameterError
from ..kit.estimators import drawn
from ..kit.recipe import ALL, Names, PreparedRows, Terms, detector
from ..networks.memory import Memory
from ..parameters import Param


@detector
class PCA(Detector):
    """Principal components: a row is anomalous if the directions in which normal rows vary do not reconstruct it.

    Its one term is "residual": mean (x - x_hat)^2.
    """

    components: Annotated[
        float, Param("below 1: the share of variance to keep; else the number of components", low=1e-6)
    ] = 0.95
    max_rows: Annotated[int, Param("maximum number of training rows to fit, drawn by the seed", low=2)] = 5_000
    score_by: Annotated[Literal["residual"], Param("the anomaly score")] = "residual"

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """The mean (1, d), and A (k, d), one row per component."""
        d = int(np.prod(shape))
        if self.components >= 1 and (self.components != int(self.components) or self.components >= d > 1):
            raise ParameterError(
                f"components={self.components:g}: give a share below 1 or a whole number below {d}, a row's values; "
                "with all directions kept, every row is reconstructed exactly and none is anomalous"
            )
        return {"mean": Memory(d, least=1), "A": Memory(d)}

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Fit the mean and A."""
        x = drawn(rows, self.max_rows).double().numpy()
        net.mean.keep(torch.from_numpy(x.mean(0, keepdims=True)))
        if (x != x[0]).any():  # identical rows have no components
            count = self.components if self.components < 1 else min(int(self.components), *x.shape)
            fitted = decomposition.PCA(count, random_state=int(torch.randint(2**31 - 1, ()))).fit(x)
            # At least one direction is left out, whatever the share, beside those that categories' columns rule out.
            net.A.keep(torch.from_numpy(fitted.components_[: x.shape[1] - _ruled_out(x) - 1]))

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The residual and x_hat, in float64 and row by row: the rounding of a matrix product depends on all rows."""
        mean, A = (net[name].rows.double().cpu() for name in ("mean", "A"))
        rows = x.flatten(1).double().cpu()
        x_hat = torch.stack([mean[0] + (A @ (row - mean[0])) @ A for row in rows])
        return {
            "x_hat": x_hat.float().reshape(x.shape),
            "residual": (rows - x_hat).square().mean(1),
        }

    def graph_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The same as matrix products over all rows."""
        mean, A = (net[name].rows.double() for name in ("mean", "A"))
        rows = x.flatten(1).double()
        x_hat = mean + (rows - mean) @ A.t() @ A
        return {"x_hat": x_hat.float().unflatten(1, x.shape[1:]), "residual": (rows - x_hat).square().mean(1)}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """z = A (x - mean)."""
        if torch.compiler.is_exporting():  # a graph is of any number of rows
            mean, A = (net[name].rows.double() for name in ("mean", "A"))
            return ((x.flatten(1).double() - mean) @ A.t()).float()
        mean, A = (net[name].rows.double().cpu() for name in ("mean", "A"))
        return torch.stack([A @ (row - mean[0]) for row in x.flatten(1).double().cpu()]).float()


def _ruled_out(x: np.ndarray) -> int:
    """In how many directions rows (m, d) cannot vary, since columns of 0 and 1 follow from each other."""
    flags = x[:, ((x == 0) | (x == 1)).all(0)]
    return flags.shape[1] - int(np.linalg.matrix_rank(flags - flags.mean(0))) if flags.size else 0
