"""The one adversarial training loop.

A detector says *what* is played: `Stage.step` is a generator that yields players and their named loss terms,

    yield {"G": {"adv": rows, "con": rows}}       # G is updated on the mean of adv + the mean of con
    yield {"D": {"real": rows, "fake": rows}}     # then D; tensors computed before a yield are stale after it

and this package does the rest: optimisers, row order, averaged weights, precision, history, checkpoints. A player's
loss is differentiated with respect to that player's parameters alone, so no detector can move a network that is not
its player's. When one yield names several players, all their gradients come from the same graph, before any player
moves.

All randomness of update t of a stage (row order, priors, dropout) is keyed by (seed, stage, t), and checkpoints fall
between updates. A run that was killed and resumed therefore ends in the same bits as an uninterrupted one.

A stage may end before its budget does: it diverges, its held-out loss falls no more, a hook says so, or the user
presses Ctrl-C. The stages after it are trained as usual. `lookout` says in which state it ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import cautions, machine
from ..errors import DistributedError, TrainingError
from ..hooks import Hook, Moment
from ..preprocessing.prepared import PreparedRows
from ..ranks import SINGLE, Signs, World, current
from .averages import Averages, refresh_statistics
from .batch import Batch, key
from .budget import Budget, Clock
from .checkpoint import Checkpoint
from .history import History, Recorder
from .interrupt import heeded
from .lookout import Lookout
from .stage import Losses, Settings, Stage, rate
from .validation import first_means
from .watch import Watch


def run(
    net: nn.ModuleDict,
    stages: Sequence[Stage],
    rows: PreparedRows,
    settings: Settings,
    *,
    checkpoint: Checkpoint | None = None,
    hooks: Iterable[Hook] = (),
    watch: Watch | None = None,
    world: World | None = None,
) -> History:
    """Train the networks of `net` in place, stage after stage.

    Parameters
    ----------
    net : nn.ModuleDict
        The networks by name.
    stages : sequence of Stage
        What is trained, in order.
    rows : PreparedRows
        The training rows.
    settings : Settings
        How to train.
    checkpoint : Checkpoint, optional
        Written during the run. If it holds an earlier part of this run, training resumes from there.
    hooks : iterable of Hook
        Observers of the run, which may end a stage (`Moment.stop`).
    watch : Watch, optional
        Held-out rows, patience, and what Ctrl-C means; it keeps which stages ended early.
    world : World, optional
        The processes that train together, each with the same arguments; hooks and the checkpoint are those of process
        0. By default those of the block (`oddgan.ranks.joined`), usually one.

    Returns
    -------
    History
        The mean of every loss term, by epoch.

    Raises
    ------
    TrainingError
        If a loss is no longer finite, or has exploded, and there is no good state to go back to.
    ParameterError
        If stages are to end by held-out losses, and none has a loss that says when.
    ArtifactError
        If the checkpoint belongs to another run.
    DistributedError
        If a process has lost the others, or their networks differ; the checkpoint stays.
    """
    world = world or current()
    world.copy_from_first(net)
    hooks = hooks if world.leads else ()
    for stage in stages:  # a rate that the last stage lacks is an error before the first is trained
        for player in stage.players:
            rate(settings, stage, player)
    watch = watch or Watch()
    named = watch
    criteria = world.decided(lambda: named.criteria(net, stages, rows, settings))
    history: History = {"stage": [], "epoch": [], "update": []}
    saved = world.decided(checkpoint.read) if checkpoint else None
    if checkpoint and saved and saved["stage"] >= len(stages):
        with checkpoint.restoring():
            raise ValueError(f"stage {saved['stage']} of {len(stages)}")
    try:
        for number, stage in enumerate(stages):
            if saved and saved["stage"] > number:
                continue
            budget = Budget.of(stage, settings, len(stages))
            under_way = StageRun(net, stage, number, rows, settings, budget, history, world, watch, criteria[number])
            if checkpoint and saved and saved["stage"] == number:
                with checkpoint.restoring():
                    under_way.restore(saved)
            moment = under_way.moment()
            for hook in hooks:
                hook.on_start(moment)
            with heeded(watch.keep_interrupted) as pressed:
                signs = under_way.signs(moment, pressed())
                while not under_way.finished(signs):
                    under_way.update()
                    epoch_ended = under_way.close_epoch()
                    moment = under_way.moment()
                    for hook in hooks:
                        hook.on_update(moment)
                        if epoch_ended:
                            hook.on_epoch(moment)
                    signs = under_way.signs(moment, pressed(), due=checkpoint is not None and checkpoint.due())
                    if checkpoint and signs.due and under_way.sound():
                        under_way.keep(checkpoint)
            under_way.end()
            for hook in hooks:
                hook.on_end(under_way.moment())
            under_way.keep(checkpoint)
    except DistributedError as error:
        if checkpoint is None or not checkpoint.path.exists():
            raise
        raise DistributedError(f"{error}; the checkpoint {checkpoint.path} is kept, and training can go on") from error
    except TrainingError:
        if checkpoint and world.leads:
            checkpoint.remove()  # a run that diverged cannot be resumed
        raise
    return history


class StageRun:
    """One stage under way: its optimisers, averaged weights, batches, budget and open line of history."""

    def __init__(
        self,
        net: nn.ModuleDict,
        stage: Stage,
        number: int,
        rows: PreparedRows,
        settings: Settings,
        budget: Budget,
        history: History,
        world: World = SINGLE,
        watch: Watch | None = None,
        criterion: tuple[str, ...] = (),
    ) -> None:
        self.net, self.stage, self.number, self.rows = net, stage, number, rows
        self.settings, self.budget, self.world = settings, budget, world
        self.params = {player: list(net[player].parameters()) for player in stage.players}
        self.optimisers = {player: self._optimiser(player) for player in stage.players}
        self.averages = Averages([p for params in self.params.values() for p in params], settings.ema)
        self.batch = Batch(rows, settings, number, world)
        self.recorder = Recorder(history, stage, settings, world)
        self.lookout = Lookout(watch or Watch(), net, stage, number, settings, self.averages, self.recorder, criterion)
        self.clock = Clock()
        self.t = 0  # updates done
        self.ended = False
        stage.prepare(net)
        self.lookout.explosions.begin(first_means(net, stage, Batch(rows, settings, number, world)))

    def _optimiser(self, player: str) -> torch.optim.Optimizer:
        lr = rate(self.settings, self.stage, player)
        if self.stage.optimiser == "rmsprop":
            return torch.optim.RMSprop(self.params[player], lr=lr, foreach=True)
        return torch.optim.Adam(self.params[player], lr=lr, betas=self.settings.betas, fused=True)

    def update(self) -> None:
        """One update: every move of the stage's step, then the averages."""
        machine.seed(key(self.settings.seed, self.number, self.t), self.settings.device)
        self.batch.update = self.t
        for losses in self.stage.moves(self.net, self.batch):
            self._backward(losses)
            for player, terms in losses.items():
                means = self.world.average(self.params[player], terms)
                self.optimisers[player].step()
                self.recorder.add(player, terms, means)
        self.averages.follow(self.t)
        self.t += 1
        self.recorder.since += 1

    def _backward(self, losses: Losses) -> None:
        """Every player's gradients of its own losses, with respect to its own parameters."""
        totals = {player: _total(terms) for player, terms in losses.items()}
        for i, (player, total) in enumerate(totals.items()):
            self.optimisers[player].zero_grad(set_to_none=True)
            total.backward(inputs=self.params[player], retain_graph=i < len(totals) - 1)  # type: ignore[no-untyped-call]
        torch.clear_autocast_cache()  # inside a caller's autocast, it would still hold the weights before this move

    def signs(self, moment: Moment, interrupted: bool, *, due: bool = False) -> Signs:
        """What process 0 has seen after the last update, the same in every process."""
        signs = self.world.signs(Signs(self.clock.here(), moment.stopped, interrupted, due))
        if self.world.size > 1:
            self.clock.agreed = signs.seconds
        return signs

    def finished(self, signs: Signs) -> bool:
        """Whether the stage has ended, its budget is exhausted, or something else ends it."""
        exhausted = self.budget.exhausted(self.t, self.batch.epoch, signs.seconds)
        return self.ended or exhausted or self.lookout.ends(signs.stopped, signs.interrupted)

    def close_epoch(self) -> bool:
        """Look at the losses, and append a line to the history if the last update has ended an epoch; return whether it
        has."""
        share = self.budget.share(self.t, self.batch, self.clock.seconds())
        return self.lookout.after(self.t, self.batch.epoch, share)

    def sound(self) -> bool:
        """Whether the stage can be resumed from here: it has not diverged."""
        return self.lookout.sound(self.t)

    def end(self) -> None:
        """Close the history, go back to the state that the stage ends in, and replace the weights by their averages,
        with statistics of their own."""
        if not self.ended:
            update = self.lookout.end(self.t, self.batch.epoch)
            if self.averages.values:
                self.averages.replace_weights()
                self._refresh_statistics(update)
        self.ended = True
        self.net.eval().requires_grad_(False)

    def _refresh_statistics(self, update: int) -> None:
        batch = Batch(self.rows, self.settings, self.number, self.world)
        batch.update = update  # the game as it was then
        players = [m for player in self.stage.players for m in self.net[player].modules()]
        refresh_statistics(players, lambda batch: self.stage.step(self.net, batch), batch)

    def moment(self) -> Moment:
        """Where the run stands, for hooks."""
        total, rate, seconds = self.budget.total(self.t, self.batch), self.clock.rate(self.t), self.clock.seconds()
        left = self.budget.seconds_left(self.t, total, rate, seconds)
        losses, held_out = self.recorder.last(), self.recorder.last_validation()
        return Moment(self.stage.name, self.t, total, self.batch.epoch, rate, left, losses, held_out)

    def keep(self, checkpoint: Checkpoint | None) -> None:
        """Have process 0 write the checkpoint, if there is one. Raises `DistributedError` unless all have the same
        networks."""
        held = [*self.net.state_dict().values(), *self.averages.values]
        self.world.check_same(held, f"after update {self.t} of stage {self.stage.name}")
        if checkpoint and self.world.leads:
            checkpoint.write(self.state())

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint holds of the stage."""
        return {
            "stage": self.number,
            "update": self.t,
            "drawn": self.batch.drawn,
            "ended": self.ended,
            "seconds": self.clock.seconds(),
            "net": self.net.state_dict(),
            "averages": self.averages.values,
            "optimisers": {player: o.state_dict() for player, o in self.optimisers.items()},
            "sums": self.recorder.sums,
            "since": self.recorder.since,
            "history": self.recorder.history,
            "watch": self.lookout.state(ended=self.ended),
            **({"processes": self.world.size} if self.world.size > 1 else {}),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from a `state`. Raises any error when it does not fit the networks."""
        self.net.load_state_dict(saved["net"])
        for player, optimiser in self.optimisers.items():
            _load(optimiser, saved["optimisers"][player])
        for mine, theirs in zip(self.averages.values, saved["averages"], strict=True):
            if mine.shape != theirs.shape:  # copied, it would be repeated until it fits
                raise ValueError(f"averages of {list(theirs.shape)} for weights of {list(mine.shape)}")
            mine.copy_(theirs)
        self.t, self.batch.drawn, self.ended = saved["update"], saved["drawn"], saved["ended"]
        self.clock = Clock(saved["seconds"], self.t)
        self.recorder.sums = {name: total.to(self.settings.device) for name, total in saved["sums"].items()}
        self.recorder.since = saved["since"]
        self.recorder.history.clear()
        self.recorder.history.update(saved["history"])
        if "watch" in saved:  # unknown to older versions
            self.lookout.restore(saved["watch"])
        if (before := int(saved.get("processes", 1))) != self.world.size:
            cautions.warn(
                cautions.TrainingWarning,
                "other-processes",
                f"the run was begun with {before} processes and goes on with {self.world.size}: its result is equal up "
                "to rounding, and not to the last bit",
            )


def _load(optimiser: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load what an optimiser remembers of each weight; its options are the run's own. Raises `ValueError` where
    something does not fit."""
    optimiser.load_state_dict({**saved, "param_groups": optimiser.state_dict()["param_groups"]})
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    names = set().union(*(optimiser.state.get(weight, {}) for weight in weights))
    for weight in weights:
        held = optimiser.state.get(weight, {})
        for name in names:
            shape = () if name == "step" else weight.shape
            if not isinstance(held.get(name), Tensor) or held[name].shape != shape:
                raise ValueError(f"the optimiser's {name} does not fit the weights")


def _total(terms: Mapping[str, Tensor]) -> Tensor:
    """The loss of one player: the sum over its terms of their means over rows."""
    return torch.stack([term.float().mean() for term in terms.values()]).sum()
