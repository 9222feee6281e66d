"""Charts draw data at the right places."""

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from oddgan import metrics
from oddgan.metrics import Estimate
from oddgan.report import charts


def path(svg, css):
    """The points of the path with this class."""
    found = re.search(rf'<path class="{css}" d="([^"]*)"', svg).group(1)
    return [tuple(map(float, spot.split())) for spot in re.findall(r"[ML]([\d.-]+ [\d.-]+)", found)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (1, 40, [10, 20, 30, 40]), (-0.3, 0.31, [-0.2, 0, 0.2]), (0, 3e-5, None)],
)
def test_ticks_are_round_and_within(low, high, expected):
    found = charts.ticks(low, high)
    assert expected is None or found == expected
    assert 3 <= len(found) <= 7
    assert low - 1e-12 <= min(found)
    assert max(found) <= high + 1e-12


def test_axes_turn_data_into_pixels():
    axes = charts.Axes(x=(0, 10), y=(0, 1), width=110, height=110, left=10, right=0, top=0, bottom=10)
    assert (axes.px(0), axes.px(10), axes.py(0), axes.py(1)) == (10, 110, 100, 0)
    assert charts.Axes(x=(1, 100), y=(0, 1), width=110, left=10, right=0, log=True).px(10) == pytest.approx(60)
    assert (
        axes.path([(0, 0), (0, 0), (5, math.nan), (10, 1)], "line") == '<path class="line" d="M10.0 100.0M110.0 0.0"/>'
    )


def test_a_histogram_has_the_shares_of_each_group():
    groups = {"normal": np.repeat([0.0, 1.0], [3, 1]), "anomalous": np.full(7, 2.0)}
    svg = charts.score_histogram(groups, 1.5)
    ET.fromstring(svg)
    heights = [
        max(y for _, y in path(svg, f"area {name}")) - min(y for _, y in path(svg, f"area {name}")) for name in groups
    ]
    assert heights[0] / heights[1] == pytest.approx(0.75, abs=0.01)
    assert "logarithmic" not in svg
    assert "threshold 1.5" in svg


def test_a_squeezed_histogram_becomes_logarithmic_and_loses_no_row():
    scores = np.geomspace(0.001, 10, 400)
    svg = charts.score_histogram({"all": scores}, 0.01)
    assert "logarithmic scale" in svg
    x, y = np.array(path(svg, "area all")).T
    heights = y[0] - y[1:-1]
    assert heights.min() > 0.85 * heights.max()  # level, as the scores are
    assert (x[0], x[-1]) == (78, 948)  # from edge to edge
    assert "logarithmic" not in charts.score_histogram({"all": scores - 1}, 0.01)


def test_curves_pass_through_the_operating_point():
    y, s = np.arange(40) % 4 == 0, np.arange(40.0) % 7
    flagged = s > 3.5
    rates = metrics.rates(y, flagged)
    alarms, found = metrics.roc_curve(y, s)
    spot = (rates.false_alarm_rate.value, rates.detection_rate.value)
    svg = charts.curve("ROC", zip(alarms, found, strict=True), Estimate(0.5, 0.4, 0.6, 0.5), spot)
    ET.fromstring(svg)
    dot = re.search(r'cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert tuple(map(float, dot.groups())) in path(svg, "line")
    svg = charts.curve("ROC", zip(alarms, found, strict=True), Estimate(0.5, 0.4, 0.6, 0.5), (math.nan, 1))
    assert "circle" not in svg


def test_the_steps_have_the_average_precision_as_their_area():
    y, s = np.arange(40) % 4 == 0, np.arange(40.0) % 7
    points = charts.steps(*metrics.precision_recall_curve(y, s))
    area = sum((b[0] - a[0]) * b[1] for a, b in zip(points[::2], points[1::2], strict=True))
    assert area == pytest.approx(metrics.average_precision(y, s))


def test_conformal_p_values_fill_the_bars_evenly():
    p = np.arange(1, 101) / 100  # every value that 99 calibration rows can give
    svg = charts.p_value_histogram(p, 99)
    ET.fromstring(svg)
    heights = re.findall(r'<rect class="bar"[^>]* height="([\d.]+)"', svg)
    assert len(heights) == 10
    assert len(set(heights)) == 1
    assert "0.9 to 1.0: 10.0%" in svg


def test_a_training_curve_marks_stages_and_skips_what_is_missing():
    svg = charts.training_curve("G.adv", [1.0, None, 0.5, math.nan], [10, 20, 25, 30], ["a", "a", "b", "b"])
    ET.fromstring(svg)
    assert len(path(svg, "line")) == 2
    assert svg.count('class="chance"') == 1
    both = charts.training_curve("G.adv", [1.0, 0.5, 0.4], [10, 20, 30], ["a"] * 3, [3.0, None, 2.0])
    assert len(path(both, "chance")) == 2  # one line, across the update at which it was not taken
    assert "circle" in charts.training_curve("G.adv", [1.0], [10], ["a"])
    ET.fromstring(charts.training_curve("G.adv", [math.nan], [10], ["a"]))


def test_a_strip_shows_an_estimate():
    ET.fromstring(charts.strip(Estimate(0.5, 0.25, 0.75, 0.5)))
    assert 'x1="32.0"' in charts.strip(Estimate(0.5, 0.25, 0.75))
    assert "axis" not in charts.strip(Estimate(0.5, 0.25, 0.75))


def test_a_squeezed_histogram_of_scores_below_zero_is_cut_and_loses_no_row():
    scores = np.concatenate([np.linspace(-4, 3, 90), np.linspace(50, 300, 10)])
    svg = charts.score_histogram({"all": scores}, 4.0)
    assert "the last bar: all above" in svg
    _, y = np.array(path(svg, "area all")).T
    assert y[-2] == y.min()  # the last bar has ten rows, every other eight or nine
    assert (y[0] - y[-2]) / (y[0] - 14) == pytest.approx(1 / 1.12, abs=0.01)


def test_dots_stand_at_their_values_and_their_mean():
    svg = charts.dots("AUROC", [("knn", (0.5, 0.7)), ("grey alone", (0.9,))], 0.5, ["grey alone"], {"knn": 0.8})
    ET.fromstring(svg)
    at = [float(x) for x in re.findall(r'<circle class="contender" cx="([\d.]+)"', svg)]
    mean = float(re.search(r'<line class="mean" x1="([\d.]+)"', svg)[1])
    assert mean == pytest.approx(sum(at) / 2, abs=0.1)
    assert svg.count('class="rival"') == svg.count('class="published"') == 1
    assert "knn 0.600; grey alone 0.900" in svg


def test_anomalies_have_a_shape_of_their_own_on_the_map():
    svg = charts.scatter({("passed", "passed"): [(0, 0, "a<b")], ("missed", "missed"): [(1, 2, "c"), (2, 1, "d")]})
    ET.fromstring(svg)
    assert (svg.count("<circle"), svg.count("5.5Z")) == (1, 2)
    assert "<title>a&lt;b</title>" in svg
