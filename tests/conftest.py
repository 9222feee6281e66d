"""What all tests share: small data, files made on the spot, and the folder of real data sets where there is one."""

import gzip
import itertools
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

# Two spinning thread pools on shared cores run many times slower than one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "0")  # where a test asks for two threads, on a core that others use too

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a job in the background; what tests start would have it
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


CACHES = itertools.count()


@pytest.fixture(autouse=True)
def _own_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    """No test reads the user's cache, nor, unless it is marked so, the user's data."""
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / str(next(CACHES))))
    monkeypatch.delenv("ODDGAN_MAX_PIXELS", raising=False)
    if request.node.get_closest_marker("data") is None:
        monkeypatch.delenv("ODDGAN_DATA", raising=False)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless browser; tests are skipped where there is none."""
    pytest.importorskip("selenium", reason="selenium drives the browser")
    from chromium import started

    browser = started(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module in place of Ray, which runs tasks in this process."""
    from fake_ray import FakeRay

    made = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return made


@pytest.fixture
def grey() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (12, 20), dtype=np.uint8)


@pytest.fixture
def colour() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (12, 20, 3), dtype=np.uint8)


@pytest.fixture
def fill(tmp_path: Path) -> Callable[..., Path]:
    """`fill("train/good/0.png", ...)` writes a different grey picture at each path and returns the root."""

    def fill(*paths: str, size: tuple[int, int] = (12, 10), root: Path | None = None) -> Path:
        root = root or tmp_path / "data"
        root.mkdir(exist_ok=True)
        for path in paths:
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            seed = [len(path), *path.encode()]
            pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
            Image.fromarray(pixels).save(place)
        return root

    return fill


IDX_TYPES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


@pytest.fixture
def idx() -> Callable[..., bytes]:
    """`idx(array, ">i2")` is the array as the content of an IDX file."""

    def idx(array: NDArray[Any], dtype: str = "u1") -> bytes:
        head = bytes([0, 0, IDX_TYPES[dtype], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        return head + array.astype(dtype).tobytes()

    return idx


@pytest.fixture
def write_four(idx: Callable[..., bytes]) -> Callable[..., None]:
    """`write_four(folder)` writes 6 training and 3 test pictures, 9 x 8, of the classes 0, 1, 2, as MNIST comes."""

    def write_four(folder: Path, zipped: bool = True, dot: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        for part, n in (("train", 6), ("t10k", 3)):
            pixels = (np.arange(n * 72) % 251).reshape(n, 9, 8)
            for what, array in (("images-idx3", pixels), ("labels-idx1", np.arange(n) % 3)):
                name = f"{part}-{what}-ubyte".replace("-idx", ".idx" if dot else "-idx")
                data = idx(array)
                (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)

    return write_four
