"""ALAD (Zenati et al., 2018, arXiv:1812.02288): E, G, a discriminator of (x, z) and discriminators of (x, x), (z, z).

At 32x32x3 with a latent of 100 these are the networks of the authors' CIFAR-10 and SVHN code; for rows of 121 values
with a latent of 32 those for KDD99, for rows of 274 values with a latent of 64 those for Arrhythmia. `width` scales
every layer; None is 64, as in their code, which for pictures means a first layer of 128 channels.

`spectral_norm` normalises all layers of a network but the last. The authors' code does so in E, D_xz and D_xx for
pictures, and ignores the setting in D_zz and for tables.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import WIDTH, JointJudge, Judge, channels, down, normal, part, sizes, spectral, up, volume, xavier
from .convolution import Span, Spread
from .tables import mlp

WIDEST = 128  # columns up to which networks have the layers of KDD99's, and above which those of Arrhythmia's


def encoder(
    shape: Sequence[int], latent_dim: int, *, width: int | None = None, spectral_norm: bool = False
) -> nn.Module:
    """E: (b, *shape) -> (b, latent_dim), unbounded: strided 4x4 convolutions, or one or two hidden layers."""
    width = width or WIDTH
    if len(shape) == 1:
        hidden = (4 * width, 2 * width) if shape[0] > WIDEST else (width,)
        net = mlp((shape[0], *hidden, latent_dim), last=True, xavier=True)
    else:
        plan = sizes(*shape[1:])
        widths = [shape[0], *channels(2 * width, len(plan) - 1)]
        head = Span(widths[-1], latent_dim, plan[-1])
        net = normal(nn.Sequential(*down(plan, widths), head, nn.Flatten()), 0.01)
    if spectral_norm:
        spectral(net[: -1 if len(shape) == 1 else -2])
    return net


def generator(shape: Sequence[int], latent_dim: int, *, width: int | None = None) -> nn.Module:
    """G: (b, latent_dim) -> (b, *shape), in [-1, 1] for pictures and unbounded for tables."""
    width = width or WIDTH
    if len(shape) == 1:
        hidden = (2 * width, 4 * width) if shape[0] > WIDEST else (width, 2 * width)
        return mlp((latent_dim, *hidden, shape[0]), activation="relu", last=True, xavier=True)
    plan = sizes(*shape[1:])[::-1]
    widths = [*channels(2 * width, len(plan) - 1)[::-1], shape[0]]
    first = Spread(latent_dim, widths[0], plan[0], bias=False)
    net = nn.Sequential(
        nn.Unflatten(1, (latent_dim, 1, 1)), first, nn.BatchNorm2d(widths[0]), nn.ReLU(), *up(plan, widths)
    )
    return normal(net, 0.01)


class JointDiscriminator(JointJudge):
    """D_xz: x (b, *shape) and z (b, latent_dim) -> logit (b,) and features (b, k), its last hidden layer."""

    def __init__(
        self, shape: Sequence[int], latent_dim: int, *, width: int | None = None, spectral_norm: bool = False
    ) -> None:
        width = width or WIDTH
        if len(shape) == 1:
            k, x_units, z_units = (4 if shape[0] > WIDEST else 2) * width, 2 * width, 2 * width
            of_x = mlp((shape[0], x_units), batch_norm=True)
            of_z = mlp((latent_dim, z_units), dropout=0.5)
            of_both = mlp((x_units + z_units, k), dropout=0.5)
        else:
            plan = sizes(*shape[1:])
            widths = [shape[0], *channels(2 * width, len(plan) - 1)]
            k, x_units, z_units = 16 * width, volume(widths[-1], plan[-1]), 8 * width
            of_x = nn.Sequential(*down(plan, widths, norm="but first"))
            of_z = mlp((latent_dim, z_units, z_units), dropout=0.2)
            of_both = mlp((x_units + z_units, k), dropout=0.2)
        super().__init__(of_x, of_z, of_both, k)
        xavier(self) if len(shape) == 1 else normal(self, 0.01)
        if spectral_norm:
            for net in (of_x, of_z, of_both):
                spectral(net)


class PairDiscriminator(nn.Module):
    """D_xx: a and b, both (b, *shape) -> logit (b,) and features (b, k), the outputs before its last layer.

    Two pictures are concatenated along the channels; the authors' code does so along the height, where only the
    convolutions across the seam see both. Pictures pass through one layer less than in the other networks (two 5x5
    convolutions at 32x32), rows of tables through hidden layers of `units`; None: those of D_xx for KDD99 or
    Arrhythmia, depending on the number of columns.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int | None = None,
        units: Sequence[int] | None = None,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        width = width or WIDTH
        if len(shape) == 1:
            units = units or ((4 * width, 2 * width) if shape[0] > WIDEST else (2 * width,))
            trunk, k = mlp((2 * shape[0], *units), dropout=0.2), units[-1]
        else:
            plan = sizes(*shape[1:])
            plan = plan[: max(2, len(plan) - 1)]
            widths = [2 * shape[0], *channels(width, len(plan) - 1)]
            trunk = nn.Sequential(*down(plan, widths, kernel=5, norm="none", dropout=0.2))
            k = volume(widths[-1], plan[-1])
        self.judge = Judge(trunk, k)
        xavier(self) if len(shape) == 1 else normal(self, 0.01)
        if spectral_norm:
            spectral(trunk)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        logit, f = self.judge(torch.cat([a, b], 1))
        return logit, f


def latent_discriminator(
    shape: Sequence[int], latent_dim: int, *, width: int | None = None, spectral_norm: bool = False
) -> PairDiscriminator:
    """D_zz: a and b, both (b, latent_dim) -> logit (b,) and features (b, k), as published for data of `shape`."""
    width = width or WIDTH
    units = (width, part(width, 2)) if len(shape) == 3 or shape[0] > WIDEST else (part(width, 2),)
    net = PairDiscriminator((latent_dim,), units=units)
    if len(shape) == 3:
        normal(net, 0.01)
    if spectral_norm:
        spectral(net.judge.trunk)
    return net
