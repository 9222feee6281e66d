"""Ray, for tasks that do not depend on each other: parts of rows to score, cells of a comparison.

Tasks are given out a few at a time. One whose worker dies is given out again, by this module and not by Ray, which
repeats without end what runs out of memory. Nothing waits without a limit for a worker that does not come.
"""

import os
import pickle
import re
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any, TextIO, cast

from . import errors
from .errors import DataError, EngineError, MissingExtra, OddganError, ParameterError

__all__ = ["Failure", "Lost", "Pool", "Ray"]

POLL = 1.0  # seconds from one look at what runs to the next
CONNECT = 20.0  # seconds
STORE = 128 * 2**20  # bytes of Ray's object store, where it is started here
FETCH = 600.0  # seconds to fetch a result
RESULT = 16 * 2**20  # bytes of it for the result of a task


@dataclass(frozen=True)
class Failure:
    """An `OddganError` of a task: its class, or the nearest one of `oddgan.errors` above it, and its message."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: OddganError) -> "Failure":
        """What went wrong in a task."""
        return cls(next(kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__)), str(error))

    def error(self) -> OddganError:
        """The error again."""
        kind = getattr(errors, self.kind, EngineError)
        made: OddganError = kind.__new__(kind)
        OddganError.__init__(made, self.message)
        return made


@dataclass(frozen=True)
class Lost:
    """In place of the result of a task whose worker died, or that took too long, at every try."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Ray as the engine of `oddgan.compare` and `oddgan.papers.reproduce`, and of `--engine ray`.

    Parameters
    ----------
    workers : int, optional
        Tasks at a time; by default one for each `threads` processors, or for each GPU if tasks take one.
    address : str, optional
        "local" starts Ray on this machine and ends it; "auto" takes what runs here; "ray://HOST:10001" and "HOST:6379"
        are clusters. By default the variable RAY_ADDRESS, or "local". Where this process is connected already, that.
    threads : int
        Processor threads of a task.
    gpus : int, optional
        GPUs of a task, 0 or 1: Ray hides the others from it.
    seconds : float, optional
        The longest that a task may take; then it is ended and tried again. None: as long as it likes.
    tries : int
        How often a task is tried whose worker dies.
    start_seconds : float
        The longest to wait for a first worker.
    """

    workers: int | None = None
    address: str | None = None
    threads: int = 1
    gpus: int | None = None
    seconds: float | None = None
    tries: int = 3
    start_seconds: float = 180.0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("workers", self.workers, 1), ("threads", self.threads, 1), ("tries", self.tries, 1), ("gpus", self.gpus, 0)
        ):  # fmt: skip
            if value is not None and value < least:
                raise ParameterError(f"{name}={value}: must be at least {least}")

    def check(self) -> None:
        """Raise `MissingExtra` where Ray is not installed."""
        _library()

    @contextmanager
    def started(self, shared: Any) -> "Iterator[Pool]":
        """Workers, each of which is given a copy of `shared`; Ray, or what runs on it of this, ends with the block.

        Raises `MissingExtra`, and `EngineError` where there is no Ray at the address or no worker in time.
        """
        ray = _library()
        data = _pickled(ray, shared)
        own = not ray.is_initialized()
        handlers = _handlers()
        try:
            with redirect_stdout(cast(TextIO, _Output(sys.stdout))):
                try:
                    if own:
                        self._connect(ray, len(data))
                        _restore(handlers)
                    pool = Pool(self, ray, data)
                    try:
                        pool.wait_for_a_worker()
                        yield pool
                    finally:
                        pool.stop()
                finally:
                    if own:
                        ray.shutdown()
        finally:
            _restore(handlers)

    def _connect(self, ray: Any, size: int) -> None:
        import logging

        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        more: dict[str, Any] = {}
        if address == "local":
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            os.environ.setdefault("RAY_worker_niceness", "0")  # 15 by itself: beside other work little is left for it
            processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            most = min(processors, (self.workers or processors) * self.threads + 1)
            more = {"num_cpus": most, "include_dashboard": False}
            more["object_store_memory"] = STORE + RESULT * (self.workers or most) + 2 * size
        _check_reachable(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
        except (ConnectionError, TimeoutError, RuntimeError, ValueError, OSError) as error:
            said = " ".join(str(error).split())[:300]
            raise EngineError(f"--address {address}: Ray cannot be reached or started ({said})") from error


class Pool:
    """Workers of Ray that take tasks. `workers`: how many tasks run at a time."""

    def __init__(self, engine: Ray, ray: Any, data: bytes) -> None:
        self.engine, self.ray = engine, ray
        there = ray.cluster_resources()
        self._processors, gpus = float(there.get("CPU", 0)), int(there.get("GPU", 0))
        share = engine.gpus or 0
        if share and not gpus:
            raise EngineError(
                "a task takes a GPU as this machine has one, and Ray knows of none: give another --address"
            )
        enough = gpus // share if share else int(self._processors) // engine.threads
        self.workers = engine.workers or max(1, enough)
        # Half of what there is: a task that needs all processors may wait without end for what something else holds.
        part = min(engine.threads, int(50 * self._processors / self.workers) / 100)
        self._remote = ray.remote(_task).options(
            num_cpus=max(0.01, part), num_gpus=share, max_retries=0, scheduling_strategy="SPREAD"
        )
        self._data = ray.put(data)
        self._running: dict[Any, tuple[int, float]] = {}

    def _give(self, function: Callable[[Any, int], Any], i: int) -> Any:
        from . import __version__

        return self._remote.remote(__version__, os.getcwd(), function, i, self._data)

    def wait_for_a_worker(self) -> None:
        """Raises `EngineError` where none comes in time, or it cannot do what is asked of it."""
        limit = self.engine.start_seconds
        probe = self._give(_nothing, 0)
        self._running[probe] = (0, 0.0)
        done, _ = self._wait([probe], limit)
        if not done:
            free = self.ray.available_resources().get("CPU", 0)
            raise EngineError(
                f"Ray started no worker within {limit:g} s ({free:g} of {self._processors:g} processors are free): end "
                "what uses them, or give another --address"
            )
        del self._running[probe]
        found = self._result(probe)
        if isinstance(found, Lost):
            raise EngineError(f"Ray's workers cannot start: {found.reason}")

    def run(
        self,
        function: Callable[[Any, int], Any],
        titles: Sequence[str],
        *,
        began: Callable[[int], None] = lambda i: None,
        report: Callable[[str], None] = lambda message: None,
    ) -> Iterator[tuple[int, Any]]:
        """`function(shared, i)` for each of `titles`, in a worker: i and the result, or `Lost`, as they are done.

        `function` is to be that of a module; `began` is called before each first try, `report` with a message for each
        further one. Raises what a task raises.
        """
        waiting, tried = deque(range(len(titles))), [0] * len(titles)
        while waiting or self._running:
            while waiting and len(self._running) < self.workers:
                i = waiting.popleft()
                if not tried[i]:
                    began(i)
                tried[i] += 1
                self._running[self._give(function, i)] = (i, time.monotonic())
            ended = [(ref, self._running.pop(ref)[0], None) for ref in self._wait(list(self._running), POLL)[0]]
            for ref, i, reason in [*ended, *self._overdue()]:
                found = self._result(ref) if reason is None else Lost(reason)
                if isinstance(found, Lost) and tried[i] < self.engine.tries:
                    report(f"{titles[i]}: {found.reason}; tried again ({tried[i]} of {self.engine.tries - 1})")
                    waiting.appendleft(i)
                    continue
                yield i, found

    def _overdue(self) -> list[tuple[Any, int, str | None]]:
        """The tasks that take too long, which are ended."""
        limit = self.engine.seconds
        found: list[tuple[Any, int, str | None]] = []
        for ref, (i, since) in list(self._running.items()):
            if limit is not None and time.monotonic() - since > limit:
                self.ray.cancel(ref, force=True)
                del self._running[ref]
                found.append((ref, i, f"did not end within {limit:g} s"))
        return found

    def _wait(self, refs: list[Any], seconds: float) -> tuple[list[Any], list[Any]]:
        """Those that are done by then, and the others."""
        found: tuple[list[Any], list[Any]] = self.ray.wait(refs, num_returns=1, timeout=seconds)
        return found

    def _result(self, ref: Any) -> Any:
        """What a task that is done returned, or `Lost`. Raises what it raised."""
        known = self.ray.exceptions
        try:
            found = self.ray.get(ref, timeout=FETCH)
        except known.RayTaskError as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, MemoryError):
                return Lost("its worker ran out of memory")
            if isinstance(cause, known.RayError):  # before the task began
                said = next(iter(str(cause).splitlines()), "")[:200]
                raise EngineError(f"a worker cannot begin ({said}): install the same there as here") from error
            raise cause from error
        except known.OutOfMemoryError:
            return Lost("its worker ran out of memory")
        except known.RayError as error:
            said = " ".join(str(error).split()).partition(". ")[0][:200]
            return Lost(f"its worker died ({said or type(error).__name__})")
        if isinstance(found, Failure):
            raise found.error()
        return found

    def stop(self) -> None:
        """End what still runs."""
        for ref in self._running:
            with suppress(Exception):  # Ray may be gone itself
                self.ray.cancel(ref, force=True)
        self._running.clear()


class _Output:
    """Standard output of this thread. What Ray's own say there, that a worker died, goes to standard error."""

    def __init__(self, out: Any) -> None:
        self.out, self.thread = out, threading.get_ident()

    def write(self, text: str) -> int:
        return int((self.out if threading.get_ident() == self.thread else sys.stderr).write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.out, name)


def _task(version: str, folder: str, function: Callable[[Any, int], Any], i: int, shared: bytes) -> Any:
    """In a worker: what `function` returns, or the `Failure` that it raised."""
    from . import __version__

    if version != __version__:
        return Failure(
            "EngineError",
            f"the worker on {socket.gethostname()} has oddgan {__version__}, and this is {version}: install the same",
        )
    with suppress(OSError):  # not there on another machine: then paths are to be absolute
        os.chdir(folder)
    try:
        return function(pickle.loads(shared), i)
    except OddganError as error:
        return Failure.of(error)


def _nothing(shared: Any, i: int) -> None:
    del shared, i


def _library() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("ray", "ray", "the engine ray") from error
    return ray


def _check_reachable(address: str) -> None:
    """Raise `EngineError` where nothing listens at HOST:PORT, for which Ray itself waits many minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address)
    if found is not None:
        try:
            socket.create_connection((found[1], int(found[2])), timeout=CONNECT).close()
        except (OSError, OverflowError) as error:
            said = getattr(error, "strerror", None) or error
            raise EngineError(f"--address {address}: nothing answers there ({said}); is Ray running?") from error


def _pickled(ray: Any, shared: Any) -> bytes:
    try:
        data: bytes = ray.cloudpickle.dumps(shared)
    except (TypeError, AttributeError, ValueError, pickle.PicklingError) as error:
        raise DataError(f"this cannot be sent to other processes ({error}); leave the engine out") from error
    return data


def _handlers() -> dict[int, Any]:
    """Of signals, which Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    return {number: signal.getsignal(number) for number in numbers if number is not None}


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None:
            signal.signal(number, handler)
