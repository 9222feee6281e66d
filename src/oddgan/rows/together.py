"""Which rows belong together, so that all of them are trained on, or all are held out.

Frames of a clip and pictures of a part resemble each other, and copies of a row are equal: where some of them are
trained on and others calibrate, the threshold is what the model makes of rows that it knows, and new rows exceed it.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from .door import Rows
from .pictures import PictureRows
from .places import files_of, page_of, read, size_of
from .stored_table import PIECE
from .tables import TableRows

BY_CHANCE = 10.0  # times as many pairs of equal rows as chance makes: then they are copies
HASHED = 2**24  # bytes of a table from which on hashes of rows are compared
SAMPLED = 2**20  # rows of a larger table by which chance is judged
SAMPLE = 2**28  # bytes of these rows at most
COMMON = 0.01  # a share of all rows from which on equal rows are one common row, if they are
FAR_LARGER = 10.0  # times as many as equal rows are on average


def together(rows: Rows, groups: Sequence[Any] | np.ndarray | None = None) -> np.ndarray | None:
    """The number (n,) int64 of the group of each row, counted from 0 in the order of their first rows: `groups` (n,)
    where they are given, and equal rows in one group always; None where every row is alone.

    In a table whose columns have few values, rows are equal by chance, as new rows will be: they are not held together
    unless far more of them are equal than chance makes. Nor is a row that is common by far among all others: it is
    known to any model. Raises `DataError` where there is not one group for each row.
    """
    same = _equal(rows)
    if groups is None:
        found = same
    else:
        given = np.asarray(groups, dtype=object)
        if given.shape != (len(rows),):
            raise DataError(f"groups has shape {given.shape}, and there are {len(rows):,} rows: give one for each row")
        _, own = np.unique(given.astype(str), return_inverse=True)
        found = own if same is None else _merged(own, same)
    if found is None:
        return None
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    if len(first) == len(rows):
        return None
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[inverse], dtype=np.int64)


def _equal(rows: Rows) -> np.ndarray | None:
    """Equal rows by number, None where no two are equal, or where they are so by chance."""
    if isinstance(rows, TableRows) and 8 * rows.shape[0] * rows.shape[1] > HASHED:
        prints = _of_large_table(rows)
        if (found := np.sort(prints)).size and not (found[1:] == found[:-1]).any():
            return None
        del found
    else:
        prints = _of_table(rows) if isinstance(rows, TableRows) else _of_pictures(rows)
    _, same, counts = np.unique(prints, return_inverse=True, return_counts=True)
    if len(counts) == len(rows):
        return None
    if isinstance(rows, TableRows):
        pairs = float((counts * (counts - 1.0)).sum())
        if pairs <= BY_CHANCE * len(rows) * (len(rows) - 1.0) * _by_chance(_some_values(rows)):
            return None
    common = counts > max(COMMON * len(rows), FAR_LARGER * len(rows) / len(counts))
    alone = np.flatnonzero(common[same])
    same = same.astype(np.int64)
    same[alone] = len(counts) + np.arange(len(alone))
    return same


def _by_chance(values: np.ndarray) -> float:
    """The probability that two rows are equal whose columns are independent, by how often values repeat
    in these (n, k)."""
    n, chance = len(values), 1.0
    for column in values.T:
        _, counts = np.unique(column, return_counts=True)
        chance *= float((counts * (counts - 1.0)).sum() / (n * (n - 1.0)))
    return chance


def _some_values(rows: TableRows) -> np.ndarray:
    """The values (m, k) of all rows of a table, or of some of a very large one, evenly spaced."""
    step = max(1, len(rows) // SAMPLED, -(-8 * len(rows) * rows.shape[1] // SAMPLE))
    return np.asarray(rows.values if step == 1 else rows.values[::step])


def _alike(values: np.ndarray) -> np.ndarray:
    """Values (n, k) of which equal ones have equal bytes."""
    values = np.ascontiguousarray(values)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN of many, and no -0
    return values


def _of_large_table(rows: TableRows) -> np.ndarray:
    """Hashes (n,) uint64 of rows, piece by piece. Of ten million rows that differ, any two have one hash with a
    probability of three in a million."""
    k = rows.shape[1]
    odd = np.random.default_rng(0).integers(0, 2**63, k, np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.empty(len(rows), np.uint64)
    step = max(1, PIECE // (8 * k))
    for start in range(0, len(rows), step):
        words = _alike(np.asarray(rows.values[start : start + step], np.float64)).view(np.uint64)
        mixed = np.zeros(len(words), np.uint64)
        for column, factor in zip(words.T, odd, strict=True):
            mixed = (mixed ^ column) * factor
            mixed ^= mixed >> np.uint64(29)
        found[start : start + step] = mixed
    return found


def _of_table(rows: TableRows) -> np.ndarray:
    """A row's bytes, (n,), in which equal values are equal."""
    values = _alike(np.asarray(rows.values))
    return np.ascontiguousarray(values).view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()


def _of_pictures(rows: PictureRows) -> np.ndarray:
    """Numbers (n,) that are equal where pictures are: files by their bytes, others by what they hold."""
    paths = getattr(rows.source, "paths", None)
    if paths is None:
        return np.array([_print(_bytes_of(rows[i])) for i in range(len(rows))], np.uint64)
    sizes = np.fromiter(map(_size, paths), np.int64, len(paths))
    _, which, often = np.unique(sizes, return_inverse=True, return_counts=True)
    found = np.arange(len(paths), dtype=np.uint64)
    for i in np.flatnonzero((often[which] > 1) & (sizes >= 0)).tolist():  # files of different sizes differ, unread
        found[i] = _print(b"".join(read(file) + repr(page).encode() for file, page in _files(paths[i])))
    return found


def _files(path: str) -> list[tuple[str, int | None]]:
    return [page_of(file) for file in files_of(path)]


def _size(path: str) -> int:
    """A number that is equal where the sizes of a picture's files are; -1 where one cannot be reached, of which whoever
    reads it will speak."""
    found = 0
    try:
        for file, _ in _files(path):
            found = (found * 1_000_003 + size_of(file)) % 2**62
    except OSError:
        return -1
    return found


def _bytes_of(picture: np.ndarray) -> bytes:
    return repr((picture.shape, picture.dtype.str)).encode() + np.ascontiguousarray(picture).tobytes()


def _print(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") | 1 << 63  # apart from numbers


def _merged(groups: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Groups (n,), in which equal rows link those that they are in."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, equals = int(groups.max()) + 1, int(same.max()) + 1
    links = coo_array((np.ones(len(groups)), (groups, n + same)), shape=(n + equals, n + equals))
    _, component = connected_components(links, directed=False)
    return np.asarray(component[groups])
