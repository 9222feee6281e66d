"""From rows to results, for all requests: queues by model, threads that decode, memory that is held."""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import OddganError
from .batching import Batcher, Compute, Job
from .limits import Account, Limits, Memory, Refusal, in_time, late
from .metrics import Metrics
from .models import Models, Results, Served

if TYPE_CHECKING:
    from .workers import Workers

T = TypeVar("T")


class Scoring:
    """What scores the rows of all requests."""

    def __init__(self, models: Models, limits: Limits, workers: "Workers | None" = None) -> None:
        self.models, self.limits, self.workers = models, limits, workers
        self.memory = Memory(limits.memory)
        self.batchers: dict[Served, Batcher] = {}
        self.metrics = Metrics(models, self.batchers, self.memory, limits.window)
        if workers is not None:
            workers.replaced = self.metrics.replaced.inc
        for number, model in enumerate(models):
            self.batchers[model] = Batcher(
                _here(model) if workers is None else partial(workers.compute, number),
                limits.max_batch or max(1, int(model.scorer.block_size)),
                limits,
                threads=1 if workers is None else workers.count,
                observe=partial(self.metrics.add_batch, model),
            )
        self._pool = ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 1), "decoding")

    async def aside(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` returns, computed in a thread, so that other requests go on."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def score(self, model: Served, rows: Any, *, explained: bool, until: float, account: Account) -> Results:
        """The results of rows that the model takes, whose memory is `account`. Raises `Refusal`: 503 where the queue is
        full, 504 where they were not scored in time, 400 where they cannot be scored."""
        in_time(self.limits, until)
        job, batcher = Job(rows, len(rows), explained, until), self.batchers[model]
        waiting = asyncio.wrap_future(batcher.submit(job))
        try:
            await asyncio.wait([waiting], timeout=max(0.001, until - time.monotonic()))
        finally:
            if not waiting.done():
                if not batcher.withdraw(job):
                    account.keep(job.found)  # they are held until they are scored
                waiting.cancel()
        if waiting.cancelled():
            raise late(self.limits)
        try:
            results: Results = waiting.result()
        except OddganError as error:
            raise Refusal(400, str(error)) from error
        self.metrics.add(model, results)
        return results

    def close(self, seconds: float | None = None) -> None:
        """Take no more rows, and wait for those that were taken; for all models together `seconds` at most, the bound
        on a request unless it is given."""
        end = time.monotonic() + (self.limits.timeout if seconds is None else seconds)
        for batcher in self.batchers.values():
            batcher.stop()
        for batcher in self.batchers.values():
            batcher.close(max(0.0, end - time.monotonic()))
        if self.workers is not None:
            self.workers.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _here(model: Served) -> Compute:
    """Scoring in this process, which cannot be broken off."""
    return lambda several, explained, until: model.compute(several, explained)
