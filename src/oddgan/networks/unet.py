"""Skip-GANomaly's networks (Akcay et al., 2019, arXiv:1901.08954): a U-Net that reconstructs x, and its discriminator.

At 32x32 these are the networks of the authors' code: five layers of 64, 128, 256, 512 and 512 channels down to one
pixel, and back. `width` scales every layer; None is 64, as published.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .blocks import WIDTH, RowLinear, channels, conv, conv_transpose, normal, part, sizes
from .pictures import Encoder
from .tables import mlp


class UNet(nn.Module):
    """(b, ...) -> (b, ...): layers down, and as many up. Each layer up but the first also sees the output of the layer
    down at its level; x itself has no skip connection, or G could copy it.
    """

    def __init__(self, downs: Sequence[nn.Module], ups: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for layer in self.downs:
            x = layer(x)
            levels.append(x)
        for i, layer in enumerate(self.ups):
            x = layer(torch.cat([levels[-1 - i], x], 1) if i else x)
        return x


def generator(shape: Sequence[int], *, width: int | None = None) -> UNet:
    """G: x (b, *shape) -> x_hat (b, *shape), in [-1, 1] for pictures and unbounded for tables.

    Sides are halved (rounding down) until they are 1. Tables pass through narrowing layers (2, 1 and half the width).
    """
    width = width or WIDTH
    if len(shape) == 1:
        units = (shape[0], 2 * width, width, part(width, 2))
        downs: list[nn.Module] = [mlp(pair) for pair in pairwise(units)]
        ups: list[nn.Module] = [mlp((units[3], units[2])), mlp((2 * units[2], units[1]))]
        return UNet(downs, [*ups, RowLinear(2 * units[1], units[0])])
    plan = sizes(*shape[1:], smallest=1)
    widths = [shape[0], *channels(width, len(plan) - 1)]
    last = len(plan) - 2
    downs, ups = [], []
    for i in range(last + 1):
        layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if i > 0 else []
        layers.append(conv(widths[i], widths[i + 1], plan[i], plan[i + 1], bias=False))
        if 0 < i < last:
            layers.append(nn.BatchNorm2d(widths[i + 1]))
        downs.append(nn.Sequential(*layers))
        seen = widths[i + 1] * (1 if i == last else 2)
        back = conv_transpose(seen, widths[i], plan[i + 1], plan[i], bias=i == 0)
        ups.append(nn.Sequential(nn.ReLU(), back, nn.BatchNorm2d(widths[i]) if i > 0 else nn.Tanh()))
    return normal(UNet(downs, ups[::-1]), norms=True)


class Discriminator(nn.Module):
    """D: (b, *shape) -> logit (b,) and features (b, latent_dim): GANomaly's encoder with a linear output, and a linear
    layer.

    The authors' last layer is a 3x3 convolution over one pixel, of whose weights only the central ones have an effect.
    """

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        table = mlp((shape[0], width, part(width, 2), latent_dim), last=True)
        self.trunk = Encoder(shape, latent_dim, width) if len(shape) == 3 else table
        self.head = normal(RowLinear(latent_dim, 1, bias=False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.head(f)), f


def discriminator(shape: Sequence[int], *, latent_dim: int = 100, width: int | None = None) -> Discriminator:
    """D: (b, *shape) -> logit (b,) and features (b, latent_dim), the outputs before its last layer."""
    return Discriminator(shape, latent_dim, width or WIDTH)
