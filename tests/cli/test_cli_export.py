"""oddgan export, and what oddgan score and info make of an export."""

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_an_export_scores_as_the_model(oddgan, model, exported, folder):
    for name, other in (("model", model), ("export", exported)):
        ran = oddgan("score", other, folder / "test", "-o", f"{name}.csv", "--regions", "--false-alarm-rate", "0.4")
        assert ran.code == 0
    theirs, ours = rows_of("model.csv"), rows_of("export.csv")
    assert [row["path"] for row in ours] == [row["path"] for row in theirs]
    for one, other in zip(theirs, ours, strict=True):
        assert float(one["score"]) == pytest.approx(float(other["score"]), rel=1e-5)
        assert (one["p_value"], one["verdict"]) == (other["p_value"], other["verdict"])
        assert one["regions"].split(" ")[0] == other["regions"].split(" ")[0]


def test_maps_and_streams_of_an_export(oddgan, exported, folder):
    ran = oddgan("score", exported, folder / "test", "--maps", "maps", "--map-as", "overlay,panel,npy", "--stream")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 15
    assert oddgan("score", exported, folder / "test/good/000.png", "--fail-on-anomaly").code in (0, 3)


def test_what_it_prints(oddgan, table_model, table_file):
    ran = oddgan("export", table_model, table_file, "-o", "there")
    assert ran.code == 0
    assert "0 verdicts differ" in ran.out + ran.err
    assert "AUROC" in ran.out + ran.err
    parity = json.loads(Path("there/parity.json").read_text("utf-8"))
    assert parity["rescored"]
    assert parity["labelled"]["rows"] == 30


def test_what_cannot_be_exported(oddgan, model, folder, exported):
    assert "--keep-thresholds" in oddgan("export", model).complaint
    assert "none of these 8 rows" in oddgan("export", model, folder / "test/good").complaint
    assert oddgan("export", model, folder, "--to", "tensorrt").code == 2
    assert "is an export" in oddgan("export", exported, folder).complaint
    assert "is an export" in oddgan("evaluate", exported, folder).complaint
    assert "computed on the CPU" in oddgan("score", exported, folder, "--device", "cuda").complaint
    assert "export it with --convert" in oddgan("score", exported, folder, "--convert").complaint


def test_info_of_an_export(oddgan, exported):
    ran = oddgan("info", exported)
    assert ran.code == 0
    assert "GANomaly, exported to onnx in float32" in ran.out
    assert json.loads(oddgan("info", exported, "--json").out)["runtime"] == "onnx"
