"""A memory of patches in the features that a detector has learned."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

import oddgan
from oddgan import testing
from oddgan.detectors.dcgan import DCGAN
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.pca import PCA
from oddgan.errors import ArtifactError, ParameterError
from oddgan.networks.layers import by_size, feature_maps


def anywhere(n, seed, marked=False):
    """Dark discs at random places; marked ones have a bright square on the disc."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :40]
    found = random.normal(150, 5, (n, 40, 40))
    for one in found:
        cy, cx = random.uniform(12, 28, 2)
        one[np.hypot(y - cy, x - cx) < 10] -= 90
        if marked:
            top, left = int(cy) - 2, int(cx) - 2
            one[top : top + 4, left : left + 4] = 200
    return np.clip(found, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def det():
    detector = testing.small(GANomaly, local="patches", updates=60, batch_size=16, calibrate_fraction=0.2)
    return detector.fit(anywhere(100, 0))


def test_maps_of_each_size_are_the_last_that_layers_make():
    layers = [
        nn.Conv2d(1, 3, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(3, 5, 4, 2, 1),
        nn.BatchNorm2d(5).eval(),
        nn.ReLU(),
        nn.Flatten(),
    ]
    x = torch.randn(2, 1, 16, 16)
    first, second = by_size(layers, x)
    assert torch.equal(first, layers[1](layers[0](x)))
    assert second.shape == (2, 5, 4, 4)
    assert (second >= 0).all()
    assert by_size(layers, x, most=1)[0].shape == (2, 3, 8, 8)


def test_parts_may_lie_anywhere(det):
    normal, marked = anywhere(40, 1), anywhere(40, 2, marked=True)
    scores = det.anomaly_score(np.concatenate([normal, marked]))
    assert roc_auc_score(np.arange(80) >= 40, scores) > 0.9
    found = det.explain(marked)
    assert np.array_equal(found.score, found.terms["map_max"])
    places = [np.unravel_index(one.argmax(), one.shape) for one in found.anomaly_map]
    hits = [marked[i, max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].max() >= 190 for i, (y, x) in enumerate(places)]
    assert np.mean(hits) > 0.8


def test_a_picture_scores_the_same_alone_and_from_a_file(det, tmp_path):
    X = anywhere(9, 3)
    scores = det.anomaly_score(X)
    assert det.anomaly_score(X[4])[0] == scores[4]
    assert np.array_equal(det.anomaly_score(X[::-1])[::-1], scores)
    det.save(tmp_path / "m.oddgan")
    assert np.array_equal(oddgan.load(tmp_path / "m.oddgan").anomaly_score(X), scores)


def test_the_memory_is_a_core_set_of_training_patches(det):
    memory = det.model_.combination.reference
    maps = det.model_.computer.compute(torch.zeros(1, 1, 40, 40), lambda net, x: dict(enumerate(feature_maps(net, x))))
    assert memory.vectors.shape[1] == sum(one.shape[1] for one in maps.values())
    assert len(memory.vectors) <= 0.1 * 20_000
    again = testing.small(GANomaly, local="patches", updates=60, batch_size=16, calibrate_fraction=0.2)
    assert np.array_equal(again.fit(anywhere(100, 0)).model_.combination.reference.vectors, memory.vectors)


def test_tiles_have_patches_too():
    det = testing.small(GANomaly, local="patches", tile=16, stride=8).fit(anywhere(30, 4))
    assert det.model_.combination.names == ("map_max",)
    assert np.isfinite(det.anomaly_score(anywhere(3, 5))).all()


def test_what_has_no_patches_is_refused(table, pictures):
    with pytest.raises(ParameterError, match="this is a table"):
        testing.small(GANomaly, local="patches").fit(table)
    with pytest.raises(ParameterError, match="DCGAN locates nothing"):
        testing.small(DCGAN, local="patches").fit(pictures)
    with pytest.raises(ParameterError, match="no layers of convolutions"):
        PCA(local="patches", random_state=0).fit(pictures)


def test_a_memory_of_other_features_is_refused(det):
    from oddgan.model import artifact

    model = det.model_
    other = type(model.combination.reference)(model.combination.reference.vectors[:, :3])
    with pytest.raises(ArtifactError, match="have \\[3\\] features"):
        artifact._check_reference(model.recipe, model.net, model.preprocessor.shape, other)


def test_a_memory_keeps_the_scale_of_its_features(det):
    memory = det.model_.combination.reference
    facts, arrays = memory.to_manifest()
    assert arrays["scale"].shape == memory.vectors.shape[1:]
    assert np.array_equal(type(memory).from_manifest(facts, arrays).scale, memory.scale)
    for scale in (arrays["scale"] * 0, arrays["scale"][:2]):
        with pytest.raises(ArtifactError, match="memory of patches"):
            type(memory).from_manifest(facts, {**arrays, "scale": scale})
