"""The colours of all plots: those of Okabe and Ito (2008), which colour-blind people can distinguish; and of heat maps,
those of reports."""

from functools import lru_cache
from typing import Any

import numpy as np

from ..colours import STRONGEST, Shades, inferno

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, BROWN, GREY = "#CC79A7", "#56B4E9", "#8A5A00", "#767676"

NORMAL, ANOMALOUS, OTHER = BLUE, VERMILION, GREEN
THRESHOLD = INK = "#222222"
CHANCE, BAND, MUTED = GREY, "#D9D9D9", "#555555"

CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BROWN, GREY)
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
"""One for each colour, so that nothing is said by colour alone."""


def of_group(name: str, number: int) -> str:
    """The colour of a group of rows: its own where it is normal, anomalous or noise, else by its number."""
    own = {"normal": NORMAL, "anomalous": ANOMALOUS, "anomaly": ANOMALOUS, "pure noise": OTHER, "all": GREY}
    return own.get(name, CYCLE[number % len(CYCLE)])


@lru_cache(maxsize=1)
def heat() -> Any:
    """matplotlib's colour map for anomaly maps over pictures: a report's colours, the fainter the more transparent."""
    from matplotlib.colors import ListedColormap

    opacity = np.linspace(0, STRONGEST, 256)[:, None]
    return ListedColormap(np.hstack([inferno() / 255, opacity]), name="oddgan heat")


def norm(shades: Shades) -> Any:
    """From values of a map to its colours."""
    from matplotlib.colors import Normalize

    return Normalize(shades.low, shades.high, clip=True)
