"""Which rows a model was trained on, eight bytes a row: distinguishes runs and finds test rows among them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from .prepared import PreparedRows, in_batches, spread

if TYPE_CHECKING:
    from torch import Tensor

AT_MOST = 1_000_000  # rows; of larger sets so many, evenly spaced


def of_rows(rows: PreparedRows) -> np.ndarray:
    """Sorted fingerprints (n,) uint64 of training rows as the networks see them."""
    return np.sort(_in_order(rows, spread(len(rows), AT_MOST)))


def distinct(rows: PreparedRows) -> tuple[np.ndarray, np.ndarray]:
    """The numbers (m,) of rows that equal none before them, ascending, and how many rows equal each (m,)."""
    _, first, count = np.unique(_in_order(rows, np.arange(len(rows))), return_index=True, return_counts=True)
    order = np.argsort(first)
    return first[order], count[order]


def _in_order(rows: PreparedRows, numbers: np.ndarray) -> np.ndarray:
    return np.concatenate([of_tensor(x) for x in in_batches(rows, numbers)])


def of_picture(picture: np.ndarray) -> int:
    """The fingerprint of a whole picture (H, W, C), at its own size and in its own values."""
    digest = hashlib.blake2b(str(picture.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(picture).data)
    return int.from_bytes(digest.digest(), "little")


def of_tensor(x: Tensor) -> np.ndarray:
    """Fingerprints (b,) uint64 of rows (b, ...)."""
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in x.contiguous().numpy()]
    return np.frombuffer(b"".join(digests), np.uint64)
