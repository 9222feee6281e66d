"""Scoring in processes, and what becomes of rows whose process dies."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from oddgan.errors import DataError, ParameterError
from oddgan.serve import workers
from oddgan.serve.models import opened


class Scripted:
    """In place of a process: does what its script says, a step for each task."""

    script: tuple = ()
    stillborn: tuple = ()
    made = 0

    def __init__(self, models, how):
        type(self).made += 1

    def receive(self, seconds):
        if type(self).made in self.stillborn:
            raise workers.Lost("process 8 died")
        return "ready"

    def ask(self, task, seconds):
        step, *type(self).script = self.script
        if step == "die":
            raise workers.Lost("process 7 died")
        return (None, step) if isinstance(step, Exception) else (step, None)

    def end(self):
        """Nothing to end."""

    kill = end


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.setattr(workers, "_Worker", Scripted)
    monkeypatch.setattr(Scripted, "made", 0)
    replaced = []
    found = workers.Workers(["a"], {}, 1, seconds=1.0, replaced=lambda: replaced.append(1))
    found.noted = replaced
    return found


def test_rows_whose_process_dies_are_scored_by_another(pool):
    Scripted.script = "die", ["found"]
    assert pool.compute(0, [[1]], False) == ["found"]
    assert (Scripted.made, len(pool.noted)) == (2, 1)


def test_rows_that_kill_processes_are_given_up(pool):
    Scripted.script = "die", "die", ["found"]
    with pytest.raises(workers.Lost):
        pool.compute(0, [[1]], False)
    assert pool.compute(0, [[2]], False) == ["found"]


def test_a_process_that_dies_before_it_has_the_rows_does_not_count(pool, monkeypatch):
    monkeypatch.setattr(Scripted, "stillborn", range(2, workers.STARTS + 1))
    Scripted.script = "die", ["found"]
    assert pool.compute(0, [[1]], False) == ["found"]
    assert (Scripted.made, len(pool.noted)) == (workers.STARTS + 1, workers.STARTS)
    monkeypatch.setattr(Scripted, "stillborn", range(Scripted.made, 1000))
    Scripted.script = ("die",)
    with pytest.raises(workers.Lost, match="process 8"):
        pool.compute(0, [[1]], False)


def test_an_error_is_no_death(pool):
    Scripted.script = DataError("a row is bad"), ["found"]
    with pytest.raises(DataError, match="a row is bad"):
        pool.compute(0, [[1]], False)
    assert pool.compute(0, [[1]], False) == ["found"]
    assert Scripted.made == 1


def test_a_process_scores_as_this_one_and_is_ended_when_it_is_silent(made):
    place = made.folder / "parts"
    pool = workers.Workers({"parts:2": place}, {"threads": 1}, 1, seconds=60.0)
    model = opened([f"parts:2={place}"], threads=1)[0]
    rows = [list(made.pictures[-3:, ..., None])]
    try:
        for explained in (False, True):
            (found,), (expected,) = pool.compute(0, rows, explained), model.compute(rows, explained)
            assert np.array_equal(found.score, expected.score)
            assert np.array_equal(found.is_anomaly, expected.is_anomaly)
        assert [found.regions(i) for i in range(3)] == [expected.regions(i) for i in range(3)]
        assert np.array_equal(found.map(2), expected.map(2))
        assert found.explanation.reconstruction is None
        with pytest.raises(DataError):
            pool.compute(0, [[np.zeros((8, 8, 1), np.uint8)]], False)
        worker = pool._free.get()
        with pytest.raises(workers.Lost, match="has not answered for 0 seconds"):
            worker.receive(0.0)  # it was not asked anything
        assert worker.process.exitcode < 0
    finally:
        pool.close()


def test_one_that_is_silent_is_ended_wherever_it_stops(made):
    pool = workers.Workers([made.folder / "numbers"], {"threads": 1}, 1, seconds=0.3)
    worker = pool._free.get()
    try:
        os.kill(worker.process.pid, signal.SIGSTOP)
        with pytest.raises(workers.Lost, match=r"has not answered for 0\.3 seconds"):
            worker.ask((0, [np.zeros(2**22)], False), 0.3)  # more than a pipe holds
        assert worker.process.exitcode < 0
    finally:
        pool.close()


def test_the_end_ends_those_that_score_and_starts_no_more(made):
    pool = workers.Workers([made.folder / "numbers"], {"threads": 1}, 1, seconds=60.0)
    worker = pool._free.get()
    pool._free.put(worker)
    os.kill(worker.process.pid, signal.SIGSTOP)  # what it is asked outlasts every patience
    found = []

    def compute():
        try:
            found.append(pool.compute(0, [np.zeros((1, 3))], False))
        except workers.Lost as error:
            found.append(error)

    asking = threading.Thread(target=compute)
    asking.start()
    while not pool._free.empty():
        time.sleep(0.01)
    pool.close()
    asking.join(20)
    assert isinstance(found[0], workers.Lost)
    assert worker.process.exitcode < 0
    with pytest.raises(workers.Lost, match="stopped"):
        pool.compute(0, [[1]], False)


def test_rows_that_nobody_waits_for_are_not_tried_again(pool):
    Scripted.script = "die", ["found"]
    with pytest.raises(workers.Lost):
        pool.compute(0, [[1]], False, until=time.monotonic() - 1)
    assert pool.compute(0, [[1]], False, until=time.monotonic() + 60) == ["found"]


def test_an_answer_that_cannot_be_understood_ends_its_process(pool, monkeypatch):
    def broken(self, task, seconds):
        raise ValueError("these are no results")

    with monkeypatch.context() as patch:
        patch.setattr(Scripted, "ask", broken)
        with pytest.raises(ValueError, match="no results"):
            pool.compute(0, [[1]], False)
    Scripted.script = (["found"],)
    assert pool.compute(0, [[1]], False) == ["found"]
    assert Scripted.made == 2  # what the first would answer next may belong to other rows


def test_models_that_are_no_paths_and_processes_that_do_not_start(scorers, monkeypatch):
    with pytest.raises(ParameterError, match="give paths, not models"):
        workers.Workers({"a": scorers.numbers}, {}, 1, seconds=1.0)
    monkeypatch.setattr(workers, "_work", os.abort)
    with pytest.raises(ParameterError, match=r"workers=1: process \d+ died as it opened the models"):
        workers.Workers(["nothing"], {}, 1, seconds=1.0)
