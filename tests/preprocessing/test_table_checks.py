"""Columns that teach nothing, and those that name rows, are warned of when a model is fitted."""

import numpy as np
import pandas as pd
import pytest

import oddgan
from oddgan.cautions import DataWarning

N = 400


def warned(**columns):
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=N), **columns})
    det = oddgan.PCA(random_state=0, rare=0.02).fit(frame)
    return {one["code"]: one["message"] for one in det.training_["warnings"]}


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ([f"user {i}" for i in range(N)], "unique-values"),
        ([f"rm -rf /{i}" if i % 50 else "ls" for i in range(N)], "unique-values"),
        (["same"] * N, "constant-column"),
        ([7.5] * N, "constant-column"),
        (range(N), "identifier"),
        (range(100, 100 + 5 * N, 5), "identifier"),
        ([None] * N, "empty-column"),
        ([f"user {i // 3}" for i in range(N)], "rare-values"),
        ([2**60 + 1000 * int(i) for i in np.random.default_rng(0).permutation(N)], "large-integers"),
    ],
)
def test_a_column_is_named(column, code):
    found = warned(suspect=list(column))
    assert "suspect" in found[code]


def test_an_identifier_by_its_name():
    shuffled = np.random.default_rng(0).permutation(10 * N)[:N]
    assert "identifier" in warned(id=shuffled)
    assert "identifier" not in warned(bytes=shuffled)


def test_useful_columns_are_not_named():
    random = np.random.default_rng(0)
    found = warned(n=random.integers(0, 50, N), c=random.choice(list("abc"), N), b=random.random(N) > 0.5)
    assert not found.keys() & {"unique-values", "rare-values", "constant-column", "empty-column", "identifier"}


def test_a_new_text_in_a_column_of_unique_ones_is_warned_of_at_fit():
    frame = pd.DataFrame({"msg": [f"line {i}" for i in range(N)], "x": np.random.default_rng(0).normal(size=N)})
    with pytest.warns(DataWarning, match="nearly every value occurs once in msg"):
        oddgan.GANomaly(updates=2, width=4, random_state=0).fit(frame)
