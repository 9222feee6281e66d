"""`evaluate` with a small detector: bright is anomalous."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from oddgan import metrics
from oddgan.errors import DataError, ParameterError
from oddgan.evaluation import evaluate
from oddgan.evaluation.findings import unlike_calibration, warnings
from oddgan.preprocessing import Region
from oddgan.verdict import Calibration, Guarantee


class Brightest:
    """Scores a picture by its brightest pixel, a table row by its largest value."""

    false_alarm_rate_ = 0.1
    history_ = {"stage": ["game", "game"], "epoch": [1, 2], "update": [10, 20], "G.con": [0.5, 0.25]}  # noqa: RUF012

    def __init__(self, calibration, block_size=4):
        self.calibration = np.sort(np.asarray(calibration, dtype=float))
        self.n_calibrate_ = len(calibration)
        self.guarantee_ = Guarantee.of(Calibration.of(self.calibration, self.false_alarm_rate_))
        self.threshold_ = float(np.quantile(self.calibration, 0.9))
        self.block_size = block_size
        self.chunks = []

    def explain(self, rows):
        self.chunks.append(len(rows))
        table = rows.kind == "table"
        values = [np.float32(rows.values[i] if table else rows[i]) for i in range(len(rows))]
        maps = [v if v.ndim < 3 else v.max(2) for v in values]
        score = np.array([v.max() for v in values], dtype=float)
        p_value = (1 + (self.calibration >= score[:, None]).sum(1)) / (self.n_calibrate_ + 1)
        return SimpleNamespace(
            score=score,
            p_value=p_value,
            is_anomaly=p_value <= self.false_alarm_rate_ + 1e-12,
            terms={"brightest": score, "mean": np.array([v.mean() for v in values])},
            reconstruction=np.stack(values) if table else np.zeros((len(values), 4, 4), np.float32),
            anomaly_map=np.stack(maps) if table else maps,
            trained_on=np.zeros(len(values), dtype=bool),
            map_threshold=None,
            roi=None,
            columns=tuple(rows.columns or (f"column {i}" for i in range(rows.shape[1]))) if table else (),
        )

    def info(self):
        return {
            "detector": "Brightest",
            "parameters": {"tile": None, "block_size": self.block_size},
            "preprocessing": {"value_range": (0.0, 200.0)},
            "training": {},
        }

    @property
    def model_(self):
        return SimpleNamespace(calibration=Calibration.of(self.calibration, self.false_alarm_rate_), preprocessor=None)


class Pictures(list):
    def name(self, i):
        return f"test/{i:03}.png"


def split(test, labels=None, kinds=None, masks=None, **more):
    whole = {"name": "toy", "note": "a toy", "train": None, "skipped": ()} | more
    return SimpleNamespace(**whole, test=test, labels=labels, kinds=kinds, masks=masks)


@pytest.fixture
def toy():
    """60 pictures of two sizes, 20 with a bright corner and a mask of twice their size; calibration to match."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3 == 0
    test, masks = Pictures(), []
    for i, anomalous in enumerate(labels):
        shape = (8, 8) if i % 2 else (10, 6, 3)
        picture = rng.integers(0, 150, shape, dtype=np.uint8)
        mask = np.zeros((2 * shape[0], 2 * shape[1]), dtype=bool)
        if anomalous:
            picture[:2, :2] = rng.integers(130, 255)
            mask[:4, :4] = True
        test.append(picture)
        masks.append(mask)
    kinds = tuple("good" if not anomalous else "scratch" if i % 2 else "dent" for i, anomalous in enumerate(labels))
    return split(test, labels, kinds, masks)


@pytest.fixture
def detector():
    return Brightest(np.random.default_rng(1).integers(140, 152, 199))


def test_figures_are_those_of_the_metrics(toy, detector):
    found = evaluate(detector, toy, bootstrap=200)
    scores = np.array([p.max() for p in toy.test], dtype=float)
    np.testing.assert_array_equal(found.scores, scores)
    assert found.estimates["auroc"].value == pytest.approx(roc_auc_score(toy.labels, scores))
    assert set(found.estimates) == {"auroc", "average_precision", "auprc_trapezoid"}
    assert found.estimates["average_precision"] == metrics.bootstrap("average_precision", toy.labels, scores, 200)
    assert found.rates == metrics.rates(toy.labels, found.is_anomaly)
    np.testing.assert_array_equal(found.p_values <= 0.1 + 1e-12, found.is_anomaly)
    assert set(found.terms) == {"brightest", "mean"}
    assert all(values.shape == (60,) for values in found.terms.values())
    assert found.names[7] == "test/007.png"
    assert (found.data, found.note, found.detector["detector"]) == ("toy", "a toy", "Brightest")
    assert (found.threshold, found.n_calibrate, found.false_alarm_rate) == (detector.threshold_, 199, 0.1)
    assert found.history["G.con"] == [0.5, 0.25]


def test_figures_by_kind_compare_each_kind_with_all_normals(toy, detector):
    found = evaluate(detector, toy, bootstrap=50)
    assert [(kind.kind, kind.is_anomaly, kind.n) for kind in found.by_kind] == [
        ("good", False, 40),
        ("dent", True, 10),
        ("scratch", True, 10),
    ]
    good, dent, _ = found.by_kind
    rows = np.array([kind in ("dent", "good") for kind in toy.kinds])
    assert good.auroc is None
    assert dent.auroc.value == pytest.approx(roc_auc_score(toy.labels[rows], found.scores[rows]))
    assert dent.flagged == metrics.wilson(dent.n_flagged, 10)
    assert dent.n_flagged == found.is_anomaly[[kind == "dent" for kind in toy.kinds]].sum()
    assert dent.median_score == np.median(found.scores[[kind == "dent" for kind in toy.kinds]])


def test_maps_are_compared_at_the_size_of_the_mask(toy, detector):
    from PIL import Image

    found = evaluate(detector, toy, bootstrap=50)
    pixels = metrics.PixelScores()
    for picture, mask in zip(toy.test, toy.masks, strict=True):
        grey = (picture if picture.ndim == 2 else picture.max(2)).astype(np.float32)
        size = mask.shape[::-1]
        pixels.add(mask, np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)))
    expected = {"pixel_auroc": pixels.auroc(), "aupro_0.3": pixels.aupro(0.3), "aupro_0.05": pixels.aupro(0.05)}
    assert found.pixel == pytest.approx(expected)
    assert found.n_masks == 60
    assert found.pixel["pixel_auroc"] > 0.8


def test_missing_masks_are_left_out_and_reported(toy, detector):
    masks = list(toy.masks)
    masks[0] = masks[1] = None  # of an anomalous and of a normal picture
    found = evaluate(detector, split(toy.test, toy.labels, toy.kinds, masks), bootstrap=50)
    assert found.n_masks == 58
    assert "anomalous pictures without a mask, not in the pixel figures: 1" in found.warnings
    blank = [np.zeros_like(mask) for mask in toy.masks]
    found = evaluate(detector, split(toy.test, toy.labels, toy.kinds, blank), bootstrap=50)
    assert found.pixel == {}
    assert any("no mask marks" in line for line in found.warnings)


def test_chunks_change_nothing_and_report_progress(toy, detector, monkeypatch):
    whole = evaluate(Brightest(detector.calibration, block_size=64), toy, bootstrap=50)
    monkeypatch.setattr("oddgan.evaluation.run.CHUNK_ROWS", 8)
    calls = []
    found = evaluate(detector, toy, bootstrap=50, progress=lambda done, total: calls.append((done, total)))
    assert detector.chunks == [8] * 7 + [4]
    assert calls[0] == (8, 60)
    assert calls[-1] == (60, 60)
    for field in ("scores", "p_values", "is_anomaly"):
        np.testing.assert_array_equal(getattr(found, field), getattr(whole, field))
    assert (found.estimates, found.by_kind, found.pixel) == (whole.estimates, whole.by_kind, whole.pixel)
    assert [e.name for e in found.examples] == [e.name for e in whole.examples]


def test_large_pictures_come_in_chunks_of_one_block(detector):
    test = [np.zeros((1500, 1500), np.uint8)] * 9
    evaluate(detector, split(test))
    assert detector.chunks == [4, 4, 1]


def test_examples_are_the_most_anomalous_rows_the_worst_misses_and_the_worst_false_alarms(toy, detector, monkeypatch):
    monkeypatch.setattr("oddgan.evaluation.run.CHUNK_ROWS", 8)
    found = evaluate(detector, toy, examples=6, bootstrap=50)
    names = ("most anomalous", "miss", "false alarm")
    groups = {group: [e for e in found.examples if e.group == group] for group in names}
    order = np.argsort(-found.scores, kind="stable")
    assert [e.row for e in groups["most anomalous"]] == order[:6].tolist()
    missed = [int(i) for i in order[::-1] if toy.labels[i] and not found.is_anomaly[i]]
    assert sorted(e.score for e in groups["miss"]) == [found.scores[i] for i in missed[:3]]
    assert all(e.label and not e.is_anomaly for e in groups["miss"])
    alarms = [found.scores[i] for i in order if not toy.labels[i] and found.is_anomaly[i]]
    assert [e.score for e in groups["false alarm"]] == alarms[:3]
    for example in found.examples:
        picture = toy.test[example.row]
        np.testing.assert_array_equal(example.picture, picture)
        assert example.anomaly_map.shape == example.mask.shape == picture.shape[:2]
        assert example.mask.sum() == (4 if example.label else 0)
        assert example.reconstruction.dtype == np.uint8
        assert (example.kind, example.name) == (toy.kinds[example.row], f"test/{example.row:03}.png")
        assert example.p_value == found.p_values[example.row]
    assert evaluate(detector, toy, examples=0, bootstrap=50).examples == ()
    assert 130 <= found.map_scale <= 255


def test_examples_are_shown_as_8_bit_and_not_too_large(detector):
    rng = np.random.default_rng(0)
    floats = [rng.random((8, 8), dtype=np.float32) * 250 for _ in range(3)]  # the model's range ends at 200
    shown = evaluate(detector, split(floats)).examples[0]
    picture = floats[shown.row]
    np.testing.assert_array_equal(shown.picture, np.clip(np.rint(picture * (255 / 200)), 0, 255))
    wide = evaluate(detector, split([np.zeros((40, 1536, 4), np.uint8)])).examples[0]
    assert wide.picture.shape == (20, 768, 3)
    assert wide.anomaly_map.shape == (20, 768)


class Wordless(Brightest):
    """Gives scores and no maps."""

    def explain(self, rows):
        return SimpleNamespace(**vars(super().explain(rows)) | {"reconstruction": None, "anomaly_map": None})


def test_a_detector_that_locates_nothing_has_examples_without_maps(toy, detector):
    found = evaluate(Wordless(detector.calibration), toy, bootstrap=50)
    assert found.estimates == evaluate(detector, toy, bootstrap=50).estimates
    assert (found.pixel, found.n_masks, found.map_scale) == ({}, 0, 1.0)
    for example in found.examples:
        np.testing.assert_array_equal(example.picture, toy.test[example.row])
        assert example.anomaly_map is example.reconstruction is None
    table = np.random.default_rng(0).random((20, 3))
    of_table = evaluate(Wordless(detector.calibration), split(table), bootstrap=50)
    assert {(example.picture, example.columns) for example in of_table.examples} == {(None, ())}


@pytest.mark.parametrize("frame", [False, True])
def test_tables(frame):
    rng = np.random.default_rng(0)
    x = rng.random((50, 3))
    x[:20, 1] += 5
    test = pd.DataFrame(x, columns=["a", "b", "c"], index=range(100, 150)) if frame else x
    found = evaluate(Brightest(rng.random(99)), split(test, np.arange(50) < 20), bootstrap=50, examples=2)
    assert found.estimates["auroc"].value == 1
    assert found.names[:2] == (("row 100", "row 101") if frame else ("row 0", "row 1"))
    example = found.examples[0]
    assert example.picture is None
    assert example.columns[0] == ("b" if frame else "column 1", pytest.approx(found.scores.max()))
    assert len(example.columns) == 3


def test_without_labels_there_are_scores_and_verdicts(toy, detector):
    found = evaluate(detector, split(toy.test))
    assert found.labels is found.kinds is found.rates is None
    assert (found.estimates, found.by_kind, found.pixel) == ({}, (), {})
    assert found.is_anomaly.any()
    assert {e.group for e in found.examples} == {"most anomalous", "most normal", "random"}
    assert found.examples[0].label is None


def test_only_normals_give_a_false_alarm_rate(toy, detector):
    normals = [p for p, anomalous in zip(toy.test, toy.labels, strict=True) if not anomalous]
    found = evaluate(detector, split(normals, np.zeros(40, bool), ("good",) * 40))
    assert found.estimates == {}
    assert found.rates.detection_rate is None
    assert found.rates.n_false_alarms == found.is_anomaly.sum()
    assert [kind.kind for kind in found.by_kind] == ["good"]
    assert any(line.startswith("no anomalous test rows") for line in found.warnings)
    alone = evaluate(detector, split(toy.test[:1], np.ones(1, bool), ("dent",)))
    assert alone.by_kind[0].auroc is None
    assert any(line.startswith("no normal test rows") for line in alone.warnings)


def test_data_that_cannot_be_evaluated_is_refused(toy, detector):
    for test in (None, []):
        with pytest.raises(DataError, match="toy: there are no test rows"):
            evaluate(detector, split(test))
    with pytest.raises(DataError, match="row 1: its score is nan"):
        evaluate(detector, split(pd.DataFrame({"a": [1.0, np.nan]})))
    with pytest.raises(ParameterError, match="examples"):
        evaluate(detector, toy, examples=-1)


# --- warnings -------------------------------------------------------------------------------------------------------


def warned(scores, labels, *, calibration=None, kinds=None, **more):
    """The warnings for a table of one column, calibrated by default on 999 normals like the test's."""
    rng = np.random.default_rng(9)
    detector = Brightest(rng.normal(size=999) if calibration is None else calibration)
    table = np.asarray(scores, dtype=float)[:, None]
    return evaluate(detector, split(table, np.asarray(labels, bool), kinds, **more), bootstrap=200).warnings


def normals_and_anomalies(shift, n=100):
    rng = np.random.default_rng(2)
    return np.r_[rng.normal(size=n), rng.normal(size=n) + shift], np.r_[np.zeros(n), np.ones(n)]


def test_a_sound_evaluation_has_no_warnings():
    assert warned(*normals_and_anomalies(1.5)) == ()


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (-1.5, "normal rows get the higher scores"),
        (0.05, "not distinguishable from chance"),
        (50, "interval has no width"),
    ],
)
def test_areas_that_need_a_warning(shift, message):
    assert any(message in line for line in warned(*normals_and_anomalies(shift)))


def test_constant_scores_are_named():
    lines = warned(np.ones(60), np.arange(60) < 30)
    assert any("all 60 scores are equal (1)" in line for line in lines)
    assert not any("chance (0.5)" in line for line in lines)


def test_few_rows_are_named():
    scores, labels = normals_and_anomalies(1.5)
    lines = warned(scores[85:103], labels[85:103], kinds=("good",) * 15 + ("dent",) * 3)
    assert any(line.startswith("only 3 anomalous test rows") for line in lines)
    assert any(line.startswith("only 15 normal test rows") for line in lines)
    assert any(line.endswith("figures mean little: dent (3)") for line in lines)
    assert any(line.startswith("only 1 anomalous test row:") for line in warned(scores[:101], labels[:101]))


def test_a_wrong_false_alarm_rate_is_named_with_its_direction():
    scores, labels = normals_and_anomalies(3)
    drifted = np.where(labels, scores, scores + 1)
    assert any("of 100 normal test rows were flagged" in w and "more than chance" in w for w in warned(drifted, labels))
    quiet = np.where(labels, scores, scores - 2)
    assert any("0 of 100 normal test rows" in w and "fewer than chance" in w for w in warned(quiet, labels))


def test_a_small_calibration_set_explains_many_false_alarms():
    """20% where 10% was requested is no surprise with 19 calibration rows, though it is with 999."""
    scores = np.r_[np.zeros(80), np.full(20, 9.0), np.full(100, 10.0)]
    labels = np.r_[np.zeros(100), np.ones(100)]
    few = warned(scores, labels, calibration=np.arange(19) / 19)
    many = warned(scores, labels, calibration=np.arange(999) / 999)
    assert not any("than chance explains" in line for line in few)
    assert any("20 of 100 normal test rows were flagged (20.0%) where 10.0% was requested" in line for line in many)
    assert any("no p-value can be below 0.05: only 19 normal rows" in line for line in few)


def test_p_values_of_groups_are_those_of_the_calibration():
    random = np.random.default_rng(0)
    calibration = Calibration.of(random.normal(size=60), 0.1, groups=np.arange(60) // 3)
    normal = random.normal(2.0, size=200)
    (line,) = unlike_calibration(normal, calibration)
    p = calibration.p_value(normal)
    assert f"({(p > 0.9).mean():.0%} are above 0.9 and {(p <= 0.1).mean():.0%} up to 0.1" in line
    found = [*warnings(normal, {}, None, (), 0.1, calibration)]
    assert any("only 20 groups of 60 normal rows for calibration" in line for line in found)


def test_a_threshold_that_detects_nothing_is_named():
    scores = np.r_[np.linspace(0, 1, 100), np.full(50, 0.7)]
    lines = warned(scores, np.arange(150) >= 100, calibration=np.linspace(0, 1, 199))
    assert any("flagged no more often than normal ones (0.0% and" in line for line in lines)


def test_pictures_that_were_skipped_are_named():
    lines = warned(*normals_and_anomalies(1.5), skipped=(("a.png", "truncated"), ("b.png", "no picture")))
    assert any(line.endswith("cannot be read: 2, the first is a.png (truncated)") for line in lines)


def test_the_range_of_the_false_alarm_rate_shrinks_with_calibration_rows(toy, detector):
    found = evaluate(detector, toy, bootstrap=50)  # 199 rows at 10%: Beta(20, 180)
    assert found.false_alarm_range == pytest.approx((0.0677, 0.1365), abs=2e-3)
    more = evaluate(Brightest(np.arange(1999)), toy, bootstrap=50).false_alarm_range
    assert found.false_alarm_range[0] < more[0] < 0.1 < more[1] < found.false_alarm_range[1]


def test_an_evaluation_is_frozen(toy, detector):
    found = evaluate(detector, toy, bootstrap=50)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.threshold = 1.0


class Regional(Brightest):
    """Looks at the lower right quarter of pictures."""

    def explain(self, rows):
        mask = np.zeros((8, 8), bool)
        mask[4:, 4:] = True
        found = super().explain(rows)
        made = np.full((len(rows), 2, 2), 120, np.float32)
        return SimpleNamespace(**vars(found) | {"reconstruction": made, "roi": Region(mask)})


def test_large_pictures_of_a_region_are_shown_in_its_place(detector):
    found = evaluate(Regional(detector.calibration), split([np.zeros((1536, 1536), np.uint8)] * 3))
    shown = found.examples[0].reconstruction
    assert shown.shape == found.examples[0].picture.shape == (768, 768)
    inside = np.zeros((768, 768), bool)
    inside[384:, 384:] = True
    wrong = np.argwhere(shown != np.where(inside, 120, 0))
    assert np.isin(wrong, (383, 384)).any(axis=1).all()  # the border, where shrinking mixes both sides
