"""Fully connected networks for rows of a table.

Two hidden layers of `width` and `width` / 2 units, leaky ReLU, no batch normalisation (small sets make small batches)
and a linear output: columns are standardised, not bounded.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from . import blocks
from .blocks import RowLinear

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
    """A fully connected network (b, units[0]) -> (b, units[-1]).

    Parameters
    ----------
    units : sequence of int
        The units of every layer, the input's first.
    activation : {"leaky", "relu", "tanh", "softplus"}
        Follows every layer.
    slope : float
        Slope of the leaky ReLU.
    dropout : float
        Dropout rate after each activation.
    batch_norm : bool
        Whether batch normalisation precedes each activation.
    last : bool
        Whether the last layer is a plain linear one, without normalisation, activation and dropout.
    xavier : bool
        Initialise from Glorot's uniform distribution with zero biases, in place of torch's default.
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
        return self.head(self.trunk(x))


class Decoder(nn.Module):
    """(b, latent_dim) -> (b, d)."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        self.trunk = mlp((latent_dim, _narrow(width), width))
        self.head = RowLinear(width, shape[0])

    def forward(self, z: Tensor) -> Tensor:
        return self.head(self.trunk(z))


class Discriminator(nn.Module):
    """(b, d) -> logit (b,) and features (b, k)."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.trunk = mlp((shape[0], width, _narrow(width)))
        self.head = RowLinear(_narrow(width), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.head(f)), f
