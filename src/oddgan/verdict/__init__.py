"""From score terms to a verdict, in NumPy alone: no torch and no scikit-learn.

`combination`: terms to one score. `reference`: training rows that new rows are compared to. `calibration`: scores of
held-out normals to a threshold and p-values.
"""

from .calibration import Calibration, check_rate
from .combination import ALONE, Combination
from .reference import Embedding, Reference, check_neighbours

__all__ = ["ALONE", "Calibration", "Combination", "Embedding", "Reference", "check_neighbours", "check_rate"]
