"""OCR-GAN. Liang, Zhang, Zhao, Wu, Liu and Pan, "Omni-frequency Channel-selection Representations for Unsupervised
Anomaly Detection", IEEE Transactions on Image Processing 2023, arXiv:2203.00259.

    x = lap + res     lap --G.lap--> lap_hat          x_hat = lap_hat + res_hat
                               |  channel selection   D(x) -> (logit, features f(x)): real; D(x_hat), D(pasted): fake
                      res --G.res--> res_hat          pasted: CutPaste(x)

A picture is decoupled into its detail (lap, a level of the Laplacian pyramid) and the rest (res). Two U-Nets
reconstruct one each; after every layer down, attention selects between the channels of the two. D also learns to reject
pictures with a patch that was cut out and pasted elsewhere, so that its features are those by which such faults show.
An anomaly is reconstructed less well, or its features and those of its reconstruction differ.

Departures from the paper's code (github.com/zhangzjn/OCR-GAN), each pinned by a test:

- Detail has its sign, and lap + res is the picture. The authors' code subtracts 8-bit pixels with saturation, which
  loses dark detail, and brings each part to [-1, 1] by itself, so that lap + res is about x - 1; pasted pictures remain
  at x, and D knows them by their brightness alone. `decoupling="saturated"` does the same.
- Channel selection is learned, as the paper says. The authors' code makes its layers anew at every pass, in training
  and test: `selection="random"` does so in training. Its scores use one draw, the same in every model, so that a
  picture always scores the same.
- G's input is lap and res. The authors' code adds a tensor that it never initialises to both.
- D is trained on its cross-entropies alone. The authors' code adds G's latent loss to D's (`w_lat_d`), which trains D
  to ignore the difference between x and x_hat that its features are meant to show.
- Batch statistics in D in all of training: after the first test, the authors' code leaves D in evaluation mode.
- D is not re-initialised when its loss falls below 1e-5.
- The last weights are used, not those of the epoch with the best AUROC on the test set, and scores are not rescaled
  with test data.
- Pictures of any shape from 8x8 and any number of channels; the cut-out grows with the picture (20 pixels at 256), and
  a patch may lie at every place. D's layers are at most 32 times as wide as the first, as they are at 256x256.
- Our own defaults: half the width, fewer features for small pictures, averaged weights.
- `generate` is an error: G only reconstructs given pictures. Tables have no frequencies: they are an error, too.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from torch import Tensor, nn

from ..detector import NeuralDetector
from ..kit.losses import bce, l1, l2
from ..kit.recipe import ALL, Batch, Losses, Names, Terms, detector
from ..networks import ocrgan
from ..networks.latent import latent_size
from ..parameters import Param
from ..simulate.cut_paste import cut_paste


@detector
class OCRGAN(NeuralDetector):
    """OCR-GAN (Liang et al., 2023), for pictures: twin U-Nets reconstruct detail and the rest; D also rejects pictures
    with a pasted patch.

    The terms that `score_by` can select: "residual" (mean |x - x_hat|), "residual_mse" (mean (x - x_hat)^2), "latent"
    (mean (f(x) - f(x_hat))^2); "paper" (lam residual_mse + (1 - lam) latent); "combined" adds residual and latent, each
    on the scale of normal rows. The anomaly map is |x - x_hat|, averaged over channels.
    """

    latent_dim: Annotated[
        int | None, Param("size of f (authors' code: 100); none: an eighth of a row's values, 4 to 100", low=1)
    ] = None
    width: Annotated[int, Param("channels of the first layer (authors' code: 64)", low=2)] = 32
    decoupling: Annotated[
        Literal["signed", "saturated"],
        Param(
            "how detail is separated. signed: with its sign, without loss; saturated: as in the authors' code, in 8 "
            "bits and without what is darker than its surroundings"
        ),
    ] = "signed"
    selection: Annotated[
        Literal["learned", "random", "off"],
        Param(
            "channel selection between detail and the rest. learned: as in the paper; random: by weights drawn anew "
            "at every pass of training, as in the authors' code; off: none"
        ),
    ] = "learned"
    w_adv: Annotated[float, Param("weight of D's verdict on x_hat", low=0)] = 1.0
    w_con: Annotated[float, Param("weight of reconstruction", low=0)] = 50.0
    w_lat: Annotated[float, Param("weight of the distance of D's features", low=0)] = 1.0
    w_paste: Annotated[float, Param("weight of D's verdict on pasted pictures; 0: they are left out", low=0)] = 1.0
    w_lat_d: Annotated[
        float, Param("weight of the distance of D's features in D's own loss (authors' code: 1)", low=0)
    ] = 0.0
    lam: Annotated[float, Param("weight of the residual in the score paper", low=0, high=1)] = 0.9
    batch_size: Annotated[
        int, Param("rows in a training batch, of all processes together", low=2, group="training")
    ] = 32
    score_by: Annotated[
        Literal["residual", "residual_mse", "latent", "paper", "combined"],
        Param("the anomaly score: one term, or residual and latent together"),
    ] = "paper"

    combined_terms = ("residual", "latent")

    kinds = ("pictures",)
    trains_on_simulated = True

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G and D."""
        latent_dim = latent_size(shape, self.latent_dim)
        return {
            "G": ocrgan.generator(shape, width=self.width, selection=self.selection),
            "D": ocrgan.discriminator(shape, latent_dim=latent_dim, width=self.width),
        }

    def decouple(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """lap and res of pictures x (b, C, H, W)."""
        return ocrgan.decouple(x) if self.decoupling == "signed" else ocrgan.decouple_saturated(x)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Adversarial, contextual and latent loss for G; for D, cross-entropies of pictures, reconstructions and pasted
        pictures. D's loss does not depend on G's update, so both come from one pass."""
        x = batch.x()
        lap, res = self.decouple(x)
        whole, whole_hat = lap + res, _whole(*net.G(lap, res))
        real, f_real = net.D(whole)
        fake, f_fake = net.D(whole_hat)
        distance = l2(f_real, f_fake)
        for_d = {"real": bce(real, 1.0), "fake": bce(fake, 0.0)}
        if self.w_paste:
            pasted, _ = cut_paste(x)
            for_d["paste"] = self.w_paste * bce(net.D(pasted)[0], 0.0)
        if self.w_lat_d:
            for_d["lat"] = self.w_lat_d * distance
        yield {
            "G": {
                "adv": self.w_adv * bce(fake, 1.0),
                "con": self.w_con * l1(whole, whole_hat),
                "lat": self.w_lat * distance,
            },
            "D": for_d,
        }

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """A(x) = lam R(x) + (1 - lam) L(x), its parts, and where x and x_hat differ."""
        lap, res = self.decouple(x)
        whole, whole_hat = lap + res, _whole(*net.G(lap, res))
        square, latent = l2(whole, whole_hat), l2(net.D(whole)[1], net.D(whole_hat)[1])
        terms = {
            "x_hat": whole_hat if self.decoupling == "signed" else whole_hat + 1,
            "residual": l1(whole, whole_hat),
            "residual_mse": square,
            "latent": latent,
            "paper": self.lam * square + (1 - self.lam) * latent,
        }
        if "map" in names:
            terms["map"] = (whole - whole_hat).abs().mean(1)
        return terms

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """f(x), D's latent features."""
        return net.D(_whole(*self.decouple(x)))[1]


def _whole(lap: Tensor, res: Tensor) -> Tensor:
    """The picture (b, C, H, W) that two parts, each perhaps in reduced precision, make."""
    return lap.float() + res.float()
