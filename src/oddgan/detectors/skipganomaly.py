"""Skip-GANomaly. Akcay, Atapour-Abarghouei and Breckon, "Skip-GANomaly: Skip Connected and Adversarially Trained
Encoder-Decoder Anomaly Detection", IJCNN 2019, arXiv:1901.08954.

    x --G.downs--> --G.ups--> x_hat          D(x) -> (logit, latent features f(x))
          '----------'  skip connections

G is a U-Net, whose skip connections let it reconstruct fine detail; D discriminates rows from reconstructions, and its
last features are the latent space in which the two are compared. An anomaly is reconstructed less well, or its features
and those of its reconstruction differ.

Departures from the paper and the authors' code, each pinned by a test:

- G's input is x. The authors' code adds a tensor that it never initialises.
- D is trained on its cross-entropies alone. The authors' code adds G's latent loss to D's, which trains D to ignore the
  difference between x and x_hat that its features are meant to show.
- The discriminator is not re-initialised when its loss falls below 1e-5, as the authors' code intends to do.
- Evaluation mode at test time, and no rescaling of scores with test data: the authors' code does neither.
- Pictures of any shape and number of channels (the authors' code: three), and tables, by the rule in `oddgan.networks`;
  at 32x32 the networks are the paper's.
- Our own defaults: half the width, fewer latent features for small rows, averaged weights.
  `oddgan.papers.detector("skipganomaly", ...)` has the paper's.
- `generate` is an error: G only reconstructs given rows, and there is no latent distribution to draw from.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.losses import bce, l1, l2
from ..kit.recipe import ALL, Batch, Losses, Names, Terms, detector
from ..networks import unet
from ..networks.latent import latent_size
from ..parameters import Param


@detector
class SkipGANomaly(NeuralDetector):
    """Skip-GANomaly (Akcay et al., 2019): a U-Net reconstructs the row; both are compared by values and D's features.

    The terms that `score_by` can select: "residual" (mean |x - x_hat|), "residual_mse" (mean (x - x_hat)^2), "latent"
    (mean (f(x) - f(x_hat))^2); "paper" (lam residual + (1 - lam) latent), "code" (the same with residual_mse, as in the
    authors' code); "combined" adds residual and latent, each on the scale of normal rows.
    """

    latent_dim: Annotated[
        int | None, Param("size of f (paper: 100); none: an eighth of a row's values, 4 to 100", low=1)
    ] = None
    width: Annotated[int, Param("channels (or units) of the first layer (paper: 64)", low=2)] = 32
    w_adv: Annotated[float, Param("weight of D's verdict on x_hat", low=0)] = 1.0
    w_con: Annotated[float, Param("weight of reconstruction (paper: 40, authors' code: 50)", low=0)] = 40.0
    w_lat: Annotated[float, Param("weight of the distance of D's features", low=0)] = 1.0
    lam: Annotated[float, Param("weight of the residual in the scores paper and code", low=0, high=1)] = 0.9
    score_by: Annotated[
        Literal["residual", "residual_mse", "latent", "paper", "code", "combined"],
        Param("the anomaly score: one term, or residual and latent together"),
    ] = "paper"

    combined_terms = ("residual", "latent")

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G and D."""
        latent_dim = latent_size(shape, self.latent_dim)
        return {
            "G": unet.generator(shape, width=self.width),
            "D": unet.discriminator(shape, latent_dim=latent_dim, width=self.width),
        }

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Adversarial, contextual and latent loss for G, cross-entropies for D. D's loss does not depend on G's update,
        so both come from one pass."""
        x = batch.x()
        x_hat = net.G(x)
        real, f_real = net.D(x)
        fake, f_fake = net.D(x_hat)
        yield {
            "G": {
                "adv": self.w_adv * bce(fake, 1.0),
                "con": self.w_con * l1(x, x_hat),
                "lat": self.w_lat * l2(f_real, f_fake),
            },
            "D": {"real": bce(real, 1.0), "fake": bce(fake, 0.0)},
        }

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """A(x) = lam R(x) + (1 - lam) L(x) in both published forms, and its parts."""
        x_hat = net.G(x)
        residual, square = l1(x, x_hat), l2(x, x_hat)
        latent = l2(net.D(x)[1], net.D(x_hat)[1])
        return {
            "x_hat": x_hat,
            "residual": residual,
            "residual_mse": square,
            "latent": latent,
            "paper": self.lam * residual + (1 - self.lam) * latent,
            "code": self.lam * square + (1 - self.lam) * latent,
        }

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """f(x), D's latent features."""
        return net.D(x)[1]
