"""The only adversarial loop.

A detector says *what* is played: `Stage.step` is a generator that yields players and their named loss terms,

    yield {"G": {"adv": rows, "con": rows}}       # G moves on the mean of adv + the mean of con
    yield {"D": {"real": rows, "fake": rows}}     # then D moves; tensors made before a yield are stale after it

and this module does the rest: every optimiser, the order of the rows, averaging of weights, precision, history,
checkpoints. A player's loss is differentiated with respect to that player's parameters alone, so no detector can move
a network that is not its player's. When one yield names several players, every player's gradients come from the same
graph, before any of them moves.

All randomness of update t of a stage (row order, priors, dropout) is keyed by (seed, stage, t) and checkpoints fall
between updates. Hence a run that was killed and resumed ends in the same bits as one that was not.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm

from .. import machine
from ..errors import ParameterError, TrainingError
from ..hooks import Hook, Moment
from ..networks.latent import Prior, draw
from ..preprocessing.prepared import PreparedRows
from .checkpoint import Checkpoint

Losses = Mapping[str, Mapping[str, Tensor]]
History = dict[str, list[Any]]

EPOCHS_BY_DEFAULT = 15  # GANomaly's, as good a habit as any for large sets
UPDATES_AT_LEAST = 2_000  # a small set must not end after 45 updates
STATISTICS_BATCHES = 100  # that batch normalisation's final statistics are estimated from, at most
HISTORY_EVERY = 10  # updates: a set smaller than a batch would else write a line of history at every update


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    `players`: networks that move; all others are frozen in evaluation mode. `step(net, batch)`: the game. `updates`:
    this stage's own budget, in place of the run's updates and epochs; None takes the run's. `lr`: this stage's own
    learning rate; `optimiser`: Adam, or RMSprop as torch has it by default.
    """

    name: str
    players: tuple[str, ...]
    step: Callable[[nn.ModuleDict, "Batch"], Iterator[Losses]]
    updates: int | None = None
    lr: float | None = None
    optimiser: Literal["adam", "rmsprop"] = "adam"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run trains. `updates`, `epochs` and `minutes` (of the whole run): the first that is reached ends a stage.
    `lr`: one rate, or one by player.

    `precision`: the type of convolutions and matrix products under autocast; torch.float32 turns autocast off.
    `ema`: decay of the averaged weights that the run ends with; 0 ends with the last weights.
    """

    batch_size: int
    updates: int | None
    epochs: int | None
    minutes: float | None
    lr: float | Mapping[str, float]
    betas: tuple[float, float]
    ema: float
    precision: torch.dtype
    device: torch.device
    seed: int


def run(
    net: nn.ModuleDict,
    stages: Sequence[Stage],
    rows: PreparedRows,
    settings: Settings,
    *,
    checkpoint: Checkpoint | None = None,
    hooks: Iterable[Hook] = (),
) -> History:
    """Train the networks of `net` in place, stage after stage; return the history of every loss term by epoch.

    With a `checkpoint` that holds an earlier part of this run, the run goes on from there. Raises `TrainingError`
    when a loss is no longer finite, `ArtifactError` when the checkpoint belongs to another run.
    """
    for stage, player in [(one, player) for one in stages for player in one.players]:
        rate(settings, stage, player)  # what the last stage lacks is to be known before the first is trained
    history: History = {"stage": [], "epoch": [], "update": []}
    saved = checkpoint.read() if checkpoint else None
    if settings.minutes is not None:
        settings = replace(settings, minutes=settings.minutes / max(1, len(stages)))
    try:
        for number, stage in enumerate(stages):
            if saved and saved["stage"] > number:
                continue
            course = _Course(net, stage, number, rows, settings, history)
            if saved and saved["stage"] == number:
                course.restore(saved)
            for hook in hooks:
                hook.on_start(course.moment())
            while not course.finished():
                course.update()
                epoch_ended = course.close_epoch()
                moment = course.moment()
                for hook in hooks:
                    hook.on_update(moment)
                    if epoch_ended:
                        hook.on_epoch(moment)
                if checkpoint and checkpoint.due():
                    course.check_finite()
                    checkpoint.write(course.state())
            course.end()
            for hook in hooks:
                hook.on_end(course.moment())
            if checkpoint:
                checkpoint.write(course.state())
    except TrainingError:
        if checkpoint:
            checkpoint.remove()  # what broke down is not to be resumed
        raise
    return history


class _Course:
    """One stage under way: its optimisers, averaged weights, place in the row order and open line of history."""

    def __init__(
        self,
        net: nn.ModuleDict,
        stage: Stage,
        number: int,
        rows: PreparedRows,
        settings: Settings,
        history: History,
    ) -> None:
        self.net, self.stage, self.number, self.settings, self.history = net, stage, number, settings, history
        self.params = {player: list(net[player].parameters()) for player in stage.players}
        self.optimisers = {player: self._optimiser(player) for player in stage.players}
        moving = [p for player in stage.players for p in self.params[player]]
        self.weights = moving if settings.ema else []
        self.averages = [p.detach().clone() for p in self.weights]
        self.rows, self.batch = rows, Batch(rows, settings, number)
        self.updates = stage.updates or settings.updates
        self.epochs = None if stage.updates else settings.epochs
        self.t = 0  # updates done
        self.sums: dict[str, Tensor] = {}  # sum and number of every loss term since the last line of history
        self.since = 0  # updates since then
        self.spent = 0.0  # seconds before this process
        self.started, self.t_started = time.monotonic(), 0
        self.ended = False
        for name, module in net.items():
            module.train(name in stage.players).requires_grad_(name in stage.players)

    def _optimiser(self, player: str) -> torch.optim.Optimizer:
        lr = rate(self.settings, self.stage, player)
        if self.stage.optimiser == "rmsprop":
            return torch.optim.RMSprop(self.params[player], lr=lr, foreach=True)
        return torch.optim.Adam(self.params[player], lr=lr, betas=self.settings.betas, fused=True)

    def update(self) -> None:
        """One update: every move of the stage's step, then the averages."""
        machine.seed(key(self.settings.seed, self.number, self.t), self.settings.device)
        self.batch.update = self.t
        moves = self.stage.step(self.net, self.batch)
        while True:
            with machine.autocast(self.settings.device, self.settings.precision):
                losses = next(moves, None)
            if losses is None:
                break
            if strangers := losses.keys() - self.params.keys():
                raise TrainingError(
                    f"stage {self.stage.name}: its step moves {min(strangers)}, which is not among its players "
                    f"{', '.join(self.params)}; name it in Stage.players"
                )
            totals = {player: _total(terms) for player, terms in losses.items()}
            for i, (player, total) in enumerate(totals.items()):
                self.optimisers[player].zero_grad(set_to_none=True)
                total.backward(inputs=self.params[player], retain_graph=i < len(totals) - 1)  # type: ignore[no-untyped-call]
            torch.clear_autocast_cache()  # inside a caller's autocast, weights would be remembered as they were
            for player, terms in losses.items():
                self.optimisers[player].step()
                for term, value in terms.items():
                    mean = value.detach().float().mean()
                    moved = torch.stack([mean, torch.ones_like(mean)])  # a critic moves several times an update
                    self.sums[f"{player}.{term}"] = self.sums.get(f"{player}.{term}", 0) + moved
        if self.averages:
            decay = min(self.settings.ema, (1 + self.t) / (10 + self.t))  # a short memory while weights still rush
            torch._foreach_lerp_(self.averages, [w.detach() for w in self.weights], 1 - decay)
        self.t += 1
        self.since += 1

    def finished(self) -> bool:
        minutes = self.settings.minutes
        return (
            self.ended
            or (self.updates is not None and self.t >= self.updates)
            or (self.epochs is not None and self.batch.epoch >= self.epochs)
            or (minutes is not None and self.seconds() >= 60 * minutes)
        )

    @property
    def total(self) -> int | None:
        """Updates that the stage will have, as far as it can be told: a step may draw several batches."""
        totals = [] if self.updates is None else [self.updates]
        if self.epochs is not None:
            batches = math.ceil(self.epochs * len(self.rows) / self.batch.size)
            totals.append(math.ceil(batches * max(1, self.t) / max(1, self.batch.drawn)))
        return min(totals) if totals else None

    def close_epoch(self) -> bool:
        """Add a line to the history when the last update ended an epoch; say whether it did."""
        ended_epoch = self.batch.epoch > (self.history["epoch"][-1] if self.since < self.t else 0)
        if self.since % HISTORY_EVERY == 0:
            self.check_finite()
        if not (ended_epoch and self.since >= HISTORY_EVERY):
            return False
        self._add_line()
        return True

    def check_finite(self) -> None:
        """Raise `TrainingError` when a loss has become infinite or NaN since the last line of history."""
        for name, total in self.sums.items():
            if not math.isfinite(total[0]):
                raise TrainingError(
                    f"training broke down by update {self.t} of stage {self.stage.name}: the loss {name} is "
                    f"{float(total[0])}; lower the learning rate (now "
                    f"{rate(self.settings, self.stage, name.split('.')[0]):g}) or set precision='float32'"
                )

    def _add_line(self) -> None:
        self.check_finite()
        means = {name: float(total[0] / total[1]) for name, total in self.sums.items()}
        lines = len(self.history["stage"])
        line = {"stage": self.stage.name, "epoch": self.batch.epoch, "update": self.t, **means}
        for name in self.history.keys() | line.keys():
            self.history.setdefault(name, [None] * lines).append(line.get(name))
        self.sums, self.since = {}, 0

    def end(self) -> None:
        """Close the history and let the averaged weights take over, with statistics of their own."""
        if not self.ended:
            if self.since:
                self._add_line()
            if self.averages:
                with torch.no_grad():
                    for weight, average in zip(self.weights, self.averages, strict=True):
                        weight.copy_(average)
                self._refresh_statistics()
        self.ended = True
        self.net.eval().requires_grad_(False)

    def _refresh_statistics(self) -> None:
        """Estimate the players' batch normalisation anew: averaged weights never met the running means and variances,
        which follow the last few batches of the last weights. The stage's own game is played, and nobody moves.
        Spectral normalisation's estimates of the largest singular value follow in the same way."""
        modules = [m for player in self.stage.players for m in self.net[player].modules()]
        norms = [m for m in modules if isinstance(m, _BatchNorm)]
        if not norms and not any(isinstance(m, _SpectralNorm) for m in modules):
            return
        momenta = [m.momentum for m in norms]
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # a plain average over all batches
        machine.seed(key(self.settings.seed, self.number), self.settings.device)
        batch = Batch(self.rows, self.settings, self.number)
        batch.update = self.t  # the game as it stood at the end
        while batch.epoch < 1 and batch.drawn < STATISTICS_BATCHES:
            for _ in self.stage.step(self.net, batch):
                pass
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum

    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.started

    def moment(self) -> Moment:
        here = time.monotonic() - self.started
        rate = (self.t - self.t_started) / here if here > 0 else 0.0
        left = [] if self.total is None or not rate else [(self.total - self.t) / rate]
        if self.settings.minutes is not None:
            left.append(60 * self.settings.minutes - self.seconds())
        last = {n: v[-1] for n, v in self.history.items() if "." in n and v and v[-1] is not None}
        place = self.stage.name, self.t, self.total, self.batch.epoch
        return Moment(*place, rate, max(0.0, min(left)) if left else None, last)

    def state(self) -> dict[str, Any]:
        return {
            "stage": self.number,
            "update": self.t,
            "drawn": self.batch.drawn,
            "ended": self.ended,
            "seconds": self.seconds(),
            "net": self.net.state_dict(),
            "averages": self.averages,
            "optimisers": {player: o.state_dict() for player, o in self.optimisers.items()},
            "sums": self.sums,
            "since": self.since,
            "history": self.history,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.net.load_state_dict(saved["net"])
        for player, optimiser in self.optimisers.items():
            optimiser.load_state_dict(saved["optimisers"][player])
        for mine, theirs in zip(self.averages, saved["averages"], strict=True):
            mine.copy_(theirs)
        self.t = self.t_started = saved["update"]
        self.batch.drawn, self.ended, self.spent = saved["drawn"], saved["ended"], saved["seconds"]
        self.sums = {name: total.to(self.settings.device) for name, total in saved["sums"].items()}
        self.since = saved["since"]
        self.history.clear()
        self.history.update(saved["history"])


class Batch:
    """Where a step gets its rows and its noise. PreparedRows come in an endless shuffled order, every batch full:
    no remainder of one row meets batch normalisation, and a batch larger than the set is as large as the set."""

    def __init__(self, rows: PreparedRows, settings: Settings, stage: int) -> None:
        self.rows, self.settings, self.stage = rows, settings, stage
        self.size = min(settings.batch_size, len(rows))
        self.drawn = 0  # batches so far
        self.update = 0  # of this stage, for a game that changes on the way
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    @property
    def epoch(self) -> int:
        """Whole passes over the rows so far."""
        return self.drawn * self.size // len(self.rows)

    def x(self) -> Tensor:
        """A fresh minibatch of training rows, (b, C, H, W) or (b, d), at every call."""
        places = np.arange(self.drawn * self.size, (self.drawn + 1) * self.size)
        epochs, places = np.divmod(places, len(self.rows))
        numbers = np.concatenate([self._permutation(e)[places[epochs == e]] for e in np.unique(epochs)])
        self.drawn += 1
        return self.rows.batch(numbers).to(self.settings.device, non_blocking=True)

    def z(self, latent_dim: int, prior: Prior = "normal") -> Tensor:
        """A fresh draw from the prior, (b, latent_dim): N(0, 1), or uniform on (-1, 1)."""
        return draw(self.size, latent_dim, prior, self.settings.device)

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            random = np.random.default_rng([self.settings.seed, self.stage, int(epoch)])
            self._order = (epoch, random.permutation(len(self.rows)))
        return self._order[1]


def rate(settings: Settings, stage: Stage, player: str) -> float:
    """The learning rate of a stage's player. Raises `ParameterError` where rates go by player, and not by this one."""
    lr = settings.lr if stage.lr is None else stage.lr
    if isinstance(lr, Mapping) and player not in lr:
        raise ParameterError(f"lr names {', '.join(lr)} but not {player}: give every player's rate")
    return lr[player] if isinstance(lr, Mapping) else lr


def key(*parts: int) -> int:
    """A 63-bit seed from whole numbers: equal parts, equal seed."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def updates_by_default(rows: int, batch_size: int) -> int:
    """The budget where none is given: 15 epochs, and at least 2,000 updates."""
    return max(UPDATES_AT_LEAST, math.ceil(EPOCHS_BY_DEFAULT * rows / min(batch_size, rows)))


def _total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([term.float().mean() for term in terms.values()]).sum()
