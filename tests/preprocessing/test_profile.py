"""What training rows looked like, and what is found when new ones look otherwise."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from oddgan import preprocessing
from oddgan.errors import ArtifactError
from oddgan.preprocessing import PicturePreprocessor, TablePreprocessor, profile
from oddgan.preprocessing.profile_tests import all_equal, all_new, count_above, share_rises
from oddgan.rows import open_rows
from oddgan.testing import small


def learnt(X, **how):
    rows = open_rows(X)
    kind = TablePreprocessor if rows.kind == "table" else PicturePreprocessor
    return profile.learn(rows, np.arange(len(rows)), kind.fit(rows, np.arange(len(rows)), **how))


def findings(known, X, pieces=1):
    watch, rows = profile.Watch(known), open_rows(X)
    for part in np.array_split(np.arange(len(rows)), pieces):
        watch.add(rows, part)
    return {one.code: one for one in watch.findings()}


# --- the tests ---------------------------------------------------------------------------------------------------


def test_probabilities_by_hand():
    assert share_rises(3, 3, 0, 3) == pytest.approx(1 / 20)  # the three that have it are the three new ones
    assert share_rises(0, 3, 2, 3) == 1
    assert count_above(2, 2, 1) == pytest.approx(1 / 3)  # the known one is the smallest of three
    assert all_equal(2, 2, 8) == pytest.approx(2 * (4 * 3) / (10 * 9))


def test_the_bound_for_new_values_is_one():
    # one value, four times: all in the batch of 6 of 20 with probability C(16, 2) / C(20, 6)
    exact = (16 * 15 / 2) / 38760
    assert all_new(np.array([4]), 6, 14, 4) == pytest.approx(exact)
    random, hits = np.random.default_rng(0), 0
    counts = np.array([1] * 8 + [3] * 4)
    values = np.repeat(np.arange(12), counts)
    for _ in range(4000):
        order = random.permutation(values)
        hits += (~np.isin(order[:8], order[8:])).sum() >= 7
    assert hits / 4000 <= all_new(counts, 8, 12, 7) < 1


# --- tables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_halves_of_a_table_do_not_differ(load):
    X = load().data
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(X))
        half = len(X) // 2
        assert not findings(learnt(X[order[:half]]), X[order[half:]])


@pytest.fixture(scope="module")
def cancer():
    X = load_breast_cancer().data
    return X[np.random.default_rng(0).permutation(len(X))]


@pytest.mark.parametrize(
    "scaled",
    [
        lambda new, old: (new - old.mean(0)) / old.std(0),
        lambda new, old: (new - old.min(0)) / (old.max(0) - old.min(0)),
        lambda new, old: (new - np.median(old, 0)) / np.subtract(*np.quantile(old, (0.75, 0.25), axis=0)),
    ],
    ids=["standardised", "0 to 1", "robust"],
)
def test_rows_that_were_scaled_before_are_found(cancer, scaled):
    old, new = cancer[:300], cancer[300:]
    found = findings(learnt(old), scaled(new, old), pieces=3)
    assert list(found) == ["twice-normalised"]
    assert "give rows in the units of training" in found["twice-normalised"].message


def test_rows_that_were_not_scaled_are_found(cancer):
    old = (cancer[:300] - cancer[:300].mean(0)) / cancer[:300].std(0)
    assert list(findings(learnt(old), 50 + 100 * cancer[300:])) == ["not-normalised"]


def test_a_scale_that_changed_around_the_same_middle_is_found():
    random = np.random.default_rng(0)
    known = learnt(random.normal(size=(300, 4)))
    new = random.normal(size=(100, 4))
    assert findings(known, new * [1, 0.05, 1, 1])["shifted-columns"].where == ("column 1",)
    assert not findings(known, new)


def test_exchanged_columns_are_found(cancer):
    old, new = cancer[:300, :4], cancer[300:, [0, 3, 2, 1]]
    found = findings(learnt(old), new)
    assert list(found) == ["columns-permuted"]
    assert "column 1 holds what column 3 held" in found["columns-permuted"].message
    assert found["columns-permuted"].where == ("column 1", "column 3")


def test_another_unit_and_a_sensor_that_is_stuck_are_found(cancer):
    new = cancer[300:].copy()
    new[:, 3] *= 1000
    new[:, 5] = new[0, 5]
    found = findings(learnt(cancer[:300]), new)
    assert set(found) == {"out-of-range", "shifted-columns", "constant-column"}
    assert found["out-of-range"].where == ("column 3",)
    assert found["shifted-columns"].where == ("column 3",)
    assert found["constant-column"].where == ("column 5",)


def frame(n, seed, *, colours=("red", "green", "blue"), missing=0.0):
    random = np.random.default_rng(seed)
    size = random.normal(size=n)
    size[random.random(n) < missing] = np.nan
    return pd.DataFrame({"size": size, "colour": random.choice(colours, n), "on": random.random(n) < 0.5})


def test_categories_and_missing_values():
    known = learnt(frame(200, 0, missing=0.05))
    assert not findings(known, frame(100, 1, missing=0.05))
    found = findings(known, frame(100, 2, colours=("red", "pink"), missing=0.6), pieces=4)
    assert set(found) == {"unseen-categories", "missing-values"}
    assert found["unseen-categories"].where == ("colour",)
    assert "such as 'pink'" in found["unseen-categories"].message
    assert found["missing-values"].where == ("size",)


def test_rare_values_that_come_now_and_then_are_no_finding():
    names = [f"part {i}" for i in range(150)]
    for seed in range(10):
        assert not findings(learnt(frame(100, seed, colours=names)), frame(60, seed + 100, colours=names))


# --- pictures ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    X = (load_digits().images * 15.9).astype(np.uint8)
    return X[np.random.default_rng(0).permutation(len(X))]


def test_halves_of_pictures_do_not_differ(digits):
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(digits))
        assert not findings(learnt(digits[order[:200]]), digits[order[200 : 240 + 100 * seed]])


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (lambda x: x * 0.5, {"exposure", "contrast"}),
        (lambda x: np.clip(x * 1.6, 0, 255), {"exposure", "contrast", "saturation"}),
        (lambda x: x / 255, {"twice-normalised"}),
        (lambda x: np.clip(x + 15, 0, 255), {"exposure", "saturation"}),
    ],
)
def test_light_is_found(digits, change, codes):
    changed = np.rint(change(digits[300:400].astype(float))).astype(np.uint8)
    assert set(findings(learnt(digits[:300]), changed)) == codes


def test_what_the_model_evens_out_is_not_found(digits):
    dark = (digits[300:400] * 0.5).astype(np.uint8)
    assert "exposure" not in findings(learnt(digits[:300], exposure="gain"), dark)
    assert not findings(learnt(digits[:300], exposure="contrast"), dark)


def test_focus_and_white_balance_are_found():
    random = np.random.default_rng(0)
    X = np.clip(random.normal(120, 30, (80, 24, 24, 3)), 0, 255).astype(np.uint8)
    blurred = np.mean([np.roll(X[40:], (i, j), (1, 2)).astype(float) for i in range(3) for j in range(3)], axis=0)
    smooth = X[40:].astype(float) * 0.2 + 0.8 * blurred
    assert "sharpness" in findings(learnt(X[:40]), smooth.astype(np.uint8))
    assert "colour" in findings(learnt(X[:40]), (X[40:] * [1.0, 1.0, 0.8]).astype(np.uint8))


def test_values_of_deeper_pictures(digits):
    deep = digits.astype(np.float32) * 16
    known = learnt(deep[:200])
    assert not findings(known, deep[200:300])
    assert set(findings(known, deep[200:300] / 4096)) == {"twice-normalised"}
    assert "out-of-range" in findings(known, deep[200:300] * 2)
    assert "not-normalised" in findings(learnt(deep[:200] / 4096), deep[200:300])


def test_other_sizes_and_channels(digits):
    known = learnt(digits[:100], convert=True)
    wide = np.repeat(digits[100:140], 2, axis=2)
    assert findings(known, wide)["size"].figures == {"share": 1.0, "new": 16.0, "training": 8.0}
    assert "channels" in findings(known, np.repeat(digits[100:140, ..., None], 3, axis=3))


def test_only_the_region_of_interest_counts(digits):
    known = learnt(digits[:100], roi=(0, 0, 8, 8))
    big = np.pad(digits, ((0, 0), (0, 8), (0, 0)))
    known = learnt(big[:100], roi=(0, 0, 8, 8))
    changed = big[100:160].copy()
    changed[:, 8:] = 200
    assert not findings(known, changed)
    assert "exposure" in findings(learnt(big[:100]), changed)


# --- of both -----------------------------------------------------------------------------------------------------


def test_few_rows_say_nothing_and_no_profile_finds_nothing(digits):
    assert not findings(learnt(digits[:100]), digits[:9] // 2)
    assert not findings(None, digits[:50])


@pytest.mark.parametrize("X", [frame(60, 0, missing=0.1), np.random.default_rng(0).normal(size=(70, 3))])
def test_a_profile_of_a_table_comes_back_from_a_file(X):
    rows = open_rows(X)
    pre = TablePreprocessor.fit(rows)
    facts, arrays = profile.learn(rows, np.arange(len(rows)), pre).to_manifest()
    again = profile.from_manifest(facts, arrays, pre)
    assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in
               zip(again.to_manifest()[1].values(), arrays.values(), strict=True))  # fmt: skip
    for name in arrays:
        with pytest.raises(ArtifactError):
            profile.from_manifest(facts, {**arrays, name: np.zeros((3, 3, 3))}, pre)
    with pytest.raises(ArtifactError):
        profile.from_manifest({**facts, "kind": "pictures"}, arrays, pre)


def test_a_profile_of_pictures_comes_back_from_a_file(digits):
    known = learnt(digits[:30])
    facts, arrays = known.to_manifest()
    again = profile.from_manifest(facts, arrays, known.preprocessor)
    assert np.array_equal(again.found, known.found)
    with pytest.raises(ArtifactError):
        profile.from_manifest(facts, {"found": arrays["found"][:, 1:]}, known.preprocessor)


def test_only_training_rows_are_looked_at(digits):
    import oddgan

    X = digits[:60].copy()
    detector = small(oddgan.PCA).fit(X, calibrate=digits[60:90] // 2, tune=digits[60:90] // 2)
    assert detector.model_.profile.found[:, 0].max() == pytest.approx(X.mean((1, 2)).max() / 255)
    assert preprocessing.PicturePreprocessor is type(detector.model_.profile.preprocessor)
