"""Speed of oddgan beside its peers': works, and how they are timed. `benchmarks.pages.speed` shows the results.

A work is a function `work(plan: Plan) -> dict`; each module of `speed.works` has some, by name, in `WORKS`. What it
returns is JSON-able:

    what        one line: the work
    against     one line: what it is compared with; None where there is no peer
    ratios      theirs / ours by round: above 1, oddgan is faster
    reach, aim  the ratio required, and the one aimed for; None where there is none
    ours        by round, in `unit`; so is `theirs`
    unit        "seconds an update", say
    bound       "at least" where the ratios are lower bounds, since the peer was stopped; else absent
    roofline    {"gflop": of one unit, "ours_share": ..., "theirs_share": ...} or absent
    accuracy    what the faster way changes: rank correlation, AUROC of both, verdicts that change; or absent
    facts       what else is needed to interpret the figures: rows, seeds, settings

`python -m benchmarks.speed` runs them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Skip(Exception):
    """A work cannot run here; its message is one line that says what to set or to install."""


@dataclass(frozen=True)
class Plan:
    """How a work is to be run.

    `rounds`: in each of which both sides are timed once. `threads`: torch's, in this process and in those that the
    work starts. `folder`: for scratch files; it exists, is empty at first and is removed afterwards. `keep`: a folder
    that stays from run to run, for what is expensive to make (environments). `quick`: everything as short as possible,
    to check that the work runs; its figures mean nothing.
    """

    rounds: int
    threads: int
    folder: Path
    keep: Path
    quick: bool = False


Work = Callable[[Plan], dict[str, Any]]
