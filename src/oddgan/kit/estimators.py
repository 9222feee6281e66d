"""Base class for detectors that wrap a scikit-learn estimator.

    class MyNeighbours(EstimatorDetector):
        def estimator(self, rows, seed):
            return NearestNeighbors(n_neighbors=5).fit(rows)

        def judge(self, estimator, rows):
            return {"distance": estimator.kneighbors(rows)[0].mean(1)}

A model file holds no estimator, which would be code, but the training rows that it was fitted to (at most `max_rows`);
the estimator is fitted to them again when it is first needed. Everything else, from preprocessing to p-values, works as
for every other detector, so results are directly comparable with a GAN's. Computed on the CPU.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import machine
from ..detector import Detector
from ..errors import ArtifactError, OddganError
from ..networks.memory import Memory
from ..parameters import Param
from ..preprocessing.prepared import PreparedRows, in_batches
from .recipe import ALL, Names, Terms

PROOF = 16  # rows whose scores verify that an estimator fitted again equals the first
PROOF_TOLERANCE = 1e-3  # relative to the largest: above what processors differ in rounding, below another forest


@dataclass(kw_only=True, eq=False, repr=False)
class EstimatorDetector(Detector):
    """Base class of detectors that fit a scikit-learn estimator to the training rows as vectors."""

    max_rows: Annotated[
        int, Param("maximum number of training rows to fit, drawn by the seed and stored in the model file", low=2)
    ] = 10_000

    block_size: Annotated[
        int, Param("maximum number of rows scored together, a power of two: large blocks, few calls", low=1, high=4096)
    ] = 1024

    pads_blocks = False
    not_exported = (
        "scikit-learn computes its score, and an export has no scikit-learn; take a detector with networks, such as "
        "GANomaly, whose neighbours (local=distance) an export has"
    )

    @abstractmethod
    def estimator(self, rows: np.ndarray, seed: int) -> Any:
        """The estimator, fitted to rows (m, d) float64: equal rows and seeds must give equal estimators."""

    @abstractmethod
    def judge(self, estimator: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Every term of rows (b, d) float64, as `score_rows` returns them, and "x_hat" (b, d) if there is one. A row's
        values may depend on that row and the estimator alone, so no matrix product may run over the rows."""

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """M, which holds the training rows."""
        return {"M": Memory(math.prod(shape), least=1)}

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Store training rows, and fit the estimator to them."""
        memory = net.M
        memory.keep(drawn(rows, self.max_rows), int(torch.randint(2**31 - 1, ())))
        estimator = self.estimator(_vectors(memory.rows), int(memory.seed))
        memory.fitted = memory.rows, estimator
        memory.proof = torch.from_numpy(self._proof(estimator, memory)).to(memory.rows)

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The estimator's terms of each row."""
        found = self.judge(self._fitted(net.M), _vectors(x))
        terms = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in found.items()}
        if "x_hat" in terms:
            terms["x_hat"] = terms["x_hat"].float().reshape(x.shape)
        return terms

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """The row itself, as a vector: an estimator learns no features."""
        del net
        return x.flatten(1)

    def _fitted(self, memory: Memory) -> Any:
        """The estimator. In a loaded model it is fitted once, when it is first needed; other threads wait."""
        if memory.fitted is None or memory.fitted[0] is not memory.rows:
            with machine.sealed():
                if memory.fitted is None or memory.fitted[0] is not memory.rows:
                    estimator = self._fitted_again(memory)
                    memory.fitted = memory.rows, estimator
        return memory.fitted[1]

    def _fitted_again(self, memory: Memory) -> Any:
        """The estimator of a loaded model. Raises `ArtifactError` where its rows do not give the one that was saved."""
        try:
            estimator = self.estimator(_vectors(memory.rows), int(memory.seed))
            self._check(estimator, memory)
        except OddganError:
            raise
        except Exception as error:  # scikit-learn's, for rows and seeds that no training gives
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(f"{type(self).__name__}: the model's rows cannot be fitted again: {reason}") from error
        return estimator

    def _proof(self, estimator: Any, memory: Memory) -> np.ndarray:
        terms = self.judge(estimator, _vectors(memory.rows[:PROOF]))
        return np.concatenate([terms[name] for name in sorted(terms) if name != "x_hat"])

    def _check(self, estimator: Any, memory: Memory) -> None:
        """Raise `ArtifactError` if the estimator differs from the one that the threshold was set for."""
        now, then = self._proof(estimator, memory), memory.proof.double().cpu().numpy()
        if now.shape != then.shape or np.abs(now - then).max() > PROOF_TOLERANCE * np.abs(then).max():
            raise ArtifactError(
                f"{type(self).__name__}: this version of scikit-learn fits another model to the same rows, and the "
                "threshold is not valid for it; install the version that `oddgan info` names, or train again"
            )


def drawn(rows: PreparedRows, at_most: int) -> Tensor:
    """Prepared rows as vectors (m, d) float32: all, or `at_most` of them, drawn with torch's global generator."""
    numbers = np.arange(len(rows))
    if len(rows) > at_most:
        numbers = np.sort(torch.randperm(len(rows))[:at_most].numpy())
    return torch.cat([x.flatten(1) for x in in_batches(rows, numbers)])


def _vectors(x: Tensor) -> np.ndarray:
    return np.asarray(x.flatten(1).double().cpu().numpy())
