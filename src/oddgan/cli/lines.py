"""Lines of standard input as they come, bounded in length and in number."""

import io
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import DataError

LONGEST = 64 * 2**20  # bytes of a line: a file of 48 MB in base64
MOST = 4096  # lines that wait to be taken
MOST_BYTES = 128 * 2**20  # of them together, one line more
PIECE = 2**16  # bytes that are read at once
PATIENCE = 0.1  # seconds after which a signal is noticed at the latest
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Line:
    """A line that is not blank: its number, counted from 1, and its bytes; None where there are too many."""

    number: int
    data: bytes | None


def split(pieces: Iterable[bytes], longest: int = LONGEST) -> Iterator[Line]:
    """The lines of a stream of bytes, without line breaks, blank ones, and a byte order mark. Of a line longer than
    `longest` no more than that is held."""
    number, held, size = 1, list[bytes](), 0

    def line() -> Iterator[Line]:
        if size > longest:
            yield Line(number, None)
            return
        data = b"".join(held).removesuffix(b"\r")
        data = data.removeprefix(BOM) if number == 1 else data
        if data.strip():
            yield Line(number, data)

    for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            held.append(piece[start:end])
            size += end - start
            yield from line()
            number, held, size, start = number + 1, [], 0, end + 1
        size += len(piece) - start
        if size > longest:
            held.clear()
        else:
            held.append(piece[start:])
    yield from line()


def standard_input() -> Callable[[], bytes]:
    """What reads as much of standard input as has come, b"" at its end."""
    if sys.stdin is None:
        return bytes
    try:
        handle = sys.stdin.fileno()
    except (io.UnsupportedOperation, ValueError):
        put: Any = sys.stdin.buffer  # by a program that runs the command
        return lambda: bytes(put.read1(PIECE))
    return lambda: os.read(handle, PIECE)  # without the lock of a buffer, which would be held when the process ends


class Lines:
    """Lines that a thread reads ahead, until `MOST` or `MOST_BYTES` wait: whoever writes them waits then."""

    def __init__(self, read: Callable[[], bytes], longest: int = LONGEST) -> None:
        self._read, self._longest = read, longest
        self._changed = threading.Condition()
        self._waiting: deque[Line] = deque()
        self._bytes = 0
        self._ended = False
        self._error: Exception | None = None
        threading.Thread(target=self._fill, name="oddgan-lines", daemon=True).start()

    def _fill(self) -> None:
        try:
            for line in split(iter(self._read, b""), self._longest):
                size = len(line.data or b"")
                with self._changed:
                    while len(self._waiting) >= MOST or (self._waiting and self._bytes + size > MOST_BYTES):
                        self._changed.wait()
                    self._waiting.append(line)
                    self._bytes += size
                    self._changed.notify_all()
        except Exception as error:  # whatever it is: it is not the end of the input
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def take(self, most: int, stopped: Callable[[], bool]) -> list[Line]:
        """The lines that wait, at most so many, at least one; none at the end, or once `stopped` says so. Raises
        `DataError` where standard input cannot be read."""
        with self._changed:
            while not self._waiting and not self._ended and not stopped():
                self._changed.wait(PATIENCE)
            taken = [] if stopped() else [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._bytes -= sum(len(line.data or b"") for line in taken)
            self._changed.notify_all()
        if not taken and self._error is not None:
            reason = getattr(self._error, "strerror", None) or str(self._error) or type(self._error).__name__
            raise DataError(f"standard input cannot be read ({reason})") from self._error
        return taken
