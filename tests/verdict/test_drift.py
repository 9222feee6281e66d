"""Streams and batches of scores beside calibration scores."""

import json

import numpy as np
import pytest

from oddgan.errors import ArtifactError, ParameterError
from oddgan.verdict.drift import BETS, Martingale, bets
from oddgan.verdict.uniformity import Sample, distance, flagged_range, of_scores, same_distribution


def streams(count, calibration, rows, shift=0.0, change=np.copy):
    for seed in range(count):
        scores = np.random.default_rng([seed, 11]).normal(size=calibration + rows)
        scores[calibration:] += shift
        scores = change(scores)
        known = scores[:calibration]
        yield Martingale.begin(known, seed=seed).after(scores[calibration:], known)


def test_p_values_by_hand():
    known = np.array([1.0, 2.0, 2.0])
    start = Martingale.begin(known)
    u = np.random.Generator(np.random.PCG64(0)).random(4)
    p = start.p_values(np.array([2.0, 3.0, 0.5, 3.0]), known)
    # 2.0 ties with two; 3.0 is above all; below 0.5 there is nothing, above it five; 3.0 ties with the 3.0 before
    np.testing.assert_allclose(p, [3 * u[0] / 4, u[1] / 5, (5 + u[2]) / 6, 2 * u[3] / 7])


def test_within_a_gap_the_order_of_the_stream_is_not_needed():
    known = np.array([0.0, 10.0])
    p = Martingale.begin(known).p_values(np.array([5.0, 6.0]), known)
    q = Martingale.begin(known).p_values(np.array([5.0, 4.0]), known)
    assert np.array_equal(p, q)


def test_every_bet_is_fair():
    middle = (np.arange(200_000) + 0.5) / 200_000
    np.testing.assert_allclose(bets(middle).mean(0), np.ones(BETS), atol=2e-3)


def test_usual_streams_raise_the_alarm_no_more_often_than_the_level():
    found = [one.alarm is not None for one in streams(150, 40, 500)]
    assert sum(found) <= 5  # 1.5 expected at most; more than 5 has probability 0.004


@pytest.mark.parametrize("change", [np.zeros_like, np.floor], ids=["constant", "tied"])
def test_ties_are_no_evidence(change):
    assert sum(one.alarm is not None for one in streams(40, 30, 400, change=change)) <= 2


@pytest.mark.parametrize(("shift", "within"), [(1.0, 150), (-1.0, 150)])
def test_a_shift_is_found_within_some_rows(shift, within):
    alarms = [one.alarm for one in streams(20, 100, 300, shift)]
    assert None not in alarms
    assert np.quantile(alarms, 0.9) <= within


def test_a_change_after_many_usual_rows_is_found():
    scores = np.random.default_rng(3).normal(size=3100)
    scores[2100:] += 1.5
    found = Martingale.begin(scores[:100]).after(scores[100:], scores[:100])
    assert found.alarm is not None
    assert 2000 < found.alarm < 2200


def test_a_stream_in_pieces_and_through_json_is_the_same():
    scores = np.random.default_rng(0).normal(size=1400)
    known, new = scores[:100], scores[100:]
    whole = Martingale.begin(known).after(new, known)
    piece = Martingale.begin(known)
    for part in np.split(new, [1, 700, 701]):
        piece = Martingale.from_json(json.loads(json.dumps(piece.after(part, known).to_json())))
    assert (piece.rows, piece.alarm) == (whole.rows, whole.alarm) == (1300, None)
    assert np.array_equal(piece.counts, whole.counts)
    assert piece.value == pytest.approx(whole.value, rel=1e-9)
    assert piece.peak == pytest.approx(whole.peak, rel=1e-9)


def test_what_has_no_score_is_left_out():
    known = np.arange(5.0)
    start = Martingale.begin(known)
    assert start.after(np.array([np.nan]), known) is start
    assert start.after(np.array([np.inf, np.nan]), known).rows == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("counts"),
        lambda state: state.update(rows=3),
        lambda state: state.update(level=2),
        lambda state: state.update(weights=[[1.0]]),
        lambda state: state.update(log_capital=[float("nan")] * 3),
        lambda state: state.update(alarm=9),
        lambda state: state.update(counts="many"),
    ],
)
def test_a_damaged_state_is_refused(change):
    state = Martingale.begin(np.arange(5.0)).to_json()
    change(state)
    with pytest.raises(ArtifactError):
        Martingale.from_json(state)


def test_a_state_of_other_calibration_rows_and_a_level_that_is_none_are_refused():
    with pytest.raises(ArtifactError, match="cells"):
        Martingale.begin(np.arange(5.0)).after(np.ones(1), np.arange(6.0))
    with pytest.raises(ParameterError, match="level"):
        Martingale.begin(np.arange(5.0), level=1.0)


def test_distance_by_hand():
    assert distance(np.array([1.0, 2.0]), np.array([3.0])) == 1
    assert distance(np.array([1.0, 3.0]), np.array([2.0, 4.0])) == 0.5
    assert distance(np.ones(3), np.ones(9)) == 0


def test_few_rows_are_no_test():
    assert same_distribution(np.arange(9.0), np.arange(50.0)) is None
    assert not list(of_scores(np.full(9, 99.0), np.arange(50.0)))


def test_the_range_of_flagged_rows_holds_for_99_of_100():
    random = np.random.default_rng(0)
    low, high = flagged_range(200, 0.05, 99)
    counts = []
    for _ in range(2000):
        threshold = np.sort(random.normal(size=99))[-5]  # floor(0.05 * 100) = 5 calibration rows may reach a row
        counts.append((random.normal(size=200) > threshold).sum())
    assert 0.98 < np.mean((low <= np.array(counts)) & (np.array(counts) <= high)) <= 1
    assert flagged_range(10, 0.01, 5) == (0, 10)


def codes(new, known):
    return [one.code for one in of_scores(new, np.sort(known))]


def test_a_batch_of_usual_rows_gets_no_finding_and_a_shifted_one_does():
    random = np.random.default_rng(1)
    usual = [codes(random.normal(size=60), random.normal(size=80)) for _ in range(300)]
    assert sum(map(bool, usual)) <= 3  # 0.3 expected at most
    assert codes(random.normal(size=200) - 1, random.normal(size=200)) == ["scores-shifted"]
    assert codes(random.normal(size=200) + 2, random.normal(size=200)) == ["mostly-unlike"]


def test_anomalies_are_no_drift():
    random = np.random.default_rng(2)
    for _ in range(20):
        new = random.normal(size=200)
        new[:60] += 5
        assert not codes(new, random.normal(size=200))
        assert same_distribution(new, random.normal(size=200)) < 1e-4


def test_a_sample_keeps_every_row_equally_often_and_no_more_than_it_may():
    kept = np.zeros(60)
    for seed in range(600):
        sample = Sample(10, seed)
        for start in range(0, 60, 15):
            sample.put(start + sample.chosen(15))
        assert len(sample.values) == 10
        assert (np.diff(sample.values) > 0).all()
        kept[sample.values] += 1
    assert sample.seen == 60
    assert abs(kept - 100).max() < 45  # 9.1 is one deviation
