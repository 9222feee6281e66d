"""Warnings about what may mislead, which a program can act on, and which a model keeps.

    OddganWarning (UserWarning)                   in `oddgan.errors`; has a `code`
    ├── DataWarning (DataConversionWarning)       data that was read or converted otherwise than one may expect
    ├── CalibrationWarning                        a threshold that promises less than was asked, or may not hold
    ├── DriftWarning                              new rows that do not look like the training rows
    └── TrainingWarning (ConvergenceWarning)      networks that may not have learned what they should

    warnings.filterwarnings("error", category=oddgan.cautions.CalibrationWarning)      # refuse such models

Those of a fit are kept as ``detector.training_["warnings"]``, in the model file, and in reports.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .errors import OddganWarning

try:
    from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
except ModuleNotFoundError:  # oddgan-runtime comes without it, and nobody filters by its classes there
    ConvergenceWarning = DataConversionWarning = UserWarning

__all__ = ["CalibrationWarning", "DataWarning", "DriftWarning", "OddganWarning", "TrainingWarning", "kept", "warn"]

PACKAGE = str(Path(__file__).parent)

Kept = list[dict[str, str]]
"""Warnings as a model file has them: class, code and message of each."""

_kept: ContextVar[Kept | None] = ContextVar("kept", default=None)


class DataWarning(OddganWarning, DataConversionWarning):  # type: ignore[misc]  # scikit-learn is not typed
    """Data was read or converted otherwise than one may expect."""


class CalibrationWarning(OddganWarning):
    """The threshold promises less than was asked, or may not hold."""


class DriftWarning(OddganWarning):
    """New rows do not look like the training rows, so a verdict on them says less than it seems to."""


class TrainingWarning(OddganWarning, ConvergenceWarning):  # type: ignore[misc]
    """The networks may not have learned what they should."""


def warn(kind: type[OddganWarning], code: str, message: str) -> None:
    """Give a warning of this kind, at the line outside this package that led to it; `kept` collects it too."""
    found = _kept.get()
    entry = {"kind": kind.__name__, "code": code, "message": message}
    if found is not None:
        if entry in found:
            return
        found.append(entry)
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(kind(message, code), stacklevel=level)


@contextmanager
def kept() -> Iterator[Kept]:
    """Collect what is warned of in this block, each thing once."""
    found: Kept = []
    token = _kept.set(found)
    try:
        yield found
    finally:
        _kept.reset(token)
