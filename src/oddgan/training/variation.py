"""Pictures that are trained on, mildly varied: what the parameter `augment` does. A varied normal picture is still one
that could come from the camera."""

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ParameterError

Variation = Literal["none", "light", "shift", "turn", "flip", "all"]
"""What is varied: brightness and contrast, place, rotation, handedness; "all" is the first three. A part that is
mirrored may well be a wrong part, so that flips must be asked for."""

NUMBERS = 7  # that `vary` is given for each picture
MOST_SHIFT = 0.03  # of the side
MOST_TURN = math.radians(3)
BRIGHTNESS = 0.03  # of black to white
CONTRAST = 0.05


def vary(x: Tensor, how: Variation, u: np.ndarray) -> Tensor:
    """Pictures mildly varied, each by its own numbers.

    Parameters
    ----------
    x : Tensor
        Pictures (b, C, H, W) float32, -1 black to 1 white.
    how : Variation
        "light": contrast by up to 5% about the picture's mean, and brightness by up to 3% of black to white; what would
        be beyond is cut there. "shift": by up to 3% of the side, at least one pixel, and by whole pixels: between them,
        pictures would have to be interpolated, and the networks would learn that normal ones are softer than those that
        they score. "turn": half of the pictures by up to 3 degrees, with bicubic interpolation, which softens least;
        the other half stay as sharp as they are. "flip": left to right and upside down, each of half of the pictures.
        What comes from outside of a picture is its reflection.
    u : array (b, `NUMBERS`) of float
        What decides, in [0, 1). The same numbers always give the same pictures.

    Returns
    -------
    Tensor
        (b, C, H, W) float32, laid out channels-last.
    """
    with torch.autocast(x.device.type, enabled=False):
        if how in ("shift", "flip", "all"):
            x = _moved(x, how, u[:, :2], u[:, 2:4] < 0.5)
        if how in ("turn", "all"):
            turn = 4 * torch.from_numpy(u[:, 4]) - 2
            which = (turn.abs() < 1).nonzero().ravel()
            if len(which):
                some = which.to(x.device)
                x = x.index_copy(0, some, _turned(x.index_select(0, some), turn[which] * MOST_TURN))
        if how in ("light", "all"):
            x = _lit(x, *torch.from_numpy(2 * u[:, 5:] - 1).to(x)[:, :, None, None, None].unbind(1))
        return x.contiguous(memory_format=torch.channels_last)


def check_variation(how: Variation, roi: Any, tile: int | None) -> None:
    """Raise `ParameterError` where what is moved would bring the outside of a region of interest into it."""
    if how in ("none", "light") or roi is None or (tile is None and not isinstance(roi, str)):
        return
    raise ParameterError(
        f"augment={how}: would move pixels across the border of the region of interest; use augment=light, or a roi "
        "given as LEFT,TOP,WIDTH,HEIGHT without tiles"
    )


def _moved(x: Tensor, how: Variation, u: np.ndarray, flips: np.ndarray) -> Tensor:
    """Shifted by whole pixels, or flipped: copies of the pixels as they are."""
    n, channels, *sides = x.shape
    lines = []
    for side, share, flip in zip(sides, u.T, flips.T, strict=True):
        along = np.arange(side)[None]
        if how == "flip":
            along = np.where(flip[:, None], side - 1 - along, along)
        else:
            most = max(1, round(MOST_SHIFT * side))
            along = along + np.floor(share * (2 * most + 1)).astype(int)[:, None] - most
            along = np.where(along < 0, -1 - along, np.where(along >= side, 2 * side - 1 - along, along))
        lines.append(along)
    height, width = sides
    places = (np.arange(n)[:, None, None] * height + lines[0][:, :, None]) * width + lines[1][:, None, :]
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)  # a view, as pictures are laid out
    found = pixels.index_select(0, torch.from_numpy(places.ravel()).to(x.device))
    return found.view(n, height, width, channels).permute(0, 3, 1, 2)


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Turned about the centre by angles (b,)."""
    n, _, height, width = x.shape
    sine, cosine, nothing = turn.sin(), turn.cos(), torch.zeros(n, dtype=turn.dtype)
    lean = height / width  # a vertical step, in horizontal ones
    across, along = torch.stack([cosine, -sine * lean, nothing], 1), torch.stack([sine / lean, cosine, nothing], 1)
    matrices = torch.stack([across, along], 1).to(x)
    places = F.affine_grid(matrices, [n, 1, height, width], align_corners=False)
    turned = F.grid_sample(x, places, mode="bicubic", padding_mode="reflection", align_corners=False)
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return turned.clamp(low, high)  # bicubic interpolation overshoots at edges


def _lit(x: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Brighter and of more contrast, each from -1, least, to 1, most. Places that are equal stay equal and keep their
    rank: outside a region of interest, where pictures have the median of its inside, they still have it."""
    low, high = x.amin((1, 2, 3), keepdim=True).clamp(max=-1), x.amax((1, 2, 3), keepdim=True).clamp(min=1)
    offset = 2 * BRIGHTNESS * brightness - CONTRAST * contrast * x.mean((1, 2, 3), keepdim=True)
    return torch.addcmul(offset, x, 1 + CONTRAST * contrast).clamp_(low, high)
