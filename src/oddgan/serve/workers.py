"""Scoring in processes of their own. One that dies, killed or crashed by what it was given, takes no request with it:
its rows are scored by another, and a new process takes its place.

Each process opens the models by itself. Rows go there and results come back through a pipe; when the service ends,
however it does, the pipes close, and the processes with them.
"""

import logging
import multiprocessing
import queue
import signal
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

    def receive(self, seconds: float) -> Any:
        """What it sends. Raises `Lost`, after which it is ended."""
        try:
            if self.pipe.poll(seconds):
                return self.pipe.recv()
            reason = f"has not answered for {seconds:g} seconds"
        except (EOFError, OSError):
            reason = "died"
        self.end()
        raise Lost(f"process {self.process.pid} {reason}")

    def ask(self, task: Any, seconds: float) -> Any:
        """What it answers. Raises `Lost`."""
        try:
            self.pipe.send(task)
        except OSError:
            self.end()
            raise Lost(f"process {self.process.pid} died") from None
        return self.receive(seconds)

    def end(self) -> None:
        """End it."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


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
        started = [self._begun() for _ in range(count)]
        try:
            for worker in started:
                worker.receive(STARTING)
                self._free.put(worker)
        except Lost as problem:
            self.close()
            raise ParameterError(f"workers={count}: {problem} as it opened the models; its message says why") from None

    def compute(self, number: int, several: Sequence[Any], explained: bool) -> list[Results]:
        """The results of rows of several requests by the model of this number, as `Served.compute` has them. Raises
        `Lost` where they end one process after the other, or none can be started."""
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
                worker = None
                self.replaced()
                log.warning("%s; another one takes its place", problem)
                tried, started = tried + asked, started + (not asked)
                if tried == TRIES or started == STARTS:
                    raise
                continue
            finally:
                self._free.put(worker)
            if error is not None:
                raise error
            return list(found)

    def close(self) -> None:
        """End the processes, none of which is scoring."""
        while not self._free.empty():
            worker = self._free.get()
            if worker is not None:
                worker.end()

    def _begun(self) -> _Worker:
        return _Worker(self.models, self.how)


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
