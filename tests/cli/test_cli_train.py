"""oddgan train: flags, what it says, checkpoints."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_small import SMALL, picture
from PIL import Image

import oddgan as package
from oddgan.cli import train
from oddgan.cli.flags import flags, parsed, written
from oddgan.detectors import names
from oddgan.parameters import declared


@pytest.mark.parametrize("name", names())
def test_every_declared_parameter_is_a_flag_and_its_default_comes_back(name):
    cls = train.named(name)
    made = {p.name: p.default for p in flags(cls)}
    assert made.keys() == declared(cls).keys()
    kept = parsed(cls, made)
    for one, declaration in declared(cls).items():
        assert one == "random_state" or kept.get(one) == declaration.default


@pytest.mark.parametrize("name", names())
def test_no_parameter_has_the_name_of_another_flag(name):
    inspect.signature(train.command(["train", "--detector", name]))  # refuses names that occur twice


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("size", "64x48", (64, 48)),
        ("size", "32", 32),
        ("size", "none", None),
        ("value_range", "0,4095", (0.0, 4095.0)),
        ("lr", "G=2e-4,D=1e-4", {"G": 2e-4, "D": 1e-4}),
        ("false_alarm_rate", "auto", "auto"),
        ("false_alarm_rate", "0.05", 0.05),
    ],
)
def test_flags_take_what_parameters_take(flag, text, value):
    assert parsed(package.GANomaly, {flag: text}).get(flag) == value
    assert parsed(package.GANomaly, {flag: written(value)}).get(flag) == value


def test_help_shows_parameters_with_their_defaults(oddgan, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    said = oddgan("train", "--help", "--detector=GANomaly").out
    for name in declared(package.GANomaly):
        assert f"--{name.replace('_', '-')}" in said
    assert "[default: 64]" in said


def test_a_folder_becomes_a_model_and_what_was_done_is_said(oddgan, folder, tmp_path):
    ran = oddgan("train", folder, *SMALL, "--w-con", "7", "--random-state", "3", "--report", "out/report.html")
    assert ran.code == 0
    for said in ("MVTec AD layout: 30 normal for training", "16x12 grey", "5 updates", "normal rows held out"):
        assert said in ran.out
    for said in ("AUROC", "AUPRC", "chance", "false alarms", "out/report.html", "oddgan score parts.oddgan"):
        assert said in ran.out
    detector = package.load("parts.oddgan")
    assert (detector.w_con, detector.random_state, detector.width) == (7.0, 3, 4)
    assert (tmp_path / "out/report.html").read_text().lstrip().lower().startswith("<!doctype html>")
    assert [line for line in ran.err.splitlines() if not line.startswith("oddgan: warning: ")] == []


def test_the_checkpoint_is_gone_after_success(oddgan, folder, tmp_path):
    assert oddgan("train", folder, *SMALL, "-o", "m.oddgan", "--checkpoint-seconds", "0").code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["m.oddgan"]


def test_an_interrupted_run_needs_a_word(oddgan, folder, tmp_path):
    words = ("train", folder, *SMALL, "-o", "m.oddgan")
    (tmp_path / "m.oddgan.ckpt").write_bytes(b"left behind")
    ran = oddgan(*words)
    assert ran.code == 2
    assert "--resume" in ran.err
    assert "--fresh" in ran.err
    ran = oddgan(*words, "--resume")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "not an oddgan checkpoint" in ran.err
    assert oddgan(*words, "--fresh").code == 0
    ran = oddgan(*words, "--resume")
    assert ran.code == 0
    assert "starting anew" in ran.err


def test_ctrl_c_says_how_to_go_on(oddgan, folder, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit", interrupted)
    words = ("train", folder, *SMALL, "-o", "a b.oddgan")
    assert oddgan(*words) == (130, oddgan(*words).out, oddgan(*words).err)
    assert "nothing is kept" in oddgan(*words).err
    (tmp_path / "a b.oddgan.ckpt").write_bytes(b"")
    ran = oddgan(*words, "--resume")
    assert ran.code == 130
    assert ran.err.count("\n") == 1
    assert f"go on with: oddgan train {folder} {' '.join(SMALL)} -o 'a b.oddgan' --resume" in ran.err


def test_an_option_is_no_file_name(oddgan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).normal(size=(40, 3)))
    ran = oddgan("train", "rows.npy", "-o", "--quick", *SMALL)
    assert ran.code == 2
    assert "--quick: stands where the name of a file is expected" in ran.err


@pytest.mark.parametrize(
    "flags",
    [
        ("-o", "rows.npy"),
        ("-o", "m.oddgan", "--checkpoint", "rows.npy", "--fresh"),
        ("-o", "m.html", "--report", "m.html"),
    ],
)
def test_outputs_replace_neither_the_data_nor_each_other(oddgan, flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).normal(size=(40, 3)))
    before = Path("rows.npy").read_bytes()
    ran = oddgan("train", "rows.npy", *flags, *SMALL)
    assert ran.code == 2
    assert "would replace what the command reads or also writes" in ran.err
    assert Path("rows.npy").read_bytes() == before


def test_unreadable_pictures_are_found_before_training(oddgan, tmp_path, monkeypatch):
    place = tmp_path / "mixed [b]"
    place.mkdir()
    for i in range(24):
        Image.fromarray(picture(i)).save(place / f"{i}.png")
    for i in range(12):
        (place / f"text{i:02}.png").write_text("no picture")
    with monkeypatch.context() as patch:
        patch.setattr("oddgan.training.run", None)  # would fail
        ran = oddgan("train", place, *SMALL)
    assert ran.code == 2
    assert ran.err.count("\n") == 12  # ten named, the others counted, the error
    assert "unusable: text00.png: " in ran.err
    assert "and 2 more" in ran.err
    assert "12 of 36 rows cannot be used" in ran.complaint
    ran = oddgan("train", place, *SMALL, "--skip-bad", "-o", "m.oddgan")
    assert ran.code == 4
    assert all(f"unusable: text{i:02}.png: " in ran.err for i in range(12))  # nothing is absent in silence
    detector = package.load("m.oddgan")
    assert detector.training_["rows"] + detector.n_calibrate_ <= 24


def test_a_table_becomes_a_model(oddgan, table_file):
    ran = oddgan("train", table_file, *SMALL)
    assert ran.code == 0
    assert "tables of 4 columns" in ran.out
    assert "oddgan generate flows.oddgan -o generated.csv" in ran.out
    assert package.load("flows.oddgan").n_features_in_ == 4


def test_a_detector_without_training_goes_all_the_way(oddgan, folder, tmp_path):
    ran = oddgan(
        "train", folder, "--detector", "isolationforest", "--trees", "9", "-o", "m.oddgan", "--report", "r.html"
    )
    assert ran.code == 0
    assert all(line.startswith("oddgan: warning: ") for line in ran.err.splitlines())
    assert "IsolationForest on 24 rows in" in ran.out
    assert "generate" not in ran.out  # it has nothing to draw from
    assert "--maps" not in ran.out  # it locates nothing
    assert "<html" in (tmp_path / "r.html").read_text()
    told = oddgan("info", "m.oddgan")
    assert (told.code, told.err) == (0, "")
    assert "on 24 rows; cpu" in told.out
    assert oddgan("evaluate", "m.oddgan", folder).code == 0
    assert len(oddgan("score", "m.oddgan", folder).out.splitlines()) == 1 + 44
    ran = oddgan("score", "m.oddgan", folder, "--maps", "maps")
    assert (ran.code, ran.complaint) == (2, "oddgan: error: IsolationForest locates nothing: leave out --maps")
    assert not (tmp_path / "maps").exists()


def test_tensorboard_gets_the_losses(oddgan, table_file, tmp_path):
    assert oddgan("train", table_file, *SMALL, "--tensorboard", "logs").code == 0
    assert list((tmp_path / "logs").glob("events*"))


def test_auto_tries_several_and_trains_the_best(table_file, tmp_path):
    words = ["train", table_file, "--detector", "auto", "-o", "m.oddgan", *SMALL]
    ran = subprocess.run(
        [sys.executable, "-m", "oddgan", *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    for said in ("simulated AUROC", "ganomaly (recommended)", "isolationforest", "No figure is of a true anomaly"):
        assert said in ran.stdout
    chosen = next(line for line in ran.stdout.splitlines() if line.startswith("detector ") and "chosen in" in line)
    assert "] pca: simulated AUROC " in ran.stderr
    detector = package.load(tmp_path / "m.oddgan")
    assert chosen.split()[1] == type(detector).__name__.lower()
    assert getattr(detector, "updates", 5) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["m.oddgan"]


def test_an_interrupted_run_goes_on_with_what_was_chosen(oddgan, table_file, tmp_path, monkeypatch):
    def choose(split, **how):
        one = package.GANomaly(updates=5, width=4, random_state=1)
        return package.Choice(name="one", detector=one, comparison=found, seconds=1.0)

    found = package.compare(np.random.default_rng(0).normal(size=(40, 3)), ["knn"], seeds=(0,))
    monkeypatch.setattr("oddgan.choosing.choose", choose)
    words = ("train", table_file, "--detector", "auto", "-o", "m.oddgan", "--checkpoint-seconds", "0", "--threads", "1")
    save = package.Detector.save
    monkeypatch.setattr(package.Detector, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert oddgan(*words).code == 130
    assert (tmp_path / "m.oddgan.ckpt.choice").exists()
    monkeypatch.setattr(package.Detector, "save", save)
    monkeypatch.setattr("oddgan.choosing.choose", None)  # would fail
    ran = oddgan(*words, "--resume")
    assert (ran.code, "one, chosen before" in ran.out) == (0, True)
    assert package.load("m.oddgan").random_state == 1
    assert [p.name for p in tmp_path.iterdir()] == ["m.oddgan"]


def test_minutes_to_choose_are_for_auto(oddgan, table_file):
    ran = oddgan("train", table_file, "--minutes-to-choose", "1")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "--minutes-to-choose: is for --detector auto" in ran.err
