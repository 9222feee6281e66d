"""What is seen of a training where there is no terminal, and after it."""

import sys
import types

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


class Notebook(types.ModuleType):
    """IPython as it is in a notebook's process: what is displayed, each with all that it was updated to."""

    def __init__(self, kernel):
        super().__init__("IPython")
        self.shown = []
        self.get_ipython = lambda: types.SimpleNamespace(kernel=kernel)
        self.display = types.ModuleType("IPython.display")
        self.display.display = self.put

    def put(self, data, *, raw, display_id):
        assert raw
        assert display_id
        texts = [data["text/plain"]]
        self.shown.append(texts)
        return types.SimpleNamespace(update=lambda data, raw: texts.append(data["text/plain"]))


@pytest.fixture
def ipython(monkeypatch):
    def make(kernel):
        found = Notebook(kernel)
        monkeypatch.setitem(sys.modules, "IPython", found)
        monkeypatch.setitem(sys.modules, "IPython.display", found.display)
        return found

    return make


def test_a_notebook_shows_a_bar_in_place(rows, ipython, capfd):
    notebook = ipython(object())
    oddgan.GANomaly(updates=30, width=4, random_state=0).fit(rows, verbose=True)
    training, calibrating = notebook.shown
    assert "0/30" in training[0]
    assert "30/30" in training[-1]
    assert "G.con" in training[-1]
    assert training[-1].splitlines()[0].count("\u2501") > training[0].count("\u2501")
    assert calibrating[-1] == "held-out rows: 180 of 180 scored"
    assert capfd.readouterr() == ("", "")


def test_a_fit_is_quiet_unless_it_is_to_show(rows, ipython, capfd, monkeypatch):
    monkeypatch.setattr(hooks, "LINE_SECONDS", 0.0)
    notebook = ipython(object())
    oddgan.GANomaly(updates=2, width=4, random_state=0).fit(rows)
    assert (notebook.shown, capfd.readouterr()) == ([], ("", ""))
    terminal = ipython(None)  # IPython without a notebook
    oddgan.GANomaly(updates=2, width=4, random_state=0).fit(rows, verbose=1)
    assert terminal.shown == []
    assert "training, game: 2 of 2 updates" in capfd.readouterr().err
