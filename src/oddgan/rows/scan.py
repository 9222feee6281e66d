"""Find the pictures in a folder."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from .names import Names
from .places import PAGED, SUFFIXES

_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass
class Found:
    """The contents of a folder: relative paths of pictures, with "/" as separator, in order; other files by suffix."""

    pictures: Sequence[str] = ()
    others: Counter[str] = field(default_factory=Counter)

    def ignored(self) -> str:
        """ "3 other files ignored (.txt 2, .md 1)", or nothing."""
        if not self.others:
            return ""
        total = self.others.total()
        kinds = ", ".join(f"{ending} {count}" for ending, count in self.others.most_common(4))
        return f"{total:,} other file{'s' * (total > 1)} ignored ({kinds})"


def scan(root: Path) -> Found:
    """All pictures below `root`, recognised by suffix, and every page of TIFF files that hold several, as a.tif#0.
    Hidden files are skipped, links followed."""
    from .decode import places

    found = Found()

    def pictures() -> Iterator[str]:
        for relative in walk(root):
            ending = _ending(relative)
            if ending not in SUFFIXES:
                found.others[ending or "no ending"] += 1
            elif ending not in PAGED:
                yield relative
            else:
                path = os.path.join(root, relative)
                yield from (relative + place.removeprefix(path) for place in places(path))

    found.pictures = Names(pictures())
    return found


def holds_pictures(root: Path) -> bool:
    """Whether there is a picture below `root`. Stops at the first one."""
    return any(_ending(relative) in SUFFIXES for relative in _walk(root, "", frozenset()))


def first_ending(root: Path, endings: Collection[str]) -> str | None:
    """One of the suffixes `endings` that a file below `root` has: of the first file that the system names."""
    waiting, seen = [root], set[tuple[int, int]]()
    with suppress(OSError):  # whoever reads the folder will say what is wrong with it
        while waiting:
            about = (folder := waiting.pop()).stat()
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if _is_folder(entry):
                        waiting.append(Path(entry.path))
                    elif (ending := _ending(entry.name)) in endings:
                        return ending
    return None


def walk(root: Path) -> Iterator[str]:
    """All files below `root`, as `Found` has them, whatever they are; hidden ones are skipped, links followed. In order
    of their paths, one folder in memory at a time."""
    return _walk(root, "", frozenset())


def _ending(relative: str) -> str:
    return os.path.splitext(relative)[1].lower()


def _walk(root: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    folder = root / prefix
    try:
        about = folder.stat()
        if (about.st_dev, about.st_ino) in above:
            return  # a link back to a folder above
        above |= {(about.st_dev, about.st_ino)}
        with os.scandir(folder) as entries:
            listed = sorted(entry.name + "/" if _is_folder(entry) else entry.name for entry in entries)
    except PermissionError:
        raise DataError(f"{folder}: the folder may not be read (permission denied); give read permission") from None
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror}); check the disk") from None
    for name in listed:
        if name.startswith(".") or name.rstrip("/").lower() in _CLUTTER:
            continue
        if name.endswith("/"):
            yield from _walk(root, prefix + name, above)
        else:
            yield prefix + name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
