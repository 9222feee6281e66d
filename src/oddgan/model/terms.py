"""The half of scoring that torch computes: from blocks of parts to score terms, embeddings and reconstructions.

A block is padded to the model's block size, since kernels round differently by shape and a row must score the same
alone as among others. A shape that is smaller and yet gives the same bits may take its place: see `Shapes`.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import machine
from ..kit.recipe import ALL, Names, Recipe
from ..networks.layers import feature_maps
from ..preprocessing.parts import Block, Parts, Preprocessor
from ..verdict import Combination, Kept
from ..verdict.patches import PatchMemory, patch_vectors, resized
from . import inference
from .maps import RowMaps

X_HAT, MAP, EMBEDDING = "x_hat", "map", "embedding "  # what blocks hold beside terms; embeddings are numbered

Compute = Callable[[Any, Tensor], dict[str, Tensor]]
"""From the networks and a block of parts to what is asked of each part, by name."""


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What was computed of b parts: `terms` (b,) float64 by name, `embeddings` (b, k) float32 to compare with reference
    rows, `x_hat` (b, ...) and the detector's own `map` (b, h, w), where there are any."""

    terms: dict[str, np.ndarray]
    embeddings: list[np.ndarray]
    x_hat: Tensor | None
    map: Tensor | None

    def raw_maps(self, x: Tensor, preprocessor: Preprocessor) -> Tensor | None:
        """Where parts x (b, C, h, w) are anomalous, as k raw maps (b, k, h, w): the detector's own, or else the
        residual; None where the detector locates nothing."""
        if self.map is not None:
            return self.map[:, None].float()
        return None if self.x_hat is None else preprocessor.heat(x, self.x_hat)[:, None]


@dataclass(frozen=True, eq=False)
class TermComputer:
    """Computes parts' terms with the networks `net` in blocks of `block_size`: the recipe's, or that in which
    `reference` rows were computed, if there are any. Takes no lock and no random state; several threads may use it."""

    recipe: Recipe
    net: nn.ModuleDict
    reference: Kept | None = None
    shapes: "Shapes" = field(default_factory=lambda: Shapes(), repr=False)

    @cached_property
    def block_size(self) -> int:
        """How many parts are computed together."""
        made_in = getattr(self.reference, "block_size", 0)
        return made_in or self.recipe.block_size

    @cached_property
    def device(self) -> torch.device:
        """Where the networks are."""
        return device_of(self.net)

    def pooled(
        self, parts: Parts, preprocessor: Preprocessor, combination: Combination, maps: RowMaps | None = None
    ) -> dict[str, np.ndarray]:
        """The terms that the score is made of, (n,) float64 by name, of rows in parts. `maps`: gathers their anomaly
        maps, if there are any to gather, and their terms, of those rows that it does not learn from."""
        names = combination.asked if maps is None else (*combination.asked, X_HAT, MAP)

        def terms() -> Iterator[tuple[Block, dict[str, np.ndarray]]]:
            for i, block in enumerate(parts.blocks(self.block_size)):
                found = self.found(block.x, names, few=not i)
                if maps is not None and (raw := found.raw_maps(block.x, preprocessor)) is not None:
                    maps.add(block, raw)
                yield block, combination.terms(found.terms, found.embeddings)

        found = preprocessor.pooled(terms(), self.recipe.top_tiles)
        return {**found, **maps.terms} if maps is not None and combination.by_map else found

    def found(self, x: Tensor, names: Names = ALL, *, few: bool = False) -> Found:
        """The terms with these names of parts x (b, ...), no more than a block of them, and what else belongs to a
        score. `few`: they are all there are, if they do not fill a block."""

        def compute(net: Any, x: Tensor) -> dict[str, Tensor]:
            recipe = self.recipe
            results = {name: value for name, value in recipe.score_rows(net, x, names).items() if name in names}
            if recipe.local == "patches":
                results |= {f"{EMBEDDING}{i}": maps for i, maps in enumerate(feature_maps(net, x))}
            elif recipe.local != "off":
                embeddings = compared_in(recipe, net, x)
                results |= {f"{EMBEDDING}{i}": vectors.flatten(1) for i, vectors in enumerate(embeddings)}
            return results

        terms, embeddings = {}, []
        results = self.compute(x, compute, few=few)
        x_hat, own_map = results.pop(X_HAT, None), results.pop(MAP, None)
        for name, value in results.items():
            if name.startswith(EMBEDDING):
                embeddings.append(value.float().numpy())
            else:
                terms[name] = value.double().numpy()
        if isinstance(self.reference, PatchMemory):
            distances = [self.reference.distances(patches) for patches in patch_vectors(embeddings)]
            own_map, embeddings = torch.from_numpy(resized(np.stack(distances), x.shape[2:])), []
        return Found(terms, embeddings, x_hat, own_map)

    def features(self, x: Tensor) -> np.ndarray:
        """The detector's features of parts x (b, ...), (b, k) float32."""
        return self.compute(x, lambda net, x: {"z": self.recipe.embed(net, x)})["z"].numpy()

    def compute(self, x: Tensor, compute: Compute, *, few: bool = False) -> dict[str, Tensor]:
        """What `compute` makes of parts x (b, ...), no more than a block of them, by name, on the CPU."""
        size = self.shapes.smallest(x.shape[0], self, ask=few) if self.recipe.pads_blocks else x.shape[0]
        return self._padded(x, size, compute)

    def _padded(self, x: Tensor, size: int, compute: Compute) -> dict[str, Tensor]:
        block, n = x, x.shape[0]
        if size > n:
            block = torch.zeros(size, *x.shape[1:], dtype=torch.float32)
            block[:n] = x
        if x.ndim == 4:
            block = block.contiguous(memory_format=torch.channels_last)
        device = self.device
        reduced = getattr(self.recipe, "scoring_precision", "float32") == "bfloat16"
        with machine.scoring(device):
            net = self.net
            if not self.recipe.adapts_weights:
                net = inference.ready(net, self.block_size if self.recipe.pads_blocks else 0)
            with machine.autocast(device, torch.bfloat16 if reduced else torch.float32):
                results = compute(net, block.to(device))
        return {name: value[:n].cpu() for name, value in results.items()}

    def everything(self, x: Tensor, size: int) -> dict[str, Tensor]:
        """All that may be asked of parts x, in a block of `size`."""

        def compute(net: Any, x: Tensor) -> dict[str, Tensor]:
            results = dict(self.recipe.score_rows(net, x))
            return results | {f"{EMBEDDING}{i}": v.flatten(1) for i, v in enumerate(self.recipe.embeddings(net, x))}

        return self._padded(x, size, compute)


class Shapes:
    """Which smaller blocks give the bits of the model's full block, found out when small blocks come again and again.

    A kernel's order of summation follows from the shape that it meets, not from the values: if no bit of any result
    differs for a block of random parts, they were summed in the same order, and so will all others of these shapes be.
    The first few parts of a process are padded to full size, for they do not pay for finding out; the second few ask,
    smallest size first. The rest of many parts, which is one small block among full ones, takes what is known. An
    answer holds for one number of threads.
    """

    def __init__(self) -> None:
        self.part: tuple[int, ...] = ()  # the shape of one part
        self.met = 0  # how often there were few parts
        self.known: dict[tuple[int, int], bool] = {}  # by size and number of threads
        self._whole: dict[int, tuple[Tensor, dict[str, Tensor]]] = {}  # random parts and what the full block says

    def smallest(self, n: int, computer: TermComputer, *, ask: bool = False) -> int:
        """The smallest size for a block of n parts that is known, or that can be found out."""
        full = computer.block_size
        if n == full or len(self.part) < 3 or computer.recipe.searches or computer.device.type != "cpu":
            return full  # of table rows a full block costs no more than finding out
        self.met += ask
        threads = torch.get_num_threads()
        size = 1 << (n - 1).bit_length()
        while size < full:
            if ask and self.met > 1 and (size, threads) not in self.known:
                self.known[size, threads] = self._same_bits(size, computer)
            if self.known.get((size, threads)):
                return size
            size *= 2
        return full

    def _same_bits(self, size: int, computer: TermComputer) -> bool:
        """Whether blocks of `size` give every part of a full block the bits that the full block gives it."""
        full, threads = computer.block_size, torch.get_num_threads()
        if threads not in self._whole:
            x = torch.randn(full, *self.part, generator=torch.Generator().manual_seed(0))
            self._whole[threads] = x, computer.everything(x, full)
        x, whole = self._whole[threads]
        for start in range(0, full, size):
            for name, value in computer.everything(x[start : start + size], size).items():
                theirs = whole[name][start : start + size]
                if not torch.equal(value.nan_to_num(7.0), theirs.nan_to_num(7.0)):
                    return False
        return True


def compared_in(recipe: Recipe, net: Any, x: Tensor) -> tuple[Tensor, ...]:
    """What `local` compares parts x (b, ...) in: the parts themselves, the detector's embeddings, or both."""
    embeddings = () if recipe.near == "rows" else tuple(recipe.embeddings(net, x))
    return (x, *embeddings) if recipe.near != "features" or recipe.local == "views" else embeddings


def device_of(net: nn.ModuleDict) -> torch.device:
    """The device of the networks; the CPU for those without any number."""
    first = next(itertools.chain(net.parameters(), net.buffers()), None)
    return torch.device("cpu") if first is None else first.device
