"""Files that are written completely or not at all."""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import OutputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which is moved to `path` when the block succeeds and removed when it fails.

    Missing folders are created. The contents are on disk before the name: a crash leaves the old file or the new one.
    Raises `OutputError` that names the path and the cause. Any OSError in the block counts as an error of writing, so
    read inputs before it.
    """
    path = Path(path)
    if path.is_symlink():
        path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a device is never half written
        with path.open("wb") as file:
            yield file
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; give the name of a file")
        _tidy(path)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        _remove(part)
        if isinstance(error, OutputError):
            raise
        reason = error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written ({reason}); free space or choose another place") from error
    except BaseException:
        _remove(part)
        raise


def _remove(part: Path) -> None:
    """Delete an unfinished file. Errors of its folder have been reported already."""
    with suppress(OSError):
        part.unlink(missing_ok=True)


def _tidy(path: Path) -> None:
    """Delete unfinished files that killed processes left beside `path`."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(ValueError, OSError):
            try:
                os.kill(int(part.name.split(".")[-2]), 0)  # signal 0 only checks whether the process is alive
            except ProcessLookupError:
                part.unlink()
