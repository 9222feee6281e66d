"""Adversarial training: stages of a game, one loop that plays them, and checkpoints."""

from .batch import Batch, key
from .budget import updates_by_default
from .history import History
from .loop import run
from .stage import Losses, Settings, Stage, rate
from .watch import Watch
from .world import World

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
