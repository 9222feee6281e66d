"""Rows of several requests, scored together.

Each model has a queue and a thread that scores (with worker processes several). A request's rows wait there until one
is free, and `max_wait` at most for others to come; what is scored together is at most `max_batch` rows, or one request
that has more. If that fails, each request is tried alone, so that one bad row fails nobody else's.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..errors import OddganError
from .limits import Limits, Refusal, busy, late

log = logging.getLogger(__name__)

Compute = Callable[[Sequence[Any], bool, float], list[Any]]
"""From the rows of several requests, whether they are to be explained, and until when somebody waits for one of them
(`time.monotonic`), to the results of each."""


@dataclass(eq=False)
class Job:
    """The rows of a request: `n` of them, whether they are to be `explained`, and until when (`time.monotonic`)."""

    rows: Any
    n: int
    explained: bool
    until: float
    since: float = field(default_factory=time.monotonic)
    found: "Future[Any]" = field(default_factory=Future)


class Batcher:
    """The queue and the threads of one model. `size`: rows that are scored together at most; `threads`: batches that
    are scored at a time; `observe`: called with the rows of each batch and the seconds that they took."""

    def __init__(
        self,
        compute: Compute,
        size: int,
        limits: Limits,
        *,
        threads: int = 1,
        observe: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self.compute, self.size, self.limits = compute, size, limits
        self.threads, self.observe = threads, observe
        self.waiting: deque[Job] = deque()
        self.rows = 0  # in the queue
        self._changed = threading.Condition()
        self._closed = False
        self._running: list[threading.Thread] = []

    def submit(self, job: Job) -> "Future[Any]":
        """Have the rows scored. Raises `Refusal` where the queue is full, or the service is stopping."""
        if job.n > self.limits.queue:
            most = self.limits.queue
            raise Refusal(413, f"{job.n:,} rows in one request, and at most {most:,} are taken; send fewer", "large")
        with self._changed:
            if self._closed:
                raise busy("the service is stopping")
            if self.rows + job.n > self.limits.queue:
                raise busy(f"{self.rows:,} rows are waiting to be scored already")
            self._start()
            self.waiting.append(job)
            self.rows += job.n
            self._changed.notify_all()
        return job.found

    def withdraw(self, job: Job) -> bool:
        """Take rows that nobody waits for out of the queue; False where they are being scored, or are scored."""
        with self._changed:
            if job not in self.waiting:
                return False
            self.waiting.remove(job)
            self.rows -= job.n
        job.found.cancel()
        return True

    def close(self, timeout: float | None = None) -> None:
        """Take no more rows, and wait, at most so many seconds, until those that were taken are scored."""
        self.stop()
        end = None if timeout is None else time.monotonic() + timeout
        for thread in self._running:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))

    def stop(self) -> None:
        """Take no more rows."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _start(self) -> None:
        """Have the threads that are wanted, or as many of them as can be had."""
        while len(self._running) < self.threads:
            thread = threading.Thread(target=self._run, name="scoring", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                if not self._running:
                    raise busy("the system gives no thread to score in") from None
                return
            self._running.append(thread)

    def _run(self) -> None:
        while jobs := self._next():
            self._score(jobs)

    def _next(self) -> list[Job]:
        """The jobs that are scored next, all of one kind; none when there will be no more."""
        with self._changed:
            while True:
                while not self.waiting and not self._closed:
                    self._changed.wait()
                if not self.waiting:
                    return []
                first = self.waiting[0]
                end = first.since + self.limits.max_wait
                while not self._closed and self._fitting(first.explained) < self.size:
                    left = end - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                if jobs := self._taken(first.explained):
                    return jobs

    def _fitting(self, explained: bool) -> int:
        """How many rows of a kind there are."""
        return sum(job.n for job in self.waiting if job.explained == explained)

    def _taken(self, explained: bool) -> list[Job]:
        """Jobs of a kind from the queue, as many as are scored together; those that nobody waits for are dropped."""
        taken: list[Job] = []
        others: deque[Job] = deque()
        count, now = 0, time.monotonic()
        for job in self.waiting:
            full = taken and count + job.n > self.size
            if job.explained != explained or full:
                others.append(job)
                count += self.size * bool(full)  # what comes later does not overtake
                continue
            self.rows -= job.n
            if not job.found.set_running_or_notify_cancel():
                continue
            if job.until < now:
                job.found.set_exception(late(self.limits))
                continue
            taken.append(job)
            count += job.n
        self.waiting = others
        return taken

    def _score(self, jobs: list[Job]) -> None:
        start = time.perf_counter()
        try:
            until = max(job.until for job in jobs)
            results = self.compute([job.rows for job in jobs], jobs[0].explained, until)
        except Exception as error:  # whatever it is, requests get an answer and the thread stays
            if len(jobs) > 1:
                for job in jobs:
                    if job.until < time.monotonic():
                        job.found.set_exception(late(self.limits))
                    else:
                        self._score([job])
                return
            if not isinstance(error, OddganError | Refusal):
                log.exception("scoring failed")
            jobs[0].found.set_exception(error)
            return
        self.observe(sum(job.n for job in jobs), time.perf_counter() - start)
        for job, result in zip(jobs, results, strict=True):
            job.found.set_result(result)
