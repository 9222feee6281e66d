"""DAGMM. Zong, Song, Min, Cheng, Lumezanu, Cho and Chen, "Deep Autoencoding Gaussian Mixture Model for Unsupervised
Anomaly Detection", ICLR 2018.

    x --h--> z_c --g--> x'          z = [z_c, ||x - x'|| / ||x||, cos(x, x')] --MLN--> softmax = gamma

A compression network maps a row to a few numbers: a small code and two features of the reconstruction error. An
estimation network predicts from which of K normal distributions they come, and the mixture follows in closed form. All
are trained together. The anomaly score is the energy, -log of the mixture's density at z.

Departures, each pinned by a test:

- Scores use the mixture over all training rows, fitted once after training (equation 5). ALAD's code uses that of the
  last batch, with noise added to its covariances.
- Covariances get a ridge on the diagonal and are factorised in float64, and the energy is computed by log-sum-exp. The
  two error features are so dependent that covariances become singular; ALAD's code and the widespread PyTorch code add
  1e-12 to the density instead, so that all rows beyond an energy of 27.6 tie.
- Norms in denominators are at least 1e-6.
- Pictures: the paper has tables only. Here h and g are a DCGAN-style encoder and decoder with a small code.
- Default networks for tables have two hidden layers; the paper chose others for each data set (`units`,
  `oddgan.papers.detector("dagmm", ...)`).
- By default the score adds the plain residual to the energy: z holds relative errors only, so a row far from all others
  that is reconstructed in proportion would seem normal. The paper's score is the energy alone.
- `generate` decodes the codes of draws from the mixture, which the paper does not do.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..detector import NeuralDetector
from ..errors import ParameterError
from ..kit.losses import norm2
from ..kit.recipe import ALL, Batch, Losses, Names, PreparedRows, Stage, Terms, detector
from ..networks import decoder, encoder, first_width
from ..networks.tables import mlp
from ..parameters import Param
from ..preprocessing.prepared import in_batches

SMALLEST = 1e-6  # of a norm in a denominator
RIDGE = 1e-6  # added to covariances: this share of the mean variance, and at least this


class Compression(nn.Module):
    """x (b, ...) -> x' (b, ...) and z (b, latent_dim + 2) (equations 1 to 3)."""

    def __init__(self, h: nn.Module, g: nn.Module) -> None:
        super().__init__()
        self.h, self.g = h, g

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z_c = self.h(x)
        x_hat = self.g(z_c)
        rows, hats = x.float().flatten(1), x_hat.float().flatten(1)
        length = rows.norm(dim=1).clamp_min(SMALLEST)
        distance = norm2(rows, hats) / length
        cosine = (rows * hats).sum(1) / (length * hats.norm(dim=1).clamp_min(SMALLEST))
        return x_hat, torch.cat([z_c.float(), distance[:, None], cosine[:, None]], dim=1)


class Mixture:
    """K normal distributions in m dimensions, float64: weights `phi` (K,), means `mu` (K, m), and `whiten` (K, m, m),
    the inverse Cholesky factors of the covariances."""

    def __init__(self, phi: Tensor, mu: Tensor, whiten: Tensor) -> None:
        self.phi, self.mu, self.whiten = phi, mu, whiten

    @classmethod
    def of(cls, z: Tensor, gamma: Tensor) -> tuple["Mixture", Tensor]:
        """Equation 5: the mixture of rows z (n, m) with memberships gamma (n, K), and its variances (K, m)."""
        total = gamma.sum(0).clamp_min(SMALLEST)
        mu = gamma.T @ z / total[:, None]
        centred = z[:, None] - mu
        covariance = torch.einsum("nk,nki,nkj->kij", gamma, centred, centred) / total[:, None, None]
        eye = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        mean = covariance.diagonal(dim1=1, dim2=2).mean(1).detach()
        covariance = covariance + RIDGE * mean.clamp_min(1.0)[:, None, None] * eye
        factor, _ = torch.linalg.cholesky_ex(covariance)  # a NaN is passed on, for the training loop to report
        whiten = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
        return cls(total / len(z), mu, whiten), covariance.diagonal(dim1=1, dim2=2)

    def energy(self, z: Tensor) -> Tensor:
        """Equation 6: -log of the density at z (n, m), (n,)."""
        # Sums along the last, contiguous axis: a row's rounding does not depend on its position.
        white = ((z[:, None] - self.mu)[:, :, None] * self.whiten).sum(3)
        half_log_det = self.whiten.diagonal(dim1=1, dim2=2).log().sum(1)  # of the inverse covariance
        constant = 0.5 * z.shape[1] * np.log(2 * np.pi)
        return -torch.logsumexp(self.phi.log() + half_log_det - constant - 0.5 * white.square().sum(2), dim=1)


class Estimation(nn.Module):
    """z (b, m) -> gamma (b, K) in float64 (equation 4). Its buffers are the mixture that `finish` fits."""

    phi: Tensor
    mu: Tensor
    whiten: Tensor

    def __init__(self, m: int, hidden: int, components: int) -> None:
        super().__init__()
        self.layers = mlp((m, hidden, components), activation="tanh", dropout=0.5, last=True, xavier=True)
        self.register_buffer("phi", torch.full((components,), 1 / components))
        self.register_buffer("mu", torch.zeros(components, m))
        self.register_buffer("whiten", torch.eye(m).repeat(components, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        return F.softmax(wide(self.layers(z)), dim=1)

    def mixture(self) -> Mixture:
        """The fitted mixture."""
        return Mixture(*(wide(value) for value in (self.phi, self.mu, self.whiten)))


def wide(value: Tensor) -> Tensor:
    """`value` in float64, on the CPU if its device has no float64 (mps)."""
    return (value.cpu() if value.device.type == "mps" else value).double()


@detector
class DAGMM(NeuralDetector):
    """Deep autoencoding Gaussian mixture model (Zong et al., 2018).

    The terms that `score_by` can select: "energy" (the paper's, equation 6; may be negative) and "residual"
    (||x - x'||^2, the score of the paper's plain autoencoders); "combined" adds both, each on the scale of normal rows.
    """

    latent_dim: Annotated[
        int | None, Param("size of z_c (paper: 1, Arrhythmia 2); none: 2, and 8 for pictures", low=1)
    ] = None
    width: Annotated[
        int | None, Param("channels (or units) of the first layer; none: 64, and 32 above 32x32 pixels", low=2)
    ] = None
    units: Annotated[
        str, Param("hidden layers of h for tables, as in 60-30-10 (g has them in reverse); empty: two, by width")
    ] = ""
    components: Annotated[int, Param("K, the components of the mixture (paper: 4, and 2 for small sets)", low=1)] = 4
    hidden: Annotated[int, Param("units of the estimation network's hidden layer", low=1)] = 10
    w_energy: Annotated[float, Param("lambda_1, the weight of the energy, equation 7", low=0)] = 0.1
    w_cov: Annotated[float, Param("lambda_2, the weight of the penalty on small variances, equation 7", low=0)] = 0.005
    score_by: Annotated[
        Literal["energy", "residual", "combined"], Param("the anomaly score: one term, or both together")
    ] = "combined"

    combined_terms = ("energy", "residual")
    # The energy divides by covariances, which are nearly singular where rows are close together: rounding grows.
    tolerance = 1e-4

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """C, the compression network (h and g), and M, the estimation network with its mixture."""
        latent_dim = self.latent_dim or (8 if len(shape) == 3 else 2)
        width = first_width(shape, self.width)
        if len(shape) == 3:
            h, g = encoder(shape, latent_dim, width), decoder(shape, latent_dim, width)
        else:
            layers = (shape[0], *self._hidden(width), latent_dim)
            h, g = (mlp(way, activation="tanh", last=True, xavier=True) for way in (layers, layers[::-1]))
        return {"C": Compression(h, g), "M": Estimation(latent_dim + 2, self.hidden, self.components)}

    def _hidden(self, width: int) -> tuple[int, ...]:
        if not self.units:
            return width, max(2, width // 2)
        try:
            units = tuple(int(number) for number in self.units.split("-"))
        except ValueError:
            units = (0,)
        if min(units) < 1:
            raise ParameterError(f"units={self.units!r}: expected whole numbers of at least 1, as in 60-30-10")
        return units

    def stages(self) -> tuple[Stage, ...]:
        """One stage, end to end (section 3.5)."""
        return (Stage("mixture", ("C", "M"), self.step),)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Equation 7. The mixture is that of the batch, so these terms depend on all its rows; a score does not."""
        x = batch.x()
        x_hat, z = net.C(x)
        z, gamma = wide(z), net.M(z)
        mixture, variances = Mixture.of(batch.whole(z), batch.whole(gamma))
        energy = {
            "energy": self.w_energy * mixture.energy(z),
            "cov": self.w_cov * variances.reciprocal().sum(),
        }
        yield {"C": {"rec": norm2(x, x_hat).square(), **energy}, "M": energy}

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Fit the mixture for scoring: equation 5 over all training rows, without dropout."""
        device = net.M.mu.device
        z = torch.cat([net.C(x.to(device))[1] for x in in_batches(rows)])
        mixture, _ = Mixture.of(wide(z), net.M(z))
        for name in ("phi", "mu", "whiten"):
            getattr(net.M, name).copy_(getattr(mixture, name))

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Equation 6 with the fitted mixture, and the reconstruction error."""
        x_hat, z = net.C(x)
        return {"x_hat": x_hat, "energy": net.M.mixture().energy(wide(z)), "residual": norm2(x, x_hat).square()}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """z: the code and the two error features."""
        return net.C(x)[1]

    def latents(self, net: Any, n: int) -> Tensor:
        """The codes of n draws of z from the mixture."""
        mixture = net.M.mixture()
        k = torch.multinomial(mixture.phi, n, replacement=True)
        noise = torch.randn(n, mixture.mu.shape[1], 1, dtype=mixture.mu.dtype, device=mixture.mu.device)
        z = mixture.mu[k] + torch.linalg.solve_triangular(mixture.whiten[k], noise, upper=False)[:, :, 0]
        return z[:, :-2].float().to(net.M.mu.device)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """g of codes."""
        return net.C.g(z)
