"""Displays of scores and p-values: their data by hand, their artists' data equal to it."""

import numpy as np
import pytest
from scipy import stats
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import oddgan
from oddgan import evaluate, metrics
from oddgan.data import Split
from oddgan.errors import DataError, ParameterError
from oddgan.plot import (
    EvaluationDisplay,
    OperatingDisplay,
    PrecisionRecallDisplay,
    PValueDisplay,
    RocCurveDisplay,
    ScoreHistogramDisplay,
)


def split_of(zeros):
    train, test, labels = zeros
    return Split(name="zeros", train=train, test=test, labels=labels)


def test_the_histogram_of_each_group_adds_up_to_one(ax):
    scores = np.array([1.0, 1.0, 2.0, 5.0])
    display = ScoreHistogramDisplay.from_predictions(scores, 3.0, [0, 0, 0, 1], ax=ax)
    assert list(display.shares_) == ["normal", "anomalous"]
    assert (display.edges_[0], display.edges_[-1], len(display.edges_)) == (1, 5, 41)
    np.testing.assert_allclose(display.shares_["normal"][[0, 10]], [2 / 3, 1 / 3])
    assert display.shares_["anomalous"][-1] == 1
    drawn = [patch.get_data() for patch in ax.patches]
    np.testing.assert_array_equal(drawn[0].values, display.shares_["normal"])
    np.testing.assert_array_equal(drawn[2].values, display.shares_["anomalous"])
    assert set(display.line_.get_xdata()) == {3.0}
    assert ax.get_xlabel() == "anomaly score"
    assert display.p_axis_ is None


def test_scores_that_would_be_squeezed_get_a_logarithmic_scale(ax):
    display = ScoreHistogramDisplay.from_predictions([1.0, 2.0, 1000.0], 3.0, ax=ax)
    assert ax.get_xscale() == "log"
    assert "logarithmic" in ax.get_xlabel()
    assert list(display.shares_) == ["all"]


def test_the_second_axis_has_the_p_values_of_scores(ax):
    calibration = np.arange(1.0, 100.0)  # 99 of them: p(s) = (1 + number that is at least s) / 100
    display = ScoreHistogramDisplay.from_predictions([0.0, 120.0], 95.0, calibration=calibration, ax=ax)
    places = dict(display.p_ticks(0.0, 120.0))
    assert places[0.5] == 50
    assert places[0.1] == 90
    for p, at in places.items():
        assert (1 + (calibration >= np.nextafter(at, np.inf)).sum()) / 100 <= p
    np.testing.assert_array_equal(display.p_axis_.get_xticks(), list(places.values()))


def test_the_histogram_of_a_detector_is_that_of_its_scores(pca, zeros, ax):
    _, X, y = zeros
    display = ScoreHistogramDisplay.from_estimator(pca, X, y, ax=ax)
    np.testing.assert_array_equal(display.scores, pca.anomaly_score(X))
    assert display.threshold == pca.threshold_
    assert (display.ax_, display.figure_) == (ax, ax.figure)


def test_p_values_of_normals_with_the_exact_band(ax):
    p = np.repeat(np.arange(1, 21) / 20, 2)  # 19 calibration rows, 40 normals: as even as can be
    display = PValueDisplay.from_predictions(p, 19, ax=ax)
    np.testing.assert_allclose(display.shares_, 0.1)
    np.testing.assert_allclose(display.expected_, 0.1)
    low, high = stats.betabinom(40, 2, 18).ppf([0.025, 0.975]) / 40
    np.testing.assert_allclose([display.low_[3], display.high_[3]], [low, high])
    np.testing.assert_allclose([bar.get_height() for bar in display.bars_], display.shares_)
    assert display.chance > 0.9
    shifted = PValueDisplay.from_predictions(np.full(40, 0.05), 19, ax=ax)
    assert shifted.shares_[0] == 1
    assert shifted.chance < 1e-6


def test_few_calibration_rows_give_a_bar_for_each_p_value(ax):
    display = PValueDisplay.from_predictions([0.25, 0.5, 1.0, 1.0], 3, ax=ax)
    np.testing.assert_allclose(display.edges_, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(display.shares_, [0.25, 0.25, 0, 0.5])


def test_the_chance_is_that_of_the_scores_themselves(pca, zeros, ax):
    _, X, y = zeros
    display = PValueDisplay.from_estimator(pca, X, y, ax=ax)
    expected = stats.ks_2samp(pca.anomaly_score(X[~y]), pca.model_.calibration.scores, method="exact").pvalue
    assert display.chance == pytest.approx(expected)
    assert len(display.p_values) == 20


def test_operating_points_count_flagged_rows(ax):
    p = np.array([0.05, 0.1, 0.5, 1.0, 0.05, 0.15])
    display = OperatingDisplay.from_predictions(p, [0, 0, 0, 0, 1, 1], 19, rate=0.1, up_to=0.2, ax=ax)
    np.testing.assert_allclose(display.rates, [0.05, 0.1, 0.15, 0.2])
    np.testing.assert_allclose(display.false_alarms, [0.25, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(display.caught, [0.5, 0.5, 1, 1])
    np.testing.assert_allclose(display.high[1], stats.betabinom(4, 2, 18).ppf(0.975) / 4)
    np.testing.assert_array_equal(display.lines_["caught"].get_ydata(), display.caught)
    np.testing.assert_array_equal(display.lines_["false alarms"].get_xdata(), display.rates)


def test_curves_take_detectors_which_scikit_learn_refuses(pca, zeros, ax):
    from sklearn import metrics as of_sklearn

    _, X, y = zeros
    with pytest.raises(ValueError, match=r"RocCurveDisplay|classifier"):
        of_sklearn.RocCurveDisplay.from_estimator(pca, X, y)
    scores = pca.anomaly_score(X)
    display = RocCurveDisplay.from_estimator(pca, X, y, ax=ax)
    assert isinstance(display, of_sklearn.RocCurveDisplay)
    assert display.roc_auc == pytest.approx(metrics.auroc(y, scores))
    np.testing.assert_array_equal(display.line_.get_ydata(), display.tpr)
    assert display.ax_ is ax
    precision = PrecisionRecallDisplay.from_estimator(pca, X, y, ax=ax)
    assert precision.average_precision == pytest.approx(metrics.average_precision(y, scores))


def test_labels_as_predict_has_them_mean_the_same(pca, zeros, ax):
    _, X, y = zeros
    area = RocCurveDisplay.from_estimator(pca, X, y, ax=ax).roc_auc
    assert RocCurveDisplay.from_estimator(pca, X, np.where(y, -1, 1), ax=ax).roc_auc == area
    assert RocCurveDisplay.from_estimator(pca, X, [2 * one for one in y], ax=ax).roc_auc == area


@pytest.mark.parametrize(
    ("y", "says"),
    [
        ([0] * 30, "all rows are normal"),
        (None, "give a label for each row"),
        ([0, 1], "one label for each"),
        (["good"] * 30, "y != 'good'"),
        ([np.nan] * 30, "NaN"),
        ([-1, 0, 1] * 10, "negative labels beside others"),
    ],
)
def test_labels_that_say_nothing_are_refused(pca, zeros, y, says, ax):
    with pytest.raises(DataError, match=says):
        RocCurveDisplay.from_estimator(pca, zeros[1], y, ax=ax)


def test_an_evaluation_has_all_there_is(pca, zeros, ax):
    split = split_of(zeros)
    found = evaluate(pca, split, bootstrap=10, examples=0)
    display = found.plot()
    assert isinstance(display, EvaluationDisplay)
    assert list(display.displays_) == ["scores", "p-values", "operating", "roc", "precision-recall"]
    assert display.displays_["roc"].roc_auc == pytest.approx(found.estimates["auroc"].value)
    of_rows = OperatingDisplay.from_estimator(pca, split.test, split.labels, ax=ax)
    np.testing.assert_array_equal(display.displays_["operating"].caught, of_rows.caught)
    np.testing.assert_array_equal(ScoreHistogramDisplay.from_estimator(pca, split, ax=ax).labels, split.labels)


def test_an_evaluation_without_labels_shows_the_scores(pca, zeros, ax):
    found = evaluate(pca, Split(name="zeros", train=None, test=zeros[1]), examples=0)
    assert EvaluationDisplay.from_evaluation(found, ax=ax).panels == ("scores",)


def test_as_many_axes_as_panels_or_one_that_is_divided(pca, zeros):
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    found = evaluate(pca, split_of(zeros), bootstrap=10, examples=0)
    axes = Figure().subplots(1, 5)
    assert list(found.plot(ax=axes).axes_.flat) == list(axes)
    with pytest.raises(ParameterError, match="3 Axes and there are 5 panels"):
        found.plot(ax=axes[:3])
    figure = Figure()
    inset = figure.add_axes((0.1, 0.1, 0.8, 0.8))  # of no grid
    assert found.plot(ax=inset).figure_ is figure
    assert not plt.get_fignums()


def test_a_pipeline_is_asked_through_its_steps(zeros, ax):
    train, X, y = zeros
    flat = [one.reshape(len(one), -1) for one in (train, X)]
    pipeline = make_pipeline(StandardScaler(), oddgan.KNN(random_state=0)).fit(flat[0])
    display = ScoreHistogramDisplay.from_estimator(pipeline, flat[1], y, ax=ax)
    np.testing.assert_array_equal(display.scores, -pipeline.score_samples(flat[1]))
    assert RocCurveDisplay.from_estimator(pipeline, flat[1], y, ax=ax).roc_auc > 0.5


def test_what_is_no_detector_of_ours_is_refused_by_name(zeros, ax):
    with pytest.raises(ParameterError, match="StandardScaler: is no detector"):
        ScoreHistogramDisplay.from_estimator(StandardScaler(), zeros[1], ax=ax)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: PValueDisplay.from_predictions([0.5, 9.0], 99), "above 0 and up to 1"),
        (lambda: PValueDisplay.from_predictions([np.nan], 99), "above 0 and up to 1"),
        (lambda: PValueDisplay.from_predictions([0.5], 0), "n_calibrate=0"),
        (lambda: OperatingDisplay.from_predictions([0.5, 0.1], [0, 1], 99, rate=7), "rate=7"),
        (lambda: OperatingDisplay.from_predictions([0.5, 0.1], [0, 1], 99, up_to=5), "up_to=5"),
        (lambda: ScoreHistogramDisplay.from_predictions([1.0, np.nan, 2.0], 1.0), "1 of 3 are not finite"),
        (lambda: ScoreHistogramDisplay.from_predictions([[1.0], [2.0]], 1.0), r"shape \(2, 1\)"),
        (lambda: ScoreHistogramDisplay.from_predictions([1.0], np.nan), "threshold=nan"),
    ],
)
def test_figures_that_mean_nothing_are_refused(draw, message):
    with pytest.raises(DataError, match=message):
        draw()
