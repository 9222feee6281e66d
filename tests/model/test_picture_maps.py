"""The anomaly map decides: of whole pictures, of tiles, beside other terms, and inside a region of interest."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import oddgan
from oddgan import testing
from oddgan.detectors.dcgan import DCGAN
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.isolationforest import IsolationForest
from oddgan.detectors.pca import PCA
from oddgan.errors import ArtifactError, ParameterError
from oddgan.model.fitting import hold_out
from oddgan.model.maps import in_halves
from oddgan.verdict.maps import MAP_TERMS, pooled


def parts(n, size=(40, 48), seed=0):
    """Pictures of a bright disc that lies alike in all of them, on more or less noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    disc = 120.0 * (np.hypot(y - size[0] / 2, x - size[1] / 2) < size[0] / 3)
    noise = random.uniform(3, 9, (n, 1, 1)) * random.standard_normal((n, *size))
    return np.clip(60 + disc + noise, 0, 255).astype(np.uint8)


def scratched(pictures, seed=0):
    random, found = np.random.default_rng(seed), pictures.copy()
    for one in found:
        y, x = random.integers(0, one.shape[0] - 2), random.integers(0, one.shape[1] - 3)
        one[y : y + 2, x : x + 3] ^= 64
    return found


@pytest.fixture(scope="module")
def det():
    return PCA(random_state=0, components=3, false_alarm_rate=0.1).fit(parts(120))


def test_large_pictures_are_scored_by_the_peak_of_their_map(det):
    X = parts(20, seed=5)
    found = det.explain(X)
    assert det.score_by == "auto"
    assert det.model_.combination.names == ("map_max",)
    assert np.array_equal(found.score, found.terms["map_max"])
    assert np.array_equal(found.score, det.anomaly_score(X))
    assert found.map_threshold == det.threshold_  # one scale for the verdict and the eye
    for i in range(20):
        assert found.anomaly_map[i].shape == (40, 48)
        assert found.anomaly_map[i].max() == pytest.approx(found.score[i], rel=1e-6)
        assert bool(found.regions(i)) == found.is_anomaly[i]


def test_a_mark_that_a_mean_forgets_decides(det):
    normal, marked = parts(30, seed=6), scratched(parts(30, seed=7))
    found = det.explain(marked)
    assert found.is_anomaly.mean() > 0.9
    assert det.explain(normal).is_anomaly.mean() < 0.3
    both = np.arange(60) >= 30
    areas = {
        name: roc_auc_score(both, det.explain(np.concatenate([normal, marked])).terms[name])
        for name in ("map_max", "residual")
    }
    assert areas["map_max"] > 0.99 > areas["residual"] + 0.2
    for i in range(30):
        place = (marked[i] != parts(30, seed=7)[i]).astype(bool)
        x, y = found.regions(i)[0].peak if found.is_anomaly[i] else np.argwhere(place)[0][::-1]
        assert np.hypot(*(np.argwhere(place).mean(0) - (y, x))) < 8


def test_what_is_usual_comes_from_tuning_rows_and_the_threshold_from_calibration_rows(det):
    X, model = parts(120), det.model_
    _, held = hold_out(model.recipe.fixed(score_by="map_max"), len(X), model.facts["seed"], tune=True, calibrate=True)
    assert len(held["tune"]) == 12
    peaks = np.sort(det.explain(X[held["calibrate"]]).terms["map_max"])
    assert np.array_equal(model.map_scale.peaks, peaks)
    assert np.array_equal(model.calibration.scores, peaks)
    z = np.stack(det.explain(X[held["tune"]]).anomaly_map)
    assert abs(z.mean()) < 0.1  # of the rows that say what is usual
    trained = np.setdiff1d(np.arange(120), np.concatenate(list(held.values())))
    other = X.copy()
    other[held["tune"]] = 255 - other[held["tune"]]
    changed = PCA(random_state=0, components=3, false_alarm_rate=0.1).fit(other)
    for name, value in det.net_.state_dict().items():
        assert np.array_equal(value, changed.net_.state_dict()[name])
    assert len(trained) == model.facts["rows"]
    assert not np.array_equal(changed.model_.map_scale.mean, model.map_scale.mean)


@pytest.mark.parametrize("score_by", MAP_TERMS)
def test_each_pool_can_be_the_score(score_by):
    X = parts(60)
    found = PCA(random_state=0, components=3, score_by=score_by).fit(X).explain(scratched(X[:5]))
    assert np.array_equal(found.score, found.terms[score_by])


@pytest.mark.parametrize("groups", [None, np.arange(120) // 3])
def test_pictures_that_lie_sorted_are_mixed_before_their_maps_are_measured(groups):
    X = np.concatenate([parts(60, (16, 16)), 255 - parts(60, (16, 16), seed=1)])  # two products, one after the other
    det = PCA(random_state=0, components=3, false_alarm_rate=0.2, calibrate_fraction=0.3).fit(X, groups=groups)
    model = det.model_
    _, held = hold_out(model.recipe, 120, model.facts["seed"], tune=True, calibrate=True, groups=groups)
    assert not len(held["tune"])
    numbers = held["calibrate"]
    which = np.arange(len(numbers)) if groups is None else np.unique(groups[numbers], return_inverse=True)[1]
    measured = numbers[which % 2 == 0]
    assert (measured < 60).any()
    assert (measured >= 60).any()
    peaks = det.explain(X[measured]).terms["map_max"]
    if groups is not None:
        peaks = np.array([peaks[groups[measured] == one].max() for one in np.unique(groups[measured])])
    assert np.array_equal(model.map_scale.peaks, np.sort(peaks))
    expected = np.sort(det.anomaly_score(X[numbers]))
    assert np.allclose(model.calibration.scores, expected, rtol=1e-5)


def test_maps_have_the_threshold_of_groups_and_strata():
    X = np.concatenate([parts(90, (40, 48)), parts(90, (40, 48), seed=1)])
    X[90:] = np.clip(X[90:].astype(int) + np.random.default_rng(2).integers(-25, 26, X[90:].shape), 0, 255)  # rougher
    groups, strata = np.arange(180) // 2, np.where(np.arange(180) < 90, "smooth", "rough")
    det = PCA(random_state=0, components=3, false_alarm_rate=0.2, calibrate_fraction=0.4)
    det.fit(X, groups=groups, strata=strata)
    calibration = det.model_.calibration
    assert det.model_.map_threshold == det.threshold_
    assert calibration.groups is not None
    assert set(calibration.by_stratum) == {"smooth", "rough"}
    found = det.explain(X, strata=strata)
    assert np.array_equal(found.map_thresholds, calibration.thresholds(strata))
    assert len(set(found.map_thresholds)) == 2
    assert found.is_anomaly.any()
    for i in range(180):
        assert bool(found.regions(i)) == found.is_anomaly[i] == found.mask(i).any()
    assert det.explain(X[:3]).map_thresholds is None


def test_groups_count_once_in_the_threshold_of_maps_beside_another_score():
    X = np.repeat(parts(40, (16, 16)), 3, axis=0)
    X[1::3], X[2::3] = parts(40, (16, 16), seed=1), parts(40, (16, 16), seed=2)
    groups = np.arange(120) // 3
    det = PCA(random_state=0, components=3, false_alarm_rate=0.2, calibrate_fraction=0.4).fit(X, groups=groups)
    assert len(det.model_.map_scale.peaks) == det.n_calibrate_ - det.n_calibrate_ // 2
    again = det.recalibrate(parts(30, (16, 16), seed=3), groups=np.arange(30) // 3)
    assert len(again.model_.map_scale.peaks) == 10


def test_halves_by_hand():
    for n, groups, order, learn in (
        (5, None, [1, 3, 0, 2, 4], 2),
        (1, None, [0], 1),
        (5, [7, 7, 2, 2, 9], [0, 1, 2, 3, 4], 2),
        (3, [4, 4, 4], [1, 0, 2], 1),
    ):
        found, first = in_halves(n, None if groups is None else np.array(groups))
        assert (found.tolist(), first) == (order, learn)


def test_small_pictures_and_tables_keep_their_own_score(pictures, table):
    for X in (pictures, table):
        det = testing.small(GANomaly).fit(X)
        assert det.model_.combination.scored == GANomaly.combined_terms
    scale = testing.small(GANomaly).fit(pictures).model_.map_scale
    assert scale is not None  # for the eye


def test_a_flagged_picture_shows_why_whatever_flagged_it(pictures):
    det = testing.small(GANomaly, false_alarm_rate=0.4, score_by="residual").fit(pictures)
    found = det.explain(pictures)
    assert found.is_anomaly.any()
    for i in np.flatnonzero(found.is_anomaly):
        assert found.regions(i)
        assert found.mask(i).any()


def test_a_detector_that_locates_nothing_has_no_map():
    det = testing.small(DCGAN, size=40).fit(parts(40))
    assert det.model_.map_scale is None
    found = det.explain(parts(2))
    assert found.map_threshold is None
    for ask in (found.regions, found.mask):
        for i in (0, 99):
            with pytest.raises(ParameterError, match="locates nothing, so there are no regions"):
                ask(i)
    with pytest.raises(ParameterError, match="score_by='map_max'"):
        testing.small(DCGAN, score_by="map_max").fit(parts(40))


def test_what_has_no_map_cannot_be_scored_by_it(table):
    with pytest.raises(ParameterError, match="this is a table"):
        testing.small(GANomaly, score_by="map_max").fit(table)
    with pytest.raises(ParameterError, match="local=ratio: compares the detector's own terms"):
        testing.small(GANomaly, score_by="map_top", local="ratio", neighbours=3).fit(parts(40))


@pytest.mark.parametrize("detector", [GANomaly, IsolationForest])
def test_tables_have_columns_and_no_regions(detector, table):
    found = testing.small(detector).fit(table).explain(table[:2])
    for ask in (found.regions, found.mask):
        for i in (0, 99):
            with pytest.raises(ParameterError, match="rows of a table: ask largest"):
                ask(i)


@pytest.mark.filterwarnings("ignore::oddgan.cautions.DataWarning")
def test_a_model_of_before_has_no_regions():
    files = Path(__file__).parent / "files"
    X = np.load(files / "rows.npz")["pictures"][:2]
    found = oddgan.load(files / "ganomaly-tiles.oddgan").explain(X)
    assert found.anomaly_map is not None
    for ask in (found.regions, found.mask):
        with pytest.raises(ParameterError, match="from before maps had a threshold"):
            ask(0)


def test_tiles_are_laid_together_before_they_are_judged():
    X = [one for size in ((40, 48), (32, 60)) for one in parts(20, size)]
    det = testing.small(GANomaly, tile=16, stride=8, calibrate_fraction=0.4).fit(X)
    assert det.model_.combination.names == ("map_max",)
    assert det.model_.map_scale.mean.shape == (4, 1, 1)  # four scales, no places: pictures differ in size
    found = det.explain(X[:3] + X[-3:])
    for i, one in enumerate(X[:3] + X[-3:]):
        assert found.anomaly_map[i].shape == one.shape
        assert found.score[i] == pooled(found.anomaly_map[i][None])["map_max"][0]
        assert det.anomaly_score([one])[0] == found.score[i]


def test_models_keep_their_maps_in_files(det, tmp_path):
    det.save(tmp_path / "m.oddgan")
    same, X = oddgan.load(tmp_path / "m.oddgan"), scratched(parts(6))
    a, b = det.explain(X), same.explain(X)
    assert np.array_equal(a.score, b.score)
    assert all(np.array_equal(x, y) for x, y in zip(a.anomaly_map, b.anomaly_map, strict=True))
    assert a.map_threshold == b.map_threshold
    assert [one.to_json() for one in a.regions(0)] == [one.to_json() for one in b.regions(0)]
    lower, higher = (det.with_false_alarm_rate(rate).explain(X).map_threshold for rate in (0.3, 0.05))
    assert lower < a.map_threshold < higher


def test_a_file_without_the_scale_of_its_score_is_refused(det):
    from oddgan.model import artifact

    manifest = {**artifact.info(det.model_), "history": {}}
    with pytest.raises(ArtifactError, match="their scale is missing"):
        artifact._assembled(PCA, {**manifest, "maps": None}, {}, {})


def test_nothing_outside_a_region_of_interest_counts():
    X = parts(80)
    det = PCA(random_state=0, components=3, roi=(12, 8, 24, 24)).fit(X)
    changed = X[:4].copy()
    changed[:, :8] = 255
    changed[:, :, :12] = 0
    a, b = det.explain(X[:4]), det.explain(changed)
    assert np.array_equal(a.score, b.score)
    for one in b.anomaly_map:  # nothing outside stands out
        assert one[:8].max() == one[:, :12].max() == min(0.0, one[8:32, 12:36].min())
    strict = det.with_false_alarm_rate(0.9).explain(X[:20])  # where the threshold is below 0
    assert all(not strict.mask(i)[:8].any() for i in range(20))


class Both(GANomaly):
    """Adds the peak of the map to a term of its own."""

    combined_terms = ("residual", "map_max")


def test_a_term_of_the_map_may_be_combined_with_others(table):
    X = parts(100)
    det = testing.small(Both, score_by="combined", calibrate_fraction=0.2).fit(X)
    found, tuning = det.explain(X[:9]), det.model_.combination.tuning
    assert tuning.keys() == {"residual", "map_max"}
    scaled = [(found.terms[name] - middle) / deviation for name, (middle, deviation) in tuning.items()]
    np.testing.assert_allclose(found.score, np.sum(scaled, axis=0), rtol=1e-12)
    assert np.array_equal(det.anomaly_score(X[:9]), found.score)
    with pytest.raises(ParameterError, match="score_by=combined: is pooled from the anomaly map"):
        testing.small(Both, score_by="combined").fit(table)
