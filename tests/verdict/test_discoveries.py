"""Benjamini and Hochberg's procedure on conformal p-values."""

import numpy as np
import pytest

from oddgan.errors import ParameterError
from oddgan.verdict.calibration import Calibration
from oddgan.verdict.discoveries import check_fdr, discoveries, least_together, q_values, too_few


def test_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(q_values(p), [0.04, 4 * 0.04 / 3, 4 * 0.04 / 3, 0.5])
    assert discoveries(p, 0.04).tolist() == [True, False, False, False]
    assert discoveries(p, 0.06).tolist() == [True, True, True, False]


def test_what_has_no_p_value_does_not_count():
    q = q_values(np.array([0.02, np.nan, 0.5]))
    np.testing.assert_allclose(q, [0.04, np.nan, 0.5])
    assert discoveries(np.array([np.nan, 0.01]), 0.1).tolist() == [False, True]
    assert np.isnan(q_values(np.array([np.nan]))).all()


@pytest.mark.parametrize("fdr", [0.0, 1.0, -1, float("nan")])
def test_a_rate_that_is_none_is_refused(fdr):
    with pytest.raises(ParameterError, match="fdr"):
        check_fdr(fdr)


def test_how_many_rows_must_be_beyond_all_calibration_rows():
    # 99 calibration rows: p >= 0.01. Among 100 rows at 0.1, k rows need 0.01 <= 0.1 k / 100, so k = 10
    assert least_together(0.01, 100, 0.1) == 10
    p = np.full(100, 0.5)
    for tied in (9, 10):
        p[:tied] = 0.01
        assert discoveries(p, 0.1).sum() == (0 if tied == 9 else 10)
        assert bool(too_few(p, 0.01, 0.1)) == (tied == 9)
    p[:10] = 0.5
    assert "10 of 100 rows would have to score above all of them, and 0 do; 999 would do" in too_few(p, 0.01, 0.1)
    assert not too_few(p, 0.001, 0.1)
    assert "not even all rows together" in too_few(np.full(4, 0.5), 0.2, 0.1)


def test_the_rate_holds_with_calibration_rows_in_common():
    random = np.random.default_rng(0)
    false, found = [], []
    for _ in range(400):
        odd = np.arange(80) < 16
        p = Calibration.of(random.normal(size=300), "auto").p_value(random.normal(size=80) + 4 * odd)
        called = discoveries(p, 0.2)
        false.append((called & ~odd).sum() / max(1, called.sum()))
        found.append(called[odd].mean())
    assert np.mean(false) - 3 * np.std(false) / 20 < 0.2 * 0.8
    assert np.mean(found) > 0.9


def test_the_smallest_p_value():
    assert Calibration.of(np.arange(99.0), "auto").smallest_p == pytest.approx(0.01)
