"""How much work is lost when scoring is cut into shards and machines fail: benchmarks/results/shard_failures.jsonl.

    python -m benchmarks.studies.shard_failures     # a minute; nothing is scored, time is simulated

A worker takes the next shard, loads the model, scores, and writes the shard's file at its end, whole or not at all, as
`oddgan score --shard` does. It fails at random moments, `hours_between_failures` on average; then the shard goes back
to the end of the queue and is scored from its beginning by whoever is free, and the worker is away while it restarts.

Expected seconds of attempts for a shard of s seconds at a failure rate r: (exp(r s) - 1) / r, of which all but s is
lost. With a start of c seconds for each shard, loss and starts together are least near s = sqrt(2 c / r) (Young 1974,
for checkpoints): the column `young` is the number of shards that this comes to.
"""

import heapq
import json
import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).resolve().parents[1] / "results" / "shard_failures.jsonl"
HOUR = 3600.0
WORK = 16 * HOUR  # seconds of scoring for one worker, the same for any number of them
START, RESTART = 5.0, 120.0  # seconds: to load a model; to have a failed worker back
WORKERS = (1, 8, 64)
SHARDS = (1, 4, 16, 64, 256)  # for each worker
BETWEEN = (math.inf, 1000.0, 100.0, 10.0, 1.0)  # hours between failures of a worker
DRAWS = 20


@dataclass(frozen=True)
class Outcome:
    """Of one simulated run: seconds until the last shard is written, seconds of work that failures threw away (model
    loads included), and how many attempts failed."""

    seconds: float
    lost: float
    failures: int


def simulated(
    workers: int, shards: int, seconds: float, between: float, random: np.random.Generator, restart: float = RESTART
) -> Outcome:
    """One run of `shards` shards of `seconds` each (start included) on so many workers, which fail after exponential
    times of mean `between` seconds, at work only."""
    waiting, free = deque(range(shards)), [(0.0, worker) for worker in range(workers)]
    lost, failures, done = 0.0, 0, 0.0
    running: list[tuple[float, int, int, bool]] = []  # (ends at, shard, worker, whether it fails)
    while waiting or running:
        while waiting and free and (not running or free[0][0] <= running[0][0]):
            now, worker = heapq.heappop(free)
            until = random.exponential(between) if math.isfinite(between) else math.inf
            fails = until < seconds
            heapq.heappush(running, (now + min(until, seconds), waiting.popleft(), worker, fails))
            if fails:
                lost, failures = lost + until, failures + 1
        ends, shard, worker, fails = heapq.heappop(running)
        if fails:
            waiting.append(shard)
            heapq.heappush(free, (ends + restart, worker))
        else:
            done = max(done, ends)
            heapq.heappush(free, (ends, worker))
    return Outcome(done, lost, failures)


def expected_loss(seconds: float, between: float) -> float:
    """Expected seconds of failed attempts for a shard of so many seconds."""
    return between * math.expm1(seconds / between) - seconds if math.isfinite(between) else 0.0


def main() -> None:
    """Simulate every combination and write them all."""
    lines = []
    for workers in WORKERS:
        for each in SHARDS:
            shards, seconds = workers * each, WORK / each + START
            for hours in BETWEEN:
                if seconds > 5 * hours * HOUR:  # a shard that fails 149 times of 150 never ends in practice
                    continue
                random = np.random.default_rng(0)
                runs = [simulated(workers, shards, seconds, hours * HOUR, random) for _ in range(DRAWS)]
                total = workers * WORK
                young = WORK / math.sqrt(2 * START * hours * HOUR) if math.isfinite(hours) else None
                lines.append(
                    {
                        "workers": workers,
                        "shards_a_worker": each,
                        "minutes_a_shard": seconds / 60,
                        "hours_between_failures": hours if math.isfinite(hours) else None,
                        "lost": float(np.mean([run.lost for run in runs])) / total,
                        "lost_sd": float(np.std([run.lost for run in runs])) / total,
                        "lost_expected": shards * expected_loss(seconds, hours * HOUR) / total,
                        "starts": shards * START / total,
                        "time": float(np.mean([run.seconds for run in runs])) / WORK,
                        "time_sd": float(np.std([run.seconds for run in runs])) / WORK,
                        "failures": float(np.mean([run.failures for run in runs])),
                        "young": young,
                    }
                )
                print(f"{workers} workers, {each} shards each, {hours:g} h: {lines[-1]['lost']:.3f} lost")
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


if __name__ == "__main__":
    main()
