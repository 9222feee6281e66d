"""The region of interest: the part of every picture that counts. What is outside it is neither trained on, nor scored,
nor mapped, nor counted.

    pixels outside --> the median of those inside, of the same picture

so that nothing outside has any influence, and every picture brings its own level.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArtifactError, DataError, ParameterError
from ..rows.pictures import SMALLEST_SIDE

MOST_SIZES = 8
"""For how many sizes of pictures a region keeps what it has made."""


@dataclass(frozen=True, eq=False)
class Region:
    """`mask` (H, W) bool: true inside, for pictures of that size; those of another size (which a model takes with
    `convert` alone) have it scaled."""

    mask: np.ndarray
    _scaled: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, repr=False)
    _corners: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, given: Any, sides: np.ndarray) -> "Region | None":
        """What `roi` says, for pictures with these sides (n, 2): LEFT, TOP, WIDTH, HEIGHT in pixels, or the path of a
        picture that is black outside. Raises `ParameterError` where it does not fit the pictures."""
        if given is None:
            return None
        if len(np.unique(sides, axis=0)) > 1:
            raise ParameterError("roi: is for pictures of one size, and these differ; bring them to one size")
        size = int(sides[0][0]), int(sides[0][1])
        mask = _read(given) if isinstance(given, str) else _rectangle(given, size)
        if mask.shape != size:
            raise ParameterError(
                f"roi={given}: is {mask.shape[0]}x{mask.shape[1]} pixels (height x width), and the pictures are "
                f"{size[0]}x{size[1]}; give a mask of their size"
            )
        region = cls(mask)
        top, left, bottom, right = region.box(size)
        if min(bottom - top, right - left) < SMALLEST_SIDE:
            raise ParameterError(f"roi={given}: must reach over {SMALLEST_SIDE} pixels at least, each way")
        return region

    @classmethod
    def seen(cls, given: Any, sides: np.ndarray) -> "tuple[Region | None, np.ndarray]":
        """The region `roi` of pictures with these sides (n, 2), and the sides (m, 2) of what is seen of them: theirs,
        or those of the rectangle around the region. Raises what `of` does."""
        region = cls.of(given, sides)
        return region, sides if region is None else np.array([region.cut_mask.shape])

    def at(self, size: Sequence[int]) -> np.ndarray:
        """The mask for pictures of this size (H, W)."""
        shape = int(size[0]), int(size[1])
        if shape == self.mask.shape:
            return self.mask
        if (found := self._scaled.get(shape)) is None:
            rows, columns = (np.arange(n) * m // n for n, m in zip(shape, self.mask.shape, strict=True))
            found = _kept(self._scaled, shape, self.mask[np.ix_(rows, columns)])
        return found

    def box(self, size: Sequence[int]) -> tuple[int, int, int, int]:
        """The rectangle around the region in pictures of this size: top, left, bottom, right."""
        rows, columns = (np.flatnonzero(self.at(size).any(axis)) for axis in (1, 0))
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1

    def filled(self, picture: np.ndarray) -> np.ndarray:
        """A picture (H, W, C) in which every pixel outside has the median of those inside, in each channel."""
        inside = self.at(picture.shape[:2])
        values = picture[inside]
        middle = np.partition(values, len(values) // 2, axis=0)[len(values) // 2]
        return np.asarray(np.where(inside[..., None], picture, middle), picture.dtype)

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The rectangle around the region of a picture (H, W, C), filled."""
        top, left, bottom, right = self.box(picture.shape[:2])
        return self.filled(picture)[top:bottom, left:right]

    @property
    def cut_mask(self) -> np.ndarray:
        """Which pixels of the rectangle around the region are inside, (h, w) bool."""
        top, left, bottom, right = self.box(self.mask.shape)
        return self.mask[top:bottom, left:right]

    def spread(self, cut: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """A map (h, w) of the rectangle in its place in a picture of this size (H, W)."""
        top, left, bottom, right = self.box(size)
        whole = np.zeros((int(size[0]), int(size[1])), np.float32)
        whole[top:bottom, left:right] = cut
        return self.only(whole)

    def only(self, whole: np.ndarray) -> np.ndarray:
        """A map (H, W) float32 whose places outside have the lowest value inside, at most 0: none stands out."""
        inside = self.at(whole.shape)
        return np.where(inside, whole, np.float32(min(0.0, float(whole[inside].min()))))

    def placed(self, made: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """What networks made of the rectangle, (h, w) or (h, w, 3) uint8, in its place in a picture of this size (H, W)
        that is black outside the region."""
        from PIL import Image

        top, left, bottom, right = self.box(size)
        whole = np.zeros((int(size[0]), int(size[1]), *made.shape[2:]), np.uint8)
        whole[top:bottom, left:right] = Image.fromarray(made).resize((right - left, bottom - top))
        whole[~self.at(size)] = 0
        return whole

    def corners(self, size: Sequence[int], tile: int) -> np.ndarray:
        """Where a square of `tile` pixels holds some of the region, by its corner: (H - tile + 1, W - tile + 1)."""
        key = (int(size[0]), int(size[1]), tile)
        if (found := self._corners.get(key)) is None:
            total = np.pad(self.at(size).astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
            inside = total[tile:, tile:] - total[:-tile, tile:] - total[tile:, :-tile] + total[:-tile, :-tile]
            found = _kept(self._corners, key, inside > 0)
        return found

    def nearest_corner(self, size: Sequence[int], tile: int, top: int, left: int) -> tuple[int, int]:
        """The corner nearest to (top, left) at which a tile holds some of the region."""
        from scipy import ndimage

        usable = self.corners(size, tile)
        if usable[top, left]:
            return top, left
        key = (int(size[0]), int(size[1]), tile, -1)
        if (found := self._corners.get(key)) is None:
            nearest = ndimage.distance_transform_edt(~usable, return_distances=False, return_indices=True)
            found = _kept(self._corners, key, nearest)
        row, column = found[:, top, left]
        return int(row), int(column)

    @property
    def digest(self) -> str:
        """What distinguishes this region from others."""
        return hashlib.sha256(repr(self.mask.shape).encode() + np.packbits(self.mask).tobytes()).hexdigest()[:16]

    def describe(self) -> str:
        """For a user: "region of 120x80, 12% of a picture"."""
        top, left, bottom, right = self.box(self.mask.shape)
        return f"region of {bottom - top}x{right - left} pixels, {self.mask.mean():.0%} of a picture"

    @classmethod
    def from_array(cls, mask: np.ndarray) -> "Region":
        """A region from a model file. Raises `ArtifactError`."""
        if mask.ndim != 2 or mask.dtype not in (np.bool_, np.uint8) or not mask.any():
            raise ArtifactError("the region of interest is no mask")
        return cls(mask.astype(bool))


def _rectangle(given: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    left, top, width, height = map(int, given)
    if left + width > size[1] or top + height > size[0] or min(width, height) < 1:
        raise ParameterError(
            f"roi={left},{top},{width},{height}: reaches beyond pictures of {size[0]}x{size[1]} (height x width); "
            "give LEFT,TOP,WIDTH,HEIGHT"
        )
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def _read(path: str) -> np.ndarray:
    from ..rows.picture_files import read_picture

    if not Path(path).exists():
        raise ParameterError(
            f"roi={path}: no such file; give a picture that is black outside, or LEFT,TOP,WIDTH,HEIGHT"
        )
    picture = read_picture(path)
    grey = picture if picture.ndim == 2 else picture.max(axis=2)
    mask = np.asarray(grey > grey.max() / 2)
    if not grey.max() or mask.all():
        what = "the whole picture" if grey.max() else "empty"
        raise DataError(f"{path}: the region is {what}; paint it white on black")
    return mask


def _kept(held: dict[Any, np.ndarray], key: tuple[int, ...], made: np.ndarray) -> np.ndarray:
    """Keep what was made for one size, and no more than `MOST_SIZES` of them."""
    if len(held) >= MOST_SIZES:
        held.clear()
    held[key] = made
    return made
