"""A model is a value: nothing of it changes, it scores from anywhere, and a small block costs little."""

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from oddgan import machine, testing
from oddgan.detectors.egbad import EGBAD
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.knn import KNN
from oddgan.detectors.pca import PCA
from oddgan.errors import ParameterError
from oddgan.kit.recipe import ALL


@pytest.fixture
def fitted(pictures):
    return testing.small(GANomaly).fit(pictures)


def test_a_model_and_its_recipe_do_not_change(fitted):
    model = fitted.model_
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.calibration = None
    with pytest.raises(AttributeError, match=r"width: .*before the next fit"):
        model.recipe.width = 3
    with pytest.raises(AttributeError):
        model.recipe.set_params(width=3)
    fitted.set_params(width=3)  # of the next fit
    assert model.recipe.width == 8


@pytest.mark.parametrize(
    "name", ["threshold_", "offset_", "false_alarm_rate_", "n_calibrate_", "net_", "preprocessor_"]
)
def test_fitted_attributes_are_views_that_cannot_be_set(fitted, name):
    with pytest.raises(AttributeError):
        setattr(fitted, name, -1.0)
    assert getattr(fitted, name) is not None
    with pytest.raises((NotFittedError, AttributeError)):
        getattr(GANomaly(), name)


def test_replace_gives_another_value(fitted, pictures):
    model = fitted.model_
    other = model.replace(false_alarm_rate=0.5)
    assert other.calibration.rate == other.recipe.false_alarm_rate == 0.5
    assert model.calibration.rate != 0.5
    assert other.net is model.net
    assert model.replace(block_size=4).recipe.block_size == 4
    assert model.replace(convert=True).preprocessor.convert
    assert not model.preprocessor.convert
    with pytest.raises(ParameterError, match="width: only a fit changes it"):
        model.replace(width=4)
    with pytest.raises(ParameterError, match="block_size=3: must be a power of two"):
        model.replace(block_size=3)


def test_conversion_is_a_new_model_whose_parameters_say_so(fitted, pictures):
    other = fitted.with_conversion()
    assert (other.convert, other.model_.recipe.convert, other.info()["parameters"]["convert"]) == (True, True, True)
    assert not fitted.convert
    assert np.isfinite(other.anomaly_score(np.repeat(pictures[:2], 2, axis=1))).all()
    with pytest.raises(ParameterError, match=r"convert=True: is for pictures"):
        testing.small(PCA).fit(pictures.reshape(len(pictures), -1)).with_conversion()


def test_a_fit_that_breaks_off_leaves_nothing(fitted, pictures):
    with pytest.raises(ValueError):
        fitted.set_params(lr=-1.0).fit(pictures)
    with pytest.raises(ValueError):
        fitted.set_params(lr=1e-3).fit(pictures[:2])
    assert not hasattr(fitted, "model_")


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_copies_score_alike(fitted, pictures, way):
    assert np.array_equal(way(fitted).anomaly_score(pictures), fitted.anomaly_score(pictures))


class Asks(GANomaly):
    """Keeps what was asked for."""

    asked: list = []  # noqa: RUF012

    def score_rows(self, net, x, names=ALL):
        self.asked.append(names)
        return super().score_rows(net, x, names)


def test_a_score_asks_for_its_own_terms_alone(pictures):
    detector = testing.small(Asks, score_by="residual").fit(pictures)
    Asks.asked.clear()
    detector.anomaly_score(pictures[:3])
    assert list(Asks.asked[-1]) == ["residual"]
    detector.explain(pictures[:3])
    assert Asks.asked[-1] is ALL


class Locates(GANomaly):
    """Gives a map of its own, and no reconstruction."""

    reconstructs = False

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        del terms["x_hat"]
        return {**terms, "map": (x > 0).float().mean(1)}


def test_a_detector_may_locate_by_a_map_of_its_own(pictures):
    detector = testing.small(Locates).fit(pictures)
    found = detector.explain(pictures[:5])
    assert found.reconstruction is None
    raw = (pictures[:5] > 127).astype(np.float32)
    expected = detector.model_.map_scale.standardised(raw[:, None])
    np.testing.assert_allclose(found.anomaly_map, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(detector.anomaly_map(pictures[:5]), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ParameterError, match="reconstructs nothing"):
        detector.reconstruct(pictures[:5])


# --- threads, forks, small blocks ------------------------------------------------------------------------------------


def test_scoring_takes_no_lock(fitted, pictures):
    """Another thread may train, which is sealed, while this one scores."""
    expected, inside, leave = fitted.anomaly_score(pictures), threading.Event(), threading.Event()

    def hold():
        with machine.sealed():
            inside.set()
            leave.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert inside.wait(60)
        with ThreadPoolExecutor(1) as pool:
            assert np.array_equal(pool.submit(fitted.anomaly_score, pictures).result(60), expected)
    finally:
        leave.set()
        holder.join()


def test_threads_score_the_same_bits(fitted, pictures):
    expected = fitted.anomaly_score(pictures)
    fresh = pickle.loads(pickle.dumps(fitted))  # whose networks for scoring are made by whoever comes first
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(lambda _: fresh.anomaly_score(pictures), range(16)):
            assert np.array_equal(scores, expected)


def test_a_callers_settings_stay_and_do_not_reach_inside(fitted, pictures):
    expected = fitted.anomaly_score(pictures)
    state = torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        assert np.array_equal(fitted.anomaly_score(pictures), expected)
        assert torch.is_inference_mode_enabled()
    torch.set_default_dtype(torch.float64)
    try:
        assert np.array_equal(fitted.anomaly_score(pictures), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), state)


FORK = """
import os, sys, threading, time
import numpy as np
import torch
torch.set_num_threads(1)
from oddgan import machine, testing
from oddgan.detectors.ganomaly import GANomaly

X = np.random.default_rng(0).normal(size=(60, 4))
detector = testing.small(GANomaly).fit(X)
expected = detector.anomaly_score(X)
inside, leave = threading.Event(), threading.Event()
def hold():
    with machine.sealed():
        inside.set()
        leave.wait()
threading.Thread(target=hold, daemon=True).start()
inside.wait()
child = os.fork()
if not child:  # the thread that holds the lock does not exist here
    same = np.array_equal(detector.anomaly_score(X), expected)
    same &= np.array_equal(testing.small(GANomaly).fit(X).anomaly_score(X), expected)
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
os._exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_neither_waits_for_a_lock_nor_scores_otherwise():
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=120, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_small_blocks_score_the_bits_of_full_ones(pictures):
    """Whichever shape they are found to be safe in; the first small block is filled up, later ones need not be."""
    for cls in (GANomaly, EGBAD):
        detector = testing.small(cls, block_size=64).fit(pictures)
        scores, terms = detector.anomaly_score(pictures), detector.explain(pictures).terms
        for _ in range(3):
            for n in (1, 3, 20):
                assert np.array_equal(detector.anomaly_score(pictures[5 : 5 + n]), scores[5 : 5 + n])
                found = detector.explain(pictures[5 : 5 + n]).terms
                assert all(np.array_equal(found[name], terms[name][5 : 5 + n]) for name in terms)
        shapes = detector.model_.computer.shapes
        assert shapes.known
        assert shapes.smallest(64, detector.model_.computer) == 64


class RoundsByShape(GANomaly):
    """A fault that no reasoning rules out: results depend on how many rows a block has."""

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        return {**terms, "residual": terms["residual"] * (1 + len(x) * 1e-7)}


def test_a_shape_that_gives_other_bits_is_not_used(pictures):
    detector = testing.small(RoundsByShape, score_by="residual", block_size=64).fit(pictures)
    scores = detector.anomaly_score(pictures)
    for _ in range(4):
        assert detector.anomaly_score(pictures[7:8])[0] == scores[7]
    assert not any(detector.model_.computer.shapes.known.values())


def test_the_rest_of_many_rows_asks_nothing(pictures):
    detector = testing.small(GANomaly, block_size=16).fit(pictures)
    for _ in range(3):
        detector.anomaly_score(pictures[:37])
        detector.explain(pictures[:37])
    assert not detector.model_.computer.shapes.known


def test_tables_and_searches_are_not_asked(table):
    detector = testing.small(KNN).fit(table)
    detector.anomaly_score(table[:1])
    detector.anomaly_score(table[:1])
    assert not detector.model_.computer.shapes.known
