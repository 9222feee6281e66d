"""A memory-mapped cache of transformed pictures, so that each picture is decoded once.

    CACHE/pictures/DIGEST OF THE TRANSFORM'S KEY/64x64x3-uint8/
        rows.bin     rows of one shape and dtype, one after the other; append-only
        index.jsonl  [row, mtime_ns, size, path] for each of them, written after its row is on disk
        lock         held while rows are appended

Readers trust only complete lines of the index. A writer that is killed leaves at most some rows without a line, which
the next writer overwrites, and an incomplete line, which the next writer removes.
"""

import hashlib
import itertools
import json
import os
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from filelock import FileLock
from numpy.typing import NDArray

from ..errors import DataError, OutputError
from ..files import append_whole
from .decode import Array, Unreadable, decode
from .folders import cache_folder, cannot_write, check_room
from .places import identity, whole_place
from .threads import threaded

FileKey = tuple[str, int, int]  # absolute path, when it last changed in ns, size in bytes

CHUNK_BYTES = 16 * 2**20
CHUNK_ROWS = 256  # a killed process loses no more than this many decoded pictures
LINES = 65_536  # of an index that are read together
POLL = 0.01  # seconds between attempts to take the lock
SHOWN = 10  # unreadable pictures that an error lists


@dataclass(frozen=True)
class Form:
    """Shape and dtype, which all transformed pictures must share."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))}-{self.dtype.name}"

    @classmethod
    def parse(cls, name: str) -> "Form | None":
        """The form that a folder is named after, or None."""
        match = re.fullmatch(r"(\d+)x(\d+)x(\d+)-([a-z]+\d*)", name)
        return cls((int(match[1]), int(match[2]), int(match[3])), np.dtype(match[4])) if match else None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        h, w, c = self.shape
        return h * w * c * self.dtype.itemsize


class Wanted:
    """The files of the wanted pictures (m,), each once: `numbers` (u,) says which picture, `files` (m,) which of them
    each picture has, `changed` and `size` (u,) int64 how the file was. Paths are known by 16 bytes of their hash, so
    that a million files take some dozens of megabytes. `bad`: why files cannot be reached, by picture."""

    def __init__(self, paths: Sequence[str], numbers: NDArray[np.int64]) -> None:
        self.bad: dict[int, str] = {}
        self.paths = paths
        digests, changes, sizes = bytearray(), array("q"), array("q")
        for i in numbers.tolist():
            try:
                path, changed, size = identity(paths[i])
            except OSError as error:
                self.bad[i] = error.strerror or "it cannot be reached"
                path, changed, size = f"{i}\0", -1, -1
            digests += _digest(path)
            changes.append(changed)
            sizes.append(size)
        hashes = np.frombuffer(digests, np.uint64).reshape(-1, 2)
        _, first, self.files = np.unique(hashes[:, 0], return_index=True, return_inverse=True)
        self.numbers = numbers[first]
        self.changed, self.size = (np.frombuffer(one, np.int64)[first] for one in (changes, sizes))
        self._hashes = hashes[first]

    def __len__(self) -> int:
        return len(self.numbers)

    def key(self, file: int) -> FileKey:
        """The path of a file, when it last changed, and its size, as the index has them."""
        path = whole_place(self.paths[int(self.numbers[file])])
        return path, int(self.changed[file]), int(self.size[file])

    def find(self, lines: Sequence[tuple[int, int, int, str]]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Of lines (row, changed, size, path) of an index the wanted files that they are of, and their rows."""
        none = np.empty(0, np.int64)
        if not lines or not len(self):
            return none, none
        hashes = np.frombuffer(b"".join([_digest(path) for *_, path in lines]), np.uint64).reshape(-1, 2)
        at = np.minimum(np.searchsorted(self._hashes[:, 0], hashes[:, 0]), len(self) - 1)
        rows, changed, size = np.array([line[:3] for line in lines], np.int64).T
        same = (self._hashes[at] == hashes).all(axis=1) & (self.changed[at] == changed) & (self.size[at] == size)
        return at[same], rows[same]


def _digest(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Store:
    """The rows of one form in one folder. `found`: of each wanted file the row that it has, (u,), -1 for none."""

    def __init__(self, folder: Path, form: Form, wanted: Wanted) -> None:
        self.folder, self.form = folder, form
        self.found = np.full(len(wanted), -1, np.int64)
        self.count = 0  # rows that the index lists
        self._wanted = wanted
        self._read = 0  # bytes of the index that were read: complete lines only
        self.refresh()

    def refresh(self) -> None:
        """Read what any process has appended since the last call."""
        try:
            with (self.folder / "index.jsonl").open("rb") as index:
                index.seek(self._read)
                while block := list(itertools.islice(index, LINES)):
                    if not block[-1].endswith(b"\n"):
                        block.pop()
                    self._read += sum(map(len, block))
                    self._look(block)
            held = (self.folder / "rows.bin").stat().st_size // self.form.row_bytes
        except FileNotFoundError:
            return
        if self.count > held:
            raise OutputError(f"the picture cache {self.folder} is damaged (rows are missing); delete that folder")

    def _look(self, lines: Sequence[bytes]) -> None:
        read = []
        for line in lines:
            try:
                row, mtime, size, path = json.loads(line)
            except ValueError:
                continue  # damaged by a crash of the machine: its picture is decoded again
            self.count = max(self.count, row + 1)
            read.append((row, mtime, size, path))
        files, rows = self._wanted.find(read)
        self.found[files] = rows

    def append(self, batch: Mapping[int, Array]) -> bool:
        """Append these rows by their files: all, or none on an error. True if another process had added some of
        them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(self.folder / "lock").acquire(poll_interval=POLL),  # the system frees it when the holder dies
            open(self.folder / "rows.bin", "ab", buffering=0) as rows,
            open(self.folder / "index.jsonl", "ab", buffering=0) as index,
        ):
            self.refresh()
            fresh = {self._wanted.key(file): row for file, row in batch.items() if self.found[file] < 0}
            start = self.count * self.form.row_bytes
            try:
                rows.truncate(start)
                for row in fresh.values():
                    append_whole(rows.fileno(), np.ascontiguousarray(row).data.cast("B"))
                os.fsync(rows.fileno())  # otherwise a power cut could keep the index and lose the rows
                index.truncate(self._read)
                lines = (json.dumps([n, mtime, size, path]) for n, (path, mtime, size) in enumerate(fresh, self.count))
                append_whole(index.fileno(), "".join(f"{line}\n" for line in lines).encode())
            except OSError:
                index.truncate(self._read)
                rows.truncate(start)  # frees the space of rows that are not in the index
                raise
            self.refresh()
        return len(fresh) < len(batch)

    def map(self) -> Array:
        """All rows as a read-only memory map (N, h, w, C)."""
        return np.memmap(self.folder / "rows.bin", self.form.dtype, "r", shape=(self.count, *self.form.shape))


def cached_rows(
    paths: Sequence[str],
    name: Callable[[int], str],
    key: str,
    transform: Callable[[Array], Array],
    indices: Sequence[int],
    progress: Callable[[int, int], None] | None,
) -> tuple[Array, NDArray[np.intp]]:
    """See `Pictures.cached`."""
    wanted = np.arange(len(paths))[np.asarray(indices, np.int64)] if len(indices) else np.empty(0, np.int64)
    if not len(wanted):
        raise DataError("no pictures were requested; give at least one")
    # Versions of Pillow may decode differently, so each has its own rows.
    digest = hashlib.sha256(f"1\n{PIL.__version__}\n{key}".encode()).hexdigest()[:32]
    folder = cache_folder() / "pictures" / digest
    try:
        return _Fill(folder, paths, name, transform, progress).run(wanted)
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(folder, error) from error


class _Fill:
    """One call of `cached_rows`: look up, decode what is missing, return."""

    def __init__(
        self,
        folder: Path,
        paths: Sequence[str],
        name: Callable[[int], str],
        transform: Callable[[Array], Array],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.folder, self.paths, self.name = folder, paths, name
        self.transform, self.progress = transform, progress
        self.wanted: Wanted
        self.store: Store | None = None  # set by the first picture that is found or decoded
        self.first = -1  # that picture

    def run(self, wanted: NDArray[np.int64]) -> tuple[Array, NDArray[np.intp]]:
        self.wanted = Wanted(self.paths, wanted)
        self.bad = self.wanted.bad
        self._look_up()
        missing = self._missing()
        if len(missing):
            self._decode(missing)
        if self.bad:
            raise self._unreadable(len(self.wanted))
        assert self.store is not None  # there is at least one picture, and it is not bad
        return self.store.map(), self.store.found[self.wanted.files].astype(np.intp, copy=False)

    def _look_up(self) -> None:
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if (form := Form.parse(folder.name)) is not None:
                store = Store(folder, form, self.wanted)
                held = np.flatnonzero(store.found >= 0)
                if len(held):
                    first = int(self.wanted.numbers[held].min())
                    self._agree(first, form)
                    self.store, self.first = store, first

    def _missing(self) -> NDArray[np.intp]:
        """The files that are to be decoded, in the order of the pictures that were asked for."""
        there = np.ones(len(self.wanted), bool) if self.store is None else self.store.found < 0
        there &= ~np.isin(self.wanted.numbers, list(self.bad))
        files, first = np.unique(self.wanted.files, return_index=True)
        asked = files[np.argsort(first)]
        return asked[there[asked]]

    def _agree(self, i: int, form: Form) -> None:
        if self.store is not None and self.store.form != form:
            raise DataError(
                f"pictures differ: {self.name(self.first)} becomes {self.store.form} and {self.name(i)} "
                f"becomes {form}; bring all of them to one size, one number of channels and one depth"
            )

    def _decode(self, missing: NDArray[np.intp]) -> None:
        """Decode `missing` in threads and append it to the cache, chunk by chunk."""
        total, done, backwards = len(missing), 0, False
        first, last = 0, total

        def pending() -> Iterator[int]:
            nonlocal done, first, last
            while first < last:
                if backwards:
                    last -= 1
                    file = int(missing[last])
                else:
                    file = int(missing[first])
                    first += 1
                if self.store is not None and self.store.found[file] >= 0:  # another process has added it meanwhile
                    done += 1
                else:
                    yield file

        batch: dict[int, Array] = {}
        for file, row in threaded(self._row, pending()):
            done += 1
            if row is not None:
                i = int(self.wanted.numbers[file])
                form = Form((row.shape[0], row.shape[1], row.shape[2]), row.dtype)
                self._agree(i, form)
                if self.store is None:
                    check_room(self.folder, total * form.row_bytes)
                    self.store, self.first = Store(self.folder / str(form), form, self.wanted), i
                batch[file] = row
                if len(batch) >= min(CHUNK_ROWS, max(1, CHUNK_BYTES // form.row_bytes)):
                    # Two processes that decode the same pictures share the work by starting from opposite ends.
                    backwards ^= self.store.append(batch)
                    batch = {}
            if self.progress is not None:
                self.progress(done, total)
        if batch and self.store is not None:
            self.store.append(batch)

    def _row(self, file: int) -> tuple[int, Array | None]:
        """The picture in a file, decoded and transformed, or None with the reason in `bad`. Runs in threads."""
        i = int(self.wanted.numbers[file])
        path = self.paths[i]
        try:
            before = identity(path)
            picture = decode(path)
            if identity(path) != before:
                raise Unreadable("it changed while it was read")
        except Unreadable as bad:
            self.bad[i] = bad.reason
            return file, None
        except OSError as error:
            self.bad[i] = error.strerror or "it cannot be reached"
            return file, None
        _, self.wanted.changed[file], self.wanted.size[file] = before
        try:
            row = np.asarray(self.transform(picture))
        except DataError as error:
            raise DataError(f"{self.name(i)}: {error}") from error
        if row.ndim == 2:
            row = row[..., None]
        if row.ndim != 3:
            raise ValueError(f"the transform must give (h, w, C) arrays, not {row.shape}")
        return file, row

    def _unreadable(self, total: int) -> DataError:
        shown = [f"{self.name(i)} ({self.bad[i]})" for i in sorted(self.bad)[:SHOWN]]
        if len(self.bad) > SHOWN:
            shown.append(f"and {len(self.bad) - SHOWN:,} more")
        return DataError(
            f"{len(self.bad):,} of {total:,} pictures cannot be read: {', '.join(shown)}; fix or remove them, or "
            "leave them out: --skip-bad"
        )
