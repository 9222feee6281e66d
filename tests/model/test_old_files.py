"""Model files and trainings of 0.1.0 give what they gave then.

The files in `files/` were written by 0.1.0, and so were the scores beside them, on another processor: they are held to
a tolerance here. On one machine they agree to the last bit.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import oddgan
from oddgan import detectors, testing

FILES = Path(__file__).parent / "files"
SCORES = json.loads((FILES / "scores.json").read_text())
TRAINED = {
    "ganomaly": ("ganomaly", {"width": 4}),
    "egbad-ratio": ("egbad", {"width": 4, "local": "ratio", "neighbours": 3}),
    "knn-density": ("knn", {"local": "density", "neighbours": 3}),
}


def rows(name):
    if name == "egbad-ratio":
        return pd.read_csv(FILES / "mixed.csv")
    return np.load(FILES / "rows.npz")["pictures" if "tiles" in name else "table"]


def first(X, n=8):
    return X.iloc[:n] if isinstance(X, pd.DataFrame) else X[:n]


def hold(detector, name):
    then, found = SCORES[name], detector.explain(first(rows(name)))
    scale = np.abs(then["score"]).max()
    np.testing.assert_allclose(found.score, then["score"], rtol=1e-4, atol=1e-4 * scale)
    np.testing.assert_allclose([np.sum(m) for m in found.anomaly_map], then["map"], rtol=1e-3)
    assert detector.threshold_ == pytest.approx(then["threshold"], rel=1e-4)


@pytest.mark.parametrize("name", SCORES)
def test_files_of_the_first_release_score_as_then(name):
    detector = oddgan.load(FILES / f"{name}.oddgan")
    hold(detector, name)
    np.testing.assert_allclose(detector.p_value(first(rows(name))), SCORES[name]["p_value"])


@pytest.mark.parametrize("name", SCORES)
def test_an_old_model_that_is_saved_again_is_the_same(name, tmp_path):
    old = oddgan.load(FILES / f"{name}.oddgan")
    old.save(tmp_path / "again.oddgan")
    X = first(rows(name))
    assert np.array_equal(oddgan.load(tmp_path / "again.oddgan").anomaly_score(X), old.anomaly_score(X))


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_trains_the_model_of_the_first_release(name):
    detector, parameters = TRAINED[name]
    hold(testing.small(detectors.get(detector), **parameters).fit(rows(name)), name)
