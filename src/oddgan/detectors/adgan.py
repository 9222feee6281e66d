"""ADGAN. Deecke, Vandermeulen, Ruff, Mandt and Kloft, "Image Anomaly Detection with Generative Adversarial Networks",
ECML PKDD 2018.

    z --G--> x_hat          D(x) -> a critic's value          for each x and start, z *and G* are optimised: G(z) near x

A Wasserstein GAN learns to generate normal rows. To score a row, the search starts at several points of the latent
space and from each takes a few gradient steps towards the row, on z and on a copy of the generator's weights at the
same time. A few steps suffice for rows like those of training: the score is the remaining residual, averaged over the
starts.

Departures from the paper and from the code by Golan and El-Yaniv (2018), which was consulted for it:

- z and the weights are updated together, on one gradient; that code updates z, then the weights at the new z.
- Evaluation mode: that code updates the weights in training mode, where batch normalisation sees a single row.
- The searches of all rows start from the same stored draws of the prior, so a row's score does not depend on others.
- The search minimises the mean square, as in that code; the score is the mean of the norms ("paper"), and the mean of
  the mean squares ("mse") is that code's.
- The critic has no batch normalisation. That code has it, contrary to the advice of the gradient penalty's authors.
- Pictures of any shape, and tables, by the rule in `oddgan.networks`.
- Our own defaults: averaged weights and a latent that scales with the data.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.games import wgan_gp
from ..kit.losses import l2, norm2
from ..kit.recipe import ALL, Batch, Losses, Names, Terms, detector
from ..kit.search import refine
from ..networks import adgan
from ..networks.latent import Latent, Prior, latent_size
from ..parameters import Param


@detector
class ADGAN(NeuralDetector):
    """ADGAN (Deecke et al., 2018): a WGAN-GP, and for each row a search over z and the generator's own weights.

    The terms that `score_by` can select: "paper" (mean over the starts of ||x - G(z)||), "mse" (mean over the starts of
    the mean square: Golan and El-Yaniv's code), "best" (the norm from the best start). The reconstruction is that of
    the best start.
    """

    latent_dim: Annotated[
        int | None, Param("size of z (code: 256); none: an eighth of a row's values, 4 to 100", low=1)
    ] = None
    width: Annotated[int | None, Param("channels (or units) of the first layer; none: 64", low=2)] = None
    prior: Annotated[Prior, Param("distribution of z: N(0, 1), or uniform on (-1, 1)")] = "normal"
    critic_steps: Annotated[int, Param("critic updates per generator update (code: 2)", low=1)] = 2
    w_gp: Annotated[float, Param("weight of the gradient penalty (code: 20)", low=0)] = 10.0
    starts: Annotated[int, Param("searches per row, whose residuals are averaged (paper: 8)", low=1)] = 8
    steps: Annotated[int, Param("steps of each search (paper: 5)", low=0, high=100_000)] = 5
    z_lr: Annotated[float, Param("Adam's learning rate for z in the search", low=0)] = 0.25
    weights_lr: Annotated[float, Param("Adam's learning rate for the generator's weights in the search", low=0)] = 5e-5
    lr: Annotated[float | dict[str, float], Param("Adam's learning rate: one, or one per player", low=0)] = 5e-4
    beta1: Annotated[float, Param("Adam's first decay rate", low=0, high=0.9999)] = 0.0
    beta2: Annotated[float, Param("Adam's second decay rate", low=0, high=0.99999)] = 0.9
    score_by: Annotated[Literal["paper", "mse", "best"], Param("the anomaly score")] = "paper"

    not_exported = (
        "each row is searched for with copies of the generator's weights; take FAnoGAN, whose encoder replaces the "
        "search"
    )
    adapts_weights = True
    searches = True
    max_held_out_rows = 200
    max_reference_rows = 800

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G, the critic D, and the latent space Z with the starts of the searches."""
        latent_dim = latent_size(shape, self.latent_dim)
        return {
            "G": adgan.generator(shape, latent_dim, width=self.width),
            "D": adgan.critic(shape, width=self.width),
            "Z": Latent(latent_dim, self.prior, self.starts),
        }

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """The Wasserstein game with gradient penalty."""
        yield from wgan_gp(net, batch, net.Z.latent_dim, self.prior, critic_steps=self.critic_steps, w_gp=self.w_gp)

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Algorithm 1: the remaining residuals from each start."""
        x_hat = refine(net.G, x, net.Z.starts, steps=self.steps, lr_z=self.z_lr, lr_weights=self.weights_lr)
        norms = torch.stack([norm2(x, each) for each in x_hat.unbind(1)])
        squares = torch.stack([l2(x, each) for each in x_hat.unbind(1)])
        best = norms.min(0)
        nearest = x_hat[torch.arange(len(x), device=x.device), best.indices]
        return {"x_hat": nearest, "paper": norms.mean(0), "mse": squares.mean(0), "best": best.values}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """f(x): the critic's features, since z would need a search."""
        _, f = net.D(x)
        return f

    def latents(self, net: Any, n: int) -> Tensor:
        """z, n draws from the prior."""
        return net.Z.draw(n)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """G(z)."""
        return net.G(z)
