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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .errors import ParameterError, TrainingError
from .hooks import Hook, Moment

Losses = Mapping[str, Mapping[str, Tensor]]
History = dict[str, list[Any]]

EPOCHS_BY_DEFAULT = 15  # GANomaly's, as good a habit as any for large sets
UPDATES_AT_LEAST = 2_000  # a small set must not end after 45 updates
HISTORY_EVERY = 10  # updates: a set smaller than a batch would else write a line of history at every update


class Rows(Protocol):
    """Prepared training rows."""

    def __len__(self) -> int: ...

    def batch(self, numbers: np.ndarray) -> Tensor:
        """The rows that `numbers` (b,) names, as float32 (b, C, H, W) or (b, d) on the CPU."""
        ...


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    `players`: networks that move. `step(net, batch)`: the game. `frozen`: networks that are used but neither move nor
    keep a graph; they stand in evaluation mode. `updates`: this stage's own budget; None takes the run's.
    """

    name: str
    players: tuple[str, ...]
    step: Callable[[nn.ModuleDict, "Batch"], Iterator[Losses]]
    frozen: tuple[str, ...] = ()
    updates: int | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run trains. `updates` None leaves it to `minutes`. `lr`: one rate, or one by player.

    `precision`: the type of convolutions and matrix products under autocast; torch.float32 turns autocast off.
    `ema`: decay of the averaged weights that the run ends with; 0 ends with the last weights.
    """

    batch_size: int
    updates: int | None
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
    rows: Rows,
    settings: Settings,
    *,
    checkpoint: Checkpoint | None = None,
    hooks: Iterable[Hook] = (),
) -> History:
    """Train the networks of `net` in place, stage after stage; return the history of every loss term by epoch.

    With a `checkpoint` that holds an earlier part of this run, the run goes on from there. Raises `TrainingError`
    when a loss is no longer finite, `ArtifactError` when the checkpoint belongs to another run.
    """
    history: History = {"stage": [], "epoch": [], "update": []}
    saved = checkpoint.read() if checkpoint else None
    with _own_randomness(settings.device):
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
                for hook in hooks:
                    hook.on_update(course.moment())
                    if epoch_ended:
                        hook.on_epoch(course.moment())
                if checkpoint and checkpoint.due():
                    checkpoint.write(course.state())
            course.end()
            for hook in hooks:
                hook.on_end(course.moment())
            if checkpoint:
                checkpoint.write(course.state())
    return history


class _Course:
    """One stage under way: its optimisers, averaged weights, place in the row order and open line of history."""

    def __init__(
        self,
        net: nn.ModuleDict,
        stage: Stage,
        number: int,
        rows: Rows,
        settings: Settings,
        history: History,
    ) -> None:
        self.net, self.stage, self.number, self.settings, self.history = net, stage, number, settings, history
        self.params = {player: list(net[player].parameters()) for player in stage.players}
        self.optimisers = {player: self._optimiser(player) for player in stage.players}
        moving = [p for player in stage.players for p in self.params[player]]
        self.weights = moving if settings.ema else []
        self.averages = [p.detach().clone() for p in self.weights]
        self.batch = Batch(rows, settings, number)
        self.total = stage.updates or settings.updates
        self.t = 0  # updates done
        self.sums: dict[str, Tensor] = {}  # of every loss term since the last line of history
        self.since = 0  # updates in those sums
        self.spent = 0.0  # seconds before this process
        self.started, self.t_started = time.monotonic(), 0
        self.ended = False
        for name, module in net.items():
            module.train(name not in stage.frozen).requires_grad_(name not in stage.frozen)

    def _optimiser(self, player: str) -> torch.optim.Optimizer:
        lr = self.settings.lr
        if isinstance(lr, Mapping):
            if player not in lr:
                raise ParameterError(f"lr names {', '.join(lr)} but not {player}: give every player's rate")
            lr = lr[player]
        return torch.optim.Adam(self.params[player], lr=lr, betas=self.settings.betas)

    def update(self) -> None:
        """One update: every move of the stage's step, then the averages."""
        torch.manual_seed(key(self.settings.seed, self.number, self.t))
        moves = self.stage.step(self.net, self.batch)
        while True:
            with autocast(self.settings):
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
            for player, terms in losses.items():
                self.optimisers[player].step()
                for term, value in terms.items():
                    name, mean = f"{player}.{term}", value.detach().float().mean()
                    self.sums[name] = self.sums.get(name, torch.zeros_like(mean)) + mean
        if self.averages:
            decay = min(self.settings.ema, (1 + self.t) / (10 + self.t))  # a short memory while weights still rush
            torch._foreach_lerp_(self.averages, [w.detach() for w in self.weights], 1 - decay)
        self.t += 1
        self.since += 1

    def finished(self) -> bool:
        minutes = self.settings.minutes
        return (
            self.ended
            or (self.total is not None and self.t >= self.total)
            or (minutes is not None and self.seconds() >= 60 * minutes)
        )

    def close_epoch(self) -> bool:
        """Add a line to the history when the last update ended an epoch; say whether it did."""
        ended_epoch = self.batch.epoch > (self.history["epoch"][-1] if self.since < self.t else 0)
        if not (ended_epoch and self.since >= HISTORY_EVERY):
            return False
        self._add_line()
        return True

    def _add_line(self) -> None:
        means = {name: float(total) / self.since for name, total in self.sums.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise TrainingError(
                    f"training broke down by update {self.t} of stage {self.stage.name}: the loss {name} is {mean}; "
                    f"lower lr (now {self.settings.lr}) or set precision='float32'"
                )
        lines = len(self.history["stage"])
        line = {"stage": self.stage.name, "epoch": self.batch.epoch, "update": self.t, **means}
        for name in self.history.keys() | line.keys():
            self.history.setdefault(name, [None] * lines).append(line.get(name))
        self.sums, self.since = {}, 0

    def end(self) -> None:
        """Close the history and let the averaged weights take over."""
        if not self.ended:
            if self.since:
                self._add_line()
            with torch.no_grad():
                for weight, average in zip(self.weights, self.averages, strict=True):
                    weight.copy_(average)
        self.ended = True
        self.net.eval().requires_grad_(True)

    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.started

    def moment(self) -> Moment:
        here = time.monotonic() - self.started
        rate = (self.t - self.t_started) / here if here > 0 else 0.0
        left = [] if self.total is None or not rate else [(self.total - self.t) / rate]
        if self.settings.minutes is not None:
            left.append(60 * self.settings.minutes - self.seconds())
        last = {n: v[-1] for n, v in self.history.items() if "." in n and v and v[-1] is not None}
        return Moment(
            self.stage.name,
            self.t,
            self.total,
            self.batch.epoch,
            rate,
            max(0.0, min(left)) if left else None,
            last,
        )

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
    """Where a step gets its rows and its noise. Rows come in an endless shuffled order, every batch full:
    no remainder of one row meets batch normalisation, and a batch larger than the set is as large as the set."""

    def __init__(self, rows: Rows, settings: Settings, stage: int) -> None:
        self.rows, self.settings, self.stage = rows, settings, stage
        self.size = min(settings.batch_size, len(rows))
        self.drawn = 0  # batches so far
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

    def z(self, latent_dim: int, prior: Literal["normal", "uniform"] = "normal") -> Tensor:
        """A fresh draw from the prior, (b, latent_dim): N(0, 1), or uniform on (-1, 1)."""
        shape, device = (self.size, latent_dim), self.settings.device
        return torch.randn(shape, device=device) if prior == "normal" else torch.rand(shape, device=device) * 2 - 1

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            random = np.random.default_rng([self.settings.seed, self.stage, int(epoch)])
            self._order = (epoch, random.permutation(len(self.rows)))
        return self._order[1]


def key(*parts: int) -> int:
    """A 63-bit seed from whole numbers: equal parts, equal seed."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def budget(rows: int, batch_size: int, updates: int | None, epochs: int | None, minutes: float | None) -> int | None:
    """Generator updates of a run over `rows` training rows; None when minutes alone end it.

    What is given holds, the tighter of two. With nothing given: 15 epochs, and at least 2,000 updates.
    """
    an_epoch = rows / min(batch_size, rows)
    given = [n for n in (updates, None if epochs is None else math.ceil(epochs * an_epoch)) if n is not None]
    if not given and minutes is None:
        return max(UPDATES_AT_LEAST, math.ceil(EPOCHS_BY_DEFAULT * an_epoch))
    return min(given) if given else None


def autocast(settings: Settings) -> Any:
    """The context of reduced precision that a step runs in."""
    if settings.precision == torch.float32:
        return nullcontext()
    return torch.autocast(settings.device.type, dtype=settings.precision)


@torch.no_grad()
def refresh_statistics(net: nn.ModuleDict, forward: Callable[[Tensor], Any], rows: Rows, settings: Settings) -> None:
    """Estimate batch normalisation's means and variances anew, over training rows in a fixed order.

    Averaged weights never met the running statistics of the last weights, and those follow the last few batches only.
    `forward` is what will be computed at test time. Networks that it does not use keep what they have.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    size = min(settings.batch_size, len(rows))
    used: set[nn.Module] = set()
    watches = [m.register_forward_hook(lambda module, *_: used.add(module)) for m in norms]
    before = [(m.running_mean, m.running_var) for m in norms]
    for m in norms:
        m.running_mean, m.running_var = torch.zeros_like(m.running_mean), torch.ones_like(m.running_var)  # type: ignore[arg-type]
        m.momentum = None  # a plain average over all batches
        m.num_batches_tracked = torch.zeros_like(m.num_batches_tracked)  # type: ignore[arg-type]
        m.train()
    for start in range(0, min(len(rows) // size, 100) * size, size):
        forward(rows.batch(np.arange(start, start + size)).to(settings.device))
    for watch in watches:
        watch.remove()
    for m, momentum, (mean, var) in zip(norms, momenta, before, strict=True):
        m.momentum = momentum
        if m not in used:
            m.running_mean, m.running_var = mean, var
    net.eval()


def _total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([term.float().mean() for term in terms.values()]).sum()


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were found; choose deterministic convolutions on a GPU."""
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        yield
