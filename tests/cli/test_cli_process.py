"""What the command line does with its own process, and does not do with another's."""

import gc
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from oddgan.cli import process

STARTED = (
    "import os, oddgan; from oddgan.cli import main; main({}); "
    "print(*map(os.environ.get, ['OMP_WAIT_POLICY', 'GOMP_SPINCOUNT']))"
)


def policy_after(arguments, **given):
    """How threads are to wait once `main` has run, in a process with these variables."""
    environment = {name: value for name, value in os.environ.items() if name not in process.WAITING}
    code = f"import sys; sys.argv = ['oddgan', '--version']; {STARTED.format(arguments)}"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment | given
    )
    return run.stdout.split()[-2:]


def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise():
    assert policy_after("") == ["passive", "1000"]
    assert policy_after("", OMP_WAIT_POLICY="active") == ["active", "None"]
    assert policy_after("", GOMP_SPINCOUNT="7") == ["None", "7"]


def test_a_process_that_is_not_the_commands_own_is_left_as_it_is():
    assert policy_after("['--version']") == ["None", "None"]


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_is_looked_for_again_after_loading(monkeypatch, collecting):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    was, told = gc.isenabled(), gc.enable if collecting else gc.disable
    try:
        told()
        with process.loading():
            assert not gc.isenabled()
        assert gc.isenabled() == collecting
        assert (gc.get_freeze_count() > 0) == collecting
    finally:
        gc.unfreeze()
        (gc.enable if was else gc.disable)()


def started(folder, *words, **how):
    """`oddgan` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "oddgan", *map(str, words)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **how,
    )


def test_each_line_of_standard_input_is_answered_before_the_next_comes(model, folder, tmp_path):
    with started(tmp_path, "score", model, "-") as run:
        for name, key in (("test/good/000.png", "score"), ("nothing.png", "error"), ("test/good/001.png", "score")):
            run.stdin.write(f"{folder / name}\n")
            run.stdin.flush()
            line = json.loads(run.stdout.readline())  # while standard input is open
            assert line["path"] == str(folder / name)
            assert line[key]
        run.send_signal(signal.SIGTERM)
        assert run.wait() == 143
        assert run.stdout.read() == ""
        assert "2 rows: " in run.stderr.read()


@pytest.mark.skipif(os.name != "posix", reason="a shell closes standard output")
@pytest.mark.parametrize("data", ["-", "test/good/000.png"])
def test_answers_that_nobody_can_read_are_an_error(model, folder, data):
    command = shlex.join([sys.executable, "-m", "oddgan", "score", str(model), data, "--threads", "1"])
    run = subprocess.run(f"{command} >&-", shell=True, cwd=folder, input="x\n", capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == "oddgan: error: standard output is closed; use -o"


def test_a_terminated_training_keeps_its_checkpoint_and_says_how_to_go_on(folder, tmp_path):
    flags = ["-o", "m.oddgan", "--updates", "1000000", "--width", "4", "--checkpoint-seconds", "0"]
    with started(tmp_path, "train", folder, *flags) as run:
        while run.poll() is None and not (tmp_path / "m.oddgan.ckpt").exists():
            time.sleep(0.005)  # a loop without rest takes the core that the process needs
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate()
    assert run.returncode == 143
    assert "go on with" in err
    assert "--resume" in err
    assert [path.name for path in tmp_path.iterdir()] == ["m.oddgan.ckpt"]


def test_terminated_scoring_leaves_nothing_half_written(model, folder, tmp_path):
    with started(tmp_path, "score", model, folder, "-o", "s.csv", "--maps", "maps", "--device", "cpu") as run:
        while run.poll() is None and not list(tmp_path.glob(".*.part*")):
            time.sleep(0.001)
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate()
    assert run.returncode in (0, 143), err
    left = {path.name for path in tmp_path.iterdir()}
    assert left == (set() if run.returncode == 143 else {"s.csv", "maps"})
