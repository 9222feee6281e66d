"""Pieces that all families of networks share: plans of sizes, convolutions that keep to them, starts, heads.

The rule for pictures of any size from 8x8: every layer halves each side (rounding down) until it is short enough; a
side that is there first keeps its length while the other goes on. Width doubles with every layer up to eight times the
first. A layer that batch normalisation follows has no bias, which the normalisation would take away again.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from .convolution import Size

WIDTH = 64
"""The width at which every family's networks are the published ones; other widths scale every layer."""

Net = TypeVar("Net", bound=nn.Module)


class RowLinear(nn.Linear):
    """A linear layer whose result for a row does not depend on the row's place in the batch, to the last bit, in
    batches of a power of two rows.

    Matrix products on a CPU treat the rows at the edge of a tile with other instructions, which round differently. A
    1x1 convolution over the rows does not where its tiles are full, at the same speed, so evaluation mode uses that.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training or x.device.type != "cpu":
            return super().forward(x)
        return F.conv2d(x.t()[None, :, :, None], self.weight[:, :, None, None], self.bias)[0, :, :, 0].t()


def sizes(height: int, width: int, *, smallest: int = 4) -> list[Size]:
    """The (H, W) of the picture and of every layer after it; the last one's sides are `smallest` to 2 smallest - 1."""
    plan = [(height, width)]
    while max(plan[-1]) >= 2 * smallest:
        h, w = plan[-1]
        plan.append((h // 2 if h >= 2 * smallest else h, w // 2 if w >= 2 * smallest else w))
    return plan


def channels(width: int, layers: int) -> list[int]:
    """The channels of so many layers: `width`, doubled with every layer up to eight times."""
    return [width * 2 ** min(i, 3) for i in range(layers)]


def part(width: int, of: int) -> int:
    """`width` / `of`, at least 1."""
    return max(1, width // of)


def volume(outputs: int, size: Size) -> int:
    """How many numbers (outputs, H, W) holds."""
    return outputs * size[0] * size[1]


def _side(large: int, small: int, kernel: int) -> tuple[int, int, int, int]:
    """Kernel, stride, padding and output padding that take a side from `large` to `small`, and transposed back.

    Where an odd kernel halves, the sources' "same" padding puts the odd pixel at the end and this one at the start,
    which is the same network for mirrored pictures.
    """
    if large == small:
        kernel -= 1 - kernel % 2  # only an odd kernel can keep a length
        return kernel, 1, kernel // 2, 0
    odd = large % 2  # halving rounds down, so doubling may be one short
    return kernel, 2, (kernel - 1 - odd) // 2, (kernel - odd) % 2


def conv(inputs: int, outputs: int, large: Size, small: Size, kernel: int = 4, *, bias: bool = True) -> nn.Conv2d:
    """A convolution (b, inputs, *large) -> (b, outputs, *small), where each side is halved or kept."""
    (kh, sh, ph, _), (kw, sw, pw, _) = (_side(a, b, kernel) for a, b in zip(large, small, strict=True))
    return nn.Conv2d(inputs, outputs, (kh, kw), (sh, sw), (ph, pw), bias=bias)


def conv_transpose(
    inputs: int, outputs: int, small: Size, large: Size, kernel: int = 4, *, bias: bool = True
) -> nn.ConvTranspose2d:
    """A transposed convolution (b, inputs, *small) -> (b, outputs, *large): the way back from `conv`."""
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
    """Convolutions along a plan of sizes, large to small: each with batch normalisation where `norm` says so, leaky
    ReLU (`slope` 0: ReLU) and dropout.

    `widths`: the channels at every size of the plan, the input's first. `bias`: whether layers without batch
    normalisation have one.
    """
    layers: list[nn.Module] = []
    for i in range(len(plan) - 1):
        normed = norm == "all" or (norm == "but first" and i > 0)
        layers.append(conv(widths[i], widths[i + 1], plan[i], plan[i + 1], kernel, bias=bias and not normed))
        layers += [nn.BatchNorm2d(widths[i + 1])] * normed
        # In place: a large share of an update is memory traffic, and the layer before has no use for its output.
        layers.append(nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True))
        layers += [nn.Dropout(dropout)] * (dropout > 0)
    return layers


def up(plan: Sequence[Size], widths: Sequence[int], *, kernel: int = 4, bias: bool = True) -> list[nn.Module]:
    """Transposed convolutions along a plan of sizes, small to large: batch normalisation and ReLU between them, a tanh
    last. `widths`: the channels at every size, the output's last. `bias`: whether the last layer has one."""
    layers: list[nn.Module] = []
    for i in range(len(plan) - 1):
        last = i == len(plan) - 2
        layers.append(
            conv_transpose(widths[i], widths[i + 1], plan[i], plan[i + 1], kernel, bias=bias and last),
        )
        layers += [nn.Tanh()] if last else [nn.BatchNorm2d(widths[i + 1]), nn.ReLU(inplace=True)]
    return layers


def normal(net: Net, std: float = 0.02, *, norms: bool = False) -> Net:
    """Start weights from N(0, std), biases from 0 and, with `norms`, batch normalisation from N(1, std): DCGAN's."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, std)
            _no_bias(module)
        elif norms and isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)
    return net


def xavier(net: Net, gain: float = 1.0) -> Net:
    """Start all weights from Glorot's uniform distribution and biases from 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain)
            _no_bias(module)
    return net


def _no_bias(module: nn.Module) -> None:
    if isinstance(module.bias, Tensor):
        nn.init.zeros_(module.bias)


def spectral(net: Net) -> Net:
    """Divide every weight of `net` by its largest singular value (Miyato et al., 2018), one power step an update."""
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrizations.spectral_norm(module)
    return net


class Judge(nn.Module):
    """(b, ...) -> logit (b,) and features (b, k): a trunk, whose k outputs are the features, and a linear layer.

    `bias` False for a Wasserstein critic: a constant adds nothing to a difference of expectations.
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

    `of_x` and `of_z` see one each, `of_both` what those two have to say; its k outputs are the features.
    """

    def __init__(self, of_x: nn.Module, of_z: nn.Module, of_both: nn.Module, k: int) -> None:
        super().__init__()
        self.of_x, self.of_z, self.of_both = of_x, of_z, of_both
        self.head = RowLinear(k, 1)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        f = self.of_both(torch.cat([torch.flatten(self.of_x(x), 1), self.of_z(z)], 1))
        return torch.flatten(self.head(f)), f
