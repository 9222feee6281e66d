"""Other calibration rows, groups and strata, through the estimator."""

import numpy as np
import pytest

import oddgan
from oddgan.cautions import CalibrationWarning
from oddgan.errors import DataError, ParameterError


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(600, 4))


def test_groups_are_held_out_together_and_set_the_rate(rows):
    clips = np.repeat(np.arange(60), 10)
    X = rows[:60][clips] + 0.01 * rows
    det = oddgan.KNN(random_state=0, false_alarm_rate=0.1, calibrate_fraction=0.4).fit(X, groups=clips)
    assert det.n_calibrate_ == 24
    new = np.random.default_rng(1).normal(size=(400, 4))
    assert (det.predict(new) == -1).mean() < 0.2
    apart = oddgan.KNN(random_state=0, false_alarm_rate=0.1, calibrate_fraction=0.4).fit(X)
    assert (apart.predict(new) == -1).mean() > 0.3  # frames of clips that it was trained on set the threshold
    with pytest.raises(ParameterError, match="groups"):
        oddgan.KNN(false_alarm_rate=0.01).fit(X, groups=clips)
    with pytest.raises(DataError, match="2 groups, which are held out together, leaves 0 rows"):
        oddgan.PCA(score_by="residual", calibrate_fraction=0.6, random_state=0).fit(X, groups=clips < 30, tune=X[:9])


def test_recalibrated_models_hold_the_rate_elsewhere(rows, tmp_path):
    det = oddgan.PCA(components=2, random_state=0, false_alarm_rate=0.05).fit(rows)
    random = np.random.default_rng(1)
    elsewhere, new = 3 * random.normal(size=(400, 4)), 3 * random.normal(size=(2000, 4))
    again = det.recalibrate(elsewhere)
    assert (det.predict(new) == -1).mean() > 0.5
    assert abs((again.predict(new) == -1).mean() - 0.05) < 0.04
    assert np.array_equal(again.anomaly_score(new), det.anomaly_score(new))
    assert (again.n_calibrate_, again.training_["recalibrated"]) == (400, 400)
    assert det.n_calibrate_ == 120  # a new value
    again.save(tmp_path / "m.oddgan")
    assert oddgan.load(tmp_path / "m.oddgan").threshold_ == again.threshold_
    assert det.recalibrate(elsewhere, false_alarm_rate=0.2).false_alarm_rate_ == 0.2
    with pytest.raises(ParameterError, match="needs at least 19"):
        det.recalibrate(elsewhere[:9])


def test_rows_that_were_trained_on_are_named(rows):
    det = oddgan.PCA(random_state=0).fit(rows[:400])
    with pytest.warns(CalibrationWarning, match="calibration rows equal training rows"):
        again = det.recalibrate(rows[:400])
    assert "rows-on-both-sides" in {one["code"] for one in again.training_["warnings"]}
    assert "rows-on-both-sides" not in {one["code"] for one in det.training_["warnings"]}
    clean = again.recalibrate(rows[400:])
    assert "rows-on-both-sides" not in {one["code"] for one in clean.training_["warnings"]}


def test_maps_get_their_threshold_from_the_new_pictures():
    random = np.random.default_rng(0)
    X = random.integers(100, 130, (60, 16, 16), dtype=np.uint8)
    det = oddgan.PCA(random_state=0, components=4, score_by="map_max", false_alarm_rate=0.2).fit(X)
    again = det.recalibrate(random.integers(60, 170, (30, 16, 16), dtype=np.uint8))
    assert again.model_.map_threshold > 1.5 * det.model_.map_threshold
    assert again.model_.map_threshold == again.threshold_


def test_strata_are_judged_by_their_own_rows(rows):
    loud = np.arange(600) % 2 == 1
    X = rows * np.where(loud, 5, 1)[:, None]
    names = np.where(loud, "loud", "calm")
    det = oddgan.PCA(components=2, random_state=0, false_alarm_rate=0.05).fit(X, strata=names)
    new = np.random.default_rng(1).normal(size=(1000, 4))
    assert (det.predict(new) == -1).mean() == 0.0
    assert 0.01 < (det.predict(new, strata=["calm"] * 1000) == -1).mean() < 0.12
    p = det.p_value(new, strata=["calm"] * 1000)
    found = det.explain(new, strata=["calm"] * 1000)
    assert np.array_equal(found.p_value, p)
    assert np.array_equal(found.is_anomaly, p <= 0.05)
    with pytest.warns(CalibrationWarning, match="no threshold for 1 strata, the first is 'new'"):
        unknown = det.p_value(new[:5], strata=["new"] * 5)
    assert np.array_equal(unknown, det.p_value(new[:5]))
    with pytest.warns(CalibrationWarning, match="1 of 3 strata, the first is few"):
        oddgan.PCA(random_state=0, false_alarm_rate=0.05).fit(X, strata=np.where(np.arange(600) < 9, "few", names))
    with pytest.raises(ParameterError, match="recalibrate"):
        oddgan.PCA().fit(X, strata=names, calibrate=X)
