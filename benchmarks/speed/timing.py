"""Two ways of doing the same work, timed in turn, so that other load on the machine affects both."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratios:
    """Seconds by round of both ways, `ours` and `theirs`, and `ratios`: theirs / ours, above 1 where ours is faster."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        return [b / a for a, b in zip(self.ours, self.theirs, strict=True)]

    def entry(self, per: float = 1.0) -> dict:
        """The part of a work's result that is timed, with seconds divided by `per` (how many units a round does)."""
        return {
            "ratios": self.ratios,
            "ours": [seconds / per for seconds in self.ours],
            "theirs": [seconds / per for seconds in self.theirs],
        }


def interleaved(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    rounds: int,
    warm: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Ratios:
    """Call both `rounds` times in turn, after `warm` calls of each that are not counted.

    The order is swapped from round to round: whichever comes second finds warmer caches and a hotter processor. The
    garbage collector is off while a call is timed, and runs between the calls. `clock` gives seconds.
    """
    for _ in range(warm):
        ours()
        theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for n in range(rounds):
        pair = [(ours, seconds[0]), (theirs, seconds[1])]
        for call, spent in pair if n % 2 == 0 else reversed(pair):
            spent.append(timed(call, clock))
    return Ratios(*seconds)


def timed(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call, without the garbage collector."""
    with no_collector():
        started = clock()
        call()
        return clock() - started


@contextmanager
def no_collector() -> Iterator[None]:
    """Runs the garbage collector now, and keeps it off within the block."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and most."""
    return median(values), min(values), max(values)


def reached(entry: dict) -> str:
    """Whether the median ratio of a result reached what is required."""
    if entry.get("reach") is None:
        return ""
    return "yes" if median(entry["ratios"]) >= entry["reach"] else "**no**"


def shown(values: Sequence[float], digits: int = 3) -> str:
    """The spread as text: 2.51 [2.40, 2.63]."""
    middle, least, most = (f"{value:.{digits}g}" for value in spread(values))
    return f"{middle} [{least}, {most}]"
