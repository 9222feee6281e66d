"""CutPaste: a patch of each picture, pasted elsewhere in it with slightly other colours, and a small black cut-out.

The patch is that of Li et al., "CutPaste", CVPR 2021, arXiv:2104.04015; the cut-out that of DeVries and Taylor, 2017,
arXiv:1708.04552. Both together, with these sizes, are the fakes from the data of OCR-GAN (Liang et al.,
arXiv:2203.00259), whose code has squares and three channels alone. Colours change in a fixed order (theirs: at random),
and hues turn about the grey axis (theirs: of HSV). Drawn with torch's global generator, independently for every row.
"""

import math

import torch
from torch import Tensor

LEAST_AREA, MOST_AREA = 0.02, 0.15  # of the patch, as a share of the picture's
LEAST_ASPECT = 0.3  # width by height of the patch; the largest is the inverse
JITTER = 0.1  # of brightness, contrast and saturation, as a factor, and of hue, as a share of the circle
CUT_OUT = 20 / 256  # side of the cut-out, as a share of the picture's shorter one; at least two pixels
GREY = (0.299, 0.587, 0.114)  # share of each colour in a pixel's brightness (ITU-R BT.601)


def cut_paste(x: Tensor, *, jitter: float = JITTER, cut_out: float = CUT_OUT) -> tuple[Tensor, Tensor]:
    """One simulated anomaly in each picture.

    Parameters
    ----------
    x : Tensor
        Pictures (b, C, H, W) in [-1, 1], where -1 is black.
    jitter : float
        How much the patch's colours may change; hue and saturation are those of pictures with three channels.
    cut_out : float
        Side of the cut-out as a share of the picture's shorter side; 0: no cut-out.

    Returns
    -------
    pictures : Tensor
        (b, C, H, W): x outside of the patch and the cut-out, to the last bit.
    changed : Tensor
        (b, 1, H, W) bool: where the patch and the cut-out are.
    """
    n, channels, height, width = x.shape
    area = _between(n, LEAST_AREA, MOST_AREA, x) * height * width
    aspect = _between(n, LEAST_ASPECT, 1 / LEAST_ASPECT, x)
    wide = (area * aspect).sqrt().round().clamp(1, width)
    high = (area / aspect).sqrt().round().clamp(1, height)
    down, across = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    top, from_rows = _moved(high, height, down)
    left, from_columns = _moved(wide, width, across)
    pasted = _within(top, high, down)[:, :, None] & _within(left, wide, across)[:, None, :]
    source = (from_rows[:, :, None] * width + from_columns[:, None, :]).flatten(1)
    patch = x.flatten(2).gather(2, source[:, None].expand(-1, channels, -1)).reshape(x.shape)
    changed = pasted[:, None]
    found = torch.where(changed, recoloured(patch, changed, jitter).to(x.dtype), x)
    if cut_out:
        side = max(2, round(cut_out * min(height, width)))
        row, column = (torch.randint(most, (n,), device=x.device) - side // 2 for most in (height, width))
        black = _within(row, side, down)[:, :, None] & _within(column, side, across)[:, None, :]
        found = found.masked_fill(black[:, None], -1.0)
        changed = changed | black[:, None]
    return found, changed


def recoloured(x: Tensor, where: Tensor, jitter: float) -> Tensor:
    """Pictures (b, C, H, W) in [-1, 1] in slightly other colours; contrast is changed about the mean brightness of the
    places (b, 1, H, W) in `where`."""
    if not jitter:
        return x
    n, channels = x.shape[:2]
    brighter, harder, fuller = (_between(n, 1 - jitter, 1 + jitter, x)[:, None, None, None] for _ in range(3))
    turn = _between(n, -jitter, jitter, x) * 2 * math.pi
    x = ((x + 1) / 2 * brighter).clamp(0, 1)
    mean = (_grey(x) * where).sum((2, 3), keepdim=True) / where.sum((2, 3), keepdim=True)
    x = (harder * x + (1 - harder) * mean).clamp(0, 1)
    if channels == 3:
        grey = _grey(x)
        x = _turned((fuller * x + (1 - fuller) * grey).clamp(0, 1), turn).clamp(0, 1)
    return 2 * x - 1


def _between(n: int, low: float, high: float, like: Tensor) -> Tensor:
    return low + (high - low) * torch.rand(n, device=like.device)


def _moved(length: Tensor, side: int, places: Tensor) -> tuple[Tensor, Tensor]:
    """Where patches of this length (b,) begin in a side, and from which place each one of it would be copied, (b, side)
    whole numbers, by another draw."""
    start, to = ((torch.rand_like(length) * (side - length + 1)).floor().clamp(max=side - 1) for _ in range(2))
    source = (places + (start - to)[:, None]).clamp(0, side - 1).long()
    return to, source


def _within(start: Tensor, length: Tensor | int, places: Tensor) -> Tensor:
    """Whether each place (side,) is among `length` ones from `start` (b,) on, (b, side) bool."""
    after = places - start[:, None]
    return (after >= 0) & (after < (length[:, None] if isinstance(length, Tensor) else length))


def _grey(x: Tensor) -> Tensor:
    """The brightness of each pixel (b, 1, H, W): of three channels as people see it, else their mean."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    return (x * x.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)


def _turned(x: Tensor, angle: Tensor) -> Tensor:
    """Colours (b, 3, H, W) turned about the grey axis by an angle (b,) in radians (Rodrigues' formula)."""
    cosine, sine = angle.cos()[:, None, None, None], angle.sin()[:, None, None, None]
    grey = x.mean(1, keepdim=True)
    across = (x.roll(1, 1) - x.roll(-1, 1)) / math.sqrt(3)
    return grey + (x - grey) * cosine + across * sine
