"""Trained networks, optimised for scoring: the same function, computed faster.

The weights no longer change, so batch normalisation is folded into the convolution before it, the activation is
computed in the same call, and the weights are reordered once, instead of at every call, to the layout that the CPU's
convolutions need. Gradients reach the input (a search needs them), not the weights. Detectors are unaware of this; on
anything but an x86 CPU with oneDNN, convolutions are left unchanged.
"""

import copy
import operator
import platform
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..networks.blocks import RowLinear
from ..networks.convolution import Enlarging, Shrinking, Span, Spread
from .rowwise import chain

_made: WeakKeyDictionary[nn.Module, "_Made"] = WeakKeyDictionary()

AVAILABLE = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and hasattr(torch.ops.mkldnn, "_convolution_transpose_pointwise")
)
_Run = Callable[[Tensor, Tensor | None, str], Tensor]  # of rows, a bias and the name of an activation
PLAIN = (nn.Conv2d, nn.ConvTranspose2d, Span, Spread)
ACTIVATIONS: dict[type[nn.Module], str] = {nn.LeakyReLU: "leaky_relu", nn.ReLU: "relu", nn.Tanh: "tanh"}


def ready(net: nn.ModuleDict, rows: int = 0) -> nn.ModuleDict:
    """`net` (in evaluation mode) optimised for scoring: built on the first call, and again after a weight has changed.

    `rows`: the number of rows to which row-wise layers are padded (`oddgan.model.rowwise`). Weights that are not folded
    are shared with `net`; every convolution has one more, packed copy of its weights.
    """
    made = _made.get(net)
    if made is None or not made.holds(net):
        made = _made[net] = _Made(net)
    return made.network(net, rows)


class _Made:
    """The networks built for scoring, and references to the trained weights that they were built from: by the modules'
    dictionaries, since traversing the modules at every call would take as long as a small network."""

    def __init__(self, net: nn.ModuleDict) -> None:
        self.places = [(kind, name) for m in net.modules() for kind in (m._parameters, m._buffers) for name in kind]
        self.modules, self.key = list(net.values()), self._key()
        self.networks: dict[int, nn.ModuleDict] = {}

    def network(self, net: nn.ModuleDict, rows: int) -> nn.ModuleDict:
        """The networks for scoring; the trained ones if there is nothing to optimise."""
        if rows not in self.networks:
            layers = [m for m in net.modules() if isinstance(m, RowLinear) or (AVAILABLE and isinstance(m, PLAIN))]
            made = net
            if layers and layers[0].weight.device.type == "cpu":
                tensors = [*net.parameters(), *net.buffers()]
                made = copy.deepcopy(net, {id(tensor): tensor for tensor in tensors})
                chain(made, rows)
                if AVAILABLE:
                    _packed(made)
            self.networks[rows] = made
        return self.networks[rows]

    def holds(self, net: nn.ModuleDict) -> bool:
        """Whether the trained networks have not changed since."""
        return self.key == self._key() and all(map(operator.is_, self.modules, net._modules.values()))

    def _key(self) -> list[tuple[int, int] | None]:
        found = [kind[name] for kind, name in self.places]
        return [None if tensor is None else (tensor.data_ptr(), tensor._version) for tensor in found]


def _is_plain(module: nn.Module) -> bool:
    """A convolution, transposed or not, without parametrisation and with zero padding."""
    return type(module) in PLAIN and module.padding_mode == "zeros"


def _packed(net: nn.ModuleDict) -> nn.ModuleDict:
    """`net` with every convolution, and what directly follows it in a sequence, packed into one layer."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Enlarging | Shrinking):
                child = child.merged_layer() or child
            if not _is_plain(child):
                continue
            norm = activation = None
            if type(module) is nn.Sequential:
                norm = _follower(module, name, nn.BatchNorm2d)
                activation = _follower(module, name, *ACTIVATIONS)
            setattr(module, name, Packed(child, norm, activation))
    return net


def _follower(sequence: nn.Sequential, name: str, *types: type[nn.Module]) -> nn.Module | None:
    """Remove and return the module after `name` if it is of one of these types."""
    names = list(sequence._modules)
    after = names[names.index(name) + 1 : names.index(name) + 2]
    if not after or type(sequence._modules[after[0]]) not in types:
        return None
    return sequence._modules.pop(after[0])


class Packed(nn.Module):
    """A convolution with the batch normalisation and the activation that follow it: (b, C, H, W) -> (b, C', H', W').

    Computes in bfloat16 under autocast to it, else in float32.
    """

    def __init__(self, conv: Any, norm: Any, activation: Any) -> None:
        super().__init__()
        self.transposed = isinstance(conv, nn.ConvTranspose2d)
        self.conv = fuse_conv_bn_eval(conv, norm, transpose=self.transposed) if norm is not None else conv
        self.activation = ACTIVATIONS[type(activation)] if activation is not None else "none"
        self.slope = getattr(activation, "negative_slope", 0.0)
        self.layouts: dict[tuple[Any, ...], _Run] = {}  # the implementation by shape, precision and direction

    def forward(self, x: Tensor) -> Tensor:
        return _Convolution.apply(x, self)  # type: ignore[no-untyped-call]

    def forwards(self, x: Tensor) -> Tensor:
        """Convolution, normalisation, activation."""
        padding = self.conv.output_padding if self.transposed else (0, 0)
        return self._run(x, self.transposed, list(padding), self.conv.bias, self.activation)

    def backwards(self, g: Tensor, y: Tensor, size: torch.Size) -> Tensor:
        """The gradient of the input of this size, from the gradient g of the output y."""
        if self.activation == "tanh":
            g = g * (1 - y.square())
        elif self.activation != "none":
            g = torch.where(y > 0, g, self.slope * g)
        conv, short = self.conv, [0, 0]
        if not self.transposed:  # the output padding that restores the input's size
            for i in (0, 1):
                least = (g.shape[2 + i] - 1) * conv.stride[i] - 2 * conv.padding[i] + self._reach(i)
                short[i] = size[2 + i] - least
        return self._run(g, not self.transposed, short, None, "none")

    def _run(self, x: Tensor, transposed: bool, short: list[int], bias: Tensor | None, activation: str) -> Tensor:
        """The convolution, transposed or not (`short`: its output padding), in bfloat16 or float32."""
        reduced = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        x = x.to(torch.bfloat16 if reduced else torch.float32).contiguous(memory_format=torch.channels_last)
        layout = (tuple(x.shape), x.dtype, transposed)
        if layout not in self.layouts:
            self.layouts[layout] = self._fastest(x, transposed, short)
        return self.layouts[layout](x, None if bias is None else bias.detach().to(x.dtype), activation)

    def _fastest(self, x: Tensor, transposed: bool, short: list[int]) -> _Run:
        """The fastest correct implementation for inputs like x. The plain one is used where the packed one is wrong, as
        torch 2.13's is in float32 for one output channel of one pixel."""
        plain = self._plainly(x, transposed, short)
        narrow = transposed and self.conv.groups == 1 and 2 * self.conv.weight[0].numel() <= x.shape[1]
        run = self._by_columns(x, short) if narrow else self._packed(x, transposed, short)
        probe = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
        expected, found = (way(probe, None, "none").float() for way in (plain, run))
        error = (found - expected).abs().max() / expected.abs().max()
        return run if error <= (0.05 if x.dtype == torch.bfloat16 else 1e-4) else plain

    def _packed(self, x: Tensor, transposed: bool, short: list[int]) -> _Run:
        """With weights reordered for the CPU's convolution of inputs like x."""
        ops, conv = torch.ops.mkldnn, self.conv
        how = [list(conv.padding), *[short] * transposed, list(conv.stride), list(conv.dilation), conv.groups]
        pack = ops._reorder_convolution_transpose_weight if transposed else ops._reorder_convolution_weight
        run = ops._convolution_transpose_pointwise if transposed else ops._convolution_pointwise
        weight = pack(conv.weight.detach().to(x.dtype), *how, list(x.shape))
        arguments = {"leaky_relu": [self.slope]}
        return lambda x, bias, activation: run(x, weight, bias, *how, activation, arguments.get(activation, []), "")

    def _by_columns(self, x: Tensor, short: list[int]) -> _Run:
        """A transposed convolution to few channels: one matrix product for the contributions of every pixel to its
        surroundings, which are then summed. For a generator's last layer the packed convolution is far slower."""
        conv, size = self.conv, list(x.shape[2:])
        columns = conv.weight.detach().to(x.dtype).flatten(1).t()[:, :, None, None].contiguous()
        how = [0, 0], [1, 1], [1, 1], 1
        weight = torch.ops.mkldnn._reorder_convolution_weight(columns, *how, list(x.shape))
        whole = [(size[i] - 1) * conv.stride[i] - 2 * conv.padding[i] + self._reach(i) + short[i] for i in (0, 1)]

        def run(x: Tensor, bias: Tensor | None, activation: str) -> Tensor:
            parts = torch.ops.mkldnn._convolution_pointwise(x, weight, None, *how, "none", [], "").float().flatten(2)
            y = F.fold(parts, tuple(whole), conv.kernel_size, conv.dilation, conv.padding, conv.stride)
            return self._activated(y if bias is None else y + bias[:, None, None], activation).to(x.dtype)

        return run

    def _plainly(self, x: Tensor, transposed: bool, short: list[int]) -> _Run:
        conv, weight = self.conv, self.conv.weight.detach().to(x.dtype)
        how = conv.stride, conv.padding, conv.dilation, transposed, short, conv.groups
        return lambda x, bias, activation: self._activated(torch.convolution(x, weight, bias, *how), activation)

    def _activated(self, y: Tensor, activation: str) -> Tensor:
        match activation:
            case "leaky_relu":
                return F.leaky_relu(y, self.slope)
            case "relu":
                return y.relu()
            case "tanh":
                return y.tanh()
        return y

    def _reach(self, i: int) -> int:
        """The number of pixels that the kernel spans along side i."""
        return self.conv.dilation[i] * (self.conv.kernel_size[i] - 1) + 1


class _Convolution(torch.autograd.Function):
    """A packed layer, differentiable with respect to its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Packed) -> Tensor:
        y = layer.forwards(x)
        ctx.save_for_backward(y)
        ctx.layer, ctx.size, ctx.dtype = layer, x.shape, x.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return ctx.layer.backwards(g, y, ctx.size).to(ctx.dtype), None
