"""Detectors on pictures larger than their networks: laws hold, small defects are found, verdicts are of pictures."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from oddgan import testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.errors import DataError, ParameterError
from oddgan.model.terms import TermComputer
from oddgan.preprocessing.pictures import PreparedPictures


class Mixed(list):
    """Pictures of many sizes that can be taken by number, as arrays can."""

    def __getitem__(self, i):
        return Mixed(super(Mixed, self).__getitem__(int(j)) for j in i) if isinstance(i, np.ndarray) else self.at(i)

    def at(self, i):
        return super().__getitem__(i)


def texture(seed, height, width):
    """A grey picture of broad waves under fine noise, (height, width) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 40 * np.sin(y / 9 + random.uniform(0, 6)) * np.cos(x / 11 + random.uniform(0, 6))
    return (128 + waves + random.normal(0, 3, (height, width))).astype(np.uint8)


@pytest.fixture(scope="module")
def mixed():
    """48 pictures of 12 to 19 by 14 to 25 pixels."""
    return Mixed(texture(i, 12 + i % 8, 14 + i * 5 % 12) for i in range(48))


def tiled(**changes):
    return testing.small(GANomaly, **{"tile": 10, "stride": 4, **changes})


@pytest.fixture(scope="module")
def fitted(mixed):
    return tiled().fit(mixed)


@pytest.mark.parametrize("law", testing.LAWS, ids=lambda law: law.__name__)
def test_laws_on_tiles(law, mixed, fitted):
    law(fitted, mixed)


def test_laws_on_several_tiles_that_are_resized_and_read_again(mixed, monkeypatch):
    monkeypatch.setattr("oddgan.preprocessing.tiles.IN_MEMORY", 0)
    detector = tiled(tile=12, stride=None, size=8, top_tiles=3)
    for law in (testing.rows_are_independent, testing.saved_models_are_identical, testing.resumed_runs_are_identical):
        law(detector, mixed)


def test_all_that_is_explained_of_a_picture_is_its_own(mixed, fitted):
    """The same alone and in company, whose tiles share its blocks, at the picture's own size."""
    det = fitted
    found = det.explain(mixed)
    features = det.features(mixed)
    for i in (0, 7, 47):
        alone = det.explain([mixed[i]])
        assert alone.score[0] == found.score[i]
        assert found.anomaly_map[i].shape == mixed[i].shape == found.reconstruction[i].shape
        assert np.array_equal(alone.anomaly_map[0], found.anomaly_map[i])
        assert np.array_equal(alone.reconstruction[0], found.reconstruction[i])
        assert np.array_equal(det.features([mixed[i]])[0], features[i])
        assert {name: value[0] for name, value in alone.terms.items()} == {n: v[i] for n, v in found.terms.items()}
    assert np.array_equal(found.score, det.anomaly_score(mixed))
    assert all(np.isfinite(m).all() and m.dtype == np.float32 for m in found.anomaly_map)
    assert det.generate(3).shape == (3, 10, 10)


@pytest.mark.parametrize("local", ["off", "ratio"])
@pytest.mark.parametrize("top", [1, 3, 1000])
def test_a_picture_is_scored_by_its_oddest_tiles(local, top, mixed):
    """Each term is the mean of its largest values among the tiles, cut here by hand; tuning and calibration are of
    pictures."""
    judged = {} if local == "off" else {"local": local, "neighbours": 3}
    judged["score_by"] = "combined"
    det = tiled(top_tiles=top, **judged).fit(mixed, tune=mixed[np.arange(9)], calibrate=mixed[:11])
    terms = det.explain(mixed).terms
    for i in (1, 30):
        height, width = mixed[i].shape
        corners = [
            (y, x)
            for y in sorted({*range(0, height - 10, 4), height - 10})
            for x in sorted({*range(0, width - 10, 4), width - 10})
        ]
        cut = np.stack([mixed[i][y : y + 10, x : x + 10, None] for y, x in corners])
        rows = PreparedPictures(det.preprocessor_, cut, np.arange(len(cut)))
        block, *_ = rows.blocks(64)
        part = det.model_.computer.found(block.x)
        for name, values in det.model_.combination.terms(part.terms, part.embeddings).items():
            expected = np.mean(np.sort(values[: len(cut)])[::-1][:top])
            assert terms[name][i] == pytest.approx(expected, rel=1e-6)
    combination = det.model_.combination
    scored = combination.scored
    for name in scored:
        values = terms[name][:9]
        middle = np.median(values)
        assert combination.tuning[name] == pytest.approx((middle, np.median(np.abs(values - middle))))
    combined = sum((terms[name] - combination.tuning[name][0]) / combination.tuning[name][1] for name in scored)
    np.testing.assert_allclose(det.anomaly_score(mixed), combined, rtol=1e-12)
    assert np.array_equal(det.model_.calibration.scores, np.sort(det.anomaly_score(mixed[:11])))
    assert det.n_calibrate_ == 11


def test_pictures_that_were_trained_on_are_known(mixed, fitted):
    det = fitted
    known = det.explain(mixed).trained_on
    assert known.sum() == det.training_["rows"] == len(det.model_.trained_on)
    changed = mixed[int(np.flatnonzero(known)[0])].copy()
    assert det.explain([changed]).trained_on[0]
    changed[3, 3] ^= 1
    assert not det.explain([changed, changed.T]).trained_on.any()


def test_an_epoch_is_as_many_tiles_as_cover_the_pictures(mixed):
    det = tiled(updates=None, epochs=1, calibrate_fraction=0.2).fit(mixed, tune=mixed[:4], calibrate=mixed[:20])
    tiles = sum(-(-x.shape[0] // 10) * -(-x.shape[1] // 10) for x in mixed)
    assert det.history_["update"][-1] == -(-tiles // 16)


def test_what_only_scoring_needs_may_change_in_a_resumed_run(mixed, tmp_path):
    whole = tiled(stride=5, top_tiles=2).fit(mixed)
    with pytest.raises(testing._BrokenOff):
        tiled().fit(mixed, checkpoint=tmp_path / "c", checkpoint_seconds=0, hooks=[testing._Break("game")])
    testing._assert_same_model(whole, tiled(stride=5, top_tiles=2).fit(mixed, checkpoint=tmp_path / "c"), "resumed")


DEFECT = np.indices((4, 4)).sum(0) % 2 * 120 - 60  # a chequered spot, as bright on average as its surroundings


@pytest.fixture(scope="module")
def large():
    """Normal pictures, test pictures of which the second half have a spot, and where it is."""
    normal = [texture(i, 128, 120 + 8 * (i % 3)) for i in range(36)]
    test = [texture(1000 + i, 128, 120 + 8 * (i % 3)) for i in range(24)]
    places = [(7 * i % 120 + 2, 11 * i % 110 + 3) for i in range(12)]
    for picture, (y, x) in zip(test[12:], places, strict=True):
        picture[y : y + 4, x : x + 4] = np.clip(picture[y : y + 4, x : x + 4] + DEFECT, 0, 255)
    return normal, test, places


def test_a_defect_that_shrinking_removes_is_found_in_tiles(large):
    normal, test, places = large
    labels = np.arange(24) >= 12
    shared = {"random_state": 0, "updates": 100, "width": 8, "latent_dim": 8, "score_by": "residual", "device": "cpu"}
    shrunk = GANomaly(size=16, **shared).fit(normal)
    assert roc_auc_score(labels, shrunk.anomaly_score(test)) < 0.75
    det = GANomaly(tile=16, **shared).fit(normal)
    found = det.explain(test)
    assert roc_auc_score(labels, found.score) > 0.95
    assert found.is_anomaly[labels].mean() > 0.8
    hits = 0
    for heat, (y, x) in zip(found.anomaly_map[12:], places, strict=True):
        top, left = np.unravel_index(heat.argmax(), heat.shape)
        hits += y - 1 <= top <= y + 4 and x - 1 <= left <= x + 4
    assert hits >= 11


def test_memory_holds_one_block_of_tiles_at_a_time(mixed, monkeypatch):
    det = tiled(block_size=4).fit(mixed)
    seen, found = [], TermComputer.found

    def watched(self, x, *names, **how):
        seen.append(len(x))
        return found(self, x, *names, **how)

    monkeypatch.setattr(TermComputer, "found", watched)
    det.anomaly_score([texture(0, 60, 90)])
    assert max(seen) == 4
    assert sum(seen) == 14 * 21  # every 4 pixels, and one flush with the border


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tile": 10, "stride": 11}, "stride=11: above tile=10 there would be gaps"),
        ({"stride": 4}, "stride=4: is for pictures in tiles; give tile as well"),
        ({"top_tiles": 2}, "top_tiles=2: is for pictures in tiles"),
        ({"tile": 7}, "tile=7: must be at least 8"),
        ({"tile": 10, "top_tiles": 0}, "top_tiles=0: must be at least 1"),
    ],
)
def test_tiles_that_make_no_sense_are_refused(given, message, mixed):
    with pytest.raises(ParameterError, match=message):
        testing.small(GANomaly, **given).fit(mixed)


def test_tables_have_no_tiles(table):
    with pytest.raises(ParameterError, match=r"tile=10: .* this is a table; leave it out"):
        tiled().fit(table)


def test_a_picture_smaller_than_a_tile_is_named(mixed, fitted):
    with pytest.raises(DataError, match=r"^row 2: 9x30 pixels, which is smaller than a tile of 10x10"):
        fitted.anomaly_score([mixed[0], mixed[1], texture(0, 9, 30)])
