"""The averaged weights that a stage ends with, and statistics to match them."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm

from .. import machine
from .batch import Batch, key
from .stage import Losses

STATISTICS_BATCHES = 100  # from which the final statistics of batch normalisation are estimated, at most


class Averages:
    """Exponential moving averages of `weights` with decay `ema`; 0 keeps none, and `values` is empty."""

    def __init__(self, weights: Sequence[Tensor], ema: float) -> None:
        self.ema = ema
        self.weights = list(weights) if ema else []
        self.values = [p.detach().clone() for p in self.weights]

    def follow(self, update: int) -> None:
        """Move the averages towards the weights after update number `update`, from 0."""
        if self.values:
            decay = min(self.ema, (1 + update) / (10 + update))  # a short memory while the weights still move fast
            torch._foreach_lerp_(self.values, [w.detach() for w in self.weights], 1 - decay)

    @torch.no_grad()
    def replace_weights(self) -> None:
        """Copy the averages into the weights."""
        for weight, average in zip(self.weights, self.values, strict=True):
            weight.copy_(average)


def refresh_statistics(modules: Iterable[nn.Module], play: Callable[[Batch], Iterator[Losses]], batch: Batch) -> None:
    """Estimate the statistics of the batch normalisation among `modules` again, for weights that were averaged.

    Running means and variances follow the last few batches at the last weights; the averaged weights never saw them.
    The game is played (`play(batch)`) on up to one epoch of a fresh `batch`, and no weight is updated. Spectral
    normalisation's estimates of the largest singular values are refreshed by the same passes.
    """
    modules = list(modules)
    norms = [m for m in modules if isinstance(m, _BatchNorm)]
    if not norms and not any(isinstance(m, _SpectralNorm) for m in modules):
        return
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # a plain average over all batches
    machine.seed(key(batch.settings.seed, batch.stage), batch.settings.device)
    for _ in range(STATISTICS_BATCHES):  # of a step that takes no rows, so many too
        if batch.epoch >= 1 or batch.drawn >= STATISTICS_BATCHES:
            break
        with batch.shared():
            for _ in play(batch):
                pass
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
