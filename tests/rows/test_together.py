"""Which rows are held out together."""

import numpy as np
import pytest
from PIL import Image

from oddgan.errors import DataError
from oddgan.rows import open_rows, together


def of(X, groups=None):
    found = together(open_rows(X), groups)
    return None if found is None else found.tolist()


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(6, 3))


def test_rows_that_differ_are_alone(rows):
    assert of(rows) is None
    assert of(rows, np.arange(6)) is None


def test_equal_rows_are_in_one_group(rows):
    assert of(rows[[0, 1, 0, 2, 1, 3]]) == [0, 1, 0, 2, 1, 3]
    rows[2] = rows[4] = np.where(np.arange(3) == 1, 0.0, rows[2])
    rows[4, 1] = -0.0
    assert of(rows) == [0, 1, 2, 3, 2, 4]


def test_groups_that_share_a_row_are_one(rows):
    assert of(rows, list("aabbcc")) == [0, 0, 1, 1, 2, 2]
    assert of(rows[[0, 1, 2, 3, 1, 5]], list("aabbcc")) == [0, 0, 1, 1, 0, 0]
    with pytest.raises(DataError, match="one for each row"):
        of(rows, [1, 2])


def test_rows_that_are_equal_by_chance_are_alone():
    random = np.random.default_rng(0)
    few_values = random.integers(0, 3, (500, 3))
    assert of(few_values) is None
    copies = np.repeat(random.integers(0, 1000, (50, 3)), 10, 0)
    assert max(of(copies)) == 49


def test_a_row_that_is_common_by_far_is_known_to_any_model():
    random = np.random.default_rng(0)
    X = random.normal(size=(1000, 3))
    X[:300] = X[0]
    X[400] = X[401]
    found = np.array(of(X))
    assert len(set(found[:300])) == 300
    assert found[400] == found[401]


def test_pictures_by_their_bytes(tmp_path):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 255, (4, 8, 8), dtype=np.uint8)
    assert of(pictures[[0, 1, 0, 2]]) == [0, 1, 0, 2]
    assert of(pictures) is None
    paths = []
    for i, one in enumerate([0, 1, 2, 1]):
        Image.fromarray(pictures[one]).save(tmp_path / f"{i}.bmp")  # all of one size in bytes
        paths.append(tmp_path / f"{i}.bmp")
    assert of(paths) == [0, 1, 2, 1]
    assert of(tmp_path) == [0, 1, 2, 1]
