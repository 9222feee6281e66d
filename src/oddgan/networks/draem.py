"""DRAEM's networks (Zavrtanik et al., 2021, arXiv:2108.07610): an autoencoder without skip connections and a U-Net, and
the loss that their pictures are compared by.

At widths of 128 and 64 and sides that are multiples of 16 and 32, these are the networks of the authors' code. A side
is halved (rounding down) while it is longer than one pixel, and upsampled to the length that it had.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import normal
from .convolution import Size

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # for values from 0 to 1


def block(*widths: int) -> nn.Sequential:
    """3x3 convolutions with batch normalisation and ReLU: (b, widths[0], H, W) -> (b, widths[-1], H, W)."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def halved(x: Tensor) -> Tensor:
    """Maxima of 2x2 pixels; a side of one pixel stays."""
    sides = [min(2, side) for side in x.shape[2:]]
    return F.max_pool2d(x, sides)


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """x at the size of `like`, by bilinear interpolation, as the authors' code (corners aligned)."""
    if x.device.type == "cpu":
        return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)
    return interpolated(x, (like.shape[2], like.shape[3]))


def interpolated(x: Tensor, size: Size) -> Tensor:
    """Bilinear interpolation with aligned corners, (b, C, h, w) -> (b, C, *size), as products of matrices: a GPU's own
    adds gradients in no fixed order, and two fits would differ."""
    of_rows, of_columns = (_nearness(have, want, x) for have, want in zip(x.shape[2:], size, strict=True))
    return of_rows @ x @ of_columns.t()


def _nearness(have: int, want: int, like: Tensor) -> Tensor:
    """The weight of each of `have` places for each of `want`, (want, have)."""
    places = torch.linspace(0, have - 1, want, device=like.device, dtype=torch.float32)
    far = (places[:, None] - torch.arange(have, device=like.device)).abs()
    return (1 - far).clamp(min=0).to(like.dtype)


class Reconstructive(nn.Module):
    """R: pictures (b, C, H, W) -> (b, C, H, W), unbounded. Four halvings, no skip connections."""

    def __init__(self, picture_channels: int, width: int) -> None:
        super().__init__()
        w = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        inputs = (picture_channels, *w)
        self.downs = nn.ModuleList([block(inputs[i], w[i], w[i]) for i in range(5)])
        outputs = (width, width, 2 * width, 4 * width)  # of each layer up, the last first
        self.enlargers = nn.ModuleList([block(c, c) for c in (8 * width, 4 * width, 2 * width, width)])
        self.ups = nn.ModuleList([block(a, a, b) for a, b in zip(w[3::-1], outputs[::-1], strict=True)])
        self.last = nn.Conv2d(width, picture_channels, 3, padding=1)

    def encoded(self, x: Tensor) -> list[Tensor]:
        """The output of every layer down; the last is the bottleneck (b, 8 width, h, w)."""
        levels: list[Tensor] = []
        for down in self.downs:
            levels.append(down(halved(levels[-1]) if levels else x))
        return levels

    def forward(self, x: Tensor) -> Tensor:
        levels = self.encoded(x)
        y = levels.pop()
        for enlarger, up in zip(self.enlargers, self.ups, strict=True):
            y = up(enlarger(enlarged(y, levels.pop())))  # of the level, its size alone
        return self.last(y)


class Discriminative(nn.Module):
    """S: x_hat and x, concatenated (b, 2C, H, W) -> logits (b, 2, H, W) of normal and of anomalous pixels. A U-Net with
    five halvings."""

    def __init__(self, picture_channels: int, width: int) -> None:
        super().__init__()
        w = (width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width)
        inputs = (2 * picture_channels, *w)
        self.downs = nn.ModuleList([block(inputs[i], w[i], w[i]) for i in range(6)])
        up = (8 * width, 4 * width, 2 * width, width, width)
        self.enlargers = nn.ModuleList([block(a, b) for a, b in zip((w[5], *up[:-1]), up, strict=True)])
        self.ups = nn.ModuleList([block(a + b, a, a) for a, b in zip(up, w[4::-1], strict=True)])
        self.last = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, pair: Tensor) -> Tensor:
        levels: list[Tensor] = []
        for down in self.downs:
            levels.append(down(halved(levels[-1]) if levels else pair))
        y = levels.pop()
        for enlarger, up in zip(self.enlargers, self.ups, strict=True):
            level = levels.pop()
            y = up(torch.cat([enlarger(enlarged(y, level)), level], 1))
        return self.last(y)


class Both(nn.Module):
    """R and S, which are trained as one network: S's loss reaches R."""

    def __init__(self, picture_channels: int, width: int, seg_width: int) -> None:
        super().__init__()
        self.R = normal(Reconstructive(picture_channels, width), norms=True)
        self.S = normal(Discriminative(picture_channels, seg_width), norms=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (b, C, H, W) -> x_hat (b, C, H, W) and logits (b, 2, H, W)."""
        x_hat = self.R(x)
        return x_hat, self.S(torch.cat([x_hat, x], 1))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The mean structural similarity of pictures (b, C, H, W) from 0 to 1, at most 1: (b,).

    Of Wang et al., 2004: in Gaussian windows of 11x11 pixels, sigma 1.5, channel by channel; beyond the border there
    are zeros, as in the authors' code. The windows' means are products of matrices: a convolution of single channels
    would take as long as the networks.
    """
    a, b = a.float().contiguous(), b.float().contiguous()
    with torch.autocast(a.device.type, enabled=False):
        of_rows, of_columns = (_windows(side, a.device) for side in a.shape[2:])
        stacked = torch.cat([a, b, a * a, b * b, a * b])
        mean_a, mean_b, square_a, square_b, product = (of_rows @ stacked @ of_columns).chunk(5)
    var_a, var_b, cov = square_a - mean_a**2, square_b - mean_b**2, product - mean_a * mean_b
    same = (2 * mean_a * mean_b + SSIM_C1) * (2 * cov + SSIM_C2)
    return (same / ((mean_a**2 + mean_b**2 + SSIM_C1) * (var_a + var_b + SSIM_C2))).flatten(1).mean(1)


def _windows(side: int, device: torch.device) -> Tensor:
    """The weight of each place along a side in the window around each other one, (side, side), symmetric."""
    places = torch.arange(side, device=device)
    far = (places[:, None] - places).abs()
    reach = torch.arange(-(SSIM_WINDOW // 2), SSIM_WINDOW // 2 + 1, device=device)
    whole = torch.exp(-reach.square() / (2 * SSIM_SIGMA**2)).sum()
    return torch.exp(-far.square() / (2 * SSIM_SIGMA**2)) * (far <= SSIM_WINDOW // 2) / whole


def focal(logits: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """Focal loss (Lin et al., 2017): the mean over pixels of -(1 - p)^gamma log p, where p is the probability of a
    pixel's true class. Logits (b, 2, H, W) and mask (b, H, W) bool -> (b,)."""
    log_p = F.log_softmax(logits.float(), 1).gather(1, mask[:, None].long())
    return (-((1 - log_p.exp()) ** gamma) * log_p).flatten(1).mean(1)
