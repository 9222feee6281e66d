"""Members' scores on one scale, by hand."""

import numpy as np
import pytest

from oddgan.verdict.scale import LEAST, NORMAL_MAD, ScoreScale, averaged, between


def test_median_and_median_absolute_deviation():
    scale = ScoreScale.of(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))  # of the deviations 2 1 0 1 2 the median is 1
    assert (scale.middle, scale.deviation) == (3.0, pytest.approx(1 / NORMAL_MAD))
    np.testing.assert_allclose(scale.scaled(np.array([3.0, 4.0, 0.0])), [0.0, NORMAL_MAD, -3 * NORMAL_MAD])


def test_scores_that_tie_are_measured_by_their_deviation():
    tied = np.array([1.0, 1.0, 1.0, 1.0, 6.0])  # the median absolute deviation is 0, the deviation 2
    assert ScoreScale.of(tied).deviation == pytest.approx(2 * LEAST)
    assert ScoreScale.of(np.array([7.0, 7.0])).deviation == 1.0


def test_what_is_no_number_is_anomalous():
    mean = averaged([np.array([1.0, np.inf, np.inf]), np.array([3.0, 1.0, -np.inf])])
    np.testing.assert_array_equal(mean, [2.0, np.inf, np.inf])


def test_between_keeps_the_order_strictly_between_0_and_1():
    values = np.array([-np.inf, -1e9, -3.0, -0.5, 0.0, 0.5, 3.0, 1e3, 1e300, np.inf])
    shares = between(values)
    assert (np.diff(shares) >= 0).all()
    assert (np.diff(shares[1:8]) > 0).all()
    assert shares.min() > 0 < 1 - shares.max()
    assert (between(values) + 1e6 < 1e6 + 1).all()  # beside a million calibration rows, too
