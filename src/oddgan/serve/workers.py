"""Scoring in processes of their own. One that dies, killed or crashed by what it was given, takes no request with it:
its rows are scored by another, and a new process takes its place.

Each process opens the models by itself. Rows go there and results come back through a pipe; when the service ends,
however it does, the pipes close, and the processes with them.
"""

import logging
import math
import multiprocessing.util
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DataError, OddganError, ParameterError
from .models import Models, Results, opened

log = logging.getLogger(__name__)

TRIES = 2  # of rows whose process dies: then it is they that kill it
STARTS = 5  # processes in a row that die before they have taken the rows: then none can be had
STARTING = 120.0  # seconds that a process has to open the models


class Lost(Exception):
    """A process died, or does not answer."""


class _Worker:
    """One process. Raises `Lost` where it does not get ready."""

    def __init__(self, models: Sequence[str], how: Mapping[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, models, dict(how)), name="scoring", daemon=True)
        self.process.start()
        theirs.close()
        self._silent = False

    def receive(self, seconds: float) -> Any:
        """What it sends. Raises `Lost`, after which it is ended."""
        try:
            if self.pipe.poll(seconds):
                return self.pipe.recv()
            self._silent = True
        except (EOFError, OSError):
            pass
        raise self._lost(seconds)

    def ask(self, task: Any, seconds: float) -> Any:
        """What it answers. Raises `Lost`, after which it is ended."""
        # One that is stopped takes and gives no bytes: a bound on the wait for the first byte alone would not do.
        timer = threading.Timer(seconds, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            self.pipe.send(task)
            return self.pipe.recv()
        except (EOFError, OSError):
            raise self._lost(seconds) from None
        finally:
            timer.cancel()

    def kill(self) -> None:
        """Have it end, while another thread may wait for its answer: that is `Lost`."""
        self.process.kill()

    def end(self) -> None:
        """End it."""
        self.pipe.close()
        self.process.kill()
        self.process.join()

    def _give_up(self) -> None:
        self._silent = True
        self.process.kill()

    def _lost(self, seconds: float) -> Lost:
        self.end()
        reason = f"has not answered for {seconds:g} seconds" if self._silent else "died"
        return Lost(f"process {self.process.pid} {reason}")


class Workers:
    """`count` processes that score. `models` and `how`: as `opened` takes them; `seconds`: that a batch may take;
    `replaced`: called whenever a process is replaced. Raises `ParameterError` for models that are no paths, and where
    the processes do not start."""

    def __init__(
        self,
        models: Iterable[str | Path] | Mapping[str, Any],
        how: Mapping[str, Any],
        count: int,
        *,
        seconds: float,
        replaced: Callable[[], None] = lambda: None,
    ) -> None:
        pairs = [(f"{name}=", path) for name, path in models.items()] if isinstance(models, Mapping) else [
            ("", path) for path in models
        ]  # fmt: skip
        if not all(isinstance(path, str | Path) for _, path in pairs):
            raise ParameterError(f"workers={count}: processes open models by themselves; give paths, not models")
        self.models, self.how = [f"{name}{path}" for name, path in pairs], how
        self.count, self.seconds, self.replaced = count, seconds, replaced
        self._free: queue.LifoQueue[_Worker | None] = queue.LifoQueue()  # None: one that is to be started
        self._live: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        # At the exit of this process multiprocessing asks processes to end, which they ignore, and waits without end.
        self._at_exit = multiprocessing.util.Finalize(None, self.close, exitpriority=0)
        try:
            for worker in [self._begun() for _ in range(count)]:
                worker.receive(STARTING)
                self._free.put(worker)
        except Lost as problem:
            self.close()
            raise ParameterError(f"workers={count}: {problem} as it opened the models; its message says why") from None
        except BaseException:
            self.close()
            raise

    def compute(self, number: int, several: Sequence[Any], explained: bool, until: float = math.inf) -> list[Results]:
        """The results of rows of several requests by the model of this number, as `Served.compute` has them; after
        `until` (`time.monotonic`) nobody waits for them. Raises `Lost` where they end one process after the other, none
        can be started, or nobody waits any more."""
        tried = started = 0
        while True:
            worker, asked = self._free.get(), False
            try:
                if worker is None:
                    worker = self._begun()
                    worker.receive(STARTING)
                asked = True
                found, error = worker.ask((number, several, explained), self.seconds)
            except Lost as problem:
                self._forget(worker)
                worker = None
                if self._closed:
                    raise
                self.replaced()
                log.warning("%s; another one takes its place", problem)
                tried, started = tried + asked, started + (not asked)
                if tried == TRIES or started == STARTS or time.monotonic() > until:
                    raise
                continue
            except BaseException:  # what it may still send belongs to no other rows
                if worker is not None:
                    worker.end()
                self._forget(worker)
                worker = None
                raise
            finally:
                self._free.put(worker)
            if error is not None:
                raise error
            return list(found)

    def close(self) -> None:
        """End the processes, whatever they do, and start no more."""
        with self._lock:
            self._closed = True
            live, self._live = self._live, set()
        for worker in live:
            worker.kill()
        for _ in range(self.count):
            try:
                worker_or_none = self._free.get_nowait()
            except queue.Empty:  # the others score, or did: the threads that wait for them see that they have ended
                break
            if worker_or_none is not None:
                worker_or_none.end()
        for _ in range(self.count):  # whoever still waits for a process is to learn that there is none
            self._free.put(None)
        self._at_exit.cancel()

    def _begun(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise Lost("the service has stopped")
            worker = _Worker(self.models, self.how)
            self._live.add(worker)
            return worker

    def _forget(self, worker: _Worker | None) -> None:
        with self._lock:
            if worker is not None:
                self._live.discard(worker)


def _work(pipe: Any, models: Sequence[str], how: Mapping[str, Any]) -> None:
    """What a process does: open the models, say so, and score what comes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # which go to all processes of a service: the first of them decides
    served = list(Models(opened(models, **how)))
    try:
        pipe.send("ready")
        while True:
            number, several, explained = pipe.recv()
            pipe.send(_answer(served[number].compute, several, explained))
    except (EOFError, OSError):
        return


def _answer(compute: Callable[..., list[Results]], several: Any, explained: bool) -> tuple[Any, Exception | None]:
    try:
        found = compute(several, explained)
    except OddganError as error:
        return None, DataError(str(error))
    except Exception as error:
        log.exception("scoring failed")
        return None, RuntimeError(f"{type(error).__name__}: {error}")
    about = found[0].explanation
    if about is not None:  # without what no answer holds
        about = replace(about, reconstruction=None, terms={})
        found = [replace(one, explanation=about) for one in found]
    return found, None
