"""Detectors on mixed tables, from end to end."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import oddgan
from oddgan import testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.isolationforest import IsolationForest
from oddgan.errors import DataError, ParameterError
from oddgan.model.fitting import hold_out
from oddgan.rows.tables import as_table


def mixed(n: int, seed: int) -> pd.DataFrame:
    """Rows in which the service decides the bytes, the port is a category and some values are missing."""
    random = np.random.default_rng(seed)
    web = random.random(n) > 0.3
    frame = pd.DataFrame(
        {
            "bytes": np.where(web, 1000, 50) * np.exp(0.3 * random.normal(size=n)),
            "service": np.where(web, "http", "dns"),
            "port": pd.Categorical(np.where(web, 80, 53)),
            "secure": web & (random.random(n) > 0.1),
            "version": 4,
        }
    )
    frame.loc[random.random(n) < 0.1, "bytes"] = np.nan
    frame.loc[random.random(n) < 0.1, "service"] = None
    return frame


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return mixed(200, 0)


@pytest.fixture(scope="module")
def fitted(frame) -> GANomaly:
    det = GANomaly(
        random_state=0, latent_dim=4, width=32, lr=1e-3, ema=0.99, updates=600, score_by="residual",
        log_tails=True, rare=0.01, calibrate_fraction=0.3, batch_size=32,
    )  # fmt: skip
    return det.fit(frame)


def test_every_law_holds(frame):
    testing.check_detector(testing.small(GANomaly, scaling="quantile", log_tails=True), frame.head(60))


def test_scores_of_frames_of_any_library_are_one(fitted, frame):
    scores = fitted.anomaly_score(frame)
    assert np.array_equal(fitted.anomaly_score(pa.Table.from_pandas(frame)), scores)
    assert np.array_equal(fitted.anomaly_score(as_table(frame)), scores)
    assert np.array_equal(fitted.anomaly_score(frame.convert_dtypes()), scores)
    assert np.array_equal(fitted.anomaly_score(frame.set_index(frame.index + 1000)), scores)


@pytest.mark.parametrize("changes", [{}, {"local": "density"}, {"score_by": "feature"}])
def test_scores_and_shares_are_those_that_explain_gives(frame, changes):
    det = testing.small(GANomaly, **changes).fit(frame)
    found, (scores, shares) = det.explain(frame), det.score_and_shares(frame)
    assert np.array_equal(scores, found.score)
    assert np.array_equal(shares, found.anomaly_map)
    forest = testing.small(IsolationForest).fit(frame)
    assert forest.score_and_shares(frame)[1] is None
    pictures = testing.small(GANomaly).fit(np.random.default_rng(0).integers(0, 255, (30, 8, 8), np.uint8))
    with pytest.raises(ParameterError, match="takes pictures"):
        pictures.score_and_shares(np.zeros((1, 8, 8), np.uint8))


def test_scores_of_polars_frames_are_the_same(fitted, frame):
    polars = pytest.importorskip("polars")
    given = polars.DataFrame({name: frame[name].astype(object).where(frame[name].notna(), None).tolist()
                              for name in frame.columns if name != "port"}
                             | {"port": frame.port.astype(str).tolist()})  # fmt: skip
    assert np.array_equal(fitted.anomaly_score(given[list(frame.columns)]), fitted.anomaly_score(frame))


def test_saved_copied_and_pickled_models_are_the_same(fitted, frame, tmp_path):
    fitted.save(tmp_path / "m.oddgan")
    loaded = oddgan.load(tmp_path / "m.oddgan")
    scores, explained = fitted.anomaly_score(frame), fitted.explain(frame)
    for other in (loaded, copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(other.anomaly_score(frame), scores)
        found = other.explain(frame)
        assert np.array_equal(found.anomaly_map, explained.anomaly_map)
        assert repr(found.reconstruction.tolist()) == repr(explained.reconstruction.tolist())
    assert list(loaded.feature_names_in_) == list(frame.columns)
    assert loaded.n_features_in_ == 5
    described = "tables of 5 columns (2 of numbers, 3 of categories), standardised"
    assert loaded.preprocessor_.describe().startswith(described)
    assert loaded.get_params()["rare"] == 0.01


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("bytes", 1e9),
        ("service", "never seen"),
        ("port", "8080"),
        ("secure", None),
        ("version", np.nan),
        ("version", 6),
    ],
)
def test_explanations_name_the_column_that_is_odd(column, value, fitted, frame):
    whole = frame.service.notna() & frame.bytes.notna() & (frame.secure == (frame.service == "http"))
    usual = frame[whole].head(8)
    odd = usual.astype({"port": str, "secure": object, "version": float}).assign(**{column: value})
    found = fitted.explain(odd)
    assert found.columns == tuple(frame.columns)
    assert found.anomaly_map.shape == (8, 5)
    np.testing.assert_allclose(found.anomaly_map.sum(axis=1), 1, rtol=1e-6)
    assert [found.largest(i, 1)[0][0] for i in range(8)] == [column] * 8
    assert (found.score > fitted.anomaly_score(usual)).all()


def test_rows_come_back_in_the_users_words(fitted, frame):
    for rows in (fitted.reconstruct(frame), fitted.generate(40)):
        made = pd.DataFrame(rows, columns=frame.columns)
        assert set(made.service) <= {"http", "dns", "(other)", None}
        assert set(made.port) <= {"80", "53", "(other)"}
        assert {type(value) for value in made.secure} <= {bool, str}
        assert made.version.astype(float).between(3.5, 4.5).all()
    table = GANomaly(updates=5, width=4, random_state=0).fit(frame[["bytes", "version"]])
    assert table.generate(3).dtype == np.float64


def test_trained_rows_are_known(fitted, frame):
    train, _ = hold_out(fitted, len(frame), 0, tune=True, calibrate=True)
    known = fitted.explain(frame).trained_on
    assert known[train].all()
    assert not fitted.explain(mixed(30, 9).assign(version=5)).trained_on.any()


def test_own_rows_to_calibrate_with(frame):
    det = testing.small(GANomaly).fit(frame, calibrate=mixed(40, 1), tune=mixed(20, 2))
    assert det.n_calibrate_ == 40
    assert det.training_["rows"] == 200
    with pytest.raises(DataError, match="yet now missing: service"):
        testing.small(GANomaly).fit(frame, calibrate=mixed(40, 1).drop(columns="service"))


def test_columns_are_held_to_those_of_training(fitted, frame):
    for spoilt, message in (
        (frame.rename(columns={"port": "gate"}), "unseen at fit time: gate.*yet now missing: port"),
        (frame[["service", "bytes", "port", "secure", "version"]], "must be in the same order"),
        (frame.drop(columns="bytes"), "yet now missing: bytes"),
        (frame.assign(bytes="many"), "'bytes' held numbers in training and holds text"),
        (frame.assign(bytes=np.where(frame.index == 4, np.inf, 1)), "infinity: row 4, column bytes"),
        (as_table(frame).without(["port"]), "yet now missing: port"),
    ):
        with pytest.raises(DataError, match=message):
            fitted.anomaly_score(spoilt)
    with (
        pytest.warns(UserWarning, match="does not have valid feature names"),
        pytest.raises(DataError, match="'service' held text in training and holds numbers: give a DataFrame"),
    ):
        fitted.anomaly_score(np.zeros((3, 5)))


def test_arrays_and_frames_of_numbers_are_one(table):
    frame = pd.DataFrame(table, columns=list("abcde"))
    from_array, from_frame = testing.small(GANomaly).fit(table), testing.small(GANomaly).fit(frame)
    np.testing.assert_allclose(from_frame.anomaly_score(frame), from_array.anomaly_score(table), rtol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, that names are not known
        assert np.array_equal(from_frame.anomaly_score(table), from_frame.anomaly_score(frame))
        with pytest.raises(DataError, match="NaN: row 0, column 3; fill in"):
            from_frame.anomaly_score(np.where(np.arange(5) == 3, np.nan, table))


def test_pipelines_and_searches_take_frames(frame):
    pipeline = make_pipeline(FunctionTransformer(lambda f: f.drop(columns="version")), testing.small(GANomaly))
    assert set(pipeline.fit(frame).predict(frame)) <= {-1, 1}
    assert list(pipeline[-1].feature_names_in_) == ["bytes", "service", "port", "secure"]
    scores = cross_val_score(
        clone(pipeline), frame, np.arange(200) % 2, cv=2, scoring=lambda det, X, y: float(det.predict(X).mean())
    )
    assert np.isfinite(scores).all()


def test_files_are_taken_as_they_are(fitted, frame, tmp_path):
    path = tmp_path / "flows.csv"
    frame.to_csv(path, index=False)
    file = oddgan.data.rows(path)
    # As a file of texts, it is read as the model's columns are: ports as categories, True and False as such.
    np.testing.assert_allclose(fitted.anomaly_score(file), fitted.anomaly_score(frame), rtol=1e-6)
    det = testing.small(GANomaly).fit(file)
    assert det.preprocessor_.kinds == ("number", "category", "number", "category", "number")
    assert np.isfinite(det.anomaly_score(file)).all()


def test_evaluations_of_mixed_tables(fitted, frame):
    test = pd.concat([mixed(60, 5), mixed(20, 6).assign(service="telnet")], ignore_index=True)
    labels = np.arange(80) >= 60
    for rows in (test, as_table(test)):
        split = oddgan.data.Split(name="flows", train=None, test=rows, labels=labels)
        found = oddgan.evaluate(fitted, split, bootstrap=10)
        assert found.estimates["auroc"].value > 0.9
        assert found.examples[0].columns[0][0] == "service"


def test_a_broken_rule_between_columns_is_found(fitted):
    """Every value is usual, but the service and the bytes do not go together."""
    new, odd = mixed(200, 1), mixed(100, 2)
    odd["bytes"] = odd.bytes.sample(frac=1, random_state=0).to_numpy()[::-1]
    swapped = ((odd.bytes > 300) != (odd.port == 80)) & odd.bytes.notna() & odd.service.notna()
    rows = pd.concat([new, odd[swapped]], ignore_index=True)
    truth = np.repeat([0, 1], [200, swapped.sum()])
    assert roc_auc_score(truth, fitted.anomaly_score(rows)) > 0.8
