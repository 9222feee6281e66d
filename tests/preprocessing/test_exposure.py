"""Pictures brought to one exposure: by hand, each by itself, in files and in tiles."""

import numpy as np
import pytest

import oddgan
from oddgan import preprocessing, testing
from oddgan.detectors.pca import PCA
from oddgan.errors import ArtifactError, ParameterError
from oddgan.preprocessing import PicturePreprocessor, TilePreprocessor
from oddgan.preprocessing.exposure import brought_to, level_of
from oddgan.rows import open_rows


def scene(n=12, side=24, seed=0):
    """One part under lamps of different strength."""
    random = np.random.default_rng(seed)
    part = np.random.default_rng(99).uniform(40, 120, (side, side))
    return np.clip(part * random.uniform(0.6, 1.6, (n, 1, 1)), 0, 255).astype(np.uint8)


def test_the_level_is_the_typical_pictures():
    pictures = [np.full((4, 4, 1), value, np.uint8) for value in (10, 20, 90)]
    assert level_of(pictures, None) == (20.0, 0.0)
    half = np.zeros((4, 4), bool)
    half[:2] = True
    split = np.concatenate([np.full((2, 4, 1), 3.0), np.full((2, 4, 1), 99.0)])
    assert level_of([split], half) == (3.0, 0.0)


def test_gain_and_contrast_by_hand():
    x = np.array([[[10.0], [20.0]], [[30.0], [40.0]]], np.float32)
    np.testing.assert_allclose(brought_to(x, "gain", (50.0, 1.0), None), 2 * x)
    found = brought_to(x, "contrast", (50.0, 22.36068), None)
    np.testing.assert_allclose([found.mean(), found.std()], [50, 22.36068], rtol=1e-5)
    assert brought_to(x, "none", (50.0, 1.0), None) is x
    bytes_ = brought_to(np.array([[[100], [250]]], np.uint8), "gain", (350.0, 0.0), None)
    assert bytes_.dtype == np.uint8
    assert bytes_.ravel().tolist() == [200, 255]


@pytest.mark.parametrize("exposure", ["gain", "contrast"])
def test_black_and_flat_pictures_stay_finite(exposure):
    for value in (0, 7):
        found = brought_to(np.full((8, 8, 3), value, np.float32), exposure, (100.0, 20.0), None)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("exposure", ["gain", "contrast"])
def test_lamps_no_longer_matter(exposure):
    X = scene()
    rows = open_rows(X)
    pre = PicturePreprocessor.fit(rows, np.arange(12), exposure=exposure)
    x = pre.prepare(rows, np.arange(12)).batch(np.arange(12)).numpy()
    plain = PicturePreprocessor.fit(rows, np.arange(12)).prepare(rows, np.arange(12)).batch(np.arange(12)).numpy()
    assert x.std(axis=0).max() < 0.1 * plain.std(axis=0).max()
    assert pre.level[0] == pytest.approx(np.median(X.reshape(12, -1).mean(1)))
    assert "brightness" in pre.describe()


def test_it_is_kept_in_files_and_unknown_to_old_ones(tmp_path):
    X = scene(60)
    det = PCA(exposure="gain", components=2, random_state=0).fit(X)
    det.save(tmp_path / "m.oddgan")
    same = oddgan.load(tmp_path / "m.oddgan")
    assert np.array_equal(same.anomaly_score(X), det.anomaly_score(X))
    alone = det.anomaly_score(X[3])
    assert alone[0] == det.anomaly_score(X)[3]
    facts, arrays = det.preprocessor_.to_manifest()
    for change in ({"exposure": "lamp"}, {"level": [float("nan"), 1.0]}, {"level": [1.0]}):
        with pytest.raises(ArtifactError):
            preprocessing.from_manifest({**facts, **change}, arrays)
    plain, _ = PCA(components=2, random_state=0).fit(X).preprocessor_.to_manifest()
    assert "exposure" not in plain
    assert preprocessing.from_manifest(plain, {}).exposure == "none"


def test_tiles_are_cut_from_pictures_of_one_exposure():
    X = scene(10, 40)
    rows = open_rows(X)
    pre = TilePreprocessor.fit(rows, np.arange(10), tile=16, exposure="gain")
    blocks = [block.x.numpy() for block in pre.parts(rows).blocks(16)]
    per_picture = np.concatenate(blocks).reshape(10, -1)
    assert per_picture.std(axis=0).max() < 0.1
    det = testing.small(oddgan.GANomaly, tile=16, exposure="contrast").fit(X)
    assert np.isfinite(det.anomaly_score(X[:2])).all()


def test_only_the_region_of_interest_sets_the_level():
    X = scene(30, 40)
    changed = X.copy()
    changed[:, :, 30:] = 255
    det = PCA(exposure="gain", roi=(4, 4, 24, 24), components=2, random_state=0).fit(X)
    assert np.array_equal(det.anomaly_score(X), det.anomaly_score(changed))


def test_gain_is_for_brightness():
    X = np.random.default_rng(0).normal(size=(20, 16, 16)).astype(np.float32)
    with pytest.raises(ParameterError, match="values below 0; use contrast"):
        PCA(exposure="gain", components=2).fit(X)
    with pytest.raises(ParameterError, match="exposure=contrast: is for pictures"):
        PCA(exposure="contrast").fit(X[:, 0])
