"""The networks of the papers, for pictures (from 8x8 pixels, any number of channels) and for tables.

The shape of a row selects the kind: ``(C, H, W)`` for pictures, ``(d,)`` for tables. Encoders map rows to ``(b, out)``,
generators and decoders map back: to [-1, 1] for pictures, unbounded for tables. Discriminators and critics return
``(logit, features)`` of shapes (b,) and (b, k). Each family is one module:

- `pictures`, `tables`: DCGAN and GANomaly; `tables.mlp` builds any fully connected network
- `anogan`: AnoGAN's generator and discriminator in three published forms
- `bigan`: EGBAD; `alad`: ALAD
- `resnet`: f-AnoGAN; `adgan`: ADGAN
- `unet`: Skip-GANomaly
- `ocgan`: OCGAN

At its paper's shape and width a network is the paper's; `blocks` has the rule for other shapes. In evaluation mode on a
CPU, a row's result does not depend on its position in a batch of a power of two rows, to the last bit.
"""

from collections.abc import Sequence

from torch import nn

from . import pictures, tables


def first_width(shape: Sequence[int], asked: int | None) -> int:
    """Channels or units of the first layer: `asked` if given, else 64, or 32 above 32x32 pixels, to save time."""
    return asked or (32 if len(shape) == 3 and shape[1] * shape[2] > 32 * 32 else 64)


def encoder(shape: Sequence[int], out: int, width: int) -> nn.Module:
    """A network from rows (b, *shape) to vectors (b, out). `width`: channels or units of its first layer."""
    kind = pictures.Encoder if len(shape) == 3 else tables.Encoder
    return kind(shape, out, width)


def decoder(shape: Sequence[int], latent_dim: int, width: int) -> nn.Module:
    """A network from vectors (b, latent_dim) to rows (b, *shape): the encoder's mirror image."""
    kind = pictures.Decoder if len(shape) == 3 else tables.Decoder
    return kind(shape, latent_dim, width)


def discriminator(shape: Sequence[int], width: int) -> nn.Module:
    """A network from rows (b, *shape) to logit (b,) and features (b, k), the activations before its last layer."""
    kind = pictures.Discriminator if len(shape) == 3 else tables.Discriminator
    return kind(shape, width)


__all__ = ["decoder", "discriminator", "encoder", "first_width"]
