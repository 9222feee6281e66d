"""OCR-GAN's networks (Liang et al., arXiv:2203.00259): twin U-Nets with channel selection, and their discriminator; and
the decoupling of a picture into its detail and the rest, which they are made for.

At 256x256 and `width` 64 these are the networks of the authors' code: eight layers of 64, 128, 256 and five of 512
channels down to one pixel, and back; six layers of 64 to 2048 channels in the discriminator.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import unet
from .blocks import WIDTH, RowLinear, down, normal, sizes
from .convolution import Span

Selection = Literal["learned", "random", "off"]
MOST_DOUBLINGS = 5  # of the discriminator's width: at 256x256 the authors' code has as many


# --- decoupling -------------------------------------------------------------------------------------------------------


def pyramid_down(x: Tensor) -> Tensor:
    """(b, C, H, W) -> (b, C, ceil(H / 2), ceil(W / 2)): blurred with the binomial kernel 1 4 6 4 1 along each side, and
    every second pixel of it. Borders are mirrored without repeating the outermost pixel, as OpenCV's pyrDown does."""
    x = F.pad(x, (2, 2, 2, 2), mode="reflect")
    for side in (2, 3):
        n = x.shape[side] - 4
        a, b, c, d, e = (x.narrow(side, i, n) for i in range(5))
        x = _even(((a + e) + 4 * (b + d) + 6 * c) / 16, side)
    return x


def pyramid_up(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(b, C, h, w) -> (b, C, *size), where each side is twice as long or one less: zeros are put between the pixels,
    and the result is blurred with four times the kernel of `pyramid_down`. Borders are those of OpenCV's pyrUp."""
    for side, length in zip((2, 3), size, strict=True):
        n = x.shape[side]
        wide = torch.cat([x.narrow(side, 1, 1), x, x.narrow(side, n - 1, 1)], side)
        before, at, after = (wide.narrow(side, i, n) for i in range(3))
        pairs = torch.stack([(before + 6 * at + after) / 8, (at + after) / 2], side + 1)
        x = pairs.flatten(side, side + 1).narrow(side, 0, length)
    return x


def decouple(x: Tensor) -> tuple[Tensor, Tensor]:
    """lap and res of pictures (b, C, H, W): res is one level down the Gaussian pyramid and up again, lap the detail
    that it has lost, with its sign; lap + res is x."""
    res = pyramid_up(pyramid_down(x), (x.shape[2], x.shape[3]))
    return x - res, res


def decouple_saturated(x: Tensor) -> tuple[Tensor, Tensor]:
    """lap and res as in the authors' code: of pictures rounded to 8 bits, and rounded at every step; detail below 0 is
    lost, and each part is brought to [-1, 1] by itself, so that lap + res is about x - 1 and never less than res - 1.
    """
    pixels = ((x + 1) * 127.5).round().clamp(0, 255)
    small = (pyramid_down(pixels) + 0.5).floor()  # all of it exact in float32
    res = (pyramid_up(small, (x.shape[2], x.shape[3])) + 0.5).floor()
    lap = (pixels - res).clamp(min=0)
    return lap / 127.5 - 1, res / 127.5 - 1


def _even(x: Tensor, side: int) -> Tensor:
    return x[:, :, ::2] if side == 2 else x[..., ::2]


# --- channel selection ------------------------------------------------------------------------------------------------


class ChannelSelection(nn.Module):
    """lap and res (b, C, h, w), each times a weight per row and channel, which add up to 1 over the two (selective
    kernels, Li et al., CVPR 2019)."""

    def __init__(self, squeeze: nn.Module, of_lap: nn.Module, of_res: nn.Module) -> None:
        super().__init__()
        self.squeeze, self.of_lap, self.of_res = squeeze, of_lap, of_res

    def weights(self, lap: Tensor, res: Tensor) -> Tensor:
        """(2, b, C): those of lap, and those of res."""
        z = self.squeeze((lap + res).mean((2, 3)))
        return torch.stack([self.of_lap(z), self.of_res(z)]).softmax(0)

    def forward(self, lap: Tensor, res: Tensor) -> tuple[Tensor, Tensor]:
        of_lap, of_res = self.weights(lap, res).to(lap.dtype)[..., None, None]
        return lap * of_lap, res * of_res


class Redrawn(RowLinear):
    """A linear layer whose weights are drawn anew, as those of an untrained one, at every pass in training. In
    evaluation mode they are always the same ones, drawn from `random`."""

    def __init__(self, inputs: int, outputs: int, random: torch.Generator) -> None:
        super().__init__(inputs, outputs)
        self.bound = inputs**-0.5
        for name in ("weight", "bias"):
            shape = getattr(self, name).shape
            delattr(self, name)
            self.register_buffer(name, torch.empty(shape).uniform_(-self.bound, self.bound, generator=random))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        weight, bias = (torch.empty_like(t).uniform_(-self.bound, self.bound) for t in (self.weight, self.bias))
        return F.linear(x, weight, bias)


# --- networks ---------------------------------------------------------------------------------------------------------


class TwinUNet(nn.Module):
    """lap and res (b, C, H, W) -> their reconstructions, in [-1, 1]: two U-Nets side by side, and between their layers
    down the selections of channels. Without selections the two do not know each other."""

    def __init__(self, lap: unet.UNet, res: unet.UNet, selections: Sequence[nn.Module]) -> None:
        super().__init__()
        self.lap, self.res, self.selections = lap, res, nn.ModuleList(selections)

    def forward(self, lap: Tensor, res: Tensor) -> tuple[Tensor, Tensor]:
        levels = []
        for i, (of_lap, of_res) in enumerate(zip(self.lap.downs, self.res.downs, strict=True)):
            lap, res = of_lap(lap), of_res(res)
            if self.selections:
                lap, res = self.selections[i](lap, res)
            levels.append((lap, res))
        for i, (of_lap, of_res) in enumerate(zip(self.lap.ups, self.res.ups, strict=True)):
            if i:
                skip_lap, skip_res = levels[-1 - i]
                lap, res = torch.cat([skip_lap, lap], 1), torch.cat([skip_res, res], 1)
            lap, res = of_lap(lap), of_res(res)
        return lap, res


def generator(shape: Sequence[int], *, width: int | None = None, selection: Selection = "learned") -> TwinUNet:
    """G: lap and res (b, *shape) -> their reconstructions: Skip-GANomaly's U-Net twice, whose plan is pix2pix's."""
    lap, res = (unet.generator(shape, width=width) for _ in range(2))
    random = torch.Generator().manual_seed(0)
    selections = []
    for layer in lap.downs if selection != "off" else ():
        outputs = next(m.out_channels for m in layer.modules() if isinstance(m, nn.Conv2d))
        middle = max(outputs // 2, 32)
        pairs = ((outputs, middle), (middle, outputs), (middle, outputs))
        layers = [Redrawn(*pair, random) if selection == "random" else RowLinear(*pair) for pair in pairs]
        selections.append(ChannelSelection(*layers))
    return TwinUNet(lap, res, selections)


class Discriminator(nn.Module):
    """D: (b, *shape) -> logit (b,) and features (b, latent_dim): DCGAN's encoder with a linear output, and a linear
    layer (a 3x3 convolution over one pixel in the authors' code, of whose weights only the central ones count)."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        plan = sizes(*shape[1:])
        widths = [shape[0], *(width * 2 ** min(i, MOST_DOUBLINGS) for i in range(len(plan) - 1))]
        layers = down(plan, widths, norm="but first", bias=False)
        self.trunk = nn.Sequential(*layers, Span(widths[-1], latent_dim, plan[-1], bias=False))
        self.head = RowLinear(latent_dim, 1, bias=False)
        normal(self, norms=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x).flatten(1)
        return torch.flatten(self.head(f)), f


def discriminator(shape: Sequence[int], *, latent_dim: int = 100, width: int | None = None) -> Discriminator:
    """D: (b, *shape) -> logit (b,) and features (b, latent_dim), the outputs before its last layer."""
    return Discriminator(shape, latent_dim, width or WIDTH)
