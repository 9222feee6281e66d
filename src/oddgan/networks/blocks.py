"""Building blocks that all families of networks share: plans of sizes, convolutions, initialisation, heads.

The rule for pictures of any size from 8x8: every layer halves each side (rounding down) until it is short enough; the
side that gets there first keeps its length while the other is halved further. The width doubles with every layer, up to
eight times the first. A layer followed by batch normalisation has no bias, which the normalisation would cancel.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from .convolution import Size

WIDTH = 64
"""The width at which every family's networks are as published; other widths scale every layer."""

Net = TypeVar("Net", bound=nn.Module)


class RowLinear(nn.Linear):
    """A linear layer whose result for a row does not depend on the row's position in the batch, to the last bit, in
    batches of a power of two rows.

    Matrix products on a CPU process the rows at the edge of a tile with other instructions, which round differently. A
    1x1 convolution over the rows does not, as long as its tiles are full, and is as fast; evaluation mode uses it.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training or x.device.type != "cpu":
            return super().forward(x)
        return F.conv2d(x.t()[None, :, :, None], self.weight[:, :, None, None], self.bias)[0, :, :, 0].t()


def sizes(height: int, width: int, *, smallest: int = 4) -> list[Size]:
    """The (H, W) of the picture and of every layer's output; the last sides are `smallest` to 2 smallest - 1."""
    plan = [(height, width)]
    while max(plan[-1]) >= 2 * smallest:
        h, w = plan[-1]
        plan.append((h // 2 if h >= 2 * smallest else h, w // 2 if w >= 2 * smallest else w))
    return plan


def channels(width: int, layers: int) -> list[int]:
    """The channels of each of `layers` layers: `width`, doubled with every layer, up to eight times."""
    return [width * 2 ** min(i, 3) for i in range(layers)]


def part(width: int, of: int) -> int:
    """`width` / `of`, at least 1."""
    return max(1, width // of)


def volume(outputs: int, size: Size) -> int:
    """The number of values of (outputs, H, W)."""
    return outputs * size[0] * size[1]


def _side(large: int, small: int, kernel: int) -> tuple[int, int, int, int]:
    """Kernel, stride, padding and output padding that take a side from `large` to `small`, and transposed back.

    Where an odd kernel halves a side, the "same" padding of the sources puts the extra pixel at the end and this one at
    the start: the same network for mirrored pictures.
    """
    if large == small:
        kernel -= 1 - kernel % 2  # only an odd kernel can keep a length
        return kernel, 1, kernel // 2, 0
    odd = large % 2  # halving rounds down, so doubling may be one pixel short
    return kernel, 2, (kernel - 1 - odd) // 2, (kernel - odd) % 2


def conv(inputs: int, outputs: int, large: Size, small: Size, kernel: int = 4, *, bias: bool = True) -> nn.Conv2d:
    """A convolution (b, inputs, *large) -> (b, outputs, *small), where each side is halved or kept."""
    (kh, sh, ph, _), (kw, sw, pw, _) = (_side(a, b, kernel) for a, b in zip(large, small, strict=True))
    return nn.Conv2d(inputs, outputs, (kh, kw), (sh, sw), (ph, pw), bias=bias)


def conv_transpose(
    inputs: int, outputs: int, small: Size, large: Size, kernel: int = 4, *, bias: bool = True
) -> nn.ConvTranspose2d:
    """A transposed convolution (b, inputs, *small) -> (b, outputs, *large): the counterpart of `conv`."""
    (kh, sh, ph, oh), (kw, sw, pw, ow) = (_side(a, b, kernel) for a, b in zip(large, small, strict=True))
    return nn.ConvTranspose2d(inputs, outputs, (kh, kw), (sh, sw), (ph, pw), (oh, ow), bias=bias)


def down(
    plan: Sequence[Size],
    widths: Sequence[int],
    *,
    kernel: int = 4,
    norm: Literal["all", "but first", "none"] = "all",
    slope: float = 0.2,
    dropout: float = 0.0,
    bias: bool = True,
) -> list[nn.Module]:
    """Convolutions along a plan of sizes, large to small, each with optional batch normalisation, leaky ReLU and
    dropout.

    Parameters
    ----------
    plan : sequence of (int, int)
        The sizes (H, W), the input's first.
    widths : sequence of int
        The channels at each size.
    kernel : int
        Side of the kernels.
    norm : {"all", "but first", "none"}
        Which layers have batch normalisation.
    slope : float
        Slope of leaky ReLU; 0 is ReLU.
    dropout : float
        Dropout rate after each activation.
    bias : bool
        Whether layers without batch normalisation have a bias.
    """
    layers: list[nn.Module] = []
    for i in range(len(plan) - 1):
        normed = norm == "all" or (norm == "but first" and i > 0)
        layers.append(conv(widths[i], widths[i + 1], plan[i], plan[i + 1], kernel, bias=bias and not normed))
        layers += [nn.BatchNorm2d(widths[i + 1])] * normed
        # In place: memory traffic is a large part of an update, and the layer before does not need its output.
        layers.append(nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True))
        layers += [nn.Dropout(dropout)] * (dropout > 0)
    return layers


def up(plan: Sequence[Size], widths: Sequence[int], *, kernel: int = 4, bias: bool = True) -> list[nn.Module]:
    """Transposed convolutions along a plan of sizes, small to large, with batch normalisation and ReLU between them and
    a final tanh. `widths`: the channels at each size, the output's last. `bias`: whether the last layer has one."""
    layers: list[nn.Module] = []
    for i in range(len(plan) - 1):
        last = i == len(plan) - 2
        layers.append(
            conv_transpose(widths[i], widths[i + 1], plan[i], plan[i + 1], kernel, bias=bias and last),
        )
        layers += [nn.Tanh()] if last else [nn.BatchNorm2d(widths[i + 1]), nn.ReLU(inplace=True)]
    return layers


def normal(net: Net, std: float = 0.02, *, norms: bool = False) -> Net:
    """Initialise as DCGAN does: weights from N(0, std), biases with 0 and, with `norms`, batch normalisation's weights
    from N(1, std)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, std)
            _zero_bias(module)
        elif norms and isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)
    return net


def xavier(net: Net, gain: float = 1.0) -> Net:
    """Initialise all weights from Glorot's uniform distribution, and biases with 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain)
            _zero_bias(module)
    return net


def _zero_bias(module: nn.Module) -> None:
    if isinstance(module.bias, Tensor):
        nn.init.zeros_(module.bias)


def spectral(net: Net) -> Net:
    """Divide every weight of `net` by its largest singular value (Miyato et al., 2018), estimated with one power
    iteration per pass in training."""
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrizations.spectral_norm(module)
    return net


class Judge(nn.Module):
    """(b, ...) -> logit (b,) and features (b, k): a trunk, whose k outputs are the features, and a linear layer.

    `bias` is False for a Wasserstein critic: a constant cancels in a difference of expectations.
    """

    def __init__(self, trunk: nn.Module, k: int, *, bias: bool = True) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = RowLinear(k, 1, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = torch.flatten(self.trunk(x), 1)
        return torch.flatten(self.head(f)), f


class JointJudge(nn.Module):
    """x (b, ...) and z (b, latent_dim) -> logit (b,) and features (b, k).

    `of_x` and `of_z` process x and z; `of_both` sees their concatenated outputs, and its k outputs are the features.
    """

    def __init__(self, of_x: nn.Module, of_z: nn.Module, of_both: nn.Module, k: int) -> None:
        super().__init__()
        self.of_x, self.of_z, self.of_both = of_x, of_z, of_both
        self.head = RowLinear(k, 1)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        f = self.of_both(torch.cat([torch.flatten(self.of_x(x), 1), self.of_z(z)], 1))
        return torch.flatten(self.head(f)), f
