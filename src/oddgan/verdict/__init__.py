"""From score terms to a verdict, in NumPy alone: no torch and no scikit-learn.

`combination`: terms to one score. `reference`: training rows that new rows are compared to. `calibration`: scores of
held-out normals to a threshold and p-values. `maps`: anomaly maps in units of what is usual.
"""

from .calibration import Calibration, check_rate
from .combination import ALONE, Combination, Kept
from .guarantee import Guarantee
from .known_defects import KnownDefects
from .maps import MAP_TERMS, MapScale
from .reference import Embedding, Reference, check_neighbours
from .views import Views

__all__ = [
    "ALONE",
    "MAP_TERMS",
    "Calibration",
    "Combination",
    "Embedding",
    "Guarantee",
    "Kept",
    "KnownDefects",
    "MapScale",
    "Reference",
    "Views",
    "check_neighbours",
    "check_rate",
]
