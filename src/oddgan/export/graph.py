"""A model's networks as one ONNX graph: from rows as their producer has them to score terms, maps and features.

    pictures (b, H, W, C) uint8 or float32 --resized, values mapped--> the networks --> outputs
    tables (b, k) float64, codes of categories --scaled, encoded-->     the networks --> outputs

The outputs' names: `oddgan.runtime.pipeline`. Only what the score, its map and `local` need is in the graph.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .. import machine
from ..errors import MissingExtra, ParameterError
from ..model import Model
from ..model.model import built
from ..model.terms import compared_in
from ..networks.blocks import RowLinear
from ..networks.convolution import Enlarging, Shrinking
from ..networks.layers import feature_maps
from ..preprocessing import PicturePreprocessor, TablePreprocessor, TilePreprocessor
from ..runtime.pipeline import EMBEDDING, MAP, SHARES, TERM, X_HAT
from .resizing import Resizing

INPUT, ROWS = "x", "rows"
INTAKE = "intake"
"""The module that rows pass first, by whose name its nodes are known."""


class PictureIntake(nn.Module):
    """Pictures (b, H, W, C) -> (b, C, h, w) float32, the value range mapped to [-1, 1]."""

    def __init__(self, preprocessor: PicturePreprocessor) -> None:
        super().__init__()
        self.low, high = preprocessor.value_range
        self.factor = 2.0 / (high - self.low)
        self.resizing = Resizing(preprocessor.size, source_of(preprocessor), preprocessor.dtype == "uint8")

    def forward(self, x: Tensor) -> Tensor:
        resized: Tensor = self.resizing(x)
        return (resized - self.low) * self.factor - 1.0


def source_of(preprocessor: PicturePreprocessor) -> tuple[int, int] | None:
    """The (H, W) of every picture, or tile, that reaches the graph; None where they differ."""
    if isinstance(preprocessor, TilePreprocessor):
        return preprocessor.tile, preprocessor.tile
    if preprocessor.convert or preprocessor.native_size is None:
        return None
    if preprocessor.region is None:
        return preprocessor.native_size
    height, width = preprocessor.region.cut_mask.shape
    return height, width


class Whole(nn.Module):
    """All of a model that the graph holds."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        pre, recipe = model.preprocessor, model.recipe
        self.recipe, self.preprocessor = recipe, pre
        self.asked = tuple(model.combination.asked)
        self.net = plain(built(recipe, pre.shape, model.net.state_dict()))
        self.own = recipe.patch_memory(model.net) is not None
        self.intake: nn.Module
        if isinstance(pre, TablePreprocessor):
            self.intake = pre.encoder
            owner = torch.zeros(len(pre.encoder.owner), len(pre.kinds))
            owner[torch.arange(len(owner)), pre.encoder.owner] = 1.0
            self.register_buffer("owner", owner)
        else:
            assert isinstance(pre, PicturePreprocessor)
            self.intake = PictureIntake(pre)

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.results(raw).values())

    def results(self, raw: Tensor) -> dict[str, Tensor]:
        """Every output by name."""
        recipe, x = self.recipe, self.intake(raw)
        if self.own:
            return {f"{EMBEDDING}{i}": maps.float() for i, maps in enumerate(recipe.patch_maps(self.net, x))}
        results = recipe.graph_rows(self.net, x, (*self.asked, X_HAT, MAP))
        found = {TERM + name: results[name] for name in self.asked}
        if recipe.local == "patches":
            maps = feature_maps(self.net, x)
            return found | {f"{EMBEDDING}{i}": one.float() for i, one in enumerate(maps)}
        if recipe.local != "off":
            vectors = compared_in(recipe, self.net, x)
            found |= {f"{EMBEDDING}{i}": one.flatten(1).float() for i, one in enumerate(vectors)}
        x_hat = results.get(X_HAT)
        if isinstance(self.preprocessor, TablePreprocessor):
            if x_hat is None:
                return found
            return {**found, SHARES: self._shares((x - x_hat).abs()), X_HAT: x_hat.float()}
        if x_hat is not None:
            found[X_HAT] = x_hat.float()
        if MAP in results:
            found[MAP] = results[MAP][:, None].float()
        elif x_hat is not None:
            found[MAP] = self.preprocessor.heat(x, x_hat)[:, None].float()
        return found

    def _shares(self, residual: Tensor) -> Tensor:
        """`TablePreprocessor.shares`."""
        total = residual.sum(1, keepdim=True).clamp_min(1e-12)
        return ((residual @ self.owner) / total).double()  # type: ignore[operator]


def plain(net: nn.ModuleDict) -> nn.ModuleDict:
    """Networks of ordinary layers with the same function: weights are merged, and nothing is padded."""
    for module in list(net.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        if type(module) is RowLinear:
            module.__class__ = nn.Linear  # type: ignore[assignment]
        for name, child in list(module.named_children()):
            if isinstance(child, Enlarging | Shrinking) and (merged := child.merged_layer()) is not None:
                setattr(module, name, merged)
    return net.eval().requires_grad_(False)


def check_exportable(model: Model) -> None:
    """Raise `ParameterError` for a detector that cannot be exported, and `MissingExtra`."""
    if reason := model.recipe.why_not_exported():
        raise ParameterError(f"{type(model.recipe).__name__} cannot be exported: {reason}")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra(package, "onnx", "oddgan export") from error


def graph_of(model: Model) -> Any:
    """The model as an ONNX graph (`onnx.ModelProto`). Raises what `check_exportable` does, and `ParameterError` where
    torch cannot make a graph of it."""
    check_exportable(model)
    with machine.sealed(), torch.no_grad(), quiet():
        whole = Whole(model).eval()
        example, sizes = _example(model.preprocessor)
        names = list(whole.results(example))
        try:
            program = torch.onnx.export(
                whole,
                (example,),
                dynamo=True,
                dynamic_shapes=(sizes,),
                input_names=[INPUT],
                output_names=names,
                verbose=False,
            )
        except Exception as error:  # whatever a detector of others meets in torch's exporter
            reason = " ".join(str(error.__cause__ or error).split())[:300]
            name = type(model.recipe).__name__
            raise ParameterError(f"{name} cannot be exported: torch cannot make a graph of it ({reason})") from error
    assert program is not None
    graph = program.model_proto
    if not graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        name = type(model.recipe).__name__
        raise ParameterError(f"{name} cannot be exported: its graph would be of {len(example)} rows, and no others")
    return graph


def _example(preprocessor: Any) -> tuple[Tensor, dict[int, Any]]:
    """Two rows, and which sides of them may be of any length."""
    rows = torch.export.Dim(ROWS)
    if isinstance(preprocessor, TablePreprocessor):
        return torch.zeros(2, len(preprocessor.kinds), dtype=torch.float64), {0: rows}
    dtype = torch.uint8 if preprocessor.dtype == "uint8" else torch.float32
    source, channels = source_of(preprocessor), preprocessor.channels
    if source is not None:
        return torch.zeros(2, *source, channels, dtype=dtype), {0: rows}
    sides = {1: torch.export.Dim("height"), 2: torch.export.Dim("width")}
    return torch.zeros(2, 37, 41, channels, dtype=dtype), {0: rows, **sides}


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters say of themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def finished(graph: Any) -> Any:
    """The graph without what its making left in it: names of files and lines, descriptions."""
    for owner in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info):
        owner.doc_string = ""
        if hasattr(owner, "metadata_props"):
            del owner.metadata_props[:]
    for owner in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        owner.doc_string = ""
        if hasattr(owner, "metadata_props"):
            del owner.metadata_props[:]
    graph.producer_name, graph.producer_version = "oddgan", ""
    return graph
