"""f-AnoGAN. Schlegl, Seeböck, Waldstein, Langs and Schmidt-Erfurth, "f-AnoGAN: Fast unsupervised anomaly detection with
generative adversarial networks", Medical Image Analysis 54, 2019.

    stage 1, a Wasserstein GAN:   z ~ N(0, 1) --G--> x_fake            D(x) -> (value, features f(x))
    stage 2, its inverse:         x --E--> z_hat --G--> x_hat          G and D frozen, in evaluation mode

G learns to generate normal rows, then E learns to map a row to its z. An anomaly has no z: G(E(x)) differs from it, and
so do D's features of the two. AnoGAN searches for z, row by row; E finds it in one pass.

Departures from the paper and the authors' code, each pinned by a test:

- E is linear by default. The paper's ends in a tanh (`tanh=True`; the linear one is its appendix A.2), whose range is
  (-1, 1), outside which N(0, 1) has a third of its mass: no E with a tanh can invert G there.
- RMSprop in stage 2 with torch's smoothing constant of .99; the authors' TensorFlow has .9.
- Every row is scored: the authors' code drops the rows of an incomplete last batch.
- Biases that do not affect any loss are omitted: D's last ones, which cancel in a difference of expectations, and those
  of G's blocks, which batch normalisation cancels.
- Pictures of any shape; at 64x64 the networks are the paper's. Tables, and pictures with `networks="mlp"`, have the
  fully connected networks of A03ki's MNIST re-implementation, with batch normalisation's usual eps and not its 0.8.
- Our own defaults, for short runs on a CPU: a quarter of the width, two critic steps, a latent that scales with the
  data, higher learning rates, averaged weights. `oddgan.papers.detector("fanogan", ...)` has the authors'.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.games import wgan_gp
from ..kit.losses import l2
from ..kit.recipe import ALL, Batch, Losses, Names, Stage, Terms, detector
from ..networks import resnet
from ..networks.latent import Latent, Prior, latent_size
from ..parameters import Param


@detector
class FAnoGAN(NeuralDetector):
    """f-AnoGAN (Schlegl et al., 2019): a Wasserstein GAN, then an encoder that inverts its generator.

    The terms that `score_by` can select: "residual" (mean (x - x_hat)^2), "feature" (mean (f(x) - f(x_hat))^2), "paper"
    (residual + kappa feature), "z_distance" (mean (z_hat - E(x_hat))^2, which the authors' code also reports);
    "combined" adds residual and feature, each on the scale of normal rows.
    """

    latent_dim: Annotated[
        int | None, Param("size of z (paper: 128); none: an eighth of a row's values, 8 to 64", low=1)
    ] = None
    width: Annotated[
        int,
        Param("channels at the pictures' full size; tables: a quarter of the critic's last layer (paper: 64)", low=2),
    ] = 16
    networks: Annotated[
        Literal["resnet", "mlp"], Param("for pictures: the paper's, or fully connected ones, as for tables")
    ] = "resnet"
    prior: Annotated[Prior, Param("distribution of z: N(0, 1), or uniform on (-1, 1)")] = "normal"
    critic_steps: Annotated[int, Param("critic updates per generator update, each on new rows (paper: 5)", low=1)] = 2
    w_gp: Annotated[float, Param("weight of D's gradient penalty", low=0)] = 10.0
    encoder_loss: Annotated[
        Literal["izi", "ziz", "izi_f"],
        Param("loss of E. izi: x and G(E(x)); ziz: z and E(G(z)); izi_f: izi plus D's features of the same rows"),
    ] = "izi_f"
    encoder_updates: Annotated[
        int | None, Param("updates of stage 2 (paper: 50000); none: the same budget as stage 1", low=1)
    ] = None
    encoder_lr: Annotated[float, Param("learning rate of stage 2 (paper: 5e-5)", low=0)] = 5e-4
    encoder_optimiser: Annotated[Literal["rmsprop", "adam"], Param("optimiser of stage 2")] = "rmsprop"
    kappa: Annotated[float, Param("weight of the features in izi_f and in the paper's score", low=0)] = 1.0
    tanh: Annotated[bool, Param("end E in a tanh (paper: true)")] = False
    score_by: Annotated[
        Literal["residual", "feature", "paper", "z_distance", "combined"],
        Param("the anomaly score: one term, or residual and feature together"),
    ] = "paper"

    combined_terms = ("residual", "feature")

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G, D and E, and the latent space Z."""
        latent_dim = latent_size(shape, self.latent_dim, least=8, most=64)
        flat = self.networks == "mlp" and len(shape) == 3
        inner = (int(np.prod(shape)),) if flat else shape
        G = resnet.generator(inner, latent_dim, width=self.width)
        D = resnet.critic(inner, width=self.width)
        E = resnet.encoder(inner, latent_dim, width=self.width, tanh=self.tanh)
        if flat:
            G = nn.Sequential(G, nn.Tanh(), nn.Unflatten(1, tuple(shape)))
            D.trunk = nn.Sequential(nn.Flatten(), D.trunk)
            E = nn.Sequential(nn.Flatten(), E)
        return {"G": G, "D": D, "E": E, "Z": Latent(latent_dim, self.prior)}

    def stages(self) -> tuple[Stage, ...]:
        """The Wasserstein game; then E alone, with G and D frozen."""
        return (
            Stage("gan", ("G", "D"), self.step),
            Stage("encoder", ("E",), self.encode, self.encoder_updates, self.encoder_lr, self.encoder_optimiser),
        )

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Stage 1: WGAN-GP."""
        yield from wgan_gp(net, batch, net.Z.latent_dim, self.prior, critic_steps=self.critic_steps, w_gp=self.w_gp)

    def encode(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Stage 2: ziz, izi or izi_f, as means over values."""
        x = batch.x()  # for ziz too, because a stage's epochs are counted by rows
        if self.encoder_loss == "ziz":
            z = batch.z(net.Z.latent_dim, self.prior)
            yield {"E": {"ziz": l2(z, net.E(net.G(z)))}}
            return
        x_hat = net.G(net.E(x))
        losses = {"izi": l2(x, x_hat)}
        if self.encoder_loss == "izi_f":
            losses["feature"] = self.kappa * l2(net.D(x)[1], net.D(x_hat)[1])
        yield {"E": losses}

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """A(x) = residual + kappa feature, its two parts, and the latents' distance that the authors' code reports."""
        z = net.E(x)
        x_hat = net.G(z)
        residual, feature = l2(x, x_hat), l2(net.D(x)[1], net.D(x_hat)[1])
        terms = {
            "x_hat": x_hat,
            "residual": residual,
            "feature": feature,
            "paper": residual + self.kappa * feature,
        }
        return {**terms, "z_distance": l2(z, net.E(x_hat))} if "z_distance" in names else terms

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """z_hat = E(x)."""
        return net.E(x)

    def latents(self, net: Any, n: int) -> Tensor:
        """z, n draws from the prior."""
        return net.Z.draw(n)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """G(z)."""
        return net.G(z)
