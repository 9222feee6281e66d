"""Pictures in tar archives: found once, read from their places, the same as loose files; names in little memory."""

import io
import tarfile
import tracemalloc

import numpy as np
import pytest
from PIL import Image

import oddgan
from oddgan.cautions import DataWarning
from oddgan.errors import DataError, OutputError
from oddgan.rows import open_rows, tar_index
from oddgan.rows.names import Names
from oddgan.rows.places import identity
from oddgan.rows.scan import scan


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/tars"


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (12, 10), dtype=np.uint8)


def png(seed):
    out = io.BytesIO()
    Image.fromarray(picture(seed)).save(out, "png")
    return out.getvalue()


def shard(path, members):
    """An archive of files (bytes) and of links (type, what they lead to)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                about.type, about.linkname = content
                tar.addfile(about)
            else:
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    return path


def shards(root, n=24, each=8, classes=False):
    for start in range(0, n, each):
        members = {}
        for i in range(start, start + each):
            members[f"{i:04}.png"] = png(i)
            members[f"{i:04}.json"] = b"{}"
            if classes:
                members[f"{i:04}.cls"] = b"1" if i % 6 == 0 else b"0\n"
        shard(root / f"s-{start // each:06}.tar", members)
    return root


def test_pictures_of_shards_in_their_order(tmp_path):
    rows = open_rows(shards(tmp_path / "shards"))
    assert len(rows) == 24
    assert rows.name(9) == "s-000001.tar/0009.png"
    for i in (0, 9, 23):
        np.testing.assert_array_equal(rows[i][..., 0], picture(i))
    assert rows.header(9) == (12, 10, 1, "uint8")
    assert rows.file_size(9) == len(png(9))
    some = rows.some(np.array([23, 2]))
    assert [some.name(i) for i in range(2)] == ["s-000002.tar/0023.png", "s-000000.tar/0002.png"]
    np.testing.assert_array_equal(some[0][..., 0], picture(23))


@pytest.mark.parametrize(("name", "count"), [("s-000001.tar", 8), ("s-{000000..000001}.tar", 16)])
def test_one_shard_or_a_range(tmp_path, name, count):
    root = shards(tmp_path / "shards")
    assert len(oddgan.data.rows(root / name)) == count
    assert len(oddgan.data.load(str(root / name)).train) == count


def test_the_same_model_as_from_loose_files(tmp_path):
    root = shards(tmp_path / "shards")
    (tmp_path / "loose").mkdir()
    for i in range(24):
        (tmp_path / f"loose/{i:04}.png").write_bytes(png(i))
    det = [
        oddgan.PCA(components=3, random_state=0).fit(oddgan.data.load(source).train)
        for source in (root, tmp_path / "loose")
    ]
    np.testing.assert_array_equal(det[0].anomaly_score(root), det[1].anomaly_score(tmp_path / "loose"))


def test_classes_beside_pictures(tmp_path):
    root = shards(tmp_path / "shards", classes=True)
    split = oddgan.data.load(root, normal=["0"])
    assert split.labels.sum() == 4
    assert len(split.train) == 16
    assert set(split.kinds) == {"0", "1"}
    np.testing.assert_array_equal(split.labels, np.array(split.kinds) == "1")
    assert len(oddgan.data.load(root, normal=["0", "1"]).train) == 24
    assert len(oddgan.data.load(root, normal=["0"], all_rows=True).test) == 24
    shard(root / "s-000009.tar", {"x.png": png(1)})
    with pytest.raises(DataError, match=r"s-000009\.tar: beside the picture x there is no x\.cls"):
        oddgan.data.load(root, normal=["0"])


def test_a_shard_is_looked_through_once(tmp_path, monkeypatch):
    root = shards(tmp_path / "shards", classes=True)
    open_rows(root)
    looked = []
    look = tar_index._members
    monkeypatch.setattr(tar_index, "_members", lambda path: looked.append(path.name) or look(path))
    assert len(open_rows(root)) == 24
    assert len(oddgan.data.load(root, normal=["0"]).train) == 16
    assert not looked
    shard(root / "s-000001.tar", {"new.png": png(99)})
    rows = open_rows(root)
    assert looked == ["s-000001.tar"]
    np.testing.assert_array_equal(rows[8][..., 0], picture(99))


def test_broken_shards_are_named(tmp_path):
    whole = shards(tmp_path / "shards") / "s-000000.tar"
    content = whole.read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(content[: len(content) // 2 + 600])
    with pytest.raises(DataError, match=r"cut\.tar: is damaged or no tar archive \(after 000\d\.(png|json): "):
        open_rows(cut)
    cut.write_bytes(b"no archive" * 200)
    with pytest.raises(DataError, match=r"cut\.tar: is damaged or no tar archive \(after its beginning"):
        open_rows(cut)
    with tarfile.open(tmp_path / "packed.tar", "w:gz") as tar:
        tar.add(whole, "x.png")
    with pytest.raises(DataError, match=r"packed\.tar: is compressed"):
        open_rows(tmp_path / "packed.tar")
    with pytest.raises(DataError, match=r"none\.tar: cannot be read"):
        open_rows(tmp_path / "none.tar")
    with pytest.raises(DataError, match="no pictures in it"):
        open_rows(shard(tmp_path / "texts.tar", {"a.txt": b"a"}))
    bad = shard(tmp_path / "bad.tar", {"a.png": png(0), "b.png": png(1)[:60]})
    with pytest.raises(DataError, match=r"bad\.tar/b\.png: the file is truncated"):
        open_rows(bad)[1]


def test_no_damage_is_taken_for_the_end(tmp_path):
    content = shard(tmp_path / "whole.tar", {f"{i}.png": png(i) for i in range(3)}).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        begins = [one.offset for one in tar]
        end = tar.offset
    assert not any(content[end:])
    bad = tmp_path / "bad.tar"
    damaged = bytearray(content)
    damaged[begins[1] + 20] ^= 4  # in the name of 1.png
    blank = content[: begins[1]] + bytes(512) + content[begins[1] + 512 :]
    for broken, last in [
        (bytes(damaged), 0),
        (blank, 0),
        (content[: begins[2]], 1),
        (content[: begins[2] + 100], 1),
        (content[:end], 2),
        (content + content, 2),
    ]:
        bad.write_bytes(broken)
        with pytest.raises(DataError, match=rf"bad\.tar: is damaged or no tar archive \(after {last}\.png: "):
            open_rows(bad)
    bad.write_bytes(content[: end + 1024])  # writers need not fill the last record
    assert len(open_rows(bad)) == 3


def test_a_cache_that_cannot_be_written_says_which_variable(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / "file"))
    shards(tmp_path / "in", 2)
    with pytest.raises(OutputError, match="set ODDGAN_CACHE to a writable folder"):
        open_rows(tmp_path / "in")


def names_in(path):
    rows = oddgan.data.rows(path)
    return [rows.name(i).partition(".tar/")[2] for i in range(len(rows))]


def test_masks_in_archives_are_no_pictures(tmp_path):
    mvtec = {f"./b/{part}.png": png(0) for part in ("train/good/0", "test/cut/0", "ground_truth/cut/0_mask")}
    assert names_in(shard(tmp_path / "m.tar", mvtec)) == ["b/train/good/0.png", "b/test/cut/0.png"]
    beside = {"a.jpg": png(0), "a.mask.png": png(1), "b.mask.png": png(2), "c.0.1.png": png(3), "d/a.seg.png": png(4)}
    assert names_in(shard(tmp_path / "w.tar", beside)) == ["a.jpg", "b.mask.png", "c.0.1.png", "d/a.seg.png"]
    apart = tmp_path / "apart"
    shard(apart / "0.tar", {"masks/0.png": png(0), "masks/1.png": png(1)})
    assert names_in(apart / "0.tar") == ["masks/0.png", "masks/1.png"]
    shard(apart / "1.tar", {"images/0.png": png(2), "images/0.cls": b"x", "images/1.png": png(3), "images/1.cls": b"y"})
    shard(apart / "ground_truth/2.tar", {"0.png": png(4)})
    for _ in range(2):
        assert names_in(apart) == ["images/0.png", "images/1.png"]
    assert oddgan.data.load(apart, normal=["x"], all_rows=True).kinds == ("x", "y")


def test_links_are_the_files_that_they_lead_to(tmp_path):
    hard, soft = tarfile.LNKTYPE, tarfile.SYMTYPE
    members = {
        "deep/up.png": (soft, "../a.png"),
        "./a.png": png(7),
        "a.cls": b"good",
        "blob/1": png(8),
        "b.png": (hard, "./a.png"),
        "b.cls": (hard, "a.cls"),
        "c.png": (soft, "blob/1"),
        "d.png": (soft, "b.png"),
        "deep/up.cls": (soft, "../b.cls"),
    }
    path = shard(tmp_path / "l.tar", members)
    for _ in range(2):
        rows = oddgan.data.rows(path)
        assert names_in(path) == ["deep/up.png", "a.png", "b.png", "c.png", "d.png"]
        for one, seed in zip(rows, (7, 7, 7, 8, 7), strict=True):
            np.testing.assert_array_equal(one, picture(seed))
    with pytest.raises(DataError, match=r"beside the picture c there is no c\.cls"):
        oddgan.data.load(path, normal=["good"])
    whole = shard(tmp_path / "k.tar", {k: v for k, v in members.items() if k not in ("c.png", "d.png", "./a.png")})
    warned = pytest.warns(DataWarning, match=r"k\.tar: 2 pictures left out, which are links")
    with warned, pytest.raises(DataError, match="no pictures in it"):
        oddgan.data.rows(whole)


def test_links_that_lead_nowhere_are_counted(tmp_path):
    soft = tarfile.SYMTYPE
    lost = {"x.png": (soft, "/data/x.png"), "y.png": (soft, "z.png"), "z.png": (soft, "y.png"), "t": (soft, "none")}
    path = shard(tmp_path / "l.tar", {"a.png": png(0), **lost})
    for _ in range(2):
        with pytest.warns(DataWarning, match=r"l\.tar: 3 pictures left out, which are links") as given:
            assert names_in(path) == ["a.png"]
        assert [one.message.code for one in given] == ["links-left-out"]


def test_a_range_that_counts_down_is_refused(tmp_path):
    with pytest.raises(DataError, match="counts down; give the smaller number"):
        oddgan.data.load(tmp_path / "p-{1..0}.tar")


def test_the_place_of_a_member_says_when_its_archive_changed(tmp_path):
    rows = open_rows(shards(tmp_path / "shards"))
    first, other = (identity(rows.source.paths[i]) for i in (0, 1))
    assert first[0] != other[0]
    assert first[1:] == other[1:]


def test_names_are_a_sequence_of_texts():
    texts = ["a/b.png", "", "ä€😀", "x\udcff"]
    names = Names(texts, "root/")
    assert list(names) == [f"root/{text}" for text in texts]
    assert names[-1] == "root/x\udcff"
    assert names[1:3] == ["root/", "root/ä€😀"]
    assert list(names.some(np.array([3, 0]))) == ["root/x\udcff", "root/a/b.png"]
    assert names != texts
    with pytest.raises(IndexError):
        names[4]


def test_names_take_little_memory():
    tracemalloc.start()
    names = Names(f"{i:07}.png" for i in range(50_000))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(names) == 50_000
    assert held < 25 * 50_000  # a text takes 60 bytes, and its place in a list 8
    assert peak < 60 * 50_000


def test_a_scan_is_in_order_of_paths(tmp_path, fill):
    root = fill("a/x.png", "a-b.png", "a.png", "a/b/c.png", "ab/x.png", "B.png")
    Image.fromarray(picture(0)).save(root / "p.tif", save_all=True, append_images=[Image.fromarray(picture(1))] * 10)
    found = list(scan(root).pictures)
    assert found[:6] == sorted(found[:6])
    assert found[6:] == [f"p.tif#{i}" for i in range(11)]


def test_a_cache_of_pictures_knows_files_that_were_asked_for_twice(tmp_path, fill):
    root = fill(*(f"{i}.png" for i in range(5)))
    pictures = oddgan.data.rows(root)
    store, places = pictures.cached("k", lambda one: one, np.array([3, 1, 3, -1]))
    assert places.tolist() == [0, 1, 0, 2]
    assert len(store) == 3
