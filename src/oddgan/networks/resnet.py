"""f-AnoGAN's residual networks (Schlegl et al., 2019): Gulrajani's "good generator", its critic, and an encoder.

At 64x64x1 with a latent of 128 these are the networks of the authors' code: four residual blocks, of 512 to 64 channels
in G and 128 to 512 in the critic and E. Tables have the fully connected networks of the MNIST re-implementation by
A03ki (G 128-256-512-1024, critic and E 512-256), with a linear output and batch normalisation's usual eps, not the 0.8
that was passed there in place of the momentum. `width` scales every layer; None is 64, as published.

The critic has layer normalisation or none, never batch normalisation: its gradient penalty is defined per row. Blocks
of G have no biases, because the batch normalisation at the end of G cancels any shift of a whole channel. Nor have the
critic's last block and last layer, whose biases would only add a constant to every row's value.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import WIDTH, Judge, RowLinear, channels, sizes, volume, xavier
from .convolution import Enlarging, Shrinking, Size
from .tables import mlp

Norm = Callable[[int], nn.Module]


class LayerNorm(nn.Module):
    """Normalise each row (C, H, W) as a whole, then scale and shift each channel, as the authors' code does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[1:]) * self.weight[:, None, None] + self.bias[:, None, None]


class Block(nn.Module):
    """A residual block (b, inputs, *old) -> (b, outputs, *new): norm, ReLU, conv, norm, ReLU, conv, plus a 1x1 conv.

    When shrinking, it ends with a mean over the pixels that become one; when enlarging, it begins by repeating pixels.
    """

    def __init__(self, inputs: int, outputs: int, old: Size, new: Size, norm: Norm, *, bias: bool = True) -> None:
        super().__init__()
        self.grows, self.size = new > old, new
        middle = outputs if self.grows else inputs
        self.pool = tuple(2 if a > b else 1 for a, b in zip(old, new, strict=True))
        self.shortcut = xavier(nn.Conv2d(inputs, outputs, 1, bias=bias))
        self.norm1 = norm(inputs)
        if self.grows:
            conv1: nn.Module = Enlarging(inputs, middle, old, new, bias=False)
            conv2: nn.Module = nn.Conv2d(middle, outputs, 3, padding=1, bias=bias)
        else:
            conv1 = nn.Conv2d(inputs, middle, 3, padding=1, bias=False)
            conv2 = Shrinking(middle, outputs, old, new, bias=bias)
        self.conv1 = xavier(conv1, sqrt(2))
        self.norm2 = norm(middle)
        self.conv2 = xavier(conv2, sqrt(2))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        # The shortcut is computed at the smaller of the two sizes, with the same result.
        y = self.shortcut(x if self.grows else F.avg_pool2d(x, self.pool))
        if self.grows:
            y = F.interpolate(y, self.size)
        return h + y


def _blocks(
    plan: Sequence[Size], widths: Sequence[int], norm: Norm, *, bias: bool = True, last_bias: bool = True
) -> list[Block]:
    steps = list(zip(pairwise(widths), pairwise(plan), strict=True))
    biases = [bias] * (len(steps) - 1) + [bias and last_bias]
    return [Block(*ends, *lengths, norm, bias=b) for (ends, lengths), b in zip(steps, biases, strict=True)]


def _trunk(shape: Sequence[int], width: int, norm: Norm, *, last_bias: bool = True) -> tuple[list[nn.Module], int]:
    """A convolution, shrinking blocks and a flattening, and the number of outputs. `last_bias`: whether the last block
    has biases."""
    plan = sizes(*shape[1:])
    widths = channels(width, len(plan))
    first = xavier(nn.Conv2d(shape[0], width, 3, padding=1))
    blocks = _blocks(plan, widths, norm, last_bias=last_bias)
    return [first, *blocks, nn.Flatten()], volume(widths[-1], plan[-1])


def generator(shape: Sequence[int], latent_dim: int, *, width: int | None = None) -> nn.Module:
    """G: (b, latent_dim) -> (b, *shape), in [-1, 1] for pictures and unbounded for tables."""
    width = width or WIDTH
    if len(shape) == 1:
        units = [width * 2**i for i in range(1, 5)]
        hidden = [*mlp((latent_dim, units[0])), *mlp(units, batch_norm=True)]
        return nn.Sequential(*hidden, RowLinear(units[-1], shape[0]))
    plan = sizes(*shape[1:])[::-1]
    widths = channels(width, len(plan))[::-1]
    first = xavier(RowLinear(latent_dim, volume(widths[0], plan[0])))
    blocks = _blocks(plan, widths, nn.BatchNorm2d, bias=False)
    last = xavier(nn.Conv2d(width, shape[0], 3, padding=1), sqrt(2))
    return nn.Sequential(
        first, nn.Unflatten(1, (widths[0], *plan[0])), *blocks, nn.BatchNorm2d(width), nn.ReLU(), last, nn.Tanh()
    )


def critic(shape: Sequence[int], *, width: int | None = None) -> Judge:
    """D: (b, *shape) -> value (b,), not a probability, and features (b, k), the outputs before its last layer."""
    width = width or WIDTH
    if len(shape) == 1:
        return Judge(mlp((shape[0], 8 * width, 4 * width)), 4 * width, bias=False)
    layers, k = _trunk(shape, width, LayerNorm, last_bias=False)
    net = Judge(nn.Sequential(*layers), k, bias=False)
    xavier(net.head)
    return net


def encoder(shape: Sequence[int], latent_dim: int, *, width: int | None = None, tanh: bool = False) -> nn.Module:
    """E: (b, *shape) -> (b, latent_dim), in (-1, 1) with `tanh`, else unbounded: the critic's layers, with batch
    normalisation."""
    width = width or WIDTH
    end = [nn.Tanh()] * tanh
    if len(shape) == 1:
        return nn.Sequential(*mlp((shape[0], 8 * width, 4 * width, latent_dim), last=True), *end)
    layers, k = _trunk(shape, width, nn.BatchNorm2d)
    return nn.Sequential(*layers, xavier(RowLinear(k, latent_dim)), *end)
