"""GANomaly. Akcay, Atapour-Abarghouei and Breckon, "GANomaly: Semi-Supervised Anomaly Detection via Adversarial
Training", ACCV 2018, arXiv:1805.06725.

    x --G.encoder--> z --G.decoder--> x_hat --G.encoder2--> z_hat          D(x) -> (logit, features f(x))

The generator learns to reconstruct normal rows, and to encode its reconstruction as it encoded the row. The latent of
an anomaly differs from that of its reconstruction, which can only be normal: the score is the distance of z and z_hat.

Departures from the paper, each pinned by a test:

- f(x) and f(x_hat) are compared row by row, as in the authors' code; equation 1 has an expectation inside the norm.
- The discriminator is not re-initialised when its loss falls below 1e-5, which the authors' code does and the paper
  does not mention.
- Evaluation mode at test time, and no rescaling of scores with test data: the authors' code does neither.
- Pictures of any shape, and tables, by the rule in `oddgan.networks`; at 32x32 the networks are the paper's.
- Our own defaults: a score of two terms, averaged weights and a latent that scales with the data (by measurement), and
  half the width above 32x32 (to save time). `oddgan.papers.detector("ganomaly", ...)` has the paper's.
- `generate`: GANomaly has no prior, so z is drawn from a normal distribution fitted to the latents of the training
  rows.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.losses import bce, l1, l2, norm1, norm2
from ..kit.recipe import ALL, Batch, Losses, Names, PreparedRows, Terms, detector
from ..networks import decoder, discriminator, encoder, first_width
from ..networks.latent import latent_size
from ..parameters import Param
from ..preprocessing.prepared import in_batches, spread


class Generator(nn.Module):
    """x -> (z, x_hat, z_hat): encoder, decoder, and a second encoder of the same form with its own weights."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        self.encoder = encoder(shape, latent_dim, width)
        self.decoder = decoder(shape, latent_dim, width)
        self.encoder2 = encoder(shape, latent_dim, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.encoder(x)
        x_hat = self.decoder(z)
        return z, x_hat, self.encoder2(x_hat)


class LatentNormal(nn.Module):
    """A normal distribution over z, fitted after training."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_dim))
        self.register_buffer("factor", torch.eye(latent_dim))


@detector
class GANomaly(NeuralDetector):
    """GANomaly (Akcay et al., 2018): encoder, decoder, encoder; the score compares the two latents.

    The terms that `score_by` can select: "latent_l1" (section 3.2: ||z - z_hat||_1), "latent_l2" (2-norm, as in some
    versions of the paper), "latent_mse" (mean square: the authors' code); "residual" (mean |x - x_hat|) and "feature"
    (mean (f(x) - f(x_hat))^2), the generator's other two losses; "combined" adds latent_l1 and residual, each on the
    scale of normal rows.
    """

    latent_dim: Annotated[
        int | None, Param("size of z (paper: 100); none: an eighth of a row's values, 4 to 100", low=1)
    ] = None
    width: Annotated[
        int | None,
        Param("channels (or units) of the first layer (paper: 64); none: 64, and 32 above 32x32 pixels", low=2),
    ] = None
    w_adv: Annotated[float, Param("weight of feature matching, equation 1", low=0)] = 1.0
    w_con: Annotated[float, Param("weight of reconstruction, equation 2", low=0)] = 50.0
    w_enc: Annotated[float, Param("weight of the distance of the latents, equation 3", low=0)] = 1.0
    score_by: Annotated[
        Literal["latent_l1", "latent_l2", "latent_mse", "residual", "feature", "combined"],
        Param("the anomaly score: one term, or latent_l1 and residual together"),
    ] = "combined"

    combined_terms = ("latent_l1", "residual")

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G and D, and the distribution of z that `generate` draws from."""
        latent_dim = latent_size(shape, self.latent_dim)
        width = first_width(shape, self.width)
        return {
            "G": Generator(shape, latent_dim, width),
            "D": discriminator(shape, width),
            "Z": LatentNormal(latent_dim),
        }

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Section 3.2: the generator is updated on equation 4, the discriminator on its cross-entropy. D's loss does
        not depend on G's update, so both come from one pass, as in the authors' code."""
        x = batch.x()
        z, x_hat, z_hat = net.G(x)
        real, f_real = net.D(x)
        fake, f_fake = net.D(x_hat)
        yield {
            "G": {
                "adv": self.w_adv * l2(f_real, f_fake),
                "con": self.w_con * l1(x, x_hat),
                "enc": self.w_enc * l2(z, z_hat),
            },
            "D": {"real": 0.5 * bce(real, 1.0), "fake": 0.5 * bce(fake, 0.0)},
        }

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Equation 5 in each published form, and the other two terms."""
        z, x_hat, z_hat = net.G(x)
        terms = {
            "x_hat": x_hat,
            "latent_l1": norm1(z, z_hat),
            "latent_l2": norm2(z, z_hat),
            "latent_mse": l2(z, z_hat),
            "residual": l1(x, x_hat),
        }
        return {**terms, "feature": l2(net.D(x)[1], net.D(x_hat)[1])} if "feature" in names else terms

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Fit the distribution of z, mean and a factor of the covariance, to at most 4096 training rows."""
        device = net.Z.mean.device
        z = torch.cat([net.G.encoder(x.to(device)) for x in in_batches(rows, spread(len(rows), 4096))])
        centred = z - z.mean(0)
        # The rows' singular values and vectors are a factor of the covariance, whatever its rank.
        _, s, v = torch.linalg.svd(centred / max(1, len(z) - 1) ** 0.5, full_matrices=False)
        net.Z.mean.copy_(z.mean(0))
        net.Z.factor.zero_()[:, : len(s)] = v.T * s

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """z, the output of G's first encoder."""
        return net.G.encoder(x)

    def latents(self, net: Any, n: int) -> Tensor:
        """n draws from the distribution of z."""
        noise = torch.randn(n, len(net.Z.mean), device=net.Z.mean.device)
        return net.Z.mean + noise @ net.Z.factor.T

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """The decoder's pictures or rows."""
        return net.G.decoder(z)
