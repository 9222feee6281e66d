"""Computing in isolation from the caller's torch settings."""

import os
import subprocess
import sys

import pytest

FORK = """
import os, signal, threading, warnings
warnings.simplefilter("ignore")
from oddgan import machine

inside, leave = threading.Event(), threading.Event()

def hold():
    with machine.sealed():
        inside.set()
        leave.wait()

thread = threading.Thread(target=hold)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    with machine.sealed():
        os._exit(0)
status = os.waitpid(child, 0)[1]
leave.set()
thread.join()
raise SystemExit(status != 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent():
    assert subprocess.run([sys.executable, "-c", FORK], timeout=120, check=False).returncode == 0
