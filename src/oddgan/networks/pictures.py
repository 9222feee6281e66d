"""DCGAN-style convolutional networks for pictures of any size from 8x8.

At 32x32 the encoder is GANomaly's as published (convolutions of 64, 128 and 256 channels, then a 4x4 convolution to the
latent); other sizes, such as 28x28, 80x80 or 9x200, follow the rule of `oddgan.networks.blocks`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import channels, down, normal, sizes, up
from .convolution import Span, Spread


def _trunk(shape: Sequence[int], width: int) -> tuple[nn.Sequential, int, tuple[int, int]]:
    """The strided convolutions, and the channels and size of their output."""
    plan = sizes(*shape[1:])
    widths = [shape[0], *channels(width, len(plan) - 1)]
    return nn.Sequential(*down(plan, widths, norm="but first", bias=False)), widths[-1], plan[-1]


class Encoder(nn.Module):
    """(b, C, H, W) -> (b, out): strided convolutions, then one over the whole remaining map."""

    def __init__(self, shape: Sequence[int], out: int, width: int) -> None:
        super().__init__()
        self.trunk, last, rest = _trunk(shape, width)
        self.head = Span(last, out, rest, bias=False)
        normal(self, norms=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x)).flatten(1)


class Decoder(nn.Module):
    """(b, latent_dim) -> (b, C, H, W) in [-1, 1]: the encoder's layers in reverse, transposed, with a final tanh."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        plan = sizes(*shape[1:])[::-1]
        widths = [*channels(width, len(plan) - 1)[::-1], shape[0]]
        self.layers = nn.Sequential(
            Spread(latent_dim, widths[0], plan[0], bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            *up(plan, widths, bias=False),
        )
        normal(self, norms=True)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z[:, :, None, None])


class Discriminator(nn.Module):
    """(b, C, H, W) -> logit (b,) and features (b, k): the encoder with one output, whose inputs are the features."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.trunk, last, rest = _trunk(shape, width)
        self.head = Span(last, 1, rest, bias=False)
        normal(self, norms=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.head(f)), torch.flatten(f, 1)
