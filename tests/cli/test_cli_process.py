"""What the command line does with its own process, and does not do with another's."""

import gc
import os
import subprocess
import sys

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
