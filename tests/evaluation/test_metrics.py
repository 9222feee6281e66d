"""Figures are exact: checked against scikit-learn, against brute force, and by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import ndimage
from sklearn import metrics as sk

from oddgan import metrics
from oddgan.errors import DataError, ParameterError
from oddgan.metrics import Estimate, PixelScores

AREAS = ("auroc", "average_precision", "auprc_trapezoid")


def by_sklearn(name, y, s):
    if name == "auroc":
        return sk.roc_auc_score(y, s)
    if name == "average_precision":
        return sk.average_precision_score(y, s)
    precision, recall, _ = sk.precision_recall_curve(y, s)
    return sk.auc(recall, precision)


def rows(seed, n=200, levels=None, shift=0.7):
    """Labels and scores; with `levels`, whole numbers with many ties."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.3
    y[:2] = True, False
    s = rng.normal(size=n) + shift * y
    return y, s if levels is None else np.floor(s * levels)


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("levels", [None, 3, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_areas_equal_scikit_learn_with_and_without_ties(name, levels, seed):
    y, s = rows(seed, levels=levels)
    assert getattr(metrics, name)(y, s) == pytest.approx(by_sklearn(name, y, s), abs=1e-12)
    assert getattr(metrics, name)(y.astype(int), s.tolist()) == pytest.approx(by_sklearn(name, y, s), abs=1e-12)


@pytest.mark.parametrize("name", AREAS)
def test_areas_at_the_ends(name):
    area = getattr(metrics, name)
    assert area([0, 0, 1], [0, 1, 2]) == 1
    assert area([0, 1], [np.inf, -np.inf]) == pytest.approx(by_sklearn(name, [0, 1], [1, 0]))
    if name != "auprc_trapezoid":
        assert area([0, 0, 0, 1], [5, 5, 5, 5]) == (0.5 if name == "auroc" else 0.25)  # chance


def test_curves_equal_scikit_learn():
    y, s = rows(1, levels=2)
    alarms, found, _ = sk.roc_curve(y, s, drop_intermediate=False)
    np.testing.assert_allclose(metrics.roc_curve(y, s), (alarms, found))
    precision, recall, _ = sk.precision_recall_curve(y, s)
    np.testing.assert_allclose(metrics.precision_recall_curve(y, s), (recall[-2::-1], precision[-2::-1]))


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0], [1, 2], "only normal rows"),
        ([1, 1], [1, 2], "only anomalous rows"),
        ([], [], "no rows"),
        ([0, 1, 0], [1, 2, np.nan], "first at row 2"),
        ([0, 1], [1, 2, 3], "2 labels"),
        ([0, 2], [1, 2], "0/1"),
        (["a", "b"], [1, 2], "0/1"),
    ],
)
def test_unusable_rows_are_refused_in_one_line(name, labels, scores, message):
    for function in (getattr(metrics, name), lambda y, s: metrics.bootstrap(name, y, s)):
        with pytest.raises(DataError, match=message) as caught:
            function(labels, scores)
        assert "\n" not in str(caught.value)


def test_an_estimate_prints_its_interval_and_chance():
    estimate = Estimate(0.9123, 0.87, 0.95, 0.5)
    assert str(estimate) == "0.912 [0.870, 0.950], chance 0.500"
    assert f"{estimate:.1%}" == "91.2% [87.0%, 95.0%]"
    assert str(Estimate(0.1, 0.0, 0.2)) == "0.100 [0.000, 0.200]"


@pytest.mark.parametrize("name", AREAS)
def test_bootstrap_is_stratified_resampling(name):
    """The vectorised way gives the spread that resampling rows one set at a time gives."""
    y, s = rows(3, n=120, levels=4)
    fast = metrics.bootstrap(name, y, s, n=4000)
    slow = metrics.bootstrap(lambda y, s: by_sklearn(name, y, s), y, s, n=1000, random_state=1)
    assert fast.value == pytest.approx(slow.value)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.02)
    assert fast.low < fast.value < fast.high
    assert fast.chance == (0.5 if name == "auroc" else y.mean())
    assert slow.chance is None


def test_bootstrap_resamples_keep_the_size_of_each_class():
    y, s = rows(4, n=50, levels=2)
    counts = [
        pair for step in metrics._resamples(y, s, 300, np.random.default_rng(0)) for pair in zip(*step, strict=True)
    ]
    assert len(counts) == 300
    assert {(int(anomalous.sum()), int(normal.sum())) for anomalous, normal in counts} == {
        (int(y.sum()), int((~y).sum()))
    }
    anomalous, normal = counts[7]
    values = -np.unique(-s)  # from the highest down
    expanded = np.concatenate([np.repeat(values, anomalous), np.repeat(values, normal)])
    truth = np.arange(50) < y.sum()
    for name in AREAS:
        assert float(metrics._AREAS[name](anomalous, normal)) == pytest.approx(by_sklearn(name, truth, expanded))


def test_bootstrap_depends_on_its_seed_alone_and_widens_with_level():
    y, s = rows(5)
    first, again = (metrics.bootstrap(metrics.auroc, y, s, n=200, random_state=7) for _ in range(2))
    assert first == again == metrics.bootstrap("auroc", y, s, n=200, random_state=7)
    assert first != metrics.bootstrap("auroc", y, s, n=200, random_state=8)
    wide = metrics.bootstrap("auroc", y, s, n=200, random_state=7, level=0.99)
    assert wide.low < first.low < first.high < wide.high


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"n": 1}, "n=1"), ({"level": 1.0}, "level"), ({"metric": "f1"}, "known are auroc, average_precision")],
)
def test_bootstrap_refuses_wrong_parameters(wrong, message):
    with pytest.raises(ParameterError, match=message):
        metrics.bootstrap(**{"metric": "auroc", "labels": [0, 1], "scores": [0, 1]} | wrong)


def test_wilson_equals_published_values():
    one_of_ten = metrics.wilson(1, 10)
    assert (one_of_ten.low, one_of_ten.high) == pytest.approx((0.01787, 0.40415), abs=1e-5)
    assert metrics.wilson(0, 20).low == 0
    assert metrics.wilson(0, 20).high == pytest.approx(0.16113, abs=1e-5)
    assert metrics.wilson(20, 20).high == 1
    for wrong in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(DataError, match="share"):
            metrics.wilson(*wrong)


def test_rates_at_a_threshold():
    labels, flagged = [0, 0, 0, 0, 1, 1], [1, 0, 0, 0, 1, 0]
    found = metrics.rates(labels, flagged)
    assert found.false_alarm_rate.value == 0.25
    assert found.detection_rate.value == 0.5
    assert (found.precision, found.f1) == (0.5, sk.f1_score(labels, flagged))
    assert (found.n_normal, found.n_anomalous, found.n_false_alarms, found.n_detected) == (4, 2, 1, 1)


def test_rates_of_one_class_say_what_they_can():
    normals = metrics.rates([0, 0], [0, 1])
    assert normals.detection_rate is None
    assert normals.false_alarm_rate.value == 0.5
    assert math.isnan(normals.precision)
    assert math.isnan(normals.f1)
    anomalous = metrics.rates([1, 1], [0, 0])
    assert anomalous.false_alarm_rate is None
    assert anomalous.f1 == 0
    assert math.isnan(anomalous.precision)
    with pytest.raises(DataError, match="labels for"):
        metrics.rates([0, 1], [0])


# --- pixels ---------------------------------------------------------------------------------------------------------


def brute_aupro(masks, maps, limit):
    """Threshold by threshold, as the definition says; trapezia between, the last one cut at the limit."""
    regions = []
    for mask, anomaly_map in zip(masks, maps, strict=True):
        found, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [anomaly_map[found == i + 1] for i in range(count)]
    normal = np.concatenate([a[~m] for m, a in zip(masks, maps, strict=True)])
    points = [(0.0, 0.0)]
    thresholds = sorted({float(v) for a in maps for v in a.ravel()}, reverse=True)
    points += [(float((normal >= t).mean()), float(np.mean([(r >= t).mean() for r in regions]))) for t in thresholds]
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit or x1 == x0:
            continue
        stop = min(x1, limit)
        area += (stop - x0) * (y0 + y0 + (y1 - y0) * (stop - x0) / (x1 - x0)) / 2
    return area / limit


def test_aupro_by_hand():
    """Regions of 1 and 4 pixels count alike. The small one is seen first, then a normal pixel, then the rest."""
    mask = np.zeros((3, 5), dtype=bool)
    mask[0, 0] = mask[1:3, 3:5] = True
    a = np.zeros((3, 5))
    a[0, 0], a[0, 2], a[1, 3], a[2, 3] = 4, 3, 2, 2
    # Overlap 1/2 up to the first of 10 normal pixels; after it 1/2 + 1/4; then the other 9 tie with half a region.
    assert metrics.aupro([mask], [a], limit=0.1) == pytest.approx(0.5)
    assert metrics.aupro([mask], [a], limit=0.3) == pytest.approx(
        (0.1 * 0.5 + 0.2 * (0.75 + 0.75 + 0.25 * 2 / 9) / 2) / 0.3
    )
    assert metrics.aupro([mask], [a], limit=1.0) == pytest.approx(0.1 * 0.5 + 0.9 * (0.75 + 1) / 2)


@pytest.mark.parametrize("levels", [2, 7, 1000])
@pytest.mark.parametrize("limit", [0.013, 0.05, 0.3, 1.0])
def test_aupro_equals_brute_force(levels, limit):
    rng = np.random.default_rng(levels)
    masks = [ndimage.binary_dilation(rng.random((9, 12)) < 0.04) for _ in range(4)] + [np.zeros((5, 6), dtype=bool)]
    maps = [np.floor((rng.random(m.shape) + 0.4 * m) * levels).astype(np.float32) for m in masks]
    assert metrics.aupro(masks, maps, limit) == pytest.approx(brute_aupro(masks, maps, limit), abs=1e-12)


def test_aupro_of_perfect_and_of_constant_maps():
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:4, 2:4] = True
    assert metrics.aupro([mask], [mask.astype(float)]) == 1
    assert metrics.aupro([mask], [np.ones((10, 10))], 0.3) == pytest.approx(0.15)  # guessing: limit / 2
    assert metrics.pixel_auroc([mask], [np.ones((10, 10))]) == 0.5


def test_pixels_that_touch_at_a_corner_are_one_region():
    mask = np.eye(4, dtype=bool)
    pixels = PixelScores()
    pixels.add(mask, mask.astype(np.float32))
    assert pixels.n_regions == 1
    pixels.add(np.array([[1, 0, 1]]), np.array([[1.0, 0, 1]]))
    assert (pixels.n_regions, pixels.n_pictures) == (3, 2)


@pytest.mark.parametrize("levels", [3, 1000])
def test_pixel_auroc_equals_scikit_learn(levels, monkeypatch):
    monkeypatch.setattr(metrics, "_CHUNK", 17)
    rng = np.random.default_rng(0)
    masks = [rng.random((8, 9)) < 0.2, rng.random((20, 5)) < 0.2, np.zeros((4, 4), dtype=bool)]
    maps = [np.floor((rng.random(m.shape) + 0.3 * m) * levels).astype(np.float32) for m in masks]
    y, s = (np.concatenate([a.ravel() for a in arrays]) for arrays in (masks, maps))
    assert metrics.pixel_auroc(iter(masks), iter(maps)) == pytest.approx(sk.roc_auc_score(y, s), abs=1e-12)
    assert metrics.aupro(masks, maps) == pytest.approx(brute_aupro(masks, maps, 0.3), abs=1e-12)


def test_pixel_figures_refuse_what_does_not_fit():
    anomalous, map_ = np.array([[1, 0]]), np.array([[0.5, 0.1]])
    for masks, maps, message in (
        ([anomalous], [np.zeros((2, 2))], r"picture 0: mask \(1, 2\) and anomaly map \(2, 2\)"),
        ([anomalous * 255], [map_], "0/1"),
        ([anomalous], [map_ * np.nan], "NaN"),
        ([anomalous, anomalous], [map_], "only 1 have both"),
        ([anomalous * 0], [map_], "no anomalous pixel in 1 masks"),
        ([anomalous * 0 + 1], [map_], "no normal pixel"),
        ([], [], "no anomalous pixel in 0 masks"),
    ):
        with pytest.raises(DataError, match=message):
            metrics.pixel_auroc(masks, maps)
    for limit in (0.0, 1.1):
        with pytest.raises(ParameterError, match="limit"):
            metrics.aupro([anomalous], [map_], limit)


def test_pictures_may_be_added_after_a_figure_was_read():
    mask, map_ = np.array([[1, 0, 0]]), np.array([[0.5, 0.1, 0.7]])
    pixels = PixelScores()
    for n in range(1, 4):
        pixels.add(mask, map_ * n)
        masks, maps = [mask] * n, [map_ * (i + 1) for i in range(n)]
        assert pixels.auroc() == metrics.pixel_auroc(masks, maps)
        assert pixels.aupro() == pytest.approx(brute_aupro([m > 0 for m in masks], maps, 0.3))
