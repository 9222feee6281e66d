"""Fits that end early: by Ctrl-C, by a hook, by patience. What is left is a fitted and calibrated model."""

import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import nullcontext

import numpy as np
import pytest

import oddgan
from oddgan import testing
from oddgan.cautions import TrainingWarning
from oddgan.errors import ArtifactError, ParameterError
from oddgan.hooks import Hook
from oddgan.model.fitting import hold_out


class Presses(Hook):
    """Ctrl-C, at this update, so many times."""

    def __init__(self, at, times=1):
        self.at, self.times = at, times

    def on_update(self, moment):
        if moment.update == self.at:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


def small(**changes):
    return testing.small(oddgan.GANomaly, **{"updates": 40, "ema": 0.0, **changes})


@pytest.fixture(autouse=True)
def _usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_in_a_calibrated_model(table):
    with pytest.warns(TrainingWarning, match="interrupted at update 9 of stage game") as caught:
        det = small().fit(table, hooks=[Presses(9)])
    assert [w.message.code for w in caught if isinstance(w.message, TrainingWarning)] == ["interrupted"]
    assert det.training_["stopped"] == {"game": {"reason": "interrupted", "update": 9, "kept": 9}}
    assert det.training_["updates"] == {"game": 9}
    assert det.training_["warnings"][0]["code"] == "interrupted"
    testing._assert_same_model(det, small(updates=9).fit(table), "an interrupted fit")


def test_ctrl_c_pressed_twice_raises(table):
    with pytest.raises(KeyboardInterrupt):
        small().fit(table, hooks=[Presses(9, times=2)])


def test_what_can_be_resumed_is_interrupted_as_ever(table, tmp_path):
    path = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        small().fit(table, hooks=[Presses(9)], checkpoint=path, checkpoint_seconds=0)
    resumed = small().fit(table, checkpoint=path)
    assert "stopped" not in resumed.training_
    testing._assert_same_model(resumed, small().fit(table), "a resumed run")
    with pytest.raises(KeyboardInterrupt):
        small().fit(table, hooks=[Presses(9)], on_interrupt="raise")
    with pytest.warns(TrainingWarning, match="interrupted"):
        small().fit(table, hooks=[Presses(9)], checkpoint=tmp_path / "other.ckpt", on_interrupt="keep")
    with pytest.raises(ParameterError, match="on_interrupt='stop': must be 'keep', 'raise' or None"):
        small().fit(table, on_interrupt="stop")


def test_another_thread_and_a_handler_of_the_program_are_left_alone(table):
    thread = threading.Thread(target=lambda: found.append(small(updates=2).fit(table)))
    found: list = []
    thread.start()
    thread.join()
    assert found
    pressed = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    det = small().fit(table, hooks=[Presses(9)])
    assert (pressed, det.training_["updates"]) == ([1], {"game": 40})
    signal.signal(signal.SIGINT, signal.default_int_handler)


SCRIPT = """
import sys
import numpy as np
import oddgan
from oddgan.hooks import Hook

class Ready(Hook):
    def on_update(self, moment):
        if moment.update == 5:
            print("ready", flush=True)
            sys.stdin.readline()

X = np.random.default_rng(0).normal(size=(80, 4))
det = oddgan.GANomaly(updates=10**9, width=4, random_state=0).fit(X, hooks=[Ready()])
print(det.training_["stopped"]["game"]["reason"], det.n_calibrate_, len(det.predict(X)))
"""


def test_ctrl_c_from_outside(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate("on\n", timeout=120)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "interrupted 16 80\n"), err
    assert "TrainingWarning: training was interrupted at update" in err


def test_a_stopped_fit_is_told_in_its_file(table, tmp_path):
    class Stop(Hook):
        def on_update(self, moment):
            if moment.update == 7:
                moment.stop("good enough")

    with pytest.warns(TrainingWarning, match="good enough"):
        det = small().fit(table, hooks=[Stop()])
    testing._assert_same_model(det, small(updates=7).fit(table), "a stopped fit")
    det.save(tmp_path / "m.oddgan")
    assert oddgan.load(tmp_path / "m.oddgan").info()["training"]["stopped"]["game"]["reason"] == "stopped-by-hook"


def test_patience_holds_rows_out_and_ends_a_stage(table):
    """Also where the score needs no rows to be tuned on."""
    X = np.tile(table, (3, 1)) + np.random.default_rng(0).normal(size=(240, 5))
    patient = testing.small(oddgan.VAE, updates=1000, lr=0.05, early_stopping=2, calibrate_fraction=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingWarning)  # it is what was asked for
        det = patient.fit(X)
    facts = det.training_["stopped"]["elbo"]
    assert facts["reason"] == "early-stopping"
    assert facts["kept"] < facts["update"] == det.training_["updates"]["elbo"] < 1000
    assert len(hold_out(patient, 240, 0, tune=True, calibrate=True)[1]["tune"]) == 24
    assert det.training_["rows"] == 240 - 24 - 48
    losses = [nll + kl for nll, kl in zip(det.history_["val.E.nll"], det.history_["val.E.kl"], strict=True) if nll]
    assert min(losses) == losses[-3]


def test_patience_of_a_mere_game_is_refused(table):
    with pytest.raises(ParameterError, match=r"early_stopping=3: every loss of this detector is one side .* set upd"):
        testing.small(oddgan.DCGAN, early_stopping=3).fit(table)
    with pytest.raises(ParameterError, match="early_stopping=0: must be at least 1"):
        small(early_stopping=0).fit(table)


def test_a_stage_without_a_loss_to_go_by_is_trained_to_its_end(table):
    det = testing.small(oddgan.FAnoGAN, early_stopping=1, encoder_updates=100, encoder_lr=0.0).fit(table)
    assert det.training_["updates"]["gan"] == 20
    assert list(det.training_["stopped"]) == ["encoder"]


def test_a_patient_run_is_resumed_to_the_last_bit(table):
    testing.resumed_runs_are_identical(small(early_stopping=1, ema=0.9), table)


def test_other_tuning_rows_are_another_run_where_they_end_it(table, tmp_path):
    class Broken(Hook):
        def on_update(self, moment):
            if moment.update == 8:
                raise RuntimeError("broken off")

    for patience, same in ((None, True), (3, False)):
        det, path = small(early_stopping=patience), tmp_path / f"{patience}.ckpt"
        with pytest.raises(RuntimeError, match="broken off"):
            det.fit(table[20:], tune=table[:10], checkpoint=path, checkpoint_seconds=0, hooks=[Broken()])
        with nullcontext() if same else pytest.raises(ArtifactError, match="checksum of tuning rows"):
            det.fit(table[20:], tune=table[10:20], checkpoint=path)
