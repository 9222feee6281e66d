"""Pictures brought to one exposure, where lamps and shutters vary and what is looked for does not depend on them.

    gain:      x * (typical mean / mean of x)
    contrast:  (x - mean of x) * (typical deviation / deviation of x) + typical mean

Each picture by itself. Where the light is what is anomalous, this takes it away.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np

Exposure = Literal["none", "gain", "contrast"]
LEAST = 1e-3  # of the typical value: a picture that is darker, or flatter, is not brought any further


def level_of(pictures: Iterable[np.ndarray], inside: np.ndarray | None) -> tuple[float, float]:
    """The median over pictures (H, W, C) of their means and of their deviations, over the pixels `inside` (H, W)."""
    found = [_moments(picture, inside) for picture in pictures]
    mean, deviation = np.median(np.array(found), axis=0)
    return float(mean), float(deviation)


def brought_to(
    picture: np.ndarray, exposure: Exposure, level: tuple[float, float], inside: np.ndarray | None
) -> np.ndarray:
    """A picture (H, W, C) at the typical `level`, in its own type; 8 bits are rounded and cut at black and white."""
    if exposure == "none":
        return picture
    mean, deviation = _moments(picture, inside)
    if exposure == "gain":
        values = picture.astype(np.float32) * np.float32(level[0] / _at_least(mean, level[0]))
    else:
        gain = np.float32(level[1] / _at_least(deviation, level[1]))
        values = (picture.astype(np.float32) - np.float32(mean)) * gain + np.float32(level[0])
    return np.clip(np.rint(values), 0, 255).astype(np.uint8) if picture.dtype == np.uint8 else values


def _moments(picture: np.ndarray, inside: np.ndarray | None) -> tuple[float, float]:
    values = picture if inside is None else picture[inside]
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))


def _at_least(value: float, typical: float) -> float:
    least = max(LEAST * abs(typical), float(np.finfo(np.float32).tiny))
    return max(value, least)
