"""Convolutions that compute what PyTorch's own do, with the same weights under the same names, but faster.

In training on a CPU, `Span` and `Spread` are computed as matrix products (scoring is `oddgan.model.inference`'s).
`Enlarging` and `Shrinking` merge the two steps of their sources into one, in training and in scoring, with less than
half of the multiplications.
"""

from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Size = tuple[int, int]
Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d)


class Span(nn.Conv2d):
    """A convolution whose kernel covers the picture: (b, C, H, W) -> (b, C', 1, 1), as one matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        if not _by_products(self, x) or tuple(x.shape[2:]) != self.kernel_size or self.padding != (0, 0):
            return super().forward(x)
        return F.linear(_pixels_last(x), _pixels_last(self.weight), self.bias)[:, :, None, None]


class Spread(nn.ConvTranspose2d):
    """A transposed convolution of one pixel to a picture of the kernel's size: (b, C, 1, 1) -> (b, C', H, W)."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _by_products(self, x) or tuple(x.shape[2:]) != (1, 1) or output_size or self.padding != (0, 0):
            return super().forward(x, output_size)
        y = F.linear(x.flatten(1), _pixels_last(self.weight).t())
        y = y.reshape(-1, *self.kernel_size, self.out_channels).permute(0, 3, 1, 2)
        return y if self.bias is None else y + self.bias[:, None, None].to(y.dtype)


class Enlarging(nn.Conv2d):
    """Repeat pixels from `small` (h, w) to `large`, then convolve: (b, C, *small) -> (b, C', *large).

    Where each side is doubled or kept, this equals one transposed convolution of stride 2 whose kernel is one longer
    and holds sums of weights. `kernel` is odd.
    """

    def __init__(
        self, inputs: int, outputs: int, small: Size, large: Size, kernel: int = 3, *, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.large = large
        self.steps: Any = _steps(small, large)

    def forward(self, x: Tensor) -> Tensor:
        if self.steps is None:
            return super().forward(F.interpolate(x, self.large))
        return F.conv_transpose2d(x, self.merged(), self.bias, self.steps, self.padding)  # type: ignore[arg-type]

    def merged(self) -> Tensor:
        """The transposed convolution's weight (C, C', kh, kw)."""
        return _longer(self.weight.flip(2, 3), self.steps).transpose(0, 1)

    def merged_layer(self) -> nn.ConvTranspose2d | None:
        """An ordinary layer that computes the same; None where there is none."""
        if self.steps is None:
            return None
        size: Any = (self.in_channels, self.out_channels, self.merged().shape[2:], self.steps, self.padding)
        with torch.device("meta"):  # its weights are set below
            layer = nn.ConvTranspose2d(*size)
        return _filled(layer, self)


class Shrinking(nn.Conv2d):
    """Convolve, then average the pixels that become one: (b, C, *large) -> (b, C', *small).

    This equals one convolution of stride 2 whose kernel is one longer and holds means of weights. `kernel` is odd.
    """

    def __init__(
        self, inputs: int, outputs: int, large: Size, small: Size, kernel: int = 3, *, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.steps: Any = tuple(1 if a == b else 2 for a, b in zip(large, small, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.merged(), self.bias, self.steps, self.padding)

    def merged(self) -> Tensor:
        """The convolution's weight (C', C, kh, kw)."""
        return _longer(self.weight, self.steps) / prod(self.steps)

    def merged_layer(self) -> nn.Conv2d:
        """An ordinary layer that computes the same."""
        size: Any = (self.in_channels, self.out_channels, self.merged().shape[2:], self.steps, self.padding)
        with torch.device("meta"):
            layer = nn.Conv2d(*size)
        return _filled(layer, self)


def _steps(small: Size, large: Size) -> Size | None:
    """The ratio of each side of `large` to that of `small`, if both are 1 or 2."""
    steps = large[0] // small[0], large[1] // small[1]
    exact = all(step in (1, 2) and step * a == b for step, a, b in zip(steps, small, large, strict=True))
    return steps if exact else None


def _filled(layer: Layer, of: Enlarging | Shrinking) -> Layer:
    layer.weight = nn.Parameter(of.merged().detach())
    layer.bias = of.bias
    layer.train(of.training)
    return layer


def _longer(weight: Tensor, steps: Any) -> Tensor:
    """Kernels added to themselves, shifted by one, along every side whose step is 2."""
    if steps[0] == 2:
        weight = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    if steps[1] == 2:
        weight = F.pad(weight, (0, 1)) + F.pad(weight, (1, 0))
    return weight


def _by_products(layer: Any, x: Tensor) -> bool:
    """Whether a matrix product computes `layer`: in training on a CPU, without groups or dilation."""
    usual = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    return usual and layer.training and x.device.type == "cpu"


def _pixels_last(x: Tensor) -> Tensor:
    """(n, C, H, W) -> (n, H W C), without a copy in channels-last order."""
    return x.permute(0, 2, 3, 1).flatten(1)
