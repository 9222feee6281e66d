"""A run that is killed, resumed, interrupted and resumed again ends in the bits of one that was left alone."""

import shlex
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from oddgan.model import archive as artifact


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_kill_interrupt_and_resume_give_the_same_model(oddgan, folder, tmp_path):
    base = ["train", str(folder), "--width", "4", "--updates", "150", "--threads", "1"]
    often = ["--checkpoint-seconds", "0"]
    model, checkpoint = tmp_path / "broken.oddgan", tmp_path / "broken.oddgan.ckpt"

    killed = start([*base, *often, "-o", str(model)])
    wait_until(killed, checkpoint.exists)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert checkpoint.exists()
    assert not model.exists()

    before = checkpoint.stat().st_mtime_ns
    stopped = start([*base, *often, "-o", str(model), "--resume"])
    wait_until(stopped, lambda: checkpoint.stat().st_mtime_ns != before)
    said = interrupted(stopped)
    assert stopped.returncode == 130
    assert said.count("\n") == 1
    assert not model.exists()

    words = shlex.split(said.partition("go on with: ")[2])
    assert words[0] == "oddgan"
    assert oddgan(*words[1:], "--checkpoint-seconds", "60").code == 0  # the last word counts; writing them takes long
    assert not checkpoint.exists()

    assert oddgan(*base, "-o", "whole.oddgan").code == 0
    resumed, whole = artifact.read(model), artifact.read(tmp_path / "whole.oddgan")
    assert resumed[0]["history"] == whole[0]["history"]
    assert resumed[1].keys() == whole[1].keys()
    for name, tensor in whole[1].items():
        np.testing.assert_array_equal(resumed[1][name], tensor, err_msg=name)


def start(words):
    command = [sys.executable, "-m", "oddgan", *words]
    # What a shell starts in the background ignores Ctrl-C, and so would all that it starts: these shall hear it.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear)


def interrupted(process):
    """What it says when Ctrl-C is pressed, and pressed again where Python lost it: one that arrives in a callback which
    cannot raise goes no further."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=5)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.communicate()[1]


def wait_until(process, happened):
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
