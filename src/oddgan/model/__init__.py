"""A fitted model, as a value: how it is made, scores, explains, and is kept in a file.

`fitting`: from rows to a `Model`. `terms`: the half of scoring that torch computes; the other half is in
`oddgan.verdict`. `artifact`: a model as a file.
"""

from .explanation import Explanation
from .judge import Judge
from .model import Model

__all__ = ["Explanation", "Judge", "Model"]
