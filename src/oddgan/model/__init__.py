"""A fitted model, as a value: how it is made, scores, explains, and is kept in a file.

`fitting`: from rows to a `Model`. `terms`: the half of scoring that torch computes; the other half is in
`oddgan.verdict`. `artifact`: a model as a file. Importing this package imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .explanation import Explanation
    from .judge import Judge
    from .model import Model

_HOMES = {"Explanation": "explanation", "Judge": "judge", "Model": "model"}

__all__ = ["Explanation", "Judge", "Model"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
