"""Fully connected networks for rows of a table.

Two hidden layers, `width` and half of it, leaky ReLU, no batch normalisation (small sets make small batches) and a
linear output: columns are standardised, not bounded.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from . import blocks
from .blocks import RowLinear  # its place for those who build networks for tables

Activation = Literal["leaky", "relu", "tanh", "softplus"]


def mlp(
    units: Sequence[int],
    *,
    activation: Activation = "leaky",
    slope: float = 0.2,
    dropout: float = 0.0,
    batch_norm: bool = False,
    last: bool = False,
    xavier: bool = False,
) -> nn.Sequential:
    """Linear layers through `units`, (b, units[0]) -> (b, units[-1]), each followed by batch normalisation (if asked),
    the activation and dropout; with `last`, the final layer stands alone and is the output.

    `slope`: of "leaky". `xavier`: start from Glorot's uniform distribution and zero biases, not from torch's own.
    """
    layers: list[nn.Module] = []
    for i in range(len(units) - 1):
        if last and i == len(units) - 2:
            layers.append(RowLinear(units[i], units[i + 1]))
            break
        layers.append(RowLinear(units[i], units[i + 1], bias=not batch_norm))
        layers += [nn.BatchNorm1d(units[i + 1])] * batch_norm
        layers.append(_ACTIVATIONS[activation]() if activation != "leaky" else nn.LeakyReLU(slope))
        layers += [nn.Dropout(dropout)] * (dropout > 0)
    net = nn.Sequential(*layers)
    return blocks.xavier(net) if xavier else net


_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "softplus": nn.Softplus}


def _narrow(width: int) -> int:
    return max(2, width // 2)


class Encoder(nn.Module):
    """(b, d) -> (b, out)."""

    def __init__(self, shape: Sequence[int], out: int, width: int) -> None:
        super().__init__()
        self.trunk = mlp((shape[0], width, _narrow(width)))
        self.head = RowLinear(_narrow(width), out)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(self.trunk(x))
        return z


class Decoder(nn.Module):
    """(b, latent_dim) -> (b, d)."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        self.trunk = mlp((latent_dim, _narrow(width), width))
        self.head = RowLinear(width, shape[0])

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.head(self.trunk(z))
        return x


class Discriminator(nn.Module):
    """(b, d) -> logit (b,) and features (b, k)."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.trunk = mlp((shape[0], width, _narrow(width)))
        self.head = RowLinear(_narrow(width), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.head(f)), f
