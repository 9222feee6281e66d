"""Several detectors as one: held out once, scaled, averaged, calibrated, explained and kept in one file."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

import oddgan
from oddgan import cautions, testing
from oddgan.detectors.fanogan import FAnoGAN
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.isolationforest import IsolationForest
from oddgan.detectors.knn import KNN
from oddgan.detectors.pca import PCA
from oddgan.ensemble import CrossConformal, Ensemble
from oddgan.errors import ArtifactError, DataError, ParameterError
from oddgan.rows import open_rows
from oddgan.verdict.scale import NORMAL_MAD

pytestmark = pytest.mark.filterwarnings("ignore::oddgan.cautions.OddganWarning")


def small(cls, **changes):
    return testing.small(cls, random_state=None, **changes)


MADE = {
    "mixed": lambda: Ensemble([small(GANomaly), KNN(), PCA()], random_state=0),
    "seeds": lambda: Ensemble(small(GANomaly), seeds=2, random_state=3),
    "folds": lambda: CrossConformal(small(GANomaly), folds=3, random_state=0),
}


@pytest.fixture(scope="module")
def fitted():
    """`fitted(name, X)`: one fit of each kind to each X."""
    made = {}

    def fitted(name, X):
        if (name, X.ndim) not in made:
            made[name, X.ndim] = MADE[name]().fit(X)
        return made[name, X.ndim]

    return fitted


LAWS = (testing.rows_are_independent, testing.refits_are_identical, testing.saved_models_are_identical)


@pytest.mark.parametrize("rows", ["table", "pictures"])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", MADE)
def test_laws(name, law, rows, fitted, request):
    X = request.getfixturevalue(rows)
    law(fitted(name, X), X)


@pytest.mark.parametrize("name", ["mixed", "seeds"])
def test_block_sizes_agree(name, fitted, table):
    det = fitted(name, table)
    testing.block_sizes_agree(det, table)
    assert det.with_block_size(1).block_size == 1
    assert det.block_size > 1


@pytest.mark.parametrize("name", MADE)
def test_a_pickled_and_a_loaded_model_are_the_model(name, fitted, table, tmp_path):
    det = fitted(name, table)
    det.save(tmp_path / "model.oddgan")
    loaded = oddgan.load(tmp_path / "model.oddgan")
    assert loaded.info() == det.info()
    assert loaded.history_ == det.history_
    assert loaded.title_ == det.title_
    for other in (pickle.loads(pickle.dumps(det)), loaded):
        mine, theirs = det.explain(table), other.explain(table)
        np.testing.assert_array_equal(mine.score, theirs.score)
        np.testing.assert_array_equal(mine.anomaly_map, theirs.anomaly_map)
        np.testing.assert_array_equal(mine.trained_on, theirs.trained_on)
        assert other.threshold_ == det.threshold_
    loaded.save(tmp_path / "again.oddgan")
    assert (tmp_path / "again.oddgan").read_bytes() == (tmp_path / "model.oddgan").read_bytes()
    np.testing.assert_array_equal(clone(loaded).fit(table).anomaly_score(table), det.anomaly_score(table))


@pytest.mark.parametrize("keys", ["groups", "strata", "both", "copies"])
def test_a_loaded_ensemble_has_the_groups_and_strata_of_its_calibration(keys, tmp_path):
    X = np.random.default_rng(0).normal(size=(120, 3))
    given = {}
    if keys in ("groups", "both"):
        given["groups"] = np.arange(120) // 3
    if keys in ("strata", "both"):
        given["strata"] = np.where(np.arange(120) % 2, "left", "right")
    if keys == "copies":
        X[60:] = X[:60]
    det = Ensemble([KNN(), PCA()], random_state=0, calibrate_fraction=0.4, false_alarm_rate=0.2).fit(X, **given)
    det.save(tmp_path / "e.oddgan")
    loaded = oddgan.load(tmp_path / "e.oddgan")
    ours, theirs = det.model_.calibration, loaded.model_.calibration
    assert (ours.groups is None) == (keys == "strata")
    for name in ("groups", "stratum"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.strata == theirs.strata
    np.testing.assert_array_equal(loaded.p_value(X), det.p_value(X))


@pytest.mark.parametrize("name", MADE)
def test_every_answer_agrees_with_the_p_value(name, fitted, table):
    det = fitted(name, table).with_false_alarm_rate(0.2)
    X = np.concatenate([table, table * 1.1])
    found = det.explain(X)
    flagged = found.p_value <= 0.2 + 1e-12
    assert 0 < flagged.sum() < len(X)
    np.testing.assert_array_equal(found.is_anomaly, flagged)
    np.testing.assert_array_equal(found.score, det.anomaly_score(X))
    np.testing.assert_array_equal(found.p_value, det.p_value(X))
    np.testing.assert_array_equal(det.predict(X) == -1, flagged)
    np.testing.assert_array_equal(det.decision_function(X) < 0, flagged)
    np.testing.assert_array_equal(det.score_samples(X), -found.score)
    order = np.argsort(found.score)
    assert (np.diff(found.p_value[order]) <= 0).all()


def test_the_score_is_the_mean_of_members_that_were_fitted_alone(table):
    train, tune, calibrate, new = np.split(table, [40, 55, 70])
    det = Ensemble([KNN(k=3), PCA()], random_state=0).fit(train, tune=tune, calibrate=calibrate)

    def mean(X):
        scaled = []
        for alone in (KNN(k=3, random_state=0), PCA(random_state=0)):
            alone.fit(train, tune=tune, calibrate=tune)
            held = alone.anomaly_score(tune)
            middle = np.median(held)
            scaled.append((alone.anomaly_score(X) - middle) * NORMAL_MAD / np.median(np.abs(held - middle)))
        return np.mean(scaled, axis=0)

    np.testing.assert_allclose(det.anomaly_score(new), mean(new), rtol=1e-12)
    held = mean(calibrate)
    p = [(1 + (held >= one).sum()) / 16 for one in mean(new)]
    np.testing.assert_allclose(det.p_value(new), p)
    assert det.n_calibrate_ == 15
    assert det.training_["rows"] == 40


def test_rows_are_held_out_once_and_for_all_members(fitted, table):
    det = fitted("mixed", table)
    members = list(det.model_.members.values())
    assert {len(one.calibration.scores) for one in members} == {8}  # tuning rows
    assert det.n_calibrate_ == 16
    seen = det.explain(table).trained_on
    assert seen.sum() == det.training_["rows"] == 56
    for one in members:
        np.testing.assert_array_equal(one.explain(open_rows(table)).trained_on, seen)
    held = det.anomaly_score(table[~seen])
    assert np.isin(det.model_.calibration.scores, held).all()


def test_seeds_differ_and_are_as_named(fitted, table):
    det = fitted("seeds", table)
    assert [one.recipe.random_state for one in det.model_.members.values()] == [3, 4]
    assert list(det.explain(table[:3]).terms) == ["ganomaly-1", "ganomaly-2"]
    one, two = (member.score(open_rows(table)) for member in det.model_.members.values())
    assert not np.array_equal(one, two)
    assert det.history_["stage"][0] == "ganomaly-1 game"
    assert {len(column) for column in det.history_.values()} == {len(det.history_["stage"])}


def test_maps_are_the_mean_of_members_that_locate(pictures):
    made = Ensemble([PCA(components=2), IsolationForest(), small(FAnoGAN)], random_state=0, false_alarm_rate=0.2)
    det = made.fit(pictures)
    marked = pictures[:6].copy()
    marked[:, 4:7, 2:6] = 255
    found = det.explain(marked)
    pca, _, fanogan = (one.explain(open_rows(marked)) for one in det.model_.members.values())
    for i in range(6):
        np.testing.assert_allclose(found.anomaly_map[i], (pca.anomaly_map[i] + fanogan.anomaly_map[i]) / 2, rtol=1e-6)
        np.testing.assert_array_equal(found.reconstruction[i], pca.reconstruction[i])
    assert found.is_anomaly.any()
    i = int(found.is_anomaly.argmax())
    assert found.mask(i).any()
    assert found.regions(i)[0].value == pytest.approx(found.anomaly_map[i].max())
    # the threshold is the second highest peak: one of 12 calibration pictures may have a higher one
    assert det.n_calibrate_ == 13
    assert det.model_.map_threshold == sorted(det.model_.peaks)[-2]
    assert det.generate(2).shape == (2, 11, 9)
    assert det.features(marked).shape[0] == 6
    np.testing.assert_array_equal(det.reconstruct(marked), found.reconstruction)
    np.testing.assert_array_equal(det.anomaly_map(marked)[0], found.anomaly_map[0])


def test_what_no_member_can_is_refused(table):
    det = Ensemble([IsolationForest(trees=5)], random_state=0).fit(table)
    for refused, what in ((det.anomaly_map, "locates"), (det.reconstruct, "reconstructs"), (det.generate, "generate")):
        with pytest.raises(ParameterError, match=what):
            refused(*(() if refused == det.generate else (table,)), **({"n": 1} if refused == det.generate else {}))
    assert det.explain(table).anomaly_map is None
    assert det.score_and_shares(table)[1] is None


def test_shares_of_columns_are_those_of_explain(fitted, table):
    det = fitted("mixed", table)
    found = det.explain(table * 1.01)
    score, shares = det.score_and_shares(table * 1.01)
    np.testing.assert_array_equal(score, found.score)
    np.testing.assert_array_equal(shares, found.anomaly_map)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert det.n_features_in_ == 5


def test_a_frame_with_text_and_missing_values():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=60), "kind": random.choice(["x", "y"], 60)})
    frame.loc[::9, "a"] = np.nan
    for made in (Ensemble([KNN(), PCA()], random_state=0), CrossConformal(KNN(), folds=3, random_state=0)):
        det = made.fit(frame)
        assert np.isfinite(det.anomaly_score(frame)).all()
        assert list(det.feature_names_in_) == ["a", "kind"]
        with pytest.raises(DataError, match="kind"):
            det.predict(frame[["a"]])


def test_one_warning_of_a_kind_and_none_of_members_own_thresholds(table):
    with pytest.warns(cautions.OddganWarning) as given:
        det = Ensemble([KNN(), PCA()], random_state=0).fit(np.concatenate([table[:20]] * 3))
    codes = [one.message.code for one in given]
    assert codes == [one["code"] for one in det.training_["warnings"]]
    assert sorted(codes) == ["few-rows", "repeated-rows", "weak-rate"]


def test_parameters_are_reached_as_scikit_learn_has_it():
    det = Ensemble([KNN(k=3), KNN(k=4), PCA()])
    assert det.get_params()["knn-2__k"] == 4
    det.set_params(**{"knn-1__k": 7, "random_state": 5, "pca": PCA(components=2)})
    assert [one.k for one in det.detectors[:2]] == [7, 4]
    assert (det.random_state, det.detectors[2].components) == (5, 2)
    copy = clone(det)
    assert copy.get_params()["knn-1__k"] == 7
    assert copy.detectors[0] is not det.detectors[0]
    with pytest.raises(ParameterError, match="there is no member lof"):
        det.set_params(lof__k=3)
    assert Ensemble(KNN(), seeds=2).set_params(detectors__k=2).detectors.k == 2
    assert CrossConformal(KNN()).set_params(detector__k=2).get_params()["detector__k"] == 2


def test_a_fit_leaves_the_given_detectors_alone(table):
    given = [KNN(), PCA()]
    Ensemble(given, random_state=0).fit(table)
    assert given[0].random_state is None
    assert not hasattr(given[0], "model_")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: Ensemble([]), "no detectors"),
        (lambda: Ensemble([KNN]), "KNN is no detector"),
        (lambda: Ensemble("knn"), "str is no detector"),
        (lambda: Ensemble([Ensemble(KNN())]), "Ensemble is no detector"),
        (lambda: Ensemble([KNN(k=0)]), "k=0"),
        (lambda: Ensemble(KNN(), seeds=0), "seeds=0"),
        (lambda: Ensemble(KNN(), calibrate_fraction=2), "calibrate_fraction=2"),
        (lambda: Ensemble(KNN(false_alarm_rate=0.1)), "false_alarm_rate=0.1 of KNN"),
        (lambda: Ensemble(KNN(), false_alarm_rate=0.001), "needs at least 999 calibration rows"),
        (lambda: CrossConformal(KNN(), folds=1), "folds=1"),
        (lambda: CrossConformal(KNN(), false_alarm_rate=0.001), "needs at least 999 calibration rows and there are 80"),
        (lambda: CrossConformal(KNN(), folds=81), "only 80 of 80 rows differ"),
    ],
)
def test_what_is_wrong_is_said_before_training(made, says, table):
    with pytest.raises((ParameterError, DataError), match=says):
        made().fit(table)


@pytest.mark.parametrize(
    "made",
    [
        Ensemble([small(KNN), small(PCA)], random_state=0, calibrate_fraction=0.05),
        CrossConformal(small(KNN), folds=3, random_state=0, false_alarm_rate=0.3),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_takes_them(made):
    results = check_estimator(made, on_skip=None, on_fail=None)
    assert not {one["check_name"]: one["exception"] for one in results if one["status"] == "failed"}


def test_a_file_with_other_members_than_it_names_is_refused(fitted, table):
    from oddgan.model import ensemble_file

    det = fitted("seeds", table)
    manifest = det.info()
    for one, member in zip(manifest["members"], det.model_.members.values(), strict=True):
        one["history"] = member.history
    arrays = {"calibration.scores": det.model_.calibration.scores}
    from oddgan.model import artifact

    for i, member in enumerate(det.model_.members.values()):
        arrays |= {f"members.{i}.{name}": value for name, value in artifact.arrays_of(member).items()}
    assert ensemble_file.model_from("mean", manifest, arrays).calibration.rate == det.false_alarm_rate_
    for broken, says in (
        ({**manifest, "members": manifest["members"][:1]}, "belong to nothing"),
        ({**manifest, "members": []}, "belong to nothing"),
        ({**manifest, "members": manifest["members"][:1] * 2}, "given twice"),
        ({**manifest, "parameters": {"seeds": 2}}, "parameters are not"),
        ({**manifest, "members": [{**manifest["members"][0], "detector": "Ensemble"}]}, "unknown"),
    ):
        with pytest.raises(ArtifactError, match=says):
            ensemble_file.model_from("mean", broken, arrays)
    with pytest.raises(ArtifactError, match="parameters are not"):
        ensemble_file.model_from("folds", manifest, arrays)


def test_parameters_that_are_set_after_a_fit_wait_for_the_next(table, tmp_path):
    det = Ensemble([KNN(k=3), PCA()], random_state=0).fit(table)
    scores, threshold = det.anomaly_score(table), det.threshold_
    det.set_params(knn__k=9, random_state=5, false_alarm_rate=0.5)
    np.testing.assert_array_equal(det.anomaly_score(table), scores)
    assert det.threshold_ == threshold
    det.save(tmp_path / "model.oddgan")
    loaded = oddgan.load(tmp_path / "model.oddgan")
    assert (loaded.threshold_, loaded.random_state, loaded.false_alarm_rate) == (threshold, 0, "auto")
    assert loaded.get_params()["knn__k"] == 3


def test_rows_in_files_are_read_as_rows_in_memory(pictures, tmp_path):
    from PIL import Image

    paths = []
    for i, one in enumerate(pictures[:24]):
        paths.append(str(tmp_path / f"{i:02}.png"))
        Image.fromarray(one).save(paths[-1])
    for made in (Ensemble([PCA(components=2)], random_state=0), CrossConformal(PCA(components=2), folds=2)):
        made.set_params(random_state=0)
        in_memory, in_files = clone(made).fit(pictures[:24]), clone(made).fit(paths)
        np.testing.assert_array_equal(in_files.anomaly_score(paths), in_memory.anomaly_score(pictures[:24]))
        listed = clone(made).fit(list(pictures[:24]))
        np.testing.assert_array_equal(listed.anomaly_score(paths), in_memory.anomaly_score(pictures[:24]))
