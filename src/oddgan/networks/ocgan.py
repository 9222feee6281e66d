"""OCGAN's networks (Perera et al., 2019, arXiv:1903.08550): E, G, two discriminators and the classifier.

Convolutions are 5x5 and halve each side until it is 3 to 5 pixels long, so that pictures of 28x28 and 32x32 have the
paper's three layers (the authors' code enlarges pictures to 61x61 and uses no padding). `width`: channels (tables:
units) of the first layer, or of G's last; None is the paper's 64, and 12 for the visual discriminator.
"""

from collections.abc import Sequence

from torch import nn

from .blocks import WIDTH, Judge, channels, down, normal, sizes, up, volume
from .convolution import Size, Span, Spread
from .tables import mlp

VISUAL_WIDTH = 12


def _plan(shape: Sequence[int], width: int) -> tuple[list[Size], list[int]]:
    plan = sizes(*shape[1:], smallest=3)
    return plan, [shape[0], *channels(width, len(plan) - 1)]


def encoder(shape: Sequence[int], latent_dim: int, *, width: int | None = None) -> nn.Module:
    """E: (b, *shape) -> (b, latent_dim) in (-1, 1): convolutions, the last over the whole map, tanh (section 3.1)."""
    width = width or WIDTH
    if len(shape) == 1:
        return nn.Sequential(*mlp((shape[0], 2 * width, width, latent_dim), last=True), nn.Tanh())
    plan, widths = _plan(shape, width)
    head = Span(widths[-1], latent_dim, plan[-1])
    return normal(nn.Sequential(*down(plan, widths, kernel=5), head, nn.Flatten(), nn.Tanh()), norms=True)


def decoder(shape: Sequence[int], latent_dim: int, *, width: int | None = None) -> nn.Module:
    """G: (b, latent_dim) -> (b, *shape), in [-1, 1] for pictures and unbounded for tables: the encoder's mirror."""
    width = width or WIDTH
    if len(shape) == 1:
        return mlp((latent_dim, width, 2 * width, shape[0]), last=True)
    plan, widths = _plan(shape, width)
    plan, widths = plan[::-1], widths[::-1]
    first = Spread(latent_dim, widths[0], plan[0], bias=False)
    layers = [nn.Unflatten(1, (latent_dim, 1, 1)), first, nn.BatchNorm2d(widths[0]), nn.ReLU()]
    return normal(nn.Sequential(*layers, *up(plan, widths, kernel=5)), norms=True)


def latent_discriminator(latent_dim: int) -> Judge:
    """D_l: z (b, latent_dim) -> logit (b,) and features (b, 16): 128, 64, 32 and 16 units, ReLU. Its size is fixed:
    with narrower layers, all units of the last may be dead from the start."""
    return Judge(mlp((latent_dim, 128, 64, 32, 16), activation="relu"), 16)


def visual_discriminator(shape: Sequence[int], *, width: int | None = None) -> Judge:
    """D_v: (b, *shape) -> logit (b,) and features (b, k), the outputs before its last layer."""
    width = width or VISUAL_WIDTH
    if len(shape) == 1:
        return Judge(mlp((shape[0], 2 * width, width)), width)
    plan, widths = _plan(shape, width)
    trunk = nn.Sequential(*down(plan, widths, kernel=5, norm="but first"))
    return normal(Judge(trunk, volume(widths[-1], plan[-1])), norms=True)


def classifier(shape: Sequence[int], *, width: int | None = None) -> Judge:
    """C: (b, *shape) -> logit (b,) and features (b, k): the visual discriminator's form, at E's width."""
    return visual_discriminator(shape, width=width or WIDTH)
