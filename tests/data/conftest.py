"""Small pictures and folders made on the spot; nothing here reads the user's cache or data."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ODDGAN_MAX_PIXELS", raising=False)
    if request.node.get_closest_marker("data") is None:
        monkeypatch.delenv("ODDGAN_DATA", raising=False)


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
