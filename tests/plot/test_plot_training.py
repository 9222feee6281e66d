"""Displays of trainings, streams and campaigns, and what all displays hold to."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import oddgan
from oddgan import plot
from oddgan.errors import DataError, MissingExtra
from oddgan.verdict.drift import Martingale

HISTORY = {
    "stage": ["game", "game", "encoder"],
    "epoch": [1, 2, 1],
    "update": [10, 20, 10],
    "G.adv": [1.0, 0.5, None],
    "D.real": [0.7, 0.6, None],
    "E.izi": [None, None, 2.0],
    "val.G.adv": [None, 0.6, None],
}


def test_loss_terms_by_player_over_all_stages():
    display = plot.TrainingDisplay.from_history(HISTORY, ["mode-collapse: all pictures are alike"])
    assert display.players == ("G", "D", "E")
    assert display.updates.tolist() == [10, 20, 30]
    assert display.stages == [("game", 0), ("encoder", 20)]
    np.testing.assert_array_equal(display.lines_["G.adv"].get_ydata(), [1.0, 0.5, np.nan])
    held_out = display.lines_["val.G.adv"]
    assert (held_out.get_xdata().tolist(), held_out.get_ydata().tolist()) == ([20], [0.6])
    assert held_out.get_linestyle() == "--"
    assert display.lines_["G.adv"].get_linestyle() == "-"
    assert "mode-collapse" in display.notes_.get_text()
    said = {text.get_text() for text in display.axes_[0, 0].texts}
    assert {"game", "encoder"} <= said


def test_a_detectors_training_names_its_alarms(anogan):
    display = plot.TrainingDisplay.from_estimator(anogan)
    alarms = [one for one in anogan.training_["warnings"] if one["kind"] == "TrainingWarning"]
    assert alarms
    assert display.warnings == tuple(f"{one['code']}: {one['message']}" for one in alarms)
    np.testing.assert_array_equal(display.lines_["D.real"].get_ydata(), anogan.history_["D.real"])


def test_without_a_training_there_is_nothing_to_plot(pca):
    with pytest.raises(DataError, match="PCA trains no networks"):
        plot.TrainingDisplay.from_estimator(pca)
    with pytest.raises(DataError, match="history is empty"):
        plot.TrainingDisplay.from_history({})


def test_a_stream_with_its_martingale(ax):
    random = np.random.default_rng(0)
    calibration = random.normal(size=200)
    scores = np.concatenate([random.normal(size=100), random.normal(2, size=100)])
    display = plot.DriftDisplay.from_predictions(scores, calibration, threshold=2.0, ax=ax)
    after = Martingale.begin(calibration).after(scores, calibration)
    assert display.alarm == after.alarm
    assert 100 < display.alarm < 200
    assert display.log10_value[-1] * np.log(10) == pytest.approx(after.log_value)
    first = int(np.flatnonzero(display.log10_value >= 2)[0]) + 1
    assert first == display.alarm
    assert set(display.alarm_line_.get_ydata()) == {2.0}
    np.testing.assert_array_equal(display.line_.get_ydata(), [0.0, *display.log10_value])
    one_by_one = Martingale.begin(calibration)
    for score, value in zip(scores[:5], display.log10_value[:5], strict=True):
        one_by_one = one_by_one.after(np.array([score]), calibration)
        assert one_by_one.log_value == pytest.approx(value * np.log(10))


def test_a_detectors_stream(pca, zeros, ax):
    display = plot.DriftDisplay.from_estimator(pca, zeros[1], ax=ax)
    np.testing.assert_array_equal(display.scores, pca.anomaly_score(zeros[1]))
    assert display.alarm == pca.drift(zeros[1]).stream.alarm
    with pytest.raises(DataError, match="finite"):
        plot.DriftDisplay.from_predictions([np.nan], [1.0])


def test_false_alarms_beside_their_exact_band():
    records = [
        {"data": "a", "detector": "KNN", "rate": 0.1, "found": 3, "calibrate": 19, "new": 40},
        {"data": "b", "detector": "KNN", "rate": 0.1, "found": 9, "calibrate": [19, 19], "new": [10, 10]},
        {"data": "b", "detector": "LOF", "rate": 0.05, "found": 2, "calibrate": 19, "new": 20},
    ]
    display = plot.FalseAlarmsDisplay.from_records(records)
    assert display.rates == (0.05, 0.1)
    first, second, _ = display.alarms
    exact = stats.betabinom(40, 2, 18)
    assert (first.expected, first.share) == (pytest.approx(4), 3 / 40)
    assert (first.low, first.high) == tuple(exact.ppf([0.025, 0.975]))
    assert first.within
    once = stats.betabinom(10, 2, 18).pmf(np.arange(11))
    twice = np.cumsum(np.convolve(once, once))
    assert second.high == np.searchsorted(twice, 0.975)
    assert second.expected == pytest.approx(2)
    assert not second.within
    np.testing.assert_allclose(display.points_[0.1, "KNN"].get_offsets()[:, 0], [3 / 40, 0.25])  # cut at 2.5 times
    with pytest.raises(DataError, match="record 0: has no 'rate'"):
        plot.FalseAlarmsDisplay.from_records([{"data": "a", "detector": "KNN"}])
    with pytest.raises(DataError, match="none to plot"):
        plot.FalseAlarmsDisplay.from_records([])


DRAWN = {
    "ScoreHistogramDisplay": lambda ax, d, X, y: plot.ScoreHistogramDisplay.from_estimator(d, X, y, ax=ax),
    "PValueDisplay": lambda ax, d, X, y: plot.PValueDisplay.from_estimator(d, X, y, ax=ax),
    "OperatingDisplay": lambda ax, d, X, y: plot.OperatingDisplay.from_estimator(d, X, y, ax=ax),
    "RocCurveDisplay": lambda ax, d, X, y: plot.RocCurveDisplay.from_estimator(d, X, y, ax=ax),
    "PrecisionRecallDisplay": lambda ax, d, X, y: plot.PrecisionRecallDisplay.from_estimator(d, X, y, ax=ax),
    "AnomalyMapDisplay": lambda ax, d, X, y: plot.AnomalyMapDisplay.from_estimator(d, X, 25, ax=ax),
    "TrainingDisplay": lambda ax, d, X, y: plot.TrainingDisplay.from_estimator(d, ax=ax),
    "SamplesDisplay": lambda ax, d, X, y: plot.SamplesDisplay.from_estimator(d, 4, ax=ax),
    "LatentWalkDisplay": lambda ax, d, X, y: plot.LatentWalkDisplay.from_estimator(d, steps=2, rows=1, ax=ax),
    "SearchDisplay": lambda ax, d, X, y: plot.SearchDisplay.from_estimator(d, X[0], ax=ax),
    "EmbeddingDisplay": lambda ax, d, X, y: plot.EmbeddingDisplay.from_estimator(d, {"X": X}, method="pca", ax=ax),
    "DriftDisplay": lambda ax, d, X, y: plot.DriftDisplay.from_estimator(d, X, ax=ax),
    "FalseAlarmsDisplay": lambda ax, d, X, y: plot.FalseAlarmsDisplay.from_records(
        [{"data": "a", "detector": "KNN", "rate": 0.1, "found": 3, "calibrate": 19, "new": 40}], ax=ax
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_displays_draw_where_they_are_asked_to(name, anogan, zeros, ax, tmp_path):
    """In the Axes that are given, without any figure of pyplot's; and again with `plot`, in a new one."""
    import matplotlib.pyplot as plt

    _, X, y = zeros
    display = DRAWN[name](ax, anogan, X, y)
    assert type(display) is getattr(plot, name)
    assert display.figure_ is ax.figure
    assert not plt.get_fignums()
    ax.figure.savefig(tmp_path / "given.png", dpi=30)
    assert display.plot() is display
    assert plt.get_fignums() == [display.figure_.number]
    labelled = [one for one in display.figure_.axes if one.get_xlabel()]
    assert labelled or name == "SamplesDisplay"
    display.figure_.savefig(tmp_path / "new.png", dpi=30)


def test_every_display_is_drawn_in_a_test():
    assert {*DRAWN, "ColumnsDisplay", "EvaluationDisplay"} == set(plot.__all__)
    assert "plot" in dir(oddgan)


def test_importing_plots_imports_no_matplotlib():
    code = "import sys, oddgan.plot; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, anogan, zeros):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    _, X, y = zeros
    for name, draw in DRAWN.items():
        with pytest.raises(MissingExtra, match=r'oddgan.plot needs matplotlib: pip install "oddgan\[plot\]"'):
            draw(None, anogan, X, y)
        assert name
