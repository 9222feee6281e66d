"""Regions of a map: areas, boxes and outlines against scipy and by hand."""

import numpy as np
import pytest
from scipy import ndimage

from oddgan.verdict.regions import labelled, regions_of, threshold_in


def polygon_area(points):
    x, y = np.array(points, float).T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@pytest.mark.parametrize("density", [0.0, 0.1, 0.4, 0.6, 0.95, 1.0])
def test_labels_are_scipys(density):
    random = np.random.default_rng(round(100 * density))
    for _ in range(20):
        mask = random.random(random.integers(1, 20, 2)) < density
        ours, n = labelled(mask)
        theirs, m = ndimage.label(mask, np.ones((3, 3)))
        assert n == m
        assert np.array_equal(ours > 0, mask)
        pairs = set(zip(ours[mask].tolist(), theirs[mask].tolist(), strict=True))
        assert len(pairs) == n  # one of theirs for each of ours


def test_regions_by_hand():
    z = np.zeros((6, 8), np.float32)
    z[1:3, 2:5] = 4.0
    z[2, 4] = 5.0
    z[5, 7] = 9.0
    small, large = regions_of(z, 3.0)
    assert (small.box, small.area, small.peak, small.value) == ((7, 5, 1, 1), 1, (7, 5), 9.0)
    assert small.contour == ((7, 5), (8, 5), (8, 6), (7, 6))
    assert (large.box, large.area, large.peak, large.value) == ((2, 1, 3, 2), 6, (4, 2), 5.0)
    assert large.contour == ((2, 1), (5, 1), (5, 3), (2, 3))
    assert regions_of(z, 9.0) == ()


def test_places_that_touch_by_a_corner_are_one_region():
    z = np.eye(3, dtype=np.float32)
    (region,) = regions_of(z, 0.5)
    assert region.area == 3
    assert region.contour[0] == (0, 0)
    assert polygon_area(region.contour) == 3


def test_a_hole_is_not_drawn():
    z = np.ones((5, 5), np.float32)
    z[2, 2] = 0
    (region,) = regions_of(z, 0.5)
    assert region.area == 24
    assert region.contour == ((0, 0), (5, 0), (5, 5), (0, 5))


def test_outlines_hold_the_area_of_filled_regions():
    random = np.random.default_rng(3)
    for _ in range(50):
        z = ndimage.gaussian_filter(random.standard_normal((24, 31)), 1.5)
        for region in regions_of(z, 0.15):
            left, top, width, height = region.box
            labels, _ = ndimage.label(z > 0.15, np.ones((3, 3)))
            x, y = region.peak
            own = (labels == labels[y, x])[top : top + height, left : left + width]
            assert own.sum() == region.area
            assert polygon_area(region.contour) == ndimage.binary_fill_holes(own).sum()
            assert (min(x for x, _ in region.contour), min(y for _, y in region.contour)) == (left, top)


def test_json():
    z = np.zeros((4, 4), np.float32)
    z[1, 2] = 2
    (region,) = regions_of(z, 1)
    assert region.to_json() == {
        "box": [2, 1, 1, 1],
        "area": 1,
        "peak": [2, 1],
        "value": 2.0,
        "contour": [[2, 1], [3, 1], [3, 2], [2, 2]],
    }


@pytest.mark.parametrize("peak", [9.0, 5.0, 4.9, 0.3, 0.0, -2.0])
@pytest.mark.parametrize("threshold", [5.0, 0.0, -1.0])
def test_the_map_of_a_flagged_picture_always_has_a_region(peak, threshold):
    z = np.full((4, 5), -3.0, np.float32)
    z[2, 1] = peak
    own = threshold_in(z, threshold)
    assert own <= threshold
    assert own == threshold or peak <= threshold
    assert regions_of(z, own)[0].peak == (1, 2)


def test_a_map_that_is_not_finite_keeps_the_threshold():
    assert threshold_in(np.array([[np.inf, 1.0]], np.float32), 5.0) == 5.0
    assert threshold_in(np.array([[np.nan, 1.0]], np.float32), 5.0) == 5.0
