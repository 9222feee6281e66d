"""Pictures as a sequence, and the threads below it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from oddgan.data import Pictures, PictureSource, read_picture
from oddgan.errors import DataError
from oddgan.rows.threads import threaded

Fill = Callable[..., Path]


def test_a_lazy_sequence(fill: Fill) -> None:
    root = fill("b.png", "sub/a.png", "c.png")
    pictures = Pictures([root / "b.png", root / "sub/a.png", str(root / "c.png")], root=root)
    assert isinstance(pictures, PictureSource)
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


def test_nothing_is_read_before_access(tmp_path: Path) -> None:
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
    assert "truncated" in bad[1][1]
    assert calls == [(i + 1, 60) for i in range(60)]
    assert [name for name, _ in pictures.unreadable(8)] == ["041.png"]
    assert pictures.find_unreadable(8)[0][0] == 41


def test_threads_keep_order_and_consume_items_lazily() -> None:
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


def test_some_rows_keep_their_names_whatever_they_came_in(tmp_path):
    import torch
    from PIL import Image

    from oddgan.rows import open_rows
    from oddgan.rows.pictures import PictureRows

    X = np.random.default_rng(0).integers(0, 256, (5, 8, 9), dtype=np.uint8)
    for i, one in enumerate(X):
        Image.fromarray(one).save(tmp_path / f"{i}.png")
    numbers = np.array([3, 0])
    for source in (X, list(X), torch.from_numpy(X)[:, None], [(one, 1) for one in X]):
        some = PictureRows(source).some(numbers)
        assert [some.name(i) for i in range(2)] == ["row 3", "row 0"]
        assert some.header(0) == (8, 9, 1, "uint8")
        np.testing.assert_array_equal(some[0], X[3][..., None])
        np.testing.assert_array_equal(some.taken(1, 2)[0], X[0][..., None])
    files = open_rows([tmp_path / f"{i}.png" for i in range(5)]).some(numbers)
    assert [files.name(i).rpartition("/")[2] for i in range(2)] == ["3.png", "0.png"]
    np.testing.assert_array_equal(files[0], X[3][..., None])
