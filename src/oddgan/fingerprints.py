"""Which rows a model was trained on, eight bytes a row: tells runs apart, and says when a test row was trained on."""

import hashlib

import numpy as np
from torch import Tensor

from .training import Rows

AT_MOST = 1_000_000  # rows; of larger sets so many, evenly spaced
BATCH = 256


def of_rows(rows: Rows) -> np.ndarray:
    """Sorted fingerprints (n,) uint64 of training rows as the networks see them."""
    numbers = np.unique(np.linspace(0, len(rows) - 1, AT_MOST).astype(int))
    parts = [of_tensor(rows.batch(numbers[start : start + BATCH])) for start in range(0, len(numbers), BATCH)]
    return np.sort(np.concatenate(parts))


def of_tensor(x: Tensor) -> np.ndarray:
    """Fingerprints (b,) uint64 of rows (b, ...)."""
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in x.contiguous().numpy()]
    return np.frombuffer(b"".join(digests), np.uint64)
