"""Principal components. Hotelling's and Pearson's components as a detector: Jackson and Mudholkar, "Control Procedures
for Residuals Associated With Principal Component Analysis", Technometrics 21, 1979.

    x --> z = A (x - mean) --> x_hat = mean + A^T z          A (k, d): the k directions in which normal rows vary most

scikit-learn's `PCA` on rows as the networks of other detectors see them: the linear autoencoder. Departures:

- At most `max_rows` training rows are fitted to.
- The residual is a mean over columns and not their sum, which orders rows alike.
- Its limit comes from held-out normals, by conformal p-values, and not from a normal distribution.
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
    """Principal components: a row is odd when the directions in which normal rows vary do not make it up.

    Its one term is "residual": mean (x - x_hat)^2.
    """

    components: Annotated[
        float, Param("below 1: the share of variance to keep; else how many components", low=1e-6)
    ] = 0.95
    max_rows: Annotated[int, Param("training rows to fit to at most, drawn by the seed", low=2)] = 5_000
    score_by: Annotated[Literal["residual"], Param("the anomaly score")] = "residual"

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """The mean, one row, and A, a row for each component."""
        d = int(np.prod(shape))
        if self.components >= 1 and (self.components != int(self.components) or self.components >= d > 1):
            raise ParameterError(
                f"components={self.components:g}: give a share below 1 or a whole number below {d}, a row's values; "
                "with all directions kept every row is made up exactly, and none is odd"
            )
        return {"mean": Memory(d), "A": Memory(d)}

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Fit both."""
        x = drawn(rows, self.max_rows).double().numpy()
        net.mean.keep(torch.from_numpy(x.mean(0, keepdims=True)))
        if (x != x[0]).any():  # rows that are all alike have no components
            count = self.components if self.components < 1 else min(int(self.components), *x.shape)
            fitted = decomposition.PCA(count, random_state=int(torch.randint(2**31 - 1, ()))).fit(x)
            # One direction at least is left out, whatever the share.
            net.A.keep(torch.from_numpy(fitted.components_[: x.shape[1] - 1]))

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The residual, and x_hat, in float64 and row by row: a matrix product over many rows rounds by company."""
        mean, A = (net[name].rows.double().cpu() for name in ("mean", "A"))
        rows = x.flatten(1).double().cpu()
        x_hat = torch.stack([mean[0] + (A @ (row - mean[0])) @ A for row in rows])
        return {
            "x_hat": x_hat.float().reshape(x.shape),
            "residual": (rows - x_hat).square().mean(1),
        }

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """z = A (x - mean)."""
        mean, A = (net[name].rows.double().cpu() for name in ("mean", "A"))
        return torch.stack([A @ (row - mean[0]) for row in x.flatten(1).double().cpu()]).float()
