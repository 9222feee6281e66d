"""What a graph itself says of rows, as a program in another language gets it, and how that compares."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..preprocessing import Preprocessor
from ..rows import Rows
from ..runtime import intake
from ..runtime.engines import Engine
from ..runtime.pruning import VERDICT

TOGETHER = 8  # rows: neighbours and patches are all held at once
SCORE, P_VALUE, IS_ANOMALY, ANOMALY_MAP = VERDICT


@dataclass(frozen=True, eq=False)
class Judge:
    """A graph with the verdict, ready to run, and how rows reach it."""

    engine: Engine
    preprocessor: Preprocessor

    def found(self, rows: Rows, names: tuple[str, ...] = VERDICT[:3]) -> dict[str, np.ndarray]:
        """Those outputs of the rows, (n,) each."""
        blocks = intake.blocks(self.preprocessor, rows, TOGETHER)
        every = [self.engine.run(np.asarray(block.x), names) for block in blocks]
        return {name: np.concatenate([one[name] for one in every]) for name in names}

    @property
    def has_map(self) -> bool:
        """Whether it gives maps."""
        return ANOMALY_MAP in self.engine.outputs

    def maps(self, rows: Rows) -> list[np.ndarray]:
        """The anomaly map (H, W) of each row."""
        blocks = intake.blocks(self.preprocessor, rows, TOGETHER)
        return [one for block in blocks for one in self.engine.run(np.asarray(block.x), [ANOMALY_MAP])[ANOMALY_MAP]]


def between(
    found: dict[str, np.ndarray], scores: np.ndarray, p_values: np.ndarray, threshold: float, tolerance: float
) -> dict[str, Any]:
    """How the graph's outputs compare with scores (n,), p-values (n,) and a threshold. Differences of scores are
    relative to the largest; a verdict differs beyond the tolerance where the score is farther than that from the
    threshold."""
    ours, finite = found[SCORE].astype(np.float64), np.isfinite(scores)
    scale = float(np.abs(scores[finite]).max(initial=0.0)) or 1.0
    agree = finite & np.isfinite(ours)
    differ = np.where(agree, np.abs(np.where(agree, ours - scores, 0.0)), np.where(ours == scores, 0.0, np.inf))
    largest = float(differ.max()) / scale
    verdicts = found[IS_ANOMALY].astype(bool) != (scores > threshold)
    return {
        "score": largest if np.isfinite(largest) else None,
        "p_value": float(np.abs(found[P_VALUE].astype(np.float64) - p_values).max()),
        "verdicts_differ": int(verdicts.sum()),
        "verdicts_differ_beyond_tolerance": int((verdicts & (np.abs(scores - threshold) > tolerance * scale)).sum()),
    }


def failures_of(facts: dict[str, Any], tolerance: float, map_tolerance: float) -> list[str]:
    """Why the graph's verdict is not to be used, in words, by how it compares with a `Scorer`."""
    one, maps, failures = facts["scorer"], facts["map"], []
    if one["score"] is None or one["score"] > tolerance:
        failures.append(f"its scores differ by {one['score'] or np.inf:.1e} of the largest")
    if n := one["verdicts_differ_beyond_tolerance"]:
        failures.append(f"{n:,} of its verdicts differ")
    if maps is not None and maps > map_tolerance:
        failures.append(f"its maps differ by {maps:.1e} of the largest")
    return failures
