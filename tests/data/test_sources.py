"""Sources: paths and names of public sets."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

import oddgan.data
from oddgan.data import Pictures, Rows, Split, datasets, load, public_tables, rows
from oddgan.data.split import hold_out
from oddgan.errors import DataError

Fill = Callable[..., Path]


NAMES = [
    "digits",
    "breast-cancer",
    "wine",
    "washers",
    "tissue",
    "flows",
    "mnist",
    "fashion-mnist",
    "thyroid",
    "arrhythmia",
    "kdd99",
    "nsl-kdd",
    "cifar10",
    "svhn",
]


def size(part: Rows | None) -> int:
    assert part is not None
    return len(part)


def test_one_picture(fill: Fill) -> None:
    root = fill("sub/a.png")
    pictures = rows(root / "sub/a.png")
    assert isinstance(pictures, Pictures)
    assert (len(pictures), pictures.name(0)) == (1, "a.png")
    with pytest.raises(DataError, match=r"a\.png: one picture is not enough to train on"):
        load(root / "sub/a.png")


def test_rows_of_a_folder_ignore_its_layout(fill: Fill) -> None:
    root = fill("test/good/2.png", "test/bad/1.png", "a.jpg", "ground_truth/bad/1_mask.png", ".x.png")
    pictures = rows(str(root))
    assert isinstance(pictures, Pictures)
    assert [pictures.name(i) for i in range(len(pictures))] == ["a.jpg", "test/bad/1.png", "test/good/2.png"]
    with pytest.raises(DataError, match="no pictures here, nothing"):
        rows(fill(root=root.parent / "empty"))


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    for reader in (load, rows):
        with pytest.raises(DataError, match=r"there is no such file or folder, .* did you mean mnist"):
            reader("minst")
        with pytest.raises(DataError, match=f"public sets are {', '.join(NAMES)}$"):
            reader(tmp_path / "nowhere")
        with pytest.raises(DataError, match="cannot be reached"):
            reader("x" * 5000)


def test_other_kinds_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.xls").write_text("1,2")
    for reader in (load, rows):
        with pytest.raises(DataError, match=r"a\.xls: this kind of file is not understood; give"):
            reader(tmp_path / "a.xls")


def test_a_path_takes_precedence_over_a_name(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill("digits/a.png", "digits/b.png")
    monkeypatch.chdir(root)
    assert isinstance(load("digits").train, Pictures)


def test_digits() -> None:
    split, again = load("digits", anomaly={"3"}), load("digits", normal=list("012456789"))
    assert isinstance(split.train, np.ndarray)
    assert isinstance(split.test, np.ndarray)
    assert split.labels is not None
    assert split.kinds is not None
    assert split.train.shape == (1291, 8, 8)
    assert split.train.dtype == np.float32
    assert split.train.max() == 16
    assert split.test.shape == (506, 8, 8)
    assert int(split.labels.sum()) == 183
    assert {kind for kind, anomalous in zip(split.kinds, split.labels, strict=True) if anomalous} == {"3"}
    assert set(split.kinds) == set("0123456789")
    np.testing.assert_array_equal(split.train, np.asarray(again.train))
    assert split.note.startswith("digits: 1,291 normal for training, 506 for test (183 anomalous); normal: 0, 1, 2, 4")
    seen = {picture.tobytes() for picture in split.train}
    assert sum(picture.tobytes() in seen for picture in split.test) <= 2  # the set itself may hold twins
    assert len(rows("digits")) == 1797
    with pytest.raises(DataError, match="say which are normal"):
        load("digits")


def test_what_is_held_out_never_changes() -> None:
    kept, held = hold_out(10, 0.2)
    assert held.tolist() == [2, 3]
    assert kept.tolist() == [0, 1, 4, 5, 6, 7, 8, 9]
    assert [len(part) for part in hold_out(2, 0.01)] == [1, 1]
    assert [len(part) for part in hold_out(2, 0.99)] == [1, 1]
    assert [len(part) for part in hold_out(1, 0.5)] == [1, 0]


def test_a_split_must_fit_together() -> None:
    with pytest.raises(DataError, match="2 labels for 3 test rows"):
        Split(name="x", train=None, test=np.zeros((3, 2)), labels=np.zeros(2, bool))
    with pytest.raises(DataError, match="1 kinds for 0 test rows"):
        Split(name="x", train=None, kinds=("good",))


def test_missing_sets_say_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"set ODDGAN_DATA=FOLDER"):
        load("mnist", normal={"1"})
    monkeypatch.setenv("ODDGAN_DATA", str(tmp_path))
    for name, home in (("mnist", "yann.lecun.com"), ("fashion-mnist", "zalandoresearch"), ("thyroid", "odds")):
        for reader in (load, rows):
            with pytest.raises(DataError) as caught:
                reader(name)
            assert home in str(caught.value)
            assert str(tmp_path / name) in str(caught.value)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "thyroid").mkdir()
    with pytest.raises(DataError, match="none of its files"):
        load("mnist", normal={"1"})
    with pytest.raises(DataError, match=r"thyroid\.mat is missing"):
        load("thyroid")


def test_other_files_under_the_name_of_a_public_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_four: Callable[..., None]
) -> None:
    monkeypatch.setenv("ODDGAN_DATA", str(tmp_path))
    write_four(tmp_path / "mnist")
    with pytest.raises(DataError, match=r"not the published file \(its checksum differs\); download it again"):
        load("mnist", normal={"1"})
    (tmp_path / "thyroid").mkdir()
    savemat(tmp_path / "thyroid/thyroid.mat", {"X": np.zeros((10, 6)), "y": np.zeros(10)})
    with pytest.raises(DataError, match=r"not the published set of \(3772, 6\) with 93 anomalies"):
        load("thyroid")
    for data in (b"", b"nonsense", b"MATLAB 5.0 " + bytes(200)):
        (tmp_path / "thyroid/thyroid.mat").write_bytes(data)
        with pytest.raises(DataError, match="damaged or not a file of this set"):
            load("thyroid")


def test_a_table_of_odds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODDGAN_DATA", str(tmp_path))
    labels = np.zeros((452, 1), np.uint8)
    labels[:66] = 1
    table = np.arange(452 * 274, dtype=np.float64).reshape(452, 274)
    (tmp_path / "arrhythmia").mkdir()
    savemat(tmp_path / "arrhythmia/arrhythmia.mat", {"X": table, "y": labels})
    with pytest.raises(DataError, match="its checksum differs"):
        load("arrhythmia")
    total = hashlib.sha256((tmp_path / "arrhythmia/arrhythmia.mat").read_bytes()).hexdigest()
    monkeypatch.setitem(public_tables.ODDS_SUMS, "arrhythmia", total)
    split = load("arrhythmia")
    assert isinstance(split.train, np.ndarray)
    assert split.train.shape == (193, 274)
    assert split.labels is not None
    assert (len(split.labels), int(split.labels.sum())) == (193 + 66, 66)
    assert set(split.kinds or ()) == {"normal", "anomaly"}
    assert len(rows("arrhythmia")) == 193 + 66
    assert size(load("arrhythmia", anomaly={"normal"}).train) == 33


def test_picture_folders_have_names(fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(
        "bolts/train/good/1.png", "bolts/train/good/2.png", "bolts/test/bad/1.png", "bolts/ground_truth/bad/1.png"
    )
    fill("nuts/a.png", "nuts/b.png")
    (root / "nuts/LICENSE.txt").write_text("free")
    (root / "tables").mkdir()
    (root / "tables/a.csv").write_text("1")
    monkeypatch.setenv("ODDGAN_DATA", str(root))
    listed = {info.name: info for info in datasets()}
    assert list(listed) == [*NAMES, "bolts", "nuts"]
    assert [info.found for info in listed.values()] == [True] * 6 + [False] * 8 + [True, True]
    bolts = listed["bolts"]
    assert (bolts.kind, bolts.rows, bolts.shape, bolts.licence) == ("pictures", 3, (12, 10), "not stated")
    assert listed["nuts"].licence == "see LICENSE.txt"
    assert listed["thyroid"].kind == "table"
    assert load("bolts").name == "bolts"
    assert size(load("bolts").test) == 1
    assert len(rows("bolts")) == 3
    with pytest.raises(DataError, match="did you mean bolts"):
        load("bolt")
    with pytest.raises(DataError, match="no pictures here, only 1 other file"):
        load("tables")
    monkeypatch.delenv("ODDGAN_DATA")
    assert [info.name for info in datasets()] == NAMES
    assert datasets()[6].where == "$ODDGAN_DATA/mnist"


def test_importing_is_light() -> None:
    code = (
        "import sys, oddgan.data; "
        "print([m for m in ('torch', 'sklearn', 'scipy', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_public_names_are_described() -> None:
    for name in oddgan.data.__all__:
        assert name == "Rows" or getattr(oddgan.data, name).__doc__


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "options", "train", "test", "anomalous"),
    [
        ("mnist", {"anomaly": {"4"}}, 54_158, 10_000, 982),
        ("fashion-mnist", {"normal": {"0"}}, 6_000, 10_000, 9_000),
        ("thyroid", {}, 1839, 1933, 93),
        ("arrhythmia", {}, 193, 259, 66),
        ("kdd99", {}, 198_241, 247_010, 48_508),
        ("mvtec-bottle-256", {}, 209, 83, 63),
        ("hazelnut-toy", {}, 28, 23, 17),
    ],
)
def test_real_sets(name: str, options: dict[str, Any], train: int, test: int, anomalous: int, real_data: Path) -> None:
    split = load(name, **options)
    assert split.labels is not None
    assert (size(split.train), size(split.test), int(split.labels.sum())) == (train, test, anomalous)
    assert next(info for info in datasets() if info.name == name).found
    assert len(rows(name)) > 0


@pytest.mark.data
def test_real_pictures_and_masks(real_data: Path) -> None:
    split = load("mvtec-bottle-256", skip_bad=True)
    assert split.note.startswith(
        "MVTec AD layout: 209 normal for training, 83 for test (63 anomalous, 3 kinds, masks); "
        "1 other file ignored (.txt 1)"
    )
    assert split.skipped == ()
    assert split.masks is not None
    assert isinstance(split.test, Pictures)
    for i in range(0, 83, 10):
        mask = split.masks[i]
        assert mask is not None
        assert mask.shape == split.test[i].shape[:2] == (256, 256)
        assert mask.any() == (split.labels is not None and split.labels[i])


@pytest.mark.data
def test_the_published_checksums(real_data: Path) -> None:
    """The files here are those whose MD5 sums were published; the checksums in the catalogue are of their contents."""
    import hashlib

    published = {
        "mnist/train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "mnist/train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "mnist/t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "mnist/t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        "fashion-mnist/train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "fashion-mnist/train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "fashion-mnist/t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "fashion-mnist/t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
    for name, md5 in published.items():
        assert hashlib.md5((real_data / name).read_bytes(), usedforsecurity=False).hexdigest() == md5
