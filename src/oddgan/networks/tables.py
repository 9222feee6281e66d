"""Fully connected networks for rows of a table.

Two hidden layers, `width` and half of it, leaky ReLU, no batch normalisation (small sets make small batches) and a
linear output: columns are standardised, not bounded.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RowLinear(nn.Linear):
    """A linear layer whose result for a row does not depend on the row's place in the batch, to the last bit.

    Matrix products on a CPU treat the rows at the edge of a tile with other instructions, which round differently. A
    1x1 convolution over the rows does not, at the same speed, so evaluation mode uses that.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training or x.device.type != "cpu":
            return super().forward(x)
        return F.conv2d(x.t()[None, :, :, None], self.weight[:, :, None, None], self.bias)[0, :, :, 0].t()


def _layers(*units: int) -> nn.Sequential:
    """Linear layers through `units`, each followed by a leaky ReLU."""
    layers: list[nn.Module] = []
    for i in range(len(units) - 1):
        layers += [RowLinear(units[i], units[i + 1]), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def _narrow(width: int) -> int:
    return max(2, width // 2)


class Encoder(nn.Module):
    """(b, d) -> (b, out)."""

    def __init__(self, shape: Sequence[int], out: int, width: int) -> None:
        super().__init__()
        self.trunk = _layers(shape[0], width, _narrow(width))
        self.head = RowLinear(_narrow(width), out)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(self.trunk(x))
        return z


class Decoder(nn.Module):
    """(b, latent_dim) -> (b, d)."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        self.trunk = _layers(latent_dim, _narrow(width), width)
        self.head = RowLinear(width, shape[0])

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.head(self.trunk(z))
        return x


class Discriminator(nn.Module):
    """(b, d) -> logit (b,) and features (b, k)."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.trunk = _layers(shape[0], width, _narrow(width))
        self.head = RowLinear(_narrow(width), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.head(f)), f
