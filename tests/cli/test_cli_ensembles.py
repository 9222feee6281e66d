"""Ensembles and folds from the command line: trained, described, asked, and resumed."""

import csv
import shlex

import numpy as np
import pytest
from cli_small import SMALL

import oddgan as package
from oddgan.model.ensemble import EnsembleModel


@pytest.fixture(scope="module")
def ensemble(folder, tmp_path_factory):
    from oddgan.cli import main

    path = tmp_path_factory.mktemp("model") / "parts.oddgan"
    assert main(["train", str(folder), "-o", str(path), "--seeds", "2", "--random-state", "4", *SMALL]) == 0
    return path


def test_train_with_seeds_makes_an_ensemble_of_what_suits_the_data(ensemble):
    det = package.load(ensemble)
    members = list(det.model_.members.values())
    assert det.title_ == "Ensemble of 2 GANomaly"
    assert [one.recipe.random_state for one in members] == [4, 5]
    assert {one.recipe.local for one in members} == {"distance"}  # as it is recommended for small pictures
    assert det.n_calibrate_ == 6


def test_info_lists_the_members(oddgan, ensemble):
    ran = oddgan("info", ensemble)
    assert ran.code == 0
    assert "Ensemble of 2 GANomaly" in ran.out
    assert "ganomaly-2" in ran.out
    assert "--random-state 5" in ran.out
    assert '"members"' in oddgan("info", ensemble, "--json").out


def test_it_scores_maps_evaluates_and_generates(oddgan, ensemble, folder, tmp_path):
    ran = oddgan("score", ensemble, folder / "test", "-o", "scores.csv", "--maps", "maps", "--regions")
    assert ran.code == 0, ran.err
    with open("scores.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 14
    det = package.load(ensemble)
    expected = det.anomaly_score([str(folder / "test" / one["path"]) for one in found])
    np.testing.assert_allclose([float(one["score"]) for one in found], expected, rtol=1e-8)
    assert all(one["regions"] for one in found if one["verdict"] == "anomaly")
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 14
    assert oddgan("evaluate", ensemble, folder, "--report", "report.html").code == 0
    assert "ganomaly-1" in (tmp_path / "report.html").read_text()
    assert oddgan("generate", ensemble, "-o", "made.png", "-n", "4").code == 0


def test_train_in_folds_calibrates_on_every_row(oddgan, table_file):
    ran = oddgan(
        "train", table_file, "-o", "m.oddgan", "--detector", "knn", "--folds", "3", "--false-alarm-rate", "0.1"
    )
    assert ran.code == 0, ran.err
    assert "KNN in 3 folds on 60 rows" in ran.out + ran.err
    det = package.load("m.oddgan")
    assert (det.n_calibrate_, det.false_alarm_rate_, det.folds) == (60, 0.1, 3)
    scored = oddgan("score", "m.oddgan", table_file)
    assert scored.code == 0, scored.err


def test_an_interrupted_ensemble_goes_on_with_the_members_it_has(oddgan, folder, monkeypatch, tmp_path):
    whole = ["train", str(folder), "-o", "parts.oddgan", "--seeds", "2", *SMALL]

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(EnsembleModel, "with_verdict_of", interrupted)
        ran = oddgan(*whole)
    assert ran.code == 130
    kept = tmp_path / "parts.oddgan.ckpt"
    assert sorted(one.name for one in kept.iterdir()) == ["1.oddgan", "2.oddgan", "run.json"]
    refused = oddgan(*whole)
    assert refused.code == 2
    assert "--resume" in refused.complaint

    words = shlex.split(ran.err.partition("go on with: ")[2])
    with monkeypatch.context() as patched:
        patched.setattr("oddgan.model.fitting.fit", interrupted)  # no member is trained again
        assert oddgan(*words[1:]).code == 0
    assert not kept.exists()
    first = (tmp_path / "parts.oddgan").read_bytes()
    assert oddgan(*whole, "--fresh").code == 0
    assert (tmp_path / "parts.oddgan").read_bytes() == first


def test_seeds_and_folds_exclude_each_other(oddgan, folder):
    ran = oddgan("train", folder, "--seeds", "2", "--folds", "2")
    assert ran.code == 2
    assert "choose one" in ran.complaint
