"""oddgan score: results that read back exactly, maps, and nothing half done."""

import csv
import io
import json
import shutil
import sys

import numpy as np
import pytest
from cli_small import picture, pixels
from PIL import Image

import oddgan as package
from oddgan import data
from oddgan.cli import reading
from oddgan.cli.maps import map_path


@pytest.fixture
def spoiled(folder, tmp_path):
    """A copy of the folder with two pictures that cannot be read."""
    copy = tmp_path / "spoiled"
    shutil.copytree(folder, copy)
    (copy / "test/good/bad.png").write_text("no picture")
    whole = (copy / "test/good/000.png").read_bytes()
    (copy / "train/good/cut.png").write_bytes(whole[: len(whole) // 2])
    return copy


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_on_standard_output_reads_back_to_nine_digits(oddgan, model, folder):
    ran = oddgan("score", model, folder)
    assert ran.code == 0
    rows, detector = read(ran.out), package.load(model)
    pictures = data.rows(folder)
    assert [row["path"] for row in rows] == [pictures.name(i) for i in range(len(pictures))]
    found = detector.explain([pictures[i] for i in range(len(pictures))])
    np.testing.assert_allclose([float(row["score"]) for row in rows], found.score, rtol=1e-8)
    np.testing.assert_allclose([float(row["p_value"]) for row in rows], found.p_value, rtol=1e-8)
    assert all(row["score"] == f"{float(row['score']):.9g}" for row in rows)
    assert [row["verdict"] == "anomaly" for row in rows] == found.is_anomaly.tolist()
    assert f"44 rows: {found.is_anomaly.sum()} anomal" in ran.err


def test_parquet_holds_the_same(oddgan, model, folder, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    lines = read(oddgan("score", model, folder).out)
    assert oddgan("score", model, folder, "-o", "new/s.parquet").out == ""
    rows = pq.read_table(tmp_path / "new/s.parquet").to_pylist()
    assert [row["score"] for row in rows] == package.load(model).anomaly_score(data.rows(folder)).tolist()
    text = [{**row, "score": f"{row['score']:.9g}", "p_value": f"{row['p_value']:.9g}"} for row in rows]
    assert text == lines


def test_parquet_without_pyarrow_says_what_to_install(oddgan, model, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    ran = oddgan("score", model, folder, "-o", "s.parquet")
    assert ran.code == 2
    assert 'pip install "oddgan[parquet]"' in ran.err


def test_chunks_change_nothing(oddgan, model, folder, monkeypatch):
    whole = oddgan("score", model, folder).out
    monkeypatch.setattr(reading, "CHUNK_BYTES", 1000)
    assert oddgan("score", model, folder).out == whole


def test_one_picture_and_arrays(oddgan, model, folder, tmp_path):
    of_folder = {row["path"]: row for row in read(oddgan("score", model, folder).out)}
    (alone,) = read(oddgan("score", model, folder / "test/good/001.png").out)
    assert alone == of_folder["test/good/001.png"] | {"path": "001.png"}
    np.save(tmp_path / "a.npy", np.stack([picture(1), picture(2)]))
    assert [row["row"] for row in read(oddgan("score", model, "a.npy", "--maps", "m").out)] == ["0", "1"]
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["0.png", "1.png"]


def test_tables_have_rows_and_no_maps(oddgan, table_model, table_file, monkeypatch):
    rows = read(oddgan("score", table_model, table_file).out)
    assert [row["row"] for row in rows] == [str(i) for i in range(30)]
    monkeypatch.setattr(reading, "TABLE_ROWS", 1)
    table_model_small = oddgan("score", table_model, table_file, "--block-size", "8").out
    assert len(read(table_model_small)) == 30
    ran = oddgan("score", table_model, table_file, "--maps", "maps")
    assert ran.code == 2
    assert "leave out --maps" in ran.err


def test_a_false_alarm_rate_moves_the_verdicts_only(oddgan, model, folder):
    strict, loose = (read(oddgan("score", model, folder, "--false-alarm-rate", r).out) for r in ("0.15", "0.9"))
    assert [row["score"] for row in strict] == [row["score"] for row in loose]
    assert sum(row["verdict"] == "anomaly" for row in strict) < sum(row["verdict"] == "anomaly" for row in loose)
    ran = oddgan("score", model, folder, "--false-alarm-rate", "0.0001")
    assert (ran.code, ran.out) == (2, "")
    assert "calibration rows" in ran.err


def test_fail_on_anomaly(oddgan, model, folder):
    assert oddgan("score", model, folder, "--false-alarm-rate", "0.9", "--fail-on-anomaly").code == 3
    assert oddgan("score", model, folder, "--false-alarm-rate", "0.9").code == 0


def test_unreadable_pictures_stop_it_and_nothing_is_written(oddgan, model, spoiled, tmp_path):
    ran = oddgan("score", model, spoiled, "-o", "s.csv", "--maps", "maps")
    assert (ran.code, ran.out) == (2, "")
    assert "unusable: test/good/bad.png: " in ran.err
    assert "unusable: train/good/cut.png: " in ran.err
    assert "2 of 46 rows cannot be used" in ran.complaint
    assert [p.name for p in tmp_path.iterdir()] == ["spoiled"]
    assert oddgan("score", model, spoiled).out == ""


def test_skip_bad_goes_on_without_them(oddgan, model, spoiled, folder):
    ran = oddgan("score", model, spoiled, "--skip-bad")
    assert ran.code == 4
    rows = read(ran.out)
    bad = {row["path"]: row for row in rows if row["verdict"] == "unusable"}
    assert bad.keys() == {"test/good/bad.png", "train/good/cut.png"}
    assert all(row["reason"] and not row["score"] and not row["p_value"] for row in bad.values())
    assert [row["path"] for row in rows] == [data.rows(spoiled).name(i) for i in range(46)]  # each in its place
    good = [{k: v for k, v in row.items() if k != "reason"} for row in rows if row["path"] not in bad]
    assert good == read(oddgan("score", model, folder).out)
    assert "2 could not be used" in ran.complaint


def test_nothing_but_unreadable_pictures_is_an_error(oddgan, model, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.png").write_text("no picture")
    assert oddgan("score", model, "bad", "--skip-bad").code == 2


def test_another_size_is_refused_by_name_unless_it_is_converted(oddgan, model, tmp_path):
    (tmp_path / "large").mkdir()
    Image.fromarray(np.tile(picture(0), (2, 2))).save(tmp_path / "large/a[x].png")
    ran = oddgan("score", model, "large")
    assert ran.code == 2
    assert ran.err.startswith("oddgan: unusable: a[x].png: 32x24 pixels")
    ran = oddgan("score", model, "large", "--convert", "--maps", "maps")
    assert ran.code == 0
    assert pixels(tmp_path / "maps/a[x].png").shape == (32, 24, 3)


def test_maps_keep_their_places_and_do_not_collide(oddgan, model, tmp_path):
    for name in ("a/1.png", "b/1.png", "b/1.bmp"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(3, scratch=name == "b/1.bmp")).save(tmp_path / "in" / name)
    assert oddgan("score", model, "in", "--maps", "maps").code == 0
    found = {p.relative_to(tmp_path / "maps").as_posix(): p for p in (tmp_path / "maps").rglob("*.png")}
    assert found.keys() == {"a/1.png", "b/1.png", "b/1.bmp.png"}
    shown = {name: pixels(path) for name, path in found.items()}
    assert all(array.shape == (16, 12, 3) for array in shown.values())
    np.testing.assert_array_equal(shown["a/1.png"], shown["b/1.png"])  # one scale for all


def test_a_map_does_not_depend_on_the_other_pictures(oddgan, model, folder, tmp_path):
    assert oddgan("score", model, folder, "--maps", "all").code == 0
    assert oddgan("score", model, folder / "test/scratch/000.png", "--maps", "one").code == 0
    all_, one = tmp_path / "all/test/scratch/000.png", tmp_path / "one/000.png"
    np.testing.assert_array_equal(pixels(all_), pixels(one))
    assert oddgan("score", model, folder / "test/scratch/000.png", "--maps", "one", "--map-scale", "9").code == 0
    assert (pixels(all_) != pixels(one)).any()


def test_map_paths_stay_inside_their_folder():
    assert map_path("../x/a.png").as_posix() == "_up/x/a.png"
    assert map_path("/abs/a.png").as_posix() == "_root/abs/a.png"
    assert map_path(7).as_posix() == "7.png"


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes there only")
def test_names_that_are_not_utf8_come_out_as_they_are(model, folder, tmp_path, capfdbinary):
    from oddgan.cli import main

    (tmp_path / "in").mkdir()
    shutil.copy(folder / "test/good/000.png", tmp_path / "in" / "caf\udce9,1.png")
    assert main(["score", str(model), str(tmp_path / "in")]) == 0
    assert b'\n"caf\xe9,1.png",' in capfdbinary.readouterr().out


def test_a_map_of_a_name_with_two_endings_does_not_collide():
    names = ["a.jpg", "a.jpg.png", "a.png", "a.PNG", "a.png.png"]
    assert len({map_path(name).as_posix() for name in names}) == len(names)


def test_several_sources_and_names_that_say_which(oddgan, model, folder):
    ran = oddgan("score", model, folder / "test/good", folder / "test/scratch/000.png", folder / "test/scratch")
    assert ran.code == 0
    paths = [row["path"] for row in read(ran.out)]
    assert len(paths) == 8 + 1 + 6
    assert paths[0] == (folder / "test/good/000.png").as_posix()
    assert paths[8] == paths[9] == (folder / "test/scratch/000.png").as_posix()


def test_several_tables_have_a_path_and_a_row(oddgan, table_model, table_file, tmp_path):
    shutil.copy(table_file, tmp_path / "again.npz")
    rows = read(oddgan("score", table_model, table_file, "again.npz").out)
    assert [(row["path"], row["row"]) for row in rows[29:31]] == [(str(table_file), "29"), ("again.npz", "0")]


def test_a_source_that_is_missing_stops_it_or_is_a_row(oddgan, model, folder):
    ran = oddgan("score", model, folder / "test/good", "nowhere.png")
    assert (ran.code, ran.out) == (2, "")
    assert "nowhere.png" in ran.complaint
    ran = oddgan("score", model, folder / "test/good", "nowhere.png", "--skip-bad")
    assert ran.code == 4
    (bad,) = [row for row in read(ran.out) if row["verdict"] == "unusable"]
    assert bad["path"] == "nowhere.png"
    assert "no such file" in bad["reason"]
    first = oddgan("score", model, "nowhere.png", folder / "test/good", "--skip-bad")
    assert first.code == 4
    assert sorted(first.out.splitlines()) == sorted(ran.out.splitlines())


def test_json_lines(oddgan, model, folder, tmp_path):
    as_csv = read(oddgan("score", model, folder).out)
    lines = [json.loads(line) for line in oddgan("score", model, folder, "--format", "jsonl").out.splitlines()]
    assert [line["path"] for line in lines] == [row["path"] for row in as_csv]
    assert [f"{line['score']:.9g}" for line in lines] == [row["score"] for row in as_csv]
    oddgan("score", model, folder, "-o", "s.jsonl")
    assert [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()] == lines


def test_a_picture_that_does_not_fit_is_left_out_as_well(oddgan, model, folder, tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    Image.fromarray(picture(1)).save(mixed / "a.png")
    Image.fromarray(np.dstack([picture(2)] * 3)).save(mixed / "colour.png")
    Image.fromarray(picture(3).astype(np.uint16) * 200).save(mixed / "deep.png")
    Image.fromarray(np.tile(picture(4), (2, 2))).save(mixed / "large.png")
    ran = oddgan("score", model, mixed)
    assert ran.code == 2
    assert all(f"unusable: {name}.png" in ran.err for name in ("colour", "deep", "large"))
    ran = oddgan("score", model, mixed, "--skip-bad", "--format", "jsonl")
    assert ran.code == 4
    verdicts = {line["path"]: line for line in map(json.loads, ran.out.splitlines())}
    assert [name for name, line in verdicts.items() if line["verdict"] == "unusable"] == [
        "colour.png",
        "deep.png",
        "large.png",
    ]
    assert verdicts["colour.png"]["score"] is None


@pytest.mark.parametrize("name", ["s.csv", "s.jsonl"])
def test_streamed_results_are_the_same(oddgan, model, folder, tmp_path, name):
    assert oddgan("score", model, folder, "-o", f"whole-{name}").code == 0
    assert oddgan("score", model, folder, "-o", name, "--stream", "--maps", "maps").code == 0
    assert (tmp_path / name).read_text() == (tmp_path / f"whole-{name}").read_text()
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 44
    assert oddgan("score", model, folder, "--stream").out == oddgan("score", model, folder).out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-", "more"), "give it alone"),
        (("-", "--format", "csv"), "is answered in JSON Lines"),
        (("-", "-o", "s.csv"), "is answered in JSON Lines"),
        (("-", "--report", "r.html"), "standard input has none"),
        (("-", "--channels-from", "_a,_b"), "does not take it"),
        ((), "give what to score"),
        (("FOLDER", "--watch", "w", "-o", "s.jsonl"), "not both"),
        (("--watch", "w"), "give --output FILE.jsonl"),
        (("--watch", "w", "-o", "s.csv"), "is answered in JSON Lines"),
        (("--watch", "w", "-o", "s.jsonl", "--poll", "0"), "from 0.01 to 86400"),
        (("--watch", "w", "-o", "s.jsonl"), "no such folder"),
        (("--watch", "w", "-o", "s.jsonl", "--fdr", "0.1"), "chooses among all rows"),
        (("FOLDER", "--once"), "are for --watch"),
        (("FOLDER", "--format", "xml"), "takes csv or jsonl"),
        (("FOLDER", "-o", "s.csv", "--format", "jsonl"), "says otherwise"),
        (("FOLDER", "-o", "s.parquet", "--stream"), "can only be written whole"),
        (("FOLDER", "-o", "s.txt"), "results are .csv, .jsonl or .parquet"),
    ],
)
def test_formats_that_do_not_go_together(oddgan, model, folder, words, says):
    ran = oddgan("score", model, *(folder if word == "FOLDER" else word for word in words))
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.complaint


def test_a_stream_that_cannot_be_written(oddgan, model, folder):
    ran = oddgan("score", model, folder, "-o", "/dev/full/s.csv", "--stream")
    assert ran.code == 2
    assert "nothing can be written" in ran.complaint or "cannot be written" in ran.complaint


def test_unusable_rows_in_parquet(oddgan, model, spoiled, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    assert oddgan("score", model, spoiled, "--skip-bad", "-o", "s.parquet").code == 4
    rows = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert [row["score"] is None for row in rows] == [row["verdict"] == "unusable" for row in rows]
    assert sum(row["reason"] != "" for row in rows) == 2


def test_a_stream_that_stops_has_what_came_before(oddgan, model, spoiled):
    ran = oddgan("score", model, spoiled / "test", "--stream")
    assert ran.code == 2
    names = [row["path"] for row in read(ran.out)]
    assert names == [f"good/{i:03}.png" for i in range(8)]  # then comes good/bad.png
    assert "good/bad.png" in ran.err


@pytest.mark.parametrize("way", ["one picture", "here", "listened", "others"])
def test_maps_never_replace_pictures(oddgan, model, tmp_path, monkeypatch, lines, way):
    for name in ("in/000.png", "good/000.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(picture(1)).save(tmp_path / name)
    before = [(tmp_path / name).read_bytes() for name in ("in/000.png", "good/000.png")]
    words = {
        "one picture": ("in/000.png", "--maps", "in"),
        "here": ("in/000.png", "--maps", "."),
        "listened": ("-", "--maps", "."),
        "others": ("in", "--maps", "good"),
    }[way]
    if way == "here":
        monkeypatch.chdir(tmp_path / "in")
        words = ("000.png", "--maps", ".")
    lines("in/000.png")
    ran = oddgan("score", model, *words)
    assert ran.code == 2
    assert "is no heat map" in ran.complaint
    assert before == [(tmp_path / name).read_bytes() for name in ("in/000.png", "good/000.png")]
    assert oddgan("score", model, tmp_path / "in", "--maps", tmp_path / "maps").code == 0
    assert oddgan("score", model, tmp_path / "in", "--maps", tmp_path / "maps").code == 0  # a map may be written anew
