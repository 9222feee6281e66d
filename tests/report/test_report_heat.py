"""Heat maps leave normal pixels as they are, and tiny pictures stay sharp."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from oddgan.colours import inferno
from oddgan.errors import DataError, OutputError, ParameterError
from oddgan.report import Shades, heat_map_grid, located, overlay, panel
from oddgan.report.heat import CONTOUR, OUTLINE, colour_bar, outlined, shown_views
from oddgan.verdict.regions import threshold_in


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 255, (6, 9), dtype=np.uint8)


def test_a_map_of_zeros_leaves_the_picture(picture):
    shown = overlay(picture, np.zeros((6, 9)), Shades(1.0))
    np.testing.assert_array_equal(shown, np.repeat(picture[..., None], 3, axis=2))
    colour = np.stack([picture, picture // 2, picture // 3], axis=2)
    np.testing.assert_array_equal(overlay(colour, np.zeros((6, 9)), Shades(1.0)), colour)


def test_heat_grows_with_the_map_and_ends_at_its_highest(picture):
    base = np.repeat(picture[..., None], 3, axis=2).astype(int)
    change = [np.abs(overlay(picture, np.full((6, 9), v), Shades(2.0)) - base).mean() for v in (0, 0.02, 0.5, 1, 2, 5)]
    assert change[0] == 0
    assert change[1] < 3  # a hundredth of the scale can hardly be seen
    assert sorted(change) == change
    assert change[-1] == change[-2] > 40
    assert overlay(picture, np.full((6, 9), np.nan), Shades(1.0)).dtype == np.uint8


def test_the_colours_are_matplotlibs():
    matplotlib = pytest.importorskip("matplotlib")
    table = matplotlib.colormaps["inferno"](np.linspace(0.35, 0.87, 256))[:, :3]
    np.testing.assert_array_equal(inferno(), np.rint(table * 255))
    assert inferno().dtype == np.uint8


def test_overlay_refuses_what_does_not_fit(picture):
    with pytest.raises(DataError, match=r"\(6, 9\) and map \(5, 9\)"):
        overlay(picture, np.zeros((5, 9)), Shades(1.0))
    for high in (0.0, -1.0, np.nan):
        with pytest.raises(ParameterError, match="must be above low=0"):
            Shades(high)


def test_an_outline_lies_around_the_mask():
    black, mask = np.zeros((7, 7, 3), np.uint8), np.zeros((7, 7), bool)
    mask[2:5, 2:5] = True
    shown = outlined(black, mask)
    line = (shown == OUTLINE).all(2)
    assert line.sum() == 12
    assert not (line & mask).any()
    assert (outlined(black, mask, width=2) == OUTLINE).all(2).sum() > 12
    assert not black.any()


def test_tiny_pictures_are_enlarged_without_blur_and_large_ones_shrunk(evaluation):
    example = evaluation.examples[0]
    shown = shown_views(example, Shades(1.0), 100, 300)
    assert list(shown) == ["picture", "reconstruction", "heat map"]
    assert {view.shape for view in shown.values()} == {(104, 130, 3)}
    picture = shown["picture"]
    np.testing.assert_array_equal(picture, example.picture.repeat(13, 0).repeat(13, 1)[..., None].repeat(3, 2))
    large = dataclasses.replace(
        example,
        picture=np.zeros((50, 600, 3), np.uint8),
        anomaly_map=np.ones((50, 600), np.float32),
        mask=np.ones((50, 600), bool),
    )
    assert {view.shape for view in shown_views(large, Shades(1.0), 100, 300).values()} == {(25, 300, 3)}


def test_a_grid_holds_picture_reconstruction_and_heat_map(evaluation, tmp_path):
    path = tmp_path / "grid.png"
    heat_map_grid(evaluation.examples, path, shades=Shades(0.5), columns=2)
    with Image.open(path) as image:
        grid = np.asarray(image)
    panels = 3 * 200 + 2 * 4  # three views of 8x10, twenty times as large
    assert grid.shape[1] == 2 * (panels + 28)
    assert grid.shape[0] == 2 * (160 + 3 * 13 + 28)
    np.testing.assert_array_equal(grid[14:174:20, 14:214:20, 0], evaluation.examples[0].picture)
    without = [dataclasses.replace(e, reconstruction=None) for e in evaluation.examples[:1]]
    heat_map_grid(without, path)
    with Image.open(path) as image:
        assert image.size == (2 * 200 + 4 + 28, 160 + 3 * 13 + 28)


def test_without_maps_there_is_the_picture_alone(evaluation, tmp_path):
    unlocated = [dataclasses.replace(e, anomaly_map=None, reconstruction=None) for e in evaluation.examples[1:]]
    (picture,) = shown_views(unlocated[1], Shades(1.0), 100, 300).values()
    np.testing.assert_array_equal(picture, unlocated[1].picture.repeat(13, 0).repeat(13, 1))
    (marked,) = shown_views(unlocated[0], 1.0, 100, 300).values()
    assert (marked == OUTLINE).all(2).any()
    heat_map_grid(unlocated, tmp_path / "grid.png", columns=1)
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (200 + 28, 2 * (160 + 3 * 13 + 28))
    heat_map_grid([*evaluation.examples, *unlocated], tmp_path / "mixed.png")


def test_captions_keep_the_end_of_a_long_name(evaluation, tmp_path):
    long = dataclasses.replace(evaluation.examples[0], name="very/" * 50 + "the end.png")
    heat_map_grid([long], tmp_path / "grid.png")
    assert (tmp_path / "grid.png").stat().st_size > 0


def test_a_grid_that_cannot_be_made_says_why(evaluation, unlabelled, tmp_path):
    with pytest.raises(DataError, match="at least one"):
        heat_map_grid([], tmp_path / "grid.png")
    with pytest.raises(DataError, match="row of a table"):
        heat_map_grid(unlabelled.examples, tmp_path / "grid.png")
    with pytest.raises(OutputError, match="folder"):
        heat_map_grid(evaluation.examples, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_shades_of_a_threshold_leave_what_is_usual_as_it_is(picture):
    shades = Shades.of(6.0)
    assert (shades.low, shades.threshold, shades.high) == (3.0, 6.0, 12.0)
    base = np.repeat(picture[..., None], 3, axis=2)
    usual = np.linspace(-2, 3, 54).reshape(6, 9)
    np.testing.assert_array_equal(located(picture, usual, shades), base)
    for threshold in (0.0, -1.0):  # a threshold that no map exceeds by much still gives a picture
        assert located(picture, usual, Shades.of(threshold)).shape == (6, 9, 3)


def test_a_line_goes_around_what_is_above_the_threshold(picture):
    heat = np.zeros((6, 9))
    heat[2:4, 3:6] = 7
    shown = located(picture, heat, Shades.of(6.0))
    line = (shown == CONTOUR).all(2)
    assert line.sum() >= 10
    assert not line[2:4, 3:6].any()
    lowered = located(picture, heat, Shades.of(9.0), mask=heat > 0)  # a flagged picture shows why in any case
    assert (lowered == CONTOUR).all(2).sum() == line.sum()


@pytest.mark.parametrize("level", [0, 255])
def test_the_line_is_seen_on_black_and_on_white(level):
    heat = np.zeros((9, 9))
    heat[4, 4] = 7
    shown = located(np.full((9, 9, 3), level, np.uint8), heat, Shades.of(6.0)).astype(int)
    assert np.abs(shown[4, 5:7].mean(1) - level).max() > 150


def test_a_panel_has_picture_reconstruction_map_and_colours(picture):
    heat = np.linspace(0, 20, 54).reshape(6, 9)
    shades = Shades.of(6.0)
    whole = panel(picture, picture, heat, shades, heat > 6)
    without = panel(picture, None, heat, shades, heat > 6)
    assert whole.shape[0] == without.shape[0] >= 160
    enlarged = whole.shape[0] // 6
    assert whole.shape[1] - without.shape[1] == 9 * enlarged + 4
    np.testing.assert_array_equal(whole[::enlarged, : 9 * enlarged : enlarged, 0], picture)
    bar = colour_bar(200, shades)
    assert bar.shape[0] == 200
    assert (bar[0, 0] != bar[-1, 0]).any()
    assert colour_bar(200, Shades(1.0)).shape[0] == 200


@pytest.mark.parametrize("peak", [20.0, 6.0, 5.7, 1.0, 0.0, -0.5])
@pytest.mark.parametrize("threshold", [6.0, -1.0])
def test_a_flagged_picture_shows_why(picture, peak, threshold):
    heat = np.full((6, 9), -3.0, np.float32)
    heat[3, 4] = peak
    shades = Shades.of(threshold)
    own = shades.shown_in(heat)
    assert own.threshold == threshold_in(heat, threshold)  # as `Explanation.mask` has it
    if peak > 0.9 * threshold:
        assert (own.low, own.high) == (shades.low, shades.high)  # the colours stay as they are in other pictures
    elif peak > 0:
        assert own.high == peak
    assert (located(picture, heat, own) == CONTOUR).all(2).any()
    assert Shades(3.0).shown_in(heat) == Shades(3.0)


def test_a_small_mark_in_a_large_flagged_picture_keeps_its_line(evaluation):
    heat = np.zeros((600, 600), np.float32)
    heat[300, 301] = 6.5
    large = dataclasses.replace(
        evaluation.examples[0], picture=np.zeros((600, 600), np.uint8), anomaly_map=heat, mask=None, is_anomaly=True
    )
    shown = shown_views(large, Shades.of(6.0), 144, 320)["heat map"]
    assert (shown == CONTOUR).all(2).any()
    plain = shown_views(dataclasses.replace(large, is_anomaly=False), Shades.of(6.0), 144, 320)["heat map"]
    assert not plain.any()
