"""oddgan calibrate, and groups and strata of train and score, from end to end."""

import csv
from pathlib import Path

import numpy as np
import pytest
from cli_small import SMALL, picture
from PIL import Image

import oddgan
from oddgan.cli import main


def results():
    with open("s.csv") as file:
        return list(csv.DictReader(file))


PCA = ("--detector", "pca", "--threads", "1")


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Pictures of six days with five clips each, of another camera, and of defects."""
    monkeypatch.chdir(tmp_path)
    for day in range(6):
        (tmp_path / f"parts/day{day}").mkdir(parents=True)
        for i in range(10):
            Image.fromarray(picture(10 * day + i)).save(f"parts/day{day}/clip{i // 2}_{i}.png")
    for folder, first, scratch in (("other", 500, False), ("bad", 900, True)):
        (tmp_path / folder).mkdir()
        for i in range(30):
            Image.fromarray((0.8 * picture(first + i, scratch=scratch) + 30).astype(np.uint8)).save(f"{folder}/{i}.png")


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table in which machine b is louder than machine a."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, n in (("flows", 400), ("new", 200)):
        with open(f"{name}.csv", "w") as file:
            file.write("x,y,machine,batch\n")
            for i in range(n):
                machine = "ab"[i % 2]
                x, y = random.normal(size=2) * (1 if machine == "a" else 6)
                file.write(f"{x:.6f},{y:.6f},{machine},B{i // 4}\n")


def test_another_camera_without_training(parts, capsys):
    assert main(["train", "parts", "--normal", "all", *PCA, "-o", "m.oddgan"]) == 0
    capsys.readouterr()
    asked = ["--defects", "bad", "--false-alarm-rate", "0.1", "--report", "r.md"]
    assert main(["calibrate", "m.oddgan", "other", *asked]) == 0
    shown = capsys.readouterr().out
    for said in (shown, Path("r.md").read_text()):
        assert "30 normal for the calibration" in said
        assert "for training" not in said.partition("guaranteed")[0].partition("Model card")[0]
    before, after = oddgan.load("m.oddgan"), oddgan.load("m-recalibrated.oddgan")
    assert (after.n_calibrate_, after.false_alarm_rate_) == (30, 0.1)
    assert after.threshold_ > before.threshold_
    assert "30 of 30 would be caught" in shown
    assert "at most 10%" in shown
    again = before.recalibrate("other", false_alarm_rate=0.1)
    assert again.threshold_ == after.threshold_


def test_groups_by_folder_and_by_name(parts, capsys):
    assert main(["train", "parts", "--normal", "all", *PCA, "-o", "m.oddgan", "--groups", "folder"]) == 0
    assert oddgan.load("m.oddgan").model_.calibration.describe() == "2 groups of 20 normal rows"
    pattern = "day[0-9]/clip[0-9]"
    assert main(["train", "parts", "--normal", "all", *PCA, "-o", "m.oddgan", "--groups", pattern]) == 0
    assert oddgan.load("m.oddgan").n_calibrate_ == 6
    capsys.readouterr()
    assert main(["train", "parts", "--normal", "all", *PCA, "--groups", "clip("]) == 2
    assert "neither 'folder' nor a regular expression" in capsys.readouterr().err
    assert main(["train", "parts", "--normal", "all", *PCA, "--groups", "shift[0-9]"]) == 2
    assert "day0/clip0_0.png does not match" in capsys.readouterr().err


def test_rows_apart_set_the_threshold(parts):
    assert main(["train", "parts", "--normal", "all", *PCA, "-o", "m.oddgan", "--calibrate", "other"]) == 0
    det = oddgan.load("m.oddgan")
    assert (det.n_calibrate_, det.training_["rows"]) == (30, 60)
    Path("other/broken.png").write_bytes(b"")
    words = ["--calibrate", "other", "--skip-bad"]
    assert main(["train", "parts", "--normal", "all", *PCA, "-o", "m.oddgan", *words]) == 4
    Path("other/broken.png").unlink()
    keyed = ["--calibrate", "other", "--strata", "folder"]
    assert main(["train", "parts", "--normal", "all", *PCA, "-o", "m.oddgan", *keyed]) == 0
    assert oddgan.load("m.oddgan").model_.calibration.strata == (".",)


def test_columns_are_groups_and_strata_and_nothing_else(table, capsys):
    keys = ["--groups", "batch", "--strata", "machine", "--false-alarm-rate", "0.1"]
    assert main(["train", "flows.csv", *PCA, "-o", "m.oddgan", "--components", "1", *keys]) == 0
    det = oddgan.load("m.oddgan")
    assert list(det.feature_names_in_) == ["x", "y"]
    assert det.n_calibrate_ == 20
    assert set(det.model_.calibration.by_stratum) == {"a", "b"}
    capsys.readouterr()
    assert main(["score", "m.oddgan", "new.csv", "--drop", "batch", "--strata", "machine", "-o", "s.csv"]) == 0
    assert "guaranteed: a row of a new group is called an anomaly" in capsys.readouterr().err
    rows = results()
    flagged = np.array([row["verdict"] == "anomaly" for row in rows])
    assert 0 < flagged[0::2].mean() < 0.3
    assert 0 < flagged[1::2].mean() < 0.3
    assert main(["score", "m.oddgan", "new.csv", "--drop", "batch", "--drop", "machine", "-o", "s.csv"]) == 0
    flagged = np.array([row["verdict"] == "anomaly" for row in results()])
    assert not flagged[0::2].any()
    assert main(["score", "m.oddgan", "new.csv", "--strata", "machine"]) == 2
    assert "--drop batch" in capsys.readouterr().err
    assert main(["calibrate", "m.oddgan", "new.csv", "--drop", "batch", "--strata", "machine"]) == 0
    assert set(oddgan.load("m-recalibrated.oddgan").model_.calibration.by_stratum) == {"a", "b"}
    for command in ("score", "calibrate"):
        assert main([command, "m.oddgan", "new.csv", "--drop", "batch", "--drop", "machine", "--strata", "x"]) == 2
        assert "--strata x: the model takes this column as one of its own" in capsys.readouterr().err
    assert main(["train", "flows.csv", *PCA, "--groups", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_pictures_by_strata(parts):
    strata = ["--strata", "day[0-9]", "--false-alarm-rate", "0.3"]
    assert (
        main(["train", "parts", "--normal", "all", *PCA, "-o", "m.oddgan", "--calibrate-fraction", "0.5", *strata]) == 0
    )
    assert main(["score", "m.oddgan", "parts", "--strata", "day[0-9]", "-o", "s.csv", "--maps", "maps"]) == 0
    det, rows = oddgan.load("m.oddgan"), results()
    p = det.p_value([f"parts/{row['path']}" for row in rows], strata=[row["path"][:4] for row in rows])
    np.testing.assert_allclose([float(row["p_value"]) for row in rows], p, rtol=1e-8)


def test_a_model_is_trained_on(parts, capsys):
    small = ("--normal", "all", "--threads", "1")
    assert main(["train", "other", *small[2:], "--detector", "ganomaly", *SMALL, "-o", "m.oddgan"]) == 0
    assert main(["train", "parts", *small, "--continue-from", "m.oddgan", "--updates", "4", "-o", "n.oddgan"]) == 0
    assert oddgan.load("n.oddgan").training_["updates"] == {"game": 5, "game, continued 1": 4}
    capsys.readouterr()
    assert main(["train", "parts", *small, "--continue-from", "m.oddgan", "-o", "n.oddgan"]) == 2
    assert "say for how long" in capsys.readouterr().err
    assert main(["train", "parts", *small, "--continue-from", "m.oddgan", "--width", "4", "-o", "n.oddgan"]) == 2
    assert "--width" in capsys.readouterr().err


def test_defects_have_the_columns_of_the_data(table, capsys):
    assert main(["train", "flows.csv", *PCA, "--drop", "batch", "--drop", "machine", "-o", "m.oddgan"]) == 0
    keyed = ["calibrate", "m.oddgan", "new.csv", "--drop", "batch", "--strata", "machine"]
    Path("bad.csv").write_text("x,y,machine,batch\n90,-90,a,B0\n")
    capsys.readouterr()
    assert main([*keyed, "--defects", "bad.csv"]) == 0
    assert "1 of 1 would be caught" in capsys.readouterr().out
    Path("m-recalibrated.oddgan").unlink()
    assert main([*keyed, "--defects", "nowhere.csv"]) == 2
    assert not Path("m-recalibrated.oddgan").exists()


def test_rows_apart_may_have_the_keys_that_rows_to_train_on_have(table, capsys):
    asked = ["--calibrate", "new.csv", "--drop", "batch", "--strata", "machine", "--false-alarm-rate", "0.1"]
    assert main(["train", "flows.csv", *PCA, "-o", "m.oddgan", *asked]) == 0
    det = oddgan.load("m.oddgan")
    assert list(det.feature_names_in_) == ["x", "y"]
    assert set(det.model_.calibration.by_stratum) == {"a", "b"}
    command = next(line for line in capsys.readouterr().out.splitlines() if "oddgan score" in line)
    assert "--drop batch --drop machine" in command
