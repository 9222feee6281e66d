"""What is recommended follows from what rows are, and the caller's own parameters stay."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import oddgan
from oddgan.advice import Looked, alikeness, best_exposure
from oddgan.errors import ParameterError
from oddgan.rows import PictureRows, open_rows


def alike(n, side, seed=0):
    random = np.random.default_rng(seed)
    part = random.integers(0, 256, (side, side))
    return np.clip(part + random.normal(0, 10, (n, side, side)), 0, 255).astype(np.uint8)


def unlike(n, side, seed=0):
    return (
        np.random.default_rng(seed)
        .integers(0, 256, (n, side // 8, side // 8), dtype=np.uint8)
        .repeat(8, 1)
        .repeat(8, 2)
    )


def looked(X):
    return Looked(open_rows(X))


def test_tables_are_looked_at_in_several_views(table):
    det = oddgan.recommended(table, random_state=3)
    assert type(det) is oddgan.GANomaly
    assert (det.local, det.random_state) == ("views", 3)
    assert oddgan.recommended(table, local="off").local == "off"
    assert oddgan.recommended(table, score_by="residual").local == "off"


def test_small_pictures_are_compared_with_the_nearest():
    det = oddgan.recommended(alike(20, 28))
    assert type(det) is oddgan.GANomaly
    assert (det.local, det.near, det.neighbours) == ("distance", "rows", 2)


def test_large_pictures_are_judged_by_their_map():
    det = oddgan.recommended(alike(20, 64))
    assert type(det) is oddgan.GANomaly
    assert det.local == "off"
    assert type(oddgan.recommended(alike(20, 28), tile=16)) is oddgan.GANomaly  # tiles are parts of larger ones


def test_pictures_that_have_the_pixels_are_looked_at_in_more():
    det = oddgan.recommended(alike(20, 200)[:, :100])
    assert (type(det), det.size) == (oddgan.GANomaly, (64, 128))
    assert oddgan.recommended(alike(20, 127)).size is None
    assert oddgan.recommended(alike(20, 200), size=96).size == 96
    assert oddgan.recommended(alike(20, 200), tile=64).size is None


def test_pictures_that_are_unlike_each_other_are_judged_by_what_looks_foreign():
    det = oddgan.recommended(unlike(20, 128))
    assert type(det) is oddgan.DRAEM
    assert (det.tile, det.stride) == (64, 64)
    assert oddgan.recommended(unlike(20, 64)).tile is None
    assert oddgan.recommended(unlike(20, 128), size=64).tile is None
    assert oddgan.recommended(unlike(20, 128), tile=32).tile == 32


def test_alikeness():
    assert alikeness(looked(alike(40, 64))) > 0.95
    assert alikeness(looked(unlike(40, 64))) < 0.1
    assert alikeness(looked(np.full((5, 40, 40, 3), 7, np.uint8))) == 1.0
    mixed = [alike(1, side, seed)[0] for seed, side in enumerate((40, 56, 72) * 4)]
    assert 0 <= alikeness(looked(mixed)) <= 1


def test_a_parameter_of_another_detector_is_refused():
    with pytest.raises(ParameterError, match="latent_dim: DRAEM, which suits such data, has no such parameter"):
        oddgan.recommended(unlike(20, 128), latent_dim=8)


def test_what_is_recommended_works():
    small = {"updates": 3, "width": 8, "random_state": 0}
    for X in (alike(24, 28), alike(24, 40), unlike(24, 40), np.random.default_rng(0).normal(size=(60, 4))):
        det = oddgan.recommended(X, **small).fit(X)
        assert np.isfinite(det.anomaly_score(X[:3])).all()


def test_an_exposure_is_chosen_where_lamps_hide_defects():
    random = np.random.default_rng(5)
    y, x = np.mgrid[:64, :64] / 64
    part = 90 + 60 * np.sin(7 * x) * np.cos(5 * y)
    texture = ndimage.gaussian_filter(random.standard_normal((150, 64, 64)), (0, 1, 1))
    steady = np.clip(part * (1 + 0.1 * texture / texture.std()), 0, 255).astype(np.uint8)
    assert best_exposure(looked(steady)) == "none"
    assert best_exposure(looked(steady[:10])) == "none"  # too few to choose by
    lamps = (steady * random.uniform(0.2, 1.0, (150, 1, 1))).astype(np.uint8)
    assert best_exposure(looked(lamps)) != "none"
    assert oddgan.recommended(lamps).exposure == best_exposure(looked(lamps))
    assert oddgan.recommended(lamps, exposure="none").exposure == "none"


def test_a_budget_of_the_callers_changes_nothing_else():
    X = unlike(20, 128)
    usual, asked = oddgan.recommended(X), oddgan.recommended(X, updates=7)
    assert (asked.updates, asked.width, asked.batch_size) == (7, usual.width, usual.batch_size)
    assert oddgan.recommended(X, minutes=1).updates is None


def test_tables_with_few_rows_that_differ_are_not_compared():
    assert oddgan.recommended(np.random.default_rng(0).normal(size=(5, 3))).local == "off"
    assert oddgan.recommended(np.ones((200, 1))).local == "off"


def test_all_pictures_decide_and_not_the_first():
    mixed = [unlike(1, 152)[0], *unlike(30, 56)]
    assert oddgan.recommended(mixed).tile is None
    small = [alike(1, 24)[0], *(one for one in alike(30, 64))]
    assert oddgan.recommended(small).local == "off"


def test_whole_pictures_may_be_asked_for():
    det = oddgan.recommended(unlike(20, 128), tile=None)
    assert (det.tile, det.stride) == (None, None)


def test_neighbours_may_be_asked_for():
    assert oddgan.recommended(alike(30, 64), near="both").local == "distance"


def test_pictures_that_cannot_be_tried_in_grey_keep_their_exposure():
    X = alike(30, 64).astype(np.float32)
    assert oddgan.recommended(np.stack([X, -X], axis=-1)).exposure == "none"
    assert best_exposure(looked(np.full((40, 50, 50), 5.0, np.float32))) == "none"


ROI = 48, 40, 64, 64  # left, top, width, height


def inside_of(pictures, inner):
    """These pictures, with others in the region of interest."""
    left, top, width, height = ROI
    found = pictures.copy()
    found[:, top : top + height, left : left + width] = inner
    return found


@pytest.fixture
def mask(tmp_path):
    """A picture that is white in a disc within the region, and its path."""
    y, x = np.mgrid[:160, :160]
    disc = np.hypot(y - 72, x - 80) < 32
    Image.fromarray((disc * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    return str(tmp_path / "mask.png")


def test_of_a_region_of_interest_nothing_outside_is_looked_at(mask):
    random = np.random.default_rng(3)
    alike_inside = inside_of(unlike(30, 160), alike(30, 64))
    unlike_inside = inside_of(unlike(1, 160).repeat(30, 0), unlike(30, 64))
    assert type(oddgan.recommended(alike_inside)) is oddgan.DRAEM
    assert type(oddgan.recommended(unlike_inside)) is oddgan.GANomaly
    for roi in (ROI, mask):
        assert type(oddgan.recommended(alike_inside, roi=roi)) is oddgan.GANomaly
        det = oddgan.recommended(unlike_inside, roi=roi)
        assert type(det) is oddgan.DRAEM
        assert det.tile is None  # it is no larger than a tile
        assert det.roi == roi
    for X in (alike_inside, unlike_inside):
        noise = random.integers(0, 256, X.shape, dtype=np.uint8)
        other = inside_of(noise, X[:, ROI[1] : ROI[1] + 64, ROI[0] : ROI[0] + 64])
        assert oddgan.recommended(other, roi=ROI).parameters == oddgan.recommended(X, roi=ROI).parameters
    assert oddgan.recommended(unlike(30, 160), roi=(0, 0, 150, 140)).tile == 64


@pytest.mark.slow
def test_the_exposure_is_that_of_the_region_of_interest(mask):
    random = np.random.default_rng(5)
    y, x = np.mgrid[:64, :64] / 64
    part = 90 + 60 * np.sin(7 * x) * np.cos(5 * y)
    texture = ndimage.gaussian_filter(random.standard_normal((150, 64, 64)), (0, 1, 1))
    steady = np.clip(part * (1 + 0.1 * texture / texture.std()), 0, 255).astype(np.uint8)
    lamps = (steady * random.uniform(0.2, 1.0, (150, 1, 1))).astype(np.uint8)
    around = np.full((150, 160, 160), 100, np.uint8)
    for roi in (ROI, mask):
        assert oddgan.recommended(inside_of(around, lamps), roi=roi).exposure != "none"
        assert oddgan.recommended(inside_of(around, steady), roi=roi).exposure == "none"


@pytest.mark.parametrize("n", [30, 700])
def test_a_small_region_of_interest_is_a_small_picture(n):
    X, roi = alike(n, 48), (10, 8, 24, 20)
    assert oddgan.recommended(X).local == "off"
    det = oddgan.recommended(X, roi=roi)
    assert (det.local, det.near) == ("distance", "rows")
    asked = oddgan.recommended(X, roi=roi, size=40)
    assert asked.local == "off"


def test_a_region_of_interest_that_does_not_fit_is_refused():
    X = alike(30, 64)
    for roi, says in (((50, 0, 20, 20), "reaches beyond"), ("nowhere.png", "no such file"), ((0, 0, 4), "LEFT,TOP")):
        with pytest.raises(ParameterError, match=says):
            oddgan.recommended(X, roi=roi)
    table = np.random.default_rng(0).normal(size=(60, 3))
    det = oddgan.recommended(table, roi=ROI)
    with pytest.raises(ParameterError, match="this is a table"):
        det.fit(table)


class Counted:
    """Pictures that count how often each is decoded."""

    def __init__(self, pictures):
        self.pictures, self.reads = pictures, np.zeros(len(pictures), int)

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        self.reads[i] += 1
        return self.pictures[i]

    def header(self, i):
        return (*self.pictures[i].shape, 1, self.pictures[i].dtype)

    def name(self, i):
        return f"row {i}"


@pytest.mark.parametrize("n", [30, 700])
def test_each_picture_is_read_once(n):
    for X, most in ((alike(n, 64), 200), (unlike(n, 64), 100)):
        rows = Counted(X)
        oddgan.recommended(PictureRows(rows))
        assert rows.reads.max() == 1
        assert rows.reads.sum() == min(n, most)


def test_no_budget_is_none():
    assert oddgan.recommended(alike(30, 64), minutes=None).updates == oddgan.recommended(alike(30, 64)).updates
