"""Every row is a calibration row, scored by the member that was not trained on it."""

import warnings

import numpy as np
import pytest

from oddgan import testing
from oddgan.cautions import CalibrationWarning
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.knn import KNN
from oddgan.detectors.pca import PCA
from oddgan.ensemble import CrossConformal
from oddgan.errors import DataError, ParameterError
from oddgan.model.ensemble_fitting import folds_of
from oddgan.rows import open_rows

pytestmark = pytest.mark.filterwarnings("ignore::oddgan.cautions.OddganWarning")


def test_the_p_value_is_the_formula_of_members_that_were_fitted_alone(table):
    new = np.concatenate([table * 1.05, table[:5] + 3])
    det = CrossConformal(KNN(k=2), folds=4, random_state=1).fit(table)
    fold = folds_of(open_rows(table), 4, 1)
    at_least = np.zeros(len(new))
    for k in range(4):
        alone = KNN(k=2, random_state=1).fit(table[fold != k], calibrate=table[fold == k])
        held, scores = alone.anomaly_score(table[fold == k]), alone.anomaly_score(new)
        at_least += (held[:, None] >= scores).sum(axis=0)
    np.testing.assert_allclose(det.p_value(new), (1 + at_least) / 81)
    assert (det.n_calibrate_, det.false_alarm_rate_) == (80, 1 / 81)
    score = det.anomaly_score(new)
    np.testing.assert_array_equal(np.floor(score), 80 - at_least)
    assert (score != np.floor(score)).all()


def test_no_member_has_seen_its_fold(table):
    det = CrossConformal(testing.small(GANomaly, calibrate_fraction=0.2), folds=3, random_state=0).fit(table)
    fold = folds_of(open_rows(table), 3, 0)
    for k, member in enumerate(det.model_.members.values()):
        seen = member.explain(open_rows(table)).trained_on
        assert not seen[fold == k].any()
        tuned = (fold != k).sum() - seen.sum()  # of a score of two terms; a tenth of 53 or 54
        assert tuned == 5
        held = member.score(open_rows(table[fold == k]))
        np.testing.assert_array_equal(np.sort(held), member.calibration.scores)
    assert det.explain(table).trained_on.mean() > 0.9  # but for those that both others tuned on


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_folds_are_of_equal_size_and_drawn_by_the_seed(folds, table):
    first, again, other = (folds_of(open_rows(table), folds, seed) for seed in (0, 0, 1))
    counts = np.bincount(first, minlength=folds)
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == 80
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_equal_rows_are_in_one_fold(table, pictures):
    for X in (table, pictures):
        repeated = np.concatenate([X[:30], X[:10], X[:10], X[:1] * 1])
        fold = folds_of(open_rows(repeated), 5, 0)
        np.testing.assert_array_equal(fold[:10], fold[30:40])
        np.testing.assert_array_equal(fold[:10], fold[40:50])
        assert fold[0] == fold[50]
        counts = np.bincount(fold)
        assert counts.max() - counts.min() <= 2
    with pytest.raises(DataError, match="only 2 of 20 rows differ"):
        folds_of(open_rows(np.repeat(table[:2], 10, axis=0)), 3, 0)


def test_false_alarms_are_near_the_rate_whatever_the_rows():
    """Of 24 rows each, at a rate that a fifth of them would not hold."""
    found, random = [], np.random.default_rng(0)
    for _ in range(12):
        rows = random.standard_t(3, size=(24 + 200, 3))
        det = CrossConformal(KNN(k=2), folds=4, random_state=0, false_alarm_rate=0.12).fit(rows[:24])
        found.append((det.predict(rows[24:]) < 0).mean())
    assert 0.05 < np.mean(found) < 0.2  # 0.12 is three of 25; 12 sets of rows have a standard error near 0.02


def test_ties_and_rows_on_both_sides_are_found_in_the_folds():
    random = np.random.default_rng(0)
    common = np.where(random.random(200) < 0.5, 0.0, random.normal(size=200))  # equal by half, which is common by far
    X = np.column_stack([common, np.where(common == 0, 0.0, random.normal(size=200))])
    with pytest.warns(CalibrationWarning):
        det = CrossConformal(KNN(), random_state=0).fit(X)
    codes = {one["code"] for one in det.training_["warnings"]}
    assert {"tied-scores", "rows-on-both-sides"} <= codes
    assert "but calibration rows equal training rows" in str(det.guarantee_)


def test_discoveries_are_no_promise_here(table):
    det = CrossConformal(PCA(), folds=2, random_state=0).fit(table)
    with pytest.warns(CalibrationWarning) as given:
        det.discoveries(table, fdr=0.5)
    assert "fdr-not-proven" in [one.message.code for one in given]
    proven = PCA(random_state=0).fit(table)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        proven.discoveries(table, fdr=0.5)
    assert "fdr-not-proven" not in [getattr(one.message, "code", "") for one in given]


def test_maps_have_the_peaks_of_all_folds(pictures):
    det = CrossConformal(PCA(components=2), folds=4, random_state=0, false_alarm_rate=0.2).fit(pictures)
    peaks = np.sort(np.concatenate([one.map_scale.peaks for one in det.model_.members.values()]))
    np.testing.assert_array_equal(det.model_.peaks, peaks)
    assert det.model_.map_threshold in peaks
    found = det.explain(pictures[:3])
    assert found.anomaly_map[0].shape == (11, 9)
    assert found.map_threshold == det.model_.map_threshold
    assert det.with_false_alarm_rate(0.05).model_.map_threshold > det.model_.map_threshold


def test_rows_to_calibrate_with_belong_to_x(table):
    with pytest.raises(ParameterError, match="every row is a calibration row"):
        CrossConformal(KNN()).fit(table, calibrate=table)
    det = CrossConformal(testing.small(GANomaly), folds=2, random_state=0).fit(table[:60], tune=table[60:])
    assert [len(one.trained_on) for one in det.model_.members.values()] == [30, 30]
