"""AnoGAN. Schlegl, Seeboeck, Waldstein, Schmidt-Erfurth and Langs, "Unsupervised Anomaly Detection with Generative
Adversarial Networks to Guide Marker Discovery", IPMI 2017, arXiv:1703.05921.

    z --G--> x_hat          D(x) -> (logit, features f(x))          for each x, z is searched for: G(z) near x

A GAN learns to make normal rows. To judge a row, search the latent space for the z whose G(z) comes nearest to it, by
gradient steps on (1 - lambda) R(z) + lambda D(z): R(z) = sum |x - G(z)| is the residual and D(z) the discrimination
loss, sum |f(x) - f(G(z))|. The score is that same sum where the search ends: an odd row is nobody's image. |x - G(z)|
says where it is odd.

Departures from the paper:

- The best z that the search met, not the last: Adam's last step may lead up. A row's search may stop before
  its 500 steps (`patience`; the paper's configuration never does), and may be repeated from several `starts`.
- All rows start from the same stored draws of the prior, each with an optimiser of its own, so that a row's score is
  its own. Published code draws anew for every row, or carries Adam's state from one row to the next.
- G and D both are averaged over training. The AnoGAN that EGBAD's and ALAD's authors compare with averages G, and reads
  D through G's averages, which hold nothing of it: their D is the last one.
- `discrimination="sigmoid"` is the other variant that EGBAD compares: the cross-entropy of D(G(z)) against "real".
- `start="encoder"` is no part of the paper: an encoder E, trained after the game to undo G (f-AnoGAN's izi loss), gives
  the search a start near its end, where it needs few steps.
- Pictures of any shape, and tables, by the rule in `oddgan.networks`.
- Defaults of our own: averaged weights, a latent that scales with the data, and a normal prior. "uniform" is the
  paper's; z may leave its range in the search, in which nothing holds it in the paper either.
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
    """AnoGAN (Schlegl et al., 2017): a GAN, and for each row a search for the z that G makes it of.

    Its terms, each a choice of `score_by`, at the z that was found: "paper" = (1 - w_dis) residual + w_dis times the
    chosen discrimination loss, which is what the search minimises; "residual" (sum |x - G(z)|), "feature" (sum
    |f(x) - f(G(z))|), "sigmoid" (-log D(G(z))); "combined" adds up residual and feature, each on the scale of normal
    rows.
    """

    latent_dim: Annotated[int | None, Param("size of z; none: an eighth of a row's values, 4 to 100", low=1)] = None
    width: Annotated[int | None, Param("channels (or units) of the first layer; none: 64", low=2)] = None
    networks: Annotated[
        Literal["dcgan", "egbad", "keras"],
        Param("G and D: DCGAN's (paper), those of EGBAD's AnoGAN baseline, or of the Keras implementation for MNIST"),
    ] = "dcgan"
    prior: Annotated[Prior, Param("what z is drawn from: N(0, 1), or uniform on (-1, 1) (paper)")] = "normal"
    start: Annotated[
        Literal["prior", "encoder"],
        Param("where a search starts: draws of the prior (paper), or an encoder's guess, then such draws"),
    ] = "prior"
    starts: Annotated[int, Param("searches for every row; the best counts (paper: 1)", low=1)] = 1
    steps: Annotated[int, Param("steps of a search (paper: 500)", low=0)] = 500
    search_lr: Annotated[
        float | dict[str, float],
        Param("Adam's rate in the search: one, or one by the step it begins at, as 0=0.01,200=0.001", low=1e-9),
    ] = 0.01
    patience: Annotated[
        int, Param("steps without a gain of a thousandth that end a row's search; 0: all are taken (paper)", low=0)
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
    # Hundreds of steps, each on the sign of a residual, magnify what kernels round. A generous guess so far:
    # `benchmarks/anogan_start.py` measures the difference between blocks of 64 and of 1.
    tolerance = 1e-2

    def check_parameters(self) -> None:
        """As for every detector, and that a schedule in `search_lr` is one."""
        super().check_parameters()
        rate_at(self.search_lr, 0)

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G, D, the latent space Z with the starts of all searches, and E where they start at its guess."""
        latent_dim, width = latent_size(shape, self.latent_dim), self.width
        net = {
            "G": anogan.generator(shape, latent_dim, kind=self.networks, width=width),
            "D": anogan.discriminator(shape, kind=self.networks, width=width),
            "Z": Latent(latent_dim, self.prior, self.starts),
        }
        return net | ({"E": encoder(shape, latent_dim, width or 64)} if self.start == "encoder" else {})

    def stages(self) -> tuple[Stage, ...]:
        """The game; then E, with G and D as they are."""
        game = Stage("game", ("G", "D"), self.step)
        encode = Stage("encoder", ("E",), self.encode, updates=self.encoder_updates)
        return (game, encode) if self.start == "encoder" else (game,)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """The GAN game."""
        yield from gan(net, batch, net.Z.latent_dim, self.prior)

    def encode(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """E moves on the mean of (x - G(E(x)))^2, f-AnoGAN's izi."""
        x = batch.x()
        yield {"E": {"izi": l2(x, net.G(self.guess(net, x)))}}

    def guess(self, net: Any, x: Tensor) -> Tensor:
        """E's z, within the bounds of a uniform prior: beyond them G was never trained, and E may not find back."""
        z = net.E(x)
        return z.tanh() if self.prior == "uniform" else z

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Search for z on "paper", and every term where the search ends."""
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

    def losses(self, net: Any, x: Tensor, f: Tensor, z: Tensor) -> dict[str, Tensor]:
        """Residual and discrimination losses, their sum "paper", and x_hat, at z (b, latent_dim), of rows x (b, ...)
        with features f = f(x) (b, k)."""
        x_hat = net.G(z)
        logit, f_hat = net.D(x_hat)
        terms = {"residual": norm1(x, x_hat), "feature": norm1(f, f_hat), "sigmoid": bce(logit, 1.0)}
        paper = (1 - self.w_dis) * terms["residual"] + self.w_dis * terms[self.discrimination]
        return {"x_hat": x_hat, **terms, "paper": paper}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """f(x): D's features. z would take a search."""
        _, f = net.D(x)
        return f

    def sample(self, net: Any, n: int) -> Tensor:
        """G of n draws from the prior."""
        return net.G(net.Z.draw(n))
