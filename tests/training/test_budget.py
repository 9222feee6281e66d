"""When a stage of training ends."""

import pytest

from oddgan.training import Batch, Stage, updates_by_default
from oddgan.training.budget import Budget, Clock

STAGE = Stage("game", ("G",), lambda net, batch: iter(()))


@pytest.mark.parametrize(
    ("rows", "batch_size", "updates"), [(100, 64, 2_000), (100_000, 64, 23_438), (3, 64, 2_000), (64_000, 1, 960_000)]
)
def test_the_default_is_15_epochs_and_at_least_2000_updates(rows, batch_size, updates):
    assert updates_by_default(rows, batch_size) == updates


def test_the_limit_that_is_reached_first_ends_a_stage():
    budget = Budget(updates=10, epochs=3, minutes=0.5)
    assert not budget.exhausted(9, 2, 29.9)
    assert budget.exhausted(10, 0, 0.0)
    assert budget.exhausted(0, 3, 0.0)
    assert budget.exhausted(0, 0, 30.0)
    assert not Budget(None, None, None).exhausted(10**9, 10**9, 1e9)


def test_a_stages_own_updates_replace_the_runs_updates_and_epochs(settings):
    run = settings(updates=50, epochs=4)
    assert Budget.of(STAGE, run) == Budget(50, 4, None)
    assert Budget.of(Stage("own", ("G",), STAGE.step, updates=7), run) == Budget(7, None, None)


def test_stages_share_the_minutes_of_a_run(settings):
    assert Budget.of(STAGE, settings(minutes=3.0), stages=2).minutes == 1.5


def test_the_total_follows_from_the_batches_that_a_step_draws(rows, settings):
    batch = Batch(rows(10), settings(), 0)  # 4 of 10 rows
    assert Budget(None, 2, None).total(0, batch) == 5
    for _ in range(6):
        batch.x()
    assert Budget(None, 2, None).total(3, batch) == 3  # two batches an update
    assert Budget(2, 2, None).total(3, batch) == 2
    assert Budget(None, None, 1.0).total(3, batch) is None


def test_the_time_left_is_that_of_the_nearer_limit():
    assert Budget(10, None, None).seconds_left(4, 10, 2.0, 1.0) == 3.0
    assert Budget(10, None, 0.05).seconds_left(4, 10, 2.0, 1.0) == 2.0
    assert Budget(10, None, 0.05).seconds_left(4, 10, 2.0, 9.0) == 0.0
    assert Budget(10, None, None).seconds_left(0, 10, 0.0, 0.0) is None


def test_a_resumed_clock_adds_the_time_spent_and_rates_its_own_updates(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = Clock(spent=30.0, updates=20)
    assert clock.rate(20) == 0.0
    now[0] = 104.0
    assert clock.seconds() == 34.0
    assert clock.rate(28) == 2.0
