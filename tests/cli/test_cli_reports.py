"""--report of every command that has it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from cli_small import SMALL

REPORTS = ("--report", "r/r.html", "--report", "r/r.json", "--report", "r/r.md")


def written(folder):
    """The keys of the JSON, the page and the Markdown that REPORTS name; the same command is in each."""
    keys = json.loads((folder / "r/r.json").read_text())
    page, text = ((folder / f"r/r.{ending}").read_text() for ending in ("html", "md"))
    (command,) = keys["commands"]
    assert command in text
    assert page.startswith("<!doctype html>")
    return keys, page, text


def test_score_reports_verdicts_drift_and_where(oddgan, model, folder, tmp_path):
    shutil.copytree(folder / "test/scratch", tmp_path / "new/a b")
    ran = oddgan("score", model, "new", "-o", "s.csv", *REPORTS)
    assert ran.code == 0
    assert [line for line in ran.err.splitlines() if line.startswith("written: r/")] == [
        f"written: r/r.{ending}" for ending in ("html", "json", "md")
    ]
    keys, page, text = written(tmp_path)
    assert keys["commands"] == [f"oddgan score {model} new -o s.csv {' '.join(REPORTS)}"]
    scores = pd.read_csv(tmp_path / "s.csv")
    assert keys["schema"] == "oddgan.scores"
    assert [row["name"] for row in keys["rows"]] == scores.path.to_list()
    np.testing.assert_allclose([row["score"] for row in keys["rows"]], scores.score, rtol=1e-8)
    assert [row["is_anomaly"] for row in keys["rows"]] == (scores.verdict == "anomaly").to_list()
    assert keys["drift"]["rows"] == 6
    assert "Are these rows like the training rows?" in text
    assert page.count("<figure data-item") == 6
    assert page.count('data-what="heat map"') == 6


def test_score_reports_what_could_not_be_used_and_a_discovery_rate(oddgan, model, folder, tmp_path):
    shutil.copytree(folder / "test/good", tmp_path / "new")
    (tmp_path / "new/bad.png").write_text("no picture")
    assert oddgan("score", model, "new", "-o", "s.csv", "--skip-bad", "--fdr", "0.2", *REPORTS).code == 4
    keys, _, text = written(tmp_path)
    assert [one["name"] for one in keys["skipped"]] == ["bad.png"]
    assert (keys["fdr"], len(keys["rows"])) == (0.2, 8)
    assert all(row["q_value"] is not None for row in keys["rows"])
    assert "false discovery rate of 20%" in text
    assert "## Left out" in text


def test_score_reports_several_tables_and_further_rates(oddgan, table_model, table_file, tmp_path):
    np.savez(tmp_path / "t.npz", X=np.zeros((3, 4)))
    ran = oddgan("score", table_model, table_file, "t.npz", "-o", "s.csv", "--false-alarm-rate", "0.1,0.2", *REPORTS)
    assert ran.code == 0
    keys, page, text = written(tmp_path)
    assert keys["data"] == {"name": "flows and 1 more", "note": "33 rows without labels", "rows": 33}
    assert keys["rows"][-1]["name"] == "t.npz: row 2"
    assert keys["at_rates"] == [{"rate": 0.2, "anomalies": sum(row["p_value"] <= 0.2 for row in keys["rows"])}]
    assert "<img" not in page
    assert "column " in text.partition("### Most anomalous rows")[2]


def test_train_reports_a_training_with_and_without_a_test(oddgan, folder, tmp_path):
    assert oddgan("train", folder, "-o", "m.oddgan", *SMALL, *REPORTS).code == 0
    keys, page, text = written(tmp_path)
    assert keys["schema"] == "oddgan.training"
    assert len(keys["evaluation"]["rows"]) == 14
    assert keys["health"]
    assert "rows to train on say little" in text.partition("## ")[0]
    assert "Figures on the test rows" in page
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(size=(40, 3)))
    assert oddgan("train", "t.npy", "--detector", "knn", "-o", "k.oddgan", *REPORTS).code == 0
    keys, _, text = written(tmp_path)
    assert keys["evaluation"] is None
    assert "## Calibration" in text


def test_evaluate_reports_what_its_own_flags_do(oddgan, model, folder, tmp_path):
    assert oddgan("evaluate", model, folder, *REPORTS, "--json", "e.json").code == 0
    keys, page, _ = written(tmp_path)
    assert keys["latent_map"]["rows"] == list(range(14))
    assert {one["group"] for one in keys["examples"]} >= {"most anomalous", "most normal", "random"}
    assert page.count('<path d="') + page.count('<circle cx="') >= 14
    own = json.loads((tmp_path / "e.json").read_text())
    assert {**own, "commands": None} == {**keys, "commands": None}


def test_calibrate_reports_before_and_after(oddgan, model, folder, tmp_path):
    defects = folder / "test/scratch"
    ran = oddgan("calibrate", model, folder / "test/good", "-o", "n.oddgan", "--defects", defects, *REPORTS)
    assert ran.code == 0
    keys, _, text = written(tmp_path)
    assert keys["schema"] == "oddgan.calibration"
    assert len(keys["after"]["scores"]) == 8
    assert keys["defects"]["n"] == 6
    assert "| of the new rows flagged |" in text


def test_compare_reports_with_and_without_labels(oddgan, folder, tmp_path):
    assert (
        oddgan("compare", folder, "--detectors", "knn,pca", "--seeds", "1", "--results", "c.jsonl", *REPORTS).code == 0
    )
    keys, page, text = written(tmp_path)
    assert keys["schema"] == "oddgan.comparison"
    assert "mean grey alone" in text
    assert page.count('class="contender"') >= 4
    flags = ("--detectors", "knn", "--seeds", "1", "--no-labels", "--results", "d.jsonl")
    assert oddgan("compare", folder, *flags, *REPORTS).code == 0
    assert "Kinds of simulated anomalies" in written(tmp_path)[2]


@pytest.mark.parametrize("place", ["r.pdf", "m.oddgan"])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(oddgan, folder, tmp_path, place):
    ran = oddgan("train", folder, "-o", "m.oddgan", *SMALL, "--report", place)
    assert ran.code == 2
    assert "give a name that ends so" in ran.complaint
    ran = oddgan("train", folder, "-o", "m.html", *SMALL, "--report", "m.html")
    assert ran.code == 2
    assert "also writes" in ran.complaint
    assert list(tmp_path.iterdir()) == []
