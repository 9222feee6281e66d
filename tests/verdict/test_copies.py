"""Rows that equal many training rows, and rows beside them: copies count, as many as there are."""

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import LocalOutlierFactor

import oddgan
from oddgan.verdict import Reference

FAR = np.array([[1000.0, -1000.0, 1000.0]])


def density(**more):
    return oddgan.PCA(local="density", near="rows", random_state=0, **more)


@pytest.mark.parametrize("detector", [oddgan.LOF(random_state=0), density(), density(neighbours=40)])
def test_an_outlier_of_a_discrete_table_is_found(detector):
    """27 different rows, each about 18 times: densities among copies are not infinite."""
    T = np.random.default_rng(0).integers(0, 3, (500, 3)).astype(float)
    detector.fit(T)
    assert detector.threshold_ < 10
    assert detector.predict(FAR).tolist() == [-1]
    assert (detector.predict(T) == 1).mean() > 0.95


@pytest.mark.parametrize("table", ["binary", "categories"])
def test_lof_of_few_different_rows(table):
    random = np.random.default_rng(1)
    X = random.integers(0, 2, (300, 3)).astype(float)
    new = FAR
    if table == "categories":
        X = pd.DataFrame({"a": random.choice(list("xyz"), 300), "n": random.integers(0, 4, 300)})
        new = pd.DataFrame({"a": ["new"], "n": [900]})
    det = oddgan.LOF(random_state=0).fit(X)
    assert np.isfinite(det.anomaly_score(new)).all()
    assert det.predict(new).tolist() == [-1]


@pytest.mark.parametrize("local", ["density", "distance", "ratio"])
def test_a_row_that_is_a_third_of_all_normals_is_normal(local):
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(size=(700, 4)), np.repeat([[3.0, 3.0, -3.0, 3.0]], 300, 0)])
    random.shuffle(X)
    det = oddgan.PCA(local=local, near="rows", components=2, random_state=0).fit(X)
    assert det.predict(X[(X == [3.0, 3.0, -3.0, 3.0]).all(1)][:1]).tolist() == [1]
    assert det.predict(np.array([[9.0, 9.0, 9.0, -9.0]])).tolist() == [-1]
    assert (det.predict(random.normal(size=(2000, 4))) == -1).mean() < 0.06


def test_copies_are_neighbours_as_if_each_were_a_row():
    """By loops over all rows, copies included."""
    random = np.random.default_rng(2)
    places, copies = random.normal(size=(40, 3)).astype(np.float32), random.integers(1, 6, 40).astype(float)
    whole = np.repeat(places, copies.astype(int), axis=0).astype(np.float64)
    usual = random.random(40)
    reference = Reference.of([places], {"t": usual}, 7, copies=copies)
    new = random.normal(size=(9, 3)).astype(np.float32)
    distances = np.linalg.norm(new[:, None].astype(float) - whole, axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :7]
    np.testing.assert_allclose(reference.distance([new]), np.sort(distances, axis=1)[:, :7].mean(1))
    mean = np.repeat(usual, copies.astype(int))[nearest].mean(1)
    np.testing.assert_allclose(reference.ratio([new], {"t": np.ones(9)})["t"], 1 / (mean + 1e-10))


def test_all_reference_rows_may_be_neighbours_of_a_new_row():
    places, copies = np.array([[0.0], [1.0], [4.0]], np.float32), np.array([2.0, 1.0, 3.0])
    reference = Reference.of([places], {}, 5, copies=copies)
    found = reference.distance([np.array([[0.0], [5.0]], np.float32)])
    assert found.tolist() == [(0 + 0 + 1 + 4 + 4) / 5, (1 + 1 + 1 + 4 + 5) / 5]


def test_rows_without_copies_have_scikit_learns_factor():
    random = np.random.default_rng(3)
    X, new = (random.normal(size=(n, 5)).astype(np.float32) for n in (200, 30))
    theirs = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(X)
    reference = Reference.of([X], {}, 20, copies=np.ones(200))
    assert reference.copies is None
    np.testing.assert_allclose(reference.outlier_factor([new]), -theirs.score_samples(new), rtol=1e-5)


def test_rows_that_differ_with_equal_features_have_a_finite_density():
    features = np.repeat(np.random.default_rng(4).normal(size=(30, 2)), 8, axis=0)
    factor = Reference.of([features], {}, 5).outlier_factor([features])
    assert factor.max() < 100


def test_copies_are_saved(tmp_path):
    T = np.random.default_rng(0).integers(0, 3, (500, 3)).astype(float)
    det = density().fit(T)
    det.save(tmp_path / "m.oddgan")
    assert np.array_equal(oddgan.load(tmp_path / "m.oddgan").anomaly_score(T), det.anomaly_score(T))


@pytest.mark.parametrize("local", ["distance", "density", "ratio"])
def test_block_sizes_agree_where_rows_lie_close_together(local):
    """Two clusters a million times as far apart as they are wide: rounding must not differ from the reference rows'."""
    random = np.random.default_rng(0)
    X = np.concatenate([sign * 1e4 + 0.01 * random.normal(size=(150, 4)) for sign in (1, -1)])
    random.shuffle(X)
    det = oddgan.EGBAD(local=local, updates=5, random_state=0).fit(X)
    scores = det.anomaly_score(X[:50])
    for size in (1, 8, 256):
        other = det.with_block_size(size).anomaly_score(X[:50])
        assert np.abs(scores - other).max() <= 1e-5 * np.abs(scores).max()


def test_pca_of_categories_and_constants_leaves_more_than_rounding_noise():
    random = np.random.default_rng(0)
    X = pd.DataFrame({"a": random.normal(size=400), "c": random.choice(list("xyz"), 400)})
    for rows in (X, X.assign(d=random.choice(list("pq"), 400)), X.assign(constant=1.0), X[["c"]]):
        for components in (0.95, 0.9999):
            det = oddgan.PCA(components=components, random_state=0).fit(rows)
            assert det.threshold_ > 1e-6
