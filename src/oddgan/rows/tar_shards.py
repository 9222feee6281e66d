"""Pictures in tar archives, as WebDataset writes them: shard-000000.tar with 0001.png, 0001.cls, 0002.png, ...

An archive is looked through once; where its pictures lie is kept in the cache's folder. A picture is then read from its
place in the archive, in any order. Archives must not be compressed.

    CACHE/tars/DIGEST OF THE PATH/IDENTITY-FORMAT.npz   offset, size (n,) int64; letters, ends: the names of pictures
"""

import hashlib
import itertools
import os
import re
import tarfile
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files import whole_file
from .folders import cache_folder, cannot_write
from .names import Names
from .places import SUFFIXES, identity, member
from .scan import first_ending, holds_pictures, walk

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
LONGEST = 4096  # bytes of the name of a class
FORMAT = 2  # of what is kept of an archive
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class Members(Names):
    """Places of pictures in archives, each made when it is asked for."""

    def __init__(self, shards: Sequence[str], found: Sequence["_Index"]) -> None:
        super().__init__()
        self._shards = list(shards)
        self._shard = np.repeat(np.arange(len(found), dtype=np.int32), [len(one.offset) for one in found])
        self._offset = np.concatenate([one.offset for one in found])
        self._size = np.concatenate([one.size for one in found])
        starts = np.cumsum([0, *(int(one.ends[-1]) for one in found)])
        self._letters = b"".join(one.letters for one in found)
        shifted = (one.ends[1:] + start for one, start in zip(found, starts, strict=False))
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


class _Index:
    """What one archive holds: `offset`, `size` (n,) of pictures; `letters` and `ends` (n + 1,): their names."""

    def __init__(self, offset: NDArray[np.int64], size: NDArray[np.int64], letters: bytes, ends: NDArray[np.int64]):
        self.offset, self.size, self.letters, self.ends = offset, size, letters, ends


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
    """The pictures in the archives at `path`, in their order. Raises `DataError` that names an archive and, of a
    damaged one, the member after which it cannot be read."""
    shards = shards_of(path)
    found = [_index_of(shard) for shard in shards]
    if not any(len(one.offset) for one in found):
        raise DataError(f"{path}: no pictures in {'it' if len(shards) == 1 else f'{len(shards):,} archives'}")
    return Members([str(shard) for shard in shards], found)


def _index_of(shard: Path) -> _Index:
    try:
        place, changed, size = identity(str(shard))
    except OSError as error:
        raise DataError(f"{shard}: cannot be read ({error.strerror or error}); check the path") from None
    digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    kept = cache_folder() / "tars" / digest / f"{changed}-{size}-{FORMAT}.npz"
    try:
        with np.load(kept) as file:
            return _Index(file["offset"], file["size"], file["letters"].tobytes(), file["ends"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        found = _looked_through(shard)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(kept.parent, error) from error
    with whole_file(kept) as out:
        letters = np.frombuffer(found.letters, np.uint8)
        np.savez(out, offset=found.offset, size=found.size, letters=letters, ends=found.ends)
    return found


def _looked_through(shard: Path) -> _Index:
    offset, size, letters, ends = array("q"), array("q"), bytearray(), array("q", [0])
    for name, start, count in _members(shard):
        if _is_picture(name):
            offset.append(start)
            size.append(count)
            letters += name.encode("utf-8", "surrogatepass")
            ends.append(len(letters))
    return _Index(np.array(offset, np.int64), np.array(size, np.int64), bytes(letters), np.array(ends, np.int64))


def _members(shard: Path) -> Iterator[tuple[str, int, int]]:
    """The name of each file in an archive, where its bytes begin, and how many there are."""
    after = "its beginning"
    try:
        with shard.open("rb") as file:
            start = file.read(8)
            if start.startswith(_COMPRESSED):
                raise DataError(f"{shard}: is compressed, and pictures are read from their places; unpack it to a .tar")
            end = file.seek(0, os.SEEK_END)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for _ in itertools.count():
                    if (one := tar.next()) is None:
                        return _check_end(file, tar.offset)
                    tar.members = []  # type: ignore[attr-defined]  # otherwise it keeps them all
                    if one.isreg():
                        if one.offset_data + one.size > end:
                            raise tarfile.ReadError(f"{one.name} is cut off")
                        yield one.name, one.offset_data, one.size
                    after = one.name
    except (tarfile.TarError, EOFError) as error:
        text = " ".join(str(error).split())
        raise DataError(f"{shard}: is damaged or no tar archive (after {after}: {text}); write it again") from error
    except OSError as error:
        raise DataError(f"{shard}: cannot be read ({error.strerror or error}); check the file") from error


def _check_end(file: IO[bytes], start: int) -> None:
    """Raise `tarfile.ReadError` unless an archive ends at `start`: in zeros alone. tarfile takes a damaged header, or
    none, for the end."""
    file.seek(start)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it is cut off there, before the blocks that end an archive")
    if any(block):
        raise tarfile.ReadError(f"what follows, at byte {start:,}, is no header of a member")
    while block := file.read(1 << 20):
        if any(block):
            raise tarfile.ReadError("it ends there, and more follows; if archives were joined, give each of them")


def classes_of(path: Path) -> tuple[list[str], NDArray[np.int64]]:
    """The classes of the pictures of `members(path)`: their names, and which of them each picture has, (n,). A picture
    KEY.png has the class that KEY.cls holds in the same archive. Raises `DataError` that names one without a class."""
    names: dict[str, int] = {}
    found: list[NDArray[np.int64]] = []
    for shard in shards_of(path):
        classes: dict[str, int] = {}
        pictures: list[str] = []
        with shard.open("rb") as file:
            for name, start, size in _members(shard):
                key, ending = _key(name)
                if ending == ".cls":
                    file.seek(start)
                    text = file.read(min(size, LONGEST)).decode("utf-8", "replace").strip()
                    classes[key] = names.setdefault(text, len(names))
                elif _is_picture(name):
                    pictures.append(key)
        if missing := next((key for key in pictures if key not in classes), None):
            raise DataError(f"{shard}: beside the picture {missing} there is no {missing}.cls with its class; add it")
        found.append(np.array([classes[key] for key in pictures], np.int64))
    return list(names), np.concatenate(found)


def _key(name: str) -> tuple[str, str]:
    """What files of one example have in common, as WebDataset has it: all up to the first dot of the file's name."""
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return folder + slash + key, f".{ending.lower()}"


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES and not os.path.basename(name).startswith(".")
