"""Training that went wrong is said so: indicators by hand, rules, and trainings that used to pass without a word."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

import oddgan
from oddgan import cautions, detectors
from oddgan.cautions import TrainingWarning
from oddgan.errors import TrainingError
from oddgan.model import health, indicators, symptoms
from oddgan.testing import small

SCORES = {"trained", "score_range", "finds", "finds_error", "responds"}


def codes(detector):
    return {one["code"] for one in detector.training_["warnings"] if one["kind"] == "TrainingWarning"}


@pytest.fixture(scope="module")
def benign():
    X, y = load_breast_cancer(return_X_y=True)
    return X[y == 1][:280]


@pytest.fixture(scope="module")
def zeros(digits):
    X, y = digits
    return X[y == 0][:130]


# --- trainings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detector", "code"),
    [
        (oddgan.EGBAD(lr=1000.0, updates=40, width=8), "exploded"),
        (oddgan.DCGAN(updates=30), "few-updates"),
        (oddgan.GANomaly(lr=1e-9, updates=40, width=8), "not-learning"),
        (oddgan.GANomaly(lr={"G": 1e-3, "D": 0.0}, updates=40, width=8), "not-learning"),
        (oddgan.GANomaly(latent_dim=1, width=2, lr=1e-3, updates=150), "collapsed"),
    ],
    ids=["lr 1000", "few updates", "lr 1e-9", "D frozen", "latent 1"],
)
def test_what_went_wrong_is_said(detector, code, benign):
    try:
        with pytest.warns(TrainingWarning):
            detector.set_params(random_state=0).fit(benign)
    except TrainingError:  # training may also end there, where no good state is left
        assert code == "exploded"
        return
    assert codes(detector) & {code, "diverged" if code == "exploded" else code}


def test_what_never_was_good_ends_in_an_error(benign):
    with pytest.raises(TrainingError, match=r"training diverged by update .* lower the learning rate"):
        oddgan.GANomaly(lr=1.0, updates=60, width=8, random_state=0).fit(benign)


def test_a_generator_that_makes_one_picture(digits):
    det = oddgan.DCGAN(lr=0.05, updates=120, width=8, random_state=0).fit(digits[0][:600])
    assert det.training_["health"]["spread"] < 0.2
    assert "collapsed" in codes(det)


def test_networks_that_are_too_small_for_digits(digits):
    det = oddgan.VAE(latent_dim=1, width=2, lr=1e-3, updates=120, random_state=0).fit(digits[0][:600])
    assert codes(det) & {"ignores-input", "finds-nothing"}


class Passing(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return 0.98 * x + 0.02 * self.inner(x)


class PassingSkipGANomaly(oddgan.SkipGANomaly):
    """Reconstructs whatever it is given."""

    def build(self, shape):
        return {**(nets := super().build(shape)), "G": Passing(nets["G"])}


def test_networks_that_copy_whatever_they_are_given(benign):
    for cls, copies in ((PassingSkipGANomaly, True), (oddgan.SkipGANomaly, False)):
        det = cls(width=8, lr=1e-3, updates=60, random_state=0).fit(benign)
        assert (det.training_["health"]["kept_other"] > symptoms.KEPT) == copies
        assert ("copies-input" in codes(det)) == copies


FLOOR = {"updates": 60, "encoder_updates": 60, "batch_size": 32, "width": 16, "steps": 20, "lr": 1e-3, "ema": 0.9}


@pytest.mark.parametrize("name", ["ganomaly", "egbad", "dcgan", "vae", "skipganomaly", "ocgan", "dsebm", "anogan"])
def test_small_trainings_that_do_well_give_no_warning(name, zeros, benign):
    cls = detectors.get(name)
    known = {key: value for key, value in FLOOR.items() if key in cls._get_param_names()}
    for rows in (zeros, benign) if name in ("vae", "dsebm", "dcgan") else (benign,):
        det = small(cls, **known | {"calibrate_fraction": 0.1}).fit(rows)
        assert codes(det) == set(), det.training_["health"]


def test_detectors_without_training_are_judged_by_their_scores(benign):
    det = oddgan.KNN(random_state=0).fit(benign)
    assert set(det.training_["health"]) == SCORES
    assert codes(det) == set()
    noise = np.random.default_rng(0).integers(0, 2, (300, 12, 12)).astype(np.uint8) * 255
    assert codes(oddgan.PCA(random_state=0, components=100).fit(noise)) <= {"finds-nothing"}


def test_searches_take_few_rows(benign, monkeypatch):
    sizes = []
    scored = health._scores
    monkeypatch.setattr(health, "_scores", lambda parts, *rest: sizes.append(len(parts)) or scored(parts, *rest))
    det = small(oddgan.AnoGAN, calibrate_fraction=0.2).fit(benign)
    assert sizes == [health.SEARCHED]
    assert {"finds", "spread", "coverage"} <= set(det.training_["health"])
    assert not {"gap", "responds", "answer"} & set(det.training_["health"])


# --- what a fit keeps -----------------------------------------------------------------------------------------------


def test_indicators_go_with_the_model(benign, tmp_path):
    det = small(oddgan.GANomaly).fit(benign)
    det.save(tmp_path / "m.oddgan")
    again = oddgan.load(tmp_path / "m.oddgan")
    found = again.training_["health"]
    assert found == det.training_["health"]
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    assert json.loads(json.dumps(again.info()))["training"]["health"] == found
    assert "few-updates" in {one["code"] for one in again.info()["training"]["warnings"]}


def test_looking_changes_nothing(benign, monkeypatch):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    det = small(oddgan.EGBAD).fit(benign)
    assert torch.rand(1) == expected
    monkeypatch.setattr(health, "checked", lambda fit: {})
    plain = small(oddgan.EGBAD).fit(benign)
    np.testing.assert_array_equal(plain.anomaly_score(benign), det.anomaly_score(benign))
    assert plain.threshold_ == det.threshold_


def test_a_fault_here_costs_no_training(benign, monkeypatch):
    def measured(fit):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(health, "measured", measured)
    with pytest.warns(TrainingWarning, match="could not be measured .ZeroDivisionError: a fault"):
        det = small(oddgan.VAE).fit(benign)
    assert det.training_["health"] == {}
    assert np.isfinite(det.threshold_)


def test_pictures_in_tiles_and_by_their_map():
    random = np.random.default_rng(0)
    X = np.tile(np.linspace(40, 200, 48), (40, 48, 1)) + random.normal(0, 3, (40, 48, 48))
    X = X.clip(0, 255).astype(np.uint8)
    for settings in ({"tile": 16}, {"size": 40}, {"tile": 16, "score_by": "residual"}):
        det = small(oddgan.VAE, updates=40, lr=1e-3, calibrate_fraction=0.3, **settings).fit(X)
        assert {"finds", "responds", "answer", "gap", "spread"} <= set(det.training_["health"])
        assert det.training_["health"]["finds"] > 0.6
        assert "not-measured" not in codes(det)
    assert "finds" in small(oddgan.PCA, tile=16).fit(X).training_["health"]


def test_tables_of_any_kind():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": random.normal(size=90), "b": random.choice(["x", "y"], 90), "c": random.random(90) < 0.5}
    )
    frame.loc[::7, "a"] = np.nan
    for rows, more in ((frame, {}), (frame[["b", "c"]], {}), (frame, {"calibrate": frame[:9], "tune": frame[9:12]})):
        det = small(oddgan.GANomaly).fit(rows, **more)
        assert "not-measured" not in codes(det)
        assert "finds" in det.training_["health"]
    det = small(oddgan.GANomaly).fit(frame, calibrate=frame[:1], tune=frame[1:2])  # nothing to exchange values with
    assert "not-measured" not in codes(det)
    assert "finds" not in det.training_["health"]


@pytest.mark.parametrize("local", ["ratio", "density", "distance", "views"])
def test_rows_that_are_compared_with_training_rows(local, benign):
    det = small(oddgan.VAE, local=local, near="rows", calibrate_fraction=0.2).fit(benign)
    assert "gap" not in det.training_["health"]  # a training row is its own neighbour
    assert det.training_["health"]["finds"] > 0.6


# --- indicators by hand ---------------------------------------------------------------------------------------------


def history(stages=("game",) * 10, **terms):
    n = len(stages)
    return {"stage": list(stages), "epoch": list(range(1, n + 1)), "update": [10 * i for i in range(1, n + 1)], **terms}


def test_terms_of_a_history():
    found = indicators.of_history(
        history(**{"G.con": [8.0] * 2 + [2000.0] * 8, "D.real": [0.4] * 10, "D.fake": [0.3] * 9 + [0.2]})
    )
    assert found["largest_term"] == 2000
    assert found["growth"] == 250  # from 8
    assert found["won.D"] == pytest.approx(0.7)
    assert found["updates"] == 100
    assert found["constant.G"] == found["constant.D"] == 0
    still = indicators.of_history(
        history(**{"D.real": [0.4] * 10, "D.fake": [0.3] * 10, "G.adv": [0.1] * 5 + [4.0] * 5})
    )
    assert still["constant.D"] == 1
    assert still["constant.G"] == 0
    assert still["fooled"] == pytest.approx(40)
    critic = indicators.of_history(history(**{"D.wasserstein": [-9.0] * 10, "D.gp": [0.1] * 10, "G.adv": [3.0] * 10}))
    assert not {"won.D", "fooled"} & critic.keys()


def test_the_shortest_stage_counts():
    found = indicators.of_history(history(("game",) * 6 + ("encoder",) * 4))
    assert found["updates"] == 60
    two = history(("game", "encoder"))
    two["update"] = [500, 20]
    assert indicators.of_history(two)["updates"] == 20


def test_losses_that_still_fall_or_rise_again():
    line = [10.0 - i for i in range(10)]  # medians of fifths 9.5, 7.5, 5.5, 3.5, 1.5; the first two lines 9.5
    assert indicators.of_history(history(**{"G.con": line}))["falling"] == pytest.approx(2 / 8)
    assert "rising" not in indicators.of_history(history(**{"G.con": line}))
    assert "falling" not in indicators.of_history(history(**{"G.adv": line, "D.real": line}))
    held = [9.0, 9, 5, 5, 1, 1, 2, 2, 3, 3]
    found = indicators.of_history(history(**{"G.con": line, "val.G.con": held}))
    assert found["rising"] == pytest.approx(2 / 8)
    assert found["falling"] == pytest.approx(-1 / 8)
    gaps = [value for pair in zip(held, [None] * 10, strict=True) for value in pair]
    assert indicators.of_history(history(("game",) * 20, **{"val.G.con": gaps}))["rising"] == found["rising"]


def test_no_history_says_nothing():
    assert indicators.of_history({"stage": [], "epoch": [], "update": []}) == {}


def test_generated_rows():
    random = np.random.default_rng(0)
    train, held, made = (random.normal(size=(200, 3)) for _ in range(3))
    alike = indicators.of_generated(train, held, made)
    assert alike["spread"] == pytest.approx(1, abs=0.1)
    assert alike["coverage"] == pytest.approx(1, abs=0.15)
    assert alike["copies"] == pytest.approx(1, abs=0.3)
    assert indicators.of_generated(train, held, 0.5 * made)["spread"] == pytest.approx(alike["spread"] / 2)
    point = indicators.of_generated(train, held, np.zeros((200, 3)))
    assert point["spread"] == 0
    assert point["coverage"] < 0.3
    assert indicators.of_generated(train, held, train + 1e-3)["copies"] < 0.02
    assert indicators.of_generated(train, held, made + 50)["coverage"] == 0
    assert indicators.of_generated(train, held, np.full((5, 3), np.nan))["spread"] == 0
    assert indicators.of_generated(np.zeros((9, 3)), held, made) == {}  # training rows that are all equal


def test_reconstructions():
    random = np.random.default_rng(0)
    x, other = random.normal(size=(50, 4)), random.normal(size=(50, 4))
    copied = indicators.of_reconstructions(x, x, other, other)
    assert copied == {"answer": 1.0, "answer_spread": pytest.approx(1.0), "kept": 1.0, "kept_other": 1.0}
    mean = np.tile(x.mean(0), (50, 1))
    ignored = indicators.of_reconstructions(x, mean, other, mean)
    assert ignored["answer"] == 0.5  # every distance is the same
    assert ignored["answer_spread"] == pytest.approx(0)
    assert ignored["kept"] == pytest.approx(0)
    half = indicators.of_reconstructions(x, 0.5 * x + 0.5 * mean, other, mean)
    assert half["kept"] == pytest.approx(0.75)
    assert half["answer_spread"] == pytest.approx(0.25)
    assert indicators.of_reconstructions(x, np.full_like(x, np.nan), other, other) == {}


def test_features_that_do_not_vary():
    assert indicators.of_features(np.ones((5, 3)))["features"] == 0
    assert indicators.of_features(np.zeros((5, 3)))["features"] == 0
    assert indicators.of_features(np.array([[1.0], [-1.0]]))["features"] == 1
    assert indicators.of_features(np.array([[np.inf]])) == {}


def test_scores():
    held, train = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0])
    found = indicators.of_scores(held, train, np.array([3.0, 3.0]), np.array([5.0, 2.5, 3.0, 0.0]))
    assert found["score_range"] == 0.75
    assert found["gap"] == (4 + 3.5) / 8
    assert found["finds"] == (4 + 2 + 2.5 + 0) / 16
    assert found["finds_error"] == pytest.approx(math.sqrt(9 / (12 * 16)))
    assert found["responds"] == (1 + 0 + 0.5 + 0) / 4
    assert indicators.of_scores(np.zeros(3), np.empty(0), np.empty(0), np.empty(0)) == {"score_range": 0.0}


# --- rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "found", "fine"),
    [
        ("exploded", {"largest_term": 1e7}, {"largest_term": 1e5}),
        ("exploded", {"growth": 1e3, "largest_term": 1e4}, {"growth": 50.0}),
        ("exploded", {"won.D": 6.0}, {"won.D": 1.5}),
        ("exploded", {"fooled": 500.0, "won.D": 1.0}, {"fooled": 20.0, "won.D": 1.0}),
        ("not-learning", {"moved.G": 1e-5}, {"moved.G": 0.05}),
        ("not-learning", {"constant.D": 1.0}, {"constant.D": 0.0}),
        ("few-updates", {"epochs": 0.0, "updates": 900.0}, {"epochs": 1.0, "updates": 900.0}),
        ("few-updates", {"travel": 0.006, "updates": 30.0}, {"travel": 0.06}),
        ("discriminator-wins", {"won.D": 1e-3, "fooled": 5.0}, {"won.D": 1e-3, "fooled": 1.0}),
        ("collapsed", {"spread": 0.15}, {"spread": 0.15, "travel": 0.06}),
        ("collapsed", {"spread": 0.15, "coverage": 0.2}, {"spread": 0.15, "coverage": 0.9}),
        ("unlike-training", {"copies": 15.0}, {"copies": 8.0}),
        ("unlike-training", {"copies": 15.0, "coverage": 0.0}, {"copies": 15.0, "coverage": 0.3}),
        ("unlike-training", {"spread": 4.0}, {"spread": 2.0}),
        ("copies-rows", {"copies": 0.05}, {"copies": 0.5}),
        ("ignores-input", {"answer": 0.5}, {"answer": 0.9}),
        ("ignores-input", {"answer": 0.5, "answer_spread": 0.0, "travel": 0.06}, {"answer": 0.55, "travel": 0.06}),
        ("copies-input", {"kept_other": 0.99, "kept": 0.99}, {"kept_other": 0.6, "kept": 0.9}),
        ("copies-input", {"kept_other": 0.97, "kept": 0.98}, {"kept_other": 0.97, "kept": 0.998}),
        ("still-learning", {"falling": 0.4, "travel": 0.05}, {"falling": 0.4, "travel": 0.4}),
        ("overfitting", {"rising": 1.5}, {"rising": 0.6}),
        ("constant-scores", {"score_range": 1e-9}, {"score_range": 1e-3}),
        ("finds-nothing", {"finds": 0.5, "finds_error": 0.03}, {"finds": 0.5, "finds_error": 0.2}),
        ("finds-nothing", {"finds": 0.5, "responds": 0.5}, {"finds": 0.5, "responds": 0.9}),
    ],
)
def test_each_rule(code, found, fine):
    (symptom,) = symptoms.of(found)
    assert symptom.code == code
    assert len(symptom.message) < 300
    assert symptoms.of(fine) == []


def test_what_follows_from_a_cause_is_left_out():
    found = {"largest_term": 1e9, "spread": 0.0, "answer": 0.5, "finds": 0.5, "finds_error": 0.01}
    assert [one.code for one in symptoms.of(found)] == ["exploded", "finds-nothing"]
    assert [one.code for one in symptoms.of({**found, "trained": 0.0})] == ["finds-nothing"]
    assert [one.code for one in symptoms.of({"score_range": 0.0})] == []  # they tie, which is said by another warning
    assert [one.code for one in symptoms.of({"largest_term": 1e9, "travel": 0.0, "broken_off": 1.0})] == []
    assert [one.code for one in symptoms.of({"moved.D": 0.0, "travel": 0.0})] == ["not-learning"]


def test_a_program_may_refuse_a_model(benign):
    with warnings.catch_warnings():
        warnings.simplefilter("error", cautions.TrainingWarning)
        with pytest.raises(TrainingWarning, match="hardly trained"):
            small(oddgan.GANomaly).fit(benign)
