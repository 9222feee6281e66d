"""What objects show of themselves, and results as DataFrames."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import oddgan
from oddgan.errors import ParameterError


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    numbers = random.normal(size=(90, 2)) @ random.normal(size=(2, 3))
    found = pd.DataFrame(numbers, columns=["a", "b", "<c>"], index=np.arange(100, 190))
    found["a"] = found["a"].astype("float32")
    found["kind"] = pd.Categorical(np.where(numbers[:, 0] > 0, "high", "low"))
    found["on"] = numbers[:, 1] > 0
    return found


@pytest.fixture(scope="module")
def fitted(frame):
    return oddgan.VAE(updates=3, width=4, random_state=0).fit(frame)


def test_a_detector_shows_its_warnings_first(fitted):
    lines = repr(fitted).splitlines()
    assert lines[0] == "VAE(random_state=0, updates=3, width=4)"
    warned = fitted.training_["warnings"]
    assert warned
    for line, one in zip(lines[1:], warned, strict=False):
        assert line == f"warning: {one['code']}: {one['message']}"
    assert lines[1 + len(warned)].startswith("fitted on: 72 rows, tables of 5 columns")
    assert f"{fitted.threshold_:.4g}" in lines[-1]
    html = fitted._repr_html_()
    assert html.index("Warning: ") < html.index("fitted on") < html.index("guarantee")
    assert str(fitted.guarantee_) in html
    assert fitted._repr_mimebundle_()["text/html"].startswith("<div")


def test_scikit_learn_is_not_disturbed(fitted):
    unfitted = clone(fitted)
    assert repr(unfitted) == "VAE(random_state=0, updates=3, width=4)"
    assert "fitted on" not in unfitted._repr_html_()
    pipeline = make_pipeline(StandardScaler(), fitted)
    assert "VAE" in pipeline._repr_html_()
    assert "VAE(random_state=0" in repr(pipeline)
    with sklearn.config_context(display="text"):
        assert "text/html" not in fitted._repr_mimebundle_()
        assert not hasattr(fitted, "_repr_html_")


def test_ensembles_comparisons_and_drifts_show_themselves(frame):
    det = oddgan.Ensemble([oddgan.PCA(), oddgan.KNN()], random_state=0).fit(frame)
    assert "fitted on" in repr(det)
    assert "Ensemble of PCA, KNN" in det._repr_html_()
    drift = det.drift(frame.assign(b=frame["b"] + 100))
    assert repr(drift).splitlines()[1] == f"warning: {drift.findings[0].code}: {drift.findings[0].message}"
    assert "Drift of 90 rows" in drift._repr_html_()
    compared = oddgan.compare(frame, ["pca", "knn"], seeds=(0,))
    text = repr(compared)
    assert text.splitlines()[1].startswith("warning: the anomalies are simulated")
    assert "AUROC" in text
    assert "<th" in compared._repr_html_()


def test_an_explanation_says_what_it_holds(fitted, frame):
    found = fitted.explain(frame)
    assert repr(found).startswith("Explanation of 90 rows")
    assert "warning: 72 of 90 rows equal rows that the model was trained on" in repr(found)
    html = found._repr_html_()
    assert "&lt;c&gt;" in html
    assert "<c>" not in html
    most = int(np.argmax(found.score))
    assert f"row {100 + most}" in html
    assert pickle.loads(pickle.dumps(found)).given is None


def test_an_explanation_as_a_frame(fitted, frame):
    found = fitted.explain(frame)
    table = found.to_frame()
    assert isinstance(table, pd.DataFrame)
    assert table.index.equals(frame.index)
    np.testing.assert_array_equal(table["score"], found.score)
    np.testing.assert_array_equal(table["p_value"], found.p_value)
    assert (table["verdict"] == np.where(found.is_anomaly, "anomaly", "normal")).all()
    for name, values in found.terms.items():
        np.testing.assert_array_equal(table[f"term {name}"], values)
    assert (table["column 1"].iloc[3], table["share 1"].iloc[3]) == found.largest(3)[0]
    assert found.to_frame("pyarrow").num_rows == 90
    with pytest.raises(ParameterError, match="backend='excel'"):
        found.to_frame("excel")


def test_an_explanation_of_pictures_counts_regions(pictures):
    det = oddgan.PCA(random_state=0).fit(pictures)
    marked = pictures[:4].copy()
    marked[0, 3:6, 3:6] = 255
    found = det.explain(marked)
    table = found.to_frame("pandas")
    assert table["regions"].tolist() == [len(found.regions(i)) for i in range(4)]
    assert table["region area"].iloc[0] == found.mask(0).mean() > 0
    assert "regions" in found._repr_html_() or "1 region" in found._repr_html_()


def test_frames_come_back_as_frames(fitted, frame):
    found, made = fitted.explain(frame), fitted.reconstruct(frame)
    assert isinstance(made, pd.DataFrame)
    assert made.index.equals(frame.index)
    assert made.columns.equals(frame.columns)
    assert (made["a"].dtype, made["b"].dtype, made["kind"].dtype, made["on"].dtype) == (
        "float32", "float64", "category", bool,
    )  # fmt: skip
    np.testing.assert_array_equal(made["b"], found.reconstruction[:, 1].astype(float))
    assert (made["kind"].astype(str) == found.reconstruction[:, 3]).all()
    shares = fitted.anomaly_map(frame)
    np.testing.assert_array_equal(shares, found.anomaly_map)
    assert list(shares.columns) == list(frame.columns)


def test_other_libraries_get_theirs(fitted, frame):
    import pyarrow as pa

    given = pa.Table.from_pandas(frame, preserve_index=False)
    made = fitted.reconstruct(given)
    assert isinstance(made, pa.Table)
    assert made.column_names == list(frame.columns)
    np.testing.assert_array_equal(made["b"].to_numpy(), fitted.reconstruct(frame)["b"])
    assert isinstance(fitted.explain(given).to_frame(), pa.Table)


def test_generated_rows_as_a_frame(fitted, frame, pictures):
    plain, made = fitted.generate(6, random_state=2), fitted.generate(6, random_state=2, backend="pandas")
    assert isinstance(plain, np.ndarray)
    assert list(made.columns) == list(frame.columns)
    np.testing.assert_array_equal(made["b"], plain[:, 1].astype(float))
    assert made["kind"].dtype == "category"
    vae = oddgan.VAE(updates=2, width=4, random_state=0).fit(pictures)
    with pytest.raises(ParameterError, match="makes pictures"):
        vae.generate(2, backend="pandas")


def test_arrays_come_back_as_arrays(frame):
    numbers = frame[["a", "b", "<c>"]].to_numpy(float)
    det = oddgan.PCA(random_state=0).fit(numbers)
    assert isinstance(det.reconstruct(numbers), np.ndarray)
    assert isinstance(det.anomaly_map(numbers), np.ndarray)
    assert isinstance(det.explain(numbers).to_frame(), pd.DataFrame)
