"""Pictures in tar archives, as WebDataset writes them: shard-000000.tar with 0001.png, 0001.cls, 0002.png, ...

An archive is looked through once (`tar_index`). A picture is then read from its place in the archive, in any order.
Archives must not be compressed.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .masks import without_masks
from .names import Names
from .places import SUFFIXES, member
from .scan import first_ending, holds_pictures, walk
from .tar_index import Index, index_of, key_of

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


class Members(Names):
    """Places of pictures in archives, each made when it is asked for."""

    def __init__(self, shards: Sequence[str], found: Sequence[Index]) -> None:
        super().__init__()
        self._shards = list(shards)
        self._shard = np.repeat(np.arange(len(found), dtype=np.int32), [len(one.offset) for one in found])
        self._offset = np.concatenate([one.offset for one in found])
        self._size = np.concatenate([one.size for one in found])
        held = [one.names.held() for one in found]
        starts = np.cumsum([0, *(len(letters) for letters, _ in held)])
        self._letters = b"".join(letters for letters, _ in held)
        shifted = (ends[1:] + start for (_, ends), start in zip(held, starts, strict=False))
        self._ends = np.concatenate([np.zeros(1, np.int64), *shifted])

    def _text(self, i: int) -> str:
        shard, offset, size = self._shards[self._shard[i]], int(self._offset[i]), int(self._size[i])
        return member(shard, offset, size, super()._text(i))

    def some(self, numbers: NDArray[np.int64]) -> Names:
        """The places with these numbers (m,), in that order."""
        numbers = np.asarray(numbers, np.int64)
        other = object.__new__(Members)
        other._before, other._shards = self._before, self._shards
        other._shard, other._offset, other._size = self._shard[numbers], self._offset[numbers], self._size[numbers]
        own = Names(Names._text(self, i) for i in numbers.tolist())
        other._letters, other._ends = own._letters, own._ends
        return other


def is_tar(path: Path) -> bool:
    """Whether a path is that of an archive, or of numbered ones (0{0..9}.tar)."""
    return path.suffix.lower() == ".tar"


def is_tar_folder(path: Path) -> bool:
    """Whether there are archives below a folder, and no pictures as such."""
    return first_ending(path, {*SUFFIXES, ".tar"}) == ".tar" and not holds_pictures(path)


def shards_of(path: Path) -> list[Path]:
    """The archives that a path means: one, those below a folder in order, or those of ranges, as
    shard-{000000..000099}.tar."""
    if path.is_dir():
        return [path / name for name in walk(path) if name.lower().endswith(".tar")]
    return [path] if path.exists() else list(map(Path, expanded(str(path))))


def expanded(text: str) -> list[str]:
    """The texts that ranges mean, shard-{000000..000099}.tar; any other text alone."""
    if (braces := _BRACES.search(text)) is None:
        return [text]
    first, last = braces.groups()
    if int(last) < int(first):
        raise DataError(f"{text}: counts down; give the smaller number of {{{first}..{last}}} first")
    numbers = range(int(first), int(last) + 1)
    rest = expanded(text[braces.end() :])
    return [f"{text[: braces.start()]}{i:0{len(first)}}{end}" for i in numbers for end in rest]


def members(path: Path) -> Members:
    """The pictures in the archives at `path`, in their order, without masks. Raises `DataError` that names an archive
    and, of a damaged one, the member after which it cannot be read."""
    shards, found = _held(path)
    if lost := sum(one.lost for one in found):
        from ..cautions import DataWarning, warn  # scikit-learn comes with it

        warn(
            DataWarning,
            "links-left-out",
            f"{path}: {lost:,} picture{'s' * (lost > 1)} left out, which are links to what their archive does not "
            "hold; write archives with the files in place of links (tar --dereference)",
        )
    if not any(len(one.offset) for one in found):
        raise DataError(f"{path}: no pictures in {'it' if len(shards) == 1 else f'{len(shards):,} archives'}")
    return Members([str(shard) for shard in shards], found)


def classes_of(path: Path) -> tuple[list[str], NDArray[np.int64]]:
    """The classes of the pictures of `members(path)`: their names, and which of them each picture has, (n,). A picture
    KEY.png has the class that KEY.cls holds in the same archive. Raises `DataError` that names one without a class."""
    names: dict[str, int] = {}
    classes: list[NDArray[np.int64]] = []
    for shard, found in zip(*_held(path), strict=True):
        if (missing := np.flatnonzero(found.kind < 0)).size:
            key, _ = key_of(found.names[int(missing[0])])
            raise DataError(f"{shard}: beside the picture {key} there is no {key}.cls with its class; add it")
        numbers = np.array([names.setdefault(kind, len(names)) for kind in found.kinds], np.int64)
        classes.append(numbers[found.kind])
    return list(names), np.concatenate(classes)


def _held(path: Path) -> tuple[list[Path], list[Index]]:
    """The archives at `path`, and what each holds without what is in folders of masks, in any of them."""
    shards = shards_of(path)
    found = [index_of(shard) for shard in shards]
    # As if all archives were unpacked where they are.
    above = [shard.relative_to(path).parent if path.is_dir() else Path() for shard in shards]
    places = [
        [PurePosixPath(folder.as_posix(), inside, "x").as_posix() for inside in one.folders]
        for folder, one in zip(above, found, strict=True)
    ]
    kept = set(without_masks(sorted({place for of_one in places for place in of_one})))
    for i, of_one in enumerate(places):
        good = np.array([place in kept for place in of_one], bool)
        if not good.all():
            found[i] = found[i].some(np.flatnonzero(good[found[i].folder]))
    return shards, found
