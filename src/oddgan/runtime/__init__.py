"""Exported models: they score with NumPy, Pillow, and ONNX Runtime or OpenVINO. Neither torch nor scikit-learn nor
SciPy is imported.

    from oddgan.runtime import Scorer
    scorer = Scorer("bottle-onnx")          # what `oddgan export` wrote
    scorer.predict(["new.png"])             # +1 normal, -1 anomaly
    scorer.explain(["new.png"]).regions(0)  # where

The verdict (`oddgan.verdict`) and the reading of rows (`oddgan.rows`) are the library's own code; the threshold was set
by scores of the runtime itself.
"""

from .bundle import is_export
from .scorer import Scorer

__all__ = ["Scorer", "is_export"]
