"""KDD Cup 1999, as used in the literature."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from oddgan.data import load, public_tables
from oddgan.errors import DataError
from oddgan.preprocessing import TablePreprocessor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 40 rows in the published format, with its checksum instead of the published one."""
    random = np.random.default_rng(0)
    lines = []
    for i in range(40):
        row = [str(v) for v in random.integers(0, 9, 41)]
        row[1:4] = [random.choice(["tcp", "udp"]), random.choice(["http", "smtp"]), "SF"]
        lines.append(",".join([*row, "normal." if i % 4 == 0 else "smurf."]))
    content = ("\n".join(lines) + "\n").encode()
    monkeypatch.setenv("ODDGAN_DATA", str(tmp_path))
    monkeypatch.setattr(public_tables, "KDD99_SUM", hashlib.sha256(content).hexdigest())
    root = tmp_path / "kddcup99"
    root.mkdir()
    (root / "kddcup.data_10_percent.gz").write_bytes(gzip.compress(content))
    return root


def test_attacks_are_normal_and_normal_traffic_is_anomalous(folder: Path) -> None:
    split = load("kdd99")
    assert split.train is not None
    assert split.test is not None
    assert split.labels is not None
    assert len(split.test) == 20
    assert split.labels.tolist() == [kind == "normal." for kind in split.kinds or ()]
    assert len(split.train) == 20 - (10 - int(split.labels.sum()))
    kinds = dict(zip(split.train.columns or (), split.train.kinds, strict=True))  # type: ignore[union-attr]
    assert len(kinds) == 41
    categories = {name for name, kind in kinds.items() if kind == "category"}
    assert categories == set(public_tables.KDD99_CATEGORIES)
    assert split.note.startswith("kdd99: ")
    assert "normal: every class but normal.; a fixed half of the rows" in split.note
    other = load("kdd99", normal={"normal."})
    assert other.labels is not None
    assert other.labels.tolist() == (~split.labels).tolist()


def test_another_file_is_refused(folder: Path) -> None:
    path = folder / "kddcup.data_10_percent.gz"
    unpacked = gzip.decompress(path.read_bytes())
    path.unlink()
    with pytest.raises(DataError, match=r"kddcup\.data_10_percent\.gz is missing; get it from http"):
        load("kdd99")
    (folder / "kddcup.data_10_percent").write_bytes(unpacked)
    assert len(load("kdd99").test or ()) == 20
    (folder / "kddcup.data_10_percent").write_bytes(unpacked + b"\n")
    with pytest.raises(DataError, match=r"not the published file \(its checksum differs\)"):
        load("kdd99")


@pytest.mark.data
def test_the_published_file(real_data: Path) -> None:
    held = public_tables.read_kdd99(real_data / "kddcup99")
    rows, classes = held.rows, held.classes
    assert rows.shape == (494_021, 41)
    assert int((classes == "normal.").sum()) == 97_278
    packed = (real_data / "kddcup99/kddcup.data_10_percent.gz").read_bytes()
    # What scikit-learn pins for this file, packed.
    assert hashlib.sha256(packed).hexdigest() == "8045aca0d84e70e622d1148d7df782496f6333bf6eb979a1b0837c42a9fd9561"
    assert TablePreprocessor.fit(rows, rare=0).shape == (121,)  # the papers' number of columns
