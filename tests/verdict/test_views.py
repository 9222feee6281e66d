"""Distances in several views: by hand, with copies, and alike alone and among others."""

import numpy as np
import pytest
from scipy import stats

import oddgan
from oddgan.errors import ArtifactError, DataError
from oddgan.verdict.views import KNOTS, OWN, Columns, Views, normal_quantile


def rows(n, d=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def by_hand(reference, new, k):
    """s of new rows, and mean and deviation of s over reference rows, in one view."""
    between = np.linalg.norm(reference[:, None].astype(float) - reference[None].astype(float), axis=2)
    np.fill_diagonal(between, np.inf)
    order = np.argsort(between, axis=1, kind="stable")[:, :k]
    d = np.take_along_axis(between, order, 1).mean(1)
    s = np.log(d) - 0.5 * np.log(d[order].mean(1))
    far = np.linalg.norm(new[:, None].astype(float) - reference[None].astype(float), axis=2)
    nearest = np.argsort(far, axis=1, kind="stable")[:, :k]
    own = np.log(np.take_along_axis(far, nearest, 1).mean(1)) - 0.5 * np.log(d[nearest].mean(1))
    return (own - s.mean()) / s.std()


def test_the_score_is_the_most_unusual_of_the_views():
    reference, new, k = rows(60), rows(9, seed=1), 3
    features, new_features = reference[:, :2] ** 2, new[:, :2] ** 2
    views = Views.of([reference, features], k)
    ranks = [stats.norm.ppf((stats.rankdata(column) - 0.5) / 60) for column in reference.T]
    ranks = [(one - one.mean()) / one.std() for one in ranks]
    ranked = np.stack([np.interp(new[:, j], np.sort(reference[:, j]), np.sort(ranks[j])) for j in range(4)], 1)
    seen = [
        (reference, new),
        (reference / np.ptp(reference, axis=0), new / np.ptp(reference, axis=0)),
        (np.stack(ranks, 1), ranked),
        (features, new_features),
    ]
    expected = np.max([by_hand(a, b, k) for a, b in seen], axis=0)
    np.testing.assert_allclose(views.surprise([new, new_features]), expected, rtol=2e-4, atol=2e-4)


def test_a_row_scores_the_same_alone():
    views, new = Views.of([rows(80)], 5), rows(30, seed=2)
    together = views.surprise([new])
    for i in range(30):
        assert views.surprise([new[i : i + 1]])[0] == together[i]


def test_copies_count_as_often_as_they_occur():
    """Reference rows and how often each occurs are what all of these rows are."""
    distinct = rows(25, seed=3)
    copies = np.random.default_rng(0).integers(1, 4, 25).astype(float)
    repeated = np.repeat(distinct, copies.astype(int), axis=0)
    random = np.random.default_rng(4)
    apart = repeated + 1e-6 * random.standard_normal(repeated.shape).astype(np.float32)
    once, each = Views.of([distinct], 4, copies=copies), Views.of([apart], 4)
    new = rows(10, seed=5)
    np.testing.assert_allclose(once.columns.by_rank(new), each.columns.by_rank(new), atol=0.2)
    d = [one.usual[0] for one in (once, each)]
    np.testing.assert_allclose(np.repeat(d[0], copies.astype(int)), d[1], atol=1e-4)
    assert np.isfinite(once.surprise([new])).all()


def test_ranks_are_normal_scores():
    p = np.array([0.001, 0.3, 0.5, 0.999])
    np.testing.assert_allclose(normal_quantile(p), stats.norm.ppf(p), rtol=1e-9)
    column = np.array([5.0, 1.0, 1.0, 9.0])[:, None].astype(np.float32)
    seen = Columns.of(column, None).by_rank(column)[:, 0]
    assert seen[1] == seen[2] < seen[0] < seen[3]
    np.testing.assert_allclose([seen.mean(), seen.std()], [0, 1], atol=1e-6)
    beyond = Columns.of(column, None).by_rank(np.array([[-7.0], [100.0]]))[:, 0]
    assert beyond.tolist() == [seen.min(), seen.max()]


def test_long_columns_keep_some_knots():
    reference = np.sort(rows(5000, 1), axis=0)
    columns = Columns.of(reference, None)
    assert columns.knots.shape == columns.scores.shape == (KNOTS, 1)
    exact = stats.norm.ppf((np.arange(5000) + 0.5) / 5000)
    error = np.abs(columns.by_rank(reference)[:, 0] - exact / exact.std())
    assert error.mean() < 0.002
    assert error.max() < 0.2  # of the outermost rows


def test_constant_columns_and_rows_do_no_harm():
    reference = rows(30)
    reference[:, 2] = 3.0
    assert np.isfinite(Views.of([reference], 3).surprise([rows(5, seed=6)])).all()
    equal = np.ones((30, 2), np.float32)
    equal[:15] = 2
    assert np.isfinite(Views.of([equal], 3).surprise([equal[:2], equal[:2]][:1])).all()


def test_what_cannot_be_kept_is_refused():
    with pytest.raises(DataError, match="neighbours=5 needs more than 5"):
        Views.of([rows(5)], 5)
    with pytest.raises(DataError, match="no finite features"):
        Views.of([rows(20), rows(20) * np.nan], 5)


def test_files():
    views = Views.of([rows(40), rows(40, 3, 7)], 4, copies=np.r_[3.0, np.ones(39)])
    facts, arrays = views.to_manifest()
    assert len([name for name in arrays if name.startswith("features")]) == 2
    same, new = Views.from_manifest(facts, arrays), [rows(9, seed=1), rows(9, 3, 8)]
    assert np.array_equal(same.surprise(new), views.surprise(new))
    for change in ({"rows": 39}, {"neighbours": 0}, {"neighbours": 4.0}, {"block_size": 3}):
        with pytest.raises(ArtifactError, match="inconsistent"):
            Views.from_manifest({**facts, **change}, arrays)
    for change in (
        {"usual": arrays["usual"][:, :3]},
        {"scale": arrays["scale"] * 0},
        {"knots": arrays["knots"][::-1]},
        {"width": arrays["width"][:2]},
        {"copies": arrays["copies"] * 0},
        {"features.1": arrays["features.1"] * np.float32(np.nan)},
    ):
        with pytest.raises(ArtifactError, match="inconsistent"):
            Views.from_manifest(facts, {**arrays, **change})


def test_a_detector_may_judge_by_views(table, tmp_path):
    det = oddgan.KNN(local="views", near="rows", neighbours=5, random_state=0).fit(table)
    assert len(det.model_.combination.reference.embeddings) == OWN
    det.save(tmp_path / "m.oddgan")
    assert np.array_equal(oddgan.load(tmp_path / "m.oddgan").anomaly_score(table), det.anomaly_score(table))
    found = det.explain(table[:3])
    assert np.array_equal(found.terms["views"], found.score)
