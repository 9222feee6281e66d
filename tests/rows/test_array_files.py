"""Arrays in files: which ones are accepted, and the errors for all others."""

import gzip
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oddgan.data import PictureSource, load, rows
from oddgan.errors import DataError
from oddgan.rows import array_files, open_rows, stored

Array = NDArray[Any]
Idx = Callable[..., bytes]
WriteFour = Callable[..., None]


def npy(tmp_path: Path, array: Array) -> Path:
    np.save(tmp_path / "a.npy", array)
    return tmp_path / "a.npy"


def npz(tmp_path: Path, **arrays: Any) -> Path:
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


def numbers(*shape: int, dtype: Any = np.uint8) -> Array:
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


def test_a_large_table_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST_READ", 100)
    table = numbers(20, 3, dtype=np.float64)
    split = load(npy(tmp_path, table))
    assert isinstance(split.train, np.memmap)
    np.testing.assert_array_equal(split.train, table)
    assert (split.name, split.test, split.labels) == ("a", None, None)
    assert split.note == "20 rows of 3 columns, all taken as normal"
    np.testing.assert_array_equal(np.asarray(rows(tmp_path / "a.npy")), table)


@pytest.mark.parametrize("shape", [(5, 9, 8), (5, 9, 8, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pictures(tmp_path: Path, shape: tuple[int, ...], dtype: Any) -> None:
    split = load(npy(tmp_path, numbers(*shape, dtype=dtype)))
    assert isinstance(split.train, np.ndarray)
    assert split.train.dtype == dtype
    np.testing.assert_array_equal(split.train, numbers(*shape))
    assert split.note.startswith(f"5 pictures of {' x '.join(map(str, shape[1:]))}")


def test_a_single_channel_is_grey(tmp_path: Path) -> None:
    train = load(npy(tmp_path, numbers(5, 9, 8, 1))).train
    assert isinstance(train, np.ndarray)
    assert train.shape == (5, 9, 8)


@pytest.mark.parametrize(
    ("array", "dtype", "expected"),
    [
        (numbers(2, 9, 8) > 99, "uint8", (numbers(2, 9, 8) > 99) * 255),
        (numbers(2, 9, 8, dtype=np.int64), "uint16", numbers(2, 9, 8)),
        (numbers(2, 9, 8, dtype=np.int64) - 1, "float32", numbers(2, 9, 8).astype(int) - 1),
        (numbers(2, 9, 8, dtype=np.int32) * 1000, "float32", numbers(2, 9, 8) * 1000.0),
        (numbers(2, 9, 8, 3, dtype=np.float64) / 255, "float32", np.float32(numbers(2, 9, 8, 3) / 255)),
        (numbers(2, 9, 8, dtype=np.float16), "float32", numbers(2, 9, 8)),
        (numbers(2, 9, 8, dtype=">u2"), "uint16", numbers(2, 9, 8)),
    ],
)
def test_other_types_are_converted_one_by_one(tmp_path: Path, array: Array, dtype: str, expected: Array) -> None:
    train = load(npy(tmp_path, array)).train
    assert isinstance(train, PictureSource)
    assert len(train) == 2
    for i in range(2):
        assert train[i].dtype.name == dtype
        assert train[i].dtype.isnative
        np.testing.assert_array_equal(train[i], expected[i])
    if not isinstance(train, np.ndarray):
        assert train.header(1) == (9, 8, array.ndim * 2 - 5, dtype)  # type: ignore[attr-defined]
        with pytest.raises(IndexError):
            train[2]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), "shape (5,); give a table"),
        (np.zeros((2, 2, 9, 9, 3)), "give a table"),
        (np.zeros((0, 5)), "shape (0, 5), so no values"),
        (np.zeros((5, 3, 9, 9), np.uint8), "seems to be (n, C, H, W); put channels last"),
        (np.zeros((5, 9, 9, 4), np.uint8), "4 channels"),
        (np.zeros((5, 7, 9), np.uint8), "at least 8 x 8"),
        (np.zeros((64, 48, 3), np.uint8), "one picture alone needs a first axis of 1"),
        (np.array([["a", "b"]]), "not numbers"),
        (np.zeros((2, 2), complex), "complex128, not numbers"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path: Path, array: Array, words: str) -> None:
    path = npy(tmp_path, array)
    for reader in (load, rows):
        with pytest.raises(DataError) as caught:
            reader(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chunk", [8, 10**7])
def test_nan_and_infinity_are_located(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "CHUNK_BYTES", chunk)
    table = numbers(20, 3, dtype=np.float64)
    table[17, 2] = np.inf
    with pytest.raises(DataError, match=r"row 17, column 2 \(counted from 0\) is NaN or infinite"):
        load(npy(tmp_path, table))
    pictures = numbers(20, 9, 8, dtype=np.float64)
    pictures[11, 0, 0] = 1e300  # beyond float32
    with pytest.raises(DataError, match=r"row 11 \(counted"):
        load(npy(tmp_path, pictures))
    with pytest.raises(DataError, match=r"a\.npz\[x_test\]: row 11"):
        load(npz(tmp_path, x_train=pictures[:5], x_test=pictures))


def test_files_that_are_not_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_text("1,2,3")
    with pytest.raises(DataError, match=r"a\.npy: is not a NumPy file"):
        load(path)
    path.touch()
    np.save(path, np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="Python objects"):
        load(path)
    whole = npy(tmp_path, numbers(20, 9, 8)).read_bytes()
    path.write_bytes(whole[:300])
    with pytest.raises(DataError, match="is truncated"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is not a NumPy file"):
        load(path)
    archive = npz(tmp_path, X=numbers(20, 3))
    path.write_bytes(archive.read_bytes())
    with pytest.raises(DataError, match=r"is a \.npz archive"):
        load(path)
    archive.write_bytes(whole)
    with pytest.raises(DataError, match=r"is a \.npy file"):
        load(archive)
    for data in (b"", b"PK\3\4nonsense", b"nonsense"):
        archive.write_bytes(data)
        with pytest.raises(DataError, match=r"a\.npz: is not a NumPy file"):
            load(archive)
    damaged = bytearray(npz(tmp_path, X=numbers(200, 30)).read_bytes())
    damaged[1000] ^= 255
    archive.write_bytes(damaged)
    with pytest.raises(DataError, match="damaged"):
        load(archive)
    np.savez(archive, X=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="Python objects"):
        load(archive)


def test_npz_with_rows_alone(tmp_path: Path) -> None:
    split = load(npz(tmp_path, X=numbers(20, 3)))
    assert isinstance(split.train, np.ndarray)
    assert split.train.shape == (20, 3)
    assert split.test is None
    assert "no test part" in split.note
    assert len(rows(tmp_path / "a.npz")) == 20


def test_npz_with_train_test_labels_and_masks(tmp_path: Path) -> None:
    masks = numbers(4, 12, 10) > 100
    split = load(
        npz(
            tmp_path,
            X_train=numbers(20, 9, 8),
            x_test=numbers(4, 9, 8),
            y_test=np.array([0, 1, 1, 0]),
            masks=masks[..., None],
            comment="kept out",
        )
    )
    assert isinstance(split.train, np.ndarray)
    assert split.train.shape == (20, 9, 8)
    assert split.labels is not None
    assert split.labels.tolist() == [False, True, True, False]
    assert split.kinds is None
    assert split.masks is not None
    np.testing.assert_array_equal(np.array(list(split.masks)), masks)
    assert "20 normal for training, 4 for test (2 anomalous)" in split.note
    assert len(rows(tmp_path / "a.npz")) == 4


@pytest.mark.parametrize("labels", [[False, True, True], [0.0, 1.0, 1.0], [[0], [1], [1]], ["0", "1", "1"]])
def test_forms_of_labels(tmp_path: Path, labels: Any) -> None:
    split = load(npz(tmp_path, train=numbers(5, 2), test=numbers(3, 2), labels=np.array(labels)))
    assert split.labels is not None
    assert split.labels.tolist() == [False, True, True]


def test_anomalous_training_rows_are_left_out(tmp_path: Path) -> None:
    split = load(
        npz(tmp_path, x_train=numbers(4, 2), y_train=[0, 1, 0, 1], x_test=numbers(3, 2), y_test=[0, 1, 1]),
    )
    np.testing.assert_array_equal(np.asarray(split.train), numbers(4, 2)[[0, 2]])


def test_npz_with_classes(tmp_path: Path) -> None:
    """As Keras publishes MNIST."""
    path = npz(tmp_path, x_train=numbers(6, 9, 8), y_train=[3, 4, 5] * 2, x_test=numbers(3, 9, 8), y_test=[5, 4, 3])
    split = load(path, anomaly={"4"})
    np.testing.assert_array_equal(np.asarray(split.train), numbers(6, 9, 8)[[0, 2, 3, 5]])
    assert split.labels is not None
    assert split.labels.tolist() == [False, True, False]
    assert split.kinds == ("5", "4", "3")
    with pytest.raises(DataError, match=r"has the classes 3, 4, 5: say which are normal"):
        load(path)
    with pytest.raises(DataError, match="no class 7"):
        load(path, normal=["7"])


def test_npz_with_labelled_rows_and_no_test_part(tmp_path: Path) -> None:
    labels = np.arange(100) % 10 == 0
    path = npz(tmp_path, X=numbers(100, 9, 8), y=labels, masks=numbers(100, 9, 8) % 2 * 255)
    split, again = load(path), load(path)
    assert isinstance(split.train, np.ndarray)
    assert len(split.train) == 72
    assert split.labels is not None
    assert int(split.labels.sum()) == 10
    assert len(split.labels) == 28
    assert split.masks is not None
    assert isinstance(split.test, np.ndarray)
    for i in range(28):
        np.testing.assert_array_equal(split.masks[i], split.test[i] % 2 != 0)
    np.testing.assert_array_equal(split.train, np.asarray(again.train))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"Z": [[1]]}, "contains Z; name the rows X"),
        ({}, "contains nothing"),
        ({"x_test": [[1.0]]}, "no rows to train on; add them as x_train"),
        ({"X": [[1], [2]], "y": [0, 1, 0]}, "labels of shape (3,) for 2 rows"),
        ({"X": [[1], [2]], "y": [0, 2]}, "has the classes 0, 2: say which are normal"),
        ({"X": [[1], [2]], "y": [0, 0.5]}, "label 0.5 in row 1 is no class"),
        ({"X": [[1], [2]], "y": [0, np.nan]}, "label nan in row 1 is no class"),
        ({"X": [[1], [2]], "y": [0, 1j]}, "labels are complex128"),
        ({"X": [[1], [2]], "y": [1, 1]}, "too few normal rows (0)"),
        ({"X": [[1], [2]], "y": [0, 1]}, "too few normal rows (1); at least 2"),
        ({"x_train": [[1]], "x_test": [[1, 2]], "y_test": [0]}, "give rows of one shape"),
        ({"x_train": [[1]], "x_test": [[1]], "y_train": [0]}, "no labels for 1 row of 1 column; add them as y_test"),
        ({"x_train": [[1]], "y_train": [1], "x_test": [[1]], "y_test": [0]}, "no training row is of class 0"),
        ({"X": [[1], [2], [3]], "y": [0, 0, 1], "masks": np.zeros((2, 9, 9))}, "masks of shape (2, 9, 9) for 3 test"),
    ],
)
def test_npz_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        load(npz(tmp_path, **arrays))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_test_part_without_labels(tmp_path: Path) -> None:
    split = load(npz(tmp_path, x_train=numbers(5, 2), x_test=numbers(3, 2)))
    assert split.test is not None
    assert (len(split.test), split.labels) == (3, None)
    assert "3 rows of 2 columns for test without labels" in split.note


def test_classes_need_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no labels"):
        load(npy(tmp_path, numbers(5, 2)), normal={"1"})
    with pytest.raises(DataError, match="no labels"):
        load(npz(tmp_path, X=numbers(5, 2)), normal={"1"})


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", ">i4", ">f4", ">f8"])
def test_idx(tmp_path: Path, idx: Idx, zipped: bool, dtype: str) -> None:
    pictures = numbers(5, 9, 8) // 2
    path = tmp_path / ("a-idx3-ubyte" + ".gz" * zipped)
    path.write_bytes(gzip.compress(idx(pictures, dtype)) if zipped else idx(pictures, dtype))
    train = load(path).train
    assert isinstance(train, PictureSource)
    np.testing.assert_array_equal(np.array([train[i] for i in range(5)]), pictures)
    assert len(rows(path)) == 5
    assert train[0].dtype.isnative


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_that_cannot_be_used(tmp_path: Path, idx: Idx, zipped: bool) -> None:
    whole = idx(numbers(5, 9, 8))
    path = tmp_path / "a-idx3-ubyte"

    def check(data: bytes, words: str) -> None:
        path.write_bytes(gzip.compress(data) if zipped else data)
        with pytest.raises(DataError) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert words in str(caught.value)

    check(whole[:-1], "holds less than the 5 x 9 x 8 values")
    check(whole + b"x", "holds more than the 5 x 9 x 8 values")
    check(whole[:10], "truncated in its header")
    check(b"\0\0\x08\x03" + b"\xff" * 12 + whole[16:], "holds less")
    check(idx(np.zeros(5)), "contains labels, not pictures")
    check(b"\0\0\x07\x03" + whole[4:], "not understood")
    check(b"", "not understood")


def test_a_truncated_gzip_file(tmp_path: Path, idx: Idx) -> None:
    path = tmp_path / "a-idx3-ubyte.gz"
    data = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (50, 9, 8))))
    path.write_bytes(data[:-20])
    with pytest.raises(DataError, match="gzip file is damaged or truncated"):
        load(path)
    damaged = bytearray(data)
    damaged[1000] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="gzip file is damaged or truncated"):
        load(path)


@pytest.mark.parametrize(("zipped", "dot"), [(True, False), (False, False), (False, True)])
def test_the_four_files_of_mnist(tmp_path: Path, write_four: WriteFour, zipped: bool, dot: bool) -> None:
    write_four(tmp_path / "set", zipped, dot)
    split = load(tmp_path / "set", anomaly=["2"])
    np.testing.assert_array_equal(np.asarray(split.train), numbers(6, 9, 8)[[0, 1, 3, 4]])
    assert split.labels is not None
    assert split.labels.tolist() == [False, False, True]
    assert split.kinds == ("0", "1", "2")
    assert split.note == "set: 4 normal for training, 3 for test (1 anomalous); normal: 0, 1"
    assert len(rows(tmp_path / "set")) == 3
    with pytest.raises(DataError, match="has the classes 0, 1, 2: say which are normal"):
        load(tmp_path / "set")


def test_some_of_the_four_files(tmp_path: Path, idx: Idx, write_four: WriteFour) -> None:
    write_four(tmp_path / "set")
    (tmp_path / "set/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"set: IDX files without test labels; add t10k-labels-idx"):
        load(tmp_path / "set", normal={"0"})
    write_four(tmp_path / "set")
    (tmp_path / "set/t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(2))))
    with pytest.raises(DataError, match=r"labels of shape \(2,\) for 3 rows"):
        load(tmp_path / "set", normal={"0"})


@pytest.mark.parametrize("most", [0, 2**28])
@pytest.mark.parametrize("kind", ["npy", "idx"])
def test_a_file_that_is_cut_short_is_refused_and_does_not_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, kind: str
) -> None:
    monkeypatch.setattr(stored, "MOST_READ", most)
    pictures = numbers(2000, 16, 16)
    if kind == "npy":
        path = npy(tmp_path, pictures)
    else:
        path = tmp_path / "a-idx3-ubyte"
        path.write_bytes(struct.pack(">2xBB3I", 8, 3, *pictures.shape) + pictures.tobytes())
    opened = open_rows(path)
    np.testing.assert_array_equal(opened[1999][..., 0], pictures[1999])
    os.truncate(path, 5000)
    if most:  # it was read
        np.testing.assert_array_equal(opened[1999][..., 0], pictures[1999])
    else:
        with pytest.raises(DataError, match="became shorter"):
            opened[1999]
    with pytest.raises(DataError, match=r"truncated|holds less"):
        open_rows(path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-5, 9, 9), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10**30, 9, 9), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2**62, 9, 9), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': 7, }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (5, 9, 9), }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (5, 9, 9), }",
        "{'descr': '|u1', 'fortran_order': 1, 'shape': (5, 9, 9), }",
        "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (5, 9, 9), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (5, 9, 9L), }",
        "{" * 500,
        "('",
        "\x00",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_headers_that_lie(tmp_path: Path, header: str, packed: bool) -> None:
    text = header.encode().ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(405)
    path = tmp_path / ("a.npz" if packed else "a.npy")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("X.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.np[yz]"):
        load(path)


@pytest.mark.parametrize(("place", "value"), [(8, 99), (8, 14), (8, 12), (8, 9), (6, 1), (4, 99)])
@pytest.mark.parametrize("where", [b"PK\3\4", b"PK\1\2"])
def test_an_archive_with_a_strange_directory(tmp_path: Path, place: int, value: int, where: bytes) -> None:
    """An unknown method of compression, LZMA, encryption, a later version: each in one byte."""
    path = npz(tmp_path, X=numbers(20, 3))
    content = bytearray(path.read_bytes())
    shift = place + 2 if where == b"PK\1\2" else place
    content[content.index(where) + shift] = value
    path.write_bytes(content)
    try:
        load(path)
    except DataError as error:
        assert "a.npz" in str(error)  # noqa: PT017


def test_an_array_that_unpacks_to_more_than_memory_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MOST_UNPACKED", 10_000)
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((100, 200)))
    with pytest.raises(DataError, match=r"unpacks to 160,000 bytes; save it as \.npy"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_packs_better_than_deflate_is_no_damage(tmp_path: Path, method: int) -> None:
    np.save(tmp_path / "X.npy", np.zeros((4000, 400)))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.write(tmp_path / "X.npy", "X.npy")
    assert rows(tmp_path / "a.npz").shape == (4000, 400)
