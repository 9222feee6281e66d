"""Masks of the anomalous places in test pictures."""

import operator
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..rows.decode import Unreadable, decode
from ..rows.picture_files import Pictures
from ..rows.places import page_of
from ..rows.threads import threaded
from .hard_masks import is_hard

Mask = NDArray[np.bool_]


class Masks(Sequence[Mask | None]):
    """Per test picture an (H, W) bool array that is read on access, or None where there is none: see `as_mask`. Normal
    pictures have all-False masks.
    """

    def __init__(self, pictures: Pictures, files: Sequence[str | None], labels: NDArray[np.bool_]) -> None:
        self.pictures, self.files, self.labels = pictures, tuple(files), labels
        self._warned: set[str] = set()

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
            picture = decode(file)
        except Unreadable as bad:
            raise DataError(f"mask {file}: {bad}") from bad
        return as_mask(picture, file, self._warned, lossy=_is_lossy(file))

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


def as_mask(picture: NDArray[Any], name: str, warned: set[str], *, lossy: bool = False) -> Mask:
    """Where a picture of a mask, (H, W) or (H, W, C), is anomalous: (H, W) bool.

    Two levels, or several that number or colour kinds of defects: every pixel that is not 0. All others, and more than
    two levels of a `lossy` format, have soft edges, or what JPEG leaves beside an edge, and are cut at half of the
    largest value. `oddgan.data.hard_masks` has the rule. Warns once (`warned`) of masks that were cut, and of those
    that are mostly anomalous.
    """
    flat = picture if picture.ndim == 2 else picture.max(axis=2)
    mask = np.asarray(flat != 0)
    if not is_hard(picture, lossy=lossy):
        mask = np.asarray(flat > flat.max() / 2)
        _warn(
            warned,
            "soft-masks",
            f"mask {name} has soft edges ({len(np.unique(flat))} levels of grey): pixels above half of the largest "
            "value count as anomalous; save masks with two levels, as PNG",
        )
    if mask.mean() > MOSTLY:
        _warn(
            warned,
            "inverted-masks",
            f"mask {name} marks {mask.mean():.0%} of the picture as anomalous: white is anomalous, black is normal; "
            "invert the masks if they are drawn the other way round",
        )
    return mask


MOSTLY = 0.8  # share of a picture that a defect rarely covers


def _warn(warned: set[str], code: str, message: str) -> None:
    from ..cautions import DataWarning, warn

    if code not in warned:
        warned.add(code)
        warn(DataWarning, code, message)


def _is_lossy(file: str) -> bool:
    """Whether a file's format changes values as it compresses: JPEG, and WebP unless it is lossless."""
    with open(page_of(file)[0], "rb") as stream:
        start = stream.read(12)
        if start[8:] != b"WEBP":
            return start.startswith(b"\xff\xd8\xff")
        while len(head := stream.read(8)) == 8:  # parts, of which a profile may come before the picture
            if head[:4] in (b"VP8 ", b"VP8L"):
                return head[:4] == b"VP8 "
            size = int.from_bytes(head[4:], "little")
            stream.seek(size + size % 2, os.SEEK_CUR)
    return True


_SUFFIX = re.compile(r"[ _.-](mask|masks|gt|label|labels|seg|segmentation|ground[_-]?truth)$")


def placed(masks: Sequence[str], pictures: Mapping[str, bool], where: str) -> dict[str, str]:
    """The picture that each mask is of, without its ending: one whose path ends as the mask's does.

    `masks`: paths below their folder. `pictures`: of all pictures, whether each is anomalous, which decides where a
    mask fits several. A mask without a picture keeps its own path. Raises `DataError` where it could be of several.
    """
    ends: dict[str, list[str]] = {}
    for picture in pictures:
        stem = stem_of(picture)
        for start in [0, *(i + 1 for i, sign in enumerate(stem) if sign == "/")]:
            ends.setdefault(stem[start:], []).append(picture)
    found: dict[str, str] = {}
    for mask in masks:
        stem = bare_stem_of(mask)
        fitting = ends.get(stem) or ends.get(stem_of(mask), [])
        exact = [picture for picture in fitting if stem_of(picture) == stem]
        anomalous = exact or [picture for picture in fitting if pictures[picture]] or fitting
        if len(anomalous) > 1:
            raise DataError(
                f"{where}: the mask {mask} may be of {anomalous[0]} or of {anomalous[1]}; put masks into folders that "
                "are called as the pictures' folders are"
            )
        found[mask] = stem_of(anomalous[0]) if anomalous else stem
    return found


def match_masks(pictures: Mapping[str, bool], masks: Sequence[str], where: str) -> dict[str, str]:
    """The mask of each picture that has one: {picture: mask}.

    `pictures` are the test pictures' paths below their folder (`KIND/NAME.ending`) and whether each is anomalous;
    `masks` are below `ground_truth` in the same way, as `KIND/NAME_mask.ending` or `KIND/NAME.ending`.
    Either all anomalous pictures of a kind have masks or none has. Raises `DataError` where masks and pictures do not
    match.
    """
    files: dict[str, str] = {}
    for mask in masks:
        stem = bare_stem_of(mask)
        if stem in files:
            raise DataError(f"{where}: {files[stem]} and {mask} are masks of one picture; remove one of them")
        files[stem] = mask
    matched = {picture: files[stem_of(picture)] for picture in pictures if stem_of(picture) in files}
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


def stem_of(path: str) -> str:
    """A path without its ending, in lower case and with composed accents; a page keeps its number."""
    return unicodedata.normalize("NFC", re.sub(r"\.[^./#]*(#\d+)?$", r"\1", path).lower())


def bare_stem_of(mask: str) -> str:
    """The same without "_mask" and the like."""
    return _SUFFIX.sub("", stem_of(mask))


def _kind(path: str) -> str:
    return path.lower().split("/")[0]
