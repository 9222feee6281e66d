"""The command line on inputs that users have: days, labelled folders, channels, regions, doubtful tables."""

import json

import numpy as np
import pytest
from cli_small import SMALL, picture
from PIL import Image

import oddgan as package


def fill(folder, names, scratch=False):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(i, scratch=scratch)).save(path)


def test_days_are_all_normal_if_one_says_so(oddgan, tmp_path):
    fill(tmp_path / "days", [f"2024-05-0{d}/{i}.png" for d in (1, 2, 3) for i in range(10)])
    ran = oddgan("train", "days", *SMALL)
    assert ran.code == 2
    assert "--normal 2024-05-01,2024-05-02,2024-05-03, or --normal all" in ran.complaint
    assert oddgan("train", "days", "--normal", "all", *SMALL).code == 0
    assert oddgan("train", "days", "--normal", "2024-05-01,2024-05-02,2024-05-03", "-o", "m.oddgan", *SMALL).code == 0
    assert (
        oddgan("train", "days", "--normal", "2024-05-01", "--normal", "2024-05-02", "-o", "n.oddgan", *SMALL).code == 0
    )


def test_a_labelled_folder_is_judged_whole(oddgan, model, tmp_path):
    fill(tmp_path / "new", [f"good/{i}.png" for i in range(9)])
    fill(tmp_path / "new", [f"bad/{i}.png" for i in range(4)], scratch=True)
    assert oddgan("evaluate", model, "new", "--all-rows", "--json", "e.json").code == 0
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["data"]["rows"] == 13
    assert (found["rates"]["n_normal"], found["rates"]["n_anomalous"]) == (9, 4)
    fill(tmp_path / "only", [f"test/good/{i}.png" for i in range(9)])
    fill(tmp_path / "only", [f"test/hole/{i}.png" for i in range(4)], scratch=True)
    assert oddgan("evaluate", model, "only").code == 0
    ran = oddgan("train", "only", *SMALL)
    assert ran.code == 2
    assert "no normal rows to train on" in ran.complaint


def test_channels_from_several_files(oddgan, tmp_path):
    fill(tmp_path / "parts", [f"{i}_{c}.png" for i in range(24) for c in ("vis", "ir")])
    assert oddgan("train", "parts", "--channels-from", "_vis,_ir", "-o", "m.oddgan", *SMALL).code == 0
    assert package.load("m.oddgan").model_.preprocessor.channels == 2
    ran = oddgan("score", "m.oddgan", "parts", "--channels-from", "_vis,_ir", "--maps", "maps")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 25
    assert (tmp_path / "maps/0.png").exists()
    assert oddgan("score", "m.oddgan", "parts").code == 2


def test_a_region_of_interest(oddgan, folder, tmp_path):
    assert oddgan("train", folder, "--roi", "2,2,9,10", "-o", "m.oddgan", "--report", "r.html", *SMALL).code == 0
    assert "region of 10x9 pixels" in oddgan("info", "m.oddgan").out
    ran = oddgan("train", folder, "--roi", "2,2,90,10", "-o", "n.oddgan", *SMALL)
    assert ran.code == 2
    assert "reaches beyond pictures of 16x12" in ran.complaint


def test_warnings_are_shown_and_kept(oddgan, tmp_path):
    fill(tmp_path / "few", [f"{i}.png" for i in range(8)])
    ran = oddgan("train", "few", *SMALL)
    assert ran.code == 0
    assert "oddgan: warning: the false-alarm rate is 0.33" in ran.err
    assert "false-alarm rate is 0.33" in oddgan("info", "few.oddgan").out
    assert oddgan("--quiet", "train", "few", "-o", "m.oddgan", *SMALL).err == ""


def test_what_differs_is_left_out_by_name(oddgan, tmp_path):
    fill(tmp_path / "mixed", [f"{i}.png" for i in range(24)])
    Image.fromarray(np.dstack([picture(3)] * 3)).save(tmp_path / "mixed/colour.png")
    Image.fromarray(picture(4).astype(np.uint16) * 99).save(tmp_path / "mixed/deep.png")
    assert oddgan("train", "mixed", *SMALL).code == 2
    ran = oddgan("train", "mixed", "--skip-bad", *SMALL)
    assert ran.code == 4
    assert "unusable: colour.png: it is uint8 with 3 channels" in ran.err
    assert "unusable: deep.png: it is uint16 with 1 channel" in ran.err


@pytest.mark.parametrize("cell", ["3050 rpm", "-"])
def test_a_stray_cell(oddgan, tmp_path, cell):
    lines = [f"{20 + i % 7}.5,{cell if i == 50 else 3000 + i % 50}" for i in range(200)]
    (tmp_path / "t.csv").write_text("temp,rpm\n" + "\n".join(lines) + "\n")
    ran = oddgan("train", "t.csv", "--detector", "pca")
    if cell == "-":
        assert ran.code == 0
        assert package.load("t.oddgan").model_.preprocessor.kinds == ("number", "number")
        return
    assert ran.code == 2
    assert "t.csv: line 52, column 'rpm': '3050 rpm' is not a number" in ran.complaint
    assert oddgan("train", "t.csv", "--detector", "pca", "--category", "rpm").code == 0
    assert "line 52" in oddgan("train", "t.csv", "--detector", "pca", "--number", "rpm").complaint
