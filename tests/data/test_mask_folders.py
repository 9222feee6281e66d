"""Masks are found wherever they are, and folders that hold none are left alone."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oddgan.data import Pictures, load
from oddgan.errors import DataError

GOOD = [f"good/g{i}.png" for i in range(10)]
MVTEC = [*(f"train/good/{i}.png" for i in range(5)), "test/good/0.png", "test/bad/1.png", "test/bad/2.png"]
MASK = np.zeros((16, 20), np.uint8)
MASK[4:8, 5:12] = 255


def build(root: Path, pictures: Sequence[str], masks: Sequence[str] = ()) -> Path:
    for path in [*pictures, *masks]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(list(path.encode())).integers(0, 256, MASK.shape, dtype=np.uint8)
        Image.fromarray(MASK if path in masks else noise).save(root / path)
    return root


def called(rows: object) -> list[str]:
    assert isinstance(rows, Pictures)
    return [rows.name(i) for i in range(len(rows))]


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        (MVTEC, ["test/bad/masks/1.png", "test/bad/masks/2.png"]),
        (MVTEC, ["test/ground_truth/bad/1.png", "test/ground_truth/bad/2_mask.png"]),
        (MVTEC, ["ground_truth/test/bad/1.png", "ground_truth/test/bad/2.png"]),
        (MVTEC, ["test/bad/1_mask.png", "test/bad/2_mask.png"]),
        (MVTEC, ["masks/bad/1.png", "masks/bad/2.png"]),
        ([*GOOD, "bad/1.png", "bad/2.png"], ["bad/masks/1.png", "bad/masks/2.png"]),
        ([*GOOD, "bad/1.png", "bad/2.png"], ["bad/ground_truth/1.png", "bad/ground_truth/2.png"]),
        ([*GOOD, "bad/1.png", "bad/2.png"], ["bad/1_gt.png", "bad/2-mask.png"]),
        ([*GOOD, "bad/1.png", "bad/2.png"], ["labels/1.png", "labels/2.png"]),
        ([*GOOD, "bad/1.png", "bad/2.png"], ["seg/bad/1.png", "seg/bad/2_seg.png"]),
        (
            [
                *(f"Data/Images/Normal/{i}.png" for i in range(9)),
                "Data/Images/Anomaly/a.png",
                "Data/Images/Anomaly/b.png",
            ],
            ["Data/Masks/Anomaly/a.png", "Data/Masks/Anomaly/b.png"],
        ),
        (
            [*GOOD, unicodedata.normalize("NFC", "bad/é1.png"), "bad/2.png"],
            [unicodedata.normalize("NFD", "masks/é1.png"), "masks/2.png"],
        ),
    ],
)
def test_masks_are_no_pictures_wherever_they_are(tmp_path: Path, pictures: list[str], masks: list[str]) -> None:
    split = load(build(tmp_path, pictures, masks))
    assert set(called(split.train)) | set(called(split.test)) == set(pictures)
    assert split.labels is not None
    assert split.masks is not None
    assert int(split.labels.sum()) == 2
    for anomalous, mask in zip(split.labels, split.masks, strict=True):
        assert mask is not None
        assert np.array_equal(mask, MASK != 0 if anomalous else np.zeros_like(mask))


def test_folders_of_pictures_that_are_called_as_masks_are(tmp_path: Path) -> None:
    faces = build(tmp_path / "faces", [*(f"mask/{i}.png" for i in range(9)), "no_mask/1.png"])
    for how in ({"normal": "mask"}, {"anomaly": "no_mask"}):
        split = load(faces, **how)
        assert split.labels is not None
        assert int(split.labels.sum()) == 1
        assert all(name.startswith("mask/") for name in called(split.train))
    with pytest.raises(DataError, match="--normal mask,no_mask"):
        load(faces)
    kinds = build(tmp_path / "kinds", [*MVTEC, "test/label/1.png", "test/mask/1.png", "test/bad/1_label.png"])
    split = load(kinds)
    assert split.labels is not None
    assert int(split.labels.sum()) == 5


def test_masks_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    for folder, pictures in (("ground_truth/bad", MVTEC), ("masks", [*GOOD, "bad/1.png"])):
        root = build(tmp_path / folder.replace("/", "-"), pictures)
        (root / folder).mkdir(parents=True)
        np.save(root / folder / "1.npy", MASK)
        with pytest.raises(DataError, match=r"1\.npy: is no picture; save masks as PNG"):
            load(root)


def test_a_folder_of_data_sets(tmp_path: Path) -> None:
    for i, one in enumerate((MVTEC, [*GOOD, "bad/1.png"])):
        root = build(tmp_path / str(i), [f"{product}/{path}" for product in ("Bottle", "Cable") for path in one])
        for normal in (None, "all"):
            with pytest.raises(DataError, match=r"bottle/, cable/ are data sets of their own; name one .*Bottle$"):
                load(root, normal=normal)
        assert load(root / "Cable").test is not None


def test_everything_below_a_folder_is_normal(tmp_path: Path) -> None:
    for i, paths in enumerate(
        (
            [f"2024/05/0{day}/{n}.png" for day in (1, 2) for n in range(3)],
            [f"2024/0{month}/01/{n}.png" for month in (5, 6) for n in range(3)],
            [f"today/{n}.png" for n in range(6)],
            [f"{n}.png" for n in range(6)],
            ["a.png", *(f"days/{n}.png" for n in range(5))],
        )
    ):
        split = load(build(tmp_path / str(i), paths), normal="all")
        assert sorted(called(split.train)) == sorted(paths)
        assert split.test is None
    split = load(build(tmp_path / "mvtec", MVTEC), normal="all")
    assert called(split.train) == MVTEC[:5]
    assert split.test is None
    assert "every class is normal, test/ not used" in split.note


def test_a_message_names_the_flags_of_folders_with_commas(tmp_path: Path) -> None:
    root = build(tmp_path, [f"{name}/{i}.png" for name in ("bolt, m4", "nut", "screw") for i in range(4)])
    with pytest.raises(DataError, match=r"--normal 'bolt, m4' --normal nut --normal screw, or --normal all"):
        load(root)
    split = load(root, normal=["bolt, m4,nut"])
    assert {name.split("/")[0] for name in called(split.train)} == {"bolt, m4", "nut"}


def test_a_class_is_named_in_either_form_of_its_accents(tmp_path: Path) -> None:
    folder = unicodedata.normalize("NFD", "pièce")
    root = build(tmp_path, [*(f"{folder}/{i}.png" for i in range(5)), "autre/1.png"])
    split = load(root, normal=unicodedata.normalize("NFC", "Pièce"))
    assert split.labels is not None
    assert int(split.labels.sum()) == 1


def test_anomalous_pictures_alone_are_judged(tmp_path: Path) -> None:
    root = build(tmp_path, ["bad/1.png", "bad/2.png"])
    split = load(root, all_rows=True)
    assert split.labels is not None
    assert (split.train, split.labels.tolist()) == (None, [True, True])
    with pytest.raises(DataError, match="no normal pictures"):
        load(root)


def test_parts_in_names_of_folders(tmp_path: Path) -> None:
    root = build(tmp_path, [*(f"train_ok/{i}.png" for i in range(5)), "test_ok/1.png", "test_ng/1.png"])
    with pytest.raises(DataError, match="move test_ng/ to test/ng, and so on"):
        load(root)
