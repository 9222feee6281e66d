"""Random augmentations of rows, for games that learn features which are invariant to them.

Pictures are shifted, rotated, scaled, sheared and warped; in rows of a table, some columns are replaced by those of
other rows. Drawn with torch's global generator, independently for every row.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ranks import whole

TURN, SHEAR, SCALE, SHIFT = math.radians(15), 0.25, 0.2, 0.1  # the maxima at strength 1; SHIFT as a share of the side
WARP = 0.03  # standard deviation of a warp's grid points, as a share of the side
WARP_POINTS = 4  # of the warp's grid, along each side
REPLACED = 0.5  # share of a table's columns, at strength 1


def augment(x: Tensor, strength: float = 1.0, groups: int = 1) -> Tensor:
    """One random augmentation of each row.

    Parameters
    ----------
    x : Tensor
        Pictures (b, C, H, W), in which the result is differentiable, or rows of a table (b, d).
    strength : float
        0 leaves rows unchanged; at 1, a digit is still just legible.
    groups : int
        Number of kinds of rows, which follow each other in equal parts of x: columns of a table are replaced by those
        of rows of the same kind.

    Returns
    -------
    Tensor
        The augmented rows, in the shape of x. Pixels from outside a picture repeat its border.
    """
    if x.ndim == 2:
        replaced = torch.rand(x.shape, device=x.device) < 1 - (1 - REPLACED) ** strength
        rows = whole(x, groups)
        size, own = len(rows) // groups, len(x) // groups
        others = torch.randint(size, x.shape, device=x.device)
        others += size * (torch.arange(len(x), device=x.device) // own)[:, None]
        return torch.where(replaced, rows.gather(0, others), x)
    with torch.autocast(x.device.type, enabled=False):
        return F.grid_sample(x.float(), _places(x, strength), padding_mode="border", align_corners=False)


def _places(x: Tensor, strength: float) -> Tensor:
    """Where each pixel of the augmented pictures comes from, (b, H, W, 2), -1 to 1 from edge to edge."""
    n, _, height, width = x.shape

    def within(most: float) -> Tensor:
        return (torch.rand(n, device=x.device) * 2 - 1) * most * strength

    turn, shear, wide, high = within(TURN), within(SHEAR), 1 + within(SCALE), 1 + within(SCALE)
    right, down = within(2 * SHIFT), within(2 * SHIFT)
    lean = height / width  # a vertical step, in horizontal ones
    across = torch.stack([turn.cos() * wide, (shear - turn.sin()) * wide * lean, right], 1)
    along = torch.stack([turn.sin() * high / lean, turn.cos() * high, down], 1)
    places = F.affine_grid(torch.stack([across, along], 1), [n, 1, height, width], align_corners=False)
    warp = 2 * WARP * strength * torch.randn(n, 2, WARP_POINTS, WARP_POINTS, device=x.device)
    smooth = F.interpolate(warp, (height, width), mode="bicubic", align_corners=False)
    return places + smooth.permute(0, 2, 3, 1)
