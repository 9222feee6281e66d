"""Pictures as a sequence, and what runs below it: threads and the lock."""

import importlib.util
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from oddgan.data import PictureRows, Pictures, read_picture
from oddgan.errors import DataError
from oddgan.rows import lock as lock_module
from oddgan.rows.lock import locked
from oddgan.rows.threads import threaded

Fill = Callable[..., Path]


def test_a_lazy_sequence(fill: Fill) -> None:
    root = fill("b.png", "sub/a.png", "c.png")
    pictures = Pictures([root / "b.png", root / "sub/a.png", str(root / "c.png")], root=root)
    assert isinstance(pictures, PictureRows)
    assert len(pictures) == 3
    np.testing.assert_array_equal(pictures[-1], read_picture(root / "c.png"))
    np.testing.assert_array_equal(pictures[np.int64(1)], read_picture(root / "sub/a.png"))
    assert [picture.shape for picture in pictures] == [(12, 10)] * 3
    assert [pictures.name(i) for i in range(3)] == ["b.png", "sub/a.png", "c.png"]
    assert pictures.header(0) == (12, 10, 1, "uint8")
    assert str(root) in repr(pictures)
    with pytest.raises(IndexError):
        pictures[3]


def test_names_without_a_root_or_outside_it(fill: Fill, tmp_path: Path) -> None:
    root = fill("a.png")
    assert Pictures([root / "a.png"]).name(0) == (root / "a.png").as_posix()
    assert Pictures([root / "a.png"], root=tmp_path / "elsewhere").name(0) == (root / "a.png").as_posix()


def test_subset_keeps_order_and_root(fill: Fill) -> None:
    root = fill("a.png", "b.png", "c.png")
    pictures = Pictures([root / f"{name}.png" for name in "abc"], root=root)
    part = pictures.subset([2, 0])
    assert [part.name(i) for i in range(2)] == ["c.png", "a.png"]
    assert len(pictures.subset([])) == 0


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    pictures = Pictures([tmp_path / "missing.png"], root=tmp_path)
    with pytest.raises(DataError, match=r"missing\.png: there is no such file"):
        pictures[0]
    with pytest.raises(DataError, match=r"missing\.png: there is no such file"):
        pictures.header(0)


def test_unreadable_lists_all_that_cannot_be_read(fill: Fill) -> None:
    root = fill(*(f"{i:03}.png" for i in range(60)))
    (root / "007.png").write_text("no picture")
    (root / "041.png").write_bytes((root / "041.png").read_bytes()[:60])
    pictures = Pictures(sorted(root.iterdir()), root=root)
    calls: list[tuple[int, int]] = []
    bad = pictures.unreadable(progress=lambda done, total: calls.append((done, total)))
    assert [name for name, _ in bad] == ["007.png", "041.png"]
    assert "not a picture" in bad[0][1]
    assert "cut short" in bad[1][1]
    assert calls == [(i + 1, 60) for i in range(60)]
    assert [name for name, _ in pictures.unreadable(8)] == ["041.png"]
    assert pictures.find_unreadable(8)[0][0] == 41


def test_threads_keep_order_and_draw_items_lazily() -> None:
    drawn = 0

    def items() -> Iterator[int]:
        nonlocal drawn
        for i in range(1000):
            drawn += 1
            yield i

    results = threaded(lambda i: i * i, items())
    assert next(results) == 0
    assert drawn < 100
    assert list(results) == [i * i for i in range(1, 1000)]
    assert drawn == 1000


def test_threads_pass_errors_on_and_drop_the_rest() -> None:
    done: list[int] = []

    def work(i: int) -> None:
        done.append(i)
        if i == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        list(threaded(work, range(100_000)))
    assert len(done) < 100


def hold_from_threads(module: types.ModuleType, path: Path) -> int:
    """The most threads that held the lock at once."""
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with module.locked(path):
                inside += 1
                most = max(most, inside)
                threading.Event().wait(0.0002)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    assert hold_from_threads(lock_module, tmp_path / "lock") == 1


def test_the_lock_is_freed_by_errors(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / "lock"):
        raise RuntimeError
    with locked(tmp_path / "lock"):
        pass


def test_the_lock_where_fcntl_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, played by a lock of its own kind: taken or refused at once."""
    held = threading.Lock()

    def locking(file: int, mode: int, size: int) -> None:
        assert size == 1
        if mode == 2:
            if not held.acquire(blocking=False):
                raise PermissionError(13, "Permission denied")
        else:
            held.release()

    windows = types.SimpleNamespace(locking=locking, LK_NBLCK=2, LK_UNLCK=0)
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    spec = importlib.util.spec_from_file_location("lock_on_windows", lock_module.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "platform", "win32")
    spec.loader.exec_module(module)
    assert hold_from_threads(module, tmp_path / "lock") == 1
    assert not held.locked()
