"""What is usual for rows like this one: against scikit-learn's local outlier factor, and by hand."""

import pickle

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor

import oddgan
from oddgan.errors import ArtifactError, DataError
from oddgan.verdict import Reference


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    return random.normal(size=(60, 4)).astype(np.float32), random.normal(size=(9, 4)).astype(np.float32) * 3


@pytest.mark.parametrize("k", [1, 5, 20])
def test_outlier_factor_is_that_of_scikit_learn(rows, k):
    kept, new = rows
    expected = -LocalOutlierFactor(n_neighbors=k, novelty=True).fit(kept).score_samples(new)
    np.testing.assert_allclose(Reference.of([kept], {}, k).outlier_factor([new]), expected, rtol=1e-5)


def test_distance_is_the_mean_of_the_k_nearest_ones(rows):
    kept, new = rows
    whole = np.sort(np.linalg.norm(new[:, None].astype(np.float64) - kept, axis=2), axis=1)
    np.testing.assert_allclose(Reference.of([kept], {}, 4).distance([new]), whole[:, :4].mean(1), rtol=1e-12)


def test_distances_in_several_views_are_multiplied(rows):
    """So that no view's scale counts; each has neighbours of its own."""
    kept, new = ([some[:, :1], some[:, 1:]] for some in rows)
    known = Reference.of(kept, {}, 3)
    parts = [Reference.of([a], {}, 3).distance([b]) for a, b in zip(kept, new, strict=True)]
    np.testing.assert_allclose(known.distance(new), np.sqrt(parts[0] * parts[1]), rtol=1e-6)
    scaled = Reference.of([kept[0], 100 * kept[1]], {}, 3).distance([new[0], 100 * new[1]])
    np.testing.assert_allclose(scaled, 10 * known.distance(new), rtol=1e-5)


def test_places_and_ratios_are_those_of_the_first_view(rows):
    kept, new = ([some[:, :1], some[:, 1:]] for some in rows)
    terms, own = {"residual": np.arange(60.0)}, {"residual": np.ones(9)}
    both, first = (Reference.of(views, terms, 3) for views in (kept, kept[:1]))
    assert np.array_equal(both.outlier_factor(new), first.outlier_factor(new[:1]))
    assert np.array_equal(both.ratio(new, own)["residual"], first.ratio(new[:1], own)["residual"])


def test_neighbours_do_not_depend_on_company():
    random = np.random.default_rng(0)
    known = Reference.of([random.normal(size=(500, 30))], {}, 5)
    new = random.normal(size=(150, 30))
    together = known.distance([new])
    assert [float(known.distance([row[None]])[0]) for row in new] == together.tolist()


def test_neighbours_are_exact_where_rows_crowd_far_out():
    """Two crowds 1e4 apart, each a millionth as wide: float32 lengths would leave nothing of their differences."""
    random = np.random.default_rng(0)
    kept = random.normal(size=(400, 20)).astype(np.float32)
    kept[:100, 0] += 1e4
    known, new = Reference.of([kept], {}, 5), kept[:80] + np.float32(0.01)
    whole = np.sort(np.linalg.norm(new[:, None].astype(np.float64) - kept, axis=2), axis=1)[:, :5].mean(1)
    np.testing.assert_allclose(known.distance([new]), whole, rtol=1e-9)
    assert [float(known.distance([row[None]])[0]) for row in new] == known.distance([new]).tolist()


def test_too_few_rows_are_noticed_before_training():
    X = np.random.default_rng(0).normal(size=(8, 3))
    fix = "needs more than 7 training rows and there are 6: give more, or set neighbours to 5"
    with pytest.raises(DataError, match=fix):
        oddgan.VAE(local="density", neighbours=7, updates=10**9).fit(X)
    with pytest.raises(DataError, match="all of them equal: set local to off"):
        oddgan.VAE(local="density", neighbours=7, updates=10**9).fit(np.ones((50, 3)))


def test_kept_tiles_are_distinct():
    X = np.zeros((12, 32, 32), np.uint8)
    X[:, 8:16, 8:16] = np.random.default_rng(0).integers(0, 255, (12, 8, 8))
    det = oddgan.PCA(tile=8, local="density", near="rows", neighbours=3, random_state=0).fit(X)
    kept = det.model_.combination.reference.embeddings[0].vectors
    assert len(np.unique(kept, axis=0)) == len(kept)
    assert det.anomaly_score(X).max() < 1e6


def test_kept_rows_are_distinct():
    """Copies would crowd out the others, and leave a density without meaning."""
    random = np.random.default_rng(0)
    X = np.concatenate([np.repeat(random.normal(size=(1, 4)), 300, 0), random.normal(size=(100, 4))])
    det = oddgan.PCA(local="distance", near="rows", neighbours=1, random_state=0).fit(X)
    kept = det.model_.combination.reference.embeddings[0].vectors
    assert len(np.unique(kept, axis=0)) == len(kept) > 50


def test_ratio_by_hand():
    kept = np.array([[0.0], [1.0], [10.0], [11.0]])
    known = Reference.of([kept], {"residual": np.array([1.0, 3.0, 20.0, 40.0])}, 2)
    found = known.ratio([np.array([[0.4], [10.2]])], {"residual": np.array([4.0, 15.0])})
    np.testing.assert_allclose(found["residual"], [4 / 2, 15 / 30])


def test_a_term_that_can_be_negative_is_compared_by_difference():
    known = Reference.of([np.array([[0.0], [1.0], [9.0]])], {"energy": np.array([-4.0, 2.0, 5.0])}, 2)
    assert known.ratio([np.array([[0.1]])], {"energy": np.array([3.0])})["energy"][0] == pytest.approx(3 - -1)


def test_copies_of_training_rows_stay_finite():
    known = Reference.of([np.zeros((12, 3))], {"residual": np.zeros(12)}, 5)
    factor = known.outlier_factor([np.array([[0.0] * 3, [1.0] * 3])])
    assert np.isfinite(factor).all()
    assert factor[1] > factor[0]
    assert np.isfinite(known.ratio([np.ones((1, 3))], {"residual": np.ones(1)})["residual"]).all()


def test_too_few_and_broken_rows_are_refused():
    with pytest.raises(
        DataError,
        match="more than 3 training rows and there are 3: give more, or set neighbours to 2",
    ):
        Reference.of([np.zeros((3, 2))], {}, 3)
    with pytest.raises(DataError, match="no finite features"):
        Reference.of([np.array([[0.0], [np.nan], [1.0]])], {}, 1)


def test_saved_and_read_back(rows):
    known = Reference.of([rows[0], rows[0][:, :2]], {"residual": np.arange(60.0)}, 4)
    new = [rows[1], rows[1][:, :2]]
    facts, arrays = known.to_manifest()
    again = Reference.from_manifest(facts, arrays)
    assert np.array_equal(again.outlier_factor(new), known.outlier_factor(new))
    assert np.array_equal(again.distance(new), known.distance(new))
    for spoilt in ({"rows": 59}, {"neighbours": 60}, {"neighbours": 0}, {"neighbours": 2.5}):
        with pytest.raises(ArtifactError, match="incomplete"):
            Reference.from_manifest({**facts, **spoilt}, arrays)
    with pytest.raises(ArtifactError, match="incomplete"):
        Reference.from_manifest(facts, {**arrays, "features.1": arrays["features.1"][1:]})


def test_files_of_before_have_one_view_without_a_number(rows):
    known = Reference.of([rows[0]], {}, 4)
    facts, arrays = known.to_manifest()
    arrays["features"] = arrays.pop("features.0")
    assert np.array_equal(Reference.from_manifest(facts, arrays).distance(rows[1:]), known.distance(rows[1:]))


def test_what_a_search_prepares_is_not_pickled(rows):
    known = Reference.of([rows[0]], {}, 4)
    before = pickle.dumps(known)
    again = pickle.loads(before)
    assert np.array_equal(again.distance(rows[1:]), known.distance(rows[1:]))
    assert pickle.dumps(known) == before
