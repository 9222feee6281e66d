"""The verdict inside a graph, for programs in other languages: outputs `VERDICT`, made of the outputs that are there.

    terms, features, raw map --compared, standardised, pooled, combined--> score (b,) float64
    score --calibration scores--> p_value (b,) float64, is_anomaly (b,) bool
    raw map --standardised--> anomaly_map (b, H, W) float32, at the pictures' own size

What `oddgan.verdict` does in NumPy, as nodes. A `Scorer` leaves them out (`oddgan.runtime.pruning`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..model import Model
from ..preprocessing import PicturePreprocessor, TilePreprocessor
from ..runtime import intake
from ..runtime.pipeline import EMBEDDING, MAP, TERM
from ..runtime.pruning import PREFIX, VERDICT
from ..verdict import MAP_TERMS, Calibration, Combination, MapScale, Reference, Views
from ..verdict.maps import TOP
from ..verdict.patches import PatchMemory
from .calibrating import Thresholds
from .graph import INPUT, source_of
from .neighbouring import compared, patch_distances, scaled, weights_of
from .nodes import Nodes

SCORES, P_VALUES, THRESHOLD = (f"{PREFIX}{name}" for name in ("calibration_scores", "p_values", "threshold"))
SCORE, P_VALUE, IS_ANOMALY, ANOMALY_MAP = VERDICT


def why_no_verdict(model: Model) -> str:
    """Why a graph cannot hold the verdict, in words; "" where it can."""
    if isinstance(model.preprocessor, TilePreprocessor):
        return (
            "pictures are cut into tiles, which overlap, and their scores and maps are put together outside of the "
            "graph: score with oddgan.runtime.Scorer or oddgan serve"
        )
    return ""


def left_to_callers(model: Model, calibration: Calibration) -> list[str]:
    """What the graph leaves to a program in another language, in words."""
    pre, found = model.preprocessor, []
    if isinstance(pre, PicturePreprocessor):
        if pre.exposure != "none":
            found.append(f"bring each picture to the exposure of training (exposure={pre.exposure}) first")
        if pre.region is not None:
            top, left, bottom, right = pre.region.box(pre.region.mask.shape)
            found.append(
                f"cut rows {top} to {bottom - 1} and columns {left} to {right - 1} out of each picture, and give that"
            )
            if not pre.region.cut_mask.all():
                found.append("give pixels outside the region the median of those inside, in each channel")
    if calibration.strata:
        found.append("p-values and verdicts are by all calibration rows together, not by those of a row's own stratum")
    return found


def with_verdict(graph: Any, model: Model, own: Thresholds) -> Any:
    """The graph (`onnx.ModelProto`), which is changed, with the verdict by these thresholds."""
    from onnx import helper

    _free_names(graph.graph)
    n = Nodes(graph.graph)
    judging = _Judging(n, model, own)
    score = judging.score()
    _verdict(n, score, own.calibration)
    rows = graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    kinds = {SCORE: np.float64, P_VALUE: np.float64, IS_ANOMALY: np.bool_}
    shapes: dict[str, Sequence[Any]] = dict.fromkeys(kinds, (rows,))
    if judging.spread_map():
        kinds[ANOMALY_MAP] = np.float32
        shapes[ANOMALY_MAP] = (rows, *_sides(graph.graph.input[0])[1:3])
    for name, kind in kinds.items():
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        graph.graph.output.append(helper.make_tensor_value_info(name, dtype, shapes[name]))
    return graph


def with_thresholds(graph: Any, calibration: Calibration) -> Any:
    """The graph with a verdict, by another calibration of as many rows."""
    from onnx import numpy_helper

    values = _tables(calibration)
    for tensor in graph.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return graph


def _tables(calibration: Calibration) -> dict[str, np.ndarray]:
    """The constants that verdicts are made by. `P_VALUES` (n + 1,): of rows whose score so many calibration scores are
    below."""
    by_count = (1 + calibration._tail) / (calibration.count + 1)
    return {
        SCORES: calibration.scores[None],
        P_VALUES: np.asarray(by_count, np.float64),
        THRESHOLD: np.array([calibration.threshold]),
    }


def _verdict(n: Nodes, score: str, calibration: Calibration) -> None:
    names = {name: n.constant(value, name.removeprefix(PREFIX)) for name, value in _tables(calibration).items()}
    below = n("Less", names[SCORES], n("Unsqueeze", score, n.axes(1)))
    count = n("ReduceSum", n.cast(below, np.int64), n.axes(1), keepdims=0)
    n("Gather", names[P_VALUES], count, axis=0, out=(P_VALUE))
    n("Greater", score, names[THRESHOLD], out=IS_ANOMALY)


@dataclass(eq=False)
class _Judging:
    """Nodes of a model's score and map."""

    n: Nodes
    model: Model
    own: Thresholds
    _raw: str | None = field(default=None, init=False)
    _z: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.outputs = {one.name: _sides(one) for one in self.n.graph.output}
        self.given = {name: self.n.cast(TERM + name, np.float64) for name in self._asked if TERM + name in self.outputs}
        self.vectors = [name for name in self.outputs if name.startswith(EMBEDDING)]
        self._raw = MAP if MAP in self.outputs else None

    @property
    def _asked(self) -> tuple[str, ...]:
        return self.own.combination.asked

    def score(self) -> str:
        """The anomaly score (b,) float64."""
        n, combination = self.n, self.own.combination
        terms = dict(self.given)
        memory = self.model.recipe.patch_memory(self.model.net)
        reference = combination.reference
        if memory is not None or isinstance(reference, PatchMemory):
            terms |= self._patches(memory if memory is not None else reference, own=memory is not None)
        elif isinstance(reference, Reference | Views):
            terms |= compared(n, reference, combination.local, self.given, self.vectors)
        if combination.by_map:
            terms |= self._pooled([name for name in combination.names if name in MAP_TERMS])
        return self._combined(combination, terms)

    def _combined(self, combination: Combination, terms: Mapping[str, str]) -> str:
        n, names = self.n, combination.scored
        score = terms[names[0]]
        if len(names) > 1:
            scaled_terms = []
            for name in names:
                middle, deviation = (n.scalar(np.float64(one)) for one in combination.tuning[name])
                scaled_terms.append(n("Div", n("Sub", terms[name], middle), deviation))
            score = scaled_terms[0]
            for one in scaled_terms[1:]:
                score = n("Add", score, one)
        return n("Where", n("IsNaN", score), n.scalar(np.float64(np.inf)), score, out=SCORE)

    def _patches(self, memory: Any, *, own: bool) -> dict[str, str]:
        """Terms of the detector's own patches; the raw map is made of them."""
        n = self.n
        sizes = [(int(one[2]), int(one[3])) for one in (self.outputs[name] for name in self.vectors)]
        near = patch_distances(n, memory, self.vectors, sizes)
        sides = (weights_of(a, b) for a, b in zip(sizes[0], self._size, strict=True))
        self._raw = n("Unsqueeze", scaled(n, near, *sides), n.axes(1))
        if not own:
            return {}
        flat = n("Flatten", near, axis=1)
        made = {"max": n("ReduceMax", flat, n.axes(1), keepdims=0)}
        made["max"] = n.cast(made["max"], np.float64)
        made["mean"] = n("ReduceMean", n.cast(flat, np.float64), n.axes(1), keepdims=0)
        return {name: made[name] for name in self._asked}

    @property
    def _size(self) -> tuple[int, int]:
        """Of maps."""
        height, width = self.model.preprocessor.shape[1:]
        return int(height), int(width)

    def _standardised(self) -> str:
        """`MapScale.standardised`, (b, h, w) float32."""
        if self._z is None:
            n, scale, size = self.n, self.own.map_scale, self._size
            assert scale is not None
            assert self._raw is not None
            maps = [scaled(n, self._raw, *(blurring(side, blur) for side in size)) for blur in scale.blurs]
            whole = n("Concat", *maps, axis=1) if len(maps) > 1 else maps[0]
            mean, deviation = (_spread_out(scale, one, size) for one in (scale.mean, scale.deviation))
            z = n("Div", n("Sub", whole, mean), deviation)
            z = n("ReduceMean", z, n.axes(1), keepdims=0)
            self._z = n("Where", n("IsNaN", z), n.scalar(np.float32(np.inf)), z)
        return self._z

    def _pooled(self, names: Sequence[str]) -> dict[str, str]:
        """`oddgan.verdict.maps.pooled`."""
        n, counted = self.n, self._picture.counted(self._size)
        flat = n("Flatten", self._standardised(), axis=1)
        places = math.prod(self._size)
        if counted is not None:
            inside = np.flatnonzero(counted)
            flat, places = n("Gather", flat, inside, axis=1), len(inside)
        peak = n.cast(n("ReduceMax", flat, n.axes(1), keepdims=1), np.float64)
        terms = {}
        if "map_max" in names:
            terms["map_max"] = n("Squeeze", peak, n.axes(1))
        if "map_top" in names:
            highest, _ = n.several("TopK", flat, n.axes(max(1, round(TOP * places))))
            terms["map_top"] = n("ReduceMean", n.cast(highest, np.float64), n.axes(1), keepdims=0)
        if "map_tail" in names:
            zero = n.scalar(np.float64(0))
            finite = n("Where", n("IsInf", peak), zero, peak)
            mean = n("ReduceMean", n("Exp", n("Sub", n.cast(flat, np.float64), finite)), n.axes(1), keepdims=1)
            terms["map_tail"] = n("Squeeze", n("Add", n("Log", mean), finite), n.axes(1))
        return terms

    @property
    def _picture(self) -> PicturePreprocessor:
        pre = self.model.preprocessor
        assert isinstance(pre, PicturePreprocessor)
        return pre

    def spread_map(self) -> bool:
        """Make the output `ANOMALY_MAP`; False where there is none."""
        if self._raw is None or self.own.map_scale is None:
            return False
        n, z, size, source = self.n, self._standardised(), self._size, source_of(self._picture)
        if source is None:
            shape = n("Shape", INPUT)
            sides = [_weights_for(n, side, shape, 1 + axis) for axis, side in enumerate(size)]
            spread = scaled(n, z, *sides)
        else:
            fixed = [
                None if source == size else intake.weights(a, b).T.astype(np.float32)
                for a, b in zip(size, source, strict=True)
            ]
            spread = scaled(n, z, *fixed)
        region = self._picture.region
        if region is not None and not region.cut_mask.all():  # `Region.only`
            inside = np.flatnonzero(region.cut_mask)
            lowest = n("ReduceMin", n("Gather", n("Flatten", spread, axis=1), inside, axis=1), n.axes(1), keepdims=1)
            lowest = n("Unsqueeze", n("Min", lowest, n.scalar(np.float32(0))), n.axes(2))
            spread = n("Where", region.cut_mask[None], spread, lowest)
        n("Identity", spread, out=ANOMALY_MAP)
        return True


def blurring(side: int, sigma: float) -> np.ndarray | None:
    """What `oddgan.verdict.maps.smoothed` does along one side, as weights (side, side) float32; None: nothing."""
    if sigma <= 0:
        return None
    radius = max(1, math.ceil(3 * sigma))
    weights = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
    from_place = np.pad(np.arange(side), radius, mode="symmetric")
    found = np.zeros((side, side))
    for i, weight in enumerate(weights / weights.sum()):
        np.add.at(found, (np.arange(side), from_place[i : i + side]), weight)
    return found.astype(np.float32)


def _spread_out(scale: MapScale, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(scale._spread_out(values, size), np.float32)[None]


def _weights_for(n: Nodes, side: int, shape: str, axis: int) -> str:
    """`oddgan.runtime.intake.weights` from that many places to as many as an axis of the input has, transposed."""

    def number(value: float) -> str:
        return n.scalar(np.float64(value))

    many = n("Gather", shape, n.scalar(np.int64(axis)), axis=0)
    scale = n("Div", number(side), n.cast(many, np.float64))
    reach = n("Max", scale, number(1))
    place = n("Range", n.scalar(np.int64(0)), many, n.scalar(np.int64(1)))
    centre = n("Unsqueeze", n("Mul", scale, n("Add", n.cast(place, np.float64), number(0.5))), n.axes(1))
    low = n("Max", n("Floor", n("Add", n("Sub", centre, reach), number(0.5))), number(0))
    high = n("Min", n("Floor", n("Add", n("Add", centre, reach), number(0.5))), number(side))
    theirs = np.arange(side, dtype=np.float64)[None]
    away = n("Abs", n("Add", n("Sub", theirs, centre), number(0.5)))
    found = n("Max", n("Sub", number(1), n("Div", away, reach)), number(0))
    inside = n("And", n("GreaterOrEqual", theirs, low), n("Less", theirs, high))
    found = n("Where", inside, found, number(0))
    return n.cast(n("Div", found, n("ReduceSum", found, n.axes(1), keepdims=1)), np.float32)


def _sides(value: Any) -> list[Any]:
    """The sides of an input or output, those of any length by name."""
    return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]


def _free_names(graph: Any) -> None:
    """Rename values inside the graph that are called as outputs of the verdict are."""
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name in VERDICT:
                    names[i] = f"{name}_inside"
    for value in (*graph.value_info, *graph.initializer):
        if value.name in VERDICT:
            value.name = f"{value.name}_inside"
