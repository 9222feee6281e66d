"""The networks of the field's papers, for pictures (any size from 8x8, any number of channels) and for tables.

A shape says what a network works on: ``(C, H, W)`` for pictures, ``(d,)`` for rows of a table. Encoders map to
``(b, out)``, generators and decoders back: to [-1, 1] for pictures, unbounded for tables. Discriminators and critics
return ``(logit, features)``: shapes (b,) and (b, k). Each family is one module:

- `pictures`, `tables`: DCGAN and GANomaly; `tables.mlp` for fully connected networks of any form
- `anogan`: AnoGAN's generator and discriminator in three published forms
- `bigan`: EGBAD; `alad`: ALAD
- `resnet`: f-AnoGAN; `adgan`: ADGAN
- `unet`: Skip-GANomaly
- `ocgan`: OCGAN

At its paper's shape and width a network is the paper's; `blocks` has the rule that leads to other shapes. In evaluation
mode on a CPU a row's result does not depend on its place in a batch of a power of two rows, to the last bit.
"""

from collections.abc import Sequence

from torch import nn

from . import pictures, tables


def first_width(shape: Sequence[int], asked: int | None) -> int:
    """Channels or units of the first layer: what was asked for, else 64, and half above 32x32 pixels, for time."""
    return asked or (32 if len(shape) == 3 and shape[1] * shape[2] > 32 * 32 else 64)


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


__all__ = ["decoder", "discriminator", "encoder", "first_width"]
