"""What all tests share: small real data, and the folder of real data sets where there is one."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

# Two spinning thread pools on shared cores run many times slower than one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits: (1797, 8, 8) uint8 and their labels."""
    X, y = load_digits(return_X_y=True)
    return np.minimum(X.reshape(-1, 8, 8) * 16, 255).astype(np.uint8), y


@pytest.fixture
def table() -> np.ndarray:
    """80 rows of 5 columns with a hidden plane and very different scales."""
    random = np.random.default_rng(0)
    return random.normal(size=(80, 2)) @ random.normal(size=(2, 5)) * [1, 10, 100, 0.1, 1e4] + [0, 5, -50, 1, 1e5]


@pytest.fixture
def pictures() -> np.ndarray:
    """64 grey pictures, 11 x 9, uint8: smooth ramps with noise."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 150, 9) * random.uniform(0.5, 1, size=(64, 1, 1)) + random.uniform(0, 60, size=(64, 11, 1))
    return (ramp + random.uniform(0, 20, size=(64, 11, 9))).astype(np.uint8)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that ODDGAN_DATA names; tests marked `data` are skipped without it."""
    folder = os.environ.get("ODDGAN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ODDGAN_DATA names no folder of data sets")
    return Path(folder).resolve()
