"""What is learnt of mixed tables, and what new rows become by it."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from oddgan.errors import ArtifactError, DataError
from oddgan.preprocessing import TablePreprocessor, from_manifest
from oddgan.preprocessing.table_columns import Numbers
from oddgan.rows.tables import as_table


@pytest.fixture
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    result = pd.DataFrame(
        {
            "size": random.normal(5, 2, 200),
            "kind": random.choice(["b", "a", "c"], 200, p=[0.6, 0.3, 0.1]),
            "flag": random.random(200) > 0.4,
            "cost": np.exp(3 * random.normal(size=200)),
            "one": 7.0,
        }
    )
    result.loc[:1, "kind"] = ["rare1", "once"]
    result.loc[::10, "size"] = np.nan
    result.loc[5:15, "kind"] = None
    return result


def columns_of(pre: TablePreprocessor, x: torch.Tensor, name: str) -> np.ndarray:
    """What a user's column becomes."""
    return x[:, pre.encoder.owner == pre.columns.index(name)].numpy()


def test_a_mixed_row_by_hand():
    frame = pd.DataFrame(
        {"n": [1.0, 3.0, 1.0, 3.0], "t": ["x", "y", "x", "y"], "b": [True, True, False, False], "m": [2.0, None, 4, 6]}
    )
    pre = TablePreprocessor.fit(as_table(frame))
    assert pre.columns == ("n", "t", "b", "m")
    assert pre.kinds == ("number", "category", "boolean", "number")
    assert pre.shape == (2 + 1 + 3 + 3,)
    deviation = np.std([2, 4, 6])
    expected = [
        # n, m, m missing, t: x y other, b: False True other
        [-1, (2 - 4) / deviation, 0, 1, 0, 0, 0, 1, 0],
        [1, 0, 1, 0, 1, 0, 0, 1, 0],
        [-1, 0, 0, 1, 0, 0, 1, 0, 0],
        [1, (6 - 4) / deviation, 0, 0, 1, 0, 1, 0, 0],
    ]
    x = pre.tensor(as_table(frame))
    np.testing.assert_allclose(x, expected, atol=1e-6)
    assert pre.encoder.owner.tolist() == [0, 3, 3, 1, 1, 1, 2, 2, 2]
    shares = pre.shares(torch.tensor([[1.0, 2, 3, 0, 0, 0, 0, 4, 0], [0.0] * 9]))
    np.testing.assert_allclose(shares, [[0.1, 0, 0.4, 0.5], [0, 0, 0, 0]])
    restored = pre.restore(x)
    assert restored[:, 1].tolist() == ["x", "y", "x", "y"]
    assert restored[:, 2].tolist() == [True, True, False, False]
    np.testing.assert_allclose(restored[:, [0, 3]].astype(float), frame[["n", "m"]], atol=1e-6)


def test_only_training_rows_count(frame):
    train = np.arange(50, 150)
    pre = TablePreprocessor.fit(as_table(frame), train, scaling="quantile", log_tails=True)
    alone = TablePreprocessor.fit(as_table(frame.iloc[train]), scaling="quantile", log_tails=True)
    assert pre.categories == alone.categories
    for name, value in vars(pre.numbers).items():
        np.testing.assert_array_equal(value, getattr(alone.numbers, name), err_msg=name)


def test_rare_missing_and_unseen_values(frame):
    pre = TablePreprocessor.fit(as_table(frame), rare=0.02)
    kinds = pre.categories[1]
    assert kinds.texts == ("a", "b", "c")
    assert kinds.values == ("a", "b", "c", None, "(other)")
    new = frame.head(4).assign(kind=["rare1", "never seen", None, "c"])
    expected = np.eye(5)[[4, 4, 3, 2]]
    np.testing.assert_array_equal(columns_of(pre, pre.tensor(as_table(new)), "kind"), expected)
    # A value that one row alone has cannot be learnt, however small the share; with 0 nothing is pooled.
    assert TablePreprocessor.fit(as_table(frame), rare=1e-9).categories[1].texts == ("a", "b", "c")
    whole = TablePreprocessor.fit(as_table(frame), rare=0)
    assert whole.categories[1].values == ("a", "b", "c", "once", "rare1", None)
    assert columns_of(whole, whole.tensor(as_table(new)), "kind")[1].tolist() == [0] * 6
    # Missing where training had no gap is as odd as an unseen value.
    filled = TablePreprocessor.fit(as_table(frame.assign(kind=frame.kind.fillna("a"))))
    assert columns_of(filled, filled.tensor(as_table(new)), "kind")[2].tolist() == [0, 0, 0, 1]


def test_two_rows_differ_in_a_category_as_much_as_in_a_number():
    """The rule for the scale of categories: a squared distance of 2, the mean one of a standardised number."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"n": random.normal(size=400), "t": ["x", "y"] * 200})
    pre = TablePreprocessor.fit(as_table(frame))
    x = pre.tensor(as_table(frame)).numpy()
    number = np.subtract.outer(x[:, 0], x[:, 0]) ** 2
    assert number.mean() == pytest.approx(2, rel=1e-4)
    assert ((x[0, 1:] - x[1, 1:]) ** 2).sum() == 2


def test_missing_numbers(frame):
    pre = TablePreprocessor.fit(as_table(frame))
    assert pre.numbers.missed.tolist() == [1, 0, 0]
    new = frame.iloc[[1, 1, 1]].assign(size=[np.nan, 5.0, 5.0], cost=[1.0, np.nan, 1.0])
    size, cost = (columns_of(pre, pre.tensor(as_table(new)), name) for name in ("size", "cost"))
    middle = (frame["size"].median() - frame["size"].mean()) / frame["size"].std(ddof=0)
    np.testing.assert_allclose(size[0], [middle, 1], rtol=1e-5)
    assert size[1, 1] == 0
    # `cost` never missed in training: a gap lies one deviation beyond all that training had.
    trained = columns_of(pre, pre.tensor(as_table(frame)), "cost")
    np.testing.assert_allclose(cost[1], trained.max() + 1, rtol=1e-6)
    restored = pre.restore(pre.tensor(as_table(new)))
    assert np.isnan(restored[0, 0])
    assert restored[1, 0] == pytest.approx(5)


def test_a_column_without_any_value():
    frame = pd.DataFrame({"n": [1.0, 2, 3, 4], "gone": [np.nan] * 4})
    pre = TablePreprocessor.fit(as_table(frame))
    np.testing.assert_array_equal(columns_of(pre, pre.tensor(as_table(frame)), "gone"), [[0, 1]] * 4)
    assert columns_of(pre, pre.tensor(as_table(frame.fillna(3.0))), "gone")[0].tolist() == [3, 0]


def test_constant_columns_show_a_departure(frame):
    for scaling in ("standard", "minmax", "robust", "quantile"):
        pre = TablePreprocessor.fit(as_table(frame), scaling=scaling)
        x = pre.tensor(as_table(frame.head(3).assign(one=[7.0, 9.0, 4.0])))
        np.testing.assert_allclose(columns_of(pre, x, "one")[:, 0], [0, 2, -3], atol=1e-6)


def test_numbers_may_stay_as_they_are():
    table = np.array([[1.0, -3e4, 5.0], [2.0, 7e4, 5.0], [4.0, 0.0, 5.0]])
    pre = TablePreprocessor.fit(table, scaling="none")
    np.testing.assert_array_equal(pre.tensor(table).numpy(), table.astype(np.float32))
    np.testing.assert_array_equal(pre.restore(pre.tensor(table)), table)
    assert pre.describe() == "tables of 3 columns, not scaled"


def test_a_constant_of_any_size_is_one():
    for value in (0.0, 1e-200, 1e17, -1e100):
        for scaling in ("standard", "minmax", "robust", "quantile"):
            pre = TablePreprocessor.fit(np.full((5, 1), value), scaling=scaling, log_tails=True)
            assert pre.tensor(np.full((1, 1), value)).tolist() == [[0.0]], (value, scaling)
            assert torch.isfinite(pre.tensor(np.array([[1e300], [-1.0]]))).all()


def test_heavy_tails_are_told_by_their_kurtosis():
    random = np.random.default_rng(0)
    table = np.stack([random.normal(size=4000), random.exponential(size=4000), np.exp(random.normal(size=4000))], 1)
    pre = TablePreprocessor.fit(table, log_tails=True)
    assert (pre.numbers.log_scale > 0).tolist() == [False, False, True]
    assert pre.describe() == "tables of 3 columns, standardised, logarithms of 1"
    heavy = table[:, 2]
    away = np.abs(heavy - np.median(heavy))
    u = (heavy - np.median(heavy)) / np.median(away[away > 0])
    logs = np.sign(u) * np.log1p(np.abs(u))
    x = pre.tensor(table).numpy()
    np.testing.assert_allclose(x[:, 2], (logs - logs.mean()) / logs.std(), atol=1e-5)
    np.testing.assert_array_equal(x[:, :2], TablePreprocessor.fit(table).tensor(table)[:, :2])
    np.testing.assert_allclose(pre.restore(pre.tensor(table)), table, rtol=1e-4, atol=1e-4)


def test_quantiles_go_on_beyond_the_training_rows():
    random = np.random.default_rng(0)
    table = random.normal(3, 2, size=(500, 1))
    pre = TablePreprocessor.fit(table, scaling="quantile")
    highest, deviation = table.max(), table.std()
    ends = pre.tensor(np.array([[highest], [highest + deviation], [highest + 10 * deviation]]))[:, 0]
    np.testing.assert_allclose(ends - ends[0], [0, 1, 10], rtol=1e-5, atol=1e-5)
    x = np.linspace(-20, 20, 999)[:, None]
    assert (np.diff(pre.tensor(x).numpy()[:, 0]) > 0).all()
    np.testing.assert_allclose(pre.restore(pre.tensor(x)), x, rtol=1e-3, atol=1e-3)


def test_equal_values_share_the_middle_of_their_ranks():
    table = np.repeat([0.0, 1.0, 9.0], [80, 10, 10])[:, None]
    pre = TablePreprocessor.fit(table, scaling="quantile")
    zero, one, nine = pre.tensor(np.array([[0.0], [1.0], [9.0]]))[:, 0].tolist()
    assert -0.4 < zero < 0 < 0.9 < one < 1.2 < nine < 2.2


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "quantile", "none"])
def test_batches_and_single_rows_agree_to_the_bit(scaling, frame):
    pre = TablePreprocessor.fit(as_table(frame), scaling=scaling, log_tails=True)
    rows = as_table(frame)
    x = pre.tensor(rows)
    assert x.dtype == torch.float32
    assert torch.isfinite(x).all()
    numbers = np.array([3, 150, 0, 77])
    assert torch.equal(pre.tensor(rows[numbers]), x[numbers])
    assert torch.equal(pre.prepare(rows, np.arange(200)).batch(numbers), x[numbers])
    assert torch.equal(torch.cat([pre.tensor(rows[np.array([i])]) for i in range(200)]), x)


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "quantile", "none"])
def test_state_survives_a_model_file(scaling, frame):
    pre = TablePreprocessor.fit(as_table(frame), scaling=scaling, log_tails=True)
    facts, arrays = pre.to_manifest()
    again = from_manifest(json.loads(json.dumps(facts)), arrays)
    assert isinstance(again, TablePreprocessor)
    assert torch.equal(again.tensor(as_table(frame)), pre.tensor(as_table(frame)))
    assert again.describe() == pre.describe()
    assert all(value.dtype == np.float64 for value in arrays.values())
    for spoilt in (
        {**facts, "kinds": facts["kinds"][:-1]},
        {**facts, "kinds": ["number"] * 5},
        {**facts, "columns": ["a"]},
        {**facts, "scaling": "quantile" if scaling == "standard" else "standard" if scaling == "quantile" else "other"},
    ):
        with pytest.raises(ArtifactError):
            from_manifest(spoilt, arrays)
    for name, value in arrays.items():
        with pytest.raises(ArtifactError):
            from_manifest(facts, {**arrays, name: value[:-1]})


def test_models_of_the_first_release_are_read(table):
    old = {"mean": table.mean(0), "scale": table.std(0)}
    pre = from_manifest({"kind": "table", "columns": None}, old)
    assert torch.equal(pre.tensor(table), TablePreprocessor.fit(table).tensor(table))


def test_columns_must_be_those_of_training(frame):
    pre = TablePreprocessor.fit(as_table(frame))
    for spoilt, message in (
        (frame.rename(columns={"size": "width"}), "unseen at fit time: width. .*yet now missing: size"),
        (frame[["kind", "size", "flag", "cost", "one"]], "must be in the same order"),
        (frame.assign(cost="much"), "'cost' held numbers in training and holds text: convert"),
        (frame.assign(kind=1.0), "'kind' held text in training and holds numbers: convert"),
        (frame.assign(flag=2.0), "'flag' held true and false in training and holds numbers"),
        (frame.assign(flag="yes"), "'flag' held true and false in training and holds text"),
        (np.zeros((3, 5)), "'kind' held text in training and holds numbers: give a DataFrame"),
        (np.zeros((3, 4)), "X has 4 features, but the model is expecting 5 features"),
    ):
        with pytest.raises(DataError, match=message):
            pre.tensor(as_table(spoilt))


def test_harmless_changes_of_type_are_understood(frame):
    pre = TablePreprocessor.fit(as_table(frame))
    x = pre.tensor(as_table(frame))
    assert torch.equal(pre.tensor(as_table(frame.assign(flag=frame.flag.astype(float)))), x)
    assert torch.equal(pre.tensor(as_table(frame.assign(kind=frame.kind.astype("category")))), x)
    whole = frame.assign(one=frame.one.astype(int))
    assert torch.equal(pre.tensor(as_table(whole)), x)
    gone = frame.assign(kind=np.nan, size=pd.Series([None] * 200, dtype=object))
    assert columns_of(pre, pre.tensor(as_table(gone)), "kind")[:, 3].all()
    assert columns_of(pre, pre.tensor(as_table(gone)), "size")[:, 1].all()


def test_the_encoder_stands_alone(frame):
    """An export carries it: one float64 tensor in, one float32 tensor out, by torch's operations alone."""
    for scaling in ("standard", "quantile"):
        pre = TablePreprocessor.fit(as_table(frame), scaling=scaling, log_tails=True)
        raw = pre.raw(as_table(frame))
        assert raw.dtype == torch.float64
        assert raw.shape == (200, 5)
        rows = torch.export.Dim("rows")
        program = torch.export.export(pre.encoder, (raw,), dynamic_shapes=({0: rows},))
        assert torch.equal(program.module()(raw[:7]), pre.tensor(as_table(frame.head(7))))


@pytest.mark.parametrize("missing", [False, True])
def test_a_constant_of_many_rows_is_constant(missing):
    x = np.full((100_000, 2), 0.1)  # whose sum is not 10,000 when rows are added one by one
    x[:, 1] = np.arange(100_000)
    if missing:
        x[5] = np.nan
    for scaling in ("standard", "minmax", "robust", "quantile"):
        assert Numbers.fit(x, ["a", "b"], scaling, False).scale[0] == 1
    assert Numbers.fit(x, ["a", "b"], "standard", False).scale[1] > 1
