"""Sizes of pictures: which one the networks get, and what is lost on the way."""

import numpy as np

from ..rows.pictures import SMALLEST_SIDE

LONGEST_SIDE = 64  # of the networks' pictures unless `size` says otherwise: what a CPU trains in minutes
MOST_SHRUNK = 4.0  # pixels along a side that become one before a fit warns of it
SAME_SHAPE = 1.1  # how far height over width may differ where proportions count as kept


def network_size(
    size: int | tuple[int, int] | None, typical: np.ndarray, longest: int = LONGEST_SIDE
) -> tuple[int, int]:
    """`size` as (H, W); without one, that of a typical picture, shrunk until its longer side is `longest`."""
    if isinstance(size, int | np.integer):
        return int(size), int(size)
    if size is not None:
        return int(size[0]), int(size[1])
    shrink = min(1.0, longest / float(typical.max()))
    return max(SMALLEST_SIDE, round(float(typical[0]) * shrink)), max(SMALLEST_SIDE, round(float(typical[1]) * shrink))


def longest_of(size: int | tuple[int, int] | None, sides: np.ndarray) -> int:
    """The longer side in pixels of what the networks get of a typical one of pictures with these sides (n, 2)."""
    return max(network_size(size, np.median(sides, axis=0)))


def warn_of_sizes(sides: np.ndarray, size: tuple[int, int]) -> None:
    """Of pictures (n, 2) that lose details, or their proportions, when they are resized to `size`."""
    from ..cautions import DataWarning, warn  # scikit-learn comes with it

    typical = np.median(sides, axis=0)
    shrink = float(np.max(typical / size))
    if shrink > MOST_SHRUNK:
        warn(
            DataWarning,
            "pictures-shrink",
            f"pictures of {typical[0]:.0f}x{typical[1]:.0f} become {spell(size)}: one pixel of the networks stands for "
            f"{shrink:.0f}x{shrink:.0f}, and smaller marks and fine texture vanish; tile=64 (--tile 64) looks at "
            "pictures at their own resolution, a larger size keeps more",
        )
    if len(np.unique(sides, axis=0)) > 1:
        ratio = sides[:, 0] / sides[:, 1]
        low, high = sides[ratio.argmin()], sides[ratio.argmax()]
        bent = f", and their proportions with it: {spell(tuple(low))} as {spell(tuple(high))}"
        warn(
            DataWarning,
            "mixed-sizes",
            f"pictures of {len(np.unique(sides, axis=0)):,} sizes all become {spell(size)}"
            f"{bent if ratio.max() > SAME_SHAPE * ratio.min() else ''}; tile (--tile N) resizes none",
        )


def spell(size: tuple[int, int] | None) -> str:
    """A size as messages have it: "256x256"."""
    return "any size" if size is None else "x".join(map(str, size))
