"""Convolutional networks of the DCGAN kind for pictures of any size from 8x8.

Each side is halved (rounding down) until it is 4 to 7; a side that is there first keeps its length while the other
goes on. Width doubles with every layer up to eight times the first. For 32x32 this is GANomaly's published encoder
(conv 64, 128, 256, then a 4x4 convolution to the latent); 28x28, 80x80 or 9x200 follow the same rule.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SMALLEST_SIDE = 8  # below this there is nothing to halve


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """The (H, W) of the picture and of every layer after it, down to the last one before the latent."""
    plan = [(height, width)]
    while max(plan[-1]) >= SMALLEST_SIDE:
        h, w = plan[-1]
        plan.append((h // 2 if h >= SMALLEST_SIDE else h, w // 2 if w >= SMALLEST_SIDE else w))
    return plan


def _geometry(large: tuple[int, int], small: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Kernel, stride and padding that take each side of `large` to `small`: 4-2-1 to halve it, 3-1-1 to keep it."""
    halved = [a != b for a, b in zip(large, small, strict=True)]
    kernel, stride = tuple(4 if h else 3 for h in halved), tuple(2 if h else 1 for h in halved)
    return {"kernel_size": kernel, "stride": stride, "padding": (1, 1)}  # type: ignore[dict-item]


def _channels(width: int, layers: int) -> list[int]:
    return [width * 2 ** min(i, 3) for i in range(layers)]


def _initialise(module: nn.Module) -> None:
    """DCGAN's start: convolutions N(0, 0.02), batch normalisation N(1, 0.02) and 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def _trunk(shape: Sequence[int], width: int) -> tuple[nn.Sequential, int, tuple[int, int]]:
    """The strided convolutions from `shape` down, with the channels and size that they end in."""
    plan = sizes(*shape[1:])
    channels = [shape[0], *_channels(width, len(plan) - 1)]
    layers: list[nn.Module] = []
    for i in range(len(plan) - 1):
        layers.append(nn.Conv2d(channels[i], channels[i + 1], bias=False, **_geometry(plan[i], plan[i + 1])))  # type: ignore[arg-type]
        if i > 0:
            layers.append(nn.BatchNorm2d(channels[i + 1]))
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers), channels[-1], plan[-1]


class Encoder(nn.Module):
    """(b, C, H, W) -> (b, out): strided convolutions, then one that spans what is left of the picture."""

    def __init__(self, shape: Sequence[int], out: int, width: int) -> None:
        super().__init__()
        self.trunk, channels, rest = _trunk(shape, width)
        self.head = nn.Conv2d(channels, out, rest, bias=False)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(self.trunk(x))
        return z.flatten(1)


class Decoder(nn.Module):
    """(b, latent_dim) -> (b, C, H, W) in [-1, 1]: the encoder's layers in reverse, transposed, with a tanh last."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        plan = sizes(*shape[1:])[::-1]
        channels = [*_channels(width, len(plan) - 1)[::-1], shape[0]]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_dim, channels[0], plan[0], bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        ]
        for i in range(len(plan) - 1):
            geometry = _geometry(plan[i + 1], plan[i])
            # Halving rounded down, so doubling may be one short: the output padding makes up for an odd side.
            odd = tuple((big - 2 * small) % 2 * (big != small) for big, small in zip(plan[i + 1], plan[i], strict=True))
            layers.append(
                nn.ConvTranspose2d(channels[i], channels[i + 1], bias=False, output_padding=odd, **geometry)  # type: ignore[arg-type]
            )
            if i < len(plan) - 2:
                layers += [nn.BatchNorm2d(channels[i + 1]), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(_initialise)

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.layers(z[:, :, None, None])
        return x


class Discriminator(nn.Module):
    """(b, C, H, W) -> logit (b,) and features (b, k): the encoder with one output; the features come before it."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.trunk, channels, rest = _trunk(shape, width)
        self.head = nn.Conv2d(channels, 1, rest, bias=False)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.head(f)), torch.flatten(f, 1)
