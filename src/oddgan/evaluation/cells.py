"""What a cell is: one detector, trained with one seed and judged on test rows; and what its figures depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..rows import open_rows

if TYPE_CHECKING:
    from ..detector import Detector

CHUNK_BYTES = 2**24
# Parameters that the first committed results do not name.
ADDED_LATER = {"roi", "map_blur", "exposure", "augment", "early_stopping"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One detector, trained with one seed and judged on the test rows.

    `key` identifies everything that the figures depend on. `figures` by name (`oddgan.evaluation.figures.FIGURES`);
    None is a figure that does not exist for these rows. `error`: why the detector could not be trained on these rows;
    there are no figures then. `facts`: what else is known about the run.
    """

    key: str
    data: str
    detector: str
    parameters: Mapping[str, Any]
    seed: int
    figures: Mapping[str, float | None]
    error: str | None
    facts: Mapping[str, Any]


def key_of(**parts: Any) -> str:
    """A key for these JSON-able values: equal values, equal key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def parameters_of(detector: Detector) -> dict[str, Any]:
    """The detector's parameters, JSON-able. Those of `ADDED_LATER` are left out at their defaults, so that results
    from before there were any are still those of the same settings."""
    from ..parameters import declared, plain

    known = declared(type(detector))
    values = detector.get_params(deep=False).items()
    return {name: plain(value) for name, value in values if name not in ADDED_LATER or value != known[name].default}


def versions() -> dict[str, str]:
    """The versions that figures depend on, of oddgan, torch, numpy and scikit-learn, in this order."""
    import sklearn
    import torch

    from .. import __version__

    return {
        "oddgan": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def fingerprint(*parts: Any) -> str:
    """A hash of the content of these arrays, tables, pictures and masks; for files, of their bytes.

    Everything is read once, and nothing is kept in memory.
    """
    digest = hashlib.blake2b(digest_size=16)
    for number, part in enumerate(parts):
        digest.update(b"part %d" % number)
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.hexdigest()


def _pieces(part: Any) -> Iterator[bytes]:
    from ..data.masks import Masks

    if part is None:
        return
    if isinstance(part, Masks):
        for path in part.files:
            yield b"" if path is None else hashlib.sha256(Path(path).read_bytes()).digest()
    elif isinstance(part, np.ndarray) and part.ndim == 1:  # labels
        yield from _of_array(part)
    elif isinstance(part, list) and any(one is None for one in part):  # masks of some rows
        for mask in part:
            yield from (b"none",) if mask is None else _of_array(np.asarray(mask))
    else:
        yield from open_rows(part).content()


def _of_array(array: np.ndarray) -> Iterator[bytes]:
    yield repr((array.shape, array.dtype.str)).encode()
    rows = np.atleast_1d(array)
    if rows.dtype.hasobject:
        yield repr(rows.tolist()).encode()
        return
    step = max(1, CHUNK_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        yield np.ascontiguousarray(rows[start : start + step]).tobytes()
