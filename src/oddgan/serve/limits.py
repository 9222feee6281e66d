"""What a service takes at most, and what it says of what it does not take."""

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import ParameterError

MB = 2**20


class Refusal(Exception):
    """A request that is not answered: an HTTP status and one line that says why and what to do. `reason`: a word for
    metrics."""

    def __init__(self, status: int, message: str, reason: str = "malformed") -> None:
        super().__init__(" ".join(message.split()))
        self.status, self.reason = status, reason


def busy(message: str) -> Refusal:
    """A refusal that asks to come again soon."""
    return Refusal(503, f"{message}; try again in a second", "busy")


def late(limits: "Limits") -> Refusal:
    """A refusal of rows that were not scored in time."""
    return Refusal(504, f"the rows were not scored within {limits.timeout:g} seconds; send fewer, or later", "late")


def in_time(limits: "Limits", until: float) -> None:
    """Raise `Refusal` (504) where it is later than `until` (`time.monotonic`)."""
    if time.monotonic() > until:
        raise late(limits)


@dataclass(frozen=True)
class Limits:
    """The bounds of a service. Raises `ParameterError` for one that is none.

    Attributes
    ----------
    max_body : int
        Bytes of a request's body; 413 beyond.
    max_json : int
        Bytes of JSON in a request, which Python holds in twenty times the space.
    max_pixels : int
        Height times width of an encoded picture, before it is decoded: a small file may hold a huge picture.
    memory : int
        Bytes of bodies and decoded pictures that are held at a time, in all requests; 503 beyond.
    queue : int
        Rows of one model that wait to be scored; 503 beyond. A request of more rows is refused with 413.
    max_batch : int or None
        Rows of several requests that are scored together; None: the model's block size.
    max_wait : float
        Seconds that a row waits for others to be scored with; 0: it waits only while others are being scored.
    timeout : float
        Seconds from a request's first byte to its answer; 504 beyond, 408 where the client was slow.
    read_timeout : float
        Seconds for the head of a request, and seconds without a byte of its body; 408 beyond.
    connections : int
        Open connections; 503 beyond.
    window : int
        Recent rows of a model that drift is measured on.
    """

    max_body: int = 32 * MB
    max_json: int = 8 * MB
    max_pixels: int = 32_000_000
    memory: int = 1024 * MB
    queue: int = 1024
    max_batch: int | None = None
    max_wait: float = 0.002
    timeout: float = 30.0
    read_timeout: float = 10.0
    connections: int = 512
    window: int = 1000

    def __post_init__(self) -> None:
        for name in ("max_body", "max_json", "max_pixels", "memory", "queue", "connections", "window"):
            if not 1 <= getattr(self, name) < math.inf:
                raise ParameterError(f"{name}={getattr(self, name)!r}: must be at least 1, and finite")
        for name in ("timeout", "read_timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise ParameterError(f"{name}={getattr(self, name)!r}: must be above 0 seconds, and finite")
        if not 0 <= self.max_wait < self.timeout:
            raise ParameterError(f"max_wait={self.max_wait!r}: must be at least 0 and less than timeout")
        if self.max_batch is not None and self.max_batch < 1:
            raise ParameterError(f"max_batch={self.max_batch!r}: must be at least 1")


class Memory:
    """Bytes that requests may hold together. Several threads may ask."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Hold so many bytes more. Raises `Refusal`: 413 where there never are so many, 503 where there are not now."""
        if count > self.most:
            raise Refusal(413, f"this takes {count:,} bytes, and the service holds {self.most:,}; send less", "large")
        with self._lock:
            if self.held + count > self.most:
                raise busy("the memory for requests is full")
            self.held += count

    def give(self, count: int) -> None:
        """Hold so many bytes less."""
        with self._lock:
            self.held -= count

    @contextmanager
    def account(self) -> Iterator["Account"]:
        """What one request holds, given back at its end, or when what it was held for ends, if that is later."""
        account = Account(self)
        try:
            yield account
        finally:
            if account.pending is None:
                self.give(account.held)
            else:
                account.pending.add_done_callback(lambda _: self.give(account.held))


class Account:
    """What one request holds of a `Memory`."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.held = memory, 0
        self.pending: Future[Any] | None = None

    def take(self, count: int) -> None:
        """Hold so many bytes more. Raises `Refusal`."""
        self.memory.take(count)
        self.held += count

    def give(self, count: int) -> None:
        """Hold so many bytes less."""
        self.memory.give(count)
        self.held -= count

    def keep(self, pending: "Future[Any]") -> None:
        """Hold what is held until this is done, which goes on without the request."""
        self.pending = pending
