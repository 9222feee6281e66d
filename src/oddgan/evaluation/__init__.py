"""How a fitted detector does on rows it has never seen: figures with intervals, by kind, and examples.

The test rows are read in chunks and every figure comes from one pass. Nothing of the detector changes here:
its threshold was set on normals held out of training, before any test row was seen.
"""

from .comparison import Comparison, Contender, Spread, compare
from .results import Evaluation, Example, Kind
from .run import evaluate

__all__ = ["Comparison", "Contender", "Evaluation", "Example", "Kind", "Spread", "compare", "evaluate"]
