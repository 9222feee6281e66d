"""Fully connected networks for rows of a table.

Two hidden layers, `width` and half of it, leaky ReLU, no batch normalisation (small sets make small batches) and a
linear output: columns are standardised, not bounded.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def _layers(*units: int) -> nn.Sequential:
    """Linear layers through `units`, each followed by a leaky ReLU."""
    layers: list[nn.Module] = []
    for i in range(len(units) - 1):
        layers += [nn.Linear(units[i], units[i + 1]), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def _narrow(width: int) -> int:
    return max(2, width // 2)


class Encoder(nn.Module):
    """(b, d) -> (b, out)."""

    def __init__(self, shape: Sequence[int], out: int, width: int) -> None:
        super().__init__()
        self.trunk = _layers(shape[0], width, _narrow(width))
        self.head = nn.Linear(_narrow(width), out)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(self.trunk(x))
        return z


class Decoder(nn.Module):
    """(b, latent_dim) -> (b, d)."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        self.trunk = _layers(latent_dim, _narrow(width), width)
        self.head = nn.Linear(width, shape[0])

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.head(self.trunk(z))
        return x


class Discriminator(nn.Module):
    """(b, d) -> logit (b,) and features (b, k)."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.trunk = _layers(shape[0], width, _narrow(width))
        self.head = nn.Linear(_narrow(width), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.head(f)), f
