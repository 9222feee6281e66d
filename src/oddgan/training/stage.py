"""A stage of training and the settings of a run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from .. import machine
from ..errors import ParameterError, TrainingError
from .variation import Variation

if TYPE_CHECKING:
    from .batch import Batch

Losses = Mapping[str, Mapping[str, Tensor]]
"""The loss terms (b,) or () of one move, by player and by name."""


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes
    ----------
    name : str
        Its name in progress bars and in the history.
    players : tuple of str
        The networks that are trained; all others are frozen, in evaluation mode.
    step : callable
        The game, `step(net, batch)`: a generator of `Losses`, one item per move.
    updates : int, optional
        The stage's own budget, in place of the run's updates and epochs.
    lr : float, optional
        The stage's own learning rate, in place of the run's.
    optimiser : {"adam", "rmsprop"}
        RMSprop has torch's default hyper-parameters.
    """

    name: str
    players: tuple[str, ...]
    step: Callable[[nn.ModuleDict, "Batch"], Iterator[Losses]]
    updates: int | None = None
    lr: float | None = None
    optimiser: Literal["adam", "rmsprop"] = "adam"

    def prepare(self, net: nn.ModuleDict) -> None:
        """Let the players train, and freeze all others in evaluation mode."""
        for name, module in net.items():
            module.train(name in self.players).requires_grad_(name in self.players)

    def moves(self, net: nn.ModuleDict, batch: "Batch") -> Iterator[Losses]:
        """The losses of each move of the step, computed in the run's precision. Raises `TrainingError` for a move of a
        network that is no player."""
        moves = self.step(net, batch)
        while True:
            with machine.autocast(batch.settings.device, batch.settings.precision), batch.shared():
                losses = next(moves, None)
            if losses is None:
                return
            if unknown := losses.keys() - set(self.players):
                raise TrainingError(
                    f"stage {self.name}: its step moves {min(unknown)}, which is not among its players "
                    f"{', '.join(self.players)}; name it in Stage.players"
                )
            yield losses


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run trains.

    Attributes
    ----------
    batch_size : int
        Rows in a batch; a smaller set makes batches of all its rows.
    updates, epochs : int, optional
        Budgets of each stage.
    minutes : float, optional
        Budget of the whole run, divided equally among its stages. Whichever budget is exhausted first ends a stage.
    lr : float or mapping
        One learning rate, or one per player.
    betas : tuple of float
        Adam's decay rates.
    ema : float
        Decay of the averaged weights that the run ends with; 0 keeps the last weights.
    precision : torch.dtype
        The type of convolutions and matrix products under autocast; torch.float32 turns autocast off.
    device : torch.device
        Where batches go; the networks must be there already.
    seed : int
        Seed of everything random.
    augment : Variation
        How pictures are varied (`variation.vary`).
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
    augment: Variation = "none"


def rate(settings: Settings, stage: Stage, player: str) -> float:
    """The learning rate of a stage's player. Raises `ParameterError` if rates go by player and this one has none."""
    lr = settings.lr if stage.lr is None else stage.lr
    if isinstance(lr, Mapping) and player not in lr:
        raise ParameterError(f"lr names {', '.join(lr)} but not {player}: give every player's rate")
    return lr[player] if isinstance(lr, Mapping) else lr
