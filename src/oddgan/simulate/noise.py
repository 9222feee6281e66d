"""Perlin noise (Perlin, "An Image Synthesizer", SIGGRAPH 1985), and masks and shapes made of it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALES = 6  # DRAEM's: 2^0 to 2^5 cells along a side
LEAST_CELL = 4  # pixels; in smaller cells there is no shape to see


def perlin(shape: Sequence[int], scale_y: float, scale_x: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Perlin noise.

    Parameters
    ----------
    shape : (int, int)
        H and W.
    scale_y, scale_x : float
        The number of cells along H and W, above 0. Cells of less than two pixels have no visible shape.
    random : numpy.random.Generator
        Where the gradients are drawn from.

    Returns
    -------
    (H, W) float32
        Within -1 and 1, 0 in the mean.
    """
    height, width = shape
    wy, dy = _corners(np.arange(height) * (scale_y / height))
    wx, dx = _corners(np.arange(width) * (scale_x / width))
    angle = random.random((wy.shape[1], wx.shape[1]), np.float32) * np.float32(2 * math.pi)
    # The noise is the sum over corners of weight_y weight_x (sin dy + cos dx): a product of matrices for either part.
    noise: NDArray[np.float32] = (wy * dy) @ (np.sin(angle) @ wx.T) + wy @ (np.cos(angle) @ (wx * dx).T)
    return np.clip(noise * np.float32(math.sqrt(2)), -1, 1, out=noise)


def _corners(places: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The weight (n, k) of each of k grid points for n places, and the distance (n, k) from it."""
    first = np.floor(places).astype(int)
    grid = np.arange(first[-1] + 2)
    distance = (places[:, None] - grid).astype(np.float32)
    t = np.clip(1 - np.abs(distance), 0, 1)
    return t * t * t * (t * (t * 6 - 15) + 10), distance


def perlin_mask(
    shape: Sequence[int], random: np.random.Generator, threshold: float = 0.5, rotate: bool = True
) -> NDArray[np.bool_]:
    """DRAEM's mask (Zavrtanik et al., 2021): where Perlin noise of random scales exceeds a threshold.

    Parameters
    ----------
    shape : (int, int)
        H and W.
    random : numpy.random.Generator
        Where scales, gradients and the angle are drawn from. Along each axis there are 2^0 to 2^5 cells of at least
        four pixels.
    threshold : float
        Of the noise, -1 to 1.
    rotate : bool
        Whether the noise is rotated by a random angle, up to 90 degrees either way.

    Returns
    -------
    (H, W) bool
        At some scales empty, as with DRAEM.
    """
    height, width = shape
    scale_y, scale_x = (2.0 ** random.integers(_scales(side)) for side in (height, width))
    if not rotate:
        return perlin(shape, scale_y, scale_x, random) > threshold
    side = math.ceil(math.hypot(height, width))  # no rotation leaves this square
    mask = perlin((side, side), scale_y * side / height, scale_x * side / width, random) > threshold
    angle = random.uniform(-math.pi / 2, math.pi / 2)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    x = np.arange(width, dtype=np.float32) - (width - 1) / 2
    middle = np.float32((side - 1) / 2 + 0.5)
    from_y = np.clip((cos * y - sin * x + middle).astype(np.intp), 0, side - 1)
    from_x = np.clip((sin * y + cos * x + middle).astype(np.intp), 0, side - 1)
    found: NDArray[np.bool_] = mask.ravel()[from_y * side + from_x]
    return found


def _scales(side: int) -> int:
    """How many of the scales 2^0, 2^1, ... have cells large enough along this side, at least one."""
    return max(1, min(SCALES, 1 + int(math.log2(max(1, side // LEAST_CELL)))))


def blob(shape: Sequence[int], random: np.random.Generator, soft: float) -> NDArray[np.float32]:
    """An irregular ellipse that fills a box.

    Parameters
    ----------
    shape : (int, int)
        H and W.
    random : numpy.random.Generator
        Where its irregularity is drawn from.
    soft : float
        Above 0: how wide its edge is; at 1 it grows from the border to the middle.

    Returns
    -------
    (H, W) float32
        Opacity, 0 to 1; 1 somewhere.
    """
    height, width = shape
    y = ((np.arange(height, dtype=np.float32) * 2 + 1) / height - 1)[:, None]
    x = (np.arange(width, dtype=np.float32) * 2 + 1) / width - 1
    field = 1.05 - np.sqrt(y * y + x * x)
    if min(height, width) >= 4:
        field += 0.4 * perlin(shape, 2, 2, random) * np.sqrt((1 - y * y) * (1 - x * x))
    t = np.clip(field / (field.max() * np.float32(soft)), 0, 1)
    opacity: NDArray[np.float32] = (t * t * (3 - 2 * t)).astype(np.float32)
    return opacity
