"""The cache of decoded pictures: correct, shared between processes, and intact after any failure."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from oddgan.data import Pictures, read_picture
from oddgan.errors import DataError, OutputError
from oddgan.rows import cache as caching
from oddgan.rows.cache import cache_folder

Fill = Callable[..., Path]
Array = NDArray[Any]


def half(picture: Array) -> Array:
    return picture[::2, ::2, None] if picture.ndim == 2 else picture[::2, ::2]


class Counted:
    """`half`, counting how often it was called."""

    def __init__(self) -> None:
        self._called: list[None] = []  # appending is safe from several threads

    def __call__(self, picture: Array) -> Array:
        self._called.append(None)
        return half(picture)

    @property
    def calls(self) -> int:
        return len(self._called)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pictures(fill: Fill) -> Pictures:
    root = fill(*(f"{i:02}.png" for i in range(20)))
    return Pictures(sorted(root.iterdir()), root=root)


def stores(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache/pictures").glob("*/*"))


def expect(pictures: Pictures, indices: list[int], key: str = "half") -> None:
    rows, numbers = pictures.cached(key, half, indices)
    assert numbers.dtype == np.intp
    for i, row in zip(indices, rows[numbers], strict=True):
        np.testing.assert_array_equal(row, half(pictures[i]))


def test_rows_come_in_the_requested_order(pictures: Pictures) -> None:
    rows, numbers = pictures.cached("half", half, [5, 3, 5, -1])
    assert isinstance(rows, np.memmap)
    assert rows.shape == (3, 6, 5, 1)
    assert rows.dtype == np.uint8
    assert not rows.flags.writeable
    for i, row in zip([5, 3, 5, 19], rows[numbers], strict=True):
        np.testing.assert_array_equal(row, half(pictures[i]))


def test_what_is_cached_is_not_decoded_again(pictures: Pictures, tmp_path: Path) -> None:
    first, again, more = Counted(), Counted(), Counted()
    pictures.cached("half", first, range(10))
    pictures.cached("half", again, range(10))
    assert (first.calls, again.calls) == (10, 0)
    pictures.cached("half", more, range(5, 15))
    assert more.calls == 5
    expect(pictures, list(range(20)))
    assert len(stores(tmp_path)) == 1


def test_two_dimensional_rows_get_a_channel_axis(pictures: Pictures) -> None:
    rows, _ = pictures.cached("flat", lambda picture: picture[::2, ::2].astype(np.float32), [0])
    assert rows.shape == (1, 6, 5, 1)
    assert rows.dtype == np.float32


def test_another_key_is_another_transform(pictures: Pictures) -> None:
    expect(pictures, [1, 2])
    rows, numbers = pictures.cached("negative", lambda picture: 255 - picture[..., None], [1])
    np.testing.assert_array_equal(rows[numbers[0]], 255 - pictures[1][..., None])


def test_a_changed_file_is_decoded_again(pictures: Pictures) -> None:
    expect(pictures, [0, 1])
    Image.fromarray(np.zeros((12, 10), np.uint8)).save(pictures.paths[0])
    rows, numbers = pictures.cached("half", counted := Counted(), [0, 1])
    assert counted.calls == 1
    assert not rows[numbers[0]].any()


def test_a_new_time_alone_counts_as_a_change(pictures: Pictures) -> None:
    expect(pictures, [0])
    os.utime(pictures.paths[0], ns=(1, 1))
    pictures.cached("half", counted := Counted(), [0])
    assert counted.calls == 1


def test_data_sets_of_two_kinds_share_a_key(fill: Fill, tmp_path: Path) -> None:
    """One transform gives 8-bit rows for one data set and deep ones for another."""
    root = fill("a.png", "b.png")
    deep = np.arange(120, dtype=np.uint16).reshape(12, 10) * 500
    Image.fromarray(deep).save(tmp_path / "deep.png")
    expect(Pictures([root / "a.png", root / "b.png"]), [0, 1])
    expect(Pictures([tmp_path / "deep.png"]), [0])
    assert [folder.name for folder in stores(tmp_path)] == ["6x5x1-uint16", "6x5x1-uint8"]
    expect(Pictures([root / "a.png", root / "b.png"]), [0, 1])


def test_pictures_that_become_different_shapes_are_an_error(fill: Fill, tmp_path: Path) -> None:
    root = fill("a.png", "b.png")
    fill("c.png", size=(16, 16))
    pictures = Pictures([root / "a.png", root / "b.png", root / "c.png"], root=root)
    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.png becomes 6x5x1-uint8 and c\.png becomes 8x8x1-uint8; bring all"):
            pictures.cached("half", half, [0, 1, 2])
    expect(pictures, [0, 1])
    expect(pictures, [2])
    with pytest.raises(DataError, match=r"becomes 6x5x1-uint8 and .* becomes 8x8x1-uint8|8x8x1-uint8 and .* 6x5x1"):
        pictures.cached("half", half, [0, 1, 2])  # all of them cached by now


def test_all_unreadable_pictures_in_one_error(pictures: Pictures) -> None:
    for i in range(3, 16):
        Path(pictures.paths[i]).write_text("no picture")
    Path(pictures.paths[16]).unlink()
    with pytest.raises(DataError) as caught:
        pictures.cached("half", half, range(20))
    message = str(caught.value)
    assert message.startswith("14 of 20 pictures cannot be read: 03.png (it is not a picture")
    assert "12.png" in message
    assert "13.png" not in message
    assert "and 4 more" in message
    assert message.endswith("--skip-bad")
    assert "\n" not in message
    pictures.cached("half", counted := Counted(), [0, 1, 2, 17, 18, 19])
    assert counted.calls == 0  # what could be read was kept


def test_one_bad_picture_alone(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(DataError, match=r"1 of 1 pictures cannot be read: .*a\.png"):
        Pictures([tmp_path / "a.png"]).cached("half", half, [0])


def test_an_error_of_the_transform_names_the_picture(pictures: Pictures) -> None:
    def transform(picture: Array) -> Array:
        raise DataError("has 3 channels where 1 is wanted; convert it")

    with pytest.raises(DataError, match=r"\d\d\.png: has 3 channels"):
        pictures.cached("fussy", transform, range(20))
    with pytest.raises(ValueError, match=r"\(h, w, C\)"):
        pictures.cached("wrong", lambda picture: picture[0], [0])


def test_no_or_wrong_indices(pictures: Pictures) -> None:
    with pytest.raises(DataError, match="no pictures"):
        pictures.cached("half", half, [])
    with pytest.raises(IndexError):
        pictures.cached("half", half, [20])


def test_a_file_that_changes_while_it_is_read(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(path: str) -> Array:
        Path(path).touch()
        return read_picture(path)

    os.utime(pictures.paths[0], ns=(1, 1))
    monkeypatch.setattr(caching, "decode", decode)
    with pytest.raises(DataError, match="changed while it was read"):
        pictures.cached("half", half, [0])


def test_progress_is_reported(pictures: Pictures) -> None:
    calls: list[tuple[int, int]] = []
    pictures.cached("half", half, range(20), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i + 1, 20) for i in range(20)]


def test_chunks_are_bounded_in_rows_and_bytes(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    append = caching.Store.append

    def counting(store: caching.Store, batch: Any) -> bool:
        sizes.append(len(batch))
        return append(store, batch)

    monkeypatch.setattr(caching.Store, "append", counting)
    monkeypatch.setattr(caching, "CHUNK_ROWS", 7)
    pictures.cached("a", half, range(20))
    monkeypatch.setattr(caching, "CHUNK_BYTES", 95)  # three rows of 30 bytes
    pictures.cached("b", half, range(7))
    monkeypatch.setattr(caching, "CHUNK_BYTES", 3)
    pictures.cached("c", half, range(2))
    assert sizes == [7, 7, 6, 3, 3, 1, 1, 1]


def test_an_incomplete_last_line_of_the_index_is_ignored_and_repaired(pictures: Pictures, tmp_path: Path) -> None:
    expect(pictures, [0, 1, 2])
    index = stores(tmp_path)[0] / "index.jsonl"
    index.write_bytes(index.read_bytes()[:-5])
    pictures.cached("half", counted := Counted(), [0, 1, 2])
    assert counted.calls == 1
    expect(pictures, [0, 1, 2, 3])
    assert [json.loads(line)[0] for line in index.read_text().splitlines()] == [0, 1, 2, 3]


def test_a_damaged_line_costs_its_own_row_only(pictures: Pictures, tmp_path: Path) -> None:
    expect(pictures, [0, 1, 2])
    index = stores(tmp_path)[0] / "index.jsonl"
    lines = index.read_text().splitlines()
    index.write_text("\n".join([lines[0], "[1, 2", lines[2], ""]))
    pictures.cached("half", counted := Counted(), [0, 1, 2])
    assert counted.calls == 1
    expect(pictures, [0, 1, 2])


def test_rows_without_a_line_are_overwritten(pictures: Pictures, tmp_path: Path) -> None:
    expect(pictures, [0, 1])
    with (stores(tmp_path)[0] / "rows.bin").open("ab") as rows:
        rows.write(b"half a ro")
    expect(pictures, [0, 1, 2])
    assert (stores(tmp_path)[0] / "rows.bin").stat().st_size == 3 * 30


def test_missing_rows_are_an_error(pictures: Pictures, tmp_path: Path) -> None:
    expect(pictures, [0, 1])
    os.truncate(stores(tmp_path)[0] / "rows.bin", 31)
    with pytest.raises(OutputError, match=r"damaged .* delete that folder"):
        pictures.cached("half", half, [0, 1])


SCRIPT = textwrap.dedent(
    """
    import itertools, os, signal, sys, time
    from pathlib import Path
    from oddgan.data import Pictures
    from oddgan.rows import cache
    cache.CHUNK_ROWS = 4
    paths = sorted(Path(sys.argv[1]).iterdir())
    dies_after = int(sys.argv[2])
    calls = itertools.count(1)  # several threads draw from it
    def half(picture):
        call = next(calls)
        time.sleep(0.003)
        if call == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return picture[::2, ::2, None]
    Pictures(paths).cached("half", half, range(len(paths)))
    """
)


def start(root: Path, dies_after: int = -1) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, str(root), str(dies_after)]
    return subprocess.Popen(command)


def test_a_killed_process_loses_little(fill: Fill, tmp_path: Path) -> None:
    root = fill(*(f"{i:02}.png" for i in range(60)))
    with start(root, dies_after=50) as process:
        assert process.wait() == -9
    pictures = Pictures(sorted(root.iterdir()), root=root)
    pictures.cached("half", counted := Counted(), range(60))
    assert 10 <= counted.calls < 45
    expect(pictures, list(range(60)))


def test_a_process_that_is_killed_while_it_holds_the_lock_frees_it(pictures: Pictures, tmp_path: Path) -> None:
    expect(pictures, [0])
    code = (
        "import os, signal, sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    lock = stores(tmp_path)[0] / "lock"
    assert subprocess.run([sys.executable, "-c", code, str(lock)]).returncode == -9
    expect(pictures, list(range(20)))


def test_processes_fill_it_together(fill: Fill, tmp_path: Path) -> None:
    root = fill(*(f"{i:03}.png" for i in range(200)))
    processes = [start(root) for _ in range(3)]
    for process in processes:
        with process:
            process.wait()
            assert process.returncode == 0
    pictures = Pictures(sorted(root.iterdir()), root=root)
    expect(pictures, list(range(200)))
    numbers = [json.loads(line)[0] for line in (stores(tmp_path)[0] / "index.jsonl").read_text().splitlines()]
    assert numbers == list(range(200))  # no picture twice, no row lost


def test_a_second_writer_continues_from_the_other_end(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    """While this process fills the cache, another one does the first half of its work."""
    monkeypatch.setattr(caching, "CHUNK_ROWS", 4)
    other = Pictures(pictures.paths)
    counted = Counted()
    begun = False

    def transform(picture: Array) -> Array:
        nonlocal begun
        if not begun:
            begun = True
            other.cached("half", half, range(12))
        return counted(picture)

    monkeypatch.setattr("oddgan.rows.threads.workers", lambda: 1)
    rows, numbers = pictures.cached("half", transform, range(20))
    assert counted.calls < 20
    assert len(rows) == 20
    for i, row in enumerate(rows[numbers]):
        np.testing.assert_array_equal(row, half(pictures[i]))


def test_a_full_disk(pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(pictures, [0, 1])
    store = stores(tmp_path)[0]
    sizes = [(store / name).stat().st_size for name in ("rows.bin", "index.jsonl")]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError) as caught:
            pictures.cached("half", half, range(20))
    assert "disk is full" in str(caught.value)
    assert str(tmp_path / "cache") in str(caught.value)
    assert "ODDGAN_CACHE" in str(caught.value)
    assert [(store / name).stat().st_size for name in ("rows.bin", "index.jsonl")] == sizes  # nothing half-written
    expect(pictures, list(range(20)))


def test_a_disk_without_enough_room_is_reported_at_once(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 20 * 30 - 1}))
    with pytest.raises(OutputError, match=r"needs 0\.0 GB .* ODDGAN_CACHE"):
        pictures.cached("half", half, range(20))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 20 * 30}))
    expect(pictures, list(range(20)))


def test_a_folder_that_cannot_be_used(pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"file/pictures/.* cannot be used \(Not a directory\); set ODDGAN_CACHE"):
        pictures.cached("half", half, [0])


def test_a_full_cache_can_be_read_only(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(pictures, [0, 1])

    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(caching, "FileLock", denied)
    expect(pictures, [0, 1])
    with pytest.raises(OutputError, match="Permission denied"):
        pictures.cached("half", half, [2])


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ODDGAN_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/oddgan")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder() == Path("/home/ada/.cache/oddgan")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path("/home/ada/Library/Caches/oddgan")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache_folder() == Path("/local/oddgan/Cache")

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(OutputError, match="set ODDGAN_CACHE"):
        cache_folder()


def test_names_that_are_not_utf_8(fill: Fill) -> None:
    root = fill("a.png")
    name = os.fsdecode(b"b\xff.png")
    try:
        os.rename(root / "a.png", root / name)
    except OSError:
        pytest.skip("this file system takes no such names")
    expect(Pictures([root / name]), [0])
    Pictures([root / name]).cached("half", counted := Counted(), [0])
    assert counted.calls == 0
