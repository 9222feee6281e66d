"""The results of a watched folder: JSON Lines that are also the record of what was scored."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from ..errors import OutputError
from ..files import append_whole
from . import terminal
from .answers import line

BEGINNING = b'{"path": '
HASHED = 12  # bytes of a name's hash


class Record:
    """A file to which the results of a picture's file are added with one write, and which says, after any end of the
    process, which files are done: those of path, size and time of change (ns) in its lines.

    A line that was cut off by a crash is removed, and its file is scored again. In memory a name is a hash of 12 bytes,
    and a version of it one of 8. The lines are not forced to disk one by one: what a killed process has written stays,
    and after a power failure the files whose lines are gone are still in the folder, and are scored again.

    Raises `OutputError` for a file that is no such record, that another process writes, or that cannot be written.
    """

    def __init__(self, path: Path, model: str) -> None:
        self.path, self.model = path, model
        place = Path(os.path.realpath(path))
        self._known: dict[int, int] = {}
        self._lock = FileLock(place.with_name(f".{place.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OutputError(
                f"{path}: another oddgan score --watch writes it; give each its own file, or end the other"
            ) from None
        except OSError as error:
            raise OutputError(f"{path}: cannot be locked ({error.strerror or error}); choose another place") from error
        self._handle = -1
        try:
            self._handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            self._read(place)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and not isinstance(error, OutputError):
                raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._known)

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._lock.release()

    def knows(self, name: str, size: int, changed: int) -> bool:
        """Whether this version of a file is done."""
        return self._known.get(_hash(name, HASHED)) == _version(size, changed)

    def knows_another(self, name: str) -> bool:
        """Whether any version of a file is done."""
        return _hash(name, HASHED) in self._known

    def add(self, name: str, size: int, changed: int, entries: Sequence[dict[str, Any]]) -> None:
        """Write down what became of a version of a file: an entry for each of its pages."""
        data, n = b"", len(entries)
        for page, entry in enumerate(entries):
            several = {"page": page, "pages": n} if n > 1 else {}
            key = {"path": name, "size": size, "mtime_ns": changed, **several}
            data += line({**key, **entry, "model": self.model})
        self._write(data)
        self._known[_hash(name, HASHED)] = _version(size, changed)

    def sync(self) -> None:
        """Force what was written to disk. Raises `OutputError` where the file is no longer there."""
        try:
            there = self.path.stat()
            own = os.fstat(self._handle)
            if (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino):
                raise FileNotFoundError(2, "another file has its name")
            os.fsync(self._handle)
        except OSError as error:
            raise OutputError(
                f"{self.path}: is the record of what was scored, and is gone ({error.strerror}); start again"
            ) from error

    def _write(self, data: bytes) -> None:
        try:
            append_whole(self._handle, data)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror or error}); free some space and start again"
            ) from error

    def _read(self, place: Path) -> None:
        """Take note of what is done, and cut off what follows the last whole entry."""
        end = good = others = 0
        model = self.model
        in_file = False
        with place.open("rb") as file:
            for raw in file:
                end += len(raw)
                if not raw.endswith(b"\n"):
                    if not good and not (raw.startswith(BEGINNING) or BEGINNING.startswith(raw)):
                        raise self._no_record()
                    break
                found = _entry(raw)
                if found is None:
                    if not good and not in_file:
                        raise self._no_record()
                    others += 1
                else:
                    key, version, last, model = found
                    in_file = not last
                    if last:
                        self._known[key] = version
                good = good if in_file else end
        if good < end:
            os.ftruncate(self._handle, good)
            terminal.note(f"{self.path}: the last line was cut off; its file is scored again")
        if others:
            terminal.complain(
                f"warning: {self.path}: {others:,} lines are no results of --watch, and are left as they are"
            )
        if model != self.model:
            terminal.complain(
                f"warning: {self.path}: its last results are those of another model; new files are scored by this one, "
                "and those that are done are not scored again: give another file for that"
            )

    def _no_record(self) -> OutputError:
        return OutputError(f"{self.path}: holds something else than results of --watch; give another name")


def _entry(raw: bytes) -> tuple[int, int, bool, str] | None:
    """Name, version, whether it is the last line of its file, and the model; None for what is no entry."""
    try:
        found = json.loads(raw)
        name, size, changed = found["path"], found["size"], found["mtime_ns"]
        last = found.get("page", 0) + 1 == found.get("pages", 1)
        return _hash(name, HASHED), _version(size, changed), last, str(found["model"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _hash(text: str, size: int) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=size).digest(), "little")


def _version(size: int, changed: int) -> int:
    return _hash(f"{size:d} {changed:d}", 8)
