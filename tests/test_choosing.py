"""`oddgan.choose`: the best of some candidates, in a time that a clock of the test's own measures."""

import dataclasses
import itertools

import numpy as np
import pytest

import oddgan
from oddgan import KNN, PCA, GANomaly, choosing, testing
from oddgan.data import Split
from oddgan.errors import DataError, ParameterError
from oddgan.hooks import Hook
from oddgan.report import to_json, to_markdown


@pytest.fixture
def watch(monkeypatch):
    """A clock that stands still unless it is moved."""

    class Watch:
        now = 1_000.0

    monkeypatch.setattr(choosing, "_now", lambda: Watch.now)
    return Watch


class Lasting(PCA):
    """Takes a second of the watch for each ten rows that it is fitted on."""

    watch = None

    def finish(self, net, rows):
        Lasting.watch.now += len(rows) / 10
        super().finish(net, rows)


def without_times(found):
    return [{k: v for k, v in one.figures.items() if "seconds" not in k} for one in found.comparison.contenders]


def test_candidates_are_what_suits_the_rows_and_rivals(table):
    found = choosing.candidates(table, random_state=3)
    assert {one.random_state for one in found.values()} == {3}
    assert "ganomaly (recommended)" in found
    assert found["ganomaly (recommended)"].get_params() == oddgan.recommended(table, random_state=3).get_params()
    kinds = [(type(one), str(one.get_params())) for one in found.values()]
    assert len(kinds) == len(set(kinds))
    alike = choosing.candidates(table, local="distance", near="rows")
    assert {one.local for one in alike.values()} == {"distance"}
    assert "knn --local views" not in alike
    with pytest.raises(ParameterError, match="calibrate_fraction=2"):
        choosing.candidates(table, calibrate_fraction=2)
    small = choosing.candidates(np.random.default_rng(0).integers(0, 255, (30, 12, 12), np.uint8), updates=7)
    assert {type(one).__name__ for one in small.values()} >= {"PCA", "GANomaly", "DRAEM", "KNN"}
    assert {one.updates for one in small.values() if hasattr(one, "updates")} == {7}


def test_trials_have_a_reduced_budget():
    assert choosing.trial(GANomaly(), "table").updates == choosing.UPDATES["table"]
    assert choosing.trial(GANomaly(updates=20), "pictures").updates == 20
    long = choosing.trial(GANomaly(epochs=400), "table")
    assert (long.updates, long.epochs) == (choosing.UPDATES["table"], None)


def test_the_best_is_chosen_with_its_whole_budget(table):
    among = {"gan": testing.small(GANomaly, updates=9), "near": KNN(k=3), "poor": PCA(components=1)}
    found = oddgan.choose(table, among=among)
    first = found.comparison.contenders[0]
    assert found.name == first.name
    assert found.detector.get_params() == {**among[found.name].get_params(), "random_state": 0}
    assert "model_" not in vars(found.detector)
    assert len(found.comparison.cells) == 3
    assert found.comparison.untried == {}
    again = oddgan.choose(table, among=among)
    assert again.name == found.name
    assert without_times(again) == without_times(found)
    assert without_times(oddgan.choose(table, among=among, random_state=5)) != without_times(found)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = ""


def test_a_rival_must_be_clearly_better_than_the_recommended():
    better = {"a": 0.8, "b (recommended)": 0.79, "c": 0.7}
    assert choosing.best_of(better, "b (recommended)") == "b (recommended)"
    assert choosing.best_of(better | {"a": 0.85}, "b (recommended)") == "a"
    assert choosing.best_of(better, None) == "a"
    assert choosing.best_of({"c": 0.7}, "b (recommended)") == "c"
    assert choosing.best_of({}, None) is None


def test_test_rows_and_labels_are_not_looked_at(table):
    labels = np.arange(20) < 10
    among = {"near": KNN(), "poor": PCA(components=1)}
    split = Split(name="rows", train=table[:90], test=table[:20], labels=labels)
    wrong = dataclasses.replace(split, test=table[20:40] * 7, labels=~labels)
    one, other = oddgan.choose(split, among=among), oddgan.choose(wrong, among=among)
    assert one.name == other.name
    assert without_times(one) == without_times(other) == without_times(oddgan.choose(table[:90], among=among))


def test_a_candidate_that_would_not_be_done_in_time_is_not_tried(table, watch):
    Lasting.watch = watch
    X = np.random.default_rng(0).normal(size=(500, 3))  # 400 to train on, 320 of them without calibration rows
    many = {f"one {i}": Lasting(components=some) for i, some in enumerate((1, 2, 0.9))}
    found = oddgan.choose(X, among=many, minutes=1)  # each: 5 for the estimate, 32 for the trial
    assert set(found.comparison.untried) == {"one 1", "one 2"}
    assert found.name == "one 0"
    assert found.seconds <= 60
    assert "it takes about 0:" in found.comparison.untried["one 1"]
    text = to_markdown(found.comparison)
    assert "| one 2 | – |" in text
    assert "one 2 was not tried: it takes about" in text
    assert "one 2" in to_json(found.comparison)


def test_a_training_is_stopped_when_the_time_is_used_up(table, watch):
    class Ticks(Hook):
        def on_update(self, moment):
            watch.now += 40

    among = {"near": KNN(), "gan": testing.small(GANomaly, updates=9), "late": PCA()}
    found = oddgan.choose(table, among=among, minutes=1, hooks=[Ticks()])
    assert found.name == "near"
    assert found.comparison.untried == {
        "gan": "it was stopped when the time was used up",
        "late": "the time was used up",
    }


def test_without_any_time_the_recommended_is_taken(table, monkeypatch):
    ticks = itertools.count(step=100.0)
    monkeypatch.setattr(choosing, "_now", lambda: next(ticks))
    found = oddgan.choose(table, minutes=0.1)
    assert found.name == "ganomaly (recommended)"
    assert found.detector.local == "views"
    assert len(found.comparison.untried) == len(choosing.candidates(table))
    to_markdown(found.comparison)


def test_what_cannot_be_chosen_from_is_refused(table):
    with pytest.raises(ParameterError, match="at least one candidate"):
        oddgan.choose(table, among={})
    with pytest.raises(ParameterError, match="minutes=0"):
        oddgan.choose(table, minutes=0)
    with pytest.raises(ParameterError, match="k=0"):
        oddgan.choose(table, among={"a": KNN(k=0)})
    with pytest.raises(DataError, match="no normal rows"):
        oddgan.choose(Split(name="a", train=None))
