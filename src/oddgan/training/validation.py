"""A stage's game, played without moving a weight, on held-out rows or before it begins. The training run is not changed
by it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from .. import machine
from ..errors import DistributedError
from ..preprocessing.prepared import PreparedRows, SelectedRows, spread
from .batch import Batch, key
from .stage import Settings, Stage

ROWS = 256  # that are played on, at most
HELD_OUT, FIRST = 1, 3  # the ends of the keys of what is drawn here; those of updates end without


class Validation:
    """The loss terms of a stage on a fixed sample of held-out rows.

    The networks are in evaluation mode. Order, noise and everything else random are the same every time, so that
    successive values are comparable; batches are as large as in training, since some terms depend on their size.

    Attributes
    ----------
    batches : int
        Batches of rows that one validation plays.
    """

    def __init__(self, net: nn.ModuleDict, stage: Stage, number: int, rows: PreparedRows, settings: Settings) -> None:
        self.net, self.stage, self.number = net, stage, number
        self.rows = SelectedRows(rows, spread(len(rows), ROWS))
        self.settings = replace(settings, augment="none")
        self.batches = math.ceil(len(self.rows) / min(settings.batch_size, len(self.rows)))

    def means(self, update: int) -> dict[str, float]:
        """The mean of every term by "PLAYER.TERM", after so many updates of the stage. Raises whatever the step
        raises."""
        batch = Batch(self.rows, self.settings, self.number)
        batch.update = update
        moved: dict[str, list[Tensor]] = {}
        with untouched(self.net):
            self.net.eval().requires_grad_(False)
            machine.seed(key(self.settings.seed, self.number, 0, HELD_OUT), self.settings.device)
            while batch.epoch < 1:
                drawn = batch.drawn
                _play(self.net, self.stage, batch, moved)
                if batch.drawn == drawn:  # a step that takes no rows
                    break
        return _means(moved)


def first_means(net: nn.ModuleDict, stage: Stage, batch: Batch) -> dict[str, float]:
    """The mean of every term of a step by "PLAYER.TERM", before any move, in training mode; {} if it cannot be played
    so."""
    moved: dict[str, list[Tensor]] = {}
    try:
        with untouched(net):
            machine.seed(key(batch.settings.seed, batch.stage, 0, FIRST), batch.settings.device)
            _play(net, stage, batch, moved)
    except DistributedError:
        raise
    except Exception:  # if it is not for want of moves, the first update will raise it again
        moved = {}
    found = batch.world.every(_means(moved))
    return {name: sum(means.get(name, math.nan) for means in found) / len(found) for name in found[0]}


def _play(net: nn.ModuleDict, stage: Stage, batch: Batch, moved: dict[str, list[Tensor]]) -> None:
    for losses in stage.moves(net, batch):
        for player, terms in losses.items():
            for term, value in terms.items():
                moved.setdefault(f"{player}.{term}", []).append(value.detach().float().mean())


def _means(moved: dict[str, list[Tensor]]) -> dict[str, float]:
    means = torch.stack([torch.stack(values).mean() for values in moved.values()]).tolist() if moved else []
    return dict(zip(moved, means, strict=True))


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Undo what the block does to modes, buffers, and which weights take gradients."""
    modes = [(module, module.training) for module in net.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    trained = [(weight, weight.requires_grad) for weight in net.parameters()]
    try:
        yield
    finally:
        torch.clear_autocast_cache()  # inside a caller's autocast, it would still hold weights that change now
        for module, mode in modes:
            module.training = mode
        for weight, needed in trained:
            weight.requires_grad_(needed)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
