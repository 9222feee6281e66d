"""Masks whose values are labels are told from masks with soft edges."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from oddgan.data import masks
from oddgan.data.hard_masks import is_hard
from oddgan.data.masks import as_mask


def shape(size: int = 400) -> Image.Image:
    """An ellipse and a line, 255 on 0."""
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    draw.ellipse((size // 8, size // 5, size * 2 // 3, size // 2), fill=255)
    draw.line((size // 40, size * 3 // 4, size - 10, size * 7 // 8), fill=255, width=9)
    return image


def through_jpeg(image: Image.Image, quality: int) -> np.ndarray:
    held = io.BytesIO()
    image.save(held, "JPEG", quality=quality)
    return np.asarray(Image.open(held))


def labels(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """Areas of these values on 0, with sharp edges."""
    mask = np.zeros((20, 20 * len(values)), dtype)
    for i, value in enumerate(values):
        mask[5:15, 20 * i + 4 : 20 * i + 16] = value
    return mask


@pytest.mark.parametrize(
    "values", [(1,), (255,), (1, 2, 3), (85, 170, 255), (255, 254, 253), tuple(range(37, 2000, 37))]
)
def test_areas_of_several_values_are_labels(values: tuple[int, ...]) -> None:
    mask = labels(*values, dtype=np.uint16)
    assert np.array_equal(as_mask(mask, "m", set()), mask != 0)


def test_labels_that_touch_or_lie_within_another_and_thin_lines() -> None:
    touching = np.zeros((60, 60), np.uint8)
    for i, value in enumerate((60, 100, 150, 200)):
        touching[10 + 20 * (i // 2) : 30 + 20 * (i // 2), 10 + 20 * (i % 2) : 30 + 20 * (i % 2)] = value
    nested = np.zeros((60, 60), np.uint8)
    nested[10:50, 10:50], nested[20:40, 20:40] = 100, 200
    thin = np.zeros((60, 60), np.uint8)
    thin[np.arange(5, 50), np.arange(5, 50)], thin[2, 5:55] = 100, 200
    assert all(map(is_hard, (touching, nested, thin)))


@pytest.mark.parametrize("quality", range(10, 100, 8))
def test_a_jpeg_that_was_saved_again_as_png_is_soft(quality: int) -> None:
    original = np.zeros((48, 48), np.uint8)
    original[20:28, 10:24] = 255
    found = through_jpeg(Image.fromarray(original), quality)
    assert len(np.unique(found)) > 2
    assert np.array_equal(as_mask(found, "m", set()), original != 0)
    assert not is_hard(through_jpeg(shape(), quality))


@pytest.mark.parametrize("filter", [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
@pytest.mark.parametrize("size", [300, 200, 100, 50])
def test_a_mask_that_was_resized_is_soft(filter: Image.Resampling, size: int) -> None:
    small = shape().resize((size, size), filter)
    assert not is_hard(np.asarray(small))
    red = np.zeros((size, size, 3), np.uint8)
    red[..., 0] = small
    assert not is_hard(red)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_slope_is_cut_at_half_of_its_maximum(dtype: type) -> None:
    y, x = np.mgrid[:900, :900]
    slope = np.clip(1 - np.hypot(x - 450, y - 450) / 400, 0, 1)
    mask = (slope * (1 if dtype is np.float32 else np.iinfo(dtype).max)).astype(dtype)  # wide steps in 8 bits
    assert np.array_equal(as_mask(mask, "m", set()), mask > mask.max() / 2)


def test_two_values_in_any_format_and_type() -> None:
    mask = labels(255)
    for one in (mask, mask != 0, mask / 255, mask // 255, np.stack([mask] * 3, axis=2), np.full((9, 9), 3)):
        assert is_hard(one)
        assert is_hard(one, lossy=True)
    assert not is_hard(labels(1, 2), lossy=True)


def test_a_lossless_picture_with_a_profile_is_lossless(tmp_path):
    for lossless in (True, False):
        for more in ({}, {"icc_profile": b"x" * 33}):
            place = tmp_path / "mask.webp"
            Image.fromarray(np.eye(16, dtype=np.uint8) * 2).save(place, lossless=lossless, **more)
            assert masks._is_lossy(str(place)) == (not lossless)
