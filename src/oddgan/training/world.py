"""The processes that train one model together."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`, of a `torch.distributed` group where there are several.

    oddgan trains in one process, rank 0 of 1. Here is where more would join: the loop averages gradients before each
    optimiser step, and a batch takes this process's shard of its row numbers.
    """

    rank: int = 0
    size: int = 1

    def average(self, params: Iterable[Tensor]) -> None:
        """Replace each parameter's gradient by its mean over all processes; a single process has nothing to do."""
        if self.size == 1:
            return
        for gradient in (p.grad for p in params):
            if gradient is not None:
                torch.distributed.all_reduce(gradient)
                gradient /= self.size

    def shard(self, numbers: np.ndarray) -> np.ndarray:
        """This process's share of a batch's row numbers: every `size`-th, from `rank` on."""
        return numbers[self.rank :: self.size]


SINGLE = World()
"""One process, as every run is today."""
