"""Whether the values of a mask are labels, each of them anomalous but 0, or shades of one defect.

Labels are one value or two, numbers of kinds from 0 to 15, up to 16 colours of several hues, and other values that form
areas on a background of 0. Shades are recognised by the pixels between 0 and the maximum:

    soft edges  most of these pixels have both a lower and a higher value among their eight neighbours
    noise       most of these values occur in specks, as JPEG leaves them: fewer than 1.5 of eight neighbours are alike
    slopes      most steps from one value to another do not start at 0
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = 16  # a mask of whole numbers below this holds numbers of kinds
COLOURS = 16  # of kinds of defects
LOOKED_AT = 200_000  # pixels between 0 and the maximum whose neighbours are looked at, evenly spread


def is_hard(mask: NDArray[Any], *, lossy: bool = False) -> bool:
    """Whether every value of a mask, (H, W) or (H, W, C), is a label. `lossy`: its format changes values."""
    if mask.ndim == 2:
        return _is_hard(mask, lossy)
    grey = mask.max(axis=2)
    return _is_hard(grey, lossy) or (not lossy and _has_few_hues(mask[grey != 0]))


def _has_few_hues(colours: NDArray[Any]) -> bool:
    """Whether these colours (n, C) are few, and not all shades of one."""
    few = np.unique(colours[:: -(-len(colours) // LOOKED_AT)], axis=0).astype(np.float64)
    if len(few) > COLOURS:
        return False
    brightest = few[few.max(axis=1).argmax()]
    shades = few.max(axis=1, keepdims=True) / brightest.max() * brightest
    return bool((np.abs(few - shades) > 1).any())  # rounding is less


def _is_hard(grey: NDArray[Any], lossy: bool) -> bool:
    low, high = grey.min(), grey.max()
    if low == high:
        return True
    between = (grey != low) & (grey != high)
    if not between.any():
        return True
    if lossy or low != 0:
        return False
    if high < NUMBERS and np.issubdtype(grey.dtype, np.integer):
        return True
    rows, columns = np.nonzero(between)
    every = -(-len(rows) // LOOKED_AT)
    rows, columns = rows[::every], columns[::every]
    here = grey[rows, columns]
    padded = np.pad(grey, 1, mode="edge")
    around = np.stack([padded[rows + i, columns + j] for i in range(3) for j in range(3) if (i, j) != (1, 1)])
    slope = (around < here).any(axis=0) & (around > here).any(axis=0)
    _, label = np.unique(here, return_inverse=True)
    alike = np.bincount(label, (around == here).sum(axis=0)) / np.bincount(label)
    if slope.mean() > 0.5 or np.median(alike) < 1.5:
        return False
    steps = from_background = 0
    for one, other in ((grey[1:], grey[:-1]), (grey[:, 1:], grey[:, :-1])):
        step = one != other
        steps += int(step.sum())
        from_background += int((step & ((one == 0) | (other == 0))).sum())
    return 2 * from_background >= steps
