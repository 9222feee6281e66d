"""Small fitted detectors, and Axes that leave nothing behind."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

import oddgan

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    """Displays that are given Axes make no figure of pyplot's; others leave theirs to pyplot, which is closed here."""
    import matplotlib.pyplot as plt

    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture
def ax():
    """Axes that pyplot does not know."""
    from matplotlib.figure import Figure

    return Figure().add_subplot()


@pytest.fixture(scope="session")
def zeros(digits):
    """Zeros to train on, and 20 zeros and 10 ones to test, with labels."""
    X, y = digits
    return X[y == 0][:150], np.concatenate([X[y == 0][150:170], X[y == 1][:10]]), np.arange(30) >= 20


@pytest.fixture(scope="session")
def pca(zeros):
    return oddgan.PCA(random_state=0).fit(zeros[0])


@pytest.fixture(scope="session")
def anogan(zeros):
    return oddgan.AnoGAN(updates=30, width=4, latent_dim=4, steps=6, starts=2, patience=0, random_state=0).fit(zeros[0])


@pytest.fixture(scope="session")
def frame():
    """A table with a column of categories, with an index of its own."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(90, 2)) @ random.normal(size=(2, 3))
    found = pd.DataFrame(numbers, columns=["a", "b", "c"], index=np.arange(100, 190))
    found["a"] = found["a"].astype("float32")
    found["kind"] = pd.Categorical(np.where(numbers[:, 0] > 0, "high", "low"))
    found["on"] = numbers[:, 1] > 0
    return found


@pytest.fixture(scope="session")
def table_pca(frame):
    return oddgan.PCA(random_state=0).fit(frame)
