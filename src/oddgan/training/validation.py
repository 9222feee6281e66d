"""A stage's game, played on held-out rows: no weight moves, and nothing of the training run is changed."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from .. import machine
from ..preprocessing.prepared import PreparedRows, SelectedRows, spread
from .batch import Batch, key
from .stage import Settings, Stage

ROWS = 256  # that are played on, at most
HELD_OUT = 1  # the end of the keys of what is drawn here; those of updates end without


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
                for losses in self.stage.moves(self.net, batch):
                    for player, terms in losses.items():
                        for term, value in terms.items():
                            moved.setdefault(f"{player}.{term}", []).append(value.detach().float().mean())
                if batch.drawn == drawn:  # a step that takes no rows
                    break
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
        for module, mode in modes:
            module.training = mode
        for weight, needed in trained:
            weight.requires_grad_(needed)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
