"""A memory-mapped cache of transformed pictures, so that each picture is decoded once.

    CACHE/pictures/DIGEST OF THE TRANSFORM'S KEY/64x64x3-uint8/
        rows.bin     rows of one shape and dtype, one after the other; append-only
        index.jsonl  [row, mtime_ns, size, path] for each of them, written after its row is on disk
        lock         held while rows are appended

Readers trust only complete lines of the index. A writer that is killed leaves at most some rows without a line, which
the next writer overwrites, and an incomplete line, which the next writer removes.
"""

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from filelock import FileLock
from numpy.typing import NDArray

from ..errors import DataError, OutputError
from .decode import Array, Unreadable, decode
from .folders import cache_folder, cannot_write, check_room
from .places import identity
from .threads import threaded

FileKey = tuple[str, int, int]  # absolute path, when it last changed in ns, size in bytes

CHUNK_BYTES = 16 * 2**20
CHUNK_ROWS = 256  # a killed process loses no more than this many decoded pictures
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


class Store:
    """The rows of one form in one folder. `found`: the row of each wanted file that has one."""

    def __init__(self, folder: Path, form: Form, wanted: set[str]) -> None:
        self.folder, self.form = folder, form
        self.found: dict[FileKey, int] = {}
        self.count = 0  # rows that the index lists
        self._wanted = wanted
        self._read = 0  # bytes of the index that were read: complete lines only
        self.refresh()

    def refresh(self) -> None:
        """Read what any process has appended since the last call."""
        try:
            with (self.folder / "index.jsonl").open("rb") as index:
                index.seek(self._read)
                added = index.read()
            held = (self.folder / "rows.bin").stat().st_size // self.form.row_bytes
        except FileNotFoundError:
            return
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                row, mtime, size, path = json.loads(line)
            except ValueError:
                continue  # damaged by a crash of the machine: its picture is decoded again
            self.count = max(self.count, row + 1)
            if path in self._wanted:
                self.found[path, mtime, size] = row
        if self.count > held:
            raise OutputError(f"the picture cache {self.folder} is damaged (rows are missing); delete that folder")

    def append(self, batch: Sequence[tuple[FileKey, Array]]) -> bool:
        """Append the rows of `batch`: all, or none on an error. True if another process had added some of them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(self.folder / "lock").acquire(poll_interval=POLL),  # the system frees it when the holder dies
            open(self.folder / "rows.bin", "ab", buffering=0) as rows,
            open(self.folder / "index.jsonl", "ab", buffering=0) as index,
        ):
            self.refresh()
            fresh = {file: row for file, row in batch if file not in self.found}
            start = self.count * self.form.row_bytes
            try:
                rows.truncate(start)
                for row in fresh.values():
                    _write(rows, np.ascontiguousarray(row).data.cast("B"))
                os.fsync(rows.fileno())  # otherwise a power cut could keep the index and lose the rows
                index.truncate(self._read)
                lines = (json.dumps([n, mtime, size, path]) for n, (path, mtime, size) in enumerate(fresh, self.count))
                _write(index, memoryview("".join(f"{line}\n" for line in lines).encode()))
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
    wanted = [range(len(paths))[i] for i in indices]
    if not wanted:
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
        self.files: dict[int, FileKey] = {}
        self.known: set[str] = set()  # the absolute paths of all wanted pictures
        self.bad: dict[int, str] = {}
        self.store: Store | None = None  # set by the first picture that is found or decoded
        self.first = -1  # that picture

    def run(self, wanted: list[int]) -> tuple[Array, NDArray[np.intp]]:
        distinct = list(dict.fromkeys(wanted))
        for i in distinct:
            try:
                self.files[i] = identity(self.paths[i])
            except OSError as error:
                self.bad[i] = error.strerror or "it cannot be reached"
        self.known = {path for path, _, _ in self.files.values()}
        self._look_up()
        missing = [i for i in self.files if not self._has(i)]
        if missing:
            self._decode(missing)
        if self.bad:
            raise self._unreadable(len(distinct))
        assert self.store is not None  # there is at least one picture, and it is not bad
        rows = np.array([self.store.found[self.files[i]] for i in wanted], dtype=np.intp)
        return self.store.map(), rows

    def _look_up(self) -> None:
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if (form := Form.parse(folder.name)) is not None:
                store = Store(folder, form, self.known)
                held = next((i for i, file in self.files.items() if file in store.found), None)
                if held is not None:
                    self._agree(held, form)
                    self.store, self.first = store, held

    def _has(self, i: int) -> bool:
        return self.store is not None and self.files[i] in self.store.found

    def _agree(self, i: int, form: Form) -> None:
        if self.store is not None and self.store.form != form:
            raise DataError(
                f"pictures differ: {self.name(self.first)} becomes {self.store.form} and {self.name(i)} "
                f"becomes {form}; bring all of them to one size, one number of channels and one depth"
            )

    def _decode(self, missing: list[int]) -> None:
        """Decode `missing` in threads and append it to the cache, chunk by chunk."""
        total, done, backwards = len(missing), 0, False
        queue = deque(missing)

        def pending() -> Iterator[int]:
            nonlocal done
            while queue:
                i = queue.pop() if backwards else queue.popleft()
                if self._has(i):  # another process has added it meanwhile
                    done += 1
                else:
                    yield i

        batch: list[tuple[FileKey, Array]] = []
        for i, row in threaded(self._row, pending()):
            done += 1
            if row is not None:
                form = Form((row.shape[0], row.shape[1], row.shape[2]), row.dtype)
                self._agree(i, form)
                if self.store is None:
                    check_room(self.folder, total * form.row_bytes)
                    self.store, self.first = Store(self.folder / str(form), form, self.known), i
                batch.append((self.files[i], row))
                if len(batch) >= min(CHUNK_ROWS, max(1, CHUNK_BYTES // form.row_bytes)):
                    # Two processes that decode the same pictures share the work by starting from opposite ends.
                    backwards ^= self.store.append(batch)
                    batch = []
            if self.progress is not None:
                self.progress(done, total)
        if batch and self.store is not None:
            self.store.append(batch)

    def _row(self, i: int) -> tuple[int, Array | None]:
        """Picture `i` decoded and transformed, or None with the reason in `bad`. Runs in threads."""
        path = self.paths[i]
        try:
            before = identity(path)
            picture = decode(path)
            if identity(path) != before:
                raise Unreadable("it changed while it was read")
        except Unreadable as bad:
            self.bad[i] = bad.reason
            return i, None
        except OSError as error:
            self.bad[i] = error.strerror or "it cannot be reached"
            return i, None
        self.files[i] = before
        try:
            row = np.asarray(self.transform(picture))
        except DataError as error:
            raise DataError(f"{self.name(i)}: {error}") from error
        if row.ndim == 2:
            row = row[..., None]
        if row.ndim != 3:
            raise ValueError(f"the transform must give (h, w, C) arrays, not {row.shape}")
        return i, row

    def _unreadable(self, total: int) -> DataError:
        shown = [f"{self.name(i)} ({self.bad[i]})" for i in sorted(self.bad)[:SHOWN]]
        if len(self.bad) > SHOWN:
            shown.append(f"and {len(self.bad) - SHOWN:,} more")
        return DataError(
            f"{len(self.bad):,} of {total:,} pictures cannot be read: {', '.join(shown)}; fix or remove them, or "
            "leave them out: --skip-bad"
        )


def _write(stream: FileIO, data: memoryview) -> None:
    while data:  # one call may write less than all
        data = data[stream.write(data) :]
