"""The region of interest: nothing outside it counts."""

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

import oddgan
from oddgan.data import Split
from oddgan.errors import DataError, OddganError, ParameterError
from oddgan.metrics import PixelScores
from oddgan.preprocessing import Region

N = 40


@pytest.fixture
def pictures():
    random = np.random.default_rng(0)
    return random.integers(60, 120, (N, 40, 48), dtype=np.uint8) + np.arange(48, dtype=np.uint8)


@pytest.fixture
def disc(tmp_path):
    """A round region with its centre at row 20, column 16."""
    rows, columns = np.ogrid[:40, :48]
    mask = (rows - 20) ** 2 + (columns - 16) ** 2 < 100
    path = tmp_path / "disc.png"
    Image.fromarray((mask * 255).astype(np.uint8)).save(path)
    return str(path), mask


DETECTORS = [
    oddgan.PCA(random_state=0),
    oddgan.PCA(random_state=0, tile=12, stride=5),
    oddgan.GANomaly(random_state=0, updates=3, width=4, device="cpu"),
    oddgan.GANomaly(random_state=0, updates=3, width=4, device="cpu", tile=16),
]


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: f"{type(d).__name__}{d.tile or ''}")
@pytest.mark.parametrize("form", ["disc", "rectangle"])
def test_nothing_outside_has_any_influence(detector, form, pictures, disc, tmp_path):
    roi, mask = disc
    if form == "rectangle":
        roi, mask = (10, 5, 30, 20), np.zeros((40, 48), bool)
        mask[5:25, 10:40] = True
    random = np.random.default_rng(1)
    other = np.where(mask, pictures, random.integers(0, 255, pictures.shape, dtype=np.uint8))
    first, second = (clone(detector).set_params(roi=roi).fit(X) for X in (pictures, other))
    assert np.array_equal(first.anomaly_score(pictures), second.anomaly_score(other))  # neither trained on nor scored
    found = first.explain(other)
    assert np.array_equal(found.score, first.anomaly_score(pictures))
    for heat in found.anomaly_map:
        assert heat.shape == (40, 48)
        assert heat[~mask].max() == min(0.0, heat[mask].min())
        assert heat[mask].any()
    first.save(tmp_path / "m.oddgan")
    assert np.array_equal(oddgan.load(tmp_path / "m.oddgan").anomaly_score(other), found.score)


@pytest.mark.parametrize("detector", DETECTORS[:2], ids=lambda d: f"{type(d).__name__}{d.tile or ''}")
def test_what_is_inside_is_found(detector, pictures, disc):
    fitted = clone(detector).set_params(roi=disc[0]).fit(pictures)
    marked = pictures.copy()
    marked[:, 15:20, 14:20] = 255
    assert (fitted.anomaly_score(marked) > fitted.anomaly_score(pictures)).all()


def test_pixels_outside_are_not_counted(pictures, disc):
    path, mask = disc
    test = pictures[:6].copy()
    test[3:, 15:25, 12:20] = 255
    truth = np.zeros((6, 40, 48), bool)
    truth[3:, 15:25, 12:20] = True
    truth[3:, :5, 40:] = True  # a defect that the region leaves out
    detector = oddgan.PCA(random_state=0, roi=path).fit(pictures)
    split = Split(name="toy", train=None, test=test, labels=np.arange(6) > 2, masks=list(truth))
    found = oddgan.evaluate(detector, split)
    inside = PixelScores()
    for heat, one in zip(detector.anomaly_map(test), truth, strict=True):
        inside.add(one, heat, mask)
    assert found.pixel["pixel_auroc"] == inside.auroc() > 0.9
    assert found.pixel["aupro_0.3"] == inside.aupro(0.3)
    elsewhere = Split(name="toy", train=None, test=test, labels=np.arange(6) > 2, masks=list(truth & ~mask))
    assert any("outside the region" in line for line in oddgan.evaluate(detector, elsewhere).warnings)


def test_other_sizes_are_refused_or_scaled(pictures, disc):
    detector = oddgan.PCA(random_state=0, roi=disc[0]).fit(pictures)
    large = np.kron(pictures[:3], np.ones((1, 2, 2), np.uint8))
    with pytest.raises(DataError, match="80x96 pixels"):
        detector.anomaly_score(large)
    found = detector.with_conversion().anomaly_map(large)
    assert (found[0][~np.kron(disc[1], np.ones((2, 2), bool))] <= 0).all()


@pytest.mark.parametrize(
    ("roi", "says"),
    [
        ((40, 0, 20, 20), "reaches beyond pictures of 40x48"),
        ((0, 0, 4, 20), "8 pixels at least"),
        ("nowhere.png", "no such file"),
        ((0, 0, 4), "LEFT,TOP,WIDTH,HEIGHT"),
    ],
)
def test_regions_that_do_not_fit(pictures, roi, says):
    with pytest.raises(ParameterError, match=says):
        oddgan.PCA(roi=roi).fit(pictures)


def test_masks_that_do_not_fit(pictures, tmp_path):
    for name, mask in (("black", np.zeros((40, 48))), ("white", np.ones((40, 48))), ("small", np.eye(20))):
        Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
        with pytest.raises(OddganError, match=r"empty|whole picture|20x20"):
            oddgan.PCA(roi=str(tmp_path / f"{name}.png")).fit(pictures)
    with pytest.raises(ParameterError, match="one size"):
        oddgan.PCA(roi=(0, 0, 9, 9)).fit([np.zeros((20, 20 + i % 2), np.uint8) for i in range(9)])
    with pytest.raises(ParameterError, match="this is a table"):
        oddgan.PCA(roi=(0, 0, 9, 9)).fit(np.random.default_rng(0).normal(size=(60, 3)))


def test_what_auto_stands_for_depends_on_the_size_of_the_region(pictures):
    whole = oddgan.PCA(random_state=0).fit(pictures)
    small = oddgan.PCA(random_state=0, roi=(10, 5, 30, 20)).fit(pictures)
    large = oddgan.PCA(random_state=0, roi=(2, 3, 40, 30)).fit(pictures)
    assert whole.model_.combination.names == large.model_.combination.names == ("map_max",)
    assert small.model_.combination.names == (oddgan.PCA.own_score,)
    enlarged = oddgan.PCA(random_state=0, roi=(10, 5, 30, 20), size=40).fit(pictures)
    assert enlarged.model_.combination.names == ("map_max",)


def test_what_is_seen_of_pictures(disc):
    sides = np.array([[40, 48], [40, 48]])
    region, seen = Region.seen(None, sides)
    assert region is None
    assert seen is sides
    region, seen = Region.seen((10, 5, 30, 20), sides)
    assert seen.tolist() == [[20, 30]]
    assert region.cut_mask.all()
    region, seen = Region.seen(disc[0], sides)
    assert seen.tolist() == [[19, 19]]
    np.testing.assert_array_equal(region.cut_mask, disc[1][11:30, 7:26])


@pytest.mark.parametrize("channels", [(), (3,)])
def test_what_was_made_of_a_region_is_put_in_its_place(disc, channels):
    region, _ = Region.seen(disc[0], np.array([[40, 48]]))
    made = np.random.default_rng(0).integers(1, 255, (19, 19, *channels), dtype=np.uint8)
    whole = region.placed(made, (40, 48))
    assert whole.shape == (40, 48, *channels)
    np.testing.assert_array_equal(whole[disc[1]], made[region.cut_mask])
    assert not whole[~disc[1]].any()
    large = region.placed(made, (80, 96))  # of a picture that was converted
    assert large.shape == (80, 96, *channels)
    assert not large[~np.kron(disc[1], np.ones((2, 2), bool))].any()
    assert large[40, 32].any()


@pytest.mark.parametrize("detector", DETECTORS[:2], ids=lambda d: f"{type(d).__name__}{d.tile or ''}")
def test_examples_show_what_was_made_of_a_region_in_its_place(detector, pictures, disc):
    path, mask = disc
    fitted = clone(detector).set_params(roi=path).fit(pictures)
    found = oddgan.evaluate(fitted, Split(name="toy", train=None, test=pictures[:6]))
    (made,) = fitted.reconstruct(pictures[found.examples[0].row][None])
    shown = found.examples[0].reconstruction
    assert shown.shape == found.examples[0].picture.shape == (40, 48)
    expected = np.clip(np.rint(made), 0, 255)
    if detector.tile is None:  # tiles are laid in their places anyway
        expected, inside = expected[mask[11:30, 7:26]], shown[mask]
        assert not shown[~mask].any()
        np.testing.assert_array_equal(inside, expected)
    else:
        np.testing.assert_array_equal(shown, expected)


def test_a_picture_at_whose_size_nothing_of_the_region_is_left_is_refused():
    X = np.random.default_rng(0).integers(0, 256, (30, 200, 200), dtype=np.uint8)
    det = oddgan.PCA(random_state=0, size=8, roi=(1, 1, 8, 8), convert=True).fit(X)
    with pytest.raises(DataError, match="nothing of the region of interest is left"):
        det.anomaly_score(X[:1, :10, :10])


def test_little_is_kept_of_many_sizes():
    mask = np.zeros((40, 40), bool)
    mask[5:20, 10:30] = True
    region = Region(mask)
    first = region.at((41, 50)).copy(), region.nearest_corner((41, 50), 8, 33, 0)
    for side in range(42, 80):
        region.nearest_corner((side, side), 8, side - 8, 0)
    assert max(len(region._scaled), len(region._corners)) <= 8
    assert np.array_equal(region.at((41, 50)), first[0])
    assert region.nearest_corner((41, 50), 8, 33, 0) == first[1]
