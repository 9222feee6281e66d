"""Loss terms that explode: finite still, and orders of magnitude larger than they were."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .history import Recorder

EXPLODED = 1e4  # times the largest size that a term had up to the last good state
GOOD = 1e2  # times that size, up to which a state is one to go back to
GROWN = 1e3  # times its first size: that largest one is not taken to be more
CHECKS = 5  # in a row that find a term beyond, until it is said to have exploded


@dataclass
class Explosions:
    """Looks at the losses of one stage.

    A term's size is the absolute value of its mean since the last line of history. To be too large it must be so for
    most rows of the last batch as well, since a single row of a table may be anything.

    Attributes
    ----------
    first, largest, recent : dict of str to float
        By term: the size before the first move, and 1 at least; the largest up to the last good state; the largest
        since.
    streak : int
        Checks in a row, up to the last one, that found a term exploded.
    good : bool
        Whether the last check found no term much larger than it was.
    """

    first: dict[str, float] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)
    recent: dict[str, float] = field(default_factory=dict)
    streak: int = 0
    good: bool = False

    def begin(self, means: Mapping[str, float]) -> None:
        """The means of the terms before the first move."""
        self.first = {name: max(1.0, abs(mean)) for name, mean in means.items() if math.isfinite(mean)}
        self.largest = dict(self.first)

    def check(self, recorder: Recorder, update: int) -> None:
        """Look again. Raises `Diverged` for a term that has exploded, or is not finite."""
        recorder.check_finite(update)
        means = recorder.means()
        for name, mean in means.items():
            self.first.setdefault(name, max(1.0, abs(mean)))
            self.largest.setdefault(name, self.first[name])
            self.recent[name] = max(abs(mean), self.recent.get(name, 0.0))
        self.good = not self._beyond(GOOD, means, recorder)
        exploded = [] if self.good else self._beyond(EXPLODED, means, recorder)
        self.streak = self.streak + 1 if exploded else 0
        if self.streak >= CHECKS:
            name = max(exploded, key=lambda name: abs(means[name]) / self.largest[name])
            raise recorder.diverged(update, name, means[name])

    def passed(self) -> None:
        """The state is a good one: the sizes up to here are usual."""
        for name, size in self.recent.items():
            self.largest[name] = min(max(self.largest[name], size), GROWN * self.first[name])
        self.recent = {}

    def _beyond(self, times: float, means: Mapping[str, float], recorder: Recorder) -> list[str]:
        bars = {name: times * self.largest[name] for name in means}
        large = [name for name, mean in means.items() if abs(mean) > bars[name]]
        return [name for name in large if recorder.size(name) > bars[name]]

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a `state`. Raises any error where it is none."""
        for part in ("first", "largest", "recent"):
            setattr(self, part, {str(name): float(size) for name, size in saved[part].items()})
        self.streak, self.good = int(saved["streak"]), bool(saved["good"])
