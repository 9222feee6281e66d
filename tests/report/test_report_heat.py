"""Heat maps leave normal pixels as they are, and tiny pictures stay sharp."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from oddgan.errors import DataError, OutputError, ParameterError
from oddgan.report import heat_map_grid, overlay
from oddgan.report.colours import inferno
from oddgan.report.heat import OUTLINE, outlined, views


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 255, (6, 9), dtype=np.uint8)


def test_a_map_of_zeros_leaves_the_picture(picture):
    shown = overlay(picture, np.zeros((6, 9)), 1.0)
    np.testing.assert_array_equal(shown, np.repeat(picture[..., None], 3, axis=2))
    colour = np.stack([picture, picture // 2, picture // 3], axis=2)
    np.testing.assert_array_equal(overlay(colour, np.zeros((6, 9)), 1.0), colour)


def test_heat_grows_with_the_map_and_ends_at_vmax(picture):
    base = np.repeat(picture[..., None], 3, axis=2).astype(int)
    change = [np.abs(overlay(picture, np.full((6, 9), v), 2.0) - base).mean() for v in (0, 0.02, 0.5, 1, 2, 5)]
    assert change[0] == 0
    assert change[1] < 3  # a hundredth of the scale can hardly be seen
    assert sorted(change) == change
    assert change[-1] == change[-2] > 40
    assert overlay(picture, np.full((6, 9), np.nan), 1.0).dtype == np.uint8


def test_the_colours_are_matplotlibs():
    matplotlib = pytest.importorskip("matplotlib")
    table = matplotlib.colormaps["inferno"](np.linspace(0.35, 0.87, 256))[:, :3]
    np.testing.assert_array_equal(inferno(), np.rint(table * 255))
    assert inferno().dtype == np.uint8


def test_overlay_refuses_what_does_not_fit(picture):
    with pytest.raises(DataError, match=r"\(6, 9\) and map \(5, 9\)"):
        overlay(picture, np.zeros((5, 9)), 1.0)
    for vmax in (0.0, -1.0, np.nan):
        with pytest.raises(ParameterError, match="vmax"):
            overlay(picture, np.zeros((6, 9)), vmax)


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
    picture, heat = views(example, 1.0, 100, 300)
    assert picture.shape == heat.shape == (104, 130, 3)
    np.testing.assert_array_equal(picture, example.picture.repeat(13, 0).repeat(13, 1)[..., None].repeat(3, 2))
    large = dataclasses.replace(
        example,
        picture=np.zeros((50, 600, 3), np.uint8),
        anomaly_map=np.ones((50, 600), np.float32),
        mask=np.ones((50, 600), bool),
    )
    assert [view.shape for view in views(large, 1.0, 100, 300)] == [(25, 300, 3)] * 2


def test_a_grid_holds_picture_reconstruction_and_heat_map(evaluation, tmp_path):
    path = tmp_path / "grid.png"
    heat_map_grid(evaluation.examples, path, vmax=0.5, columns=2)
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
    (picture,) = views(unlocated[1], 1.0, 100, 300)
    np.testing.assert_array_equal(picture, unlocated[1].picture.repeat(13, 0).repeat(13, 1))
    (marked,) = views(unlocated[0], 1.0, 100, 300)
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
