"""The path of a search for one row, as the score of the row takes it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import ParameterError
from ..kit.search import Visit, watched
from ..rows import Rows
from .model import Model


@dataclass(frozen=True, eq=False)
class SearchPath:
    """`row`: as the networks see it, in the user's units. `losses` (runs, n) float64: what the search minimises after
    each step, from each of its starts; NaN where a run had ended. `places`: by run and step, the z or the x_hat."""

    model: Model
    row: np.ndarray
    losses: np.ndarray
    places: dict[tuple[int, int], tuple[Tensor | None, Tensor | None]]

    @property
    def best(self) -> int:
        """The run with the lowest value."""
        return int(np.nanargmin(np.nanmin(self.losses, axis=1)))

    @property
    def last(self) -> int:
        """The last step of the best run."""
        return int(np.flatnonzero(np.isfinite(self.losses[self.best]))[-1])

    def at(self, steps: np.ndarray) -> np.ndarray:
        """What the best run generates at these steps (m,), in the user's units."""
        places = [self.places[self.best, int(step)] for step in steps]
        if any(x_hat is None for _, x_hat in places):
            return self.model.decoded(torch.stack([z for z, _ in places if z is not None]))
        return self.model.preprocessor.restore(torch.stack([x_hat for _, x_hat in places if x_hat is not None]))


def path_of(model: Model, rows: Rows) -> SearchPath:
    """The search for the one row of `rows`, in the block in which it is scored. Raises `ParameterError` for a detector
    that does not search."""
    losses: dict[tuple[int, int], float] = {}
    places: dict[tuple[int, int], tuple[Tensor | None, Tensor | None]] = {}
    of_row: list[int] = []

    def watch(visit: Visit) -> None:
        runs = visit.runs.tolist()
        for i in range(len(runs)):
            run = runs[i]
            if run >= most[0] or not visit.awake[i]:
                continue
            of_row.append(run)
            losses[run, visit.step] = float(visit.value[i])
            z, x_hat = (None if one is None else one[i].float().cpu() for one in (visit.z, visit.x_hat))
            places[run, visit.step] = z, x_hat

    computer = model.computer
    block = next(iter(model.preprocessor.parts(rows).blocks(computer.block_size)))
    most = [int(getattr(model.recipe, "starts", 1))]
    with watched(watch):
        computer.found(block.x)
    if not losses:
        raise ParameterError(f"{type(model.recipe).__name__} does not search for rows")
    table = np.full((max(of_row) + 1, max(step for _, step in losses) + 1), np.nan)
    for (run, step), value in losses.items():
        table[run, step] = value
    return SearchPath(model, model.preprocessor.restore(block.x[:1])[0], table, places)
