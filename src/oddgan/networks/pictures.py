"""Convolutional networks of the DCGAN kind for pictures of any size from 8x8.

For 32x32 this is GANomaly's published encoder (conv 64, 128, 256, then a 4x4 convolution to the latent); 28x28, 80x80
or 9x200 follow the rule of `oddgan.networks.blocks`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import channels, down, normal, sizes, up
from .convolution import Span, Spread


def _trunk(shape: Sequence[int], width: int) -> tuple[nn.Sequential, int, tuple[int, int]]:
    """The strided convolutions from `shape` down, with the channels and size that they end in."""
    plan = sizes(*shape[1:])
    widths = [shape[0], *channels(width, len(plan) - 1)]
    return nn.Sequential(*down(plan, widths, norm="but first", bias=False)), widths[-1], plan[-1]


class Encoder(nn.Module):
    """(b, C, H, W) -> (b, out): strided convolutions, then one that spans what is left of the picture."""

    def __init__(self, shape: Sequence[int], out: int, width: int) -> None:
        super().__init__()
        self.trunk, last, rest = _trunk(shape, width)
        self.head = Span(last, out, rest, bias=False)
        normal(self, norms=True)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(self.trunk(x))
        return z.flatten(1)


class Decoder(nn.Module):
    """(b, latent_dim) -> (b, C, H, W) in [-1, 1]: the encoder's layers in reverse, transposed, with a tanh last."""

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
        x: Tensor = self.layers(z[:, :, None, None])
        return x


class Discriminator(nn.Module):
    """(b, C, H, W) -> logit (b,) and features (b, k): the encoder with one output; the features come before it."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.trunk, last, rest = _trunk(shape, width)
        self.head = Span(last, 1, rest, bias=False)
        normal(self, norms=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.head(f)), torch.flatten(f, 1)
