"""Pictures on disk as a lazy sequence of arrays."""

import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .cache import cached_rows
from .decode import Array, Unreadable, decode, header
from .names import Names
from .places import called, grouped, joined
from .threads import threaded

Progress = Callable[[int, int], None]
"""Called with (done, total) repeatedly during long work."""


def read_picture(path: str | os.PathLike[str]) -> Array:
    """The picture in a PNG, JPEG, BMP, TIFF or WebP file.

    A path may name a page of a TIFF file: a.tif#2 is the third. Returns (H, W) grey or (H, W, 3) colour. 8-bit and
    1-bit pictures are uint8; 16-bit grey is uint16; float grey, and integers that do not fit 16 bits, are float32.
    Values are kept, never clipped. Transparency is blended onto black. A palette becomes colour, or grey if all its
    entries are grey. CMYK, YCbCr and LAB become RGB. The picture is turned upright according to its EXIF orientation.

    Raises `DataError` for what cannot be read completely and unaltered: a file that is not a picture, is damaged or
    truncated, an animation or several pages, 16-bit colour (which Pillow would cut to 8 bits), NaN or infinite values,
    less than 8 x 8 pixels, or more than 89 million (the environment variable ODDGAN_MAX_PIXELS raises that limit).
    Thread-safe.
    """
    try:
        return decode(os.fspath(path))
    except Unreadable as bad:
        raise DataError(f"{called(os.fspath(path))}: {bad}") from bad


class Pictures:
    """A sequence of pictures that are decoded on access.

    `pictures[i]` is what `read_picture` returns. `root` is the folder that names are relative to; without it, a
    picture's name is its path.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]], *, root: str | os.PathLike[str] | None = None) -> None:
        self.root = None if root is None else Path(root)
        self.paths = paths if isinstance(paths, Names) else Names(os.fspath(path) for path in paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: SupportsIndex, /) -> Array:
        return read_picture(self.paths[operator.index(index)])

    def __iter__(self) -> Iterator[Array]:
        return map(read_picture, self.paths)

    def __repr__(self) -> str:
        where = "" if self.root is None else f" in {self.root}"
        return f"<{len(self)} pictures{where}>"

    def name(self, index: int) -> str:
        """The name of picture `index`: its path relative to the root, with forward slashes."""
        path = Path(called(self.paths[index]))
        if self.root is not None and path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        return path.as_posix()

    def header(self, index: int) -> tuple[int, int, int, str]:
        """(H, W, channels, dtype name) of picture `index`, from the file's header where possible.

        Raises `DataError` as `read_picture` does, but notices damage in the header only.
        """
        path = self.paths[index]
        try:
            return header(path)
        except Unreadable as bad:
            raise DataError(f"{called(path)}: {bad}") from bad

    def try_header(self, index: int) -> tuple[int, int, int, str] | None:
        """As `header`; None for a picture that cannot be read."""
        try:
            return header(self.paths[index])
        except Unreadable:
            return None

    def subset(self, indices: Iterable[SupportsIndex]) -> "Pictures":
        """The pictures at `indices`, in that order."""
        numbers = np.asarray([operator.index(i) for i in indices] if not isinstance(indices, np.ndarray) else indices)
        return Pictures(self.paths.some(np.arange(len(self))[numbers.astype(np.int64)]), root=self.root)

    def grouped(self, endings: Sequence[str]) -> "Pictures":
        """Pictures whose files' names differ in `endings` alone as one picture each, whose channels are those of the
        files in the order of the endings: part7_vis.png and part7_ir.png, with _vis and _ir, are part7.png of two
        channels.
        Raises `DataError` that names a file without its companions."""
        found = grouped(self.paths, endings, str(self.root or "pictures"))
        return Pictures((joined(name, files) for name, files in found.items()), root=self.root)

    def unreadable(self, start: int = 0, *, progress: Progress | None = None) -> list[tuple[str, str]]:
        """(name, reason) of every picture from `start` on that cannot be read. Decodes all of them, in threads."""
        return [(self.name(i), reason) for i, reason in self.find_unreadable(start, progress=progress)]

    def find_unreadable(self, start: int = 0, *, progress: Progress | None = None) -> list[tuple[int, str]]:
        """As `unreadable`, with the picture's index instead of its name."""
        bad = []
        total = len(self) - start
        for done, reason in enumerate(threaded(_reason, self.paths[start:])):
            if reason is not None:
                bad.append((start + done, reason))
            if progress is not None:
                progress(done + 1, total)
        return bad

    def cached(
        self,
        key: str,
        transform: Callable[[Array], Array],
        indices: Sequence[int],
        *,
        progress: Progress | None = None,
    ) -> tuple[Array, NDArray[np.intp]]:
        """Transformed pictures from a memory-mapped cache, to which missing ones are added.

        key        identifies the transform and all its settings; a key must never be used for another transform
        transform  picture -> (h, w, C) or (h, w) array, the same shape and dtype for all; called in threads
        indices    the pictures to return

        Returns (memory map (N, h, w, C), row of the map for every index). The cache is in the folder ODDGAN_CACHE, or
        the user's cache folder. A changed file is decoded again, and the folder may be deleted when no process uses it.
        Memory use does not grow with the number of pictures. Several processes may fill the cache together; one that is
        killed loses only its latest work.

        Raises `DataError` that lists all unreadable pictures, or where shapes differ; `OutputError` where the cache
        cannot be written.
        """
        return cached_rows(self.paths, self.name, key, transform, indices, progress)


def _reason(path: str) -> str | None:
    try:
        decode(path)
    except Unreadable as bad:
        return str(bad)
    return None


class NamedPictures(list[np.ndarray]):
    """Decoded pictures with names, so that errors can name them."""

    def __init__(self, names: Sequence[str | int], pictures: Iterable[np.ndarray] = ()) -> None:
        super().__init__(pictures)
        self.names = list(names)

    def name(self, i: int) -> str:
        """The name of picture i, or its number where it has none."""
        name = self.names[i]
        return name if isinstance(name, str) else f"row {name}"
