"""A lock that processes and threads share through a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
    import time

    def _take(file: int) -> None:
        while True:
            try:
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
                return
            except PermissionError:  # somebody else holds it
                time.sleep(0.02)

    def _release(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _release(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` alone. The system frees it when the holder dies; raises OSError."""
    with path.open("ab") as stream:
        stream.seek(0)
        _take(stream.fileno())
        try:
            yield
        finally:
            stream.seek(0)
            _release(stream.fileno())
