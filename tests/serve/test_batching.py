"""Rows of several requests are scored together, and nobody notices."""

import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest
from serve_small import png

from oddgan.errors import DataError
from oddgan.serve.batching import Batcher, Job
from oddgan.serve.limits import Limits, Refusal


class Scored:
    """Adds one to every row; notes what it was given; waits while it is held."""

    def __init__(self):
        self.batches, self.free = [], threading.Event()
        self.begun = threading.Event()

    def __call__(self, several, explained, until):
        self.begun.set()
        assert self.free.wait(20)
        self.batches.append((explained, [len(rows) for rows in several]))
        if any(None in rows for rows in several):
            raise DataError("a row is bad")
        if any("crash" in rows for rows in several):
            raise RuntimeError("it failed")
        return [[row + 1 for row in rows] for rows in several]


def job(*rows, explained=False, until=30.0):
    return Job(rows, len(rows), explained, time.monotonic() + until)


@pytest.fixture
def made_batcher():
    compute = Scored()
    batchers = []

    def make(size=4, **limits):
        batchers.append(Batcher(compute, size, Limits(**{"max_wait": 0.0, **limits})))
        return batchers[-1], compute

    yield make
    compute.free.set()
    for one in batchers:
        one.close(20)


def held(batcher, compute):
    """Have the thread be busy with a first job."""
    first = batcher.submit(job(0))
    assert compute.begun.wait(20)
    return first


def test_what_waits_is_scored_together(made_batcher):
    batcher, compute = made_batcher()
    futures = [held(batcher, compute)]
    futures += [batcher.submit(job(*range(n))) for n in (1, 2, 2, 1, 6, 1)]
    compute.free.set()
    found = [future.result(20) for future in futures]
    assert found == [[row + 1 for row in range(n)] for n in (1, 1, 2, 2, 1, 6, 1)]
    assert [sizes for _, sizes in compute.batches] == [[1], [1, 2], [2, 1], [6], [1]]
    assert batcher.rows == 0


def test_kinds_are_apart_and_in_order(made_batcher):
    batcher, compute = made_batcher()
    futures = [held(batcher, compute)]
    futures += [batcher.submit(job(1, explained=explained)) for explained in (True, False, True, False)]
    compute.free.set()
    for future in futures:
        future.result(20)
    assert compute.batches[1:] == [(True, [1, 1]), (False, [1, 1])]


def test_rows_wait_for_others_as_long_as_they_may(made_batcher):
    batcher, compute = made_batcher(size=2, max_wait=20.0)
    compute.free.set()
    first = batcher.submit(job(0))
    second = batcher.submit(job(1))
    assert (first.result(10), second.result(10)) == ([1], [2])  # the batch is full: nobody waits for the time
    assert compute.batches == [(False, [1, 1])]
    last = batcher.submit(job(0))
    batcher.close(10)  # what was taken is scored, and at once
    assert last.result(0) == [1]


def test_a_full_queue_refuses(made_batcher):
    batcher, compute = made_batcher(queue=3)
    first = held(batcher, compute)
    waiting = batcher.submit(job(1, 2))
    with pytest.raises(Refusal, match="2 rows are waiting") as full:
        batcher.submit(job(1, 2))
    assert full.value.status == 503
    with pytest.raises(Refusal) as large:
        batcher.submit(job(1, 2, 3, 4))
    assert large.value.status == 413
    taken = batcher.submit(job(3))
    compute.free.set()
    assert [one.result(20) for one in (first, waiting, taken)] == [[1], [2, 3], [4]]  # nothing that was taken is lost
    batcher.close(20)
    with pytest.raises(Refusal, match="stopping"):
        batcher.submit(job(1))


def test_a_bad_row_fails_its_own_request_alone(made_batcher, caplog):
    batcher, compute = made_batcher()
    futures = [held(batcher, compute), *[batcher.submit(job(row)) for row in (1, None, "crash", 2)]]
    compute.free.set()
    assert [futures[i].result(20) for i in (0, 1, 4)] == [[1], [2], [3]]
    with pytest.raises(DataError, match="a row is bad"):
        futures[2].result(20)
    with pytest.raises(RuntimeError):
        futures[3].result(20)
    assert "it failed" in caplog.text
    assert batcher.submit(job(5)).result(20) == [6]


def test_what_nobody_waits_for_is_not_scored(made_batcher):
    batcher, compute = made_batcher()
    first = held(batcher, compute)
    given_up, late = batcher.submit(job(1)), batcher.submit(job(2, until=-1))
    assert given_up.cancel()
    last = batcher.submit(job(3))
    compute.free.set()
    assert (first.result(20), last.result(20)) == ([1], [4])
    with pytest.raises(Refusal, match="not scored within") as refused:
        late.result(20)
    assert refused.value.status == 504
    with pytest.raises(CancelledError):
        given_up.result(0)
    assert compute.batches == [(False, [1]), (False, [1])]


def test_what_is_given_up_leaves_the_queue(made_batcher):
    batcher, compute = made_batcher(queue=2)
    first, given_up = job(0), job(1, 2)
    running = batcher.submit(first)
    assert compute.begun.wait(20)
    batcher.submit(given_up)
    assert batcher.withdraw(given_up)
    assert batcher.rows == 0
    last = batcher.submit(job(3, 4))  # there is room for it
    assert not batcher.withdraw(first)
    compute.free.set()
    assert (running.result(20), last.result(20)) == ([1], [4, 5])
    assert given_up.found.cancelled()


def test_what_is_late_is_not_tried_alone(made_batcher):
    batcher, compute = made_batcher()
    first = held(batcher, compute)
    jobs = [job(None), job(2)]
    futures = [batcher.submit(one) for one in jobs]
    seen = []

    def slowly(several, explained, until):
        seen.append(until)
        if len(several) == 1:
            return compute(several, explained, until)
        jobs[0].until = time.monotonic() - 1  # it takes so long
        raise RuntimeError("together they fail")

    batcher.compute = slowly
    compute.free.set()
    assert (first.result(20), futures[1].result(20)) == ([1], [3])
    with pytest.raises(Refusal, match="not scored within"):
        futures[0].result(20)
    assert len(seen) == 2
    assert seen[1] == jobs[1].until


def test_as_many_threads_as_the_system_gives(monkeypatch):
    begin, left = threading.Thread.start, [0, 1]

    def start(thread):
        if not left or not left.pop():
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    batcher = Batcher(lambda several, explained, until: several, 4, Limits(max_wait=0.0), threads=2)
    assert batcher.submit(job(1)).result(20) == (1,)
    batcher.close(20)
    none = Batcher(lambda several, explained, until: several, 4, Limits(max_wait=0.0), threads=2)
    with pytest.raises(Refusal, match="no thread"):
        none.submit(job(1))
    none.close(20)


def test_one_bound_for_the_end_of_all_models(serve, scorers):
    gate, begun = threading.Event(), threading.Semaphore(0)

    class Hanging:
        def __getattr__(self, name):
            return getattr(scorers.numbers, name)

        def score_and_shares(self, rows):
            begun.release()
            assert gate.wait(20)
            return scorers.numbers.score_and_shares(rows)

    client = serve(models={name: Hanging() for name in "abc"}, timeout=0.2)
    asked = [("POST", f"/models/{name}/score", {"json": {"row": [0, 0, 0]}}) for name in "abc"]
    assert {one.status_code for one in client.together(*asked)} == {504}
    memory, scoring = client.service.scoring.memory, client.service.scoring
    assert memory.held > 0  # the rows are there still
    waited = []

    def close(seconds):
        waited.append(seconds)
        time.sleep(0.01)

    for batcher in scoring.batchers.values():
        batcher.close = close
    scoring.close(0.5)
    assert 0.5 >= waited[0] > waited[1] > waited[2]
    gate.set()
    end = time.monotonic() + 20
    while memory.held and time.monotonic() < end:
        time.sleep(0.01)
    assert memory.held == 0


def test_answers_do_not_depend_on_companions(serve, made, scorers):
    """The law of the library, over HTTP: the same bits alone and among others."""
    client = serve(max_wait=0.05)
    names = [*range(40), 59]
    asked = [
        ("POST", "/models/parts/score?map=1", {"files": {"file": (f"{i}.png", png(made.pictures[i]))}}) for i in names
    ]
    rows = [("POST", "/models/numbers/score", {"json": {"row": row.tolist()}}) for row in made.matrix[:40]]
    found = client.together(*asked, *rows)
    assert {one.status_code for one in found} == {200}
    batches = client.service.scoring.metrics.registry.get_sample_value
    assert batches("oddgan_batch_rows_count", {"model": "parts", "version": "1"}) < len(asked)  # they were together
    alone = [client.post(path, **how) for _, path, how in [asked[0], asked[-1], rows[7]]]
    assert [one.json() for one in alone] == [found[i].json() for i in (0, len(asked) - 1, len(asked) + 7)]
    score = [one.json()["results"][0]["score"] for one in found[: len(asked)]]
    assert np.allclose(score, scorers.parts.score(made.pictures[names]), rtol=1e-8)


def test_a_service_whose_queue_is_full_says_so(serve, scorers):
    gate = threading.Event()

    class Slow:
        def __getattr__(self, name):
            return getattr(scorers.numbers, name)

        def score_and_shares(self, rows):
            assert gate.wait(20)
            return scorers.numbers.score_and_shares(rows)

    client = serve(models={"numbers": Slow()}, queue=2, max_batch=1, timeout=20.0, max_wait=0.0)
    request = ("POST", "/score", {"json": {"row": [0.0, 0.0, 0.0]}})
    metrics = client.service.scoring.metrics.registry

    def open_when_full():
        while (metrics.get_sample_value("oddgan_refused_total", {"reason": "busy"}) or 0) < 9:
            time.sleep(0.01)
        gate.set()

    threading.Thread(target=open_when_full, daemon=True).start()
    found = client.together(*[request] * 12)
    statuses = sorted(one.status_code for one in found)
    assert set(statuses) == {200, 503}
    assert 2 <= statuses.count(200) <= 3  # two that wait, and one where the thread had taken it
    assert {one.headers.get("retry-after") for one in found if one.status_code == 503} == {"1"}
    assert len({one.text for one in found if one.status_code == 200}) == 1
    assert client.post("/score", json={"row": [0.0, 0.0, 0.0]}).status_code == 200


def test_rows_that_come_too_late(serve, scorers):
    gate = threading.Event()

    class Stuck:
        def __getattr__(self, name):
            return getattr(scorers.numbers, name)

        def score_and_shares(self, rows):
            assert gate.wait(20)
            return scorers.numbers.score_and_shares(rows)

    client = serve(models={"numbers": Stuck()}, timeout=0.2)
    response = client.post("/score", json={"row": [0, 0, 0]})
    assert response.status_code == 504
    gate.set()
    memory, end = client.service.scoring.memory, time.monotonic() + 20
    while memory.held and time.monotonic() < end:
        time.sleep(0.01)
    assert memory.held == 0
