"""ContraD. Jeong and Shin, "Training GANs with Stronger Augmentations via Contrastive Discriminator", ICLR 2021,
arXiv:2103.09742. Its contrastive losses are SimCLR's (Chen et al., 2020) and SupCon's (Khosla et al., 2020).

    z --G--> x_fake          D: augment(x) --trunk--> features f, and three heads on them: h_r(f), h_f(f), d(f)

h_r(f) is trained to be similar for two augmentations of one row and dissimilar for different rows; h_f(f) to be similar
among generated rows and dissimilar between generated and real rows; d discriminates real from generated rows by
features that its loss does not reach. D's features are thus learned from what normal rows have in common under
irrelevant changes, and from what generated rows still lack.

The paper generates pictures. The score is ours: the distance to the nearest training rows (`local="distance"`), for
pictures between directions of h_r(f), the space in which similarity was learned, or of f, or of f and of the picture
itself; for tables, in f. An anomalous row is one unlike anything that D has seen, whether or not G could generate it.

Departures from the paper and the authors' code (github.com/jh-jeong/ContraD):

- Augmentations are shifts, rotations and warps, which preserve the identity of digits, products and scans; the authors
  also crop, flip and change colours. In tables, columns are replaced by other rows' (Bahri et al., SCARF, ICLR 2022).
- `turns`, for normal pictures of one kind, is not theirs: a picture rotated by 90 degrees counts as a different one, as
  in CSI (Tack et al., NeurIPS 2020), which showed that contrastive learning detects anomalies.
- Batches of 128 at 1e-3 (512 at 2e-4), a latent and a width that suit small data, averaged weights in D as well as G.
- A smaller trunk, with features k of four times the width.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..detector import NeuralDetector
from ..errors import ParameterError
from ..kit.augmentation import augment
from ..kit.losses import bce
from ..kit.recipe import ALL, Batch, Losses, Names, Terms, detector
from ..networks import decoder
from ..networks.contrad import ContrastiveDiscriminator
from ..networks.latent import Latent, latent_size
from ..parameters import Param


@detector
class ContraD(NeuralDetector):
    """ContraD (Jeong and Shin, 2021): a GAN with a contrastive discriminator; the score is the distance to the nearest
    training rows in its features.

    With `local="off"` the score is its one term, "verdict", -log D(x): a weak score, as for any discriminator. There is
    no reconstruction and no anomaly map.
    """

    latent_dim: Annotated[
        int | None, Param("size of z (paper: 128); none: an eighth of a row's values, 4 to 100", low=1)
    ] = 32
    width: Annotated[
        int, Param("channels of D's first layer; D has four times as many features (paper's D: 64)", low=2)
    ] = 64
    strength: Annotated[float, Param("strength of the augmentations; at 1 a digit is still legible", low=0, high=2)] = (
        1.0
    )
    turns: Annotated[
        bool,
        Param("treat rotations of a square picture by 90 degrees as different pictures, and score all four"),
    ] = False
    compare: Annotated[
        Literal["h_r", "f", "f+x"],
        Param(
            "the embedding in which pictures are compared: h_r(f), in which similarity was learned; f; or f and the "
            "picture itself, whose distances are multiplied (ratio and density use f alone); tables always use f"
        ),
    ] = "h_r"
    temperature: Annotated[float, Param("temperature of the contrastive losses (paper: 0.1)", low=0.001)] = 0.2
    w_fake: Annotated[float, Param("weight of the contrastive loss of generated rows (paper: 1)", low=0)] = 1.0
    batch_size: Annotated[int, Param("rows in a training batch (paper: 512)", low=2)] = 128
    lr: Annotated[
        float | dict[str, float], Param("Adam's learning rate: one, or one by player (paper: 2e-4)", low=0)
    ] = 1e-3
    local: Annotated[
        Literal["off", "ratio", "density", "distance", "views"],
        Param(
            "score a row against the training rows nearest to it. distance: the mean distance to them; density: the "
            "local outlier factor among them; ratio: its verdict over their mean verdict; off: the verdict alone"
        ),
    ] = "distance"
    neighbours: Annotated[int, Param("number of nearest training rows that a row is compared with", low=1)] = 5
    score_by: Annotated[Literal["verdict"], Param("the term that is the anomaly score if local is off")] = "verdict"

    reconstructs = False
    locates = False
    after_training = ("compare",)

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G, D and the latent space Z."""
        if self.turns and (len(shape) == 1 or shape[1] != shape[2]):
            raise ParameterError(
                f"turns: needs square pictures, and a row here is {'x'.join(map(str, shape))}; "
                "set size, or leave turns out"
            )
        latent_dim = latent_size(shape, self.latent_dim)
        return {
            "G": decoder(shape, latent_dim, self.width),
            "D": ContrastiveDiscriminator(shape, self.width),
            "Z": Latent(latent_dim, "normal"),
        }

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """D is updated on L_con+ + w_fake L_con- + L_dis (section 3), then G on -log D(augment(G(z)))."""
        x, D = batch.x(), net.D
        if self.turns:
            quarters = torch.randint(4, (len(x), 1, 1, 1), device=x.device)
            x = sum((x.rot90(k, (2, 3)) * (quarters == k) for k in range(4)), torch.zeros_like(x))
        with torch.no_grad():
            x_fake = net.G(batch.z(net.Z.latent_dim)).float()
        n = len(x)
        f = D.trunk(augment(torch.cat([x, x, x_fake]), self.strength, groups=3))
        logit = torch.flatten(D.judge(f.detach()))
        apart = batch.whole(F.normalize(D.of_fake(f).float()), groups=3)
        alike = batch.whole(F.normalize(D.of_real(f[: 2 * n]).float()), groups=2)
        real, fake = apart[: len(alike)], apart[len(alike) :]
        yield {
            "D": {
                "contrast": pairs_apart(alike, self.temperature),
                "contrast_fake": self.w_fake * fakes_apart(real, fake, self.temperature),
                "real": bce(logit[:n], 1.0),
                "fake": bce(logit[2 * n :], 0.0),
            }
        }
        logit, _ = D(augment(net.G(batch.z(net.Z.latent_dim)), self.strength))
        yield {"G": {"adv": bce(logit, 1.0)}}

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """D's verdict on x without augmentation, if requested: a distance needs no pass other than that of `embed`."""
        return {"verdict": bce(net.D(x)[0], 1.0)} if "verdict" in names else {}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """The embedding in which rows are compared: for pictures h_r(f(x)) (b, 2 width) or f(x) (b, 4 width), of length
        one, and with `turns` concatenated for all four rotations; for tables f(x), not normalised."""
        if x.ndim == 2:
            return net.D.trunk(x).float()
        found = [net.D.trunk(x.rot90(k, (2, 3))) for k in range(4 if self.turns else 1)]
        if self.compare == "h_r":
            found = [net.D.of_real(f) for f in found]
        return torch.cat([F.normalize(f.float()) for f in found], 1)

    def embeddings(self, net: Any, x: Tensor) -> Sequence[Tensor]:
        """The embedding of `embed` and, with "f+x", the pictures from 0 (dark) upwards, normalised to length one."""
        f = self.embed(net, x)
        if self.compare != "f+x" or x.ndim == 2:
            return (f,)
        return f, F.normalize((x + 1).flatten(1).double()).float()

    def latents(self, net: Any, n: int) -> Tensor:
        """z, n draws from the prior."""
        return net.Z.draw(n)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """G(z)."""
        return net.G(z)


def pairs_apart(v: Tensor, temperature: float) -> Tensor:
    """L_con+ (2n,): -log softmax of each augmentation's similarity to the other one of its row, among all (NT-Xent).

    v (2n, k), of length one: the first augmentations of n rows, then the second ones in the same order.
    """
    similarity = (v @ v.t() / temperature).masked_fill(torch.eye(len(v), dtype=torch.bool, device=v.device), -torch.inf)
    return F.cross_entropy(similarity, torch.arange(len(v), device=v.device).roll(len(v) // 2), reduction="none")


def fakes_apart(real: Tensor, fake: Tensor, temperature: float) -> Tensor:
    """L_con- (n,): -log softmax of each generated row's similarity to the others, among all rows, in the mean.

    real (m, k) and fake (n, k), of length one.
    """
    itself = torch.eye(len(fake), dtype=torch.bool, device=fake.device)
    similarity = torch.cat(
        [(fake @ fake.t() / temperature).masked_fill(itself, -torch.inf), fake @ real.t() / temperature], 1
    )
    others = F.log_softmax(similarity, 1)[:, : len(fake)].masked_fill(itself, 0.0)
    return -others.sum(1) / max(1, len(fake) - 1)
