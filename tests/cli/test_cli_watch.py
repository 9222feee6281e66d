"""oddgan score MODEL --watch FOLDER: each file once, whatever ends the process."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_small import picture
from PIL import Image

from oddgan.cli import watching as looking
from oddgan.cli.record import Record
from oddgan.cli.watching import Watching
from oddgan.errors import DataError, OutputError

MODEL = "0123456789ab"


def entries(path="r.jsonl"):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def key(entry):
    return entry["path"], entry["size"], entry["mtime_ns"]


def draw(path, seed=1):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).save(path)
    return path


# --- the record -------------------------------------------------------------------------------------------------------


def test_a_record_cut_anywhere_is_repaired_and_completed(tmp_path):
    place = tmp_path / "r.jsonl"
    files = [("a.png", 1, 2, 1), ("caf\udce9.tif", 3, 4, 3), ("b.png", 5, 6, 1)]

    def add(record, name, size, changed, pages):
        record.add(name, size, changed, [{"score": float(i)} for i in range(pages)])

    with Record(place, MODEL) as record:
        for one in files:
            add(record, *one)
    whole = place.read_bytes()
    ends = [whole.index(b'"caf'), whole.index(b'"b.png'), len(whole)]  # past the beginning of the next, but of the last
    for cut in range(len(whole) + 1):
        place.write_bytes(whole[:cut])
        with Record(place, MODEL) as record:
            known = [record.knows(*one[:3]) for one in files]
            assert sum(known) <= sum(cut >= end - 10 for end in ends)
            assert known == sorted(known, reverse=True)
            for one, done in zip(files, known, strict=True):
                if not done:
                    add(record, *one)
        assert place.read_bytes() == whole


def test_what_is_no_record_stays_as_it_is(tmp_path, capfd):
    place = tmp_path / "r.jsonl"
    for text in ("hello\n", "hello", '{"path": 3}\n', '{"row": 3}'):
        place.write_text(text)
        with pytest.raises(OutputError, match="holds something else than results of --watch"):
            Record(place, MODEL)
        assert place.read_text() == text
    place.unlink()
    with Record(place, MODEL) as record:
        record.add("a.png", 1, 2, [{"score": 1.0}])
    with place.open("a") as file:
        file.write("a remark\n")
    with Record(place, "ffffffffffff") as record:
        record.add("b.png", 1, 2, [{"score": 1.0}])
    said = capfd.readouterr().err
    assert "1 lines are no results" in said
    assert "those of another model" in said
    assert place.read_text().splitlines()[1] == "a remark"
    with Record(place, "ffffffffffff") as record:
        assert len(record) == 2


def test_a_record_has_one_writer(tmp_path):
    with Record(tmp_path / "r.jsonl", MODEL):
        (tmp_path / "link.jsonl").symlink_to(tmp_path / "r.jsonl")
        with pytest.raises(OutputError, match="another oddgan score --watch writes it"):
            Record(tmp_path / "link.jsonl", MODEL)
    with Record(tmp_path / "link.jsonl", MODEL) as record:
        (tmp_path / "r.jsonl").unlink()
        with pytest.raises(OutputError, match="is gone"):
            record.sync()
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        Record(tmp_path / "folder.jsonl", MODEL)


def test_a_disk_that_is_full_leaves_whole_lines(tmp_path, monkeypatch):
    place, write = tmp_path / "r.jsonl", os.write
    with Record(place, MODEL) as record:
        record.add("a.png", 1, 2, [{"score": 1.0}])
        before = place.read_bytes()

        def full(handle, data):
            if len(data) > 20:
                return write(handle, data[:20])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OutputError, match="No space left"):
            record.add("b.png", 1, 2, [{"score": 1.0}])
        assert place.read_bytes() == before
        assert not record.knows("b.png", 1, 2)


def test_names_that_are_done_take_little_memory(tmp_path):
    import tracemalloc

    with Record(tmp_path / "r.jsonl", MODEL) as record:
        tracemalloc.start()
        try:
            for i in range(3000):
                record.add(f"a/long/name/of/a/folder/in/which/pictures/are/{i}.png", i, i, [{"score": 1.0}])
            assert tracemalloc.get_traced_memory()[0] < 3000 * 180
        finally:
            tracemalloc.stop()


# --- looks ------------------------------------------------------------------------------------------------------------


class Stub:
    """In place of a model: a picture's score is its mean."""

    def __init__(self):
        self.how = SimpleNamespace(detector=SimpleNamespace(block_size=4))
        self.scored = []

    def of(self, items):
        for item in items:
            self.scored.append(item.name)
            yield [{"error": item.error} if item.error else {"score": float(item.value.mean())}]


@pytest.fixture
def watching(tmp_path):
    """Looks at a folder `in`, with a stub for a model."""
    from oddgan.cli.items import Pictures

    (tmp_path / "in").mkdir()
    preprocessor = SimpleNamespace(check=lambda picture: None)
    with Record(tmp_path / "r.jsonl", MODEL) as record:
        yield Watching(tmp_path / "in", record, Stub(), Pictures(preprocessor), 3600.0)


def look(watching):
    watching.answers.scored.clear()
    watching.look(lambda: False)
    return sorted(watching.answers.scored)


def test_whole_pictures_are_taken_at_once_and_others_when_they_rest(watching, tmp_path):
    root = tmp_path / "in"
    whole = draw(tmp_path / "a.png").read_bytes()
    for name in ("a.png", "deep/er/b.png", ".hidden.png", ".hidden/c.png", "d.png.part", "ground_truth/a.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(whole)
    (root / "growing.png").write_bytes(whole[:-20])
    (root / "torn.png").write_bytes(whole[:-20] + b"\0\0\0\0IEND\xaeB`\x82")
    (root / "empty.png").write_bytes(b"")
    draw(root / "slow.bmp")
    assert look(watching) == ["a.png", "deep/er/b.png"]
    (root / "growing.png").write_bytes(whole)
    assert look(watching) == ["empty.png", "growing.png", "slow.bmp", "torn.png"]
    assert look(watching) == []
    found = {entry["path"]: entry for entry in entries(tmp_path / "r.jsonl")}
    assert {name for name, entry in found.items() if "error" in entry} == {"empty.png", "torn.png"}
    assert found["empty.png"]["error"] == "the file is empty"
    assert found["a.png"]["score"] == found["deep/er/b.png"]["score"]
    assert found["a.png"]["mtime_ns"] == (root / "a.png").stat().st_mtime_ns


def test_a_file_that_changes_is_scored_again(watching, tmp_path):
    place = draw(tmp_path / "in/a.png")
    assert look(watching) == ["a.png"]
    os.utime(place, ns=(1, 1))
    assert look(watching) == ["a.png"]
    draw(tmp_path / "new.png", seed=2).rename(place)
    assert look(watching) == ["a.png"]
    assert watching.again == 2
    place.write_bytes(b"no picture")
    assert look(watching) == []  # it may be that somebody still writes
    assert look(watching) == ["a.png"]
    assert look(watching) == []
    draw(place)
    assert look(watching) == ["a.png"]
    assert ["error" in entry for entry in entries(tmp_path / "r.jsonl")] == [False, False, False, True, False]


def test_a_file_that_changes_while_it_is_read_waits(watching, tmp_path, monkeypatch):
    draw(tmp_path / "in/a.png")
    decode = looking.decode

    def meanwhile(place):
        found = decode(place)
        draw(tmp_path / "in/a.png", seed=2)
        os.utime(tmp_path / "in/a.png", ns=(5, 5))
        return found

    monkeypatch.setattr(looking, "decode", meanwhile)
    assert look(watching) == []
    monkeypatch.undo()
    assert look(watching) == ["a.png"]


def test_pages_are_one_file(watching, tmp_path):
    pages = [Image.fromarray(picture(i)) for i in range(5)]
    pages[2] = Image.fromarray(picture(2)[:4])
    pages[0].save(tmp_path / "in/a.tif", save_all=True, append_images=pages[1:])
    assert look(watching) == []
    assert look(watching) == [f"a.tif#{i}" for i in range(5)]
    found = entries(tmp_path / "r.jsonl")
    assert [(entry["path"], entry["page"], entry["pages"]) for entry in found] == [("a.tif", i, 5) for i in range(5)]
    assert ["error" in entry for entry in found] == [False, False, True, False, False]
    assert look(watching) == []


def test_a_folder_that_is_gone_for_a_while(watching, tmp_path, capfd):
    draw(tmp_path / "in/a.png")
    (tmp_path / "in").rename(tmp_path / "away")
    assert [look(watching) for _ in range(2)] == [[], []]
    (tmp_path / "away").rename(tmp_path / "in")
    assert look(watching) == ["a.png"]
    said = capfd.readouterr().err
    assert said.count("cannot be read (No such file or directory); it is tried again") == 1
    assert said.count("can be read again") == 1


def test_what_cannot_be_opened_is_tried_again(watching, tmp_path, monkeypatch, capfd):
    draw(tmp_path / "in/a.png")
    monkeypatch.setattr(looking, "_end", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    assert [look(watching) for _ in range(2)] == [[], []]
    monkeypatch.undo()
    assert look(watching) == ["a.png"]
    assert capfd.readouterr().err.count("a.png: cannot be read (Permission denied)") == 1


def test_a_clock_that_is_behind_makes_no_file_rest(watching, tmp_path):
    watching.poll = 1.0
    place = draw(tmp_path / "in/slow.bmp")
    now = time.time()
    os.utime(place, (now - 30, now - 30))  # still being written, by a machine whose clock is half a minute behind
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking.time, "time", lambda: now + 30)
        assert look(watching) == []
        assert look(watching) == ["slow.bmp"]
    draw(tmp_path / "in/old.bmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking.time, "time", lambda: now + 3600)
        assert look(watching) == ["old.bmp"]


def test_links_in_a_circle_end(watching, tmp_path):
    draw(tmp_path / "in/sub/a.png")
    (tmp_path / "in/sub/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/self").symlink_to("self")
    (tmp_path / "in/nowhere.png").symlink_to("nothing")
    draw(tmp_path / "in/folder.png/b.png")
    assert sorted(look(watching)) == ["folder.png/b.png", "sub/a.png"]


# --- the command ------------------------------------------------------------------------------------------------------


def test_once_is_as_scoring_the_folder(oddgan, model, folder):
    shutil.copytree(folder / "test", "in")
    Path("in/bad.png").write_bytes(b"")
    whole = oddgan("score", model, folder / "test", "--format", "jsonl", "--regions")
    once = ("score", model, "--watch", "in", "-o", "r.jsonl", "--once", "--poll", "0.01", "--regions", "--maps", "m")
    ran = oddgan(*once)
    assert ran.code == 4
    assert "14 rows: " in ran.err
    found = {entry.pop("path"): entry for entry in entries()}
    assert found.pop("bad.png")["error"] == "the file is empty"
    for line in map(json.loads, whole.out.splitlines()):
        name = line.pop("path")
        assert {**line, "size": 0, "mtime_ns": 0, "model": ""} == {**found[name], "size": 0, "mtime_ns": 0, "model": ""}
    assert len(list(Path("m").rglob("*.png"))) == 14
    before = Path("r.jsonl").read_bytes()
    again = oddgan(*once)
    assert again.code == 0
    assert "15 files are done" in again.err
    assert Path("r.jsonl").read_bytes() == before
    draw("in/new.png")
    assert oddgan(*once, "--fail-on-anomaly").code in (0, 3)
    assert len(entries()) == 16


def test_what_cannot_be_reached_is_not_called_unfinished(oddgan, model, tmp_path, monkeypatch):
    draw(tmp_path / "in/a.png")
    monkeypatch.setattr(looking, "_end", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    ran = oddgan("score", model, "--watch", tmp_path / "in", "-o", "r.jsonl", "--once", "--poll", "0.01")
    assert ran.code == 4
    assert ran.err.count("a.png: cannot be read (Permission denied)") == 1
    assert "still being written" not in ran.err


def test_it_waits_for_pictures_until_it_is_ended(oddgan, model, tmp_path):
    Path("in").mkdir()

    def come():
        for n in range(1, 4):
            draw(f"new{n}.png", n).rename(f"in/{n}.png")
            while not Path("r.jsonl").exists() or len(entries()) < n:
                time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    coming = threading.Thread(target=come)
    coming.start()
    ran = oddgan("score", model, "--watch", "in", "-o", "r.jsonl", "--poll", "0.02")
    coming.join()
    assert ran.code == 130
    assert [entry["path"] for entry in entries()] == ["1.png", "2.png", "3.png"]
    assert sorted(path.name for path in Path("in").iterdir()) == ["1.png", "2.png", "3.png"]


def test_tables_are_not_watched(oddgan, table_model):
    Path("in").mkdir()
    ran = oddgan("score", table_model, "--watch", "in", "-o", "r.jsonl", "--once")
    assert ran.code == 2
    assert "oddgan score MODEL - reads them" in ran.complaint
    with pytest.raises(DataError, match="no such folder"):
        looking.watch(None, Path("nowhere"), Path("r.jsonl"), poll=1, once=True)


def test_killed_at_any_moment_nothing_is_lost_or_scored_twice(exported, tmp_path):
    """Pictures come in while the process is killed and started, at random; the last one ends by itself."""
    moment = random.Random(0)
    root, names = tmp_path / "in", [f"{i % 7}/{i:03}.png" for i in range(160)]
    content = [draw(tmp_path / "p" / f"{i}.png", i).read_bytes() for i in range(10)]

    def put(some):
        for name in some:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content[int(name[-7:-4]) % 10])

    def start(*more):
        words = ["score", exported, "--watch", root, "-o", tmp_path / "r.jsonl", "--poll", "0.01", *more]
        return subprocess.Popen(
            [sys.executable, "-m", "oddgan", *map(str, words)],
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    place = tmp_path / "r.jsonl"
    put(names[:80])
    for step in range(2):
        size = place.stat().st_size if place.exists() else 0
        aim = size + moment.randrange(1, 8000)
        run = start("--block-size", "2")
        put(names[80 + 40 * step : 120 + 40 * step])
        while run.poll() is None and (not place.exists() or place.stat().st_size < aim):
            time.sleep(0.0002)
        run.kill()
        run.wait()
    run = start("--once")
    assert run.wait(60) == 0
    found = entries(place)
    assert sorted(entry["path"] for entry in found) == sorted(names)
    assert len({key(entry) for entry in found}) == len(names)
    scores = {}
    for entry in found:
        scores.setdefault(int(entry["path"][-7:-4]) % 10, set()).add(round(entry["score"], 5))
    assert all(len(of_one) == 1 for of_one in scores.values())
