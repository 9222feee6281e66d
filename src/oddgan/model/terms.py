"""The half of scoring that torch computes: from blocks of parts to score terms, embeddings and reconstructions.

A block is padded to the model's block size, since kernels round differently by shape and a row must score the same
alone as among others. A shape that is smaller and yet gives the same bits may take its place: see `Shapes`.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import machine
from ..kit.recipe import ALL, Names, Recipe
from . import inference

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


@dataclass(frozen=True, eq=False)
class TermComputer:
    """Computes parts' terms with the networks `net` in blocks of `recipe.block_size`. Takes no lock and no random
    state; several threads may use it."""

    recipe: Recipe
    net: nn.ModuleDict
    shapes: "Shapes" = field(default_factory=lambda: Shapes(), repr=False)

    def found(self, x: Tensor, names: Names = ALL) -> Found:
        """The terms with these names of parts x (b, ...), no more than a block of them, and what else belongs to a
        score."""

        def compute(net: Any, x: Tensor) -> dict[str, Tensor]:
            recipe = self.recipe
            results = {name: value for name, value in recipe.score_rows(net, x, names).items() if name in names}
            if recipe.local != "off":
                embeddings = (x,) if recipe.near == "rows" else recipe.embeddings(net, x)
                results |= {f"{EMBEDDING}{i}": vectors.flatten(1) for i, vectors in enumerate(embeddings)}
            return results

        terms, embeddings = {}, []
        results = self.compute(x, compute)
        x_hat, own_map = results.pop(X_HAT, None), results.pop(MAP, None)
        for name, value in results.items():
            if name.startswith(EMBEDDING):
                embeddings.append(value.float().numpy())
            else:
                terms[name] = value.double().numpy()
        return Found(terms, embeddings, x_hat, own_map)

    def features(self, x: Tensor) -> np.ndarray:
        """The detector's features of parts x (b, ...), (b, k) float32."""
        return self.compute(x, lambda net, x: {"z": self.recipe.embed(net, x)})["z"].numpy()

    def compute(self, x: Tensor, compute: Compute) -> dict[str, Tensor]:
        """What `compute` makes of parts x (b, ...), no more than a block of them, by name, on the CPU."""
        size = len(x)
        if self.recipe.pads_blocks:
            size = self.shapes.smallest(len(x), self)
        return self._padded(x, size, compute)

    def _padded(self, x: Tensor, size: int, compute: Compute) -> dict[str, Tensor]:
        block = x
        if size > len(x):
            block = torch.zeros(size, *x.shape[1:], dtype=torch.float32)
            block[: len(x)] = x
        if x.ndim == 4:
            block = block.contiguous(memory_format=torch.channels_last)
        device = device_of(self.net)
        reduced = getattr(self.recipe, "scoring_precision", "float32") == "bfloat16"
        with machine.scoring(device):
            net = self.net if self.recipe.adapts_weights else inference.ready(self.net)
            with machine.autocast(device, torch.bfloat16 if reduced else torch.float32):
                results = compute(net, block.to(device))
        return {name: value[: len(x)].cpu() for name, value in results.items()}

    def same_bits(self, size: int) -> bool:
        """Whether blocks of `size` give every part of a full block the bits that the full block gives it.

        A kernel's order of summation follows from the shape it meets, not from the values: random parts in which no bit
        of any result differs were summed in the same order, as all others of these shapes will be.
        """
        full = self.recipe.block_size
        random = torch.Generator().manual_seed(0)
        x = torch.randn(full, *self.shapes.part, generator=random)

        def compute(net: Any, x: Tensor) -> dict[str, Tensor]:
            results = dict(self.recipe.score_rows(net, x))
            results |= {f"{EMBEDDING}{i}": v.flatten(1) for i, v in enumerate(self.recipe.embeddings(net, x))}
            return results

        whole = self._padded(x, full, compute)
        for start in range(0, full, size):
            some = self._padded(x[start : start + size], size, compute)
            for name, value in some.items():
                theirs = whole[name][start : start + size]
                if not torch.equal(value.nan_to_num(7.0), theirs.nan_to_num(7.0)):
                    return False
        return True


class Shapes:
    """Which block sizes below the model's give the same bits, found out when a small block is scored again and again.

    The first small block of a process is padded to full size: one picture does not pay for finding out. The second one
    asks, smallest size first, for pictures alone, where a full block costs far more than a small one. The answer holds
    for a number of threads.
    """

    def __init__(self) -> None:
        self.part: tuple[int, ...] = ()  # the shape of one part
        self.met = 0  # small blocks so far
        self.known: dict[tuple[int, int], bool] = {}

    def smallest(self, n: int, computer: TermComputer) -> int:
        """The smallest size for a block of n parts."""
        full = computer.recipe.block_size
        if n == full or len(self.part) < 3 or computer.recipe.searches or device_of(computer.net).type != "cpu":
            return full
        self.met += 1
        threads = torch.get_num_threads()
        size = 1 << (n - 1).bit_length()
        while size < full:
            if self.met > 1 and (size, threads) not in self.known:
                self.known[size, threads] = computer.same_bits(size)
            if self.known.get((size, threads)):
                return size
            size *= 2
        return full


def device_of(net: nn.ModuleDict) -> torch.device:
    """The device of the networks; the CPU for those without any number."""
    first = next(itertools.chain(net.parameters(), net.buffers()), None)
    return torch.device("cpu") if first is None else first.device
