"""Folders as users have them: masks of any kind, days and products, labelled folders judged whole, pages, channels."""

import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

import oddgan
from oddgan.cautions import DataWarning
from oddgan.data import load, rows
from oddgan.errors import DataError


def picture(path, value=100, mark=False, size=(16, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    shown = (value + random.integers(0, 20, size)).astype(np.uint8)
    if mark:
        shown[4:8, 5:12] = 255
    Image.fromarray(shown).save(path)


def mask(path, size=(16, 20), **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = np.zeros(size, np.uint8)
    shown[4:8, 5:12] = 255
    Image.fromarray(shown).save(path, **how)


TRUE = np.zeros((16, 20), bool)
TRUE[4:8, 5:12] = True


@pytest.mark.parametrize(
    ("good", "bad", "masks"),
    [
        ("OK", "NG", "MASK/{}.png"),
        ("OK", "NG", "MASK/NG/{}.png"),
        ("OK", "NG", "masks/{}_mask.png"),
        ("normal", "abnormal", "masks/{}_gt.png"),
        ("normal_dir", "abnormal_dir", "mask_dir/{}.png"),
        ("good", "bad", "gt/{}-label.png"),
        ("Good", "Defect", "ground_truth/{}.png"),
    ],
)
def test_masks_beside_normal_and_abnormal(tmp_path, good, bad, masks):
    for i in range(12):
        picture(tmp_path / good / f"g{i}.png")
    for i in range(4):
        picture(tmp_path / bad / f"b{i}.jpg", mark=True)
        mask(tmp_path / masks.format(f"b{i}"))
    split = load(tmp_path)
    assert int(split.labels.sum()) == 4
    assert len(split.train) + int((~split.labels).sum()) == 12
    for anomalous, found in zip(split.labels, split.masks, strict=True):
        assert np.array_equal(found, TRUE if anomalous else np.zeros_like(TRUE))
    assert len(rows(tmp_path)) == 16  # masks are not scored


def test_masks_of_normal_pictures_too_and_names_that_both_have(tmp_path):
    for i in range(12):
        picture(tmp_path / "OK" / f"{i}.png")
        if i < 4:
            picture(tmp_path / "NG" / f"{i}.png", mark=True)
        mask(tmp_path / "MASK" / f"{i}.png")
    split = load(tmp_path)  # mask 0 is that of NG/0.png, mask 11 of OK/11.png
    assert all(np.array_equal(m, TRUE) for m, anomalous in zip(split.masks, split.labels, strict=True) if anomalous)


def test_a_mask_that_may_be_of_two_pictures(tmp_path):
    for i in range(6):
        picture(tmp_path / "good" / f"g{i}.png")
    for kind in ("hole", "scratch"):
        picture(tmp_path / "bad" / kind / "1.png", mark=True)
    mask(tmp_path / "masks/1.png")
    with pytest.raises(DataError, match=r"the mask 1\.png may be of .*hole/1\.png or of .*scratch/1\.png"):
        load(tmp_path)


@pytest.fixture
def mvtec(tmp_path):
    for i in range(8):
        picture(tmp_path / "train/good" / f"{i}.png")
    picture(tmp_path / "test/good/0.png")
    picture(tmp_path / "test/hole/0.png", mark=True)
    return tmp_path


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_masks_in_jpeg_are_cut_at_half_and_warned_of(mvtec, quality):
    mask(mvtec / "ground_truth/hole/0_mask.jpg", quality=quality)
    split = load(mvtec)
    with pytest.warns(DataWarning, match="soft edges"):
        assert np.array_equal(split.masks[1], TRUE)


def test_soft_edges_in_other_formats(mvtec):
    ramp = np.linspace(0, 255, 320).reshape(16, 20).astype(np.uint8)
    Image.fromarray(ramp).save((mvtec / "ground_truth/hole").parent.parent / "x.png")
    (mvtec / "ground_truth/hole").mkdir(parents=True)
    (mvtec / "x.png").rename(mvtec / "ground_truth/hole/0.png")
    with pytest.warns(DataWarning, match="soft edges"):
        assert np.array_equal(load(mvtec).masks[1], ramp > 127.5)


@pytest.mark.parametrize("levels", [(0, 1), (0, 255), (0, 1, 2, 3), (7,)])
def test_exact_levels_are_anomalous_where_they_are_not_zero(mvtec, levels, recwarn):
    shown = np.resize(np.array(levels, np.uint8), (16, 20))
    shown[:2] = 0
    shown[14:] = 0
    shown[:, :4] = 0
    (mvtec / "ground_truth/hole").mkdir(parents=True)
    Image.fromarray(shown).save(mvtec / "ground_truth/hole/0.png")
    assert np.array_equal(load(mvtec).masks[1], shown != 0)
    assert not [one for one in recwarn if issubclass(one.category, DataWarning)]


def test_colours_of_kinds_and_palettes(mvtec):
    shown = np.zeros((16, 20, 3), np.uint8)
    shown[4:8, 5:9] = (128, 0, 0)
    shown[4:8, 9:12] = (0, 60, 0)
    (mvtec / "ground_truth/hole").mkdir(parents=True)
    for convert in ("RGB", "P"):
        Image.fromarray(shown).convert(convert).save(mvtec / "ground_truth/hole/0.png")
        assert np.array_equal(load(mvtec).masks[1], TRUE)


def test_masks_drawn_the_other_way_round_are_warned_of(mvtec):
    (mvtec / "ground_truth/hole").mkdir(parents=True)
    Image.fromarray(np.where(TRUE, 0, 255).astype(np.uint8)).save(mvtec / "ground_truth/hole/0.png")
    with pytest.warns(DataWarning, match="invert the masks"):
        load(mvtec).masks[1]


def test_masks_in_an_array_file(tmp_path):
    soft = np.linspace(0, 1, 320).reshape(1, 16, 20)
    np.savez(tmp_path / "a.npz", x_train=np.ones((9, 16, 20)), x_test=np.ones((1, 16, 20)), y_test=[1], masks=soft)
    with pytest.warns(DataWarning, match="soft edges"):
        assert np.array_equal(load(tmp_path / "a.npz").masks[0], soft[0] > 0.5)


def test_one_folder_a_day(tmp_path):
    for day in ("2024-05-01", "2024-05-02", "2024-05-03"):
        for i in range(4):
            picture(tmp_path / day / f"{i}.png")
    with pytest.raises(DataError, match=r"--normal 2024-05-01,2024-05-02,2024-05-03, or --normal all"):
        load(tmp_path)
    for normal in ("all", ["2024-05-01", "2024-05-02", "2024-05-03"], "2024-05-01,2024-05-02,2024-05-03"):
        split = load(tmp_path, normal=normal)
        assert (len(split.train), split.test) == (12, None)


def test_a_class_with_a_comma_in_its_name(tmp_path):
    for name in ("bolt, m4", "nut"):
        for i in range(5):
            picture(tmp_path / name / f"{i}.png")
    split = load(tmp_path, normal="bolt, m4")
    assert {name.split("/")[0] for name in map(split.train.name, range(len(split.train)))} == {"bolt, m4"}
    assert len(load(tmp_path, normal=["bolt, m4", "nut"]).train) == 10


def test_a_labelled_folder_is_judged_whole(tmp_path):
    for i in range(10):
        picture(tmp_path / "good" / f"{i}.png")
    for i in range(3):
        picture(tmp_path / "bad/hole" / f"{i}.png", mark=True)
    split = load(tmp_path, all_rows=True)
    assert split.train is None
    assert (len(split.test), int(split.labels.sum())) == (13, 3)
    assert set(split.kinds) == {"good", "hole"}


def test_a_test_part_alone(mvtec):
    shutil.rmtree(mvtec / "train")
    mask(mvtec / "ground_truth/hole/0_mask.png")
    split = load(mvtec)
    assert (split.train, len(split.test), split.labels.tolist()) == (None, 2, [False, True])
    assert np.array_equal(split.masks[1], TRUE)


def test_all_rows_of_other_layouts(mvtec, tmp_path_factory):
    mask(mvtec / "ground_truth/hole/0_mask.png")
    split = load(mvtec, all_rows=True)
    assert (len(split.test), int(split.labels.sum()), split.train) == (10, 1, None)
    assert np.array_equal(split.masks[int(np.flatnonzero(split.labels)[0])], TRUE)
    flat = tmp_path_factory.mktemp("flat")
    for i in range(3):
        picture(flat / f"{i}.png")
    split = load(flat, all_rows=True)
    assert (split.train, len(split.test), split.labels) == (None, 3, None)


def test_pages_of_a_tiff_are_pictures(tmp_path):
    pages = [np.full((16, 20), 10 * i, np.uint8) for i in range(12)]
    images = [Image.fromarray(page + np.random.default_rng(0).integers(0, 5, (16, 20), np.uint8)) for page in pages]
    (tmp_path / "scans").mkdir()
    images[0].save(tmp_path / "scans/a.tif", save_all=True, append_images=images[1:])
    images[3].save(tmp_path / "scans/b#1.tif")
    found = rows(tmp_path / "scans")
    assert [found.name(i) for i in range(3)] == ["a.tif#0", "a.tif#1", "a.tif#2"]
    assert found.name(11) == "a.tif#11"
    assert found.name(12) == "b#1.tif"
    assert np.array_equal(found[5], np.asarray(images[5]))
    assert np.array_equal(oddgan.data.read_picture(tmp_path / "scans/a.tif#4"), np.asarray(images[4]))
    assert len(rows(tmp_path / "scans/a.tif")) == 12
    det = oddgan.PCA(random_state=0).fit(tmp_path / "scans")
    assert det.anomaly_score(tmp_path / "scans").shape == (13,)
    assert det.anomaly_score(tmp_path / "scans/a.tif#2").shape == (1,)
    with pytest.raises(DataError, match=r"a\.tif#99"):
        oddgan.data.read_picture(tmp_path / "scans/a.tif#99")


def test_several_files_are_channels_of_one_picture(tmp_path):
    for i in range(10):
        picture(tmp_path / "normal" / f"p{i}_vis.png")
        picture(tmp_path / "normal" / f"p{i}_ir.png", value=30)
    for i in range(3):
        picture(tmp_path / "abnormal" / f"q{i}_vis.png")
        picture(tmp_path / "abnormal" / f"q{i}_ir.png", value=30, mark=True)
        mask(tmp_path / "masks" / f"q{i}.png")
    split = load(tmp_path, channels_from=("_vis", "_ir"))
    assert split.train[0].shape == (16, 20, 2)
    assert split.train.name(0).endswith(".png")
    assert "_vis" not in split.train.name(0)
    assert split.masks[int(np.flatnonzero(split.labels)[0])].sum() == TRUE.sum()
    det = oddgan.GANomaly(random_state=0, updates=3, width=4).fit(split.train)
    assert det.model_.preprocessor.channels == 2
    found = oddgan.evaluate(det, split)
    assert found.pixel
    assert len(det.anomaly_score(rows(tmp_path / "abnormal", channels_from=("_vis", "_ir")))) == 3
    (tmp_path / "normal/p3_ir.png").unlink()
    with pytest.raises(DataError, match=r"beside normal/p3_vis\.png there is no file that ends in _ir"):
        load(tmp_path, channels_from=("_vis", "_ir"))
    with pytest.raises(DataError, match="ends in none of"):
        load(tmp_path, channels_from=("_vis", "_uv"))
