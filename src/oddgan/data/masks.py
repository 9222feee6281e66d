"""Masks of the anomalous places in test pictures."""

import operator
import re
from collections.abc import Mapping, Sequence
from typing import SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..rows.decode import Unreadable, decode
from ..rows.picture_files import Pictures
from ..rows.threads import threaded

Mask = NDArray[np.bool_]


class Masks(Sequence[Mask | None]):
    """Per test picture an (H, W) bool array that is read on access, or None where there is none.

    A pixel of a mask is anomalous where any channel is not zero. Normal pictures have all-False masks.
    """

    def __init__(self, pictures: Pictures, files: Sequence[str | None], labels: NDArray[np.bool_]) -> None:
        self.pictures, self.files, self.labels = pictures, tuple(files), labels

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Mask | None: ...
    @overload
    def __getitem__(self, index: slice) -> "Masks": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "Mask | Masks | None":
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        i = operator.index(index)
        file = self.files[i]
        if not self.labels[i]:
            return np.zeros(self.pictures.header(i)[:2], np.bool_)
        if file is None:
            return None
        try:
            mask: Mask = decode(file) != 0
        except Unreadable as bad:
            raise DataError(f"mask {file}: {bad}") from bad
        return np.any(mask, axis=2) if mask.ndim == 3 else mask

    def subset(self, indices: Sequence[int]) -> "Masks":
        """The masks at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.intp)
        return Masks(self.pictures.subset(indices), [self.files[i] for i in indices], self.labels[chosen])

    def find_unreadable(self) -> list[tuple[int, str]]:
        """(index, reason) of every mask that cannot be read. Decodes all, in threads."""
        reasons = threaded(self._reason, range(len(self)))
        return [(i, reason) for i, reason in enumerate(reasons) if reason is not None]

    def _reason(self, i: int) -> str | None:
        file = self.files[i]
        if file is None or not self.labels[i]:
            return None
        try:
            decode(file)
        except Unreadable as bad:
            return f"its mask {file}: {bad.reason}"
        return None


def match_masks(pictures: Mapping[str, bool], masks: Sequence[str], where: str) -> dict[str, str]:
    """The mask of each picture that has one: {picture: mask}.

    `pictures` are the test pictures' paths below their folder (`KIND/NAME.ending`) and whether each is anomalous;
    `masks` are below `ground_truth` in the same way, as `KIND/NAME_mask.ending` or `KIND/NAME.ending`.
    Either all anomalous pictures of a kind have masks or none has. Raises `DataError` where masks and pictures do not
    match.
    """
    files: dict[str, str] = {}
    for mask in masks:
        stem = re.sub(r"_mask$", "", _stem(mask))
        if stem in files:
            raise DataError(f"{where}: {files[stem]} and {mask} are masks of one picture; remove one of them")
        files[stem] = mask
    matched = {picture: files[_stem(picture)] for picture in pictures if _stem(picture) in files}
    spare = set(files.values()) - set(matched.values())
    if spare:
        raise DataError(
            f"{where}: masks without a picture in the test part: {len(spare)} of {len(masks)}, {min(spare)} for "
            "instance; add the picture or remove the mask"
        )
    with_masks = {_kind(picture) for picture, anomalous in pictures.items() if anomalous and picture in matched}
    bare = [
        picture
        for picture, anomalous in pictures.items()
        if anomalous and picture not in matched and _kind(picture) in with_masks
    ]
    if bare:
        raise DataError(
            f"{where}: anomalous pictures without a mask though others of their kind have one: {len(bare)}, {bare[0]} "
            "for instance; add a mask of the same name, or remove all masks of that kind"
        )
    return matched


def check_sizes(masks: Masks, name: Mapping[int, str]) -> str:
    """Check that masks have the size or the proportions of their pictures. Returns a note where sizes differ."""

    def sizes(i: int) -> tuple[int, tuple[int, int], tuple[int, int]] | None:
        file = masks.files[i]
        if file is None or not masks.labels[i]:
            return None
        try:
            picture = masks.pictures.header(i)[:2]
        except DataError:
            return None  # reported when the pictures are read, where it can be skipped
        try:
            mask = Pictures([file]).header(0)[:2]
        except DataError:
            return None
        return i, picture, mask

    seen = [found for found in threaded(sizes, range(len(masks))) if found is not None]
    other = [(i, picture, mask) for i, picture, mask in seen if picture != mask]
    if not other:
        return ""
    i, picture, mask = other[0]
    sizes_differ = f"{_size(mask)} where the picture is {_size(picture)}"
    alike = all(_same_proportions(picture, mask) for _, picture, mask in other)
    if len(other) < len(seen) or not alike:
        raise DataError(
            f"{name[i]}: its mask {masks.files[i]} is {sizes_differ}; give masks of their pictures' size "
            f"({len(other)} of {len(seen)} differ)"
        )
    return f"masks have another size than the pictures ({sizes_differ})"


def _same_proportions(picture: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Whether both have one aspect ratio, up to a pixel of the smaller one."""
    scale = max(mask) / max(picture)
    return all(abs(m - p * scale) <= max(1.0, scale) for p, m in zip(picture, mask, strict=True))


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _stem(path: str) -> str:
    return re.sub(r"\.[^./]*$", "", path).lower()


def _kind(path: str) -> str:
    return path.lower().split("/")[0]
