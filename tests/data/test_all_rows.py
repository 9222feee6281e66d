"""Arrays and named sets are judged whole, and sets all of whose classes are normal have no test part."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oddgan.data import load
from oddgan.data.split import for_calibration, resolve
from oddgan.errors import DataError


@pytest.fixture
def rows() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    masks = np.zeros((3, 9, 9))
    masks[1, 2:4, 2:5] = 1
    return {
        "x_train": random.random((5, 9, 9)),
        "x_test": random.random((3, 9, 9)),
        "y_test": np.array([0, 1, 0]),
        "masks": masks,
    }


def test_all_rows_of_an_array_file(tmp_path: Path, rows: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "a.npz", **rows)
    split = load(tmp_path / "a.npz", all_rows=True)
    assert split.train is None
    assert split.test is not None
    assert split.labels is not None
    assert split.masks is not None
    np.testing.assert_array_equal(split.test[6], rows["x_test"][1].astype(np.float32))
    assert split.labels.tolist() == [False] * 6 + [True, False]
    assert [None if mask is None else int(mask.sum()) for mask in split.masks] == [0] * 6 + [6, 0]
    np.save(tmp_path / "b.npy", rows["x_test"])
    split = load(tmp_path / "b.npy", all_rows=True)
    assert split.test is not None
    assert (split.train, split.labels, len(split.test)) == (None, None, 3)


def test_a_test_part_alone(tmp_path: Path, rows: dict[str, np.ndarray]) -> None:
    del rows["x_train"]
    np.savez(tmp_path / "a.npz", **rows)
    with pytest.raises(DataError, match=r"no rows to train on.*all_rows"):
        load(tmp_path / "a.npz")
    split = load(tmp_path / "a.npz", all_rows=True)
    assert split.labels is not None
    assert split.labels.tolist() == [False, True, False]


def test_all_rows_of_named_sets_and_idx(tmp_path: Path, write_four: Callable[..., None]) -> None:
    split = load("wine", all_rows=True)
    assert split.labels is not None
    assert (split.train, len(split.labels), int(split.labels.sum())) == (None, 178, 107)
    write_four(tmp_path / "four")
    split = load(tmp_path / "four", anomaly="2", all_rows=True)
    assert split.labels is not None
    assert (split.train, split.labels.tolist()) == (None, [False, False, True] * 3)


def test_all_classes_are_normal(tmp_path: Path, rows: dict[str, np.ndarray], write_four: Callable[..., None]) -> None:
    for normal in ("all", list("0123456789"), "0,1,2,3,4,5,6,7,8,9"):
        split = load("digits", normal=normal)
        assert split.train is not None
        assert (len(split.train), split.test, split.labels) == (1797, None, None)
    write_four(tmp_path / "four")
    split = load(tmp_path / "four", normal=["0", "1", "2"])
    assert split.train is not None
    assert (len(split.train), split.test) == (6, None)
    assert "test part not used: 3" in split.note
    np.savez(tmp_path / "a.npz", **rows)
    assert load(tmp_path / "a.npz", normal="all").masks is None


def test_names_of_classes_with_commas() -> None:
    known = {"bolt, m4", "nut", "3", "5", "all, of it"}
    assert resolve("bolt, m4", known) == ["bolt, m4"]
    assert resolve(["nut,bolt, m4", "3, 5"], known) == ["nut", "bolt, m4", "3", "5"]
    assert resolve(["fox,", "all, of it"], known) == ["fox", "all, of it"]


def test_masks_without_a_value(tmp_path: Path, rows: dict[str, np.ndarray]) -> None:
    rows["masks"][0, 0, 0] = np.nan
    np.savez(tmp_path / "a.npz", **rows)
    with pytest.raises(DataError, match=r"\[masks\]: holds NaN"):
        load(tmp_path / "a.npz")


def test_the_note_of_a_calibration_has_no_training():
    assert for_calibration("days: 50 normal for training, no test part") == "days: 50 normal for the calibration"
    assert for_calibration("d: 1,050 normal for training, 20 for test (10 anomalous); normal: a") == (
        "d: 1,050 normal for the calibration, test part not used: 20; normal: a"
    )
