"""DCGAN. Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", ICLR 2016, arXiv:1511.06434; the game is Goodfellow et al., 2014.

    z --G--> x_fake          D(x) -> (logit, features f(x))

A generator learns to make rows that a discriminator cannot distinguish from normal ones. It is AnoGAN's first stage,
and useful by itself to generate rows, or for D's features. D's verdict is a score too, the "GAN" in the tables of
several papers, and a weak one: D has learned to recognise generated rows, not anomalous ones.

Departures from the paper:

- Pictures of any shape, and tables, by the rule in `oddgan.networks`. The paper's own networks are for 64x64: four
  layers of 128 to 1024 channels; with width=128 ours are the same at that size.
- Averaged weights, and a latent that scales with the data; `oddgan.papers.detector("dcgan", ...)` has the paper's.
- The default prior is normal; the paper's is "uniform".
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.games import gan
from ..kit.losses import bce
from ..kit.recipe import ALL, Batch, Losses, Names, Terms, detector
from ..networks import anogan
from ..networks.latent import Latent, Prior, latent_size
from ..parameters import Param


@detector
class DCGAN(NeuralDetector):
    """DCGAN (Radford et al., 2016): a generator and a discriminator; the score is D's verdict.

    The terms that `score_by` can select: "sigmoid", -log D(x), the cross-entropy of D's verdict with "real";
    "probability", 1 - D(x), which gives the same ranking until it rounds to 0 or 1. There is no reconstruction and no
    anomaly map.
    """

    latent_dim: Annotated[
        int | None, Param("size of z (paper: 100); none: an eighth of a row's values, 4 to 100", low=1)
    ] = None
    width: Annotated[int | None, Param("channels (or units) of the first layer (paper: 128); none: 64", low=2)] = None
    prior: Annotated[Prior, Param("distribution of z: N(0, 1), or uniform on (-1, 1) (paper)")] = "normal"
    score_by: Annotated[Literal["sigmoid", "probability"], Param("the anomaly score")] = "sigmoid"

    reconstructs = False
    locates = False

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G, D and the latent space Z."""
        latent_dim = latent_size(shape, self.latent_dim)
        return {
            "G": anogan.generator(shape, latent_dim, width=self.width),
            "D": anogan.discriminator(shape, width=self.width),
            "Z": Latent(latent_dim, self.prior),
        }

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """The GAN game."""
        yield from gan(net, batch, net.Z.latent_dim, self.prior)

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """D's verdict on x, in two forms."""
        logit, _ = net.D(x)
        return {"sigmoid": bce(logit, 1.0), "probability": torch.sigmoid(-logit.float())}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """f(x): D's features."""
        _, f = net.D(x)
        return f

    def latents(self, net: Any, n: int) -> Tensor:
        """z, n draws from the prior."""
        return net.Z.draw(n)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """G(z)."""
        return net.G(z)
