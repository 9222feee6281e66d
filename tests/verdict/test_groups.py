"""Groups of rows that belong together, and strata with thresholds of their own."""

import numpy as np
import pytest

from oddgan.errors import ArtifactError, ParameterError
from oddgan.verdict.calibration import Calibration

SCORES = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
GROUPS = np.array([7, 7, 7, 7, 8, 9])  # three groups, of four rows, one and one


def test_p_values_by_hand():
    cal = Calibration.of(SCORES, 0.5, groups=GROUPS)
    assert cal.count == 3
    above = {0.0: 3, 1.5: 2.75, 4.0: 2.25, 4.5: 2, 5.5: 1, 6.5: 0}
    for score, weight in above.items():
        assert cal.p_value(np.array([score]))[0] == pytest.approx((1 + weight) / 4)
    assert cal.threshold == 5.0  # above it is one group of three: (1 + 1) / 4 <= 0.5
    assert cal.describe() == "3 groups of 6 normal rows"


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.8])
def test_threshold_and_p_value_say_the_same(rate):
    random = np.random.default_rng(0)
    groups = np.sort(random.integers(0, 30, 200))
    cal = Calibration.of(random.integers(0, 40, 200).astype(float), rate, groups=groups)
    for s in np.arange(-1, 42, 0.5):
        assert (s > cal.threshold) == (cal.p_value(np.array([s]))[0] <= rate + 1e-12)


def test_groups_of_one_row_each_are_rows():
    plain, grouped = (Calibration.of(SCORES, "auto", groups=groups) for groups in (None, np.arange(6)))
    assert grouped.groups is None
    assert (plain.threshold, plain.rate) == (grouped.threshold, grouped.rate)


def test_a_rate_is_held_by_groups_and_not_by_their_rows():
    with pytest.raises(ParameterError, match="needs at least 9 calibration groups of rows and there are 3"):
        Calibration.of(SCORES, 0.1, groups=GROUPS)
    assert Calibration.of(SCORES, "auto", groups=GROUPS).rate == 0.25


def test_new_groups_keep_the_rate_whatever_their_sizes():
    """Rows of a group are nearly equal, and small groups are more anomalous: by rows, the rate would be missed."""
    random, alarms, by_rows = np.random.default_rng(0), [], []
    for _ in range(2000):
        sizes = random.integers(1, 30, 60)
        level = random.normal(size=60) - 0.05 * sizes
        groups = np.repeat(np.arange(60), sizes)
        scores = level[groups] + 0.01 * random.normal(size=len(groups))
        new = groups == 59
        alarms.append((scores[new] > Calibration.of(scores[~new], 0.1, groups=groups[~new]).threshold).mean())
        by_rows.append((scores[new] > Calibration.of(scores[~new], 0.1).threshold).mean())
    error = np.std(alarms) / 2000**0.5
    assert 0.1 - 1 / 60 - 4 * error < np.mean(alarms) < 0.1 + 4 * error
    assert np.mean(by_rows) > 0.13


def test_strata_have_thresholds_of_their_own():
    scores = np.concatenate([np.arange(20.0), 100 + np.arange(20.0), [50.0]])
    cal = Calibration.of(scores, 0.1, strata=["a"] * 20 + ["b"] * 20 + ["rare"])
    assert set(cal.by_stratum) == {"a", "b"}
    assert cal.thresholds(["a", "b", "rare", "new"]).tolist() == [18.0, 118.0, cal.threshold, cal.threshold]
    p = cal.p_value(np.array([19.5, 19.5, 19.5]), ["a", "b", "rare"])
    np.testing.assert_allclose(p, [1 / 21, 1.0, (1 + 21) / 42])
    assert cal.with_rate(0.3).thresholds(["a"]).tolist() == [14.0]


def test_they_are_kept():
    cal = Calibration.of(SCORES, 0.5, groups=GROUPS, strata=list("aabbab"))
    facts, arrays = cal.to_manifest()
    again = Calibration.from_manifest(facts, arrays)
    s = np.arange(0, 7, 0.5)
    assert np.array_equal(again.p_value(s), cal.p_value(s))
    assert np.array_equal(again.p_value(s, ["b"] * len(s)), cal.p_value(s, ["b"] * len(s)))
    for broken in (
        ({**facts, "groups": 4}, arrays),
        ({**facts, "strata": ["a"]}, arrays),
        (facts, {**arrays, "groups": arrays["groups"][:-1]}),
        (facts, {**arrays, "stratum": arrays["stratum"] + 1}),
        (facts, {name: value for name, value in arrays.items() if name != "groups"}),
    ):
        with pytest.raises(ArtifactError):
            Calibration.from_manifest(*broken)
