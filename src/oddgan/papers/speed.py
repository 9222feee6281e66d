"""What scoring costs with a source's networks: milliseconds per batch, which do not depend on the weights."""

import time
from statistics import median
from typing import Any

from ..data import labelled
from ..detector import Detector
from .protocols import one_hot

BATCH = 64
ROUNDS = 3  # after one that is not counted
SECONDS = 20.0  # a first round that takes longer is the only one, and counts
TRAINED_ON = 200


def measure(detector: Detector, data: str) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Milliseconds to score a batch of 64 rows of `data`, after a training of one update; and facts."""
    held = labelled(data)
    rows = held.rows[:TRAINED_ON]
    if not hasattr(rows, "dtype"):
        rows = one_hot(rows)
    detector.set_params(updates=1, block_size=BATCH)
    detector.fit(rows, tune=rows[:2], calibrate=rows[:2])
    spent: list[float] = []
    while not spent or (len(spent) < 1 + ROUNDS and spent[0] < SECONDS):
        started = time.perf_counter()
        detector.anomaly_score(rows[:BATCH])
        spent.append(1e3 * (time.perf_counter() - started))
    counted = spent[1:] or spent
    facts = {"batch": BATCH, "rounds": len(counted), "least": min(counted), "most": max(counted)}
    return {"score milliseconds_a_batch": median(counted)}, facts
