"""The layout of a folder is recognised, and refused where it is ambiguous."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oddgan.data import Pictures, Split, load
from oddgan.errors import DataError

Fill = Callable[..., Path]


def called(rows: Any) -> list[str]:
    assert isinstance(rows, Pictures)
    return [rows.name(i) for i in range(len(rows))]


def verdicts(split: Split) -> dict[str, tuple[bool, str]]:
    assert split.labels is not None
    assert split.kinds is not None
    assert split.labels.dtype == np.bool_
    return dict(zip(called(split.test), zip(split.labels.tolist(), split.kinds, strict=True), strict=True))


def mask(root: Path, path: str, size: tuple[int, int] = (12, 10)) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    pixels[2:4, 3] = 1  # any value except zero is anomalous
    Image.fromarray(pixels).save(root / path)


@pytest.fixture
def mvtec(fill: Fill) -> Path:
    root = fill(
        *(f"train/good/{i}.png" for i in range(3)),
        *(f"test/good/{i}.png" for i in range(2)),
        *(f"test/Scratch/{i}.png" for i in range(2)),
        "test/hole/0.png",
    )
    mask(root, "ground_truth/Scratch/0_mask.png")
    mask(root, "ground_truth/Scratch/1_mask.png")
    mask(root, "ground_truth/hole/0.bmp")
    return root


def test_flat_folder(fill: Fill) -> None:
    root = fill("b.png", "a.PNG", "c.jpeg", "d.Tiff", "e.webp", "f.bmp")
    split = load(root)
    assert called(split.train) == ["a.PNG", "b.png", "c.jpeg", "d.Tiff", "e.webp", "f.bmp"]
    assert (split.name, split.test, split.labels, split.kinds, split.masks) == ("data", None, None, None, None)
    assert split.note == "flat folder: 6 normal for training, no test part"
    assert split.skipped == ()


def test_other_files_are_counted_and_clutter_is_not(fill: Fill) -> None:
    root = fill("a.png", "b.png", ".hidden.png", ".git/c.png", "__MACOSX/a.png", "._a.png")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "notes.txt", "more.TXT", "LICENSE"):
        (root / name).write_text("x")
    split = load(root)
    assert called(split.train) == ["a.png", "b.png"]
    assert split.note.endswith("; 3 other files ignored (.txt 2, no ending 1)")


def test_a_folder_that_only_contains_a_layout(fill: Fill, mvtec: Path) -> None:
    root = fill("x/y/a.png", "x/y/b.png", root=mvtec.parent / "nested")
    assert called(load(root).train) == ["x/y/a.png", "x/y/b.png"]
    outer = mvtec.parent / "outer"
    outer.mkdir()
    mvtec.rename(outer / "bottle")
    split = load(outer)
    assert len(verdicts(split)) == 5
    assert split.masks is not None
    assert "bottle/test/hole/0.png" in verdicts(split)


def test_mvtec(mvtec: Path) -> None:
    split = load(str(mvtec))
    assert called(split.train) == [f"train/good/{i}.png" for i in range(3)]
    assert verdicts(split) == {
        "test/Scratch/0.png": (True, "Scratch"),
        "test/Scratch/1.png": (True, "Scratch"),
        "test/good/0.png": (False, "good"),
        "test/good/1.png": (False, "good"),
        "test/hole/0.png": (True, "hole"),
    }
    assert split.note == "MVTec AD layout: 3 normal for training, 5 for test (3 anomalous, 2 kinds, masks)"
    assert split.masks is not None
    assert len(split.masks) == 5
    for i, (anomalous, _) in enumerate(verdicts(split).values()):
        seen = split.masks[i]
        assert seen is not None
        assert seen.dtype == np.bool_
        assert seen.shape == (12, 10)
        assert int(seen.sum()) == (2 if anomalous else 0)


def test_case_does_not_matter(fill: Fill) -> None:
    root = fill("Train/Good/1.png", "Train/Good/2.png", "TEST/GOOD/1.png", "TEST/Bad/1.png")
    mask(root, "Ground_Truth/BAD/1_MASK.png")
    split = load(root)
    assert verdicts(split) == {"TEST/Bad/1.png": (True, "Bad"), "TEST/GOOD/1.png": (False, "good")}
    assert split.masks is not None
    assert split.masks[0] is not None


def test_train_and_test_by_number_and_name(fill: Fill) -> None:
    root = fill("train/0.normal/1.png", "train/0.normal/2.png", "test/0.normal/3.png", "test/1.abnormal/4.png")
    split = load(root)
    assert called(split.train) == ["train/0.normal/1.png", "train/0.normal/2.png"]
    assert verdicts(split) == {
        "test/0.normal/3.png": (False, "good"),
        "test/1.abnormal/4.png": (True, "1.abnormal"),
    }
    assert split.note.startswith("train/test layout: 2 normal for training, 2 for test (1 anomalous)")


def test_train_alone_and_pictures_directly_in_train(fill: Fill) -> None:
    split = load(fill("train/1.png", "train/2.png", "test/good/1.png", "test/bad/1.png"))
    assert len(called(split.train)) == 2
    assert len(verdicts(split)) == 2
    split = load(fill("train/good/1.png", "train/good/2.png", root=Path(fill()).parent / "other"))
    assert split.test is None


def test_unused_folders_are_reported(fill: Fill) -> None:
    split = load(fill("train/good/1.png", "train/good/2.png", "train/odd/1.png", "val/good/1.png", "test/good/3.png"))
    assert called(split.train) == ["train/good/1.png", "train/good/2.png"]
    assert "train/odd/ not used" in split.note
    assert "val/ not used" in split.note


@pytest.mark.parametrize(
    ("good", "bad"), [("normal", "abnormal"), ("Good", "BAD"), ("ok", "anomaly"), ("0.normal", "1.defect")]
)
def test_normal_and_abnormal(fill: Fill, good: str, bad: str) -> None:
    root = fill(*(f"{good}/{i:03}.png" for i in range(100)), *(f"{bad}/{i}.png" for i in range(5)))
    split = load(root)
    train, test = called(split.train), verdicts(split)
    held = [name for name, (anomalous, _) in test.items() if not anomalous]
    assert len(train) + len(held) == 100
    assert not set(train) & set(held)
    assert 10 <= len(held) <= 30
    assert Counter(test.values()) == {(False, "good"): len(held), (True, bad): 5}
    assert split.note.startswith(f"normal and abnormal folders: {len(train)} normal for training, {len(test)} for test")
    assert "20% of the normals is held out" in split.note


def test_kinds_below_abnormal(fill: Fill) -> None:
    split = load(fill(*(f"normal/{i}.png" for i in range(9)), "abnormal/hole/a.png", "abnormal/b.png"))
    kinds = {name: kind for name, (anomalous, kind) in verdicts(split).items() if anomalous}
    assert kinds == {"abnormal/hole/a.png": "hole", "abnormal/b.png": "abnormal"}


def test_masks_beside_normal_and_abnormal(fill: Fill) -> None:
    root = fill(*(f"normal/{i}.png" for i in range(9)), "abnormal/hole/a.png", "abnormal/b.png")
    mask(root, "ground_truth/abnormal/hole/a_mask.png")
    mask(root, "ground_truth/abnormal/b.png")
    split = load(root)
    assert split.masks is not None
    assert [int(np.sum(m)) for m in split.masks if m is not None and m.any()] == [2, 2]


def test_the_held_out_share_does_not_move(fill: Fill, tmp_path: Path) -> None:
    names = [f"{i:03}.png" for i in range(60)]
    few = load(fill(*(f"normal/{name}" for name in names), "abnormal/x.png"))
    more = load(
        fill(*(f"Good/{name}" for name in [*names, "added.png", "new.png"]), root=tmp_path / "b")  # without anomalies
    )

    def by_name(split: Split) -> tuple[set[str], set[str]]:
        held = {Path(name).name for name, (anomalous, _) in verdicts(split).items() if not anomalous}
        return {Path(name).name for name in called(split.train)}, held

    (train, held), (train_more, held_more) = by_name(few), by_name(more)
    assert train <= train_more
    assert held <= held_more
    assert more.labels is not None
    assert not more.labels.any()


def test_few_normals_are_still_divided(fill: Fill, tmp_path: Path) -> None:
    for n in (3, 4, 5, 6):
        split = load(fill(*(f"normal/{i}.png" for i in range(n)), "abnormal/x.png", root=tmp_path / str(n)))
        held = sum(not anomalous for anomalous, _ in verdicts(split).values())
        assert held >= 1
        assert len(called(split.train)) == n - held


def test_composed_and_decomposed_accents_give_one_split(fill: Fill, tmp_path: Path) -> None:
    from oddgan.data.layouts import _held_out

    composed = [f"caf\u00e9{i}.png" for i in range(50)]
    decomposed = [name.replace("\u00e9", "e\u0301") for name in composed]
    first, second = (_held_out({name: name for name in names}) for names in (composed, decomposed))
    assert {name.replace("\u00e9", "e\u0301") for name in first} == second


def test_classes_are_chosen_by_name(fill: Fill) -> None:
    root = fill(*(f"Cat/{i}.png" for i in range(9)), *(f"dog/{i}.png" for i in range(4)), "eel/0.png")
    for options in ({"normal": {"cat"}}, {"anomaly": ["DOG", "eel"]}, {"normal": "Cat"}):
        split = load(root, **options)
        assert {kind for anomalous, kind in verdicts(split).values() if anomalous} == {"dog", "eel"}
        assert {kind for anomalous, kind in verdicts(split).values() if not anomalous} == {"Cat"}
        assert all(name.startswith("Cat/") for name in called(split.train))
    split = load(root, anomaly={"eel"})
    assert {name.split("/")[0] for name in called(split.train)} == {"Cat", "dog"}
    with pytest.raises(DataError, match=r"no class fox; its classes are cat, dog, eel"):
        load(root, normal={"fox"})
    for names in ({"cat", "dog", "eel"}, "all", ["cat,dog", "eel"]):
        split = load(root, normal=names)
        assert (len(split.train), split.test) == (14, None)
        assert "all of them normal" in split.note
    with pytest.raises(DataError, match="give one of them"):
        load(root, normal={"cat"}, anomaly={"dog"})


def test_classes_below_train_and_test(fill: Fill) -> None:
    split = load(fill("train/0/1.png", "train/0/2.png", "train/1/3.png", "test/0/1.png", "test/1/1.png"), normal={"0"})
    assert called(split.train) == ["train/0/1.png", "train/0/2.png"]
    assert verdicts(split) == {"test/0/1.png": (False, "0"), "test/1/1.png": (True, "1")}


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["cat/1.png", "dog/1.png"], ["cat/, dog/", "several ways", "train/good", "normal/"]),
        (["a.png", "cat/1.png"], ["1 pictures directly inside and cat/", "several ways"]),
        (["a.png", "normal/1.png"], ["several ways"]),
        (["good/1.png", "good/2.png", "hole/1.png"], ["beside good/ there is hole/", "into abnormal/"]),
        (["abnormal/1.png", "bad/1.png"], ["abnormal/, bad/ but no normal pictures", "put them into normal/"]),
        (["test/1.png", "test/2.png"], ["pictures directly in test/"]),
        (["ground_truth/bad/1.png"], ["masks and no pictures"]),
        (["train/bad/1.png", "train/worse/1.png"], ["train/ holds bad/, worse/", "no normal pictures"]),
        (["train/1.png", "train/good/1.png"], ["train/ holds pictures and folders"]),
        (["train/good/1.png", "train/good/2.png", "test/1.png"], ["pictures directly in test/"]),
        (["a.png"], ["too few normal pictures for training (1)"]),
        (["normal/a.png", "abnormal/a.png"], ["too few"]),
        (["notes.txt"], ["no pictures here, only 1 other file ignored (.txt 1)"]),
        ([], ["no pictures here, nothing"]),
    ],
)
def test_folders_that_cannot_be_used(fill: Fill, paths: list[str], words: list[str]) -> None:
    root = fill(*(path for path in paths if path.endswith(".png")))
    for path in paths:
        if path.endswith(".txt"):
            (root / path).write_text("x")
    with pytest.raises(DataError) as caught:
        load(root)
    message = str(caught.value)
    assert message.startswith(str(root))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_classes_for_a_flat_folder(fill: Fill) -> None:
    with pytest.raises(DataError, match="no classes; leave normal and anomaly out"):
        load(fill("a.png", "b.png"), normal={"a"})


def test_links_and_loops(fill: Fill, tmp_path: Path) -> None:
    root = fill("train/good/1.png", "train/good/2.png", "test/bad/1.png")
    elsewhere = fill("9.png", root=tmp_path / "elsewhere")
    (root / "test/good").symlink_to(elsewhere)
    (root / "train/good/up").symlink_to(root)
    (root / "train/good/self").symlink_to(root / "train/good/self")
    (root / "test/bad/gone.png").symlink_to(tmp_path / "gone.png")
    split = load(root)
    assert called(split.train) == ["train/good/1.png", "train/good/2.png"]
    assert list(verdicts(split)) == ["test/bad/1.png", "test/bad/gone.png", "test/good/9.png"]
    assert load(root, skip_bad=True).skipped == (("test/bad/gone.png", "there is no such file; check the path"),)


def test_no_permission(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill("a.png", "b.png")

    def denied(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(DataError, match=r"data: the folder may not be read \(permission denied\); give"):
        load(root)


def test_skip_bad(mvtec: Path) -> None:
    (mvtec / "train/good/1.png").write_text("no picture")
    (mvtec / "test/good/0.png").write_bytes((mvtec / "test/good/0.png").read_bytes()[:50])
    (mvtec / "ground_truth/Scratch/1_mask.png").write_text("no mask")
    assert load(mvtec).skipped == ()  # nothing is decoded before access
    calls: list[tuple[int, int]] = []
    split = load(mvtec, skip_bad=True, progress=lambda done, total: calls.append((done, total)))
    assert [name for name, _ in split.skipped] == ["train/good/1.png", "test/Scratch/1.png", "test/good/0.png"]
    assert "its mask" in split.skipped[1][1]
    assert called(split.train) == ["train/good/0.png", "train/good/2.png"]
    assert list(verdicts(split)) == ["test/Scratch/0.png", "test/good/1.png", "test/hole/0.png"]
    assert split.masks is not None
    assert [bool(np.any(m)) for m in split.masks if m is not None] == [True, False, True]
    assert split.note.endswith("of these unusable and skipped: 3")
    assert calls[-1] == (5, 5)


def test_skip_bad_with_nothing_bad_or_nothing_left(mvtec: Path, fill: Fill, tmp_path: Path) -> None:
    assert load(mvtec, skip_bad=True).note == load(mvtec).note
    root = fill("a.png", "b.png", root=tmp_path / "flat")
    (root / "a.png").write_text("no picture")
    with pytest.raises(DataError, match="1 of 2 normal pictures cannot be used"):
        load(root, skip_bad=True)


def test_masks_of_another_kind_of_file(mvtec: Path) -> None:
    rgba = np.zeros((12, 10, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[0, 0, 2] = 7
    (mvtec / "ground_truth/hole/0.bmp").unlink()
    Image.fromarray(rgba).save(mvtec / "ground_truth/hole/0_mask.png")
    masks = load(mvtec).masks
    assert masks is not None
    hole = masks[4]
    assert hole is not None
    assert np.argwhere(hole).tolist() == [[0, 0]]
    part = masks[3:]
    assert len(part) == 2
    again = part[1]
    assert again is not None
    np.testing.assert_array_equal(again, hole)


def test_kinds_without_masks(mvtec: Path) -> None:
    (mvtec / "ground_truth/hole/0.bmp").unlink()
    masks = load(mvtec).masks
    assert masks is not None
    assert [m is None for m in masks] == [False, False, False, False, True]


def test_masks_that_do_not_fit(mvtec: Path) -> None:
    mask(mvtec, "ground_truth/hole/0_mask.png", size=(24, 20))
    with pytest.raises(DataError, match=r"hole/0\.bmp and .*hole/0_mask\.png are masks of one picture"):
        load(mvtec)
    (mvtec / "ground_truth/hole/0.bmp").unlink()
    with pytest.raises(DataError, match=r"test/hole/0\.png: its mask .* is 20 x 24 where the picture is 10 x 12"):
        load(mvtec)
    mask(mvtec, "ground_truth/hole/0_mask.png")
    mask(mvtec, "ground_truth/hole/1_mask.png")
    with pytest.raises(DataError, match=r"masks without a picture in the test part: 1 of 4, hole/1_mask\.png"):
        load(mvtec)
    (mvtec / "ground_truth/hole/1_mask.png").unlink()
    (mvtec / "ground_truth/Scratch/1_mask.png").unlink()
    with pytest.raises(DataError, match=r"without a mask .*: 1, Scratch/1\.png"):
        load(mvtec)


def test_pictures_scaled_after_the_masks_were_drawn(mvtec: Path) -> None:
    for path in ("Scratch/0_mask.png", "Scratch/1_mask.png", "hole/0.bmp"):
        mask(mvtec, f"ground_truth/{path}", size=(36, 30))
    split = load(mvtec)
    assert "masks have another size than the pictures (30 x 36 where the picture is 10 x 12)" in split.note
    assert split.masks is not None
    first = split.masks[0]
    assert first is not None
    assert first.shape == (36, 30)
    mask(mvtec, "ground_truth/hole/0.bmp", size=(30, 36))
    with pytest.raises(DataError, match=r"3 of 3 differ"):
        load(mvtec)


def test_an_unreadable_mask_names_itself(mvtec: Path) -> None:
    (mvtec / "ground_truth/hole/0.bmp").write_text("no mask")
    masks = load(mvtec).masks
    assert masks is not None
    with pytest.raises(DataError, match=r"mask .*hole/0\.bmp: it is not a picture"):
        masks[4]


def test_masks_without_a_test_part(fill: Fill) -> None:
    root = fill("train/good/1.png", "train/good/2.png", "ground_truth/hole/1.png")
    assert "masks not used: 1" in load(root).note


def test_a_folder_named_by_the_current_one(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill("a.png", "b.png")
    monkeypatch.chdir(root)
    assert load(".").name == "data"
    assert called(load(os.curdir).train) == ["a.png", "b.png"]
