"""Conformal p-values and thresholds."""

import numpy as np
import pytest

from oddgan.errors import ArtifactError, DataError, ParameterError
from oddgan.verdict.calibration import Calibration, check_rate

SCORES = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 9.0, 7.0, 8.0, 6.0])  # nine rows: p-values are tenths


def test_p_values_by_hand():
    cal = Calibration.of(SCORES, "auto")
    np.testing.assert_allclose(cal.p_value(np.array([0.0, 1.0, 5.5, 9.0, 9.1])), [1.0, 1.0, 0.5, 0.2, 0.1])


def test_ties_count_against_the_row():
    cal = Calibration.of(np.array([1.0, 2.0, 2.0, 2.0, 3.0]), "auto")
    np.testing.assert_allclose(cal.p_value(np.array([2.0])), [5 / 6])


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.25, 0.3, 0.5, 0.9, 0.999])
def test_threshold_and_p_value_say_the_same(rate):
    for n in (9, 10, 37):
        random = np.random.default_rng(n)
        scores = random.integers(0, 12, n).astype(float)  # many ties
        try:
            cal = Calibration.of(scores, rate)
        except ParameterError:
            assert rate * (n + 1) < 1
            continue
        for s in np.arange(-1, 14, 0.5):
            assert (s > cal.threshold) == (cal.p_value(np.array([s]))[0] <= rate + 1e-12)


@pytest.mark.parametrize("n", [5, 99, 150])
def test_auto_is_one_percent_or_what_the_rows_allow(n):
    cal = Calibration.of(np.arange(n, dtype=float), "auto")
    assert cal.rate == max(0.01, 1 / (n + 1))


def test_an_unattainable_rate_names_the_rows_needed():
    cal = Calibration.of(SCORES, 0.1)
    with pytest.raises(ParameterError, match=r"needs at least 19 calibration rows and there are 9: .* 0\.1 or more"):
        cal.with_rate(0.05)
    Calibration.of(np.arange(19.0), 0.05)
    with pytest.raises(ParameterError, match="needs at least 19"):
        Calibration.of(np.arange(18.0), 0.05)


@pytest.mark.parametrize("n", [1, 2, 6, 12, 19, 50, 99, 333, 998, 12345])
def test_the_rate_that_is_offered_can_be_held(n):
    with pytest.raises(ParameterError) as caught:
        check_rate(1e-9, n)
    offered = float(str(caught.value).split("ask for ")[1].split()[0])
    check_rate(offered, n)
    assert 1 / (n + 1) <= offered < 1.1 / (n + 1) + 1e-12


def test_false_alarms_keep_the_rate_on_average():
    """The guarantee is marginal: over calibration rows and new normals together."""
    random = np.random.default_rng(0)
    for rate in (0.02, 0.1):
        alarms = [
            (random.normal(size=50) > Calibration.of(random.normal(size=99), rate).threshold).mean()
            for _ in range(4000)
        ]
        mean, error = np.mean(alarms), np.std(alarms) / 4000**0.5
        assert rate - 5 * error < mean < rate + 5 * error


def test_scores_must_be_finite():
    with pytest.raises(DataError, match="no finite score"):
        Calibration.of(np.array([1.0, np.nan]), "auto")


def test_manifest_round_trip_and_contradictions():
    cal = Calibration.of(SCORES, 0.2)
    facts, arrays = cal.to_manifest()
    again = Calibration.from_manifest(facts, arrays)
    assert again.threshold == cal.threshold
    with pytest.raises(ArtifactError, match="threshold"):
        Calibration.from_manifest({**facts, "threshold": 3.0}, arrays)
    with pytest.raises(ArtifactError, match="sorted"):
        Calibration.from_manifest(facts, {"scores": SCORES})
