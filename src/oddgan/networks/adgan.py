"""ADGAN's generator and critic (Deecke et al., 2018), a small WGAN-GP.

At 32x32 these are the networks of the re-implementation by Golan and El-Yaniv (2018): 3x3 convolutions of 64, 128 and
256 channels. Their critic has batch normalisation; this one has none, because a gradient penalty is defined per row.
Networks for tables have two hidden layers. `width` scales every layer; None is 64, as in their code.
"""

from collections.abc import Sequence

from torch import nn

from .blocks import WIDTH, Judge, channels, down, sizes, up, volume, xavier
from .tables import mlp


def generator(shape: Sequence[int], latent_dim: int, *, width: int | None = None) -> nn.Module:
    """G: (b, latent_dim) -> (b, *shape), in [-1, 1] for pictures and unbounded for tables.

    Pictures: a linear layer and transposed convolutions, with batch normalisation and ReLU. Tables: ReLU alone.
    """
    width = width or WIDTH
    if len(shape) == 1:
        return mlp((latent_dim, width, 2 * width, shape[0]), activation="relu", last=True)
    plan = sizes(*shape[1:])[::-1]
    widths = [*channels(width, len(plan) - 1)[::-1], shape[0]]
    first = mlp((latent_dim, volume(widths[0], plan[0])), activation="relu", batch_norm=True)
    return xavier(nn.Sequential(*first, nn.Unflatten(1, (widths[0], *plan[0])), *up(plan, widths, kernel=3)))


def critic(shape: Sequence[int], *, width: int | None = None) -> Judge:
    """D: (b, *shape) -> value (b,), not a probability, and features (b, k), the outputs before its last layer."""
    width = width or WIDTH
    if len(shape) == 1:
        return Judge(mlp((shape[0], 2 * width, width)), width, bias=False)
    plan = sizes(*shape[1:])
    widths = [shape[0], *channels(width, len(plan) - 1)]
    trunk = nn.Sequential(*down(plan, widths, kernel=3, norm="none", slope=0.0))
    return xavier(Judge(trunk, volume(widths[-1], plan[-1]), bias=False))
