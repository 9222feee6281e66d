"""How a fit is run: what watches it, where it is kept, and which processes run it together."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import cautions, machine, ranks
from ..hooks import Hook
from ..kit.recipe import Recipe
from ..preprocessing.parts import Block, Parts


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a fit is watched and kept: a `checkpoint` file, written every `seconds`, `hooks`, and what Ctrl-C does in
    training, None: "raise" with a checkpoint, from which it can be resumed, else "keep"."""

    checkpoint: str | Path | None = None
    seconds: float = 60.0
    hooks: tuple[Hook, ...] = ()
    on_interrupt: Literal["keep", "raise"] | None = None


@contextmanager
def in_processes(recipe: Recipe) -> Iterator[ranks.World]:
    """Around a fit by all processes of torch's default group, where there are several (`oddgan.ranks`): process 0 alone
    warns of what all of them meet."""
    with ranks.joined(machine.device(recipe.device)) as world:
        if world.leads:
            yield world
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cautions.OddganWarning)
            yield world


class Watched:
    """Lets hooks know how many of `total` held-out rows have been scored."""

    def __init__(self, hooks: tuple[Hook, ...], total: int) -> None:
        self.hooks, self.total, self.done = hooks, total, 0

    def parts(self, parts: Parts) -> "_WatchedParts":
        """The same parts, counted as their blocks are asked for."""
        return _WatchedParts(self, parts)

    def show(self, done: int) -> None:
        """So many rows are scored."""
        for hook in self.hooks:
            hook.on_calibrate(done, self.total)


@dataclass(frozen=True)
class _WatchedParts:
    watched: Watched
    held: Parts

    def blocks(self, size: int) -> Iterator[Block]:
        rows = 0
        for block in self.held.blocks(size):
            self.watched.show(self.watched.done + int(block.row[0]))
            rows = int(block.row[-1]) + 1
            yield block
        self.watched.done += rows
        self.watched.show(self.watched.done)
