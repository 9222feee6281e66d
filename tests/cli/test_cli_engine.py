"""--engine ray: the results of one process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_small import SMALL

from fake_ray import WorkerCrashedError
from oddgan import papers

QUICK = ("--detectors", "knn,pca", "--seeds", "2", "--threads", "1")


def same(oddgan, *words, suffix=".csv", code=0, engine=("--engine", "ray")):
    """What the engine says, whose results are those without it."""
    one = oddgan("score", *words, "-o", f"one{suffix}")
    many = oddgan("score", *words, "-o", f"many{suffix}", *engine)
    assert (one.code, many.code) == (code, code), many.err
    assert Path(f"one{suffix}").read_bytes() == Path(f"many{suffix}").read_bytes()
    assert [line for line in one.err.splitlines() if "written" not in line] == [
        line for line in many.err.splitlines() if "written" not in line and "at a time" not in line
    ]
    assert many.out == ""
    assert sorted(Path().glob(".*")) == []
    return many


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_pictures(oddgan, ray, model, folder, suffix):
    words = (model, folder / "test", "--regions", "--false-alarm-rate", "0.2,0.4")
    ran = same(oddgan, *words, suffix=suffix)
    assert "14 rows in 8 parts, 2 at a time\n" in ran.err
    assert "at 40%" in ran.err
    assert sorted(ray.calls) == list(range(8))


def test_what_cannot_be_used_is_named_once_and_in_order(oddgan, ray, model, folder):
    shutil.copytree(folder / "test", "in")
    for name in ("in/good/0000.png", "in/scratch/z.png"):
        Path(name).write_bytes(b"")
    words = (model, "in", "nothing.csv", folder / "test/good/001.png", "--skip-bad")
    ran = same(oddgan, *words, code=4, engine=("--engine", "ray", "--part-rows", "3"))
    assert ran.err.count("unusable: ") == 3
    assert "18 rows in 6 parts" in ran.err
    refused = oddgan("score", model, "in", "-o", "out.csv", "--engine", "ray")
    assert refused.code == 2
    assert "cannot be used" in refused.complaint
    assert "unusable: " in refused.err
    assert not Path("out.csv").exists()
    refused = oddgan("score", model, "in", "-o", "out.csv", "--engine", "ray", "-q")
    assert "unusable: " in refused.err
    for path in Path("in").rglob("*.png"):
        path.write_bytes(b"")
    assert oddgan("score", model, "in", "-o", "out.csv", "--engine", "ray", "--skip-bad").code == 2
    assert not Path("out.csv").exists()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables(oddgan, ray, form):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 4)), columns=list("abcd"))
    place = f"x.{form}"
    frame.to_csv(place, index=False) if form == "csv" else frame.to_parquet(place)
    assert oddgan("train", place, "-o", "m.oddgan", *SMALL).code == 0
    ran = same(oddgan, "m.oddgan", place, place, engine=("--engine", "ray", "--workers", "3"))
    assert "600 rows in 12 parts, 3 at a time\n" in ran.err
    pd.concat([frame[:5], frame[:5] + 50]).to_csv("odd.csv", index=False)
    assert oddgan("score", "m.oddgan", "odd.csv", "-o", "out.csv", "--engine", "ray", "--fail-on-anomaly").code == 3


def test_a_part_is_scored_again_or_nothing_is_written(oddgan, ray, model, folder):
    ray.dies = {3: [WorkerCrashedError("Gone. See logs.")]}
    assert oddgan("score", model, folder / "test", "-o", "one.csv").code == 0
    ran = oddgan("score", model, folder / "test", "-o", "out.csv", "--engine", "ray")
    assert ran.code == 0
    assert "part 4 of 8: its worker died (Gone); tried again (1 of 2)\n" in ran.err
    assert Path("out.csv").read_bytes() == Path("one.csv").read_bytes()
    ray.dies = {3: [WorkerCrashedError("Gone.")] * 3}
    ran = oddgan("score", model, folder / "test", "-o", "lost.csv", "--engine", "ray")
    assert ran.code == 1
    assert "part 4 of 8: its worker died (Gone.), 3 times; nothing is written; --part-rows" in ran.complaint
    assert sorted(path.name for path in Path().iterdir()) == ["one.csv", "out.csv"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("in", "--engine", "ray"), "give --output FILE"),
        (("-", "--engine", "ray"), "are not"),
        (("in", "-o", "o.csv", "--workers", "2"), "--workers: is of an engine: give --engine ray"),
        (("in", "-o", "o.csv", "--address", "auto"), "--address: is of an engine"),
        (("in", "-o", "o.csv", "--part-rows", "2"), "--part-rows: is of an engine"),
        (("in", "-o", "o.csv", "--engine", "ray", "--shard", "0/2"), "--shard: is of one process"),
        (("in", "-o", "o.csv", "--engine", "ray", "--fdr", "0.1"), "--fdr: is of one process"),
        (("in", "-o", "o.csv", "--engine", "ray", "--maps", "m"), "--maps: is of one process"),
        (("in", "-o", "o.csv", "--engine", "ray", "--device", "cuda:1"), "give --device cuda"),
        (("in", "-o", "o.csv", "--engine", "dask"), "'dask'"),
    ],
)
def test_what_does_not_go_together(oddgan, ray, model, words, says):
    ran = oddgan("score", model, *words)
    assert (ran.code, ray.started) == (2, [])
    assert says in ran.complaint


def test_without_ray(oddgan, model, folder, table_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for words in (
        ("score", model, folder / "test", "-o", "o.csv"),
        ("compare", table_file, "--detectors", "knn"),
        ("reproduce", "egbad-kdd99"),
    ):
        ran = oddgan(*words, "--engine", "ray")
        assert ran.code == 2
        assert "needs ray: pip install " in ran.complaint


def lines(path):
    """The rows of a record by key, without times."""
    found = {}
    for text in Path(path).read_text().splitlines():
        row = json.loads(text)
        row["figures"] = {name: value for name, value in row["figures"].items() if "seconds" not in name}
        row["facts"] = {name: value for name, value in row["facts"].items() if "second" not in name}
        assert row["key"] not in found, "a cell was run twice"
        found[row["key"]] = row
    return found


def test_a_comparison_has_the_rows_of_one_process(oddgan, ray, table_file):
    one = oddgan("compare", table_file, *QUICK, "--results", "one.jsonl")
    many = oddgan("compare", table_file, *QUICK, "--results", "many.jsonl", "--engine", "ray")
    assert (one.code, many.code) == (0, 0), many.err
    assert len(lines("one.jsonl")) == 4
    assert lines("one.jsonl") == lines("many.jsonl")
    assert "[4/4] pca, seed 1: running\n" in many.err
    assert [row.split()[:4] for row in one.out.splitlines()[4:6]] == [
        row.split()[:4] for row in many.out.splitlines()[4:6]
    ]
    warned = [line for line in one.err.splitlines() if "warning" in line]
    assert warned
    assert sorted(warned) == sorted(line for line in many.err.splitlines() if "warning" in line)
    again = oddgan("compare", table_file, *QUICK, "--results", "many.jsonl", "--engine", "ray")
    assert again.err.count("(done before)") == 4
    assert len(ray.started) == 1


def test_a_lost_cell_is_run_by_the_next_command_alone(oddgan, ray, table_file):
    ray.dies = {1: [WorkerCrashedError("Gone.")], 2: [WorkerCrashedError("Gone.")] * 3}
    ran = oddgan("compare", table_file, *QUICK, "--results", "r.jsonl", "--engine", "ray")
    assert ran.code == 1
    assert "1 of 4 were lost, 3 times each (knn, seed 1: its worker died (Gone.))" in ran.complaint
    assert "the same command runs these again" in ran.complaint
    assert "[2/4] pca, seed 0: its worker died (Gone.); tried again (1 of 2)\n" in ran.err
    assert len(lines("r.jsonl")) == 3
    ray.calls.clear()
    assert oddgan("compare", table_file, *QUICK, "--results", "r.jsonl", "--engine", "ray").code == 0
    assert ray.calls == [0]
    oddgan("compare", table_file, *QUICK, "--results", "one.jsonl")
    assert lines("r.jsonl") == lines("one.jsonl")
    assert not list(Path().glob("*.ckpt"))


def test_a_failing_cell_is_recorded_as_without_an_engine(oddgan, ray, table_file):
    words = ("compare", table_file, "--detectors", "patchcore,knn", "--seeds", "1", "--threads", "1")
    assert oddgan(*words, "--results", "one.jsonl").code == 0
    assert oddgan(*words, "--results", "many.jsonl", "--engine", "ray").code == 0
    assert lines("one.jsonl") == lines("many.jsonl")
    assert sum(row["error"] is not None for row in lines("many.jsonl").values()) == 1


@pytest.mark.usefixtures("arrhythmia")
def test_a_reproduction(oddgan, ray):
    words = ("reproduce", "alad-arrhythmia", "--runs", "iforest,knn", "--threads", "1")
    one = oddgan(*words, "--results", "one.jsonl")
    many = oddgan(*words, "--results", "many.jsonl", "--engine", "ray")
    assert (one.code, many.code) == (0, 0), many.err
    assert one.out == many.out
    assert lines("one.jsonl") == lines("many.jsonl")
    assert sorted(ray.calls) == list(range(4))


def test_every_table_can_be_sent(ray):
    jobs = [
        papers.reproduction._job(one, cell) for one in papers.tables().values() for cell in papers.plan(one, seeds=1)
    ]
    again = ray.cloudpickle.loads(ray.cloudpickle.dumps(jobs))
    assert [job.key for job in again] == [job.key for job in jobs]


# What follows runs Ray itself.

HURT = """
import os, sys, time
if "default_worker" in " ".join(sys.orig_argv):
    import {module}
    def hurt(*given, before={module}.{name}, **more):
        mark = os.environ["HURT"]
        if not os.path.exists(mark):
            open(mark, "x").close()
            {what}
        return before(*given, **more)
    {module}.{name} = hurt
"""


@pytest.fixture
def real(tmp_path, monkeypatch):
    """Run a command in a process of its own, in which the first call of a function in a worker comes to harm."""
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    paths = [str(tmp_path / "site"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*paths, *(p for p in sys.path if p.endswith("src"))]))
    monkeypatch.setenv("HURT", str(tmp_path / "hurt"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def start(*words, hurt=None):
        (tmp_path / "hurt").unlink(missing_ok=True)
        module, name, what = hurt or ("oddgan", "__doc__", "pass")
        (tmp_path / "site/sitecustomize.py").write_text(
            HURT.format(module=module, name=name, what=what) if hurt else ""
        )
        command = [sys.executable, "-m", "oddgan", *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    yield start
    for number in left(tmp_path):
        os.kill(number, signal.SIGKILL)


def left(folder):
    """The processes that this test has started and that are still there."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"HURT={folder}/hurt\0".encode() in place.read_bytes() and int(place.parts[2]) != os.getpid():
                found.append(int(place.parts[2]))
        except OSError:
            continue
    return found


def gone(folder, seconds=60):
    """Whether they are gone by then."""
    end = time.monotonic() + seconds
    while left(folder) and time.monotonic() < end:
        time.sleep(0.5)
    return not left(folder)


KILL = "os.kill(os.getpid(), 9)"


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_a_killed_worker_and_an_interrupt(oddgan, real, model, folder, tmp_path):
    assert oddgan("score", model, folder / "test", "-o", "one.csv").code == 0
    words = ("score", model, folder / "test", "-o", "many.csv", "--engine", "ray", "--workers", "2")
    ran = real(*words, hurt=("oddgan.cli.score", "score", KILL))
    out, err = ran.communicate(timeout=250)
    assert ran.returncode == 0, err
    assert out == ""
    assert "its worker died" in err
    assert "tried again (1 of 2)" in err
    assert Path("many.csv").read_bytes() == Path("one.csv").read_bytes()
    assert gone(tmp_path)

    Path("many.csv").unlink()
    ran = real(*words, hurt=("oddgan.cli.score", "score", "time.sleep(600)"))
    end = time.monotonic() + 200
    while not (tmp_path / "hurt").exists():
        assert ran.poll() is None
        assert time.monotonic() < end
        time.sleep(0.2)
    ran.send_signal(signal.SIGINT)
    out, err = ran.communicate(timeout=100)
    assert ran.returncode == 130, err
    assert "interrupted" in err
    assert gone(tmp_path)
    assert not [path.name for path in tmp_path.iterdir() if "many" in path.name]


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_a_comparison_whose_worker_is_killed(oddgan, real, table_file, tmp_path):
    assert oddgan("compare", table_file, *QUICK, "--results", "one.jsonl").code == 0
    words = ("compare", table_file, *QUICK, "--results", "many.jsonl", "--engine", "ray", "--workers", "2")
    ran = real(*words, hurt=("oddgan.evaluation.elsewhere", "_run", KILL))
    _, err = ran.communicate(timeout=250)
    assert ran.returncode == 0, err
    assert "tried again (1 of 2)" in err
    assert lines("many.jsonl") == lines("one.jsonl")
    Path("many.jsonl").write_text("".join(Path("many.jsonl").read_text().splitlines(keepends=True)[:2]))
    ran = real(*words)
    _, err = ran.communicate(timeout=250)
    assert ran.returncode == 0, err
    assert err.count("(done before)") == 2
    assert err.count(": running") == 2
    assert lines("many.jsonl") == lines("one.jsonl")
    assert gone(tmp_path)
