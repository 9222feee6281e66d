"""Building blocks for pictures (any size from 8x8, any number of channels) and for tables.

A shape says what a network works on: ``(C, H, W)`` for pictures, ``(d,)`` for rows of a table. Every encoder maps
to ``(b, out)``, every decoder back, and every discriminator returns ``(logit, features)``: shapes (b,) and (b, k).
"""

from collections.abc import Sequence

from torch import nn

from . import pictures, tables


def encoder(shape: Sequence[int], out: int, width: int) -> nn.Module:
    """A network from `shape` to a vector of `out` numbers. `width`: channels or units of its first layer."""
    kind = pictures.Encoder if len(shape) == 3 else tables.Encoder
    return kind(shape, out, width)


def decoder(shape: Sequence[int], latent_dim: int, width: int) -> nn.Module:
    """A network from a vector of `latent_dim` numbers to `shape`: the encoder's mirror image."""
    kind = pictures.Decoder if len(shape) == 3 else tables.Decoder
    return kind(shape, latent_dim, width)


def discriminator(shape: Sequence[int], width: int) -> nn.Module:
    """A network from `shape` to (logit, features); the features are the activations before its last layer."""
    kind = pictures.Discriminator if len(shape) == 3 else tables.Discriminator
    return kind(shape, width)


__all__ = ["decoder", "discriminator", "encoder"]
