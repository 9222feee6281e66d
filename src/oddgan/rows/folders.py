"""The folder of oddgan's caches, and what to say when it cannot be written."""

import errno
import os
import shutil
import sys
from pathlib import Path

from ..errors import OutputError


def cache_folder() -> Path:
    """The folder of oddgan's caches: ODDGAN_CACHE, or else the platform's cache folder."""
    if setting := os.environ.get("ODDGAN_CACHE", "").strip():
        return Path(setting)
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "oddgan/Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches/oddgan"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oddgan"
    except RuntimeError:
        raise OutputError("there is no home folder for the cache; set ODDGAN_CACHE to a folder") from None


def check_room(folder: Path, needed: int) -> None:
    """Make a folder of the cache. Raises `OutputError` where its disk has fewer than `needed` bytes left."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"the cache needs {needed / 1e9:.1f} GB and the disk of {folder} has {free / 1e9:.1f} GB left; free some "
            "or set ODDGAN_CACHE to a folder on a larger disk"
        )


def cannot_write(folder: Path, error: OSError) -> OutputError:
    """What to raise where the folder of a cache cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutputError(
            f"the disk is full: no room for the cache {folder}; free some or set ODDGAN_CACHE to a folder on "
            "a larger disk"
        )
    return OutputError(
        f"the cache {folder} cannot be used ({error.strerror or error}); set ODDGAN_CACHE to a writable folder"
    )


def is_of(error: OSError, folder: Path) -> bool:
    """Whether an error is one of writing below a folder, and not of what is read meanwhile."""
    named = isinstance(error.filename, str | os.PathLike)
    if named and Path(os.path.abspath(error.filename)).is_relative_to(os.path.abspath(folder)):
        return True
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
