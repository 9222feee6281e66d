"""Tables are standardised by the training rows alone."""

import numpy as np
import pandas as pd
import pytest

import oddgan
from oddgan import testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.errors import DataError
from oddgan.model.fitting import hold_out
from oddgan.preprocessing import TablePreprocessor


def test_standardising_by_hand():
    table = np.array([[1.0, 5.0, 1e8], [3.0, 5.0, 1e8 + 1]])
    pre = TablePreprocessor.fit(table)
    np.testing.assert_allclose(pre.tensor(table), [[-1, 0, -1], [1, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(pre.tensor(np.array([[2.0, 7.0, 1e8 + 0.5]])), [[0, 2, 0]], atol=1e-6)
    np.testing.assert_allclose(pre.restore(pre.tensor(table)), table)


def test_memory_mapped_rows_are_encoded_without_a_warning(table, tmp_path):
    np.save(tmp_path / "rows.npy", table)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    pre = TablePreprocessor.fit(table)
    np.testing.assert_array_equal(pre.tensor(mapped), pre.tensor(table))


def test_small_units_are_not_constant_columns(table):
    tiny = table * 1e-13
    expected = TablePreprocessor.fit(table).tensor(table)
    np.testing.assert_allclose(TablePreprocessor.fit(tiny).tensor(tiny), expected, atol=1e-5)
    with pytest.raises(DataError, match=r"column 0 holds values up to .*: rescale it"):
        testing.small(GANomaly).fit(table * 1e300)


def test_only_training_rows_count(table):
    det = testing.small(GANomaly, calibrate_fraction=0.5).fit(table)
    assert det.training_["rows"] == 20  # of 80, 40 calibrate and 20 tune
    np.testing.assert_allclose(det.preprocessor_.numbers.center, _training_rows(det, table).mean(0))


def _training_rows(det, table):
    train, _ = hold_out(det, len(table), det.training_["seed"], tune=True, calibrate=True)
    return table[train]


def test_data_frames_keep_their_names(table, tmp_path):
    frame = pd.DataFrame(table, columns=["a", "b", "c", "d", "e"])
    det = testing.small(GANomaly).fit(frame)
    assert list(det.feature_names_in_) == ["a", "b", "c", "d", "e"]
    det.save(tmp_path / "m.oddgan")
    loaded = oddgan.load(tmp_path / "m.oddgan")
    assert list(loaded.feature_names_in_) == ["a", "b", "c", "d", "e"]
    assert np.array_equal(loaded.anomaly_score(frame), det.anomaly_score(frame))
    with pytest.raises(ValueError, match="feature names"):
        loaded.anomaly_score(frame.rename(columns={"a": "z"}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.assign(c=np.where(f.index == 5, np.inf, f.c)), "infinity: row 5, column c; fill in"),
        (lambda f: f.assign(d=pd.Timestamp("2020-01-01")), "column 'd' is of type Datetime.*numbers or text, or drop"),
        (lambda f: f.assign(d=[b"x"] * 80), "column 'd' holds bytes .*turn it into numbers or text, or drop it"),
        (lambda f: f.assign(d=[1, "x"] * 40), "column 'd' holds int and str .*turn it into numbers or text"),
        (lambda f: f.set_axis(list("abcda"), axis=1), "two columns have one name"),
        (lambda f: f[[]], "0 columns"),
        (lambda f: f.head(2), "n_samples = 2: give at least 4 normal rows"),
        (lambda f: np.where(np.arange(5) == 2, np.nan, f.to_numpy()), "NaN: row 0, column 2; fill in"),
    ],
)
def test_unusable_values_name_their_row_and_column(spoil, message, table):
    frame = spoil(pd.DataFrame(table, columns=list("abcde")))
    with pytest.raises(DataError, match=message):
        testing.small(GANomaly).fit(frame)


def test_explanations_of_tables(table):
    det = testing.small(GANomaly, updates=200).fit(table)
    odd = table[:3].copy()
    odd[:, 2] += 100 * table[:, 2].std()
    explained = det.explain(odd)
    assert explained.anomaly_map.shape == (3, 5)
    np.testing.assert_allclose(explained.anomaly_map.sum(1), 1.0)
    assert (explained.anomaly_map.argmax(1) == 2).all()
    assert explained.reconstruction.shape == (3, 5)
    assert det.features(odd).shape == (3, 4)


def test_models_of_tables_refuse_pictures(table, pictures):
    with pytest.raises(DataError, match="takes tables of 5 columns, standardised, and X holds 64 pictures"):
        testing.small(GANomaly).fit(table).anomaly_score(pictures)
    with pytest.raises(DataError, match="takes pictures of 11x9 -> 11x9 grey"):
        testing.small(GANomaly).fit(pictures).anomaly_score(table)
