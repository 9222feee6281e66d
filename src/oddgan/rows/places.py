"""Where a picture is, as one text: a file, a page of a file, or several files whose channels are one picture.

scans/a.tif                                 a file
scans/a.tif#2                               its third page, unless there is a file of that name
part7.png NUL part7_vis.png NUL part7_ir.png    what the picture is called, then its files; no path holds a NUL
shards/0.tar NUL OFFSET:BYTES:a.png         a file in an archive, and where its bytes lie
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from ..errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp"})
"""Suffixes of picture files, in lower case."""

PAGED = frozenset({".tif", ".tiff"})
"""Suffixes of files that may hold several pages."""

_JOINT = "\0|\0"  # no path holds a NUL
_INSIDE = "\0@\0"


def page_of(path: str) -> tuple[str, int | None]:
    """The file of a page, and its number counted from 0; None for a file as such."""
    if _INSIDE in path:
        return path, None
    base, mark, number = path.rpartition("#")
    if mark and number.isdecimal() and os.path.splitext(base)[1].lower() in PAGED and not os.path.exists(path):
        return base, int(number)
    return path, None


def files_of(place: str) -> list[str]:
    """The files, or pages of files, that a picture is put together from."""
    called, joint, rest = place.partition(_JOINT)
    return rest.split(_JOINT) if joint else [called]


def called(place: str) -> str:
    """What to call the picture: a path."""
    found = place.partition(_JOINT)[0]
    archive, inside, member = found.partition(_INSIDE)
    return f"{archive}/{member.split(':', 2)[2]}" if inside else found


def member(archive: str, offset: int, size: int, name: str) -> str:
    """The place of a file of so many bytes in an uncompressed archive."""
    return f"{archive}{_INSIDE}{offset}:{size}:{name}"


def inside_of(file: str) -> tuple[str, int, int] | None:
    """The archive that a file is in, where its bytes begin, and how many there are; None for a file as such."""
    archive, inside, rest = file.partition(_INSIDE)
    if not inside:
        return None
    offset, size, _ = rest.split(":", 2)
    return archive, int(offset), int(size)


def read(file: str) -> bytes:
    """The bytes of a file, in an archive or not. Raises OSError."""
    if (found := inside_of(file)) is None:
        with open(file, "rb") as stream:
            return stream.read()
    archive, offset, size = found
    with open(archive, "rb") as stream:
        stream.seek(offset)
        return stream.read(size)


def size_of(file: str) -> int:
    """How many bytes a file has. Raises OSError."""
    return os.stat(file).st_size if (found := inside_of(file)) is None else found[2]


def identity(place: str) -> tuple[str, int, int]:
    """What changes when the picture may have changed: its place, when any file last changed (ns), bytes of all."""
    newest = size = 0
    for file in files_of(place):
        inside = inside_of(file)
        about = os.stat(page_of(file)[0] if inside is None else inside[0])
        # A copy may keep its old modification time, but not its change time.
        newest, size = max(newest, about.st_mtime_ns, about.st_ctime_ns), size + about.st_size
    return whole_place(place), newest, size


def whole_place(place: str) -> str:
    """A place by absolute paths."""
    return _JOINT.join(map(_absolute, place.split(_JOINT)))


def _absolute(file: str) -> str:
    archive, inside, rest = file.partition(_INSIDE)
    return os.path.abspath(archive) + inside + rest


def grouped(paths: Iterable[str], endings: Sequence[str], where: str) -> dict[str, tuple[str, ...]]:
    """Pictures whose names differ in `endings` alone, by the name without them: part7_vis.png and part7_ir.png, with
    the endings _vis and _ir, are the channels of part7.png, in the order of the endings.

    Raises `DataError` that names a picture without one of its files, a file without any of the endings, and two files
    for one channel.
    """
    if len(set(endings)) < len(endings) or not all(endings) or len(endings) < 2:
        raise DataError(f"channels_from={','.join(endings)}: give two or more different endings, as _vis,_ir")
    found: dict[str, dict[str, str]] = {}
    for path in paths:
        stem = os.path.splitext(path)[0]
        fitting = [ending for ending in endings if stem.endswith(ending) and PurePosixPath(stem).name != ending]
        if not fitting:
            raise DataError(f"{where}: {path} ends in none of {', '.join(endings)}; leave it out or rename it")
        ending = max(fitting, key=len)
        parts = found.setdefault(stem.removesuffix(ending), {})
        if ending in parts:
            raise DataError(f"{where}: {parts[ending]} and {path} are one channel of one picture; remove one of them")
        parts[ending] = path
    pictures = {}
    for stem, parts in found.items():
        if missing := [ending for ending in endings if ending not in parts]:
            there = next(iter(parts.values()))
            raise DataError(
                f"{where}: beside {there} there is no file that ends in {missing[0]}; add it or remove this one"
            )
        pictures[stem + os.path.splitext(parts[endings[0]])[1]] = tuple(parts[ending] for ending in endings)
    return pictures


def joined(name: str, files: Sequence[str]) -> str:
    """The place of a picture of this name whose channels are in `files`."""
    return _JOINT.join([name, *files])
