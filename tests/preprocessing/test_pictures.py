"""Pictures of any kind reach the networks by one path."""

import numpy as np
import pytest
import torch
from PIL import Image

from oddgan.cautions import DataWarning
from oddgan.errors import DataError
from oddgan.preprocessing import PicturePreprocessor
from oddgan.preprocessing.resizing import resize_map
from oddgan.rows import open_rows

RANDOM = np.random.default_rng(0)


def fit(X, **given):
    rows = open_rows(X)
    return rows, PicturePreprocessor.fit(rows, np.arange(len(rows)), **given)


def noise(*shape, dtype=np.uint8, high=256):
    return RANDOM.integers(0, high, shape).astype(dtype)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("shape", "size", "equal"),
    [
        ((64, 64), (16, 16), True),
        ((53, 61), (24, 11), False),
        ((53, 61), (16, 16), False),
        ((53, 61), (100, 90), False),
    ],
)
def test_resizing_8_bit_pictures_is_pillows_to_one_level(mode, shape, size, equal):
    """torch and Pillow round their fixed-point weights differently: one level apart in at most a few percent of pixels,
    and equal where the reduction is a power of two."""
    X = noise(4, *shape) if mode == "L" else noise(4, *shape, 3)
    rows, pre = fit(X, size=size)
    mine = pre.prepare(rows, np.arange(4)).stored(np.arange(4))
    for picture, result in zip(X, mine, strict=True):
        theirs = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR))
        gap = np.abs(result.reshape(theirs.shape).astype(int) - theirs)
        assert gap.max() <= (0 if equal else 1)
        assert gap.mean() < 0.04


@pytest.mark.parametrize(
    ("shape", "size"),
    [((28, 28), (28, 28)), ((256, 256), (64, 64)), ((200, 100), (64, 32)), ((1000, 9), (64, 8)), ((8, 8), (8, 8))],
)
def test_default_size_is_the_pictures_own_at_most_64(shape, size):
    assert fit(noise(3, *shape))[1].size == size


def test_pictures_of_many_sizes_take_a_typical_one():
    X = [noise(20, 30), noise(40, 60), noise(30, 45)]
    _, pre = fit(X)
    assert pre.size == (30, 45)
    assert pre.native_size is None


@pytest.mark.parametrize(
    ("X", "low", "high"),
    [
        (noise(5, 9, 9), 0.0, 255.0),
        (noise(5, 9, 9, high=100), 0.0, 255.0),
        (noise(5, 9, 9, dtype=np.uint16, high=4096) + np.uint16(7), None, None),
        (RANDOM.normal(size=(5, 9, 9)), None, None),
        (noise(5, 9, 9, high=2).astype(bool), 0.0, 255.0),
    ],
)
def test_value_range(X, low, high):
    rows, pre = fit(X)
    low, high = (float(X.min()), float(X.max())) if low is None else (low, high)
    assert pre.value_range == pytest.approx((low, high))
    x = pre.prepare(rows, np.arange(5)).batch(np.arange(5))
    assert x.dtype == torch.float32
    assert x.shape == (5, 1, 9, 9)
    expected = 2 * (X.astype(float) * (255 if X.dtype == bool else 1) - low) / (high - low) - 1
    np.testing.assert_allclose(x[:, 0].numpy(), expected, atol=1e-5)
    assert x.abs().max() <= 1 + 1e-5


def test_values_beyond_the_range_are_not_clipped():
    rows, pre = fit(noise(5, 9, 9, dtype=np.uint16, high=1000), value_range=(0.0, 500.0))
    assert pre.prepare(rows, np.arange(5)).batch(np.arange(5)).max() > 1.5


def test_restore_is_the_inverse():
    X = RANDOM.normal(size=(5, 9, 12, 3)).astype(np.float32) * 1000
    rows, pre = fit(X)
    x = pre.prepare(rows, np.arange(5)).batch(np.arange(5))
    np.testing.assert_allclose(pre.restore(x), X, rtol=1e-3, atol=0.5)


def test_every_face_of_the_same_pictures_gives_the_same_tensors():
    X = noise(6, 12, 10, 3)

    class DataSet:
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return torch.from_numpy(X[i]).permute(2, 0, 1), 0

    faces = [
        X,
        list(X),
        [Image.fromarray(x) for x in X],
        torch.from_numpy(X).permute(0, 3, 1, 2),
        DataSet(),
        np.asfortranarray(X),
    ]
    tensors = []
    for face in faces:
        rows, pre = fit(face, size=(9, 9))
        tensors.append(pre.prepare(rows, np.arange(6)).batch(np.array([4, 1])))
    for tensor in tensors[1:]:
        assert torch.equal(tensor, tensors[0])


def test_memory_and_on_the_fly_give_the_same_tensors(monkeypatch):
    rows, pre = fit(noise(7, 30, 20), size=16)
    numbers = np.array([6, 0, 3])
    kept = pre.prepare(rows, np.arange(7)).batch(numbers)
    monkeypatch.setattr("oddgan.preprocessing.pictures.IN_MEMORY", 0)
    lazy = pre.prepare(rows, np.arange(7))
    assert lazy.store is rows
    assert torch.equal(lazy.batch(numbers), kept)


def test_a_cache_is_used_where_the_source_has_one():
    X = noise(7, 30, 20)
    asked = []

    class Cached(list):
        def cached(self, key, transform, indices):
            asked.append((key, tuple(indices)))
            return np.stack([transform(self[i]) for i in range(7)]), np.array(indices)

    rows, pre = fit(Cached(X), size=16)
    asked.clear()
    x = pre.prepare(rows, np.array([5, 2])).batch(np.array([1, 0]))
    _, plain = fit(X, size=16)
    assert torch.equal(x, plain.prepare(open_rows(X), np.array([2, 5])).batch(np.array([0, 1])))
    other = PicturePreprocessor.fit(rows, np.arange(7), size=17)
    assert asked == [(pre._cache_key(), (5, 2)), *asked[1:]]
    assert other._cache_key() != pre._cache_key()


@pytest.mark.parametrize(
    ("X", "given", "message"),
    [
        (noise(3, 7, 20), {}, "row 0: 7x20 pixels; the smallest side that can be used is 8"),
        (noise(3, 3, 32, 32), {}, "look as if channels came first"),
        (noise(3, 2, 9, 9, 3), {}, "give (n, H, W) or (n, H, W, C)"),
        (
            [noise(9, 9), noise(9, 9, 2)],
            {},
            "row 1: has 2 channel(s) where row 0 has 1: give channels=1 or channels=3 (--channels)",
        ),
        (
            [noise(9, 9), noise(9, 9, dtype=np.uint16)],
            {},
            "row 1: has another type than row 0 (uint16 and uint8 are mixed); convert all to one",
        ),
        (np.full((4, 9, 9), 7, np.uint8), {}, "every pixel of all 4 training pictures is 7: there is nothing to learn"),
        (np.full((4, 9, 9), 0.5), {}, "nothing to learn"),
        (np.full((4, 9, 9), np.nan), {}, "row 0: holds NaN or infinite pixels"),
        (np.array([[["a"] * 9] * 9] * 3), {}, "row 0: pictures of type"),
        (noise(3, 9, 9, 2), {"channels": 3}, "2 channels cannot become 3"),
    ],
)
def test_bad_pictures_name_the_row_and_the_mend(X, given, message):
    def use():
        rows, pre = fit(X, **given)
        pre.prepare(rows, np.arange(len(rows)))

    with pytest.raises(DataError) as caught:
        use()
    assert message in str(caught.value)


def test_what_differs_from_training_is_refused_unless_asked():
    _, pre = fit(noise(3, 20, 20))
    with pytest.raises(DataError, match=r"^20x21 pixels, but every training picture had 20x20; .*--convert"):
        pre.fit_in(noise(20, 21, 1))
    with pytest.raises(DataError, match=r"^3 channel\(s\), but every training picture had 1; .*--convert"):
        pre.fit_in(noise(20, 20, 3))
    with pytest.raises(DataError, match=r"^is deeper than 8-bit but the training pictures were 8-bit"):
        pre.fit_in(noise(20, 20, 1).astype(np.float32))
    with pytest.raises(DataError, match=r"^row 1: 20x21 pixels"):
        pre.row(open_rows([noise(20, 20), noise(20, 21)]), 1)
    _, willing = fit(noise(3, 20, 20), convert=True)
    assert willing.fit_in(noise(50, 21, 3)).shape == (20, 20, 1)
    _, given = fit(noise(3, 20, 20), size=16, channels=3)
    assert given.fit_in(noise(9, 30, 1)).shape == (16, 16, 3)


def test_grey_and_colour():
    _, pre = fit(noise(3, 9, 9), channels=3)
    grey = noise(9, 9, 1)
    assert np.array_equal(pre.fit_in(grey), np.repeat(grey, 3, axis=2))
    colour = noise(9, 9, 3)
    _, pre = fit(colour[None], channels=1)
    theirs = np.asarray(Image.fromarray(colour).convert("L")).astype(int)
    assert np.abs(pre.fit_in(colour)[..., 0].astype(int) - theirs).max() <= 1


def test_maps_come_back_at_any_size():
    small = RANDOM.uniform(size=(9, 7)).astype(np.float32)
    assert resize_map(small, (9, 7)) is small
    large = resize_map(small, (90, 40))
    assert large.shape == (90, 40)
    assert small.min() <= large.min() <= large.max() <= small.max()


def test_grey_among_colours_makes_all_grey_and_says_so():
    X = [noise(9, 9), noise(9, 9, 3), noise(9, 9)]
    with pytest.warns(DataWarning, match="2 of 3 pictures are grey") as caught:
        _, pre = fit(X)
    assert [one.message.code for one in caught] == ["mixed-channels"]
    assert (pre.channels, pre.native_channels) == (1, None)
    assert fit(X, channels=3)[1].channels == 3
    assert fit(X, convert=True)[1].channels == 3
