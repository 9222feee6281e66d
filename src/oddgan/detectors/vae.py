"""VAE. Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114; as a detector of anomalies:
An and Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction Probability", 2015.

    x --E--> q(z|x) = N(mu, s^2), z ~ q --G--> p(x|z) = N(x_hat, v)          prior p(z) = N(0, 1)

The autoencoder that the GAN papers compare with. It maximises a lower bound of log p(x), the ELBO, on normal rows; a
row is anomalous if it is badly reconstructed, or only from a code far from the prior.

Departures, each pinned by a test:

- The variance v is one number and, unless `variance` is given, the best fit: the mean squared residual of each batch in
  training (Rybkin et al., 2021), and of all training rows at the end. With a fixed v, the scale of the data weighs the
  two terms of the ELBO; papers seldom publish the v they used.
- s is the softplus of E's output, not the exponential: a single distant row of a table must not overflow the loss.
- The expectation over q in the score is the mean over `draws` stored draws, the same for every row, so scores are not
  random. An and Cho draw for every row.
- Networks: DCGAN-style for pictures, two hidden layers for tables, as in `GANomaly`, so that the two are comparable.
  Papers that compare with a VAE do not publish its networks in full.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..detector import NeuralDetector
from ..kit.losses import l2
from ..kit.recipe import ALL, Batch, Losses, Names, PreparedRows, Stage, Terms, detector
from ..networks import decoder, encoder, first_width
from ..networks.latent import latent_size
from ..parameters import Param
from ..preprocessing.prepared import in_batches, spread

SMALLEST = 1e-6  # of s and v, which occur in denominators and logarithms


class Posterior(nn.Module):
    """E: x -> mu and s of q(z|x), (b, latent_dim) each, s > 0."""

    def __init__(self, shape: Sequence[int], latent_dim: int, width: int) -> None:
        super().__init__()
        self.encoder = encoder(shape, 2 * latent_dim, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, s = self.encoder(x).float().chunk(2, dim=1)
        return mu, F.softplus(s) + SMALLEST


class Fixed(nn.Module):
    """Buffers: the stored draws eps (draws, latent_dim) from N(0, 1), and the decoder's variance v."""

    def __init__(self, draws: int, latent_dim: int, v: float) -> None:
        super().__init__()
        self.register_buffer("eps", torch.randn(draws, latent_dim))
        self.register_buffer("v", torch.tensor(v))


def kl(mu: Tensor, s: Tensor) -> Tensor:
    """KL(N(mu, s^2) || N(0, 1)) of each row in nats, (b, latent_dim) twice -> (b,) (Kingma and Welling, appendix B)."""
    return (0.5 * (mu.square() + s.square() - 1) - s.log()).sum(1)


def nll(x: Tensor, x_hat: Tensor, v: Tensor) -> Tensor:
    """-log N(x; x_hat, v) of each row in nats, a sum over its values: (b, ...) -> (b,)."""
    return 0.5 * x[0].numel() * (l2(x, x_hat) / v + (2 * torch.pi * v).log())


@detector
class VAE(NeuralDetector):
    """Variational autoencoder with a normal decoder.

    The terms that `score_by` can select: "elbo" (the negative ELBO in nats), "residual" (mean (x - x_hat)^2, x_hat from
    the mean code), "kl" (the divergence of the code's distribution from the prior, in nats).
    """

    latent_dim: Annotated[
        int | None, Param("size of z (EGBAD's: 200); none: an eighth of a row's values, 4 to 32", low=1)
    ] = None
    width: Annotated[
        int | None, Param("channels (or units) of the first layer; none: 64, and 32 above 32x32 pixels", low=2)
    ] = None
    variance: Annotated[
        float | None, Param("v, the decoder's variance; none: fitted to the training rows", low=SMALLEST)
    ] = None
    draws: Annotated[int, Param("draws of z over which the ELBO in the score is averaged", low=1)] = 4
    score_by: Annotated[Literal["elbo", "residual", "kl"], Param("the term that is the anomaly score")] = "elbo"

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """E, G, and Q with the draws and v."""
        latent_dim = latent_size(shape, self.latent_dim, most=32)
        width = first_width(shape, self.width)
        return {
            "E": Posterior(shape, latent_dim, width),
            "G": decoder(shape, latent_dim, width),
            "Q": Fixed(self.draws, latent_dim, self.variance or 1.0),
        }

    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage("elbo", ("E", "G"), self.step),)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Equation 3 of Kingma and Welling with one draw of z per row (equation 4)."""
        x = batch.x()
        mu, s = net.E(x)
        x_hat = net.G(mu + s * torch.randn_like(s))
        # At v = the batch's mean squared residual, the gradient of v is zero, so detaching it changes nothing.
        v = l2(x, x_hat).mean().detach().clamp_min(SMALLEST) if self.variance is None else net.Q.v
        residual = nll(x, x_hat, v)
        yield {"E": {"nll": residual, "kl": kl(mu, s)}, "G": {"nll": residual}}

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Fit v: the mean squared residual of at most 4096 training rows, with one draw of z each."""
        if self.variance is not None:
            return
        residuals = []
        for x in in_batches(rows, spread(len(rows), 4096)):
            x = x.to(net.Q.v.device)
            mu, s = net.E(x)
            residuals.append(l2(x, net.G(mu + s * torch.randn_like(s))))
        net.Q.v.copy_(torch.cat(residuals).mean().clamp_min(SMALLEST))

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The negative ELBO over the stored draws, and its parts at the mean code."""
        mu, s = net.E(x)
        x_hat = net.G(mu)
        divergence = kl(mu, s)
        # One draw at a time, for all rows at once: blocks keep their shape, whatever `draws` is.
        expected = torch.stack([nll(x, net.G(mu + s * eps), net.Q.v) for eps in net.Q.eps]).mean(0)
        return {"x_hat": x_hat, "elbo": expected + divergence, "residual": l2(x, x_hat), "kl": divergence}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """mu, the mean code."""
        return net.E(x)[0]

    def latents(self, net: Any, n: int) -> Tensor:
        """n draws from the prior."""
        return torch.randn(n, net.Q.eps.shape[1], device=net.Q.eps.device)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """The decoder's mean, without its noise."""
        return net.G(z)
