"""Warnings that a program can act on: given once, by class and code, and kept with the model."""

import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.exceptions import DataConversionWarning

import oddgan
from oddgan.cautions import CalibrationWarning, DataWarning, OddganWarning, kept, warn
from oddgan.data import Split


def codes(detector):
    return {one["code"] for one in detector.training_["warnings"]}


def fitted(X, *args, **parameters):
    return oddgan.PCA(random_state=0, **parameters).fit(X, *args)


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(800, 4))


def test_enough_good_rows_give_no_warning(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert codes(fitted(rows)) == set()


@pytest.mark.parametrize("n", [5, 20, 100, 480])
def test_a_rate_that_weakens_is_said(rows, n):
    with pytest.warns(CalibrationWarning, match="the false-alarm rate is") as given:
        det = fitted(rows[:n])
    assert det.false_alarm_rate_ > 0.01
    assert "weak-rate" in codes(det)
    assert ("few-rows" in codes(det)) == (n < 60)
    assert {one.message.code for one in given} == codes(det)
    assert given[0].filename == __file__  # the line of the user's own code
    assert "weak-rate" not in codes(fitted(rows[:n], false_alarm_rate=0.5))  # asked for


def test_axes_that_are_likely_to_be_swapped(rows):
    sensors = np.random.default_rng(0).normal(size=(6, 4000))
    assert "more-columns-than-rows" in codes(fitted(sensors))
    assert "more-columns-than-rows" not in codes(fitted(rows))


@pytest.mark.parametrize("detector", [oddgan.KNN, oddgan.LOF, oddgan.PCA, oddgan.IsolationForest])
def test_equal_rows_on_both_sides_of_the_hold_out(detector):
    Z = np.repeat(np.random.default_rng(0).normal(size=(150, 8)), 10, 0)
    with pytest.warns(CalibrationWarning, match="calibration rows equal training rows"):
        det = detector(random_state=0).fit(Z, calibrate=Z[::10])
    assert {"rows-on-both-sides", "repeated-rows"} <= codes(det)
    held = detector(random_state=0).fit(Z)  # by the fit itself: equal rows are held out together
    assert "repeated-rows" in codes(held)
    assert "rows-on-both-sides" not in codes(held)


def test_pictures_on_both_sides(tmp_path):
    random = np.random.default_rng(0)
    X = np.repeat(random.integers(0, 255, (20, 16, 16), dtype=np.uint8), 6, 0)
    for tile in (None, 8):
        assert "rows-on-both-sides" in codes(oddgan.PCA(random_state=0, tile=tile).fit(X, calibrate=X[::6]))
        assert "rows-on-both-sides" not in codes(fitted(X, tile=tile))


def test_scores_that_tie(rows):
    assert "tied-scores" in codes(oddgan.KNN(random_state=0).fit(np.round(rows[:, :1])))


@pytest.mark.parametrize("y", [[1, -1], [0, 1], ["good", "bad"], [True, False]])
def test_labels_that_are_ignored(rows, y):
    with pytest.warns(DataWarning, match="is ignored"):
        fitted(rows, np.resize(np.array(y, dtype=object), 800))
    assert "labels-ignored" not in codes(fitted(rows, np.ones(800)))


def test_pictures_that_shrink_and_sizes_that_differ():
    random = np.random.default_rng(0)
    large = [random.integers(0, 255, (125, 315), dtype=np.uint8) for _ in range(8)]
    with pytest.warns(DataConversionWarning, match="125x315 become 25x64"):
        assert "pictures-shrink" in codes(fitted(large))
    assert "pictures-shrink" not in codes(fitted(large, tile=64))
    mixed = [random.integers(0, 255, (122, 285) if i % 2 else (596, 260), dtype=np.uint8) for i in range(8)]
    assert "mixed-sizes" in codes(fitted(mixed))
    assert "mixed-sizes" not in codes(fitted([picture[:64, :64] for picture in large]))


def test_warnings_go_with_the_model(rows, tmp_path):
    det = fitted(rows[:20])
    det.save(tmp_path / "m.oddgan")
    again = oddgan.load(tmp_path / "m.oddgan")
    assert again.training_["warnings"] == det.training_["warnings"]
    assert again.info()["training"]["warnings"]
    found = oddgan.evaluate(again, Split(name="toy", train=None, test=rows[:30], labels=np.arange(30) > 15))
    assert any(line.startswith("of the training: the false-alarm rate") for line in found.warnings)
    assert "warning: of the training" in repr(found)


def test_a_program_may_refuse_them(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CalibrationWarning)
        with pytest.raises(CalibrationWarning):
            fitted(rows[:20])


def test_the_same_thing_is_kept_once_and_only_inside_the_block():
    with warnings.catch_warnings(), kept() as found:
        warnings.simplefilter("ignore", OddganWarning)
        warn(DataWarning, "a", "once")
        warn(DataWarning, "a", "once")
    assert found == [{"kind": "DataWarning", "code": "a", "message": "once"}]
    with pytest.warns(DataWarning):
        warn(DataWarning, "a", "once")
    assert len(found) == 1


def test_a_set_that_measures_the_lamp(tmp_path):
    """Darker test pictures: mean grey alone separates them, and normal test rows are not like calibration rows."""
    random = np.random.default_rng(0)
    train = random.integers(100, 140, (300, 12, 12), dtype=np.uint8)
    test = np.concatenate([random.integers(90, 130, (60, 12, 12)), random.integers(40, 80, (40, 12, 12))]).astype("u1")
    paths = []
    for i, picture in enumerate(test):
        paths.append(tmp_path / f"{i:03}.png")
        Image.fromarray(picture).save(paths[-1])
    det = oddgan.PCA(random_state=0).fit(train)
    split = Split(name="lamp", train=None, test=oddgan.data.Pictures(paths), labels=np.arange(100) >= 60)
    found = oddgan.evaluate(det, split)
    assert found.rivals["mean grey"] == 1.0
    assert set(found.rivals) == {"mean grey", "deviation", "file size"}
    assert any(line.startswith("mean grey alone has AUROC 1.000") for line in found.warnings)
    assert any("p-values of normal test rows are not uniform" in line for line in found.warnings)
    page = oddgan.report.to_markdown(found)
    assert "AUROC of mean grey alone" in page
    assert "Before you trust these figures" in page


def test_a_fair_set_has_neither_warning():
    random = np.random.default_rng(0)
    X = random.integers(100, 140, (400, 12, 12), dtype=np.uint8)
    test = X[300:].copy()
    test[60:] = np.sort(test[60:].reshape(40, -1), axis=1).reshape(40, 12, 12)  # the same pixels, in another order
    det = oddgan.PCA(random_state=0).fit(X[:300])
    found = oddgan.evaluate(det, Split(name="fair", train=None, test=test, labels=np.arange(100) >= 60))
    assert not any("alone has AUROC" in line or "not uniform" in line for line in found.warnings)


def test_masks_smaller_than_a_pixel_of_the_networks():
    random = np.random.default_rng(0)
    X = random.integers(0, 255, (12, 300, 300), dtype=np.uint8)
    masks = np.zeros((4, 300, 300), bool)
    masks[2:, 100:103, 100:103] = True
    split = Split(name="toy", train=None, test=X[:4], labels=np.arange(4) > 1, masks=list(masks))
    found = oddgan.evaluate(fitted(X), split)
    assert any("less than one pixel of the networks' 64x64" in line for line in found.warnings)
    tiled = oddgan.evaluate(fitted(X, tile=64), split)
    assert not any("less than one pixel" in line for line in tiled.warnings)


def test_other_thresholds_are_shown(rows):
    det = fitted(rows)
    test = np.concatenate([rows[:200], rows[:50] * 4])
    found = oddgan.evaluate(det, Split(name="toy", train=None, test=test, labels=np.arange(250) >= 200))
    assert [point.requested for point in found.operating_points] == [0.01, 0.02, 0.05, 0.1]
    for point in found.operating_points:
        flagged = det.with_false_alarm_rate(point.requested).predict(test) == -1
        assert point.detected == flagged[200:].mean()
        assert point.false_alarms == flagged[:200].mean()
