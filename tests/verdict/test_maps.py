"""Anomaly maps on one scale: smoothing, what is usual at a place, and what is pooled."""

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage, special

from oddgan.errors import ArtifactError, DataError
from oddgan.verdict import maps
from oddgan.verdict.maps import MapMoments, MapScale, of_groups, pooled, smoothed


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def scale_of(raw, *blurs, counted=None):
    moments = MapMoments(blurs or (0.0,), counted)
    for some in raw if isinstance(raw, list) else [raw]:
        moments.add(some)
    return moments.scale()


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0, 7.0])
@pytest.mark.parametrize("size", [(1, 5), (4, 3), (20, 31)])
def test_smoothing_is_scipys(sigma, size):
    raw = noise(2, 3, *size)
    radius = max(1, int(np.ceil(3 * sigma)))
    ours = smoothed(raw, sigma)
    theirs = ndimage.gaussian_filter(raw.astype(float), (0, 0, sigma, sigma), radius=(0, 0, radius, radius))
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert smoothed(raw, 0.0) is raw


def test_a_map_is_standardised_alike_alone_and_among_others():
    raw = noise(7, 2, 12, 9)
    scale = scale_of(raw, 1.3, 0.5)
    together = scale.standardised(raw)
    assert together.dtype == np.float32
    for i in range(7):
        assert np.array_equal(scale.standardised(raw[i : i + 1])[0], together[i])
    terms = pooled(together)
    for i in range(7):
        alone = pooled(together[i : i + 1])
        assert {name: value[0] for name, value in alone.items()} == {name: v[i] for name, v in terms.items()}


def test_places_that_differ_have_statistics_of_their_own():
    """With many pictures and places that differ much, next to nothing is shrunk."""
    level, width = noise(1, 1, 16, 16, seed=1) * 5, np.exp(noise(1, 1, 16, 16, seed=2))
    raw = level + width * noise(400, 1, 16, 16, seed=3)
    scale = scale_of(raw)
    np.testing.assert_allclose(scale.mean, raw.mean(0), atol=0.02 * raw.std())
    floor = maps.LEAST_DEVIATION * raw.std()
    np.testing.assert_allclose(scale.deviation, np.maximum(raw.std(0), floor), rtol=0.05)


def test_where_parts_lie_anyhow_there_is_one_statistic():
    """Pictures whose places do not differ: estimates from a few of them are noise, and are shrunk away."""
    raw = 3 + 2 * noise(6, 1, 40, 40)
    scale = scale_of(raw)
    assert abs(scale.mean - 3).max() < 0.3 < abs(raw.mean(0) - 3).max()
    assert abs(scale.deviation - 2).max() < 0.4 < abs(raw.std(0) - 2).max()
    z = scale.standardised(3 + 2 * noise(50, 1, 40, 40, seed=9))
    assert abs(z.std() - 1) < 0.05


def test_one_picture_is_enough():
    raw = noise(1, 1, 10, 10)
    scale = scale_of(raw)
    np.testing.assert_allclose(scale.mean, raw.mean(), atol=1e-6)
    np.testing.assert_allclose(scale.deviation, raw.std(), rtol=1e-5)
    constant = scale_of(np.full((1, 1, 4, 4), 2.0, np.float32))
    assert np.isfinite(constant.standardised(raw)).all()


def test_pictures_may_come_in_parts():
    raw = noise(9, 1, 8, 8)
    whole, parts = scale_of(raw), scale_of([raw[:2], raw[2:3], raw[3:]])
    np.testing.assert_allclose(whole.mean, parts.mean, rtol=1e-5)
    np.testing.assert_allclose(whole.deviation, parts.deviation, rtol=1e-5)


def test_pictures_of_several_sizes_share_one_statistic():
    raw = [5 + noise(2, 1, 8, 8), 5 + noise(1, 1, 9, 30), 5 + noise(3, 1, 8, 8)]
    scale = scale_of(raw)
    assert scale.mean.shape == (1, 1, 1)
    assert abs(float(scale.mean[0, 0, 0]) - 5) < 0.3
    assert scale.standardised(noise(1, 1, 3, 4)).shape == (1, 3, 4)


def test_large_maps_share_statistics_among_neighbours(monkeypatch):
    level = np.kron(noise(4, 5, seed=4) * 9, np.ones((3, 3), np.float32))[None, None]
    raw = level + noise(50, 1, 12, 15)
    exact = scale_of(raw)
    monkeypatch.setattr(maps, "LARGEST", 12 * 15 / 9)
    coarse = scale_of(raw)
    assert coarse.step == 3
    assert coarse.mean.shape == (1, 4, 5)
    assert np.abs(coarse.standardised(raw) - exact.standardised(raw)).mean() < 0.2
    uneven = scale_of(raw[:, :, :10, :13])
    assert uneven.standardised(raw[:, :, :10, :13]).shape == (50, 10, 13)


def test_a_step_that_a_file_makes_up_allocates_nothing():
    flat = np.ones((1, 64, 64), np.float32)
    facts = {"blurs": [0.0], "step": 4096, "pictures": 1}
    scale = MapScale.from_manifest(facts, {"mean": flat, "deviation": flat, "peaks": np.zeros(1)})
    tracemalloc.start()
    z = scale.standardised(np.zeros((1, 1, 8, 8), np.float32))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert z.shape == (1, 8, 8)


def test_what_does_not_count_has_no_influence():
    counted = np.zeros((8, 8), bool)
    counted[2:6, 2:7] = True
    raw = noise(5, 1, 8, 8)
    other = np.where(counted, raw, 1e4 * noise(5, 1, 8, 8, seed=8))
    a, b = scale_of(raw, counted=counted), scale_of(other, counted=counted)
    np.testing.assert_allclose(a.mean[:, counted], b.mean[:, counted], atol=1e-5)
    np.testing.assert_allclose(a.deviation[:, counted], b.deviation[:, counted], rtol=1e-5)
    z = a.standardised(raw)
    hot = z.copy()
    hot[:, ~counted] = 1e6
    assert all(
        np.array_equal(x, y) for x, y in zip(pooled(z, counted).values(), pooled(hot, counted).values(), strict=True)
    )


def test_pools_by_hand():
    z = noise(3, 20, 20)
    z[1, 4, 7] = 12.0
    found, flat = pooled(z), z.reshape(3, -1).astype(float)
    assert np.array_equal(found["map_max"], flat.max(1))
    np.testing.assert_allclose(found["map_top"], np.sort(flat, 1)[:, -4:].mean(1), rtol=1e-12)
    np.testing.assert_allclose(found["map_tail"], special.logsumexp(flat, axis=1) - np.log(400), rtol=1e-5)
    for name, values in found.items():
        assert values.dtype == np.float64
        assert values.argmax() == 1, name


def test_a_value_that_is_no_number_is_as_anomalous_as_can_be():
    scale = scale_of(noise(5, 1, 6, 6), 0.5)
    raw = noise(2, 1, 6, 6)
    raw[1, 0, 2, 2] = np.nan
    found = pooled(scale.standardised(raw))
    assert found["map_max"][1] == np.inf
    assert np.isfinite(found["map_max"][0])
    with pytest.raises(DataError, match="no finite anomaly map"):
        scale_of(raw)


def test_the_threshold_holds_its_rate():
    scale = scale_of(noise(5, 1, 6, 6)).calibrated(np.arange(99.0)[::-1])
    assert [scale.threshold(rate) for rate in (0.01, 0.02, 0.1, 0.0001)] == [98.0, 97.0, 89.0, 98.0]


def test_the_highest_peak_of_each_group():
    peaks = np.array([1.0, 5.0, 2.0, 4.0])
    assert of_groups(peaks, np.array([9, 3, 9, 3])).tolist() == [5.0, 2.0]
    assert of_groups(peaks, None) is peaks


def test_files():
    scale = scale_of(noise(5, 2, 6, 7), 0.5).calibrated(np.arange(9.0))
    facts, arrays = scale.to_manifest()
    same = MapScale.from_manifest(facts, arrays)
    raw = noise(3, 2, 6, 7, seed=5)
    assert np.array_equal(scale.standardised(raw), same.standardised(raw))
    assert same.threshold(0.1) == scale.threshold(0.1)
    for change in (
        {"blurs": [-1.0]},
        {"blurs": ["a"]},
        {"blurs": []},
        {"blurs": [1.0, 1.0, 1.0, 1.0]},
        {"step": 0},
        {"pictures": 3},
    ):
        with pytest.raises(ArtifactError):
            MapScale.from_manifest({**facts, **change}, arrays)
    for change in (
        {"deviation": 0 * scale.deviation},
        {"mean": scale.mean[:, :3]},
        {"peaks": np.arange(9.0)[::-1]},
        {"mean": scale.mean * np.nan},
    ):
        with pytest.raises(ArtifactError):
            MapScale.from_manifest(facts, {**arrays, **change})


def test_maps_on_a_scale_of_their_own_keep_their_order():
    """Probabilities mean the same everywhere: only their unit changes."""
    raw = np.random.default_rng(0).random((9, 1, 8, 8)).astype(np.float32) ** 4
    moments = MapMoments((0.0,), places=False)
    moments.add(raw)
    z = moments.scale().standardised(raw)
    assert moments.scale().mean.shape == (1, 1, 1)
    assert (np.diff(z.ravel()[np.argsort(raw, axis=None)]) >= 0).all()


@pytest.mark.parametrize("places", [True, False])
@pytest.mark.parametrize(("level", "noise"), [(0.0, 0.0), (0.3, 0.0), (0.0, 1e-8), (0.3, 1e-8)])
def test_maps_without_any_deviation_have_a_scale(level, noise, places):
    random = np.random.default_rng(0)
    moments = MapMoments((0.0, 1.0), places=places)
    moments.add((level + noise * random.random((20, 1, 12, 14))).astype(np.float32))
    other = np.full((1, 1, 12, 14), level, np.float32)
    other[0, 0, 5, 6] += 0.5
    z = moments.scale().standardised(other)
    assert 0.1 < z.max() < 10
    assert z[0, 5, 6] == z.max()
