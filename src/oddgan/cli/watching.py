"""oddgan score MODEL --watch FOLDER: every new picture below a folder, once."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, OutputError
from ..rows.decode import decode, places
from ..rows.masks import TRUTH
from ..rows.places import SUFFIXES
from ..rows.threads import threaded
from . import items, terminal
from .answers import Answers
from .items import Item
from .process import finishing
from .reading import CHUNK_BYTES
from .record import Record
from .scoring import Scoring

SURE = 60.0  # seconds of age from which a file is at rest, though a file server's clock be somewhat behind this one
STEP = 0.1  # seconds after which a signal is noticed at the latest
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
JPEG_END = b"\xff\xd9"
ENDS = {".png": PNG_END, **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), JPEG_END)}
"""How whole files end; those of other formats do not show whether they are whole."""


@dataclass(frozen=True)
class File:
    """A version of a picture's file. `name`: its path below the folder; `settled`: whether nobody writes to it."""

    name: str
    path: str
    size: int
    changed: int
    settled: bool


@dataclass(frozen=True)
class Seen:
    """What was found in a file: the places of its pictures and, of a single one, the picture; or why there is none.
    `wait`: that it may not be whole; `unread`: that its place cannot be reached."""

    file: File
    places: Sequence[str] = ()
    picture: np.ndarray | None = None
    error: str = ""
    wait: bool = False
    unread: bool = False


class Watching:
    """Looks at a folder again and again. `poll`: seconds between two looks."""

    def __init__(self, root: Path, record: Record, answers: Answers, pictures: items.Pictures, poll: float) -> None:
        self.root, self.record, self.answers, self.pictures, self.poll = root, record, answers, pictures, poll
        self.waiting: dict[str, tuple[int, int]] = {}  # versions of files that may not be whole
        self.troubles: set[str] = set()
        self.unread = 0  # files that this look could not reach
        self.again = 0

    def look(self, stopped: Callable[[], bool]) -> None:
        """Score what is new, until `stopped` says so."""
        waited, self.waiting = self.waiting, {}
        troubled, self.troubles = self.troubles, set()
        self.unread = 0
        try:
            for some in _batches(self._new(waited), self.answers.how.detector.block_size):
                self._score(some, stopped)
                if stopped():
                    break
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            self._trouble(str(self.root), error)
        for where in sorted(self.troubles - troubled):
            terminal.complain(f"warning: {where}; it is tried again")
        if troubled and not self.troubles:
            terminal.note(f"{self.root}: can be read again")

    def _trouble(self, where: str, error: OSError) -> None:
        self.troubles.add(f"{where}: cannot be read ({error.strerror or error})")

    def _new(self, waited: dict[str, tuple[int, int]]) -> Iterator[File]:
        """The versions of pictures' files that are not in the record."""
        for name, entry in self._pictures():
            try:
                about = entry.stat()
                if not entry.is_file():
                    continue
            except OSError:  # gone, or a link that leads nowhere
                continue
            size, changed = about.st_size, about.st_mtime_ns
            if self.record.knows(name, size, changed):
                continue
            quiet = time.time() - max(about.st_mtime, about.st_ctime) >= max(self.poll, SURE)
            yield File(name, entry.path, size, changed, quiet or waited.get(name) == (size, changed))

    def _pictures(self) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        """All pictures' files, as the folders list them; hidden ones and folders of masks are left out."""
        left, seen = [""], set[tuple[int, int]]()
        while left:
            below = left.pop()
            folder = os.path.join(self.root, below) if below else str(self.root)
            try:
                about = os.stat(folder)
                if (about.st_dev, about.st_ino) in seen:  # a link to a folder that was looked at
                    continue
                seen.add((about.st_dev, about.st_ino))
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.startswith("."):
                            continue
                        picture = os.path.splitext(entry.name)[1].lower() in SUFFIXES
                        if picture and not _is_folder(entry):
                            yield f"{below}{entry.name}", entry
                        elif entry.name.lower() not in TRUTH and _is_folder(entry):
                            left.append(f"{below}{entry.name}/")
            except OSError as error:
                if below and isinstance(error, FileNotFoundError):
                    continue
                self._trouble(folder, error)

    def _score(self, files: Sequence[File], stopped: Callable[[], bool]) -> None:
        """Score files and write down what became of each, the oldest first."""
        held: list[Seen] = []
        size = 0
        for seen in threaded(self._seen, sorted(files, key=lambda file: (file.changed, file.name))):
            if seen.wait:
                self.waiting[seen.file.name] = (seen.file.size, seen.file.changed)
                continue
            if seen.unread:
                self.unread += 1
                continue
            if len(seen.places) > 1:
                self._add(seen.file, self._pages(seen))
                continue
            held.append(seen)
            size += 0 if seen.picture is None else seen.picture.nbytes
            if size >= CHUNK_BYTES:
                self._add_all(held)
                held, size = [], 0
            if stopped():
                break
        self._add_all(held)

    def _add_all(self, held: Sequence[Seen]) -> None:
        answers = self._answers(Item({}, one.file.name, one.picture, one.error) for one in held)
        for one, answer in zip(held, answers, strict=True):
            self._add(one.file, [answer])

    def _pages(self, seen: Seen) -> list[dict[str, Any]]:
        """The answers to the pages of a file, which are decoded one after the other."""

        def pages() -> Iterator[Item]:
            for page, place in enumerate(seen.places):
                name = f"{seen.file.name}#{page}"
                try:
                    yield Item({}, name, self.pictures.picture(decode, place))
                except DataError as error:
                    yield Item({}, name, error=str(error))

        return list(self._answers(pages()))

    def _answers(self, found: Iterable[Item]) -> Iterator[dict[str, Any]]:
        for some in _batches(found, self.answers.how.detector.block_size):
            for answers in self.answers.of(some):
                yield from answers

    def _add(self, file: File, entries: Sequence[dict[str, Any]]) -> None:
        self.again += self.record.knows_another(file.name)
        self.record.add(file.name, file.size, file.changed, entries)

    def _seen(self, file: File) -> Seen:
        """What is in a file; runs in threads."""
        ending = ENDS.get(os.path.splitext(file.path)[1].lower())
        try:
            if not file.settled and (ending is None or _end(file.path, len(ending)) != ending):
                return Seen(file, wait=True)
            _end(file.path, 1)
        except FileNotFoundError:
            return Seen(file, wait=True)
        except OSError as error:  # of the place, not of the picture: it may pass
            self._trouble(file.path, error)
            return Seen(file, unread=True)
        picture, reason, found = None, "", [file.path]
        try:
            found = places(file.path)
            if len(found) == 1:
                picture = self.pictures.picture(decode, file.path)
        except DataError as bad:
            reason = str(bad).removeprefix(f"{file.path}: ")
        try:
            about = os.stat(file.path)
        except OSError:
            return Seen(file, wait=True)
        changed = (about.st_size, about.st_mtime_ns) != (file.size, file.changed)
        if changed or (reason and not file.settled):
            return Seen(file, wait=True)
        return Seen(file, found, picture, reason)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _end(path: str, size: int) -> bytes:
    """The last bytes of a file."""
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - size))
        return file.read(size)


def _batches(found: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of so many, the last one of fewer."""
    some: list[Any] = []
    for one in found:
        some.append(one)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def fingerprint(how: Scoring) -> str:
    """What distinguishes the model from others: a hash of its calibration scores."""
    scores = np.ascontiguousarray(how.detector.model_.calibration.scores)
    return hashlib.sha256(scores.tobytes()).hexdigest()[:12]


def watch(how: Scoring, root: Path, output: Path, *, poll: float, once: bool) -> tuple[int, int, bool]:
    """Score new pictures below a folder until a signal comes; `once`: those that are there. Returns how many are
    anomalies, how many could not be used, and whether it was a signal."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; --watch takes one that new pictures come into")
    preprocessor: Any = how.detector.model_.preprocessor
    if preprocessor.kind == "table":
        raise DataError(
            "--watch: is for pictures, and the model takes rows of a table: oddgan score MODEL - reads them"
        )
    pictures = items.Pictures(preprocessor)
    answers = Answers(how, pictures)
    with finishing() as stopped, Record(output, fingerprint(how)) as record:
        watching = Watching(root, record, answers, pictures, poll)
        if len(record):
            terminal.note(f"{output}: {len(record):,} files are done")
        looks = 0
        while not stopped():
            before = answers.done + answers.bad
            watching.look(stopped)
            looks += 1
            if answers.done + answers.bad > before:
                record.sync()
            if once and (not (watching.waiting or watching.unread) or looks == 2):
                break
            _sleep(poll, stopped)
        if once and watching.waiting:
            terminal.note(f"{len(watching.waiting):,} files are still being written; they are left for the next time")
        if watching.again:
            terminal.note(f"{watching.again:,} files had changed and were scored again")
        answers.close()
        return answers.anomalies, answers.bad + len(watching.troubles), stopped()


def _sleep(seconds: float, stopped: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not stopped() and (left := end - time.monotonic()) > 0:
        time.sleep(min(STEP, left))
