"""AnoGAN. Schlegl, Seeboeck, Waldstein, Schmidt-Erfurth and Langs, "Unsupervised Anomaly Detection with Generative
Adversarial Networks to Guide Marker Discovery", IPMI 2017, arXiv:1703.05921.

    z --G--> x_hat          D(x) -> (logit, features f(x))          for each x, z is searched for: G(z) near x

A GAN learns to generate normal rows. To score a row, search the latent space for the z whose G(z) is nearest to it, by
gradient steps on (1 - lambda) R(z) + lambda D(z): R(z) = sum |x - G(z)| is the residual and D(z) the discrimination
loss, sum |f(x) - f(G(z))|. The score is the same sum at the end of the search: G cannot generate an anomalous row.
|x - G(z)| locates the anomaly.

Departures from the paper:

- The best z of the search, not the last: Adam's last step may increase the loss. A row's search may stop before its 500
  steps (`patience`; never in the paper's configuration), and may be repeated from several `starts`.
- The searches of all rows start from the same stored draws of the prior, each with its own optimiser, so a row's score
  does not depend on others. Published code draws again for every row, or carries Adam's state from one row to the next.
- Both G and D are averaged over training. The AnoGAN baseline of EGBAD's and ALAD's authors averages G alone, and reads
  D through G's averages, which do not contain it: their D has its last weights.
- `discrimination="sigmoid"` is the other variant that EGBAD compares: the cross-entropy of D(G(z)) with "real".
- `start="encoder"` is not in the paper: an encoder E, trained after the game to invert G (f-AnoGAN's izi loss), gives
  the search a start near its end, so that few steps suffice.
- Pictures of any shape, and tables, by the rule in `oddgan.networks`.
- Our own defaults: averaged weights, a latent that scales with the data, and a normal prior. "uniform" is the paper's;
  as in the paper, z is not confined to its range in the search.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.games import gan
from ..kit.losses import bce, l2, norm1
from ..kit.recipe import ALL, Batch, Losses, Names, Stage, Terms, detector
from ..kit.search import rate_at, search
from ..networks import anogan, encoder
from ..networks.latent import Latent, Prior, latent_size
from ..parameters import Param


@detector
class AnoGAN(NeuralDetector):
    """AnoGAN (Schlegl et al., 2017): a GAN, and for each row a search for the z from which G generates it.

    The terms that `score_by` can select, at the z that was found: "paper" = (1 - w_dis) residual + w_dis times the
    chosen discrimination loss, which is what the search minimises; "residual" (sum |x - G(z)|), "feature" (sum
    |f(x) - f(G(z))|), "sigmoid" (-log D(G(z))); "combined" adds residual and feature, each on the scale of normal rows.
    """

    latent_dim: Annotated[int | None, Param("size of z; none: an eighth of a row's values, 4 to 100", low=1)] = None
    width: Annotated[int | None, Param("channels (or units) of the first layer; none: 64", low=2)] = None
    networks: Annotated[
        Literal["dcgan", "egbad", "keras"],
        Param("G and D: DCGAN's (paper), those of EGBAD's AnoGAN baseline, or of the Keras implementation for MNIST"),
    ] = "dcgan"
    prior: Annotated[Prior, Param("distribution of z: N(0, 1), or uniform on (-1, 1) (paper)")] = "normal"
    start: Annotated[
        Literal["prior", "encoder"],
        Param("where a search starts: draws from the prior (paper), or an encoder's z first and then such draws"),
    ] = "prior"
    starts: Annotated[int, Param("searches per row, of which the best counts (paper: 1)", low=1)] = 1
    steps: Annotated[int, Param("steps of each search (paper: 500)", low=0, high=100_000)] = 500
    search_lr: Annotated[
        float | dict[str, float],
        Param("Adam's learning rate in the search: one, or a schedule by step, as in 0=0.01,200=0.001", low=1e-9),
    ] = 0.01
    patience: Annotated[
        int,
        Param("a row's search ends after so many steps without a gain of a thousandth; 0: never early (paper)", low=0),
    ] = 50
    discrimination: Annotated[
        Literal["feature", "sigmoid"],
        Param("the search's discrimination loss: feature matching (paper), or the cross-entropy of D's verdict"),
    ] = "feature"
    w_dis: Annotated[float, Param("lambda, the weight of the discrimination loss", low=0, high=1)] = 0.1
    encoder_updates: Annotated[
        int | None, Param("updates of the encoder, after the game; none: as many as the game's", low=1)
    ] = None
    score_by: Annotated[
        Literal["paper", "residual", "feature", "sigmoid", "combined"],
        Param("the anomaly score: one term, or residual and feature together"),
    ] = "paper"

    combined_terms = ("residual", "feature")
    searches = True
    max_held_out_rows = 200
    max_reference_rows = 800
    # Hundreds of steps, each on the sign of a residual, amplify rounding differences between kernels. A generous bound:
    # `benchmarks/studies/anogan_start.py` measures the difference between blocks of 64 and of 1.
    tolerance = 1e-2

    def check_parameters(self) -> None:
        """As for every detector; also checks the schedule in `search_lr`."""
        super().check_parameters()
        rate_at(self.search_lr, 0)

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G, D, the latent space Z with the starts of the searches, and E if they start at its guess."""
        latent_dim, width = latent_size(shape, self.latent_dim), self.width
        net = {
            "G": anogan.generator(shape, latent_dim, kind=self.networks, width=width),
            "D": anogan.discriminator(shape, kind=self.networks, width=width),
            "Z": Latent(latent_dim, self.prior, self.starts),
        }
        return net | ({"E": encoder(shape, latent_dim, width or 64)} if self.start == "encoder" else {})

    def stages(self) -> tuple[Stage, ...]:
        """The game; then E alone, with G and D frozen."""
        game = Stage("game", ("G", "D"), self.step)
        encode = Stage("encoder", ("E",), self.encode, updates=self.encoder_updates)
        return (game, encode) if self.start == "encoder" else (game,)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """The GAN game."""
        yield from gan(net, batch, net.Z.latent_dim, self.prior)

    def encode(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """E is trained on the mean of (x - G(E(x)))^2, f-AnoGAN's izi."""
        x = batch.x()
        yield {"E": {"izi": l2(x, net.G(self.guess(net, x)))}}

    def guess(self, net: Any, x: Tensor) -> Tensor:
        """E's z, confined to the range of a uniform prior: beyond it G was never trained, and E may not return."""
        z = net.E(x)
        return z.tanh() if self.prior == "uniform" else z

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Search for the z that minimises "paper", and return every term there."""
        _, f = net.D(x)
        starts = net.Z.starts.expand(len(x), -1, -1)
        if self.start == "encoder":
            starts = torch.cat([self.guess(net, x)[:, None], starts[:, 1:]], 1)
        z, _ = search(
            lambda z: self.losses(net, x, f, z)["paper"],
            starts,
            steps=self.steps,
            lr=self.search_lr,
            patience=self.patience,
        )
        return self.losses(net, x, f, z)

    def graph_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Every term at the encoder's guess."""
        return self.losses(net, x, net.D(x)[1], self.guess(net, x))

    def why_not_exported(self) -> str:
        """A search has no end that a graph could know; the encoder's guess alone has."""
        if self.start == "encoder" and self.steps == 0 and self.starts == 1:
            return ""
        return (
            "each row is searched for by gradient steps; train it with start=encoder, steps=0 and starts=1, or take "
            "FAnoGAN, whose encoder replaces the search"
        )

    def losses(self, net: Any, x: Tensor, f: Tensor, z: Tensor) -> dict[str, Tensor]:
        """Residual and discrimination losses, their sum "paper", and x_hat, at z (b, latent_dim), of rows x (b, ...)
        with features f = f(x) (b, k)."""
        x_hat = net.G(z)
        logit, f_hat = net.D(x_hat)
        terms = {"residual": norm1(x, x_hat), "feature": norm1(f, f_hat), "sigmoid": bce(logit, 1.0)}
        paper = (1 - self.w_dis) * terms["residual"] + self.w_dis * terms[self.discrimination]
        return {"x_hat": x_hat, **terms, "paper": paper}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """f(x): D's features, since z would need a search."""
        _, f = net.D(x)
        return f

    def latents(self, net: Any, n: int) -> Tensor:
        """z, n draws from the prior."""
        return net.Z.draw(n)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """G(z)."""
        return net.G(z)
