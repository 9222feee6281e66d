"""oddgan compare: a table of detectors, that can be killed."""

import inspect
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from oddgan import PCA, detectors
from oddgan.cli.compare import compare
from oddgan.cli.flags import shared_flags
from oddgan.parameters import declared

QUICK = ("--updates", "5", "--width", "4", "--threads", "1")


def runs(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_table_comes_of_data_and_names(oddgan, table_file, tmp_path):
    words = ("compare", table_file, "--detectors", "ganomaly,KNN", "--seeds", "2", *QUICK)
    ran = oddgan(*words, "--markdown", "out/t.md", "--json", "out/t.json")
    assert ran.code == 0
    head, rule, gan, near = ran.out.splitlines()[2:6]
    assert head.split()[:3] == ["detector", "AUROC", "AUPRC"]
    assert set(rule) == {"─"}
    assert (gan.split()[0], near.split()[0]) == ("ganomaly", "knn")
    assert gan.count("±") == near.count("±") == 5
    assert "knn has no --updates, --width: left out\n" in ran.err.replace("--width, --updates", "--updates, --width")
    assert "[4/4] knn, seed 1: AUROC " in ran.err
    kept = runs(tmp_path / "flows-compare.jsonl")
    assert [(run["detector"], run["seed"]) for run in kept] == [
        ("GANomaly", 0),
        ("KNN", 0),
        ("GANomaly", 1),
        ("KNN", 1),
    ]
    assert {run["parameters"].get("width", 4) for run in kept} == {4}
    assert (tmp_path / "out/t.md").read_text().startswith("# Detectors on flows\n")
    assert json.loads((tmp_path / "out/t.json").read_text())["seeds"] == [0, 1]

    again = oddgan(*words)
    assert again.out == ran.out
    assert again.err.count("(done before)") == 4
    more = oddgan(*words, "--set", "knn.k=2", "--quiet")
    assert (more.code, more.err) == (0, "")
    assert len(runs(tmp_path / "flows-compare.jsonl")) == 6
    assert runs(tmp_path / "flows-compare.jsonl")[-1]["parameters"]["k"] == 2


def test_pictures_and_classes(oddgan, folder, tmp_path):
    ran = oddgan("compare", folder, "--detectors", "knn,isolationforest", "--seeds", "1", "--trees", "5", "--size", "8")
    assert ran.code == 0
    assert "pixel AUROC" in ran.out
    assert "knn has no --trees: left out" in ran.err
    assert {tuple(run["parameters"]["size"] for run in runs(tmp_path / "parts-compare.jsonl"))} == {(8, 8)}
    ran = oddgan("compare", "digits", "--normal", "4", "--detectors", "knn", "--seeds", "1", "--results", "d.jsonl")
    assert ran.code == 0
    assert "normal: 4" in ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing option '--detectors'"),
        (["--detectors", "knn,nogan"], "detector 'nogan' is unknown"),
        (["--detectors", ""], "at least one detector"),
        (["--detectors", "knn,KNN"], "--detectors: KNN is given twice"),
        (["--detectors", "knn", "--updates", "5"], "No such option: --updates"),
        (["--detectors", "knn", "--k", "many"], "--k 'many': expected a whole number"),
        (["--detectors", "knn", "--seeds", "0"], "--seeds"),
        (["--detectors", "knn", "--set", "k=3"], "--set k=3: write DETECTOR.PARAMETER=VALUE"),
        (["--detectors", "knn", "--set", "lof.k=3"], "lof is not among --detectors knn"),
        (["--detectors", "knn", "--set", "knn.width=3"], "knn has no parameter width to set"),
        (["--detectors", "knn", "--set", "knn.random-state=3"], "knn has no parameter random_state to set"),
        (["--detectors", "knn", "--set", "knn.k=x"], "expected a whole number"),
    ],
)
def test_a_users_mistake_is_one_line_and_code_2(oddgan, table_file, words, said):
    ran = oddgan("compare", table_file, *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert said in ran.err


def test_data_without_labels_is_judged_by_simulated_anomalies(oddgan, tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(size=(60, 3)))
    words = ("compare", "t.npy", "--detectors", "isolationforest,knn", "--seeds", "2", "--trees", "5")
    ran = oddgan(*words, "--markdown", "t.md", "--json", "t.json")
    assert ran.code == 0
    for said in ("12 normal held out", "simulated AUROC", "simulated detected", "No figure is of a true anomaly"):
        assert said in ran.out
    assert "[4/4] knn, seed 1: simulated AUROC " in ran.err
    assert (tmp_path / "t.md").read_text().startswith("# Detectors on t, simulated anomalies\n")
    found = json.loads((tmp_path / "t.json").read_text())
    assert (found["simulated"], found["ranked_by"], found["untried"]) == (True, "of_kinds", {})
    areas = [one["figures"]["of_kinds"]["mean"] for one in found["detectors"]]
    assert areas == sorted(areas, reverse=True)
    assert {run["data"] for run in runs(tmp_path / "t-compare.jsonl")} == {"t, simulated anomalies"}
    again = oddgan(*words)
    assert again.out == ran.out
    assert again.err.count("(done before)") == 4
    ran = oddgan("compare", "t.npy", "--detectors", "knn", "--labels")
    assert ran.code == 2
    assert "no labelled test rows" in ran.err


def test_labels_may_be_left_unseen(oddgan, folder):
    ran = oddgan("compare", folder, "--detectors", "pca,draem", "--seeds", "1", "--updates", "2", "--no-labels")
    assert ran.code == 0
    assert "draem †" in ran.out
    assert "† trains on simulated anomalies of its own" in ran.out
    assert "6 normal held out" in ran.out


def test_a_detector_that_fails_on_every_run_is_code_1(oddgan, table_file):
    words = ("compare", table_file, "--seeds", "1", "--false-alarm-rate", "0.001")
    ran = oddgan(*words, "--detectors", "knn")
    assert ran.code == 1
    assert "knn failed with seed 0: false_alarm_rate=0.001 needs at least 999" in ran.out
    assert "Guessing" not in ran.out  # there are no figures to explain


def test_flags_are_the_parameters_of_all_chosen_detectors():
    classes = [detectors.get(name) for name in ("ganomaly", "isolationforest")]
    found = {flag.name for flag in shared_flags(classes)}
    assert found == {name for cls in classes for name in declared(cls)} - {"random_state"}
    every = {flag.name for flag in shared_flags(detectors.get(name) for name in detectors.names())}
    fixed = {*inspect.signature(compare).parameters, "set", "debug", "quiet", "help"}
    assert not every & fixed


def test_ctrl_c_says_that_it_goes_on(oddgan, table_file, tmp_path, monkeypatch):
    words = ("compare", table_file, "--detectors", "knn,pca", "--seeds", "1", "--results", "r.jsonl")
    fit = PCA.finish
    monkeypatch.setattr(PCA, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    ran = oddgan(*words)
    assert (ran.code, ran.out) == (130, "")
    assert ran.complaint == "oddgan: interrupted; the same command goes on from here"
    monkeypatch.setattr(PCA, "finish", fit)
    assert oddgan(*words).err.count("(done before)") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_comparison_goes_on_where_it_was(oddgan, table_file, tmp_path):
    path = tmp_path / "runs.jsonl"
    words = ["compare", table_file, "--detectors", "knn,ganomaly", "--seeds", "1", "--width", "4", "--updates", "60"]
    words += ["--threads", "1", "--results"]

    def checkpoints():
        return list(tmp_path.glob("runs.jsonl.*.ckpt"))

    killed = subprocess.Popen(
        [sys.executable, "-m", "oddgan", *map(str, words), path, "--checkpoint-seconds", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not checkpoints():
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert [run["detector"] for run in runs(path)] == ["KNN"]

    ran = oddgan(*words, path)
    assert ran.code == 0
    assert "[1/2] knn, seed 0: AUROC" in ran.err
    assert ran.err.count("(done before)") == 1
    assert checkpoints() == []
    assert oddgan(*words, "whole.jsonl").code == 0
    whole, resumed = runs(tmp_path / "whole.jsonl"), runs(path)
    assert [run["facts"]["resumed"] for run in resumed] == [False, True]
    assert resumed[1]["figures"]["seconds_to_train"] is None
    for mine, theirs in zip(resumed, whole, strict=True):
        assert mine["key"] == theirs["key"]
        for name in ("auroc", "auprc", "detected", "false_alarms", "asked"):
            assert mine["figures"][name] == theirs["figures"][name]
