"""The detectors that wrap scikit-learn's: the same scores, to the last bit, before and after saving."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn import decomposition, ensemble, neighbors, svm

import oddgan
from oddgan import KNN, LOF, PCA, IsolationForest, OneClassSVM, testing
from oddgan.errors import ArtifactError, ParameterError
from oddgan.model import archive as artifact
from oddgan.rows import open_rows
from oddgan.verdict import Reference

ESTIMATORS = [KNN, LOF, OneClassSVM, IsolationForest]
BY_HAND = {
    "kth": lambda rows, new, seed: neighbors.NearestNeighbors(algorithm="kd_tree").fit(rows).kneighbors(new)[0][:, -1],
    "factor": lambda rows, new, seed: (
        -neighbors.LocalOutlierFactor(novelty=True, algorithm="kd_tree").fit(rows).score_samples(new)
    ),
    "outside": lambda rows, new, seed: -svm.OneClassSVM(nu=0.1).fit(rows).decision_function(new),
    "isolation": lambda rows, new, seed: (
        -ensemble.IsolationForest(n_estimators=10, max_samples=min(256, len(rows)), random_state=seed)
        .fit(rows)
        .score_samples(new)
    ),
}
"""Each default score as scikit-learn computes it, with its defaults where ours are documented to be equal."""


@pytest.fixture(params=["pictures", "table"])
def X(request):
    return request.getfixturevalue(request.param)


def vectors(det, X):
    """Rows in the detector's form, flattened."""
    prepared = det.preprocessor_.prepare(open_rows(X), np.arange(len(X)))
    return prepared.batch(np.arange(len(X))).flatten(1).double().numpy()


def fitted(cls, X, **changes):
    """Trained on all rows but the last twenty, in their order; calibrated with the last twenty."""
    few = {"trees": 10} if cls is IsolationForest else {}
    return cls(random_state=3, device="cpu", **{**few, **changes}).fit(X[:-20], calibrate=X[-20:])


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_scores_are_scikit_learns(cls, X, tmp_path):
    det = fitted(cls, X)
    rows = vectors(det, X[:-20])
    assert np.array_equal(det.net_.M.rows.double().numpy(), rows)
    expected = BY_HAND[det.model_.combination.names[0]](rows, vectors(det, X), int(det.net_.M.seed))
    scores = det.anomaly_score(X)
    if cls is LOF:  # by a search of its own
        np.testing.assert_allclose(scores, expected, rtol=1e-9)
    else:
        assert np.array_equal(scores, expected)
    det.save(tmp_path / "model.oddgan")
    assert np.array_equal(oddgan.load(tmp_path / "model.oddgan").anomaly_score(X), scores)


@pytest.mark.parametrize("components", [0.95, 3])
def test_pca_is_scikit_learns(components, X):
    det = fitted(PCA, X, components=components)
    theirs = decomposition.PCA(components, svd_solver="full").fit(vectors(det, X[:-20]))
    rows = vectors(det, X)
    x_hat = theirs.inverse_transform(theirs.transform(rows))
    np.testing.assert_allclose(det.anomaly_score(X), ((rows - x_hat) ** 2).mean(1), rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(det.features(X), theirs.transform(rows), rtol=1e-4, atol=1e-5)
    made = det.score_rows(det.net_, torch.from_numpy(rows).float())["x_hat"]
    np.testing.assert_allclose(made, x_hat, atol=1e-5)


def test_pca_keeps_the_share_of_variance(table):
    share = np.cumsum(decomposition.PCA().fit(vectors(fitted(PCA, table), table[:-20])).explained_variance_ratio_)
    for components in (0.5, 0.9):
        kept = len(fitted(PCA, table, components=components).net_["A"].rows)
        assert share[kept - 1] >= components - 1e-9
        assert kept == 1 or share[kept - 2] < components


def test_pca_leaves_out_at_least_one_direction(table):
    assert len(fitted(PCA, table[:, :3], components=0.9999999).net_["A"].rows) == 2
    with pytest.raises(ParameterError, match=r"components=5: give a share below 1 or a whole number below 5"):
        PCA(components=5.0).fit(table)
    with pytest.raises(ParameterError, match=r"components=1.7"):
        PCA(components=1.7).fit(table)
    one = PCA(random_state=0).fit(table[:, :1])
    assert one.anomaly_score([[1e6]])[0] > one.threshold_


def test_neighbours_by_hand(table):
    det = fitted(KNN, table, k=4)
    rows, new = vectors(det, table[:-20]), vectors(det, table)
    distances = np.sqrt(((new[:, None] - rows) ** 2).sum(2))
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :4]
    found = det.explain(table)
    np.testing.assert_allclose(found.terms["kth"], np.sort(distances, axis=1)[:, 3], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.terms["mean"], np.sort(distances, axis=1)[:, :4].mean(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(vectors(det, found.reconstruction), rows[nearest].mean(1), atol=1e-5)
    assert np.array_equal(fitted(KNN, table, score_by="mean", k=4).anomaly_score(table), found.terms["mean"])


def test_the_outlier_factor_is_that_of_its_definitions(table):
    """`oddgan.verdict.reference` implements them; it excludes a row itself, so all rows here are new."""
    det = fitted(LOF, table, k=7)
    rows, new = vectors(det, table[:-20]).astype(np.float32), vectors(det, table[-20:]).astype(np.float32)
    by_hand = Reference.of([rows], {}, 7).outlier_factor([new])
    np.testing.assert_allclose(det.anomaly_score(table[-20:]), by_hand, rtol=1e-5)


def test_the_boundary_is_that_of_the_support_vectors(table):
    det = fitted(OneClassSVM, table, nu=0.3, gamma=0.25)
    theirs = svm.OneClassSVM(nu=0.3, gamma=0.25).fit(vectors(det, table[:-20]))
    squares = ((vectors(det, table)[:, None] - theirs.support_vectors_) ** 2).sum(2)
    outside = -(np.exp(-0.25 * squares) @ theirs.dual_coef_[0] + theirs.intercept_)
    np.testing.assert_allclose(det.anomaly_score(table), outside, rtol=1e-9, atol=1e-12)
    share = (det.anomaly_score(table[:-20]) > 1e-6).mean()
    assert share <= 0.3 <= len(theirs.support_) / 60


def test_defaults_are_scikit_learns_or_the_papers():
    assert KNN().k == neighbors.NearestNeighbors().n_neighbors
    assert LOF().k == neighbors.LocalOutlierFactor().n_neighbors
    forest = ensemble.IsolationForest()
    assert (IsolationForest().trees, IsolationForest().samples) == (forest.n_estimators, 256) == (100, 256)
    assert OneClassSVM().gamma == svm.OneClassSVM().gamma == "scale"


def test_papers_settings_have_a_name():
    paper = oddgan.papers.detector("isolationforest", "mnist", variant="code", random_state=1)
    assert (paper.trees, paper.samples, paper.random_state) == (100, 256, 1)


@pytest.mark.parametrize("cls", [*ESTIMATORS, PCA])
def test_scores_of_long_rows_do_not_depend_on_other_rows(cls):
    """784 columns, new rows, blocks of 1 and of 32."""
    random = np.random.default_rng(0)
    pictures, new = random.integers(0, 255, (2, 120, 28, 28), dtype=np.uint8)
    det = fitted(cls, pictures, block_size=32)
    scores = det.anomaly_score(new)
    order = random.permutation(120)
    assert np.array_equal(det.anomaly_score(new[order]), scores[order])
    assert np.array_equal(det.with_block_size(1).anomaly_score(new[:64]), scores[:64])


@pytest.mark.parametrize("cls", [*ESTIMATORS, PCA])
def test_rows_are_drawn_by_the_seed(cls, table):
    few = fitted(cls, table, max_rows=30)
    assert np.array_equal(few.anomaly_score(table), fitted(cls, table, max_rows=30).anomaly_score(table))
    other = cls(random_state=4, max_rows=30).fit(table[:-20], calibrate=table[-20:])
    assert not np.array_equal(few.anomaly_score(table), other.anomaly_score(table))
    if cls is not PCA:
        kept, all_rows = few.net_.M.rows.numpy(), vectors(few, table[:-20]).astype(np.float32)
        assert len(np.unique(kept, axis=0)) == len(kept) == 30
        assert all((row == all_rows).all(1).any() for row in kept)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_copies_score_equally_whatever_was_set_since(cls, table, tmp_path):
    det = fitted(cls, table)
    scores = det.anomaly_score(table)
    changes = {"k": 2, "nu": 0.9, "trees": 3}
    det.set_params(**{name: value for name, value in changes.items() if name in det.get_params()})
    det.save(tmp_path / "model.oddgan")
    loaded = oddgan.load(tmp_path / "model.oddgan")
    loaded.set_params(**{name: value for name, value in changes.items() if name in det.get_params()})
    for other in (det, copy.deepcopy(det), pickle.loads(pickle.dumps(det)), loaded, copy.deepcopy(loaded)):
        assert np.array_equal(other.anomaly_score(table), scores)


def test_an_estimator_is_fitted_once(table, tmp_path, monkeypatch):
    fitted(IsolationForest, table, trees=5).save(tmp_path / "model.oddgan")
    loaded, fits = oddgan.load(tmp_path / "model.oddgan"), []
    fit = ensemble.IsolationForest.fit
    monkeypatch.setattr(ensemble.IsolationForest, "fit", lambda *args: fits.append(1) or fit(*args))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: loaded.anomaly_score(table), range(8)))
    assert all(np.array_equal(result, results[0]) for result in results)
    assert loaded.with_block_size(1).anomaly_score(table[:1]).shape == (1,)
    assert len(fits) == 1


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_another_models_threshold_is_refused(cls, table, tmp_path, monkeypatch):
    """As when another version of scikit-learn fits another estimator to the same rows with the same seed."""
    fitted(cls, table).save(tmp_path / "model.oddgan")
    loaded, estimator = oddgan.load(tmp_path / "model.oddgan"), cls.estimator
    monkeypatch.setattr(cls, "estimator", lambda self, rows, seed: estimator(self, rows[::-2] * 1.1, seed + 1))
    for _ in range(2):
        with pytest.raises(ArtifactError, match=rf"{cls.__name__}: this version of scikit-learn fits another model"):
            loaded.anomaly_score(table)
    monkeypatch.undo()
    assert loaded.anomaly_score(table).shape == (80,)


def test_a_file_with_rows_of_another_width_is_refused(table, tmp_path):
    fitted(KNN, table).save(tmp_path / "model.oddgan")
    manifest, arrays = artifact.read(tmp_path / "model.oddgan")
    for rows in (arrays["net.M.rows"][:, :3], arrays["net.M.rows"][0]):
        artifact.write(tmp_path / "bad.oddgan", manifest, arrays | {"net.M.rows": rows})
        with pytest.raises(ArtifactError, match="parts do not agree"):
            oddgan.load(tmp_path / "bad.oddgan")


@pytest.mark.parametrize("cls", [LOF, OneClassSVM, IsolationForest])
def test_detectors_without_anomaly_maps_say_so(cls, X):
    det = fitted(cls, X)
    found = det.explain(X[:3])
    assert found.reconstruction is None
    assert found.anomaly_map is None
    for ask in (det.reconstruct, det.anomaly_map):
        with pytest.raises(ParameterError, match=f"{cls.__name__} .* only scores"):
            ask(X[:3])
    with pytest.raises(ParameterError, match="cannot generate rows"):
        det.generate(1)


@pytest.mark.parametrize("cls", [KNN, PCA])
def test_a_defect_is_located(cls, pictures):
    det = fitted(cls, pictures)
    defective = pictures[-1].copy()
    defective[3:5, 4:6] = 255
    y, x = np.unravel_index(np.argmax(det.anomaly_map(defective[None])[0]), defective.shape)
    assert 3 <= y <= 4
    assert 4 <= x <= 5


def test_few_rows_and_identical_rows(table):
    for cls in (*ESTIMATORS, PCA):
        det = testing.small(cls).fit(np.ones((6, 3)))
        assert np.isfinite(det.anomaly_score(np.ones((2, 3)))).all()
    for cls in (KNN, LOF):
        det = testing.small(cls, k=50).fit(table[:10])
        assert len(det.net_.M.rows) < 10
        assert np.isfinite(det.anomaly_score(table)).all()
