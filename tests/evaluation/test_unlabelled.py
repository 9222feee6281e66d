"""Detectors judged without a label: what is held out, what is simulated, and that labels are not looked at."""

import dataclasses

import numpy as np
import pytest

import oddgan
from oddgan import KNN, PCA
from oddgan.data import Split
from oddgan.errors import DataError
from oddgan.evaluation import unlabelled
from oddgan.report import to_markdown
from oddgan.rows import TableRows, open_rows
from oddgan.simulate import pictures as simulate
from oddgan.simulate.tables import KINDS


def rows_of(part):
    rows = open_rows(part)
    return rows.values if isinstance(rows, TableRows) else np.stack([rows[i] for i in range(len(rows))])


def as_set(part):
    return {one.tobytes() for one in np.ascontiguousarray(rows_of(part), np.float64)}


def test_held_out_rows_of_a_table_are_not_trained_on_and_simulated_ones_are_new(table):
    X = np.concatenate([table, table[:5], table[:5]])  # copies
    split = unlabelled.yardstick(Split(name="rows", train=X))
    labels, test = np.asarray(split.labels), rows_of(split.test)
    assert (~labels).sum() == round(0.2 * len(table))
    train, held, made = as_set(split.train), as_set(test[~labels]), as_set(test[labels])
    assert not train & held
    assert train | held == as_set(X)
    assert not made & as_set(X)
    assert len(split.train) == sum(row.tobytes() in train for row in np.ascontiguousarray(X, np.float64))
    assert labels.sum() == unlabelled.each_of(int((~labels).sum())) * (~labels).sum()
    assert set(split.kinds) == {"good", *KINDS}
    assert [kind == "good" for kind in split.kinds] == (~labels).tolist()
    again = unlabelled.yardstick(Split(name="rows", train=X))
    np.testing.assert_array_equal(rows_of(again.test), test)
    assert (rows_of(unlabelled.yardstick(Split(name="rows", train=X), seed=1).test)[~labels] != test[~labels]).any()


def test_simulated_pictures_are_made_when_they_are_read(pictures):
    split = unlabelled.yardstick(Split(name="p", train=pictures))
    labels, test = np.asarray(split.labels), open_rows(split.test)
    n = int((~labels).sum())
    assert n == round(0.2 * len(pictures))
    assert len(split.train) == len(pictures) - n
    each = (len(test) - n) // n
    assert split.kinds[n : n + 9] == (*simulate.KINDS, "patch")
    numbers = as_set(pictures)
    for i in (n, n + each, len(test) - 1):
        np.testing.assert_array_equal(test[i], test[i])  # the same at every reading
        source = test[(i - n) // each]
        assert test[i].shape == source.shape
        assert test[i].dtype == source.dtype
        changed = (test[i] != source).any(-1).mean()
        assert 0 < changed < 1
        assert test.name(i).startswith(f"{test.name((i - n) // each)} (simulated ")
    assert as_set(rows_of(split.train)) | as_set([test[i] for i in range(n)]) == numbers


def test_simulated_anomalies_are_inside_the_region_of_interest(pictures):
    large = pictures.repeat(4, 1).repeat(4, 2)
    split = unlabelled.yardstick(Split(name="p", train=large), roi=(4, 8, 16, 12))
    test, n = open_rows(split.test), split.kinds.count("good")
    each = (len(test) - n) // n
    for i in range(n, n + 2 * each):
        changed = (test[i] != test[(i - n) // each]).any(-1)
        assert changed.any()
        changed[8:20, 4:20] = False
        assert not changed.any()


def test_figures_are_by_hand():
    train = np.random.default_rng(0).normal(size=(60, 2))
    det = KNN(random_state=0).fit(train)
    test = np.array([[0.0, 0], [0.1, 0], [0.2, 0.2], [9, 9], [0, 0.05], [8, 8]])
    kinds = ("good", "good", "good", "beyond", "mixed", "beyond")
    labels = np.array([kind != "good" for kind in kinds])
    figures, by_kind = unlabelled.figures(det, Split(name="s", train=train, test=test, labels=labels, kinds=kinds))
    scores = det.anomaly_score(test)
    mixed = float((scores[4] > scores[:3]).mean())
    assert by_kind == {"beyond": 1.0, "mixed": pytest.approx(mixed)}
    assert figures["of_kinds"] == pytest.approx((1 + mixed) / 2)
    assert figures["least_kind"] == pytest.approx(mixed)
    assert figures["auroc"] == pytest.approx((2 + mixed) / 3)
    assert figures["detected"] == pytest.approx(2 / 3)
    assert figures["false_alarms"] == 0


def test_compare_without_labels_ranks_and_says_that_anomalies_are_simulated(table):
    found = oddgan.compare(table, {"poor": PCA(components=1), "near": KNN()}, seeds=(0, 1))
    assert found.simulated
    assert found.ranked_by == "of_kinds"
    assert [one.name for one in found.contenders] == sorted(
        ("poor", "near"), key=lambda name: -next(o for o in found.contenders if o.name == name).figures["of_kinds"].mean
    )
    text = to_markdown(found)
    for said in ("simulated anomalies", "| simulated AUROC |", "No figure is of a true anomaly", "best first by"):
        assert said in text
    assert all(set(cell.facts["simulated"]) == set(KINDS) for cell in found.cells)
    again = oddgan.compare(table, {"poor": PCA(components=1), "near": KNN()}, seeds=(0, 1))
    for one, other in zip(found.cells, again.cells, strict=True):
        assert {k: v for k, v in one.figures.items() if "seconds" not in k} == {
            k: v for k, v in other.figures.items() if "seconds" not in k
        }


def test_labels_are_not_looked_at(table):
    labels = np.arange(10) < 5
    split = Split(name="rows", train=table[:80], test=table[:10], labels=labels)
    one = oddgan.compare(split, ["knn"], seeds=(0,), labels=False)
    other = oddgan.compare(
        dataclasses.replace(split, test=table[10:20] + 9, labels=~labels), ["knn"], seeds=(0,), labels=False
    )
    assert one.cells[0].key == other.cells[0].key
    assert one.contenders[0].figures["auroc"] == other.contenders[0].figures["auroc"]
    assert not oddgan.compare(split, ["knn"], seeds=(0,)).simulated


def test_too_few_rows_are_refused(table):
    with pytest.raises(DataError, match="9 normal rows; simulated anomalies need 10 at least"):
        oddgan.compare(table[:9], ["knn"])
    with pytest.raises(DataError, match="only 3 normal rows differ"):
        oddgan.compare(np.repeat(table[:3], 10, 0), ["knn"])
