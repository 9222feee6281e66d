"""DRAEM. Zavrtanik, Kristan and Skocaj, "DRAEM: A Discriminatively Trained Reconstruction Embedding for Surface Anomaly
Detection", ICCV 2021, arXiv:2108.07610.

    x --simulated defect--> x_a, mask      x_a --R--> x_hat      S(x_hat, x_a) -> logits of each pixel

R is an autoencoder trained to reconstruct x from x_a, a picture with a simulated defect: foreign texture in a mask of
Perlin noise. S, a U-Net, is trained to segment the defect by the difference between x_hat and x_a. Half of the
pictures have no defect. R minimises the squared error and 1 - SSIM, S a focal loss; both are trained as one network,
so that S's loss reaches R. The score is the maximum of S's map of probabilities after a mean filter.

It is no GAN; it is the method that a GAN for surface defects must be compared with.

Departures from the paper and the authors' code (github.com/VitjanZ/DRAEM), each pinned by a test:

- Foreign textures are those of other rows of the batch, turned, shifted and recoloured, and in one of four defects
  Perlin noise between two colours. The paper takes photographs of textures (DTD, Cimpoi et al., 2014), which are not at
  hand.
- The mask that S learns excludes pixels that the defect leaves as they were (by at most 2 % of the value range), since
  textures of the same data set may equal what they cover; with DTD's there are few.
- Scales of the noise have cells of at least four pixels; at 256x256 they are the paper's. The mean filter, of 21 pixels
  at 256x256, is scaled with the shorter side.
- Probabilities in the focal loss are not smoothed by 1e-5, and its logarithm is computed from the logits.
- Pictures of any shape and number of channels; the squared error and SSIM are taken of values from 0 to 1, as the
  paper's. In tables there are no textures: a `ParameterError`.
- One learning rate throughout, and averaged weights. The paper multiplies its rate by 0.2 after 80 and 90 % of 700
  epochs.
- Half of the defects are of other kinds (`defects`): pasted patches, scars, stains, missing and doubled parts and so
  on. Texture in Perlin noise shows what looks foreign; these show what is out of place, as on a circuit board. "paper"
  is the paper's alone.
- Our own defaults: a quarter of the widths, a higher rate for shorter training, and no rotated pictures (`rotated`;
  paper: 0.3), so that place and direction are learned.
- `generate` is an error: R only reconstructs given rows.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..detector import NeuralDetector
from ..kit.losses import l1, l2
from ..kit.recipe import ALL, Batch, Losses, Names, Stage, Terms, detector
from ..networks.draem import Both, focal, ssim
from ..parameters import Param
from ..simulate.pictures import anomalous, changed, foreign, perlin_mask, procedural

VARIED = 0.5  # share of defects of other kinds than the paper's
SIZES = (0.002, 0.1)  # their areas, as shares of the picture's
PROCEDURAL = 0.25  # share of defects whose texture is noise
LARGEST_TURN = np.pi / 2
FULL_SIZE = 256  # the side of the paper's pictures, for which `window` is given


@detector
class DRAEM(NeuralDetector):
    """DRAEM (Zavrtanik et al., 2021): a network trained on simulated defects restores a picture, and another segments
    what it has changed. For pictures only.

    The terms that `score_by` can select: "max" (the maximum of the smoothed anomaly map, the paper's score) and
    "residual" (mean |x - x_hat|). The anomaly map is the smoothed probability of each pixel to be anomalous.
    """

    width: Annotated[int, Param("channels of the first layer of the reconstructive network (paper: 128)", low=2)] = 32
    seg_width: Annotated[int, Param("channels of the first layer of the discriminative network (paper: 64)", low=2)] = (
        16
    )
    w_ssim: Annotated[float, Param("weight of 1 - SSIM beside the squared error", low=0)] = 1.0
    gamma: Annotated[float, Param("how much the focal loss neglects pixels that are classified well", low=0)] = 2.0
    anomaly_share: Annotated[float, Param("share of training pictures with a simulated defect", low=0.01, high=1)] = 0.5
    defects: Annotated[
        Literal["varied", "paper"],
        Param(
            "what is simulated: paper, foreign texture in a mask of Perlin noise; varied, that for half of the "
            "defects, and every kind of `oddgan.simulate.pictures` for the others"
        ),
    ] = "varied"
    blend: Annotated[
        float, Param("up to which share a defect is transparent: beta is uniform on [0, blend)", low=0, high=0.99)
    ] = 0.8
    rotated: Annotated[
        float, Param("share of training pictures rotated by up to 90 degrees (paper: 0.3)", low=0, high=1)
    ] = 0.0
    window: Annotated[
        int, Param("side in pixels of the map's mean filter, of 256x256 pictures; scaled for others", low=1)
    ] = 21
    batch_size: Annotated[int, Param("rows in a training batch (paper: 8)", low=2)] = 8
    lr: Annotated[
        float | dict[str, float], Param("Adam's learning rate: one, or one by player (paper: 1e-4)", low=0)
    ] = 1e-3
    beta1: Annotated[float, Param("Adam's first decay rate", low=0, high=0.9999)] = 0.9
    score_by: Annotated[Literal["max", "residual"], Param("the term that is the anomaly score")] = "max"

    kinds = ("pictures",)
    map_has_scale = True
    trains_on_simulated = True

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """R and S in one network, N."""
        return {"N": Both(shape[0], self.width, self.seg_width)}

    def stages(self) -> tuple[Stage, ...]:
        """One: R and S together."""
        return (Stage("game", ("N",), self.step),)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Squared error and 1 - SSIM of R's reconstruction, and the focal loss of S's segmentation."""
        x = batch.x()
        random = batch.random(int(torch.randint(2**62, ())))
        x = self._turned(x, random)
        x_a, mask = self.with_defects(x, random, batch.whole(x), batch.first)
        x_hat, logits = net.N(x_a)
        yield {
            "N": {
                "l2": l2(x, x_hat) / 4,  # of values from 0 to 1
                "ssim": self.w_ssim * (1 - ssim((x + 1) / 2, (x_hat.float() + 1) / 2)),
                "focal": focal(logits, mask, self.gamma),
            }
        }

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The smoothed map of probabilities, its maximum, and the residual. S runs only if it is needed."""
        x_hat = net.N.R(x)
        terms: Terms = {"x_hat": x_hat, "residual": l1(x, x_hat)}
        if "max" in names or "map" in names:
            p = net.N.S(torch.cat([x_hat, x], 1)).float().softmax(1)[:, 1:]
            side = round(self.window * min(x.shape[2:]) / FULL_SIZE) // 2 * 2 + 1
            terms["map"] = F.avg_pool2d(p, side, stride=1, padding=side // 2)[:, 0]
            terms["max"] = terms["map"].flatten(1).amax(1)
        return terms

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """R's bottleneck, averaged over places: (b, 8 width)."""
        return net.N.R.encoded(x)[-1].float().mean((2, 3))

    def with_defects(
        self, x: Tensor, random: np.random.Generator, every: Tensor | None = None, first: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Pictures x (b, C, H, W) from -1 to 1 with a simulated defect in some of them, and masks (b, H, W) bool of
        where it is. A picture whose mask of noise is empty has none, as in the authors' code. `every`: the pictures
        that foreign textures are taken from, of which x are those from `first` on; x itself where there is none."""
        others = (((x if every is None else every).detach().float() + 1) / 2).permute(0, 2, 3, 1).cpu().numpy()
        rows = others[first : first + len(x)]
        mask = np.zeros(rows.shape[:3], bool)
        found = rows.copy()
        for i, row in enumerate(rows):
            if random.random() >= self.anomaly_share:
                continue
            other = others[(first + i + random.integers(1, max(2, len(others)))) % len(others)]
            if self.defects == "varied" and random.random() < VARIED:
                found[i], mask[i] = anomalous(row, random, other=other, size=SIZES, value_range=(0.0, 1.0))
                continue
            noise = perlin_mask(row.shape[:2], random)
            texture = procedural(row.shape, random) if random.random() < PROCEDURAL else foreign(other, random)
            beta = np.float32(self.blend * random.random())
            found[i] = np.where(noise[..., None], beta * row + (1 - beta) * texture, row)
            mask[i] = noise & changed(row, found[i], 1.0)
        defective = torch.from_numpy(found).permute(0, 3, 1, 2).to(x.device) * 2 - 1
        there = torch.from_numpy(mask).to(x.device)
        return torch.where(there[:, None], defective, x), there

    def _turned(self, x: Tensor, random: np.random.Generator) -> Tensor:
        """Pictures of which some are rotated about their middle; beyond their border there is the border's colour."""
        angle = random.uniform(-LARGEST_TURN, LARGEST_TURN, len(x)) * (random.random(len(x)) < self.rotated)
        if not angle.any():
            return x
        cos, sin, lean = np.cos(angle), np.sin(angle), x.shape[2] / x.shape[3]
        across = np.stack([cos, -sin * lean, 0 * cos], 1)
        along = np.stack([sin / lean, cos, 0 * cos], 1)
        places = torch.from_numpy(np.stack([across, along], 1).astype(np.float32)).to(x.device)
        grid = F.affine_grid(places, list(x.shape), align_corners=False)
        turned = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        still = torch.from_numpy(angle == 0).to(x.device)[:, None, None, None]
        return torch.where(still, x, turned)
