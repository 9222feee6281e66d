"""Where distances tie, a row's neighbours do not depend on the rows that are searched with it."""

import numpy as np
import pandas as pd
import pytest

import oddgan
from oddgan.verdict import Embedding


@pytest.mark.parametrize("local", ["ratio", "density", "distance"])
def test_scores_among_ties_are_a_rows_own(local):
    random = np.random.default_rng(0)

    def frame(n):
        return pd.DataFrame({name: random.choice(list(values), n) for name, values in COLUMNS.items()})

    detector = oddgan.PCA(random_state=0, local=local, near="rows").fit(frame(900))
    new = frame(60)
    together = detector.anomaly_score(new)
    alone = [detector.anomaly_score(new.iloc[[i]])[0] for i in range(len(new))]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, detector.anomaly_score(new.iloc[::-1])[::-1])


COLUMNS = {"p": "abcdefgh", "q": "uvwxyz", "r": "klm", "s": "ABCDE"}


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_ties_are_taken_in_the_order_of_reference_rows(k, offset):
    """By loops, on rows of few values, near the origin and far out."""
    random = np.random.default_rng(1)
    kept = (random.integers(0, 3, (300, 4)) + offset).astype(np.float32)
    new = (random.integers(0, 3, (30, 4)) + offset).astype(np.float32)
    others, distances = Embedding(kept).nearest(new, k)
    for row, found, far in zip(new, others, distances, strict=True):
        exact = np.sqrt(np.square(kept.astype(np.float64) - row).sum(1))
        order = np.lexsort((np.arange(300), exact))[:k]
        assert np.array_equal(found, order)
        assert np.array_equal(far, exact[order])


def test_a_row_without_finite_features_disturbs_no_other():
    kept = np.random.default_rng(2).normal(size=(50, 3)).astype(np.float32)
    new = kept[:3] + np.float32(0.1)
    broken = np.concatenate([new[:1], np.full((1, 3), np.nan, np.float32), new[1:]])
    others, distances = Embedding(kept).nearest(broken, 4)
    expected, far = Embedding(kept).nearest(new, 4)
    assert np.array_equal(others[[0, 2, 3]], expected)
    assert np.array_equal(distances[[0, 2, 3]], far)
    assert np.isnan(distances[1]).all()
