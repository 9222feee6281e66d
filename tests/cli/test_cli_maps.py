"""oddgan score --maps and --regions: every kind of file under its name, and the values that Python has."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_small import picture, pixels
from PIL import Image

import oddgan as package
from oddgan import data
from oddgan.cli import reading
from oddgan.cli.maps import KINDS, map_path
from oddgan.verdict.regions import MapRegion

OLD = Path(__file__).resolve().parents[1] / "model" / "files"
EVERY = ",".join(KINDS)


@pytest.fixture(scope="module")
def detector(model):
    return package.load(model)


@pytest.fixture
def pictures(tmp_path):
    """A folder of four pictures whose names could be taken for each other's maps."""
    (tmp_path / "in/sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "a.jpg", "a.jpg.png", "sub/b.tiff")):
        Image.fromarray(picture(i, scratch=i != 3)).save(tmp_path / "in" / name, quality=95)
    return tmp_path / "in"


@pytest.fixture(scope="module")
def explained(detector, folder):
    """What Python finds in the test pictures, and their names."""
    rows = data.rows(folder / "test")
    return [rows.name(i) for i in range(len(rows))], detector.explain(rows)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


# --- files ------------------------------------------------------------------------------------------------------------


def test_every_kind_has_its_name(oddgan, model, pictures, tmp_path):
    assert oddgan("score", model, "in", "--maps", "maps", "--map-as", EVERY).code == 0
    bases = ("a", "a.jpg", "a.jpg.png", "sub/b.tiff")
    assert files(tmp_path / "maps") == {base + ending for base in bases for ending in KINDS.values()}
    assert oddgan("score", model, "in/a.png", "--maps", "default").code == 0
    assert files(tmp_path / "default") == {"a.png"}
    for kind, ending in KINDS.items():
        assert oddgan("score", model, "in/a.jpg", "--maps", kind, "--map-as", f" {kind},{kind}").code == 0
        assert files(tmp_path / kind) == {f"a.jpg{ending}"}


def test_values_are_those_of_python(oddgan, model, pictures, tmp_path, detector):
    assert oddgan("score", model, "in", "--maps", "maps", "--map-as", "npy,tiff,mask").code == 0
    rows = data.rows(pictures)
    found = detector.explain(rows)
    for i in range(len(rows)):
        name = rows.name(i)
        heat = np.load(tmp_path / "maps" / map_path(name, "npy"))
        assert (heat.dtype, heat.shape) == (np.float32, (16, 12))
        np.testing.assert_array_equal(heat, detector.anomaly_map(rows)[i])
        tiff = pixels(tmp_path / "maps" / map_path(name, "tiff"))
        assert tiff.dtype == np.float32
        np.testing.assert_array_equal(tiff, heat)
        mask = pixels(tmp_path / "maps" / map_path(name, "mask"))
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, np.where(found.mask(i), 255, 0))
    assert found.is_anomaly.any()
    assert not found.is_anomaly.all()


def test_files_of_values_are_read_like_any_other(oddgan, model, pictures, tmp_path):
    assert oddgan("score", model, "in/a.png", "--maps", "maps", "--map-as", "npy").code == 0
    path = tmp_path / "maps/a.npy"
    heat = np.load(path)
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), heat)
    with path.open("rb") as file:
        np.testing.assert_array_equal(np.load(file), heat)
    np.testing.assert_array_equal(np.asarray(data.rows(path)), heat)  # oddgan's own reader, as a table


def test_overlays_glow_and_panels_show_three_pictures(oddgan, model, pictures, tmp_path, detector):
    assert oddgan("score", model, "in", "--maps", "maps", "--map-as", "overlay,panel,mask").code == 0
    given = pixels(pictures / "a.png")
    shown = pixels(tmp_path / "maps/a.png")
    assert shown.shape == (16, 12, 3)
    mask = pixels(tmp_path / "maps/a_mask.png") > 0
    assert mask.any()
    assert (shown[mask] != given[mask][:, None]).any(-1).mean() > 0.9
    map_ = detector.anomaly_map([given])[0]
    low = map_ < 0.5 * detector.explain([given]).map_threshold
    lined = np.zeros_like(low)  # the line and its rim run beside the mask
    for y, x in np.argwhere(mask):
        lined[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = True
    faint = low & ~lined
    assert faint.any()
    np.testing.assert_array_equal(shown[faint], np.repeat(given[faint][:, None], 3, axis=1))
    panel = pixels(tmp_path / "maps/a_panel.png")
    factor = panel.shape[0] // 16
    assert panel.shape[0] == 16 * factor
    assert panel.shape[1] > 3 * 12 * factor
    first = panel[:, : 12 * factor]
    np.testing.assert_array_equal(first, np.repeat(np.repeat(given, factor, 0), factor, 1)[..., None].repeat(3, 2))


def test_a_panel_shows_the_region_of_interest_in_its_place(oddgan, folder, tmp_path):
    rows = data.rows(folder / "train")
    region = (2, 3, 8, 10)  # left, top, width, height, of 12x16
    det = package.PCA(components=2, roi=region, random_state=0).fit(rows)
    det.save(tmp_path / "r.oddgan")
    given = pixels(folder / "test/scratch/000.png")
    words = ("r.oddgan", folder / "test/scratch/000.png", "--maps", "m", "--map-as", "panel,mask,npy")
    assert oddgan("score", *words).code == 0
    panel = pixels(tmp_path / "m/000_panel.png")
    factor = panel.shape[0] // 16
    start = 12 * factor + 4  # beside the picture and a seam
    made = panel[::factor, start : start + 12 * factor : factor, 0]
    inside = np.zeros((16, 12), bool)
    inside[3:13, 2:10] = True
    (restored,) = det.reconstruct([given])
    assert restored.shape == (10, 8)
    np.testing.assert_array_equal(made[inside].reshape(10, 8), np.clip(np.rint(restored), 0, 255))
    assert not made[~inside].any()
    assert not pixels(tmp_path / "m/000_mask.png")[~inside].any()
    assert (np.load(tmp_path / "m/000.npy")[~inside] <= 0).all()


def test_the_scale_of_colours_changes_overlays_and_no_values(oddgan, model, pictures, tmp_path):
    for scale in ("0.6", "2", "50"):
        words = ("--map-as", "overlay,npy,mask", "--map-scale", scale)
        assert oddgan("score", model, "in/a.png", "--maps", scale, *words).code == 0
    strong, usual, weak = (pixels(tmp_path / scale / "a.png").astype(int) for scale in ("0.6", "2", "50"))
    assert (strong != usual).any()
    assert (usual != weak).any()
    assert len({(tmp_path / scale / "a.npy").read_bytes() for scale in ("0.6", "2", "50")}) == 1
    assert len({(tmp_path / scale / "a_mask.png").read_bytes() for scale in ("0.6", "2", "50")}) == 1
    assert oddgan("score", model, "in/a.png", "--maps", "default").code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "default/a.png"), usual)


def test_the_maps_of_pictures_of_masks_and_panels_do_not_collide(oddgan, model, tmp_path):
    (tmp_path / "in").mkdir()
    names = ("a.png", "a_mask.png", "a_panel.png", "a_mask.png_mask.png", "a.jpg_mask.png", "a.jpg.jpg")
    for i, name in enumerate(names):
        Image.fromarray(picture(i, scratch=True)).save(tmp_path / "in" / name)
    shutil.copy(tmp_path / "in/a.jpg.jpg", tmp_path / "in/a.jpg")
    assert oddgan("score", model, "in", "--maps", "maps", "--map-as", EVERY).code == 0
    assert len(files(tmp_path / "maps")) == 7 * len(KINDS)
    assert map_path("a_mask.png").as_posix() == "a_mask.png.png"
    assert map_path("a.png", "mask").as_posix() == "a_mask.png"


def test_no_source_writes_over_the_maps_of_another(oddgan, model, tmp_path, monkeypatch):
    for i, folder in enumerate(("x", "here/x", "here/_up/x")):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(picture(i, scratch=True)).save(tmp_path / folder / "a.png")
    monkeypatch.chdir(tmp_path / "here")
    places = {"../x/a.png": "_up/x/a.png", "x/a.png": "x/a.png", "_up/x/a.png": "__up/x/a.png"}
    places[f"{tmp_path}/here/x/a.png"] = f"_root{tmp_path}/here/x/a.png"
    assert oddgan("score", model, *places, "--maps", "maps").code == 0
    assert files(tmp_path / "here/maps") == set(places.values())
    for source, place in places.items():  # each has the map that it has when it is alone
        assert oddgan("score", model, source, "--maps", "alone").code == 0
        assert (tmp_path / "here/maps" / place).read_bytes() == (tmp_path / "here/alone/a.png").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_different_names_have_different_maps_inside_the_folder(kind):
    folders = ("", "/", "//", "../", "../../", "_up/", "__up/", "_root/", "/_root/", "up/", "/../", "_up/../", "x/")
    found = {map_path(folder + name, kind) for folder in folders for name in ("a.png", "a.jpg", "a.jpg.png")}
    assert len(found) == 3 * (len(folders) - 1)  # // is the root, too
    assert not any(path.is_absolute() or ".." in path.parts for path in found)


def test_numbers_for_names_in_arrays(oddgan, model, tmp_path):
    np.save(tmp_path / "x.npy", np.stack([picture(1), picture(2, scratch=True)]))
    assert oddgan("score", model, "x.npy", "--maps", "m", "--map-as", EVERY).code == 0
    assert files(tmp_path / "m") == {f"{i}{ending}" for i in range(2) for ending in KINDS.values()}


def test_chunks_and_streams_write_the_same_files(oddgan, model, folder, tmp_path, monkeypatch):
    words = ("score", model, folder / "test", "--regions", "--map-as", "overlay,mask,npy,tiff")
    whole = oddgan(*words, "--maps", "whole")
    streamed = oddgan(*words, "--maps", "streamed", "--stream")
    monkeypatch.setattr(reading, "CHUNK_BYTES", 1000)
    chunked = oddgan(*words, "--maps", "chunked")
    assert whole.code == streamed.code == chunked.code == 0
    assert whole.out == streamed.out == chunked.out
    names = files(tmp_path / "whole")
    assert len(names) == 14 * 4
    for other in ("streamed", "chunked"):
        assert files(tmp_path / other) == names
        for name in names:
            assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / other / name).read_bytes()


def test_a_stream_that_stops_keeps_the_maps_of_what_came_before(oddgan, model, folder, tmp_path, lines):
    good = folder / "test/good/000.png"
    (tmp_path / "bad.png").write_text("no picture")
    for stream, left in (((), set()), (("--stream",), {"000.png"})):
        ran = oddgan("score", model, good, "bad.png", "--maps", "maps", *stream)
        assert ran.code == 2
        assert {Path(name).name for name in files(tmp_path) if name.startswith("maps")} <= left
    lines(good, "bad.png")
    ran = oddgan("score", model, "-", "--maps", "listened", "--map-as", "npy", "--skip-bad", "--regions")
    assert ran.code == 4
    assert ["regions" in json.loads(line) for line in ran.out.splitlines()] == [True, False]
    assert {Path(name).name for name in files(tmp_path) if name.startswith("listened")} == {"000.npy"}


@pytest.mark.parametrize("stream", [(), ("--stream",)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_map_is_never_replaced(oddgan, model, tmp_path, kind, stream):
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    (tmp_path / "maps").mkdir()
    taken = tmp_path / "maps" / map_path("a.png", kind)
    wholes = {
        "npy": [np.save, lambda path, _: path.write_bytes(b"oddgan"), lambda path, _: path.mkdir()],
        "tiff": [lambda path, array: Image.fromarray(array).save(path), lambda path, _: path.write_text("text")],
    }
    for make in wholes.get(kind, [lambda path, array: Image.fromarray(array).save(path), lambda path, _: path.mkdir()]):
        make(taken, picture(5).astype(np.float32) if kind in ("npy", "tiff") else picture(5))
        before = None if taken.is_dir() else taken.read_bytes()
        ran = oddgan("score", model, "a.png", "--maps", "maps", "--map-as", kind, *stream)
        assert ran.code == 2
        assert f"{map_path('a.png', kind)}: is no heat map" in ran.complaint
        assert before == (None if taken.is_dir() else taken.read_bytes())
        assert len(list((tmp_path / "maps").iterdir())) == 1
        taken.rmdir() if taken.is_dir() else taken.unlink()
    for _ in range(2):  # a map may be written anew
        assert oddgan("score", model, "a.png", "--maps", "maps", "--map-as", kind, *stream).code == 0


def test_one_file_in_the_way_leaves_all_others_unwritten(oddgan, model, pictures, tmp_path):
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps/a.npy", np.arange(3))
    assert oddgan("score", model, "in", "--maps", "maps", "--map-as", EVERY, "-o", "s.csv").code == 2
    assert files(tmp_path / "maps") == {"a.npy"}
    assert not (tmp_path / "s.csv").exists()


# --- regions ----------------------------------------------------------------------------------------------------------


def as_text(regions):
    """As the documentation says: LEFT,TOP,WIDTH,HEIGHT VALUE."""
    return "; ".join("{},{},{},{} {:.3g}".format(*one.box, one.value) for one in regions)


def from_json(found):
    box, contour = tuple(found["box"]), tuple(map(tuple, found["contour"]))
    return MapRegion(box, found["area"], tuple(found["peak"]), pytest.approx(found["value"], rel=1e-8), contour)


def test_regions_in_csv_and_json_lines(oddgan, model, folder, explained, tmp_path):
    names, found = explained
    rows = read(oddgan("score", model, folder / "test", "--regions").out)
    assert list(rows[0]) == ["path", "score", "p_value", "verdict", "regions"]
    assert [row["path"] for row in rows] == names
    assert [row["regions"] for row in rows] == [as_text(found.regions(i)) for i in range(len(names))]
    assert all(row["regions"] for row in rows if row["verdict"] == "anomaly")
    assert any(row["verdict"] == "anomaly" for row in rows)
    assert oddgan("score", model, folder / "test", "--regions", "-o", "s.jsonl").code == 0
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    for i, line in enumerate(lines):
        assert all(one.keys() == {"box", "area", "peak", "value", "contour"} for one in line["regions"])
        assert tuple(from_json(one) for one in line["regions"]) == found.regions(i)
        assert sum(one["area"] for one in line["regions"]) == found.mask(i).sum()
    assert [{k: v for k, v in row.items() if k != "regions"} for row in rows] == read(
        oddgan("score", model, folder / "test").out
    )


def test_regions_in_parquet_are_text(oddgan, model, folder, explained, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    names, found = explained
    assert oddgan("score", model, folder / "test", "--regions", "-o", "s.parquet").code == 0
    rows = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert [row["regions"] for row in rows] == [as_text(found.regions(i)) for i in range(len(names))]


def test_regions_follow_the_false_alarm_rate(oddgan, model, folder, detector):
    looser = detector.with_false_alarm_rate(0.9).explain(data.rows(folder / "test"))
    rows = read(oddgan("score", model, folder / "test", "--regions", "--false-alarm-rate", "0.9").out)
    assert [row["regions"] for row in rows] == [as_text(looser.regions(i)) for i in range(len(rows))]
    strict = read(oddgan("score", model, folder / "test", "--regions", "--false-alarm-rate", "0.15").out)
    assert [row["regions"] for row in strict] != [row["regions"] for row in rows]


def test_what_cannot_be_used_has_no_regions(oddgan, model, folder, tmp_path):
    shutil.copytree(folder / "test/scratch", tmp_path / "in")
    (tmp_path / "in/bad.png").write_text("no picture")
    words = ("score", model, "in", "nowhere.png", "--skip-bad", "--regions", "--maps", "maps")
    ran = oddgan(*words, "--format", "jsonl")
    assert ran.code == 4
    lines = {line["path"]: line for line in map(json.loads, ran.out.splitlines())}
    for name in ("in/bad.png", "nowhere.png"):
        assert (lines[name]["verdict"], lines[name]["regions"]) == ("unusable", [])
        assert lines[name]["reason"]
    assert len(files(tmp_path / "maps")) == 6


def test_a_map_that_is_not_finite_is_null_in_json(oddgan, model, folder, monkeypatch):
    from dataclasses import replace

    from oddgan.detector import Detector

    explain = Detector.explain

    def broken(self, X, **how):
        found = explain(self, X, **how)
        heat = np.zeros((16, 12), np.float32)
        heat[3, 4] = np.inf
        return replace(found, anomaly_map=[heat] * len(found.score))

    monkeypatch.setattr(Detector, "explain", broken)
    ran = oddgan("score", model, folder / "test/good/000.png", "--regions", "--format", "jsonl")
    assert ran.code == 0
    (region,) = json.loads(ran.out)["regions"]
    assert (region["box"], region["value"]) == ([4, 3, 1, 1], None)
    ran = oddgan("score", model, folder / "test/good/000.png", "--regions", "--maps", "m", "--map-as", EVERY)
    assert ran.code == 0
    assert read(ran.out)[0]["regions"] == "4,3,1,1 inf"


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--map-as", "overlay,heat"), "--map-as heat: choose among overlay, panel, mask, npy, tiff"),
        (("--map-as", ""), "choose among"),
        (("--map-as", "npy,"), "choose among"),
        (("--map-scale", "0.5"), "--map-scale 0.5: must be a number above 0.5"),
        (("--map-scale", "0"), "must be a number above 0.5"),
        (("--map-scale", "-3"), "must be a number above 0.5"),
        (("--map-scale", "nan"), "must be a number above 0.5"),
        (("--map-scale", "inf"), "must be a number above 0.5"),
        (("--map-scale", "much"), "--map-scale"),
    ],
)
def test_what_makes_no_sense_is_refused(oddgan, model, folder, tmp_path, words, says):
    ran = oddgan("score", model, folder, "--maps", "maps", *words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("--regions",), ("--maps", "m"), ("--maps", "m", "--regions")])
def test_tables_have_neither(oddgan, table_model, table_file, tmp_path, words):
    ran = oddgan("score", table_model, table_file, *words)
    assert (ran.code, ran.out) == (2, "")
    assert f"leave out {words[0]}" in ran.complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("--regions",), ("--maps", "m")])
def test_detectors_that_locate_nothing_have_neither(oddgan, folder, tmp_path, words):
    rows = data.rows(folder / "train")
    package.DCGAN(updates=2, width=4, random_state=0).fit(rows).save(tmp_path / "d.oddgan")
    ran = oddgan("score", "d.oddgan", folder / "test", *words)
    assert (ran.code, ran.out) == (2, "")
    assert f"locates nothing: leave out {words[0]}" in ran.complaint


@pytest.mark.filterwarnings("ignore::oddgan.cautions.DataWarning")
def test_models_of_before_have_maps_without_a_threshold(oddgan, tmp_path):
    pictures = np.load(OLD / "rows.npz")["pictures"]
    np.save(tmp_path / "x.npy", pictures[:2])
    old = OLD / "ganomaly-tiles.oddgan"
    assert oddgan("score", old, "x.npy", "--maps", "m", "--map-as", "overlay,panel,npy,tiff").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "m/0.npy"), package.load(old).anomaly_map(pictures[:2])[0])
    for words in (("--regions",), ("--maps", "n", "--map-as", "npy,mask")):
        ran = oddgan("score", old, "x.npy", *words)
        assert (ran.code, ran.out) == (2, "")
        assert "from before maps had a threshold" in ran.complaint
    assert not (tmp_path / "n").exists()


def test_how_maps_are_written_needs_maps(oddgan, model, folder):
    for words in (["--map-as", "mask"], ["--map-scale", "3"]):
        found = oddgan("score", model, folder, *words)
        assert found.code == 2
        assert "give --maps FOLDER as well" in found.err
