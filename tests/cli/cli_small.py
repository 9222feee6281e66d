"""What makes the tests of the command line small."""

from pathlib import Path

import numpy as np
from PIL import Image

SMALL = ("--updates", "5", "--width", "4", "--threads", "1")
"""Flags that make training take a second."""


def picture(seed: int, *, scratch: bool = False) -> np.ndarray:
    """(16, 12) uint8: a ramp with noise, perhaps with a scratch."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0, 150, 12) + random.uniform(0, 60, size=(16, 12))
    if scratch:
        ramp[4:7, 2:10] = 255
    return ramp.astype(np.uint8)


def pixels(path: str | Path) -> np.ndarray:
    """What a picture file shows."""
    with Image.open(path) as shown:
        return np.array(shown)
