"""OCGAN. Perera, Nallapati and Xiang, "OCGAN: One-class Novelty Detection Using GANs with Constrained Latent
Representations", CVPR 2019, arXiv:1903.08550.

    x + n --En--> z in (-1, 1)^d --De--> x_hat         D_l(z): a uniform draw, or a code?   D_v(x): a row, or a fake?
            s ~ U(-1, 1)^d ------De--> x_fake          C(x): a reconstruction, or a fake?   it leads s to bad fakes

A denoising autoencoder whose whole latent cube must decode to normal rows: D_l spreads the codes of normal rows over
the cube, D_v discriminates rows from what De generates at random points of it, and C, a classifier of reconstructions
against such fakes, finds the points where De is worst, on which De is then trained. An anomaly can only be
reconstructed as a normal row: its residual is large.

Departures from the paper and the authors' code, each pinned by a test:

- Mining ascends the loss C(De(s), 1), to where C is certain of a fake, as section 3.2 says; algorithm 1 leaves the
  direction open, and descent would lead to the best fakes. Its steps are short ("small" in the paper) and stay in the
  cube.
- De and C are in evaluation mode during mining, in which all networks, and so their statistics, are fixed.
- Mining begins after `mining_after` updates; the paper waits until fakes are "of reasonable quality".
- Noise is drawn for every batch, and not added in scoring; the authors' code draws it once per picture, also in
  testing. The residual is a mean over a row's values, as in the authors' code; the paper has a norm.
- D_l ends in one linear unit, and has no batch normalisation. The paper has it after every layer; the authors' code has
  none either, and ends in 16 sigmoids, which its loss treats as logits.
- The last weights are used, not those of the epoch with the lowest validation error.
- Pictures of any shape, and tables, by the rule in `oddgan.networks`; the authors' code enlarges pictures to 61x61 and
  has no tanh after En, so codes may be outside the cube.
- Our own defaults: half the width, a latent of 8, averaged weights, and noise as in the authors' code.
  `oddgan.papers.detector("ocgan", ...)` has the paper's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.losses import bce, l2
from ..kit.recipe import ALL, Batch, Losses, Names, Stage, Terms, detector
from ..networks import ocgan
from ..parameters import Param


@detector
class OCGAN(NeuralDetector):
    """OCGAN (Perera et al., 2019): an autoencoder that decodes every latent to a normal row.

    The terms that `score_by` can select: "residual" (the paper: mean (x - x_hat)^2); "visual" and "visual_x", D_v's
    cross-entropy on x_hat and on x, which the authors' code also evaluates.
    """

    latent_dim: Annotated[int, Param("size of the latent (authors' code: 16)", low=1)] = 8
    width: Annotated[int, Param("channels (or units) of the first layer of En and C (paper: 64)", low=2)] = 32
    noise: Annotated[
        float, Param("standard deviation of the noise on x (paper: a variance of 0.2; code: 0.2)", low=0)
    ] = 0.2
    w_con: Annotated[float, Param("weight of the residual (paper: 10)", low=0)] = 10.0
    w_lat: Annotated[float, Param("weight of D_l's verdict (paper: 1; code: 10)", low=0)] = 1.0
    w_vis: Annotated[float, Param("weight of D_v's verdict", low=0)] = 1.0
    mining_steps: Annotated[int, Param("steps of informative-negative mining (code: 1); 0: no mining", low=0)] = 5
    mining_rate: Annotated[float, Param("step size of mining, a factor of the gradient", low=0)] = 0.1
    mining_after: Annotated[int, Param("updates before mining begins", low=0)] = 500
    score_by: Annotated[Literal["residual", "visual", "visual_x"], Param("the term that is the anomaly score")] = (
        "residual"
    )

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """En, De, D_l, D_v and C; D_v is narrower in the paper's ratio of 12 channels to 64."""
        visual = max(2, round(self.width * ocgan.VISUAL_WIDTH / 64))
        return {
            "En": ocgan.encoder(shape, self.latent_dim, width=self.width),
            "De": ocgan.decoder(shape, self.latent_dim, width=self.width),
            "D_l": ocgan.latent_discriminator(self.latent_dim),
            "D_v": ocgan.visual_discriminator(shape, width=visual),
            "C": ocgan.classifier(shape, width=self.width),
        }

    def stages(self) -> tuple[Stage, ...]:
        """One stage, of five players."""
        return (Stage("game", ("En", "De", "D_l", "D_v", "C"), self.step),)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Algorithm 1: classifier and discriminators, mining, then encoder and decoder."""
        x = batch.x()
        noisy = x + self.noise * torch.randn_like(x)
        s = batch.z(self.latent_dim, "uniform")
        with torch.no_grad():
            z = net.En(noisy)
            x_hat, x_fake = net.De(z), net.De(s)
        yield {
            "C": {"real": bce(net.C(x_hat)[0], 1.0), "fake": bce(net.C(x_fake)[0], 0.0)},
            "D_l": {"real": bce(net.D_l(s)[0], 1.0), "fake": bce(net.D_l(z)[0], 0.0)},
            "D_v": {"real": bce(net.D_v(x)[0], 1.0), "fake": bce(net.D_v(x_fake)[0], 0.0)},
        }
        if batch.update >= self.mining_after:
            s = self.mine(net, s)
        z = net.En(noisy)
        con = self.w_con * l2(x, net.De(z))
        yield {
            "En": {"con": con, "lat": self.w_lat * bce(net.D_l(z)[0], 1.0)},
            "De": {"con": con, "vis": self.w_vis * bce(net.D_v(net.De(s))[0], 1.0)},
        }

    def mine(self, net: Any, s: Tensor) -> Tensor:
        """Points of the cube (b, latent_dim) near s from which De makes worse rows, by C's verdict."""
        with torch.enable_grad(), _still(net.De), _still(net.C):
            for _ in range(self.mining_steps):
                s = s.detach().requires_grad_()
                verdict, _ = net.C(net.De(s))
                (uphill,) = torch.autograd.grad(bce(verdict, 1.0).sum(), s)
                s = (s + self.mining_rate * uphill).clamp(-1, 1)
        return s.detach()

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The residual of x without noise, and D_v's verdicts."""
        x_hat = net.De(net.En(x))
        return {
            "x_hat": x_hat,
            "residual": l2(x, x_hat),
            "visual": bce(net.D_v(x_hat)[0], 1.0),
            "visual_x": bce(net.D_v(x)[0], 1.0),
        }

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """En(x)."""
        return net.En(x)

    def latents(self, net: Any, n: int) -> Tensor:
        """n random points of the cube."""
        return torch.rand(n, self.latent_dim, device=next(net.De.parameters()).device) * 2 - 1

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """De(z)."""
        return net.De(z)


@contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """In evaluation mode inside: the statistics of batch normalisation are used and not updated."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
