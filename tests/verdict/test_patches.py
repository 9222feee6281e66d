"""The memory of patches by hand: neighbourhoods, sizes, the core set, distances, and files."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch.nn import functional as F

from oddgan.errors import ArtifactError, DataError
from oddgan.verdict import patches
from oddgan.verdict.patches import PatchMemory, averaged, core_set, patch_vectors, resized


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_neighbourhoods_by_hand():
    maps = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    # 0 1 2 / 3 4 5 / 6 7 8: of four places in a corner, of six at an edge, of nine in the middle
    assert averaged(maps)[0, 0].tolist() == [[2, 2.5, 3], [3.5, 4, 4.5], [5, 5.5, 6]]


@pytest.mark.parametrize("size", [(7, 5), (1, 4), (3, 1), (1, 1), (2, 2)])
def test_neighbourhoods_of_any_size(size):
    maps = random(2, 3, *size)
    expected = F.avg_pool2d(torch.from_numpy(maps), 3, stride=1, padding=1, count_include_pad=False)
    np.testing.assert_allclose(averaged(maps), expected, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [((4, 3), (8, 7)), ((1, 1), (3, 2)), ((5, 6), (5, 6)), ((7, 8), (3, 4))])
def test_sizes_are_interpolated(old, new):
    maps = random(2, 3, *old)
    expected = F.interpolate(torch.from_numpy(maps), new, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resized(maps, new), expected, atol=1e-5)


def test_vectors_join_the_layers():
    first, second = random(3, 2, 6, 5), random(3, 4, 3, 3, seed=1)
    found = patch_vectors([first, second])
    assert found.shape == (3, 6, 5, 6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., :2], averaged(first).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(found[..., 2:], resized(averaged(second), (6, 5)).transpose(0, 2, 3, 1))
    alone = patch_vectors([first[1:2], second[1:2]])
    assert np.array_equal(alone[0], found[1]), "a picture's patches depend on the others"


def test_the_core_set_by_hand():
    line = np.array([0.0, 1, 2, 3, 4, 10, 10])[:, None].astype(np.float32)
    chosen = core_set(line, 7, seed=0)
    first = chosen[0]
    expected, distances = [first], np.abs(line - line[first])[:, 0]
    while distances.max() > 0:
        expected.append(int(distances.argmax()))
        distances = np.minimum(distances, np.abs(line - line[expected[-1]])[:, 0])
    assert chosen.tolist() == expected
    assert len(chosen) == 6  # two are equal
    assert core_set(line, 3, seed=0).tolist() == expected[:3]
    assert core_set(np.ones((5, 3), np.float32), 4, seed=1).tolist() == core_set(np.ones((5, 3)), 1, seed=1).tolist()


def test_the_core_set_covers_better_than_chance():
    ground = random(900, 2) @ random(2, 100, seed=2)  # a plane in 100 dimensions
    vectors = np.concatenate([ground, 5 + 0.1 * random(20, 100, seed=1)])
    chosen = core_set(vectors, 60, seed=3)
    assert len(set(chosen.tolist())) == 60
    assert np.array_equal(chosen, core_set(vectors, 60, seed=3))
    assert not np.array_equal(chosen, core_set(vectors, 60, seed=4))
    drawn = np.random.default_rng(0).permutation(len(vectors))[:60]
    radius, by_chance = (cdist(vectors, vectors[some]).min(1).max() for some in (chosen, drawn))
    assert radius < by_chance
    assert (chosen >= 900).any()  # the rare ones are remembered


@pytest.mark.parametrize("far", [0.0, 1e3])
def test_distances_are_exact(far, monkeypatch):
    memory = PatchMemory.of(random(300, 20) + np.float32(far))
    new = random(6, 7, 20, seed=1) + np.float32(far)
    new[0, 0] = memory.vectors[5]
    new[0, 1] = memory.vectors[7] + np.float32(0.125)
    found = memory.distances(new)
    expected = cdist(new.reshape(-1, 20).astype(float), memory.vectors.astype(float)).min(1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)
    assert found[0, 0] == 0
    monkeypatch.setattr(patches, "MOST_NUMBERS", 1000)  # three patches at a time
    np.testing.assert_allclose(memory.distances(new), found, rtol=1e-6)


def test_the_matrix_product_only_finds_candidates():
    """Far from the origin and from each other, a product in float32 knows the nearest by its last digits alone."""
    center = 50 * random(1, 16)
    vectors = np.concatenate([center + 0.01 * random(200, 16, seed=1), -center])
    new = (center + 0.01 * random(40, 16, seed=2)).reshape(5, 8, 16)
    expected = cdist(new.reshape(-1, 16).astype(float), vectors.astype(float)).min(1)
    np.testing.assert_allclose(PatchMemory.of(vectors).distances(new).ravel(), expected, rtol=1e-6)


def test_what_is_not_finite():
    memory = PatchMemory.of(random(4, 3))
    new = random(2, 2, 3, seed=1)
    expected = memory.distances(new)
    new[1, 0, 2] = np.nan
    found = memory.distances(new)
    assert np.isnan(found[1, 0])
    assert np.array_equal(np.delete(found, 2), np.delete(expected, 2))
    with pytest.raises(DataError, match="no finite features"):
        PatchMemory.of(new.reshape(-1, 3))
    with pytest.raises(DataError, match="no patches"):
        PatchMemory.of(np.empty((0, 3), np.float32))


def test_files():
    memory = PatchMemory.of(random(4, 3))
    facts, arrays = memory.to_manifest()
    assert facts == {"patches": 4, "features": 3}
    new = random(2, 2, 3, seed=1)
    for again in (PatchMemory.from_manifest(facts, arrays), copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))):
        assert np.array_equal(again.distances(new), memory.distances(new))
    vectors = arrays["vectors"]
    endless = vectors.copy()
    endless[0, 0] = np.inf
    for wrong in (endless, vectors.astype(float), vectors[:3], vectors[:, :2], vectors[0]):
        with pytest.raises(ArtifactError, match="inconsistent"):
            PatchMemory.from_manifest(facts, {"vectors": wrong})
    for other in ({"patches": 4.0}, {"features": True}, {"patches": 0}):
        with pytest.raises(ArtifactError, match="inconsistent"):
            PatchMemory.from_manifest({**facts, **other}, arrays)
