"""Random numbers that stay the same: NumPy freezes the raw stream of a generator, not what it makes of it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

TABLE = 512  # places around a circle


class Dice:
    """Draws that depend on `seed` alone, whatever NumPy's version."""

    def __init__(self, *seed: int) -> None:
        self._raw = np.random.PCG64(list(seed)).random_raw

    def uniform(self, low: float, high: float, size: Any = ()) -> NDArray[np.float64]:
        """Of this size; a number by default. `high` is never reached."""
        raw = np.asarray(self._raw(int(np.prod(size, dtype=int))), np.uint64).reshape(size)
        return np.asarray(low + (high - low) * ((raw >> np.uint64(11)) * 2.0**-53), np.float64)

    def number(self, low: float, high: float) -> float:
        """One number of `uniform`."""
        return float(self.uniform(low, high))

    def normal(self, size: Any = ()) -> NDArray[np.float64]:
        """With mean 0 and deviation 1: sums of four uniform numbers of 16 bits, which are normal up to 3 deviations."""
        raw = np.asarray(self._raw(int(np.prod(size, dtype=int))), np.uint64)
        parts = raw.astype("<u8").view("<u2").astype(np.float64)
        found = parts[::4] + parts[1::4] + parts[2::4] + parts[3::4]
        return np.asarray((found.reshape(size) - 2 * 65535) / np.sqrt((65536**2 - 1) / 3))

    def index(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return int(self.number(0, n))

    def chosen(self, values: Sequence[str], weights: Sequence[float], size: int) -> NDArray[np.str_]:
        """(size,) of `values`, each as often as its weight says."""
        edges = np.cumsum(weights) / np.sum(weights)
        places = np.searchsorted(edges, self.uniform(0, 1, size), side="right")
        return np.asarray(values, np.str_)[np.minimum(places, len(values) - 1)]

    def waves(self, at: NDArray[np.float64], harmonics: int, falling: float = 1.0) -> NDArray[np.float64]:
        """A smooth random function of an angle `at` (-pi to pi), periodic, about 1 in size."""
        table = np.zeros(TABLE + 1)
        sizes = np.arange(1, harmonics + 1) ** -falling
        around = np.linspace(-np.pi, np.pi, TABLE + 1)
        for k, size in enumerate(sizes / np.sqrt((sizes**2).sum() / 2), 1):
            table += size * np.cos(k * around + self.number(0, 2 * np.pi)) * self.number(0.5, 1)
        place = (at + np.pi) * (TABLE / (2 * np.pi))
        low = np.clip(place, 0, TABLE - 1).astype(int)
        return np.asarray(table[low] + (place - low) * (table[low + 1] - table[low]))

    def cloud(self, shape: tuple[int, int], width: float) -> NDArray[np.float64]:
        """White noise blurred to that `width` in pixels, with mean 0 and deviation 1."""
        noise = self.normal(shape)
        if shape[0] > 1:
            noise = _blur(shape[0], width) @ noise
        return noise @ _blur(shape[1], width).T


@lru_cache(maxsize=32)
def _blur(n: int, width: float) -> NDArray[np.float64]:
    place = np.arange(n)
    kernel = np.exp(-(((place[:, None] - place) / width) ** 2) / 2)
    return np.asarray(kernel / np.sqrt((kernel**2).sum(axis=1, keepdims=True)))


def step(distance: NDArray[np.float64], width: float = 1.0) -> NDArray[np.float64]:
    """1 inside (negative distance) to 0 outside, over `width` pixels: an edge without stairs."""
    t = np.clip(0.5 - distance / width, 0, 1)
    return t * t * (3 - 2 * t)


def even(number: int) -> float:
    """Values from 0 to 1 that are evenly spread over any pictures in a row: with such a light, the mean grey level says
    nothing about defects."""
    return number * 0.6180339887498949 % 1
