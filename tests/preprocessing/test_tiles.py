"""Pictures are cut into tiles, drawn from and laid together again without a pixel lost or moved."""

import numpy as np
import pytest
import torch

from oddgan import preprocessing
from oddgan.errors import ArtifactError, DataError
from oddgan.preprocessing import TilePreprocessor
from oddgan.preprocessing.parts import Block, by_row, mean_of_largest
from oddgan.preprocessing.resizing import resize
from oddgan.preprocessing.tiles import Mosaic, Tile, starts
from oddgan.rows import open_rows

RANDOM = np.random.default_rng(0)


def noise(*shape, dtype=np.uint8, high=256):
    return RANDOM.integers(0, high, shape).astype(dtype)


def fit(X, **given):
    rows = open_rows(X)
    return rows, TilePreprocessor.fit(rows, np.arange(len(rows)), **{"tile": 8, **given})


@pytest.mark.parametrize(
    ("length", "tile", "stride", "expected"),
    [
        (8, 8, 4, [0]),
        (9, 8, 4, [0, 1]),
        (16, 8, 8, [0, 8]),
        (17, 8, 8, [0, 8, 9]),
        (20, 8, 4, [0, 4, 8, 12]),
        (21, 8, 4, [0, 4, 8, 12, 13]),
    ],
)
def test_the_last_tile_is_flush_with_the_border(length, tile, stride, expected):
    assert starts(length, tile, stride) == expected


def test_the_grid_comes_a_few_tiles_at_a_time_over_several_pictures():
    X = [noise(12, 9, 3), noise(8, 17, 3), noise(8, 8, 3)]
    rows, pre = fit(X)
    assert pre.stride == 4
    blocks = list(pre.parts(rows).blocks(5))
    assert [len(block.place) for block in blocks] == [5, 4]
    assert [list(block.row) for block in blocks] == [[0, 0, 0, 0, 1], [1, 1, 1, 2]]
    tiles = [tile for block in blocks for tile in block.place]
    assert [(tile.top, tile.left) for tile in tiles] == [
        *[(0, 0), (0, 1), (4, 0), (4, 1)],
        *[(0, 0), (0, 4), (0, 8), (0, 9)],
        (0, 0),
    ]
    assert [i for i, tile in enumerate(tiles) if tile.last] == [3, 7, 8]
    x = torch.cat([block.x for block in blocks])
    for i, picture in enumerate([0] * 4 + [1] * 4 + [2]):
        top, left, whole, *_ = tiles[i]
        assert whole.shape[:2] == X[picture].shape[:2] == tiles[i].size
        expected = X[picture][top : top + 8, left : left + 8].transpose(2, 0, 1) / 127.5 - 1
        np.testing.assert_allclose(x[i].numpy(), expected, atol=1e-6)


def test_tiles_may_be_resized():
    X = noise(2, 40, 50)
    rows, pre = fit(X, tile=32, size=16)
    assert pre.shape == (1, 16, 16)
    block = next(pre.parts(rows).blocks(4))
    x, tiles = block.x, block.place
    expected = resize(X[0][tiles[1].top :][:32, tiles[1].left :][:, :32][..., None], (16, 16))
    assert torch.equal(x[1], pre.tensor(expected[None])[0])
    assert pre.spread(x).shape == (4, 1, 32, 32)
    constant = torch.full((2, 1, 16, 16), 0.3)
    torch.testing.assert_close(pre.spread(constant), torch.full((2, 1, 32, 32), 0.3))


@pytest.mark.parametrize(("tile", "size"), [(8, (8, 8)), (64, (64, 64)), (100, (64, 64))])
def test_a_tile_keeps_its_size_up_to_64(tile, size):
    _, pre = fit(noise(2, 100, 120), tile=tile)
    assert pre.size == size
    assert pre.stride == tile // 2


@pytest.mark.parametrize("stride", [1, 3, 5, 8])
@pytest.mark.parametrize("size", [(8, 8), (13, 21), (24, 9)])
def test_laying_tiles_back_gives_the_picture(stride, size):
    """Every tile says of a pixel what the picture has there, so their mean must; a constant stays one: no seams."""
    for X in (noise(2, *size, 3), np.stack([np.full((*size, 3), 77, np.uint8), noise(*size, 3)])):
        rows, pre = fit(X, stride=stride)
        mosaic = Mosaic(pre)
        pictures = [laid for block in pre.parts(rows).blocks(4) for laid in mosaic.add(block, block.x)]
        assert [laid.sizes for laid in pictures] == [[size], [size]]
        for picture, laid in zip(X, pictures, strict=True):
            assert laid.values.dtype == np.float32
            restored = pre.restore(torch.from_numpy(laid.values))[0]
            np.testing.assert_allclose(restored, picture, rtol=1e-5, atol=1e-4)


def test_where_tiles_overlap_a_mosaic_has_their_mean():
    _, pre = fit(noise(2, 8, 12), stride=4)
    mosaic = Mosaic(pre)
    picture = noise(8, 12, 1)
    tiles = [Tile(0, 0, picture, True, False), Tile(0, 4, picture, False, True)]
    values = torch.tensor([1.0, 4.0])[:, None, None, None].expand(2, 1, 8, 8)
    (laid,) = mosaic.add(Block(values, np.array([0, 0]), tiles), values)
    expected = np.repeat([[1, 1, 1, 1, 2.5, 2.5, 2.5, 2.5, 4, 4, 4, 4]], 8, axis=0)
    assert np.array_equal(laid.values[0, 0], expected)


def test_values_of_tiles_are_put_together_by_picture():
    blocks = [
        (np.array([0, 0]), {"a": np.array([1.0, 2.0])}),
        (np.array([0, 1, 2]), {"a": np.array([3.0, 4.0, 5.0])}),
        (np.array([2]), {"a": np.array([6.0])}),
    ]
    assert [list(found["a"]) for found in by_row(blocks)] == [[1, 2, 3], [4], [5, 6]]


def test_the_mean_of_the_largest():
    values = np.array([3.0, 9.0, 1.0, 6.0])
    assert [mean_of_largest(values, n) for n in (1, 2, 4, 9)] == [9.0, 7.5, 4.75, 4.75]
    assert np.isnan(mean_of_largest(np.array([1.0, np.nan, 2.0]), 1))


def test_draws_cover_every_picture_evenly():
    """16x8 and 8x8 places of 23x15 and 15x15 pixels: every one is drawn, none much more often than another."""
    X = [np.add.outer(np.arange(h) * 10, np.arange(w)).astype(np.uint8) for h, w in ((23, 15), (15, 15))]
    rows, pre = fit(X)
    prepared = pre.prepare(rows, np.arange(2))
    assert len(prepared) == 3 * 2 + 2 * 2
    torch.manual_seed(0)
    drawn = torch.cat([prepared.batch(np.arange(10)) for _ in range(300)])
    corners = np.rint((drawn[:, 0, 0, 0].numpy() + 1) * 127.5).astype(int).reshape(300, 10)
    places = {top * 10 + left for top in range(16) for left in range(8)}
    of_first, of_second = corners[:, :6], corners[:, 6:]
    assert set(of_first.ravel()) == places
    assert set(of_second.ravel()) == {place for place in places if place < 80}
    assert np.bincount(of_first.ravel()).max() < 4 * 1800 / 128
    tops, lefts = np.divmod(of_first, 10)
    for number, (top, left) in enumerate(np.ndindex(3, 2)):  # each number keeps to its share of the picture
        assert set(tops[:, number]) == set(range(int(top * 16 / 3), -(-(top + 1) * 16 // 3)))
        assert set(lefts[:, number]) == set(range(left * 4, left * 4 + 4))


def test_draws_are_of_the_picture_that_their_number_names_and_follow_the_seed():
    X = [np.full((20 + i, 30 - i), 10 * i + 5, np.uint8) for i in range(6)]
    rows, pre = fit(X, value_range=(0.0, 255.0))
    prepared = pre.prepare(rows, np.array([4, 1, 3]))
    shares = np.repeat([45, 15, 35], [3 * 4] * 3)
    numbers = np.random.default_rng(1).permutation(len(prepared))
    assert np.array_equal(np.rint(pre.restore(prepared.batch(numbers))[:, 0, 0]), shares[numbers])

    rows, pre = fit(noise(4, 30, 30))
    prepared = pre.prepare(rows, np.arange(4))
    torch.manual_seed(3)
    first = prepared.batch(np.arange(9))
    assert not torch.equal(first, prepared.batch(np.arange(9)))
    torch.manual_seed(3)
    assert torch.equal(first, prepared.batch(np.arange(9)))


def test_a_sample_is_the_seeds_alone():
    rows, pre = fit(noise(4, 30, 30))
    prepared = pre.prepare(rows, np.arange(4))
    before = torch.get_rng_state()
    sample = prepared.sample(20, 1)
    assert torch.equal(before, torch.get_rng_state())
    assert len(sample) == 20
    assert sample.batch(np.arange(20)).shape == (20, 1, 8, 8)
    assert torch.equal(sample.batch(np.arange(20)), prepared.sample(20, 1).batch(np.arange(20)))
    assert not torch.equal(sample.batch(np.arange(20)), prepared.sample(20, 2).batch(np.arange(20)))
    assert len(prepared.sample(10_000, 1)) == len(prepared)


def drawn(prepared):
    torch.manual_seed(0)
    return prepared.batch(np.arange(len(prepared)))


def test_memory_reading_again_and_the_cache_give_the_same_tiles(monkeypatch):
    X, asked = noise(5, 20, 30, 3), []

    class Files(list):
        def header(self, i):
            return *X[i].shape, "uint8"

        def cached(self, key, transform, indices):
            asked.append((key, tuple(indices)))
            return np.stack([transform(x) for x in self]), np.array(indices)

    rows, pre = fit(X)
    files = open_rows(Files(X))
    numbers = np.array([3, 0, 4])
    kept = drawn(pre.prepare(rows, numbers))
    assert torch.equal(drawn(pre.prepare(files, numbers)), kept)
    assert not asked
    monkeypatch.setattr("oddgan.preprocessing.tiles.IN_MEMORY", 2 * X[0].nbytes)
    lazy = pre.prepare(rows, numbers)
    assert [picture is None for picture in lazy.kept] == [False, False, True]
    assert torch.equal(drawn(lazy), kept)
    assert torch.equal(drawn(pre.prepare(files, numbers)), kept)
    assert asked == [(pre._cache_key(), (3, 0, 4))]
    other = fit(X, tile=16)[1]
    assert other._cache_key() == pre._cache_key()  # it holds whole pictures
    assert fit(X, channels=1)[1]._cache_key() != pre._cache_key()


def test_pictures_of_many_sizes_that_do_not_fit_memory_are_read_again(monkeypatch):
    class Files(list):
        def header(self, i):
            return *self[i].shape, 1, "uint8"

        def cached(self, key, transform, indices):
            raise AssertionError("a cache holds pictures of one size")

    X = [noise(20, 30), noise(30, 20), noise(25, 25), noise(30, 31)]
    rows, pre = fit(Files(X))
    kept = drawn(pre.prepare(open_rows(X), np.arange(4)))
    monkeypatch.setattr("oddgan.preprocessing.tiles.IN_MEMORY", 0)
    assert torch.equal(drawn(pre.prepare(rows, np.arange(4))), kept)


def test_the_value_range_is_the_training_pictures():
    X = noise(4, 9, 12, dtype=np.uint16, high=3000)
    X[3] = 4000
    rows = open_rows(X)
    pre = TilePreprocessor.fit(rows, np.arange(3), tile=8)
    assert pre.value_range == (float(X[:3].min()), float(X[:3].max()))
    assert fit(noise(3, 9, 9))[1].value_range == (0.0, 255.0)


def test_a_picture_smaller_than_a_tile_is_named():
    with pytest.raises(DataError, match=r"^row 1: 7x20 pixels"):
        fit([noise(9, 9), noise(7, 20)])
    with pytest.raises(DataError, match=r"^row 1: 15x20 pixels, which is smaller than a tile of 16x16: .*smaller tile"):
        fit([noise(16, 30), noise(15, 20)], tile=16)
    _, pre = fit(noise(3, 16, 30), tile=16)
    with pytest.raises(DataError, match=r"^row 0: 15x30 pixels, which is smaller"):
        next(pre.parts(open_rows(noise(1, 15, 30))).blocks(4))


def test_sizes_may_differ_and_channels_and_depth_may_not():
    _, pre = fit(noise(3, 20, 20))
    assert pre.fit_in(noise(9, 50, 1)).shape == (9, 50, 1)
    with pytest.raises(DataError, match=r"^3 channel\(s\), but every training picture had 1; .*--convert"):
        pre.fit_in(noise(20, 20, 3))
    with pytest.raises(DataError, match=r"^is deeper than 8-bit"):
        pre.fit_in(noise(20, 20, 1).astype(np.float32))
    with pytest.raises(DataError, match="nothing to learn"):
        fit(np.full((3, 20, 20), 9, np.uint8))
    _, pre = fit(noise(3, 20, 20), channels=3)
    assert pre.fit_in(noise(9, 50, 1)).shape == (9, 50, 3)


def test_a_manifest_gives_it_back():
    _, pre = fit(noise(3, 20, 20, 3), size=(10, 12), stride=3)
    facts, arrays = pre.to_manifest()
    assert preprocessing.from_manifest(facts, arrays) == pre
    assert "tiles of 8x8, one every 3, of pictures of any size -> 10x12 colour" in pre.describe()
    with pytest.raises(ArtifactError, match="inconsistent"):
        preprocessing.from_manifest({**facts, "stride": 9}, arrays)
    with pytest.raises(ArtifactError, match="incomplete"):
        preprocessing.from_manifest({k: v for k, v in facts.items() if k != "tile"}, arrays)
