"""What a detector declares: its parameters, its networks, its game and its score.

A detector's file derives from `NeuralDetector` and fills in `build`, `step`, `score_rows`, `embed` and `sample`, and
`stages` and `finish` where its paper trains in several stages or fits something afterwards. A detector without networks
to train derives from `Detector` and has `finish` instead of `step`. Nothing here trains or scores. What is declared of
training is in `oddgan.kit.neural`.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from torch import Tensor, nn

from ..errors import ParameterError
from ..parameters import Param, declared, plain
from ..preprocessing.prepared import PreparedRows
from ..training import Batch, Losses, Stage
from ..verdict.maps import MOST_BLUR
from ..verdict.patches import PatchMemory
from . import registry
from .declaration import AUTO, detector

__all__ = [
    "ALL",
    "AUTO",
    "Batch",
    "Losses",
    "Names",
    "PreparedRows",
    "Recipe",
    "Stage",
    "Terms",
    "detector",
]

Terms = dict[str, Tensor]
"""What `Recipe.score_rows` returns, by name."""

Names = Container[str]
"""Which terms are asked for."""


class _All:
    def __contains__(self, name: object) -> bool:
        return True


ALL: Names = _All()
"""Every term that there is."""


@dataclass(kw_only=True, eq=False, repr=False)
class Recipe(ABC):
    """The parameters that all detectors share, and what each declares of itself. Hyper-parameters stand here and
    networks in one container; a recipe itself holds no state."""

    size: Annotated[
        int | tuple[int, int] | None,
        Param(
            "height and width of the networks' pictures; none: the training pictures' or the tile's, at most 64",
            low=8,
            group="pictures",
        ),
    ] = None
    tile: Annotated[
        int | None,
        Param(
            "side in pixels of the squares that pictures are cut into at their own resolution, each scored by itself; "
            "none: whole pictures are resized to size",
            low=8,
            group="pictures",
        ),
    ] = None
    stride: Annotated[
        int | None,
        Param("pixels from one tile to the next when pictures are scored; none: half a tile", low=1, group="pictures"),
    ] = None
    top_tiles: Annotated[
        int,
        Param(
            "how many of a picture's most anomalous tiles are averaged into each of the detector's own terms",
            low=1,
            group="pictures",
        ),
    ] = 1
    channels: Annotated[
        int | None,
        Param("channels of the networks' pictures: 1 grey, 3 colour; none: as in training", low=1, group="pictures"),
    ] = None
    value_range: Annotated[
        tuple[float, float] | None,
        Param(
            "pixel values that become -1 and 1; none: 0,255 for 8-bit pictures, else the training pictures' range",
            low=-1e30,
            high=1e30,
            group="pictures",
        ),
    ] = None
    roi: Annotated[
        tuple[int, int, int, int] | str | None,
        Param(
            "region of interest: LEFT,TOP,WIDTH,HEIGHT in pixels, or the path of a picture of the same size that is "
            "black outside; nothing outside is trained on, scored, mapped or counted",
            low=0,
            group="pictures",
        ),
    ] = None
    map_blur: Annotated[
        float | None,
        Param(
            "sigma in pixels of the Gaussian that smooths anomaly maps; none: the mean of four, 1/128 to 1/16 of the "
            "side of the networks' pictures, or of a tile",
            low=0,
            high=MOST_BLUR,
            group="pictures",
        ),
    ] = None
    exposure: Annotated[
        Literal["none", "gain", "contrast"],
        Param(
            "bring each picture to the brightness (gain), or brightness and contrast, that are typical of training",
            group="pictures",
        ),
    ] = "none"
    convert: Annotated[
        bool,
        Param(
            "accept pictures whose size or channels differ from the training pictures', and convert them",
            group="pictures",
        ),
    ] = False
    scaling: Annotated[
        Literal["standard", "minmax", "robust", "quantile", "none"],
        Param(
            "of a table's numeric columns: by mean and deviation, from 0 to 1, by median and quartiles, by rank to a "
            "normal distribution, or not at all",
            group="tables",
        ),
    ] = "standard"
    log_tails: Annotated[
        bool, Param("take the logarithm of a table's numeric columns that have heavy tails", group="tables")
    ] = False
    rare: Annotated[
        float,
        Param(
            "share of training rows below which a category of a table is pooled with other rare ones",
            low=0,
            high=1,
            group="tables",
        ),
    ] = 0.001
    device: Annotated[
        str,
        Param(
            "where to compute: auto, cpu, cuda, cuda:1, mps; auto takes a CUDA GPU if there is one", group="computing"
        ),
    ] = "auto"
    random_state: Annotated[
        int | np.random.RandomState | np.random.Generator | None,
        Param(
            "seed of everything random: a whole number, or a NumPy generator; none: a new one each time",
            low=0,
            high=2**63,
            group="computing",
        ),
    ] = None
    calibrate_fraction: Annotated[
        float,
        Param(
            "share of the rows held out to calibrate, half as many to tune (1000 at most, or what the rate needs)",
            low=0.01,
            high=0.9,
            group="calibration",
        ),
    ] = 0.2
    false_alarm_rate: Annotated[
        float | Literal["auto"],
        Param(
            "share of normal rows that may be called anomalies; auto: 0.01, or what the rows allow",
            low=1e-9,
            high=0.999,
            group="calibration",
        ),
    ] = "auto"
    score_by: Annotated[str, Param("the term that is the anomaly score")] = AUTO
    local: Annotated[
        Literal["off", "ratio", "density", "distance", "views", "patches"],
        Param(
            "compare a row with the training rows nearest to it. ratio: each score term over its mean among them; "
            "density: the row's local outlier factor among them; distance: the mean distance to them; views: how "
            "unusual that distance is where it is most so, of the row, of its columns by range and by rank, and of the "
            "features; the last three replace the detector's own terms. patches: the anomaly map is each patch's "
            "distance, in D's or E's first layers, to the nearest patch of training pictures",
            group="neighbours",
        ),
    ] = "off"
    near: Annotated[
        Literal["features", "rows", "both"],
        Param(
            "nearest in what: the detector's features, the rows as they are, or both, whose distances are multiplied; "
            "views look at the rows in any case",
            group="neighbours",
        ),
    ] = "features"
    neighbours: Annotated[
        int, Param("how many training rows a row is compared with, where local asks for it", low=1, group="neighbours")
    ] = 10
    block_size: Annotated[
        int,
        Param(
            "rows that are scored together, a power of two: 64 for throughput, 1 for latency",
            low=1,
            high=4096,
            group="computing",
        ),
    ] = 64

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        registry.add(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("_fixed"):
            raise AttributeError(f"{name}: a fitted model's recipe does not change; set parameters before the next fit")
        super().__setattr__(name, value)

    def fixed(self, **changes: Any) -> Self:
        """A recipe with these parameters, in plain Python values, and `changes`, that does not change any more."""
        values = {name: plain(getattr(self, name)) for name in declared(type(self))}
        recipe = type(self)(**{**values, **changes})
        recipe.check_parameters()
        recipe.__dict__["_fixed"] = True
        return recipe

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of all declared parameters by name."""
        return {name: getattr(self, name) for name in declared(type(self))}

    def check_parameters(self) -> None:
        """Raise `ParameterError` that names the first parameter of a wrong type or out of its range."""
        for name, declaration in declared(type(self)).items():
            declaration.check(getattr(self, name))
        if self.block_size & (self.block_size - 1):
            raise ParameterError(f"block_size={self.block_size}: must be a power of two")
        usual = {Recipe.neighbours, type(self).neighbours}
        if self.local == "off" and (self.neighbours not in usual or self.near != Recipe.near):
            own = f"; {type(self).__name__}'s own number of neighbours is k" if "k" in declared(type(self)) else ""
            raise ParameterError(
                f"neighbours and near say how local compares rows, and local is off: set local, or leave them out{own}"
            )
        if self.tile is None:
            for name, unset in (("stride", None), ("top_tiles", 1)):
                if getattr(self, name) != unset:
                    raise ParameterError(f"{name}={getattr(self, name)}: is for pictures in tiles; give tile as well")
        elif self.stride is not None and self.stride > self.tile:
            raise ParameterError(f"stride={self.stride}: above tile={self.tile} there would be gaps between tiles")

    @abstractmethod
    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """The networks by name, for pictures (C, H, W) or table rows (d,)."""

    @abstractmethod
    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Score rows x (b, ...): every term among `names` that `score_by` may name, (b,), higher is more anomalous;
        and "x_hat" (b, ...), what the detector makes of each row, unless its idea has none. Terms that nobody asked
        for may come along where they cost nothing; what takes a pass of its own is computed only when it is named.

        Each row's values may depend on that row and the networks alone. Networks take no gradients here; a search
        that needs some turns them on for its own variables (`oddgan.kit.search`).
        """

    @abstractmethod
    def embed(self, net: Any, x: Tensor) -> Tensor:
        """Features of rows x (b, ...) as vectors (b, k): the detector's latents, or its discriminator's features."""

    def embeddings(self, net: Any, x: Tensor) -> Sequence[Tensor]:
        """What `local` compares rows x (b, ...) in: one embedding of them, (b, k), or several, whose distances are
        multiplied; ratio and density take the first."""
        return (self.embed(net, x),)

    def latents(self, net: Any, n: int) -> Tensor:
        """n latents (n, k) whose `decode` is like training rows, drawn with torch's global generator. Raises
        `ParameterError` where a detector has none."""
        raise ParameterError(f"{type(self).__name__} cannot generate rows: it models no distribution to draw from")

    def graph_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """`score_rows` in operations that an exported graph can hold, for any number of rows: no gradients, no NumPy,
        no loop over rows. For detectors whose `score_rows` needs one of them and whose idea does not."""
        return self.score_rows(net, x, names)

    def patch_maps(self, net: Any, x: Tensor) -> Sequence[Tensor]:
        """Feature maps (b, c, h, w) of the layers whose patches a detector compares with a memory of its own, in a
        graph; none where it has no such memory."""
        del net, x
        return ()

    def patch_memory(self, net: Any) -> PatchMemory | None:
        """That memory: the terms "max" and "mean", and the map, are distances to it."""
        del net
        return None

    def why_not_exported(self) -> str:
        """Why the detector, with these parameters, cannot be exported as a graph, and what to take instead, in one
        line; empty where it can."""
        return self.not_exported

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """The rows (n, ...) that latents z (n, k) stand for. Raises `ParameterError` where a detector has none."""
        raise ParameterError(f"{type(self).__name__} has no latents to make rows of")

    def sample(self, net: Any, n: int) -> Tensor:
        """n new rows (n, ...) from the distribution of training rows, drawn with torch's global generator: `decode` of
        `latents`, or what a detector without latents does instead. Raises `ParameterError` where it models none."""
        return self.decode(net, self.latents(net, n))

    @property
    def generates(self) -> bool:
        """Whether `sample` can make rows."""
        return type(self).latents is not Recipe.latents or type(self).sample is not Recipe.sample

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Fit what the paper fits after training, and keep it in buffers of `net`."""
        del net, rows

    own_score: ClassVar[str] = ""
    """The value of `score_by` that "auto" stands for where the anomaly map does not decide: the default that a
    detector's file gives."""

    combined_terms: ClassVar[tuple[str, ...]] = ()
    """The terms whose sum is the score when `score_by` is "combined", each on the scale of normal tuning rows."""

    kinds: ClassVar[tuple[str, ...]] = ("pictures", "table")
    """The kinds of rows that the paper's idea is for."""

    reconstructs: ClassVar[bool] = True
    """Whether `score_rows` gives "x_hat", the reconstruction of each row."""

    locates: ClassVar[bool] = True
    """Whether a row's anomaly can be located: by "map" (b, h, w) >= 0 among the results of `score_rows`, or else by the
    residual of "x_hat"."""

    map_has_scale: ClassVar[bool] = False
    """Whether the detector's own "map" is on one scale at every place, as probabilities are: it is then not measured
    against what is usual at each place."""

    not_exported: ClassVar[str] = ""
    """Why scoring cannot be exported as a graph, and what to take instead, in one line; empty where it can."""

    pads_blocks: ClassVar[bool] = True
    """Whether blocks are filled up to `block_size` before they are scored, as anything that multiplies matrices must
    have them for a row's score not to depend on how many rows there are."""

    adapts_weights: ClassVar[bool] = False
    """Whether `score_rows` moves copies of the networks' weights; else it gets networks made for scoring alone
    (`oddgan.model.inference`), which have the same modules and nothing to move."""

    searches: ClassVar[bool] = False
    """Whether `score_rows` searches for each row by gradient steps, which makes a block cost hundreds of passes."""

    max_held_out_rows: ClassVar[int] = 1_000
    """The most rows that are held out to calibrate and to tune: beyond, they are worth more in training. Detectors
    that score slowly set less."""

    max_reference_rows: ClassVar[int] = 20_000
    """The most training rows that new ones are compared with, where `local` asks for it."""

    after_training: ClassVar[tuple[str, ...]] = ()
    """Parameters of no effect on training: a run may be resumed with others."""

    tolerance: ClassVar[float] = 1e-5
    """How far scores may differ between block sizes and numbers of threads, relative to the largest."""
