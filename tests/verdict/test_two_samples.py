"""The two-sample test in NumPy, by hand and beside SciPy's."""

import itertools

import numpy as np
import pytest
from scipy import stats

from oddgan.verdict import two_samples


def test_by_counting_all_orders():
    """Of all orders of 4 and 3 values, the share that differs as much or more."""
    new, old = np.array([1.0, 2.0, 5.0, 6.0]), np.array([3.0, 4.0, 7.0])
    seen = two_samples.largest_difference(new, old)
    assert seen == pytest.approx(0.5)
    orders = [(set(one), set(range(7)) - set(one)) for one in itertools.combinations(range(7), 4)]
    differences = [two_samples.largest_difference(np.array([*a], float), np.array([*b], float)) for a, b in orders]
    share = np.mean(np.array(differences) >= seen - 1e-12)
    assert two_samples.p_value(new, old) == pytest.approx(share, abs=1e-14)


@pytest.mark.parametrize(("m", "n"), [(10, 10), (50, 37), (200, 300), (1000, 200)])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 2.0])
def test_as_scipy_has_it(m, n, shift):
    random = np.random.default_rng(m + n)
    new, old = random.normal(size=m) + shift, random.normal(size=n)
    expected = stats.ks_2samp(new, old, method="exact").pvalue
    assert two_samples.p_value(new, old) == pytest.approx(expected, abs=1e-11)


def test_equal_and_apart():
    same = np.arange(20.0)
    assert two_samples.p_value(same, same) == 1.0
    assert two_samples.p_value(same, same + 100) == pytest.approx(2 / 137846528820, abs=1e-11)  # 2 of C(40, 20) orders
    ties = np.repeat([0.0, 1.0], 10)
    assert two_samples.p_value(ties, ties[:12]) == pytest.approx(
        stats.ks_2samp(ties, ties[:12], method="exact").pvalue, abs=1e-11
    )
