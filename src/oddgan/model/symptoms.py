"""Rules that say what went wrong in a training, from its indicators. NumPy alone."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Symptom:
    """What a training suffers from: a `code` for programs, and a `message` that says what to try."""

    code: str
    message: str


def of(health: Mapping[str, float]) -> list[Symptom]:
    """The symptoms that the indicators of a training show, the gravest first."""
    del health
    return []
