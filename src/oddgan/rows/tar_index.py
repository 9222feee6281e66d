"""What a tar archive holds: where its pictures lie, and their classes, found once and kept in the cache's folder.

CACHE/tars/DIGEST OF THE PATH/IDENTITY-FORMAT.npz   what `Index` holds; texts as UTF-8 or as JSON
"""

import hashlib
import itertools
import json
import os
import posixpath
import tarfile
import zipfile
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files import whole_file
from .folders import cache_folder, cannot_write
from .masks import MASKS
from .names import Names
from .places import SUFFIXES, identity

FORMAT = 2
LONGEST = 4096  # bytes of the name of a class
LINKS = 40  # that are followed one after the other, as systems do
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_MASKS = MASKS | {"seg"}


@dataclass(frozen=True, eq=False)
class Index:
    """The n pictures in an archive, in their order.

    `offset`, `size` (n,) int64: where each one's bytes lie; `folder` (n,): which of the `folders` it is in, and `kind`
    (n,): which of the `kinds` the file KEY.cls beside it holds, -1 where there is none. `lost`: how many pictures are
    links to what the archive does not hold.
    """

    names: Names
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    folder: NDArray[np.int32]
    folders: list[str]
    kind: NDArray[np.int32]
    kinds: list[str]
    lost: int

    def some(self, numbers: NDArray[np.int64]) -> "Index":
        """The pictures with these numbers (m,), in that order."""
        names, offset, size = self.names.some(numbers), self.offset[numbers], self.size[numbers]
        folder, kind = self.folder[numbers], self.kind[numbers]
        return Index(names, offset, size, folder, self.folders, kind, self.kinds, self.lost)


def index_of(shard: Path) -> Index:
    """What an archive holds, from the cache if it has not changed. Raises `DataError` that names it and, where it is
    damaged, the member after which it cannot be read."""
    try:
        place, changed, size = identity(str(shard))
    except OSError as error:
        raise DataError(f"{shard}: cannot be read ({error.strerror or error}); check the path") from None
    digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    kept = cache_folder() / "tars" / digest / f"{changed}-{size}-{FORMAT}.npz"
    try:
        with np.load(kept) as file:
            return Index(
                Names.of(file["letters"].tobytes(), file["ends"]),
                **{name: file[name] for name in ("offset", "size", "folder", "kind")},
                **{name: json.loads(file[name].tobytes()) for name in ("folders", "kinds")},
                lost=int(file["lost"]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        found = _looked_through(shard)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(kept.parent, error) from error
    letters, ends = found.names.held()
    held: dict[str, Any] = {name: getattr(found, name) for name in ("offset", "size", "folder", "kind", "lost")}
    texts = {name: json.dumps(getattr(found, name)).encode() for name in ("folders", "kinds")} | {"letters": letters}
    held |= {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
    with whole_file(kept) as out:
        np.savez(out, ends=ends, **held)
    return found


def key_of(name: str) -> tuple[str, str]:
    """What files of one example have in common, as WebDataset has it: all up to the first dot of the file's name; and
    the rest."""
    folder, slash, base = _plain(name).rpartition("/")
    key, _, ending = base.partition(".")
    return folder + slash + key, f".{ending.lower()}"


class _Member(NamedTuple):
    """A file, and where its bytes are; or a link, and the name of the member that it leads to. `text`: of a class."""

    name: str
    offset: int
    size: int
    target: str | None
    text: bytes


def _looked_through(shard: Path) -> Index:
    offset, size, folder = array("q"), array("q"), array("i")
    folders: dict[str, int] = {}
    kinds: dict[str, int] = {}
    kind_of: dict[str, int] = {}
    links: dict[str, str] = {}

    def class_of(name: str, text: bytes) -> None:
        kind_of[key_of(name)[0]] = kinds.setdefault(text.decode("utf-8", "replace").strip(), len(kinds))

    def pictures() -> Iterator[str]:
        for one in _members(shard):
            if one.target is not None:
                links[_plain(one.name)] = one.target
            elif _is_class(one.name):
                class_of(one.name, one.text)
            if _is_picture(one.name):
                offset.append(one.offset)
                size.append(one.size)
                folder.append(folders.setdefault(posixpath.dirname(_plain(one.name)), len(folders)))
                yield one.name

    names = Names(pictures())
    begins, bytes_of = np.array(offset, np.int64), np.array(size, np.int64)
    if links:
        linked = _followed(shard, links)
        for name, one in linked.items():
            if _is_class(name):
                class_of(name, one.text)
        for i in np.flatnonzero(begins < 0).tolist():
            if (found := linked.get(_plain(names[i]))) is not None:
                begins[i], bytes_of[i] = found.offset, found.size
    kind = np.full(len(names), -1, np.int32)
    if kind_of:
        kind[:] = [kind_of.get(key_of(name)[0], -1) for name in names]
    where = np.array(folder, np.int32)
    whole = Index(names, begins, bytes_of, where, list(folders), kind, list(kinds), int((begins < 0).sum()))
    left = (begins >= 0) & ~_masks(names)
    return whole if left.all() else whole.some(np.flatnonzero(left))


def _followed(shard: Path, links: dict[str, str]) -> dict[str, _Member]:
    """The file that each link leads to, of those that lead to one in the archive. It is looked through once more."""
    ends = {}
    for name, target in links.items():
        for _ in range(LINKS):
            if target not in links:
                ends[name] = target
                break
            target = links[target]
    wanted, texts = set(ends.values()), {end for name, end in ends.items() if _is_class(name)}
    files = {}
    for one in _members(shard, texts):
        if one.target is None and (name := _plain(one.name)) in wanted:
            files[name] = one
    return {name: files[end] for name, end in ends.items() if end in files}


def _masks(names: Names) -> NDArray[np.bool_]:
    """Which pictures (n,) are masks of others, as KEY.mask.png beside KEY.jpg."""
    found = np.zeros(len(names), bool)
    for i, name in enumerate(names):
        found[i] = not _MASKS.isdisjoint(key_of(name)[1].split(".")[1:-1])
    if found.any():
        keys = {key_of(name)[0] for name, mask in zip(names, found, strict=True) if not mask}
        for i in np.flatnonzero(found).tolist():
            found[i] = key_of(names[i])[0] in keys
    return found


def _members(shard: Path, texts: Collection[str] = ()) -> Iterator[_Member]:
    """The files and links in an archive, with the text of classes and of files that are called as in `texts`."""
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
                        text = b""
                        if _is_class(one.name) or _plain(one.name) in texts:
                            file.seek(one.offset_data)
                            text = file.read(min(one.size, LONGEST))
                        yield _Member(one.name, one.offset_data, one.size, None, text)
                    elif one.islnk() or one.issym():
                        before = posixpath.dirname(one.name) if one.issym() else ""
                        yield _Member(one.name, -1, 0, _plain(posixpath.join(before, one.linkname)), b"")
                    after = one.name
    except (tarfile.TarError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{shard}: is damaged or no tar archive (after {after}: {reason}); write it again") from error
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


def _plain(name: str) -> str:
    """./a/../b.png -> b.png."""
    return "" if (found := posixpath.normpath(name)) == "." else found


def _is_class(name: str) -> bool:
    return key_of(name)[1] == ".cls"


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES and not os.path.basename(name).startswith(".")
