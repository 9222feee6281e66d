"""Adversarial training: stages of a game, one loop that plays them, and checkpoints."""

from ..ranks import World
from .batch import Batch, key
from .budget import updates_by_default
from .history import History
from .loop import run
from .stage import Losses, Settings, Stage, rate
from .watch import Watch

__all__ = [
    "Batch",
    "History",
    "Losses",
    "Settings",
    "Stage",
    "Watch",
    "World",
    "key",
    "rate",
    "run",
    "updates_by_default",
]
