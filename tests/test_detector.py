"""The estimator's face."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

import oddgan
from oddgan import testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.errors import ArtifactError, DataError, ParameterError, TrainingError
from oddgan.model.fitting import hold_out
from oddgan.rows import open_rows
from oddgan.training import updates_by_default

PATIENT = {"OMP_WAIT_POLICY": "passive"}
"""Of a process with several threads: on shared cores, threads that spin take the core of the one they wait for."""


@pytest.fixture(scope="module")
def fitted():
    random = np.random.default_rng(1)
    X = (random.uniform(0, 120, size=(100, 1, 1)) + random.uniform(0, 30, size=(100, 12, 9))).astype(np.uint8)
    return testing.small(GANomaly, calibrate_fraction=0.3).fit(X), X


def test_signs_agree(fitted):
    det, X = fitted
    score = det.anomaly_score(X)
    assert score.dtype == np.float64
    assert np.array_equal(det.score_samples(X), -score)
    np.testing.assert_allclose(det.decision_function(X), det.threshold_ - score)
    assert np.array_equal(det.predict(X) == -1, det.decision_function(X) < 0)
    assert np.array_equal(det.predict(X) == -1, det.p_value(X) <= det.false_alarm_rate_ + 1e-12)
    assert det.offset_ == -det.threshold_
    explained = det.explain(X)
    assert np.array_equal(explained.score, score)
    assert np.array_equal(explained.p_value, det.p_value(X))
    assert np.array_equal(explained.is_anomaly, det.predict(X) == -1)


def test_explanations_of_pictures(fitted):
    det, X = fitted
    explained = det.explain(X[:5])
    assert len(explained.anomaly_map) == 5
    for one in explained.anomaly_map:
        assert one.shape == (12, 9)
        assert one.dtype == np.float32
    assert explained.reconstruction.shape == (5, 12, 9)
    assert np.array_equal(det.reconstruct(X[:5]), explained.reconstruction)
    assert np.array_equal(det.anomaly_map(X[:5])[3], explained.anomaly_map[3])
    residual = (np.abs(X[:5] - explained.reconstruction) / 127.5).astype(np.float32)
    expected = det.model_.map_scale.standardised(residual[:, None])
    np.testing.assert_allclose(np.stack(explained.anomaly_map), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(explained.terms["map_max"], expected.max(axis=(1, 2)), rtol=1e-3)
    assert explained.map_threshold == det.model_.map_scale.threshold(det.false_alarm_rate_)
    with pytest.raises(AttributeError):
        explained.score = 0


def test_maps_come_back_at_each_pictures_own_size():
    random = np.random.default_rng(0)
    X = [random.integers(0, 256, (h, w), dtype=np.uint8) for h, w in [(20, 30), (16, 16), (40, 9)] * 6]
    det = testing.small(GANomaly, size=16).fit(X)
    assert [m.shape for m in det.anomaly_map(X[:3])] == [(20, 30), (16, 16), (40, 9)]


def test_features_and_generate(fitted):
    det, X = fitted
    assert det.features(X).shape == (100, len(det.net_.Z.mean))
    made = det.generate(4)
    assert made.shape == (4, 12, 9)
    assert np.array_equal(made, det.generate(4))
    assert not np.array_equal(made, det.generate(4, random_state=1))
    assert 0 <= made.min() <= made.max() <= 255
    with pytest.raises(ParameterError, match="n=0"):
        det.generate(0)


def test_a_new_false_alarm_rate_needs_no_new_fit(fitted):
    det, X = fitted
    loose = det.with_false_alarm_rate(0.5)
    assert loose.threshold_ < det.threshold_
    assert loose.false_alarm_rate_ == 0.5
    assert det.false_alarm_rate_ == pytest.approx(1 / 31)
    assert np.array_equal(loose.anomaly_score(X), det.anomaly_score(X))
    assert loose.net_ is det.net_
    with pytest.raises(ParameterError, match="needs at least 999 calibration rows and there are 30"):
        det.with_false_alarm_rate(0.001)


def test_rows_are_held_back_disjointly():
    det = GANomaly(calibrate_fraction=0.2)
    train, held = hold_out(det, 1000, 5, tune=True, calibrate=True)
    parts = [train, held["tune"], held["calibrate"]]
    assert [len(p) for p in parts] == [700, 100, 200]
    assert len(np.unique(np.concatenate(parts))) == 1000
    assert len(hold_out(GANomaly(), 100_000, 5, tune=True, calibrate=True)[1]["calibrate"]) == 1000
    assert (
        len(hold_out(GANomaly(false_alarm_rate=1e-3), 100_000, 5, tune=True, calibrate=True)[1]["calibrate"]) == 10_000
    )
    assert not np.array_equal(train, hold_out(det, 1000, 6, tune=True, calibrate=True)[0])


def test_own_calibration_rows_keep_all_of_x_for_training(pictures):
    det = testing.small(GANomaly, score_by="residual").fit(pictures[:40], calibrate=pictures[40:])
    assert det.training_["rows"] == 40
    assert det.n_calibrate_ == 24
    np.testing.assert_array_equal(det.model_.calibration.scores, np.sort(det.anomaly_score(pictures[40:])))
    with pytest.raises(DataError, match="and X holds"):
        testing.small(GANomaly).fit(pictures, calibrate=np.zeros((5, 3)))
    with pytest.raises(DataError, match="pixels"):
        testing.small(GANomaly).fit(pictures, calibrate=np.zeros((5, 30, 30), np.uint8))


def test_a_bad_row_that_is_held_out_is_found_before_training(pictures):
    """Whichever part of the rows it falls into."""
    seen = []

    class Watch(oddgan.hooks.Hook):
        def on_update(self, moment):
            seen.append(moment.update)

    class Deceptive(list):
        """A header that says one thing of a picture that is another."""

        def header(self, i):
            return 11, 9, 1, "uint8"

    det = testing.small(GANomaly, calibrate_fraction=0.3)
    _, held = hold_out(det, len(pictures), 0, tune=True, calibrate=True)
    for i in (held["calibrate"][0], held["tune"][0]):
        rows = Deceptive(pictures)
        rows[i] = np.zeros((20, 20), np.uint8)
        with pytest.raises(DataError, match=rf"row {i}: 20x20 pixels, but every training picture had 11x9"):
            det.fit(rows, hooks=[Watch()])
    assert not seen


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_rows(n, pictures, table):
    for X in (pictures[:n], table[:n]):
        with pytest.raises(ValueError, match=rf"n_samples = {n}|{n} sample"):
            testing.small(GANomaly).fit(X)


@pytest.mark.parametrize("n", [4, 5, 17])
def test_fewer_rows_than_a_batch_still_train(n, pictures):
    det = testing.small(GANomaly, batch_size=64).fit(pictures[:n])
    assert det.training_["updates"] == {"game": 20}
    assert np.isfinite(det.anomaly_score(pictures)).all()


def test_not_fitted():
    for method in ("anomaly_score", "predict", "explain", "p_value", "features"):
        with pytest.raises(NotFittedError):
            getattr(GANomaly(), method)(np.zeros((3, 9, 9)))
    with pytest.raises(NotFittedError):
        GANomaly().generate(3)
    with pytest.raises(NotFittedError):
        GANomaly().with_false_alarm_rate(0.1)


def test_constant_rows_among_others_score(fitted):
    det, _ = fitted
    assert np.isfinite(det.anomaly_score(np.full((2, 12, 9), 7, np.uint8))).all()


def test_diverging_training_says_so(pictures):
    with pytest.raises(TrainingError, match=r"diverged by update \d+ .* lower the learning rate"):
        testing.small(GANomaly, updates=60, w_con=1e39).fit(pictures)


def test_a_checkpoint_of_another_run_is_refused(pictures, tmp_path):
    path = tmp_path / "run.ckpt"
    testing.small(GANomaly).fit(pictures, checkpoint=path)
    with pytest.raises(ArtifactError, match=r"run.ckpt: belongs to another run \(width was 8, now 6\)"):
        testing.small(GANomaly, width=6).fit(pictures, checkpoint=path)
    with pytest.raises(ArtifactError, match="belongs to another run"):
        testing.small(GANomaly).fit(pictures[::-1], checkpoint=path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ArtifactError, match="not an oddgan checkpoint, or damaged"):
        testing.small(GANomaly).fit(pictures, checkpoint=path)


def test_a_finished_checkpoint_is_not_trained_again(pictures, tmp_path):
    first = testing.small(GANomaly).fit(pictures, checkpoint=tmp_path / "run.ckpt")
    started = []

    class Watch(oddgan.hooks.Hook):
        def on_update(self, moment):
            started.append(moment.update)

    again = testing.small(GANomaly).fit(pictures, checkpoint=tmp_path / "run.ckpt", hooks=[Watch()])
    assert not started
    testing._assert_same_model(first, again, "a finished run")


def test_budgets(pictures):
    def updates(**given):
        return testing.small(GANomaly, **{"updates": None, **given}).fit(pictures).training_["updates"]["game"]

    assert updates(epochs=3) == 12  # 61 training rows in batches of 16
    assert updates(epochs=3, updates=5) == 5
    assert 1 <= updates(minutes=0.002, updates=100_000) < 100_000


def test_default_budget():
    assert updates_by_default(50, 64) == 2000
    assert updates_by_default(64_000, 64) == 15_000


def test_epochs_count_rows_and_not_updates(pictures):
    """A step that draws five batches passes over the rows five times as fast."""

    class Greedy(GANomaly):
        def step(self, net, batch):
            for _ in range(4):
                batch.x()
            yield from super().step(net, batch)

    det = testing.small(Greedy, updates=None, epochs=10, ema=0.0).fit(pictures)
    assert det.history_["epoch"][-1] == 10
    assert det.training_["updates"]["game"] == -(-10 * det.training_["rows"] // (16 * 5))


def test_learning_rates_by_player(pictures):
    """A rate of zero holds one player still and leaves the other free."""
    start = testing.small(GANomaly, updates=1, lr={"G": 0.0, "D": 0.0}).fit(pictures).net_.state_dict()
    end = testing.small(GANomaly, updates=5, lr={"G": 0.0, "D": 1e-3}).fit(pictures).net_.state_dict()
    weights = [n for n in start if n.endswith("weight") and "Z" not in n]
    assert all(torch.equal(start[n], end[n]) for n in weights if n.startswith("G"))
    assert not any(torch.equal(start[n], end[n]) for n in weights if n.startswith("D"))


def test_averaged_weights_are_averages(pictures):
    """While the weights travel, their average stays behind."""
    last = testing.small(GANomaly, updates=30, lr=1e-2, ema=0.0).fit(pictures).net_.G.encoder.head.weight
    mean = testing.small(GANomaly, updates=30, lr=1e-2, ema=0.99).fit(pictures).net_.G.encoder.head.weight
    first = testing.small(GANomaly, updates=1, lr=0.0).fit(pictures).net_.G.encoder.head.weight
    assert 0 < (mean - first).norm() < (last - first).norm()


def test_statistics_of_averaged_weights_are_those_of_the_training_rows():
    """Rows lie sorted by kind, as files in folders do, and batches are smaller than a kind."""
    random = np.random.default_rng(0)
    X = np.concatenate([random.integers(low, low + 40, (60, 20, 17), dtype=np.uint8) for low in (0, 90, 200)])
    det = testing.small(GANomaly, ema=0.9).fit(X)
    train, _ = hold_out(det, len(X), 0, tune=True, calibrate=True)
    x = det.preprocessor_.prepare(open_rows(X), train).batch(np.arange(len(train)))
    first_norm = det.net_.G.encoder.trunk[3]
    with torch.no_grad():
        before = det.net_.G.encoder.trunk[:3](x)
    torch.testing.assert_close(first_norm.running_mean, before.mean((0, 2, 3)), rtol=0.1, atol=1e-3)
    torch.testing.assert_close(first_norm.running_var, before.var((0, 2, 3)), rtol=0.3, atol=1e-6)


def test_a_row_beyond_all_numbers_is_odd(table):
    """Overflow must not end in a score that compares as normal."""
    det = testing.small(GANomaly).fit(table)
    far = np.stack([np.full(5, value) for value in (1e300, -1e300, 1e30, 1e200)])
    assert not np.isnan(det.anomaly_score(far)).any()
    assert (det.predict(far) == -1).all()
    assert np.array_equal(det.p_value(far) <= det.false_alarm_rate_, det.predict(far) == -1)
    assert det.explain(far).is_anomaly.all()


def test_a_fit_that_is_broken_off_leaves_nothing_of_an_older_one(pictures, table):
    class Stop(oddgan.hooks.Hook):
        def on_update(self, moment):
            raise KeyboardInterrupt

    det = testing.small(GANomaly).fit(pd.DataFrame(table, columns=list("abcde")))
    with pytest.raises(KeyboardInterrupt):
        det.fit(pictures, hooks=[Stop()])
    with pytest.raises(NotFittedError):
        det.anomaly_score(pictures)
    det.fit(pictures)
    assert not hasattr(det, "n_features_in_")
    assert not hasattr(det, "feature_names_in_")


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3), np.random.default_rng(3)])
def test_a_run_that_goes_on_keeps_the_seed_that_it_began_with(random_state, pictures, tmp_path):
    path = tmp_path / "run.ckpt"
    first = testing.small(GANomaly, random_state=random_state, lr=np.float64(1e-3), width=np.int64(4))
    first.fit(pictures, checkpoint=path)
    again = testing.small(GANomaly, random_state=None, lr=1e-3, width=4).fit(pictures, checkpoint=path)
    testing._assert_same_model(first, again, "a run with the seed of its checkpoint")


def test_what_broke_down_leaves_no_checkpoint(pictures, tmp_path):
    with pytest.raises(TrainingError, match="diverged by update"):
        testing.small(GANomaly, w_con=1e39, updates=100).fit(
            pictures, checkpoint=tmp_path / "run.ckpt", checkpoint_seconds=0
        )
    assert not list(tmp_path.iterdir())


def test_scores_are_the_same_in_another_process_and_nearly_so_with_other_threads(fitted, tmp_path):
    det, X = fitted
    det.save(tmp_path / "m.oddgan")
    np.save(tmp_path / "x.npy", X)
    code = (
        "import sys, numpy, torch, oddgan\n"
        "for threads in map(int, sys.argv[1:]):\n"
        "    torch.set_num_threads(threads)\n"
        "    numpy.save(f'{threads}.npy', oddgan.load('m.oddgan').anomaly_score(numpy.load('x.npy')))"
    )
    scores, threads = det.anomaly_score(X), torch.get_num_threads()
    subprocess.run([sys.executable, "-c", code, str(threads), "3"], cwd=tmp_path, check=True, env=os.environ | PATIENT)
    assert np.array_equal(np.load(tmp_path / f"{threads}.npy"), scores)
    assert np.abs(np.load(tmp_path / "3.npy") - scores).max() <= det.tolerance * np.abs(scores).max()


def test_a_callers_settings_of_torch_do_not_reach_inside(pictures):
    expected = testing.small(GANomaly).fit(pictures).anomaly_score(pictures)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            det = testing.small(GANomaly).fit(pictures)
            scores = det.anomaly_score(pictures)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(scores, expected)


def test_parameters_set_after_a_fit_wait_for_the_next(pictures, tmp_path):
    det = testing.small(GANomaly).fit(pictures)
    scores, before = det.anomaly_score(pictures), det.get_params()
    det.set_params(score_by="residual", width=99, false_alarm_rate=0.4, size=32)
    assert np.array_equal(det.anomaly_score(pictures), scores)
    det.save(tmp_path / "m.oddgan")
    loaded = oddgan.load(tmp_path / "m.oddgan")
    assert loaded.get_params() == before
    assert np.array_equal(loaded.predict(pictures), det.predict(pictures))
    changed = loaded.with_false_alarm_rate(0.5).with_block_size(8)
    changed.save(tmp_path / "n.oddgan")
    again = oddgan.load(tmp_path / "n.oddgan")
    assert (again.false_alarm_rate, again.block_size, again.threshold_) == (0.5, 8, changed.threshold_)
    assert again.with_false_alarm_rate("auto").threshold_ == loaded.threshold_


def test_rows_that_were_trained_on_are_known(pictures, table, tmp_path):
    for X in (pictures, table):
        det = testing.small(GANomaly, calibrate_fraction=0.3).fit(X)
        train, _ = hold_out(det, len(X), 0, tune=True, calibrate=True)
        expected = np.isin(np.arange(len(X)), train)
        assert np.array_equal(det.explain(X).trained_on, expected)
        det.save(tmp_path / "m.oddgan")
        assert np.array_equal(oddgan.load(tmp_path / "m.oddgan").explain(X[::-1]).trained_on, expected[::-1])


def test_an_evaluation_on_training_rows_says_so(pictures):
    det = testing.small(GANomaly, calibrate_fraction=0.3).fit(pictures)
    labels = np.arange(64) < 10
    split = oddgan.data.Split(name="own", train=None, test=pictures, labels=labels)
    n = det.training_["rows"]
    said = oddgan.evaluate(det, split, bootstrap=10).warnings
    assert any(f"{n} of 64 test rows equal rows that the model was trained on, the first row" in line for line in said)
    fresh = oddgan.data.Split(name="other", train=None, test=255 - pictures, labels=labels)
    assert not any("trained on" in line for line in oddgan.evaluate(det, fresh, bootstrap=10).warnings)


def test_fits_in_threads_give_what_they_give_alone(table):
    expected = testing.small(GANomaly).fit(table).anomaly_score(table)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: testing.small(GANomaly).fit(table).anomaly_score(table), range(8)))
    assert all(np.array_equal(scores, expected) for scores in found)


def test_pickled_and_copied_models_score_the_same(fitted):
    det, X = fitted
    for other in (pickle.loads(pickle.dumps(det)), copy.deepcopy(det)):
        assert np.array_equal(other.anomaly_score(X), det.anomaly_score(X))
    assert copy.copy(det).net_ is det.net_  # a copy with another threshold costs nothing


@pytest.mark.parametrize("place", [0.05, 0.5, 0.95])
def test_a_damaged_checkpoint_is_refused(place, table, tmp_path):
    path = tmp_path / "run.ckpt"
    testing.small(GANomaly).fit(table, checkpoint=path)
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="damaged"):
        testing.small(GANomaly).fit(table, checkpoint=path)


def test_pipeline_and_search_on_tables(table):
    pipeline = make_pipeline(QuantileTransformer(n_quantiles=20), testing.small(GANomaly))
    assert set(pipeline.fit(table).predict(table)) <= {-1, 1}
    truth = np.repeat([1, 0], [60, 20])
    rows = np.concatenate([table[:60], 10 * table[60:]])
    folds = PredefinedSplit(np.where(np.arange(80) < 40, -1, 0))  # fit on normals, judge on the rest
    search = GridSearchCV(
        testing.small(GANomaly),
        {"latent_dim": [1, 2]},
        cv=folds,
        scoring=make_scorer(roc_auc_score, response_method="decision_function"),
    )
    search.fit(rows, truth)
    assert search.best_params_["latent_dim"] in (1, 2)
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


def test_floor_on_digits(digits):
    """A clear floor, and the seed that it was seen with: digit 0 held out; 1-nearest neighbour reaches .99 there."""
    X, y = digits
    normal, odd = X[y != 0], X[y == 0]
    det = GANomaly(random_state=0, width=16, lr=1e-3, updates=200, ema=0.9, score_by="residual").fit(normal[:1300])
    rows = np.concatenate([normal[1300:], odd])
    truth = np.repeat([0, 1], [len(normal) - 1300, len(odd)])
    assert roc_auc_score(truth, det.anomaly_score(rows)) > 0.9
    assert (det.predict(normal[1300:]) == -1).mean() < 0.05


def test_floor_on_tables():
    """Two-dimensional structure in six columns; anomalies keep every column's own distribution."""
    random = np.random.default_rng(0)
    plane = random.normal(size=(600, 2)) @ random.normal(size=(2, 6))
    odd = np.stack([random.permutation(column) for column in plane[:100].T], axis=1)
    small = {"latent_dim": 2, "width": 32, "lr": 2e-3, "updates": 300, "ema": 0.9}
    det = GANomaly(random_state=0, score_by="residual", **small).fit(plane[100:])
    truth = np.repeat([0, 1], [100, 100])
    assert roc_auc_score(truth, det.anomaly_score(np.concatenate([plane[:100], odd]))) > 0.9


@pytest.mark.data
@pytest.mark.slow
def test_floor_on_mvtec_bottle(real_data):
    """The smallest claim: better than chance by a margin, on real pictures from disk."""
    split = oddgan.data.load(real_data / "mvtec-bottle-256")
    det = GANomaly(random_state=0, size=32, width=32, updates=1000, score_by="residual").fit(split.train)
    assert roc_auc_score(split.labels, det.anomaly_score(split.test)) > 0.7
