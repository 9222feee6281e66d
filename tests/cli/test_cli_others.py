"""oddgan evaluate, generate, info, datasets and demo."""

import csv
import json

import numpy as np
from cli_small import SMALL, pixels

import oddgan as package
from oddgan.training import budget


def test_evaluate_prints_figures_and_writes_reports(oddgan, model, folder, tmp_path):
    files = ("--report", "r/r.html", "--json", "r/r.json", "--markdown", "r/r.md")
    ran = oddgan("evaluate", model, folder, *files)
    assert ran.code == 0
    for said in (
        "AUROC",
        "AUPRC",
        "95% interval",
        "chance",
        "scratch",
        "pixel AUROC",
        "false-alarm rate",
        "At the threshold set for",
    ):
        assert said in ran.out
    assert len(json.loads((tmp_path / "r/r.json").read_text())["rows"]) == 14
    assert "# GANomaly on parts" in (tmp_path / "r/r.md").read_text()
    assert "<html" in (tmp_path / "r/r.html").read_text()
    assert ran.err.splitlines() == [f"written: r/r.{ending}" for ending in ("html", "json", "md")]


def test_evaluate_takes_classes(oddgan, tmp_path):
    assert oddgan("train", "digits", "--anomaly", "1", *SMALL, "-o", "d.oddgan").code == 0
    ran = oddgan("evaluate", "d.oddgan", "digits", "--anomaly", "1", "--false-alarm-rate", "0.1")
    assert ran.code == 0
    assert "At the threshold set for 10% false alarms" in ran.out


def test_evaluate_needs_test_rows(oddgan, table_model, tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(size=(30, 4)))
    ran = oddgan("evaluate", table_model, "t.npy")
    assert ran.code == 2
    assert "use oddgan score" in ran.err


def test_evaluate_refuses_unreadable_pictures(oddgan, model, folder, tmp_path):
    for part, word in (("train/good", "normal"), ("test/scratch", "abnormal")):
        (tmp_path / "d" / word).mkdir(parents=True)
        for path in (folder / part).iterdir():
            (tmp_path / "d" / word / path.name).write_bytes(path.read_bytes())
    (tmp_path / "d/abnormal/bad.png").write_text("no picture")
    ran = oddgan("evaluate", model, "d")
    assert ran.code == 2
    assert "unusable: abnormal/bad.png: " in ran.err
    assert oddgan("evaluate", model, "d", "--skip-bad").code == 4


def test_generate_enlarges_small_pictures_into_a_grid(oddgan, model):
    ran = oddgan("generate", model, "-n", "5")
    assert (ran.code, ran.out) == (0, "5 new pictures: generated.png\n")
    sheet = pixels("generated.png")
    assert sheet.shape == (2 * (16 * 8 + 4) + 4, 3 * (12 * 8 + 4) + 4)
    assert (sheet[4:12, 4:12] == sheet[4, 4]).all()  # one pixel, 8 times as large
    assert (sheet[-8:, -8:] == 255).all()  # the sixth place is empty
    first = sheet.copy()
    assert oddgan("generate", model, "-n", "5", "--seed", "1", "-o", "other.png").code == 0
    assert (pixels("other.png") != first).any()


def test_generate_writes_rows_of_a_table(oddgan, table_model, tmp_path):
    ran = oddgan("generate", table_model, "-n", "3")
    assert ran.code == 0
    head, *rows = csv.reader(ran.out.splitlines())
    assert head == [f"column {i}" for i in range(4)]
    expected = package.load(table_model).generate(3, random_state=0)
    np.testing.assert_array_equal(np.array(rows, float), expected)
    assert oddgan("generate", table_model, "-n", "3", "-o", "g.csv").code == 0
    assert (tmp_path / "g.csv").read_text() == ran.out
    assert "give a .csv file" in oddgan("generate", table_model, "-o", "g.png").err


def test_info_says_what_a_model_is(oddgan, model):
    said = oddgan("info", model).out
    for word in ("GANomaly", "16x12 grey", "normal rows held out", "batch_size", "torch", "5 updates"):
        assert word in said
    facts = json.loads(oddgan("info", model, "--json").out)
    assert facts["detector"] == "GANomaly"
    assert facts["parameters"]["width"] == 4
    assert facts["history"]["update"][-1] == 5


def test_info_refuses_a_damaged_model(oddgan, model, tmp_path):
    content = bytearray(model.read_bytes())
    content[-300] ^= 1
    (tmp_path / "damaged.oddgan").write_bytes(content[: len(content) // 2])
    ran = oddgan("info", "damaged.oddgan")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "damaged.oddgan" in ran.err


def test_datasets_lists_what_is_there_and_how_to_get_the_rest(oddgan, monkeypatch, folder):
    ran = oddgan("datasets")
    assert ran.code == 0
    assert "digits" in ran.out
    assert "ODDGAN_DATA" in ran.out
    assert "how to get it" in ran.out
    monkeypatch.setenv("ODDGAN_DATA", str(folder.parent))
    found = oddgan("datasets").out.partition("how to get it")[0]
    assert "parts" in found


def test_demo(oddgan, monkeypatch, tmp_path):
    monkeypatch.setattr(budget, "UPDATES_AT_LEAST", 5)
    monkeypatch.setattr(budget, "EPOCHS_BY_DEFAULT", 0)
    ran = oddgan("demo", "-o", "out")
    assert ran.code == 0
    for said in ("AUROC", "AUPRC", "chance", "false alarms", "out/report.html", "out/maps.png", "oddgan evaluate out"):
        assert said in ran.out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "digits.oddgan",
        "maps.png",
        "report.html",
        "scores.csv",
    ]
    assert len((tmp_path / "out/scores.csv").read_text().splitlines()) == 503


def test_datasets_writes_a_drawn_set(oddgan, tmp_path):
    ran = oddgan("datasets", "tissue", "-o", "sections")
    assert (ran.code, ran.err) == (0, "")
    assert "oddgan train sections -o tissue.oddgan" in ran.out
    assert len(list((tmp_path / "sections/train/good").iterdir())) == 400
    assert len(list((tmp_path / "sections/ground_truth/fluid").iterdir())) == 20
    ran = oddgan("datasets", "flows", "-o", "flows.csv")
    assert "oddgan train flows.csv --label class --normal benign -o flows.oddgan" in ran.out
    assert (tmp_path / "flows.csv").read_text("utf-8").startswith("duration,protocol,service,")
    for words, said in (
        (("tissue", "-o", "sections"), "sections: is there already"),
        (("digits", "-o", "digits"), "digits: is not drawn by oddgan"),
        (("washers",), "oddgan datasets washers -o FOLDER"),
        (("-o", "parts"), "oddgan datasets washers -o parts"),
    ):
        ran = oddgan("datasets", *words)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.complaint
