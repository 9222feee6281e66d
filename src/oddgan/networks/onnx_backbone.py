"""A backbone in an ONNX file, any network that a user exported: its node outputs are the feature maps that describe
patches. What is accepted of it: `oddgan.networks.onnx_graphs`."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, ParameterError
from . import onnx_graphs
from .backbones import MEAN, Photographs
from .memory import Memory


class OnnxFeatures(Photographs):
    """The node outputs `layers` of an ONNX network, for pictures (C, H, W) of this shape; none until `take` is called
    or a saved model is loaded. Pictures are normalised as for a residual network. It computes on the CPU, whatever the
    device.

    Attributes
    ----------
    graph : Tensor
        The part of the network that gives the layers, with its weights: an ONNX graph (n,) uint8.
    features : int
        The channels of all layers together.
    """

    graph: Tensor

    def __init__(self, layers: Sequence[str], shape: Sequence[int]) -> None:
        super().__init__("a backbone in an ONNX file", shape[0])
        if not layers or len(set(layers)) < len(layers):
            raise ParameterError(
                f"layers={','.join(layers)!r}: expected names of node outputs, each once, with commas between them"
            )
        self.layers = tuple(layers)
        self.shape = (1, len(MEAN), *shape[1:])
        self.features = 0
        self.register_buffer("graph", torch.empty(0, dtype=torch.uint8))
        self.sessions: dict[tuple[int, int], Any] = {}

    def forward(self, x: Tensor) -> list[Tensor]:
        session = self._session()
        name = session.get_inputs()[0].name
        try:
            found = [session.run(list(self.layers), {name: one[None]}) for one in self.normalised(x).cpu().numpy()]
        except Exception as error:  # onnxruntime has a class of errors for every kind, and no base class
            raise DataError(f"onnxruntime cannot compute the ONNX network ({onnx_graphs.line(error)})") from error
        return [torch.from_numpy(np.concatenate(maps)).to(x.device) for maps in zip(*found, strict=True)]

    def take(self, path: str) -> None:
        """Take the part of the network in the file that gives the layers. Raises `ParameterError` where the file, its
        layers or its pictures are not those that are asked for, and `DataError` where it cannot be used."""
        onnx_graphs.check_installed()
        model = onnx_graphs.part_of(path, self.layers, self.shape)
        data = model.SerializeToString(deterministic=True)
        self.graph = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(self.graph.device)
        try:
            self._examine(model)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    def _examine(self, model: Any) -> None:
        """Examine and try the graph, of which this is what is read. Raises `DataError` if it cannot be used."""
        onnx_graphs.examine(model, self.layers, self.shape)
        self.sessions = {}
        blank = torch.zeros(self.shape, device=self.graph.device)
        self.features = sum(maps.shape[1] for maps in self(blank))

    def _session(self) -> Any:
        """onnxruntime's session, for this process and torch's number of threads. A forked child has none of its
        parent's threads, and would wait for them without end: it makes a session of its own, and keeps the parent's,
        as deleting it would wait too."""
        process, threads = key = os.getpid(), torch.get_num_threads()
        if key not in self.sessions:
            made = onnx_graphs.session(self.graph.cpu().numpy().tobytes(), threads)
            self.sessions = {other: one for other, one in self.sessions.items() if other[0] != process} | {key: made}
        return self.sessions[key]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """As in any module, but for a graph of any length, which is examined."""
        graph = state_dict.get(prefix + "graph")
        is_graph = graph is not None and graph.ndim == 1 and graph.dtype == torch.uint8
        if graph is not None and is_graph:
            self.graph = self.graph.new_empty(graph.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
        if is_graph:
            onnx_graphs.check_installed()
            self._examine(onnx_graphs.parsed(self.graph.cpu().numpy().tobytes()))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "sessions": {}}  # which cannot be copied


class PatchRows(Memory):
    """A memory of patches as `described_by` describes them, whose number of features is known only once that has its
    graph."""

    def __init__(self, described_by: OnnxFeatures, least: int = 0) -> None:
        super().__init__(described_by.features, least)
        self.described_by = (described_by,)  # in a tuple, as it is no part of the memory

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        self.rows = self.rows.new_empty(0, self.described_by[0].features)
        super()._load_from_state_dict(state_dict, prefix, *args)
