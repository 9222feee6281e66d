"""Files and folders are whole or not there, whoever else writes, dies or fills the disk."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import oddgan
from oddgan import files
from oddgan.errors import OutputError
from oddgan.files import replaced_folder, whole_file, whole_folder

HOLDS = """
import sys
from oddgan.files import replaced_folder, whole_file, whole_folder
with {way}(sys.argv[1]) as held:
    {fill}
    print("in", flush=True)
    sys.stdin.read()
"""
FILL = {
    "whole_file": "held.write(b'half')",
    "whole_folder": "(held / 'a').write_text('half')",
    "replaced_folder": "(held / 'a').write_text('half')",
}


@pytest.fixture(params=FILL)
def way(request):
    """The name of either way to write."""
    return request.param


def another_writer(way, path):
    """A process in the middle of writing `path`."""
    code = HOLDS.format(way=way, fill=FILL[way])
    process = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"in\n"
    return process


def write(way, path, text="whole"):
    with getattr(files, way)(path) as place:
        if way == "whole_file":
            place.write(text.encode())
        else:
            (place / "a").write_text(text)


def read(way, path):
    return (path if way == "whole_file" else path / "a").read_text()


def test_threads_that_save_one_path_each_leave_a_whole_file(tmp_path):
    path, texts = tmp_path / "one", [bytes([65 + i]) * 300_000 for i in range(6)]
    failed = []
    start = threading.Barrier(len(texts))

    def save(text):
        start.wait()
        for _ in range(5):
            try:
                with whole_file(path) as file:
                    for i in range(0, len(text), 50_000):
                        file.write(text[i : i + 50_000])
                assert path.read_bytes() in texts
            except BaseException as error:
                failed.append(error)

    threads = [threading.Thread(target=save, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert path.read_bytes() in texts
    assert os.listdir(tmp_path) == ["one"]


def test_a_model_that_threads_save_to_one_path_can_be_loaded(tmp_path, table):
    detectors = [oddgan.PCA(random_state=i, false_alarm_rate=0.2).fit(table + i) for i in range(3)]
    threads = [threading.Thread(target=d.save, args=(tmp_path / "m.oddgan",)) for d in detectors * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = oddgan.load(tmp_path / "m.oddgan").anomaly_score(table)
    assert any(np.array_equal(found, d.anomaly_score(table)) for d in detectors)
    assert os.listdir(tmp_path) == ["m.oddgan"]


def test_what_another_process_is_writing_is_left_alone(way, tmp_path, monkeypatch):
    """Even where its process number means nothing here, as in another container."""
    monkeypatch.setattr(os, "kill", lambda *_: (_ for _ in ()).throw(ProcessLookupError()))
    path = tmp_path / "result"
    process = another_writer(way, path)
    write(way, path)
    assert read(way, path) == "whole"
    assert len(os.listdir(tmp_path)) == 2  # the other's part is still there
    process.communicate(b"")
    assert process.returncode == 0
    assert read(way, path) == "half"
    assert os.listdir(tmp_path) == ["result"]


def test_the_next_writer_removes_what_a_killed_one_left(way, tmp_path):
    path = tmp_path / "result"
    process = another_writer(way, path)
    process.kill()
    process.communicate()
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".result.")
    assert left.endswith(".part")
    write(way, path)
    assert os.listdir(tmp_path) == ["result"]


def test_files_of_others_with_like_names_stay(way, tmp_path):
    others = [".result.part", ".result.mine.part", ".results.0123456789abcdef.part", ".result.0123456789abcdef.parts"]
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".result.0123456789abcdef.part").symlink_to(tmp_path / ".result.part")
    write(way, tmp_path / "result")
    assert set(os.listdir(tmp_path)) == {"result", ".result.0123456789abcdef.part", *others}


def test_a_part_that_is_tidied_away_before_it_is_locked_is_made_again(way, tmp_path, monkeypatch):
    lock, tries = files._lock, []

    def first_too_late(handle):
        tries.append(handle)
        if len(tries) == 1:
            for name in os.listdir(tmp_path):
                files._remove(tmp_path / name)
        return lock(handle)

    monkeypatch.setattr(files, "_lock", first_too_late)
    write(way, tmp_path / "result")
    assert len(tries) == (4 if way == "replaced_folder" else 2)  # its parent is locked for each renaming
    assert read(way, tmp_path / "result") == "whole"
    assert os.listdir(tmp_path) == ["result"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_nothing_can_be_locked_files_are_whole_too(way, number, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    (tmp_path / ".result.0123456789abcdef.part").write_text("perhaps another's")
    write(way, tmp_path / "result")
    assert sorted(os.listdir(tmp_path)) == [".result.0123456789abcdef.part", "result"]


def test_without_locks_at_all_as_on_windows(way, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOCKS", False)
    write(way, tmp_path / "result")
    assert read(way, tmp_path / "result") == "whole"
    assert os.listdir(tmp_path) == ["result"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_nothing_is_left_of_what_was_broken_off(way, stop, tmp_path):
    write(way, tmp_path / "result", "the old one")
    with pytest.raises(stop), getattr(files, way)(tmp_path / "result"):
        raise stop
    assert read(way, tmp_path / "result") == "the old one"
    assert os.listdir(tmp_path) == ["result"]


def test_a_full_disk_is_named_and_leaves_the_old_file(way, tmp_path):
    write(way, tmp_path / "result", "the old one")
    with (
        pytest.raises(OutputError, match=r"result: cannot be written \(No space left on device\); .*another place"),
        getattr(files, way)(tmp_path / "result"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert read(way, tmp_path / "result") == "the old one"
    assert os.listdir(tmp_path) == ["result"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_device_that_is_full_is_an_error_of_output(size):
    with pytest.raises(OutputError, match=r"/dev/full: cannot be written"), whole_file("/dev/full") as file:
        file.write(bytes(size))


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "𝄞" * 63, "m" * 240 + ".oddgan"])
def test_names_may_be_as_long_as_the_file_system_has_them(way, name, tmp_path):
    write(way, tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    process = another_writer(way, tmp_path / name)
    process.kill()
    process.communicate()
    write(way, tmp_path / name)
    assert os.listdir(tmp_path) == [name]


def test_names_that_are_too_long_are_an_error_of_output(way, tmp_path):
    with pytest.raises(OutputError, match="name too long"):
        write(way, tmp_path / ("n" * 256))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(way, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match=r"result: cannot be written \(Permission denied\)"):
            write(way, tmp_path / "result")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_may_not_be_listed_can_be_written_to(way, tmp_path, monkeypatch):
    def listdir(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", listdir)
        write(way, tmp_path / "result")
    assert os.listdir(tmp_path) == ["result"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(way, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "result")
    for text in ("first", "second"):
        write(way, tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert read(way, tmp_path / "far" / "result") == text
    assert os.listdir(tmp_path / "far") == ["result"]


def test_a_link_that_leads_to_itself_is_replaced_by_a_file_and_refused_as_a_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "link")
    with pytest.raises(OutputError, match="link: cannot be written"):
        write("whole_folder", tmp_path / "link")
    write("whole_file", tmp_path / "link")
    assert read("whole_file", tmp_path / "link") == "whole"
    assert os.listdir(tmp_path) == ["link"]


def test_a_file_where_a_folder_should_be_is_named(way, tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        write(way, tmp_path / "file" / "result")
    with pytest.raises(OutputError, match="cannot be written"):
        write("whole_folder", tmp_path / "file")
    with pytest.raises(OutputError, match="is a folder"):
        write("whole_file", tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_new_files_and_folders_have_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write("whole_file", tmp_path / "file")
        write("whole_folder", tmp_path / "folder")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_a_folder_keeps_what_else_it_holds(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine").write_text("mine")
    with whole_folder(tmp_path / "maps") as part:
        (part / "deep" / "er").mkdir(parents=True)
        (part / "deep" / "er" / "a").write_text("new")
        assert not (tmp_path / "maps" / "deep").exists()
    assert (tmp_path / "maps" / "deep" / "er" / "a").read_text() == "new"
    assert (tmp_path / "maps" / "mine").read_text() == "mine"


def old_export(place):
    (place / ".git").mkdir(parents=True)
    (place / ".git" / "mine").write_text("mine")
    for name in ("graph", "other"):
        (place / name).write_text("old")


def new_export(place):
    with replaced_folder(place, ("graph", "other")) as part:
        (part / "graph").write_text("new")


def read_all(place):
    return {path.name: path.read_text() for path in place.rglob("*") if path.is_file()}


def test_a_folder_is_replaced_at_once(tmp_path, monkeypatch):
    place, rename, seen = tmp_path / "out", os.rename, []
    old_export(place)
    place.chmod(0o750)

    def watched(source, target):
        seen.append(read_all(place) if place.exists() else None)
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", watched)
    new_export(place)
    assert seen[0] == {"graph": "old", "other": "old", "mine": "mine"}
    assert seen[1] is None
    assert seen[2] == {"graph": "new"}
    assert read_all(place) == {"graph": "new", "mine": "mine"}
    assert os.listdir(tmp_path) == ["out"]
    assert place.stat().st_mode & 0o777 == 0o750


def test_a_folder_that_cannot_be_replaced_stands(tmp_path, monkeypatch):
    place, rename = tmp_path / "out", os.rename
    old_export(place)

    def failing(source, target):
        if str(source).endswith(".part"):
            raise OSError(errno.EACCES, "no")
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", failing)
    with pytest.raises(OutputError, match="out: cannot be written"):
        new_export(place)
    assert read_all(place) == {"graph": "old", "other": "old", "mine": "mine"}
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("before", [1, 2])
def test_a_writer_that_was_killed_between_two_renamings_loses_nothing(tmp_path, before):
    """`before`: how many renamings there were."""
    place = tmp_path / "out"
    old_export(place)
    code = (
        "import os, sys; from oddgan import files; rename, left = os.rename, [int(sys.argv[2])]\n"
        "def renamed(a, b):\n"
        "    if not left[0]: os._exit(9)\n"
        "    left[0] -= 1; rename(a, b)\n"
        "files.os.rename = renamed\n"
        "with files.replaced_folder(sys.argv[1], ('graph', 'other')) as part: (part / 'graph').write_text('killed')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, place, str(before)]).returncode == 9
    assert place.exists() == (before == 2)
    with pytest.raises(ZeroDivisionError), replaced_folder(place, ("graph", "other")):
        1 / 0  # noqa: B018
    old = {"graph": "old", "other": "old", "mine": "mine"}
    assert read_all(place) == (old if before == 1 else {"graph": "killed", "mine": "mine"})
    assert os.listdir(tmp_path) == ["out"]


def test_threads_that_replace_one_folder_each_leave_a_whole_one(tmp_path):
    place, failed = tmp_path / "out", []
    old_export(place)

    def replace(text):
        try:
            for _ in range(10):
                with replaced_folder(place, ("graph", "other")) as part:
                    (part / "graph").write_text(text)
                    (part / "other").write_text(text)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=replace, args=(text,)) for text in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    found = read_all(place)
    assert found["graph"] == found["other"]
    assert found["mine"] == "mine"
    assert os.listdir(tmp_path) == ["out"]


def test_a_line_is_appended_whole_or_not_at_all(tmp_path, monkeypatch):
    place, write = tmp_path / "lines", os.write
    monkeypatch.setattr(files.os, "write", lambda handle, data: write(handle, bytes(data[:3])))
    with place.open("ab", buffering=0) as file:
        files.append_whole(file.fileno(), b"first line\n")

        def full(handle, data):
            if len(data) < 9:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(handle, bytes(data[:3]))

        monkeypatch.setattr(files.os, "write", full)
        with pytest.raises(OSError, match="No space"):
            files.append_whole(file.fileno(), b"second line\n")
    assert place.read_bytes() == b"first line\n"


@pytest.mark.skipif(not hasattr(os, "fchmod"), reason="this system has no such permissions")
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    place = tmp_path / "scores.csv"
    place.write_text("old")
    place.chmod(0o600)
    with whole_file(place) as file:
        file.write(b"new")
    assert (place.read_text(), place.stat().st_mode & 0o777) == ("new", 0o600)
