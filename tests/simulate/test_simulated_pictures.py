"""Simulated anomalies of pictures: visible, where the mask says, of the same type and range, and repeatable."""

import numpy as np
import pytest

from oddgan.errors import DataError, ParameterError
from oddgan.simulate import pictures
from oddgan.simulate.colours import RECOLOURINGS, _recoloured
from oddgan.simulate.noise import blob
from oddgan.simulate.pictures import KINDS, SIZE, anomalous, foreign, perlin, perlin_mask, procedural, recoloured

SHAPES = [(8, 8, 1), (9, 31, 3), (40, 17, 1), (32, 32, 3), (64, 48, 5), (2, 2, 1), (2, 50, 3)]


def picture(shape, dtype=np.uint8, seed=0):
    random = np.random.default_rng(seed)
    x = procedural(shape, random) * 0.8 + 0.1 * random.random(shape, np.float32)
    return (x * 255).astype(np.uint8) if dtype == np.uint8 else (x * 2 - 1).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kind_changes_something_where_the_mask_is(kind, dtype, shape):
    x, other = picture(shape, dtype), picture(shape, dtype, 1)
    before, span = x.copy(), 255 if dtype == np.uint8 else 2
    for seed in range(8):
        y, mask = anomalous(x, np.random.default_rng(seed), kind, other=other if seed % 2 else None)
        assert np.array_equal(x, before), "the given picture has changed"
        assert y.shape == shape
        assert y.dtype == dtype
        assert mask.shape == shape[:2]
        assert mask.dtype == bool
        assert np.isfinite(y).all()
        assert y.min() >= (0 if dtype == np.uint8 else -1)
        assert y.max() <= (255 if dtype == np.uint8 else 1)
        change = np.abs(y.astype(np.float32) - x.astype(np.float32)).max(-1)
        assert np.array_equal(mask, change > 0.02 * span)
        assert mask.any()
        assert change.max() > 0.05 * span


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_the_generator_alone_decides(kind):
    x = picture((24, 20, 3))
    first, again, other = (anomalous(x, np.random.default_rng(seed), kind) for seed in (3, 3, 4))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("kind", KINDS)
def test_anomalies_are_as_large_as_requested(kind):
    x, other = picture((96, 96, 3)), picture((96, 96, 3), seed=1)
    for least, most in (SIZE, (0.1, 0.15)):
        masks = [anomalous(x, np.random.default_rng(i), kind, other=other, size=(least, most))[1] for i in range(40)]
        share = np.mean(masks, (1, 2))
        assert share.max() < 1.3 * most
        assert share.mean() > (0.1 if kind == "scar" else 0.2) * least
    ys, xs = np.nonzero(masks[0])
    assert np.ptp(ys) < 80 or np.ptp(xs) < 80


def test_one_size_is_a_range_without_length():
    x = picture((50, 50, 1))
    y, mask = anomalous(x, np.random.default_rng(0), "patch", size=0.04)
    assert 0.01 < mask.mean() < 0.05
    assert np.array_equal(y, anomalous(x, np.random.default_rng(0), "patch", size=(0.04, 0.04))[0])


def test_all_kinds_are_drawn(monkeypatch):
    x, seen = picture((16, 16, 1)), set()
    for kind, make in pictures._MAKERS.items():

        def watched(*given, kind=kind, make=make):
            seen.add(kind)
            return make(*given)

        monkeypatch.setitem(pictures._MAKERS, kind, watched)
    for seed in range(60):
        anomalous(x, np.random.default_rng(seed))
    assert seen == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_picture_gets_a_stain_where_its_kind_changes_nothing(kind, level):
    y, mask = anomalous(np.full((20, 20, 1), level, np.uint8), np.random.default_rng(0), kind)
    assert mask.any()
    assert np.abs(y.astype(int) - level).max() > 0.05 * 255


def test_content_comes_from_the_other_picture():
    x, other = np.full((30, 30, 1), 40, np.uint8), np.full((30, 30, 1), 200, np.uint8)
    y, mask = anomalous(x, np.random.default_rng(0), "patch", other=other)
    assert (np.abs(y[mask].astype(int) - 200) < 25).all()
    assert (y[~mask] == 40).all()


def test_other_ranges_and_types():
    x = picture((20, 20, 1)).astype(np.uint16) * 16
    for kind in KINDS:
        y, mask = anomalous(x, np.random.default_rng(0), kind, value_range=(0, 4095))
        assert y.dtype == np.uint16
        assert y.max() <= 4095
        assert mask.any()
    z = picture((20, 20, 1), np.float64) * 500
    y, mask = anomalous(z, np.random.default_rng(0), "stain", value_range=(-500, 500))
    assert y.dtype == np.float64
    assert np.abs(y - z)[mask].min() > 20


def test_doubled_parts_are_copies_and_blur_takes_contrast():
    x = picture((64, 64, 1))
    y, mask = anomalous(x, np.random.default_rng(1), "doubled", size=0.05)
    inner = y[..., 0][mask]
    assert np.isin(inner, x).mean() > 0.5
    x = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    y, mask = anomalous(x, np.random.default_rng(0), "blur", size=0.05)
    assert y[mask].std() < 0.7 * x[mask].std()


def test_scars_are_thin():
    x = np.full((100, 100, 1), 128, np.uint8)
    for seed in range(20):
        _, mask = anomalous(x, np.random.default_rng(seed), "scar", size=0.01)
        ys, xs = np.nonzero(mask)
        assert max(np.ptp(ys), np.ptp(xs)) > 2.5 * mask.sum() / (max(np.ptp(ys), np.ptp(xs)) + 1)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"picture": np.zeros((8, 8), np.uint8)}, DataError, "array .H, W, C."),
        ({"picture": np.zeros((8, 1, 1), np.uint8)}, DataError, "at least 2x2"),
        ({"picture": np.zeros((8, 8, 1), bool)}, DataError, "bool"),
        ({"other": np.zeros((9, 8, 1), np.uint8)}, DataError, "resize it"),
        ({"other": np.zeros((8, 8, 1), np.float32)}, DataError, "resize it"),
        ({"kind": "rust"}, ParameterError, "expected one of patch, scar"),
        ({"size": 0}, ParameterError, "size=0"),
        ({"size": (0.5, 0.2)}, ParameterError, "size="),
        ({"size": (0.5, 2)}, ParameterError, "size="),
        ({"value_range": (1, 1)}, ParameterError, "value_range"),
        ({"value_range": (0, np.inf)}, ParameterError, "value_range"),
    ],
)
def test_errors(given, error, match):
    whole = {"picture": np.zeros((8, 8, 1), np.uint8), "random": np.random.default_rng(0), **given}
    with pytest.raises(error, match=match):
        anomalous(**whole)


def plain_perlin(shape, scale_y, scale_x, random):
    """With loops, from the definition."""
    height, width = shape
    ys = [y * scale_y / height for y in range(height)]
    xs = [x * scale_x / width for x in range(width)]
    angle = random.random((int(ys[-1]) + 2, int(xs[-1]) + 2), np.float32) * 2 * np.pi
    noise = np.empty(shape)
    for i, y in enumerate(ys):
        for j, x in enumerate(xs):
            total = 0.0
            for a in (int(y), int(y) + 1):
                for b in (int(x), int(x) + 1):
                    s, t = 1 - abs(y - a), 1 - abs(x - b)
                    fade = (6 * s**5 - 15 * s**4 + 10 * s**3) * (6 * t**5 - 15 * t**4 + 10 * t**3)
                    total += fade * (np.sin(angle[a, b]) * (y - a) + np.cos(angle[a, b]) * (x - b))
            noise[i, j] = np.sqrt(2) * total
    return noise


@pytest.mark.parametrize(("shape", "scale_y", "scale_x"), [((12, 17), 3, 4), ((8, 8), 1, 2.5), ((5, 9), 1, 1)])
def test_perlin_noise_is_the_definitions(shape, scale_y, scale_x):
    expected = plain_perlin(shape, scale_y, scale_x, np.random.default_rng(0))
    noise = perlin(shape, scale_y, scale_x, np.random.default_rng(0))
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise, expected.clip(-1, 1), atol=1e-5)


def test_perlin_noise_is_zero_at_the_corners_of_its_cells_and_fills_its_range():
    noise = perlin((64, 64), 8, 4, np.random.default_rng(0))
    np.testing.assert_allclose(noise[::8, ::16], 0, atol=1e-6)
    assert -1 <= noise.min() < -0.6
    assert 0.6 < noise.max() <= 1
    assert abs(noise.mean()) < 0.1


@pytest.mark.parametrize("shape", [(256, 256), (33, 70), (8, 8), (2, 3)])
@pytest.mark.parametrize("rotate", [True, False])
def test_perlin_masks(shape, rotate):
    masks = np.array([perlin_mask(shape, np.random.default_rng(i), rotate=rotate) for i in range(60)])
    assert masks.dtype == bool
    assert masks.shape[1:] == shape
    assert np.array_equal(masks[3], perlin_mask(shape, np.random.default_rng(3), rotate=rotate))
    if min(shape) >= 8:
        assert 0.01 < masks.mean() < 0.2
        assert not masks.all((1, 2)).any()
    lower = np.array([perlin_mask(shape, np.random.default_rng(i), -2.0, rotate) for i in range(3)])
    assert lower.all()


def test_masks_are_turned():
    """Noise with long cells along one axis has edges along it; rotated it has others."""
    for rotate in (False, True):
        masks = [perlin_mask((64, 64), np.random.default_rng(i), 0.0, rotate) for i in range(30)]
        assert len({mask.tobytes() for mask in masks}) == 30
    random = np.random.default_rng(2)
    assert not np.array_equal(
        perlin_mask((64, 64), random, 0.0), perlin_mask((64, 64), np.random.default_rng(2), 0.0, False)
    )


def test_blobs_fill_their_box():
    for shape in ((2, 2), (3, 9), (40, 25)):
        opacity = blob(shape, np.random.default_rng(0), 0.3)
        assert opacity.shape == shape
        assert opacity.dtype == np.float32
        assert opacity.min() >= 0
        assert opacity.max() == 1
        assert opacity.mean() > 0.3
    assert opacity[0, 0] == opacity[-1, -1] == 0


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_textures_keep_their_shape_and_range(channels):
    x = picture((20, 30, channels), np.float32) / 2 + 0.5
    for seed in range(20):
        for make in (foreign, recoloured):
            y = make(x, np.random.default_rng(seed))
            assert y.shape == x.shape
            assert y.dtype == np.float32
            assert y.min() >= 0
            assert y.max() <= 1
            assert np.array_equal(y, make(x, np.random.default_rng(seed)))
    assert not np.array_equal(y, x)
    texture = procedural((7, 5, channels), np.random.default_rng(0))
    assert texture.shape == (7, 5, channels)
    assert texture.dtype == np.float32


def test_foreign_texture_has_no_pixel_in_its_place(monkeypatch):
    """Turned and shifted: without recolouring, the same values elsewhere."""
    monkeypatch.setattr("oddgan.simulate.colours.recoloured", lambda content, random: content)
    x = np.arange(12 * 12, dtype=np.float32).reshape(12, 12, 1) / 143
    places = [(foreign(x, np.random.default_rng(i)) == x).mean() for i in range(20)]
    assert np.mean(places) < 0.15
    assert np.isin(foreign(x, np.random.default_rng(0)), x).all()


@pytest.mark.parametrize("name", RECOLOURINGS)
def test_each_recolouring_changes_colours(name):
    x = picture((16, 16, 3), np.float32) / 2 + 0.5
    y = np.clip(_recoloured(x, name, 0.7, np.random.default_rng(0)), 0, 1)
    assert np.abs(y - x).max() > 0.02
    constant = np.full((4, 4, 3), 0.5, np.float32)
    assert np.isfinite(_recoloured(constant, name, 0.7, np.random.default_rng(0))).all()
