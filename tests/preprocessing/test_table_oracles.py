"""scikit-learn's transformers say the same, where we mean the same; where we differ on purpose, it is shown."""

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, QuantileTransformer, RobustScaler, StandardScaler

from oddgan.preprocessing import TablePreprocessor
from oddgan.preprocessing.table_columns import KNOTS, OTHER
from oddgan.rows.tables import as_table


@pytest.fixture
def numbers() -> np.ndarray:
    random = np.random.default_rng(0)
    columns = [random.normal(100, 5, 900), random.exponential(2, 900), random.integers(0, 9, 900), np.full(900, 3.0)]
    return np.stack(columns, axis=1)


@pytest.fixture
def new() -> np.ndarray:
    random = np.random.default_rng(1)
    return np.stack([random.normal(100, 5, 50), random.exponential(2, 50), random.integers(0, 9, 50), np.ones(50)], 1)


def test_standard_scaler(numbers, new):
    expected = StandardScaler().fit(numbers).transform(new)
    np.testing.assert_allclose(TablePreprocessor.fit(numbers).tensor(new), expected, atol=1e-5)


def test_min_max_scaler(numbers, new):
    expected = MinMaxScaler().fit(numbers).transform(new)
    np.testing.assert_allclose(TablePreprocessor.fit(numbers, scaling="minmax").tensor(new), expected, atol=1e-5)


def test_robust_scaler(numbers, new):
    expected = RobustScaler().fit(numbers).transform(new)
    np.testing.assert_allclose(TablePreprocessor.fit(numbers, scaling="robust").tensor(new), expected, atol=1e-5)


def test_robust_scaling_of_columns_that_are_mostly_one_value():
    """Departure: where the quartiles are equal scikit-learn leaves the unit alone; here the deviation takes its place,
    or a column of zeros and a few millions would stay in millions."""
    mostly = np.where(np.arange(100) % 10 == 0, 1e6, 0.0)[:, None]
    assert RobustScaler().fit_transform(mostly).max() == 1e6
    ours = TablePreprocessor.fit(mostly, scaling="robust").tensor(mostly)
    np.testing.assert_allclose(ours, mostly / mostly.std(), rtol=1e-6)


def test_quantile_transformer_on_what_it_was_fitted_on(numbers):
    """The same normal quantiles at the same ranks. (scikit-learn sends the extremes to +-5.2 whatever the number of
    rows, and equal values at an end with them; here they go where so many rows would put them.)"""
    few = numbers[:KNOTS, :2]
    theirs = QuantileTransformer(n_quantiles=KNOTS, output_distribution="normal").fit_transform(few)
    ours = TablePreprocessor.fit(few, scaling="quantile").tensor(few).numpy()
    inside = np.abs(theirs) < 5
    assert inside.sum() == 2 * (KNOTS - 2)
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-5)
    assert np.abs(ours[~inside]) == pytest.approx(2.886, abs=1e-3)  # of 256 rows the outermost half a rank


def test_quantile_transformer_between_the_knots(numbers, new):
    """Lines between knots are straight in normal units here and in ranks there: the same up to the bend between two."""
    theirs = QuantileTransformer(n_quantiles=KNOTS, output_distribution="normal", subsample=None).fit(numbers)
    ours = TablePreprocessor.fit(numbers, scaling="quantile")
    expected, found = theirs.transform(new)[:, :2], ours.tensor(new).numpy()[:, :2]
    inside = np.abs(expected) < 2.3
    assert inside.mean() > 0.9
    np.testing.assert_allclose(found[inside], expected[inside], atol=5e-3)
    back = ours.restore(ours.tensor(new))[:, :2]
    np.testing.assert_allclose(back, new[:, :2], rtol=1e-4, atol=1e-4)


def test_equal_values_get_scikit_learns_rank(numbers, new):
    theirs = QuantileTransformer(n_quantiles=KNOTS, output_distribution="normal", subsample=None).fit(numbers)
    ours = TablePreprocessor.fit(numbers, scaling="quantile").tensor(new).numpy()[:, 2]
    expected = theirs.transform(new)[:, 2]
    inside = (new[:, 2] > 0) & (new[:, 2] < 8)  # the ends go to +-5.2 there
    np.testing.assert_allclose(ours[inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize("rare", [0.02, 0.1, 0.0])
def test_one_hot_encoder(rare):
    random = np.random.default_rng(0)
    texts = random.choice(list("abcdefgh"), 500, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.015, 0.005])
    frame = pd.DataFrame({"t": texts})
    new = pd.DataFrame({"t": [*"abcdefgh", "unseen"]})
    theirs = OneHotEncoder(
        min_frequency=rare or None,
        handle_unknown="infrequent_if_exist" if rare else "ignore",
        sparse_output=False,
    ).fit(frame)
    ours = TablePreprocessor.fit(as_table(frame), rare=rare)
    np.testing.assert_array_equal(ours.tensor(as_table(new)), theirs.transform(new))
    kept = [str(name).removeprefix("t_") for name in theirs.get_feature_names_out()]
    assert [one if one != OTHER else "infrequent_sklearn" for one in ours.categories[0].values] == kept


def test_unseen_values_have_a_column_even_where_nothing_is_rare():
    """Departure: scikit-learn then maps them to all zeros; here they show as any other wrong value does."""
    frame, new = pd.DataFrame({"t": ["a", "b"] * 50}), pd.DataFrame({"t": ["unseen"]})
    ours = TablePreprocessor.fit(as_table(frame))
    assert ours.tensor(as_table(new)).tolist() == [[0, 0, 1]]


def test_simple_imputer(numbers, new):
    random = np.random.default_rng(2)
    gaps, new = numbers.copy(), new.copy()
    gaps[random.random(numbers.shape) < [0.2, 0.1, 0, 0]] = np.nan
    new[random.random(new.shape) < [0.5, 0.5, 0, 0]] = np.nan
    imputer = SimpleImputer(strategy="median", add_indicator=True).fit(gaps)
    expected = imputer.transform(new)
    expected[:, :4] = StandardScaler().fit(gaps).transform(expected[:, :4])  # which looks past gaps when it is fitted
    ours = TablePreprocessor.fit(as_table(pd.DataFrame(gaps, columns=list("abcd"))))
    np.testing.assert_allclose(ours.tensor(as_table(pd.DataFrame(new, columns=list("abcd")))), expected, atol=1e-5)
