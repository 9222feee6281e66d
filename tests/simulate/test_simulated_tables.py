"""Simulated anomalous rows: only what the kind says changes, and categories stay known."""

import numpy as np
import pytest

from oddgan.errors import DataError, ParameterError
from oddgan.rows.tables import TableRows
from oddgan.simulate.tables import KINDS, anomalous

WORDS = ("a", "b", "c")


def rows(n=200, missing=True, dtype=np.float64):
    random = np.random.default_rng(0)
    values = np.empty((n, 6), dtype)
    values[:, :4] = random.normal(size=(n, 2)) @ random.normal(size=(2, 4)) * [1, 10, 100, 0.1] + [5, 0, 1000, 1]
    values[:, 4], values[:, 5] = random.integers(3, size=n), random.integers(2, size=n)
    if missing:
        values[random.random((n, 6)) < 0.1] = np.nan
    kinds = ("number",) * 4 + ("category", "boolean")
    return TableRows(values, tuple("uvwxyz"), kinds, ((),) * 4 + (WORDS, ("False", "True")), np.arange(n) + 7)


def differs(a, b):
    return (a != b) & ~(np.isnan(a) & np.isnan(b))


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_the_kind_says_changes(kind):
    given = rows()
    before = given.values.copy()
    made, kinds = anomalous(given, np.random.default_rng(1), kind)
    assert np.array_equal(given.values, before, equal_nan=True)
    assert (kinds == kind).all()
    assert (made.columns, made.kinds, made.texts, made.labels) == (given.columns, given.kinds, given.texts, None)
    assert np.array_equal(np.isnan(made.values), np.isnan(before)), "missing stays missing, and nothing else is"
    change = differs(made.values, before)
    assert change.any(1).mean() > 0.95
    if kind not in ("mixed", "shuffled"):
        assert not change[:, 4:].any()
    for column, count in ((4, 3), (5, 2)):
        found = made.values[:, column]
        assert set(found[~np.isnan(found)].tolist()) <= set(range(count))
    low, high = np.nanmin(before, 0), np.nanmax(before, 0)
    if kind in ("mixed", "shuffled"):
        assert all(np.isin(made.values[:, c][~np.isnan(made.values[:, c])], before[:, c]).all() for c in range(6))
    if kind == "mixed":
        assert change.sum(1).max() <= 3
    if kind == "beyond":
        by = np.where(made.values < low, low - made.values, made.values - high)[change]
        span = np.broadcast_to(high - low, change.shape)[change]
        assert (by >= 0.0999 * span).all()
        assert (by <= 1.0001 * span).all()
        assert change.sum(1).max() == 1
    if kind == "scaled":
        factor = made.values[change] / before[change]
        assert (((factor > 0.2499) & (factor < 0.5001)) | ((factor > 1.999) & (factor < 4.001))).all()
        assert change.sum(1).max() == 1
    if kind == "local":
        assert change[:, :4][~np.isnan(before[:, :4])].all()


def test_local_anomalies_are_a_few_neighbour_distances_away():
    given = TableRows(np.random.default_rng(0).normal(size=(200, 3)))
    made, _ = anomalous(given, np.random.default_rng(1), "local")
    x = given.values / given.values.std(0)
    far = np.sort(np.linalg.norm(x[:, None] - x, axis=2), 1)[:, 1:6].mean(1)
    reach = np.maximum(far, 0.1 * np.sqrt(3))
    step = np.linalg.norm((made.values - given.values) / given.values.std(0), axis=1) / reach
    assert step.min() > 1.99
    assert step.max() < 6.01


def test_shuffled_rows_are_impossible_pairs():
    """Every value is usual, and two columns that are equal in all rows are so in few."""
    column = np.random.default_rng(0).normal(size=300)
    given = TableRows(np.stack([column, column], 1))
    made, _ = anomalous(given, np.random.default_rng(0), "shuffled")
    assert np.isin(made.values, column).all()
    assert (made.values[:, 0] == made.values[:, 1]).mean() < 0.05
    assert abs(made.values[:, 0].mean() - column.mean()) < 0.2


def test_kinds_are_drawn_by_row_and_repeat_with_the_generator():
    given = rows()
    first, kinds = anomalous(given, np.random.default_rng(1))
    again, same = anomalous(given, np.random.default_rng(1))
    other, _ = anomalous(given, np.random.default_rng(2))
    assert set(kinds) == set(KINDS)
    assert np.array_equal(kinds, same)
    assert np.array_equal(first.values, again.values, equal_nan=True)
    assert not np.array_equal(first.values, other.values, equal_nan=True)


def test_tables_without_numbers():
    values = np.random.default_rng(0).integers(3, size=(50, 4)).astype(float)
    given = TableRows(values, tuple("abcd"), ("category",) * 4, (WORDS,) * 4)
    made, kinds = anomalous(given, np.random.default_rng(0))
    assert set(kinds) == {"mixed", "shuffled"}
    assert differs(made.values, values).any(1).mean() > 0.5
    with pytest.raises(ParameterError, match="numbers"):
        anomalous(given, np.random.default_rng(0), "scaled")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8, bool])
@pytest.mark.parametrize("kind", KINDS)
def test_types(dtype, kind):
    values = np.random.default_rng(0).integers(0, 2 if dtype is bool else 100, (40, 3)).astype(dtype)
    made, _ = anomalous(TableRows(values), np.random.default_rng(0), kind)
    assert made.values.dtype == (dtype if dtype == np.float32 else np.float64)
    assert np.isfinite(made.values).all()


@pytest.mark.parametrize("kind", KINDS)
def test_few_columns_few_rows_constant_missing_and_huge_values(kind):
    for values in (
        np.arange(2.0)[:, None],
        np.ones((5, 2)),
        np.full((4, 2), 1e308) * [[1], [-1], [1], [-1]],
        np.full((4, 2), 3e38, np.float32),
        np.array([[np.nan, 1.0], [np.nan, 2.0], [np.nan, 3.0]]),
    ):
        made, _ = anomalous(TableRows(values), np.random.default_rng(0), kind)
        assert made.values.shape == values.shape
        assert np.array_equal(np.isnan(made.values), np.isnan(values))
        assert not np.isinf(made.values).any()


def test_errors():
    with pytest.raises(DataError, match="at least 2"):
        anomalous(TableRows(np.zeros((1, 3))), np.random.default_rng(0))
    with pytest.raises(ParameterError, match="expected one of mixed"):
        anomalous(rows(), np.random.default_rng(0), "spoiled")
