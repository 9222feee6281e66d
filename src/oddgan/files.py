"""Files and folders that are written completely or not at all.

A file (`whole_file`) or a folder (`replaced_folder`) takes the place of an older one under its name at once, and is on
disk before. The files of a `whole_folder`, such as maps, move to theirs one by one, when all of them are written.

What is being written is a part beside its place, `.NAME.RANDOM.part`, under a name that no other thread, process or
machine has. Its writer holds a lock on it; other writers remove the parts that they can lock, for whoever wrote those
is dead. A process number would not say so between containers, which count their own.
"""

import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing that killed writers left is removed
    LOCKS = False
else:
    LOCKS = True

LONGEST_NAME = 255  # bytes, in nearly every file system
RANDOM = 8  # bytes, spelt as twice as many digits


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which is moved to `path` when the block succeeds and removed when it fails.

    Missing folders are created. The contents are on disk before the name: a crash leaves the old file or the new one.
    Raises `OutputError` that names the path and the cause. Any OSError in the block counts as an error of writing, so
    read inputs before it.
    """
    with _as_output_error(path, "free space or choose another place"):
        path = _followed(Path(path))
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; give the name of a file")
        if path.exists() and not path.is_file():  # a pipe or a device is never half written
            with path.open("wb") as file:
                yield file
            return
        part, handle = _new_part(path, _new_file)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(handle)
                if hasattr(os, "fchmod"):
                    with suppress(OSError):  # there is none yet
                        os.fchmod(handle, stat.S_IMODE(path.stat().st_mode))
                if LOCKS:
                    os.replace(part, path)  # while it is locked: nobody takes it for a dead writer's
            if not LOCKS:  # Windows moves no open file
                os.replace(part, path)
        except BaseException:
            _remove(part)
            raise


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """An empty folder to fill. Its files move into `folder` when the block ends well, one by one, and are gone
    otherwise.

    What else `folder` holds stays. Raises `OutputError` when it cannot be written.
    """
    with _as_output_error(folder, "choose another place"):
        folder = _followed(Path(folder).absolute())
        part, handle = _new_part(folder, _new_folder)
        try:
            yield part
            for path in sorted(part.rglob("*")):
                target = folder / path.relative_to(part)
                if path.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, target)
        finally:
            _remove(part)
            if handle >= 0:
                os.close(handle)


@contextmanager
def replaced_folder(folder: str | Path, dropped: Collection[str] = ()) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `folder` as a whole when the block ends well, and is gone
    otherwise.

    What else an older `folder` holds moves into the new one, except for what is called as one of `dropped`. A crash
    leaves the old or the new one; between two renamings the old one is `.NAME.RANDOM.old`, which the next writer puts
    back. Raises `OutputError` when it cannot be written, and then the old one stands.
    """
    with _as_output_error(folder, "choose another place"):
        folder = _followed(Path(folder).absolute())
        part, handle = _new_part(folder, _new_folder)
        try:
            with _renaming(folder.parent):
                _settle_old(folder, dropped)
            yield part
            if folder.is_dir():
                shutil.copymode(folder, part)
            for path in part.rglob("*"):
                if path.is_file():
                    with path.open("rb+") as file:
                        os.fsync(file.fileno())
            with _renaming(folder.parent):
                _take_place(part, folder, dropped)
        finally:
            _remove(part)
            if handle >= 0:
                os.close(handle)


@contextmanager
def folder_beside(path: str | Path) -> Iterator[Path]:
    """An empty folder beside `path` for what is needed until the block ends; then it is gone. One that a killed process
    has left is removed by the next writer of `path`. Raises `OutputError` when it cannot be made."""
    path = _followed(Path(path).absolute())
    with _as_output_error(path, "choose another place"):
        part, handle = _new_part(path, _new_folder)
    try:
        yield part
    finally:
        _remove(part)
        if handle >= 0:
            os.close(handle)


@contextmanager
def _as_output_error(path: str | Path, fix: str) -> Iterator[None]:
    """Raise an `OutputError` that names the path in place of any other OSError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); {fix}") from error


def _followed(path: Path) -> Path:
    """Where a link leads: the link stays, and what it leads to is replaced."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _new_part(path: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """A new part of `path`, made by `make` and locked until the handle is closed that comes with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beginning = _beginning(path.name)
    tidy(path.parent, beginning)
    while True:
        part = path.with_name(f"{beginning}{secrets.token_hex(RANDOM)}.part")
        try:
            handle = make(part)
            if _lock(handle) is not False and part.exists():
                return part, handle
        except BaseException:
            _remove(part)
            raise
        os.close(handle)  # another writer tidied up before the lock was taken


def _beginning(name: str) -> str:
    """What the names of all parts of `name` begin with, cut so that they are no longer than names may be."""
    room = LONGEST_NAME - 2 * RANDOM - len("...part")
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return f".{name}."


def _new_file(part: Path) -> int:
    return os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _new_folder(part: Path) -> int:
    part.mkdir()
    return os.open(part, os.O_RDONLY) if LOCKS else -1  # Windows opens no folder


def _lock(handle: int) -> bool | None:
    """Lock an open file or folder, unless another writer has. None where nothing can be locked."""
    if not LOCKS:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


@contextmanager
def _renaming(place: Path) -> Iterator[None]:
    """Lock a folder in which folders are renamed against other writers, where it can be."""
    handle = -1
    with suppress(OSError):  # Windows opens no folder, and one that may not be listed can still be written to
        handle = os.open(place, os.O_RDONLY)
    try:
        for _ in range(1000 if handle >= 0 else 0):
            if _lock(handle) is not False:
                break
            time.sleep(0.01)
        yield
    finally:
        if handle >= 0:
            os.close(handle)


def _take_place(part: Path, folder: Path, dropped: Collection[str]) -> None:
    """Rename a part to `folder`, the older one aside before, and remove that one."""
    if not folder.is_dir():
        os.rename(part, folder)
        return
    aside = folder.with_name(f"{_beginning(folder.name)}{secrets.token_hex(RANDOM)}.old")
    os.rename(folder, aside)
    try:
        os.rename(part, folder)
    except BaseException:
        os.rename(aside, folder)
        raise
    _settle(aside, folder, dropped)


def _settle_old(folder: Path, dropped: Collection[str]) -> None:
    """End what killed writers have left between their renamings: the old folder is put back, or what else it holds is
    moved into the new one."""
    name = re.compile(f"{re.escape(_beginning(folder.name))}[0-9a-f]{{{2 * RANDOM}}}[.]old", re.DOTALL)
    with suppress(OSError):
        for aside in [folder.with_name(found) for found in os.listdir(folder.parent) if name.fullmatch(found)]:
            if folder.exists():
                _settle(aside, folder, dropped)
            else:
                os.rename(aside, folder)


def _settle(aside: Path, folder: Path, dropped: Collection[str]) -> None:
    """Move what an older folder holds besides into the new one, and remove it."""
    for path in aside.iterdir():
        if path.name not in dropped and not os.path.lexists(folder / path.name):
            os.rename(path, folder / path.name)
    _remove(aside)


def _remove(part: Path) -> None:
    """Delete an unfinished file or folder. Errors of its place have been reported already."""
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def tidy(folder: Path, beginning: str = "") -> None:
    """Delete what killed writers left in the folder: of all of them, or those parts whose names begin so."""
    if not LOCKS:
        return
    names: list[str] = []
    begins = re.escape(beginning) or "[.].+[.]"
    name = re.compile(f"{begins}[0-9a-f]{{{2 * RANDOM}}}[.]part", re.DOTALL)
    with suppress(OSError):  # a folder that may not be listed can still be written to
        names = [found for found in os.listdir(folder) if name.fullmatch(found)]
    for part in [folder / found for found in names]:
        with suppress(OSError):
            mode = os.O_RDONLY if part.is_dir() else os.O_RDWR  # network file systems lock what is open to write
            handle = os.open(part, mode | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if _lock(handle):
                    _remove(part)
            finally:
                os.close(handle)


def append_whole(handle: int, data: bytes | memoryview) -> None:
    """Append all of `data` to a file that is open for appending, or nothing. Raises `OSError`."""
    before, left = os.fstat(handle).st_size, memoryview(data)
    try:
        while left:  # one call may write less than all
            left = left[os.write(handle, left) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, before)
        raise
