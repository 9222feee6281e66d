"""Layers that treat every row alike, one after the other, without what their modules cost at every call.

A `RowLinear` turns its rows into the pixels of one picture and back. In a sequence of such layers they stay pixels from
the first to the last, and the weights are viewed as a convolution's once. The operations are those of the modules, and
so are the bits. What a row becomes does not depend on the others, but in its last bits on how many they are: a chain
fills its rows up to as many as a full block has, at little cost, so that they need not be filled up before.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.blocks import RowLinear

ELEMENTWISE = nn.LeakyReLU | nn.ReLU | nn.Tanh | nn.Softplus | nn.Sigmoid


class RowChain(nn.Module):
    """Linear layers and activations, (b, k) -> (b, l), in evaluation mode on a CPU. `rows`: how many rows they are
    computed for at least."""

    def __init__(self, layers: Sequence[nn.Module], rows: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.rows = rows
        self._steps: list[Callable[[Tensor], Tensor]] = [_step(layer) for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        if n < self.rows:
            x = F.pad(x, (0, 0, 0, self.rows - n))
        x = x.t().unsqueeze(0).unsqueeze(3)
        for step in self._steps:
            x = step(x)
        x = x.select(0, 0).select(2, 0).t()
        return x[:n] if n < self.rows else x


def _step(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    if isinstance(layer, RowLinear):
        weight = layer.weight.detach()[:, :, None, None]  # of a spectrally normalised layer, normalised once
        bias = None if layer.bias is None else layer.bias.detach()
        return lambda x: torch.conv2d(x, weight, bias)
    if isinstance(layer, nn.LeakyReLU):
        slope = layer.negative_slope
        return lambda x: F.leaky_relu(x, slope)
    return layer.forward


def chain(net: nn.Module, rows: int) -> None:
    """Replace the row-wise layers in `net`, and each run of them in a sequence, by chains."""
    for module in list(net.modules()):
        if isinstance(module, RowChain | RowLinear):
            continue
        run: list[str] = []
        for name, child in [*module.named_children(), ("", nn.Module())]:
            in_sequence = type(module) is nn.Sequential
            follows = in_sequence and run and isinstance(child, ELEMENTWISE | nn.Dropout)
            if (isinstance(child, RowLinear) or follows) and (in_sequence or not run):
                run.append(name)
                continue
            _replace(module, run, rows)
            run = [name] if isinstance(child, RowLinear) else []


def _replace(module: nn.Module, names: Sequence[str], rows: int) -> None:
    """The children with these names become one chain, in the place of the first; dropout does nothing any more."""
    if not names:
        return
    layers = [module._modules[name] for name in names]
    for name in names[1:]:
        del module._modules[name]
    kept = [layer for layer in layers if layer is not None and not isinstance(layer, nn.Dropout)]
    module._modules[names[0]] = RowChain(kept, rows)
