"""What is seen of a training where there is no terminal, and after it."""

import numpy as np
import pytest

import oddgan
from oddgan import hooks
from oddgan.hooks import Hook, Progress


class Counting(Hook):
    def __init__(self):
        self.seen = []

    def on_calibrate(self, done, total):
        self.seen.append((done, total))


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(600, 4))


def test_held_out_rows_are_counted_from_none_to_all(rows):
    watch = Counting()
    det = oddgan.GANomaly(updates=2, width=4, random_state=0).fit(rows, hooks=[watch])
    done, totals = zip(*watch.seen, strict=True)
    assert det.n_calibrate_ == 120
    assert set(totals) == {180}  # half as many to tune
    assert list(done) == sorted(done)
    assert (done[0], done[-1]) == (0, 180)


def test_tuning_rows_count_too(rows):
    watch = Counting()
    det = oddgan.VAE(updates=2, random_state=0).fit(rows, tune=rows[:70], calibrate=rows[:90], hooks=[watch])
    assert watch.seen[-1][0] == watch.seen[-1][1] in (90, 160)
    assert det.n_calibrate_ == 90


def test_lines_are_written_where_there_is_no_terminal(rows, capfd, monkeypatch):
    monkeypatch.setattr(hooks, "LINE_SECONDS", 0.0)
    with Progress() as bar:
        oddgan.GANomaly(updates=3, width=4, random_state=0).fit(rows, hooks=[bar])
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("training, game: 2 of 3 updates")]
    assert [line for line in lines if line.startswith("after training, scoring held-out rows: 60 of 180")]
    monkeypatch.setattr(hooks, "LINE_SECONDS", 1e9)
    with Progress() as bar:
        oddgan.GANomaly(updates=3, width=4, random_state=0).fit(rows, hooks=[bar])
    assert capfd.readouterr().err == ""
