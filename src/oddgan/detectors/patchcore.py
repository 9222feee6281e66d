"""PatchCore. Roth, Pemula, Zepeda, Schölkopf, Brox and Gehler, "Towards Total Recall in Industrial Anomaly Detection",
CVPR 2022, arXiv:2106.08265.

    x --F--> maps of two layers --3x3 means, one size--> a vector p(h, w) of each patch
    training patches --greedy k-centre--> M, the memory
    map (h, w) = min over m in M of |p(h, w) - m|          score: its maximum

F is a network that was trained on other pictures, and nothing is trained here: the memory holds patches of normal
pictures, as few of them as stand for all, and a patch is anomalous if it is far from every one of them. Where in a
picture a patch lies does not count, so parts need not be aligned.

It is no GAN; it is the method that a GAN for surface defects must be compared with.

Departures from the paper and the authors' code (github.com/amazon-science/patchcore-inspection), each pinned by a test:

- F's weights are not downloaded. `backbone` names a file of them, in torchvision's format, or an ONNX file of any
  network; they are stored in the model file. Without one F is a bank of random orthogonal filters (`FilterBank`), which
  needs none: its features are edges and textures, not what a network has learned of a million photographs, and defects
  of form that edges do not show remain unseen. Only its maps are divided by their deviations over training patches.
- The score is the plain maximum. The paper multiplies it by a weight from the neighbours of the nearest m.
- Features are joined as they are. The authors' code averages each layer's to 1024 numbers, and the joined ones again.
- Neighbourhoods at the border have fewer places. In the authors' code zeros are beyond it.
- The core set is chosen among at most `max_patches` patches, equally many of each picture, in a random projection to 64
  dimensions. The authors project to 128.
- Pictures are those of the preprocessing, and neither resized to 256 nor cropped to 224.
- The map is interpolated to the picture and not smoothed: `map_blur` and the library's standardisation do that, and
  the library's rule takes the maximum of the standardised map as the score of larger pictures.
- In tables there are no patches: a `ParameterError`. `generate` is an error.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..detector import Detector
from ..errors import ParameterError
from ..kit.recipe import ALL, Names, PreparedRows, Terms, detector
from ..networks.backbones import FilterBank, ResNet
from ..networks.memory import Memory
from ..networks.onnx_backbone import OnnxFeatures, PatchRows
from ..networks.onnx_graphs import is_onnx
from ..parameters import Param
from ..verdict.patches import PatchMemory, core_set, patch_vectors, resized

MOST_ROWS = 2_000  # training pictures, or tiles, that patches are taken from
BATCH = 16


@detector
class PatchCore(Detector):
    """PatchCore (Roth et al., 2022): a patch is anomalous if it is far from every patch of normal pictures that is kept
    in a memory. For pictures only; nothing is trained.

    The terms that `score_by` can select: "max" (the largest distance of a patch to the memory, the paper's score
    without its weight) and "mean" (the mean distance). The anomaly map is the distance at each place.
    """

    backbone: Annotated[
        str | None,
        Param(
            "path of a .safetensors file of weights, named as torchvision's, or of an .onnx file of any network; "
            "needed for a fit, not to use the model; none: architecture own, which has no weights to load"
        ),
    ] = None
    architecture: Annotated[
        Literal["own", "resnet18", "wide_resnet50_2"],
        Param(
            "the network that describes patches: a residual network whose weights are in backbone (paper: "
            "wide_resnet50_2); own: the network in an .onnx file, or without a file a bank of fixed filters"
        ),
    ] = "own"
    layers: Annotated[
        str,
        Param(
            "layers whose features describe a patch, with commas between them, of an .onnx file names of node outputs; "
            "the first gives the map's size"
        ),
    ] = "layer2,layer3"
    core: Annotated[
        float,
        Param("share of the training patches that is kept in the memory (paper: 0.25, 0.1 and 0.01)", low=1e-4, high=1),
    ] = 0.1
    max_patches: Annotated[
        int, Param("maximum number of training patches that the memory is chosen from, drawn by the seed", low=1)
    ] = 20_000
    score_by: Annotated[Literal["max", "mean"], Param("the term that is the anomaly score")] = "max"

    kinds = ("pictures",)
    reconstructs = False
    pads_blocks = False  # each picture is computed by itself

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """F, whose weights are loaded by `finish`, and M."""
        layers = [name.strip() for name in self.layers.split(",") if name.strip()]
        if is_onnx(self.backbone):
            if self.architecture != "own":
                raise ParameterError(
                    f"architecture={self.architecture}: is for a .safetensors file; an ONNX file holds its network, so "
                    "leave architecture out"
                )
            onnx = OnnxFeatures(layers, shape)
            return {"F": onnx, "M": PatchRows(onnx, least=1)}
        if (self.architecture == "own") != (self.backbone is None):
            raise ParameterError(
                f"architecture={self.architecture}: needs the file of its weights; set backbone"
                if self.backbone is None
                else f"backbone={self.backbone}: set architecture to the network whose weights it holds"
            )
        F = FilterBank(shape, layers) if self.backbone is None else ResNet(self.architecture, layers, shape[0])
        return {"F": F, "M": Memory(F.features, least=1)}

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Load F's weights, and keep a core set of the training patches."""
        if self.backbone is not None:
            net.F.take(self.backbone)
        seed = int(torch.randint(2**31 - 1, ()))
        patches = torch.from_numpy(self._drawn(net, rows, np.random.default_rng(seed)))
        if self.backbone is None:
            patches = net.F.normalise(patches)
        vectors = patches.numpy()
        found = PatchMemory.of(vectors)
        chosen = core_set(found.vectors, math.ceil(self.core * len(vectors)), seed)
        net.M.keep(patches[torch.from_numpy(chosen)])

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The largest and the mean distance of a picture's patches to the memory, and the map of them."""
        memory = _memory(net.M)
        maps = np.stack([memory.distances(patches) for patches in _patches(net, x)])
        flat = torch.from_numpy(maps).flatten(1)
        terms = {"max": flat.amax(1), "mean": torch.stack([one.double().mean() for one in flat])}
        if "map" in names:
            terms["map"] = torch.from_numpy(resized(maps, x.shape[2:]))
        return terms

    def patch_maps(self, net: Any, x: Tensor) -> Sequence[Tensor]:
        """F's maps."""
        return net.F(x)

    def patch_memory(self, net: Any) -> PatchMemory | None:
        """M."""
        return _memory(net.M)

    def why_not_exported(self) -> str:
        """A backbone in an ONNX file is a graph of its own."""
        if not is_onnx(self.backbone):
            return ""
        return (
            "its backbone is a graph of its own, which is not joined with another; take one whose weights are in a "
            ".safetensors file, or none"
        )

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """The mean of a picture's patches, (b, f)."""
        return torch.from_numpy(np.stack([patches.mean((0, 1)) for patches in _patches(net, x)]))

    def _drawn(self, net: Any, rows: PreparedRows, random: np.random.Generator) -> np.ndarray:
        """Training patches (n, f) float32: equally many of each picture, at random places."""
        most = min(MOST_ROWS, self.max_patches)
        numbers = np.sort(random.permutation(len(rows))[:most])
        each = self.max_patches // len(numbers)
        found = []
        for start in range(0, len(numbers), BATCH):
            x = rows.batch(numbers[start : start + BATCH]).to(net.M.rows.device)
            for patches in _patches(net, x):
                vectors = patches.reshape(-1, patches.shape[2])
                found.append(vectors[np.sort(random.permutation(len(vectors))[:each])])
        return np.concatenate(found)


def _patches(net: Any, x: Tensor) -> Iterator[np.ndarray]:
    """The patches (h, w, f) of each picture, computed by itself: so they do not depend on the others."""
    for picture in torch.split(x, 1):
        maps = net.F(picture.contiguous(memory_format=torch.channels_last))
        yield patch_vectors([one.detach().float().cpu().numpy() for one in maps])[0]


def _memory(memory: Memory) -> PatchMemory:
    """The patches that are kept, made ready for the search once."""
    if memory.fitted is None or memory.fitted[0] is not memory.rows:
        memory.fitted = memory.rows, PatchMemory(memory.rows.cpu().numpy())
    return memory.fitted[1]
