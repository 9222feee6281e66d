"""Pages of docs/, written from committed results: `python -m benchmarks.pages.NAME`. Nothing is measured here."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..studies import SEEDS

DOCS = Path(__file__).resolve().parents[2] / "docs"
RESULTS = DOCS / "results"


def spread(values: Iterable[float | None], digits: int = 3) -> str:
    """Mean and deviation of the values that there are, over seeds, and their number in brackets where it is not
    that of `SEEDS`; empty where there is none."""
    some = [value for value in values if value is not None]
    if not some:
        return ""
    shown = f"{np.mean(some):.{digits}f}"
    if len(some) > 1 and np.std(some) >= 0.5 * 10**-digits:
        shown += f" ± {np.std(some, ddof=1):.{digits}f}"
    return shown if len(some) == len(SEEDS) else f"{shown} ({len(some)})"
