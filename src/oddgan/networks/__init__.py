"""Building blocks for pictures (any size from 8x8, any number of channels) and for tables.

A shape says what a network works on: ``(C, H, W)`` for pictures, ``(d,)`` for rows of a table. Every encoder maps
to ``(b, out)``, every decoder back, and every discriminator returns ``(logit, features)``: shapes (b,) and (b, k).
"""

from collections.abc import Sequence

from torch import nn

from . import pictures, tables


def encoder(shape: Sequence[int], out: int, width: int) -> nn.Module:
    """A network from `shape` to a vector of `out` numbers. `width`: channels or units of its first layer."""
    return _family(shape).Encoder(shape, out, width)


def decoder(shape: Sequence[int], latent_dim: int, width: int) -> nn.Module:
    """A network from a vector of `latent_dim` numbers to `shape`: the encoder's mirror image."""
    return _family(shape).Decoder(shape, latent_dim, width)


def discriminator(shape: Sequence[int], width: int) -> nn.Module:
    """A network from `shape` to (logit, features); the features are the activations before its last layer."""
    return _family(shape).Discriminator(shape, width)


def _family(shape: Sequence[int]):  # type: ignore[no-untyped-def]  # a module, chosen by modality
    return pictures if len(shape) == 3 else tables


__all__ = ["decoder", "discriminator", "encoder"]
