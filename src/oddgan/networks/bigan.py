"""EGBAD's BiGAN (Zenati et al., 2018, arXiv:1802.06222): E, G and a discriminator of pairs (x, z).

At 28x28 with a latent of 200 these are the networks of the authors' MNIST code; for rows of 121 values with a latent
of 32, those of their KDD99 code. `width` scales every layer; None is 64, as in their code.
"""

from collections.abc import Sequence

from torch import nn

from .blocks import WIDTH, JointJudge, RowLinear, channels, down, normal, part, sizes, up, volume, xavier
from .tables import mlp

SLOPE = 0.1


def encoder(shape: Sequence[int], latent_dim: int, *, width: int | None = None) -> nn.Module:
    """E: (b, *shape) -> (b, latent_dim), unbounded.

    Pictures: a 3x3 convolution (linear, as in the authors' code), strided 3x3 convolutions with batch normalisation and
    leaky ReLU, and a linear layer. Tables: one hidden layer.
    """
    width = width or WIDTH
    if len(shape) == 1:
        return mlp((shape[0], width, latent_dim), slope=SLOPE, last=True, xavier=True)
    plan = sizes(*shape[1:])
    widths = [part(width, 2), *channels(width, len(plan) - 1)]
    return normal(
        nn.Sequential(
            nn.Conv2d(shape[0], widths[0], 3, padding=1),
            *down(plan, widths, kernel=3, slope=SLOPE),
            nn.Flatten(),
            RowLinear(volume(widths[-1], plan[-1]), latent_dim),
        )
    )


def generator(shape: Sequence[int], latent_dim: int, *, width: int | None = None) -> nn.Module:
    """G: (b, latent_dim) -> (b, *shape), in [-1, 1] for pictures and unbounded for tables.

    Pictures: two linear layers, then transposed 4x4 convolutions, with batch normalisation and ReLU. Tables: two hidden
    layers with ReLU.
    """
    width = width or WIDTH
    if len(shape) == 1:
        return mlp((latent_dim, width, 2 * width, shape[0]), activation="relu", last=True, xavier=True)
    plan = sizes(*shape[1:])[::-1]
    widths = [*channels(width, len(plan) - 1)[::-1], shape[0]]
    return normal(
        nn.Sequential(
            *mlp((latent_dim, 16 * width, volume(widths[0], plan[0])), activation="relu", batch_norm=True),
            nn.Unflatten(1, (widths[0], *plan[0])),
            *up(plan, widths),
        )
    )


class JointDiscriminator(JointJudge):
    """D: x (b, *shape) and z (b, latent_dim) -> logit (b,) and features (b, k), D's last hidden layer.

    x passes through strided 4x4 convolutions of equal width (tables: a hidden layer), z through a hidden layer, both
    together through another. Leaky ReLU and dropout throughout: .5 for pictures, .2 for tables.
    """

    def __init__(self, shape: Sequence[int], latent_dim: int, *, width: int | None = None) -> None:
        width = width or WIDTH
        if len(shape) == 1:
            drop, hidden, k = 0.2, 2 * width, 2 * width
            of_x, x_units = mlp((shape[0], hidden), slope=SLOPE, dropout=drop), hidden
        else:
            drop, hidden, k = 0.5, 8 * width, 16 * width
            plan = sizes(*shape[1:])
            widths = [shape[0]] + [width] * (len(plan) - 1)
            of_x = nn.Sequential(*down(plan, widths, norm="but first", slope=SLOPE, dropout=drop))
            x_units = volume(width, plan[-1])
        of_z = mlp((latent_dim, hidden), slope=SLOPE, dropout=drop)
        of_both = mlp((x_units + hidden, k), slope=SLOPE, dropout=drop)
        super().__init__(of_x, of_z, of_both, k)
        xavier(self) if len(shape) == 1 else normal(self)
