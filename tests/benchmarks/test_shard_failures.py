"""The simulated scheduler of shards."""

import math

import numpy as np
import pytest
from benchmarks.studies.shard_failures import expected_loss, simulated


def test_without_failures_workers_share_the_shards() -> None:
    run = simulated(3, 7, 10.0, math.inf, np.random.default_rng(0))
    assert (run.seconds, run.lost, run.failures) == (30.0, 0.0, 0)  # 7 shards on 3 workers are 3 rounds


def test_what_is_lost_is_what_theory_expects() -> None:
    random = np.random.default_rng(0)
    runs = [simulated(4, 400, 100.0, 300.0, random, restart=7.0) for _ in range(50)]
    lost = np.array([run.lost for run in runs])
    expected = 400 * expected_loss(100.0, 300.0)
    assert abs(lost.mean() - expected) < 4 * lost.std() / math.sqrt(len(runs))
    busy = [(400 * 100.0 + run.lost + 7.0 * run.failures) / 4 for run in runs]  # no worker idles but at the end
    assert all(floor - 1e-6 <= run.seconds + 7.0 + 100.0 for floor, run in zip(busy, runs, strict=True))
    assert all(run.seconds <= floor + 2 * (100.0 + 300.0) for floor, run in zip(busy, runs, strict=True))


@pytest.mark.parametrize(("seconds", "between"), [(1.0, 1e9), (100.0, 100.0)])
def test_the_expected_loss_by_hand(seconds: float, between: float) -> None:
    if between == 1e9:
        assert expected_loss(seconds, between) == pytest.approx(seconds**2 / (2 * between), rel=1e-6)
    else:
        assert expected_loss(seconds, between) == pytest.approx(100 * (math.e - 2))


def test_the_page_is_current() -> None:
    """`python -m benchmarks.pages.scale` writes it."""
    from benchmarks.pages import scale

    assert scale.PAGE.read_text("utf-8") == scale.page()
