"""Networks as scoring runs them: the same numbers, sooner.

Trained networks do not move any more, and a processor can be told so. Batch normalisation becomes part of the
convolution before it, the activation after it part of the same call, and the weights are laid out once as the
processor's convolutions want them instead of at every call. Gradients reach the input (a search needs them), not the
weights. Detectors know nothing of this; on anything but an x86 processor with oneDNN the networks stay as they are.
"""

import copy
import platform
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

_Key = tuple[tuple[int, int], ...]
_made: WeakKeyDictionary[nn.Module, tuple[_Key, nn.ModuleDict]] = WeakKeyDictionary()

AVAILABLE = (
    platform.machine().lower() in ("x86_64", "amd64")
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and hasattr(torch.ops.mkldnn, "_convolution_transpose_pointwise")
)
ACTIVATIONS: dict[type[nn.Module], str] = {nn.LeakyReLU: "leaky_relu", nn.ReLU: "relu", nn.Tanh: "tanh"}


def ready(net: nn.ModuleDict) -> nn.ModuleDict:
    """`net` (in evaluation mode) for scoring, made when it is first asked for and again when a weight has changed.

    The two share every weight that is not folded. What is made holds one packed copy more of every convolution.
    """
    convolutions = [m for m in net.modules() if _is_plain(m)]
    if not (AVAILABLE and convolutions and convolutions[0].weight.device.type == "cpu"):
        return net
    tensors = [*net.parameters(), *net.buffers()]
    key = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
    made = _made.get(net)
    if made is None or made[0] != key:
        made = key, _packed(copy.deepcopy(net, {id(tensor): tensor for tensor in tensors}))
        _made[net] = made
    return made[1]


def _is_plain(module: nn.Module) -> bool:
    """A convolution, transposed or not, without parametrisation, that pads with zeros."""
    return type(module) in (nn.Conv2d, nn.ConvTranspose2d) and module.padding_mode == "zeros"


def _packed(net: nn.ModuleDict) -> nn.ModuleDict:
    """`net` with every convolution, and what directly follows it in a sequence, replaced."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if not _is_plain(child):
                continue
            norm = activation = None
            if type(module) is nn.Sequential:
                norm = _follower(module, name, nn.BatchNorm2d)
                activation = _follower(module, name, *ACTIVATIONS)
            setattr(module, name, Packed(child, norm, activation))
    return net


def _follower(sequence: nn.Sequential, name: str, *types: type[nn.Module]) -> nn.Module | None:
    """The module after `name` if it is of one of these types; it is taken out, so that its successor comes next."""
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
        self.layouts: dict[tuple[Any, ...], Tensor | None] = {}  # packed weights by what they are packed for

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _Convolution.apply(x, self)  # type: ignore[no-untyped-call]
        return y

    def forwards(self, x: Tensor) -> Tensor:
        """Convolution, normalisation, activation."""
        padding = self.conv.output_padding if self.transposed else (0, 0)
        return self._run(x, self.transposed, list(padding), self.conv.bias, self.activation)

    def backwards(self, g: Tensor, y: Tensor, size: torch.Size) -> Tensor:
        """The gradient of the input, which was of this size, from that of the output y."""
        if self.activation == "tanh":
            g = g * (1 - y.square())
        elif self.activation != "none":
            g = torch.where(y > 0, g, self.slope * g)
        conv, short = self.conv, [0, 0]
        if not self.transposed:  # what a transposed convolution falls short of the input's size
            for i in (0, 1):
                reach = conv.dilation[i] * (conv.kernel_size[i] - 1) + 1
                short[i] = size[2 + i] - ((g.shape[2 + i] - 1) * conv.stride[i] - 2 * conv.padding[i] + reach)
        return self._run(g, not self.transposed, short, None, "none")

    def _run(self, x: Tensor, transposed: bool, short: list[int], bias: Tensor | None, activation: str) -> Tensor:
        """The convolution with these weights, transposed or not (`short`: its output padding), in bfloat16 or not."""
        reduced = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        dtype = torch.bfloat16 if reduced else torch.float32
        x = x.to(dtype).contiguous(memory_format=torch.channels_last)
        bias = None if bias is None else bias.detach().to(dtype)
        layout = (tuple(x.shape), dtype, transposed)
        if layout not in self.layouts:
            self.layouts[layout] = self._laid_out(x, transposed, short)
        weight = self.layouts[layout]
        if weight is None:
            return self._finish(self._plain(x, transposed, short, bias), activation)
        arguments = [self.slope] if activation == "leaky_relu" else []
        run = (
            torch.ops.mkldnn._convolution_transpose_pointwise if transposed else torch.ops.mkldnn._convolution_pointwise
        )
        y: Tensor = run(x, weight, bias, *self._how(transposed, short), activation, arguments, "")
        return y

    def _laid_out(self, x: Tensor, transposed: bool, short: list[int]) -> Tensor | None:
        """The weights as rows like x want them; None where the packed convolution computes something else than the
        plain one, as torch 2.13 does for one channel out, one pixel large, in float32."""
        ops = torch.ops.mkldnn
        pack = ops._reorder_convolution_transpose_weight if transposed else ops._reorder_convolution_weight
        run = ops._convolution_transpose_pointwise if transposed else ops._convolution_pointwise
        how = self._how(transposed, short)
        weight: Tensor = pack(self.conv.weight.detach().to(x.dtype), *how, list(x.shape))
        probe = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
        found = run(probe, weight, None, *how, "none", [], "").float()
        expected = self._plain(probe, transposed, short, None).float()
        largest = expected.abs().max()
        return weight if (found - expected).abs().max() <= 100 * torch.finfo(x.dtype).eps * largest else None

    def _how(self, transposed: bool, short: list[int]) -> list[Any]:
        conv = self.conv
        padding = [list(conv.padding), *[short] * transposed]
        return [*padding, list(conv.stride), list(conv.dilation), conv.groups]

    def _plain(self, x: Tensor, transposed: bool, short: list[int], bias: Tensor | None) -> Tensor:
        conv, weight = self.conv, self.conv.weight.detach().to(x.dtype)
        how = conv.stride, conv.padding, conv.dilation, transposed, short, conv.groups
        y: Tensor = torch.ops.aten.convolution(x, weight, bias, *how)
        return y

    def _finish(self, y: Tensor, activation: str) -> Tensor:
        match activation:
            case "leaky_relu":
                return F.leaky_relu(y, self.slope)
            case "relu":
                return y.relu()
            case "tanh":
                return y.tanh()
        return y


class _Convolution(torch.autograd.Function):
    """A packed layer, differentiable in its input."""

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
