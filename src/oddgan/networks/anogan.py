"""Networks of AnoGAN (Schlegl et al., 2017, arXiv:1703.05921) in the three forms in common use.

- "dcgan": DCGAN, as the paper says, by this package's rule.
- "egbad": the AnoGAN baseline of EGBAD's authors (their MNIST and KDD99 code).
- "keras": the widespread Keras implementation for MNIST: no batch normalisation, 5x5 convolutions after upsampling.

For tables "keras" equals "egbad", the one for KDD99. `width` scales every layer; None is 64, as in the sources.
"""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from . import bigan, pictures, tables
from .blocks import WIDTH, Judge, RowLinear, channels, down, normal, sizes, volume, xavier
from .convolution import Enlarging
from .tables import mlp

Kind = Literal["dcgan", "egbad", "keras"]


def generator(shape: Sequence[int], latent_dim: int, *, kind: Kind = "dcgan", width: int | None = None) -> nn.Module:
    """G: (b, latent_dim) -> (b, *shape), in [-1, 1] for pictures and unbounded for tables."""
    width = width or WIDTH
    if kind == "dcgan":
        dcgan = pictures.Decoder if len(shape) == 3 else tables.Decoder
        return dcgan(shape, latent_dim, width)
    if kind == "egbad" or len(shape) == 1:
        return bigan.generator(shape, latent_dim, width=width)
    plan = sizes(*shape[1:])[::-1]
    widths = [*channels(width, len(plan) - 1)[::-1], shape[0]]
    layers: list[nn.Module] = []
    for i, size in enumerate(plan[1:]):
        layers += [Enlarging(widths[i], widths[i + 1], plan[i], size, 5), nn.LeakyReLU(0.2)]
    layers[-1] = nn.Tanh()
    first = normal(RowLinear(latent_dim, volume(widths[0], plan[0])))
    return nn.Sequential(first, nn.LeakyReLU(0.2), nn.Unflatten(1, (widths[0], *plan[0])), *map(xavier, layers))


def discriminator(shape: Sequence[int], *, kind: Kind = "dcgan", width: int | None = None) -> nn.Module:
    """D: (b, *shape) -> logit (b,) and features (b, k): the activations before its last layer."""
    width = width or WIDTH
    if kind == "dcgan":
        dcgan = pictures.Discriminator if len(shape) == 3 else tables.Discriminator
        return dcgan(shape, width)
    if len(shape) == 1:
        return xavier(
            Judge(mlp((shape[0], 4 * width, 2 * width, 2 * width), slope=bigan.SLOPE, dropout=0.2), 2 * width)
        )
    plan = sizes(*shape[1:])
    if kind == "keras":
        widths = [shape[0], *channels(width, len(plan) - 1)]
        layers = down(plan, widths, kernel=5, norm="none", dropout=0.3)
        net = xavier(Judge(nn.Sequential(*layers), volume(widths[-1], plan[-1])))
        normal(layers[0])
        return net
    layers = down(plan, [shape[0]] + [width] * (len(plan) - 1), norm="but first", slope=bigan.SLOPE)
    hidden = mlp((volume(width, plan[-1]), 16 * width), slope=bigan.SLOPE, batch_norm=True)
    return normal(Judge(nn.Sequential(*layers, nn.Flatten(), *hidden), 16 * width))
