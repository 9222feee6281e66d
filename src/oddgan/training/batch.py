"""The rows and the noise of a training step."""

from contextlib import AbstractContextManager, nullcontext

import numpy as np
from torch import Tensor

from ..networks.latent import Prior, draw
from ..preprocessing.prepared import PreparedRows
from ..ranks import SINGLE, World, random_of, shared, whole
from .stage import Settings
from .variation import NUMBERS, vary

ALONE: AbstractContextManager[None] = nullcontext()
VARIED = 1  # the end of keys of variations; those of the order end without


class Batch:
    """Where a step gets its rows and its noise.

    Rows come in an endless shuffled order, and every batch is full: batch normalisation never meets a remainder of one
    row. A batch larger than the set is as large as the set. `stage`: the stage's number, a part of the order's key.

    The pictures that `x` gives are varied as the settings' `augment` says. It is done here and nowhere else, so that
    every game trains on varied rows and nothing else sees any: what a detector's `finish` fits, reference rows,
    memories of patches, and held-out rows are read from the prepared rows, as they are.

    Where several processes train together, each has an equal share of every batch, and `size` is that of the whole. A
    step needs to know of that in two cases only: terms that couple rows take those of all processes (`whole`), and
    NumPy's generators come from `random`.

    Attributes
    ----------
    update : int
        Updates of this stage so far, for a game that changes over training.
    drawn : int
        Batches of rows so far.
    first : int
        The place of this process's first row in the whole batch: 0 in one process.
    """

    def __init__(self, rows: PreparedRows, settings: Settings, stage: int, world: World = SINGLE) -> None:
        self.rows, self.settings, self.stage = rows, settings, stage
        self.size = min(settings.batch_size, len(rows))
        self.drawn = 0
        self.update = 0
        self.world = world
        self._shard = world.shard(np.arange(self.size))
        self.first = int(self._shard[0])
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    @property
    def epoch(self) -> int:
        """Complete passes over the rows so far."""
        return self.drawn * self.size // len(self.rows)

    def x(self) -> Tensor:
        """The next minibatch of training rows, (b, C, H, W) or (b, d) float32: a new one at every call, varied as
        the settings say."""
        epochs, places = np.divmod(self.drawn * self.size + self._shard, len(self.rows))
        numbers = np.concatenate([self._permutation(e)[places[epochs == e]] for e in np.unique(epochs)])
        self.drawn += 1
        x = self.rows.batch(numbers).to(self.settings.device, non_blocking=True)
        how = self.settings.augment
        return x if how == "none" else vary(x, how, self._numbers())

    def z(self, latent_dim: int, prior: Prior = "normal") -> Tensor:
        """A new draw from the prior, (b, latent_dim): N(0, 1), or uniform on (-1, 1)."""
        return draw(len(self._shard), latent_dim, prior, self.settings.device)

    def whole(self, x: Tensor, groups: int = 1) -> Tensor:
        """Of what a step has computed of its rows, x (b, ...), that of the whole batch: x itself in one process, else
        everybody's, in the order of the batch, through which gradients go back. `groups`: the number of kinds of rows
        that follow each other in equal parts of x, as they do in the result."""
        return whole(x, groups)

    def random(self, seed: int) -> np.random.Generator:
        """A NumPy generator for what is drawn row by row; where several processes train together, each has its own."""
        return random_of(seed)

    def shared(self) -> AbstractContextManager[None]:
        """The context in which a step computes with this process's share of the batch (`oddgan.ranks.batches`)."""
        return ALONE if self.world.size == 1 else shared(self.world, self.size)

    def _numbers(self) -> np.ndarray:
        """What decides how each picture of the batch is varied. By a key of its own: torch's generator gives the same
        noise with and without, and a batch is the same whatever was drawn before it."""
        random = np.random.default_rng([self.settings.seed, self.stage, self.drawn, VARIED])
        return np.asarray(random.random((self.size, NUMBERS), np.float32)[self._shard])

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            random = np.random.default_rng([self.settings.seed, self.stage, int(epoch)])
            self._order = (epoch, random.permutation(len(self.rows)))
        return self._order[1]


def key(*parts: int) -> int:
    """A 63-bit seed from whole numbers: equal parts give equal seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
