"""Rows without labels, the map of rows, and calibrations, for reports."""

import numpy as np
import pytest

from oddgan import KNN, evaluate
from oddgan.data import Split
from oddgan.evaluation import calibration_of, judge, training_of
from oddgan.evaluation.latent import Mapper, principal


@pytest.fixture(scope="module")
def detector():
    return KNN(random_state=0).fit(np.random.default_rng(0).normal(size=(200, 3)))


@pytest.fixture
def rows():
    rows = np.random.default_rng(1).normal(size=(70, 3))
    rows[[5, 40]] += 9
    return rows


def test_principal_components_by_hand():
    points, share = principal(np.array([[4.0, 0.0, 7.0], [-2.0, 1.0, 7.0], [-2.0, -1.0, 7.0]]))
    np.testing.assert_allclose(points[:, 0], [4, -2, -2], atol=1e-12)
    np.testing.assert_allclose(np.abs(points[:, 1]), [0, 1, 1], atol=1e-12)
    assert share == pytest.approx((24 / 26, 2 / 26))
    mirrored, _ = principal(np.array([[-4.0, 0.0], [2.0, 1.0], [2.0, -1.0]]))
    np.testing.assert_allclose(mirrored[:, 0], [4, -2, -2], atol=1e-12)  # the same map of the same distances


def test_a_map_is_of_rows_drawn_from_all_chunks(detector, rows):
    from oddgan.rows import open_rows

    rows, whole, part = open_rows(rows), Mapper(detector, 100), Mapper(detector, 20)
    for start in range(0, 70, 32):
        for one in (whole, part):
            one.add(start, rows.taken(start, min(start + 32, 70)))
    assert whole.found().rows.tolist() == list(range(70))
    expected, _ = principal(np.asarray(detector.features(rows), np.float64))
    np.testing.assert_allclose(whole.found().points, expected, atol=1e-5)
    assert len(part.found().rows) == 20
    assert {bool(part.found().rows.min() < 32), bool(part.found().rows.max() >= 32)} == {True}
    assert Mapper(detector, 0).found() is None


def test_judged_rows_are_what_evaluation_finds_of_them(detector, rows, monkeypatch):
    monkeypatch.setattr("oddgan.evaluation.run.CHUNK_ROWS", 16)
    found, known = judge(detector, rows), evaluate(detector, Split(name="rows", train=None, test=rows))
    np.testing.assert_array_equal(found.rows.scores, known.scores)
    np.testing.assert_array_equal(found.rows.is_anomaly, known.is_anomaly)
    shown = [(one.group, one.row, one.score, one.columns) for one in found.rows.examples]
    assert shown == [(one.group, one.row, one.score, one.columns) for one in known.examples]
    assert {one.row for one in found.rows.examples[:2]} == {5, 40}
    assert found.drift.flagged == found.rows.is_anomaly.sum()


def test_a_calibration_counts_what_the_old_threshold_would_have_flagged(detector):
    shifted = np.random.default_rng(2).normal(size=(150, 3)) * 1.5
    found = calibration_of(detector, detector.recalibrate(shifted))
    assert found.flagged_before == (detector.anomaly_score(shifted) > detector.threshold_).mean() > 0.05
    assert found.after.threshold > found.before.threshold


def test_a_training_is_what_the_detector_knows(detector):
    found = training_of(detector, data="pumps")
    assert (found.data, found.generated, found.evaluation) == ("pumps", None, None)
    assert found.n_calibrate == len(found.calibration) == detector.n_calibrate_
