"""What a threshold promises, in words that follow from the numbers."""

import numpy as np
import pytest

from oddgan.model.checks import ON_BOTH_SIDES, TIED
from oddgan.verdict import Calibration, Guarantee
from oddgan.verdict.guarantee import percent, rate_range


def test_the_range_holds_the_rate_of_nine_of_ten_sets():
    low, high = rate_range(0.1, 99)
    random = np.random.default_rng(0)
    rates = []
    for _ in range(2000):
        threshold = Calibration.of(random.uniform(size=99), 0.1).threshold
        rates.append(1 - threshold)  # of uniform scores
    assert np.mean((np.array(rates) > low) & (np.array(rates) < high)) == pytest.approx(0.9, abs=0.03)
    assert rate_range(0.001, 99) == (0.0, 1.0)


def test_the_sentence():
    text = str(Guarantee.of(Calibration.of(np.arange(99.0), 0.1)))
    assert "a normal row is called an anomaly with a probability of at most 10%" in text
    assert "like the 99 normal rows" in text
    assert "but" not in text
    grouped = Guarantee.of(Calibration.of(np.arange(99.0), 0.1, groups=np.arange(99) // 9), ("rows-on-both-sides",))
    assert "a row of a new group" in str(grouped)
    assert "11 groups of 99 normal rows" in str(grouped)
    assert "but calibration rows equal training rows" in str(grouped)
    assert any("calibration rows equal training rows" in paragraph for paragraph in grouped.paragraphs)
    shown = next(one for one in Guarantee.of(Calibration.of(np.arange(99.0), 0.1)).paragraphs if "Checked" in one)
    assert f"at most {percent(ON_BOTH_SIDES)} equal a training row" in shown
    assert f"at most {percent(TIED)} have a score that equals" in shown
    strata = Guarantee.of(Calibration.of(np.arange(99.0), 0.1, strata=["a", "b", "c"] * 33))
    assert any("3 sorts of normals" in paragraph for paragraph in strata.paragraphs)
