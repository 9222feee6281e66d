"""A small folder of pictures, a model of it, and the command line in this process."""

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from cli_small import SMALL, picture
from PIL import Image
from scipy.io import savemat

from oddgan import papers
from oddgan.cli import main, terminal
from oddgan.data import public_tables


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The last line on standard error."""
        return self.err.splitlines()[-1]


@pytest.fixture
def oddgan(capfd, monkeypatch, tmp_path) -> Callable[..., Ran]:
    """Run a command in this process, in an empty folder; libraries' warnings are errors."""
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    monkeypatch.setattr(terminal, "quiet", False)
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def lines(monkeypatch) -> Callable[..., None]:
    """Have standard input hold these bytes, or these lines."""

    def put(*given: object) -> None:
        data = given[0] if isinstance(given[0], bytes) else "".join(f"{line}\n" for line in given).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return put


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ODDGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("ODDGAN_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The layout of MVTec AD: 30 for training, 8 good and 6 scratched ones for test, with masks."""
    root = tmp_path_factory.mktemp("data") / "parts"
    for part, count in (("train/good", 30), ("test/good", 8), ("test/scratch", 6)):
        (root / part).mkdir(parents=True)
        for i in range(count):
            shown = picture(1000 * len(part) + i, scratch=part.endswith("scratch"))
            Image.fromarray(shown).save(root / part / f"{i:03}.png")
    (root / "ground_truth/scratch").mkdir(parents=True)
    mask = np.zeros((16, 12), np.uint8)
    mask[4:7, 2:10] = 255
    for i in range(6):
        Image.fromarray(mask).save(root / "ground_truth/scratch" / f"{i:03}_mask.png")
    return root


@pytest.fixture(scope="session")
def model(folder, tmp_path_factory) -> Path:
    """A model of those pictures."""
    path = tmp_path_factory.mktemp("model") / "parts.oddgan"
    assert main(["train", str(folder), "-o", str(path), *SMALL]) == 0
    return path


@pytest.fixture(scope="session")
def exported(model, folder, tmp_path_factory) -> Path:
    """The model as an export."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    place = tmp_path_factory.mktemp("export") / "parts-onnx"
    assert main(["export", str(model), str(folder), "-o", str(place)]) == 0
    return place


@pytest.fixture(scope="session")
def table_file(tmp_path_factory) -> Path:
    """A .npz of a table: 60 normal rows to train on, 30 to test, the last 10 of them odd."""
    random = np.random.default_rng(0)
    test = random.normal(size=(30, 4))
    test[20:] += 6
    path = tmp_path_factory.mktemp("table") / "flows.npz"
    np.savez(path, x_train=random.normal(size=(60, 4)), x_test=test, y_test=np.arange(30) >= 20)
    return path


@pytest.fixture(scope="session")
def table_model(table_file, tmp_path_factory) -> Path:
    """A model of that table."""
    path = tmp_path_factory.mktemp("model") / "flows.oddgan"
    assert main(["train", str(table_file), "-o", str(path), *SMALL]) == 0
    return path


@pytest.fixture
def arrhythmia(tmp_path, monkeypatch):
    """A table of the published form, and its checksum in the place of the published one."""
    random = np.random.default_rng(0)
    labels = np.zeros(452, np.uint8)
    labels[random.permutation(452)[:66]] = 1
    file = tmp_path / "data" / "arrhythmia" / "arrhythmia.mat"
    file.parent.mkdir(parents=True)
    savemat(file, {"X": random.normal(size=(452, 274)) + 0.3 * labels[:, None], "y": labels})
    monkeypatch.setitem(public_tables.ODDS_SUMS, "arrhythmia", hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setenv("ODDGAN_DATA", str(tmp_path / "data"))
    papers.protocols._all_rows.cache_clear()
    yield
    papers.protocols._all_rows.cache_clear()
