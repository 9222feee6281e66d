"""The adversarial loop, and what it is made of."""

from .loop import Batch, History, Losses, Settings, Stage, key, rate, run, updates_by_default

__all__ = ["Batch", "History", "Losses", "Settings", "Stage", "key", "rate", "run", "updates_by_default"]
