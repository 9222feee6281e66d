"""Foreign textures: pictures turned, shifted and recoloured, and textures made of noise alone.

Content is (h, w, C) float32 from 0 to 1, with any number of channels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .noise import perlin

Floats = NDArray[np.float32]
RECOLOURINGS = ("gamma", "brightness", "contrast", "invert", "solarise", "posterise", "hue", "autocontrast")
TOGETHER = 3  # how many recolourings are applied, as with DRAEM


def recoloured(content: Floats, random: np.random.Generator) -> Floats:
    """Content (h, w, C) after three random ones of eight changes of colour, as DRAEM's textures (there of ten; without
    sharpness, equalisation and rotation): (h, w, C) float32, 0 to 1."""
    for name in random.permutation(len(RECOLOURINGS))[:TOGETHER]:
        amount = random.uniform(-1, 1)
        content = np.clip(_recoloured(content, RECOLOURINGS[name], amount, random), 0, 1, dtype=np.float32)
    return content


def _recoloured(content: Floats, name: str, amount: float, random: np.random.Generator) -> Any:
    """One change of colour. `amount`: -1 to 1."""
    match name:
        case "gamma":
            return np.power(content, np.float32(2.0**amount))
        case "brightness":
            return content + np.float32(0.4 * amount)
        case "contrast":
            mean = content.mean((0, 1))
            return (content - mean) * np.float32(2.0**amount) + mean
        case "invert":
            return 1 - content
        case "solarise":
            return np.where(content > 0.5 + 0.4 * amount, 1 - content, content)
        case "posterise":
            levels = np.float32(4 + 2 * round(amount))
            return np.rint(content * levels) / levels
        case "hue":
            order = random.permutation(content.shape[2])
            return content[..., order] * (0.7 + 0.6 * random.random((1, len(order)), np.float32))
    low, high = content.min((0, 1)), content.max((0, 1))  # autocontrast
    span: Floats = np.maximum(high - low, np.float32(1e-3))
    return (content - low) / span


def foreign(content: Floats, random: np.random.Generator) -> Floats:
    """A texture made of a picture (H, W, C), 0 to 1: turned, mirrored, shifted (what leaves on one side continues
    mirrored on the other) and recoloured, so that nothing stands where it stood. (H, W, C) float32, 0 to 1."""
    height, width = content.shape[:2]
    turned = np.rot90(content, int(random.integers(4)))
    ys, xs = (_mirrored(side, have, random) for side, have in zip((height, width), turned.shape[:2], strict=True))
    return recoloured(turned[ys][:, xs], random)


def _mirrored(side: int, have: int, random: np.random.Generator) -> NDArray[np.intp]:
    """`side` places along an axis of `have`, one after the other from a random one on, back and forth."""
    places = (np.arange(side) + random.integers(2 * have)) % (2 * have)
    found: NDArray[np.intp] = np.minimum(places, 2 * have - 1 - places)
    return found


def procedural(shape: Sequence[int], random: np.random.Generator) -> Floats:
    """A texture of noise: (H, W, C) float32, 0 to 1, between two random colours, of two scales; smooth, or with sharp
    edges."""
    height, width, channels = shape
    most = max(2, min(height, width) // 3)
    scales = np.minimum(2.0 ** random.uniform(1, 5, (2, 2)), most)
    (y1, x1), (y2, x2) = scales.tolist()
    noise = perlin((height, width), y1, x1, random) + perlin((height, width), y2, x2, random) / 2
    t = np.clip(0.5 + np.float32(random.choice((1, 6))) * noise, 0, 1)[..., None]
    first, second = random.random((2, channels), np.float32)
    texture: Floats = first + t * (second - first)
    return texture
