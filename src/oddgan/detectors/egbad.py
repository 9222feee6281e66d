"""EGBAD. Zenati, Foo, Lecouat, Manek and Chandrasekhar, "Efficient GAN-Based Anomaly Detection", ICLR workshop 2018,
arXiv:1802.06222. It scores with a BiGAN: Donahue, Krähenbühl and Darrell, "Adversarial Feature Learning", ICLR 2017.

    x --E--> z_hat --G--> x_hat          D(x, E(x)) against D(G(z), z) -> (logit, features f)

A discriminator of pairs makes the encoder the generator's inverse, so that no search is needed to find a row's z. An
anomaly is reconstructed as something normal, or its pair with E(x) is unlike those of training.

Departures from the paper and the authors' code (github.com/houssamzenati/Efficient-GAN-Anomaly-Detection), pinned by
tests where they concern losses and scores:

- The cross-entropy of the score is BCE(D(x, E(x)), 1) in the paper and BCE(D(G(E(x)), E(x)), 1) in the code. Both are
  terms: "sigma" and "sigma_code".
- Norms are sums over values and features, as in the code. D sees real and generated pairs in two passes, so that batch
  normalisation uses separate statistics for each, as in the code. Its running statistics follow every pass in training;
  the code excludes passes for the updates of other networks.
- Feature matching and the residual as training losses are variants from the survey by Di Mattia et al.,
  arXiv:1906.11632, not from EGBAD. Features are matched in the mean over the batch (Salimans et al., 2016), since x and
  z of a batch do not form pairs in a BiGAN. The residual trains G and E; the survey's toolbox adds it to E alone.
- Evaluation mode at test time, and no threshold from test scores.
- Any shape, by the rule in `oddgan.networks`; tables are scaled, while the code does not scale KDD99.
- Our own defaults: the residual in training, since in a run of a few thousand updates the game alone couples x_hat to x
  only loosely; a latent and a width that suit small data. `oddgan.papers.detector("egbad", ...)` has the paper's.
- `networks="mlp"`: Donahue's fully connected networks for pictures, in EGBAD's game. Donahue updates G, E and D at once
  on one batch, with weight decay and a decaying learning rate, and normalises without gain and bias.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.losses import bce, l1, norm1
from ..kit.recipe import ALL, Batch, Losses, Names, Stage, Terms, detector
from ..networks import bigan
from ..networks.blocks import WIDTH, JointJudge, RowLinear, normal
from ..networks.latent import Latent, Prior, latent_size
from ..networks.tables import mlp
from ..parameters import Param


@detector
class EGBAD(NeuralDetector):
    """EGBAD (Zenati et al., 2018): a BiGAN, scored by the reconstruction and by D's verdict or features.

    The terms that `score_by` can select: "residual" (||x - x_hat||_1); three discrimination losses, "feature"
    (||f(x, z_hat) - f(x_hat, z_hat)||_1), "sigma" (BCE(D(x, z_hat), 1): the paper's cross-entropy) and "sigma_code"
    (BCE(D(x_hat, z_hat), 1): the code's); and the paper's sum of the residual and each of these, alpha residual +
    (1 - alpha) loss: "paper_fm", "paper_sigma" and "code_sigma". "combined" adds residual and feature, each on the
    scale of normal rows.
    """

    latent_dim: Annotated[
        int | None,
        Param("size of z (paper: 200 for MNIST, 32 for KDD99); none: an eighth of a row's values, 4 to 100", low=1),
    ] = None
    width: Annotated[
        int | None,
        Param("scale of every layer's channels or units (paper: 64); none: 64 for tables, 32 for pictures", low=2),
    ] = None
    prior: Annotated[Prior, Param("distribution of z: N(0, 1), or uniform on (-1, 1)")] = "normal"
    networks: Annotated[
        Literal["egbad", "mlp"],
        Param("EGBAD's networks, or BiGAN's fully connected ones of two hidden layers, also for pictures"),
    ] = "egbad"
    train_by: Annotated[
        Literal["bce", "features"],
        Param("loss of G and E: D's verdict (paper), or the distance of mean features of real and generated pairs"),
    ] = "bce"
    w_residual: Annotated[
        float, Param("weight of mean |x - x_hat| in the losses of G and E (paper: 0, no such term)", low=0)
    ] = 10.0
    alpha: Annotated[float, Param("weight of the residual in paper_fm, paper_sigma and code_sigma", low=0, high=1)] = (
        0.9
    )
    score_by: Annotated[
        Literal["residual", "feature", "sigma", "sigma_code", "paper_fm", "paper_sigma", "code_sigma", "combined"],
        Param("the anomaly score: one term, the paper's weighted sum of two, or residual and feature together"),
    ] = "paper_sigma"

    combined_terms = ("residual", "feature")

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G, E and D, and the prior Z."""
        latent_dim = latent_size(shape, self.latent_dim)
        width = self.width or (WIDTH if len(shape) == 1 else WIDTH // 2)
        Z = Latent(latent_dim, self.prior)
        if self.networks == "mlp":
            return {**_mlps(shape, latent_dim, 16 * width, self.prior == "uniform"), "Z": Z}
        return {
            "G": bigan.generator(shape, latent_dim, width=width),
            "E": bigan.encoder(shape, latent_dim, width=width),
            "D": bigan.JointDiscriminator(shape, latent_dim, width=width),
            "Z": Z,
        }

    def stages(self) -> tuple[Stage, ...]:
        """One stage, of three players."""
        return (Stage("game", ("G", "E", "D"), self.step),)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """D discriminates (x, E(x)) from (G(z), z); then, on another batch, G and E are updated against it."""
        x, z = batch.x(), batch.z(net.Z.latent_dim, self.prior)
        with torch.no_grad():
            z_hat, x_fake = net.E(x), net.G(z)
        real, _ = net.D(x, z_hat)
        fake, _ = net.D(x_fake, z)
        yield {"D": {"real": bce(real, 1.0), "fake": bce(fake, 0.0)}}
        x, z = batch.x(), batch.z(net.Z.latent_dim, self.prior)
        z_hat = net.E(x)
        real, f_real = net.D(x, z_hat)
        fake, f_fake = net.D(net.G(z), z)
        if self.train_by == "features":
            of_real, of_fake = batch.whole(f_real.float()), batch.whole(f_fake.float())
            gap = (of_real.mean(0) - of_fake.mean(0)).square().mean()
            losses = {"G": {"adv": gap}, "E": {"adv": gap}}
        else:
            losses = {"G": {"adv": bce(fake, 1.0)}, "E": {"adv": bce(real, 0.0)}}
        if self.w_residual:
            con = self.w_residual * l1(x, net.G(z_hat))
            losses = {player: {**terms, "con": con} for player, terms in losses.items()}
        yield losses

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The residual, the discrimination loss in each published form, and their weighted sums."""
        z_hat = net.E(x)
        x_hat = net.G(z_hat)
        real, f_real = net.D(x, z_hat)
        fake, f_fake = net.D(x_hat, z_hat)
        residual, feature = norm1(x, x_hat), norm1(f_real, f_fake)
        sigma, sigma_code = bce(real, 1.0), bce(fake, 1.0)
        return {
            "x_hat": x_hat,
            "residual": residual,
            "feature": feature,
            "sigma": sigma,
            "sigma_code": sigma_code,
            "paper_fm": self.alpha * residual + (1 - self.alpha) * feature,
            "paper_sigma": self.alpha * residual + (1 - self.alpha) * sigma,
            "code_sigma": self.alpha * residual + (1 - self.alpha) * sigma_code,
        }

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """z_hat = E(x)."""
        return net.E(x)

    def latents(self, net: Any, n: int) -> Tensor:
        """z, n draws from the prior."""
        return net.Z.draw(n)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """G(z)."""
        return net.G(z)


class _MLPGenerator(nn.Module):
    """z (b, latent_dim) -> x (b, *shape): two hidden layers, with z as an input of both."""

    def __init__(self, shape: Sequence[int], latent_dim: int, units: int) -> None:
        super().__init__()
        self.first = mlp((latent_dim, units), activation="relu", batch_norm=True)
        self.second = mlp((units + latent_dim, units), activation="relu", batch_norm=True)
        squash = [nn.Tanh()] * (len(shape) == 3)
        size = torch.Size(shape).numel()
        self.last = nn.Sequential(RowLinear(units, size), *squash, nn.Unflatten(1, tuple(shape)))

    def forward(self, z: Tensor) -> Tensor:
        return self.last(self.second(torch.cat([self.first(z), z], 1)))


def _mlps(shape: Sequence[int], latent_dim: int, units: int, bounded: bool) -> dict[str, nn.Module]:
    """Donahue's fully connected G, E and D for MNIST; `bounded`: E's range is that of a uniform prior."""
    size = torch.Size(shape).numel()
    of_x = [nn.Sequential(nn.Flatten(), mlp((size, units))) for _ in ("E", "D")]
    squash = [nn.Tanh()] * bounded
    return {
        "G": normal(_MLPGenerator(shape, latent_dim, units)),
        "E": normal(
            nn.Sequential(of_x[0], mlp((units, units), batch_norm=True), RowLinear(units, latent_dim), *squash)
        ),
        # z has one hidden layer less than x: it enters at the second.
        "D": normal(JointJudge(of_x[1], nn.Identity(), mlp((units + latent_dim, units), batch_norm=True), units)),
    }
