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


SCORE = """
import os, signal, warnings
warnings.simplefilter("ignore")
import numpy as np, torch
torch.set_num_threads(2)
import oddgan

X = np.random.default_rng(0).integers(0, 255, (70, 32, 32), dtype=np.uint8)
detector = oddgan.GANomaly(updates=2, width=8, random_state=0).fit(X)
scores = detector.anomaly_score(X)
child = os.fork()
if child == 0:
    signal.alarm(60)
    found = detector.anomaly_score(X)
    os._exit(int(np.abs(found - scores).max() > 1e-5 * scores.max()))
raise SystemExit(os.waitpid(child, 0)[1] != 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_is_forked_after_scoring_with_several_threads_scores():
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["OMP_WAIT_POLICY"] = "passive"  # on shared cores, threads that spin take each other's
    run = subprocess.run([sys.executable, "-c", SCORE], timeout=240, check=False, env=environment)
    assert run.returncode == 0
