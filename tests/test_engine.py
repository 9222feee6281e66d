"""Tasks on Ray: given out, repeated, ended, and cleaned up after."""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

import oddgan.engine
from fake_ray import OutOfMemoryError, WorkerCrashedError
from oddgan import errors
from oddgan.engine import Failure, Lost, Ray
from oddgan.errors import DataError, EngineError, MissingExtra, OddganError, ParameterError
from oddgan.runtime.engines import CannotCompute


def squared(shared, i):
    return shared["plus"] + i * i


def refusing(shared, i):
    raise DataError("x.csv: line 3 is empty") if i == 1 else KeyError("not foreseen")


def titles(n):
    return [f"task {i}" for i in range(n)]


def ran(engine, n, function=squared):
    said, begun = [], []
    with engine.started({"plus": 100}) as pool:
        found = dict(pool.run(function, titles(n), began=begun.append, report=said.append))
    return found, said, begun


def test_tasks_are_given_out_a_few_at_a_time(ray):
    found, said, begun = ran(Ray(workers=3), 7)
    assert found == {i: 100 + i * i for i in range(7)}
    assert (ray.most, said, sorted(begun)) == (3, [], list(range(7)))
    assert ray.options["num_cpus"] == pytest.approx(1 / 3, abs=0.01)  # half of two processors for three
    assert ray.options["max_retries"] == 0
    assert ray.down == 1
    (given,) = ray.started
    assert given["address"] == "local"
    assert given["object_store_memory"] < 2**28


@pytest.mark.parametrize(
    ("workers", "threads", "part", "most"), [(None, 1, 0.5, 2), (None, 2, 1, 1), (400, 1, 0.01, 9)]
)
def test_a_task_never_asks_for_all_processors(ray, workers, threads, part, most):
    ran(Ray(workers=workers, threads=threads), 9)
    assert (ray.options["num_cpus"], ray.most) == (part, most)


@pytest.mark.parametrize("death", [WorkerCrashedError("It died. See logs."), OutOfMemoryError()])
def test_a_task_whose_worker_dies_is_tried_again(ray, death):
    ray.dies = {2: [death], 4: [death] * 3}
    found, said, begun = ran(Ray(), 6)
    assert found[2] == 104
    assert isinstance(found[4], Lost)
    assert len(found) == 6
    assert ray.calls.count(2) == 2
    assert ray.calls.count(4) == 3
    assert sorted(begun) == list(range(6))
    why = "its worker died (It died)" if isinstance(death, WorkerCrashedError) else "its worker ran out of memory"
    assert f"task 2: {why}; tried again (1 of 2)" in said
    assert found[4].reason == why
    assert len(said) == 3


def test_a_task_that_takes_too_long_is_ended(ray):
    ray.stuck = {1}
    found, said, _ = ran(Ray(seconds=0.0, tries=2), 3)
    assert found.pop(1) == Lost("did not end within 0 s")
    assert found == {0: 100, 2: 104}
    assert len(ray.cancelled) == 2
    assert said == ["task 1: did not end within 0 s; tried again (1 of 1)"]


def test_no_worker_is_an_error_in_time(ray):
    ray.stuck = {None}
    with pytest.raises(EngineError, match=r"no worker within 5 s \(2 of 2 processors are free\)"):
        ran(Ray(start_seconds=5), 3)
    assert len(ray.cancelled) == ray.down == 1
    ray.stuck, ray.dies = set(), {None: [WorkerCrashedError("No module named oddgan")]}
    with pytest.raises(EngineError, match="cannot start: its worker died"):
        ran(Ray(), 3)
    ray.refuses = ConnectionError("nothing there")
    with pytest.raises(EngineError, match=r"--address auto: Ray cannot be reached or started \(nothing there\)"):
        ran(Ray(address="auto"), 3)
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))  # and does not listen
        for address in ("ray://127.0.0.1:{}", "127.0.0.1:{}"):
            where = address.format(port.getsockname()[1])
            with pytest.raises(EngineError, match=rf"--address {where}: nothing answers there \(.+\); is Ray running"):
                ran(Ray(address=where), 3)
    ray.refuses = None
    with pytest.raises(EngineError, match="a task takes a GPU"):
        ran(Ray(gpus=1), 3)


def test_errors_of_tasks_are_raised_here(ray):
    with pytest.raises(DataError, match=r"x\.csv: line 3"):
        ran(Ray(), 2, refusing)
    with pytest.raises(KeyError, match="not foreseen"):
        ran(Ray(), 1, refusing)
    assert ray.down == 1  # a second init, and a second end
    with pytest.raises(DataError, match="cannot be sent"), Ray().started(sys._getframe()):
        pass


def test_an_end_in_between_ends_what_runs(ray):
    handler = signal.getsignal(signal.SIGTERM)
    ray.init_before = ray.init
    ray.init = lambda **given: (ray.init_before(**given), signal.signal(signal.SIGTERM, signal.SIG_IGN))

    def interrupted():
        with Ray().started({"plus": 0}) as pool:
            assert signal.getsignal(signal.SIGTERM) == handler
            for _ in pool.run(squared, titles(9)):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(ray.cancelled) == ray.down == 1
    assert signal.getsignal(signal.SIGTERM) == handler


def test_only_what_this_thread_says_is_on_standard_output(ray, capsys):
    with Ray().started(None):
        sys.stdout.write("this\n")
        other = threading.Thread(target=lambda: sys.stdout.write("Ray\n"))
        other.start()
        other.join()
    assert capsys.readouterr() == ("this\n", "Ray\n")


def test_a_connection_that_is_there_is_used_and_kept(ray):
    ray.init(address="auto")
    assert ran(Ray(), 2)[0] == {0: 100, 1: 101}
    assert (len(ray.started), ray.down) == (1, 0)


def test_workers_with_another_release_are_refused(ray, monkeypatch):
    give = oddgan.engine._task
    monkeypatch.setattr(oddgan.engine, "_task", lambda version, *more: give("0.0.1", *more))
    with pytest.raises(EngineError, match=r"has oddgan .*, and this is 0\.0\.1: install the same"):
        ran(Ray(), 2)


def test_every_error_comes_back_as_itself():
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, OddganError)]
    assert len(kinds) > 8
    for kind in kinds:
        error = MissingExtra("pyarrow", "parquet", "this") if kind is MissingExtra else kind("what it says")
        found = Failure.of(error).error()
        assert (type(found), str(found)) == (kind, str(error))
    assert type(Failure.of(CannotCompute("a graph")).error()) is DataError  # which is not among them


def test_without_ray_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"needs ray: pip install .*oddgan\[ray\]"):
        Ray().check()
    with pytest.raises(ParameterError, match="workers=0: must be at least 1"):
        Ray(workers=0)


def dying_once(folder, i):
    mark = os.path.join(folder, f"{i}")
    if i == 1 and not os.path.exists(mark):
        open(mark, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if i == 2:
        time.sleep(600)
    return i, os.getcwd()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ray_itself(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    with Ray(workers=1, address="local").started(None) as pool, pytest.raises(EngineError, match="No module named"):
        list(pool.run(dying_once, titles(1)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    said = []
    with Ray(workers=2, address="local", seconds=30, tries=2).started(str(tmp_path)) as pool:
        found = dict(pool.run(dying_once, titles(4), report=said.append))
    assert found[2] == Lost("did not end within 30 s")
    assert [found[i] for i in (0, 1, 3)] == [(i, os.getcwd()) for i in (0, 1, 3)]
    assert len(said) == 2
    assert "task 1: its worker died" in " ".join(said)
