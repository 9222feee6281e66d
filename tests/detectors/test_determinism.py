"""The same seed gives the same bits, however many threads read the pictures."""

import itertools
import time

import numpy as np
import pytest

from oddgan import detectors, testing
from oddgan.rows import threads
from oddgan.testing import _assert_same_model

WORKERS = (1, 2, 7)


def slowed(function):
    """The function, of which every third call takes longer, so that what comes later is done before."""
    turn = itertools.count()

    def one(item):
        time.sleep(0.003 * (next(turn) % 3 == 0))
        return function(item)

    return one


@pytest.mark.parametrize("workers", WORKERS)
def test_results_come_in_the_order_of_items(workers, monkeypatch):
    monkeypatch.setattr(threads, "workers", lambda: workers)
    assert list(threads.threaded(slowed(lambda i: i * i), range(40))) == [i * i for i in range(40)]


@pytest.mark.parametrize("name", ["pca", "ganomaly"])
def test_a_fit_and_its_scores_have_the_same_bits(name, fill, monkeypatch, tmp_path):
    cls, whole, found = detectors.get(name), threads.threaded, []
    folder = fill(*(f"{i:02}.png" for i in range(28)))
    for module in ("rows.cache", "rows.picture_files", "preprocessing.picture_profile"):
        monkeypatch.setattr(f"oddgan.{module}.threaded", lambda function, items: whole(slowed(function), items))
    for workers in WORKERS:
        monkeypatch.setattr(threads, "workers", lambda workers=workers: workers)
        monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / f"cache of {workers}"))
        det = testing.small(cls, **({"updates": 2} if name == "ganomaly" else {})).fit(folder)
        found.append((det, det.anomaly_score(folder)))
    (first, scores), *others = found
    assert len(np.unique(scores)) > 20
    for other, again in others:
        _assert_same_model(first, other, "a fit with more threads that read pictures")
        assert np.array_equal(scores, again)
