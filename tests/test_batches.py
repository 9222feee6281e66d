"""oddgan.scorer: one callable for batches in every form."""

import inspect
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import oddgan
from oddgan import batches
from oddgan.errors import DataError


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A model of numbers, texts, codes and booleans; its path, its detector, rows."""
    random, n = np.random.default_rng(0), 120
    frame = pd.DataFrame(
        {
            "a": random.normal(size=n),
            "n": random.integers(0, 9, n),
            "kind": random.choice(["x", "y"], n),
            "on": random.random(n) < 0.5,
            "zip": random.choice(["101", "102"], n),
        }
    )
    det = oddgan.PCA().fit(frame)
    path = tmp_path_factory.mktemp("mixed") / "m.oddgan"
    det.save(path)
    return path, det, frame


def columns_of(frame):
    return {name: frame[name].to_numpy() for name in frame}


def equal(found, det, X):
    assert (found["score"] == det.anomaly_score(X)).all()
    assert (found["p_value"] == det.p_value(X)).all()
    assert (found["is_anomaly"] == (det.predict(X) == -1)).all()
    assert [np.asarray(found[name]).dtype for name in ("score", "p_value", "is_anomaly")] == ["f8", "f8", bool]


def test_columns(mixed):
    path, det, frame = mixed
    score = oddgan.scorer(path)
    equal(score(columns_of(frame)), det, frame)
    equal(
        score({**columns_of(frame), "id": np.arange(len(frame)), "when": np.array(["2020"] * 120, "M8[D]")}), det, frame
    )
    codes = {
        **columns_of(frame),
        "zip": frame["zip"].astype(int).to_numpy(),
        "on": frame["on"].astype(object).to_numpy(),
    }
    equal(score({name: codes[name] for name in reversed(codes)}), det, frame)
    parts = [score(columns_of(frame[i : i + 7]))["score"] for i in range(0, 120, 7)]
    assert (np.concatenate(parts) == det.anomaly_score(frame)).all()
    assert len(score(columns_of(frame[:0]))["score"]) == 0


def test_missing_values(mixed):
    path, det, frame = mixed
    gaps = frame.astype(object)
    for i, name in enumerate(gaps):
        gaps.loc[i, name] = None
    typed = gaps.astype({"a": "float64", "n": "float64"})
    equal(oddgan.scorer(path)(columns_of(gaps)), det, typed)
    nothing = {**columns_of(frame), "kind": np.array([None] * 120), "on": np.array([None] * 120)}
    assert np.isfinite(oddgan.scorer(path)(nothing)["score"]).all()


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames(mixed, library):
    path, det, frame = mixed
    given = frame.assign(id=range(120))
    if library == "pandas":
        given.index = [f"r{i % 60}" for i in range(120)]
    elif library == "polars":
        given = pytest.importorskip("polars").from_pandas(given)
    else:
        given = pytest.importorskip("pyarrow").Table.from_pandas(given)
    found = oddgan.scorer(path)(given)
    assert type(found) is type(given)
    equal({name: np.asarray(found[name]) for name in ("score", "p_value", "is_anomaly")}, det, frame)
    kept = oddgan.scorer(path, keep=True)(given)
    names = list(kept.columns) if library != "pyarrow" else kept.column_names
    assert names == [*frame.columns, "id", "score", "p_value", "is_anomaly"]
    assert np.asarray(kept["id"]).tolist() == list(range(120))
    if library == "pandas":
        assert list(found.index) == list(kept.index) == list(given.index)
        empty = oddgan.scorer(path)(given[:0])
        assert list(empty.columns) == ["score", "p_value", "is_anomaly"]
        assert len(empty) == 0


def test_what_does_not_fit(mixed):
    path, _, frame = mixed
    score, columns = oddgan.scorer(path), columns_of(frame)
    for batch, says in (
        ({"a": columns["a"]}, "has no column 'n'"),
        (frame[["a"]], "has no column 'n'"),
        (frame.rename(columns={"n": 0}), "has no column 'n'; its columns are .*0"),
        ({**columns, "kind": columns["a"]}, "column 'kind' held text in training and holds numbers"),
        ({**columns, "a": np.full(120, np.inf)}, "column 'a': row 0 is infinite"),
        ({**columns, "a": columns["a"][:5]}, "columns have different lengths: 5, 120"),
        ({**columns, "a": np.zeros((120, 2))}, "column 'a' has shape"),
        ({**columns, "a": np.array(["2020"] * 120, "M8[D]")}, "is of type datetime64"),
    ):
        with pytest.raises(DataError, match=says):
            score(batch)


@pytest.mark.parametrize("form", [columns_of, lambda frame: frame], ids=["columns", "frame"])
def test_columns_of_the_batch_are_not_replaced(mixed, form):
    path, _, frame = mixed
    with pytest.raises(DataError, match="the batch has a column 'score' of its own"):
        oddgan.scorer(path, keep=True)(form(frame.assign(score=1.0)))


def test_it_is_small_and_loads_once_in_each_process(mixed, monkeypatch):
    path, det, frame = mixed
    score = oddgan.scorer(path, false_alarm_rate=0.2)
    text = pickle.dumps(score)
    assert len(text) < 1000
    loads = []
    load = batches.BatchScorer._load
    monkeypatch.setattr(batches.BatchScorer, "_load", lambda self: loads.append(1) or load(self))
    one, other = pickle.loads(text), pickle.loads(text)
    assert one == other == score
    equal(one(frame), det.with_false_alarm_rate(0.2), frame)
    equal(other(frame), det.with_false_alarm_rate(0.2), frame)
    assert loads == [1]
    Path(path).touch()
    one(frame)
    assert loads == [1, 1]
    assert oddgan.scorer(path, block_size=1).model().block_size == 1


def test_columns_without_names(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    det = oddgan.PCA().fit(x)
    det.save(tmp_path / "m.oddgan")
    score = oddgan.scorer(tmp_path / "m.oddgan")
    for batch in (x, {"data": x}, {"c": x[:, 0], "a": x[:, 1], "b": x[:, 2]}, x.tolist()):
        equal(score(batch), det, x)
    with pytest.raises(DataError, match="has 2 columns, and the model takes 3"):
        score({"a": x[:, 0], "b": x[:, 1]})
    predict = score.make_predict_fn()
    assert len(inspect.signature(predict).parameters) == 1
    assert (predict(x)["score"] == det.anomaly_score(x)).all()


def test_sparks_contract(mixed):
    """A function with a parameter for each column, which gives arrays of the types of a schema."""
    path, det, frame = mixed
    predict = oddgan.scorer(path).make_predict_fn()
    assert len(inspect.signature(predict).parameters) == 5
    found = predict(*columns_of(frame).values())
    assert (
        ", ".join(f"{name} {of}" for name, of in zip(found, ("double", "double", "tinyint"), strict=True))
        == batches.SPARK
    )
    assert found["is_anomaly"].dtype == np.int8
    assert (found["score"] == det.anomaly_score(frame)).all()
    with pytest.raises(DataError, match="has 2 columns, and the model takes 5"):
        oddgan.scorer(path)(*columns_of(frame[["a", "n"]]).values())


@pytest.fixture(scope="module")
def pictured(tmp_path_factory):
    """A model of pictures (12, 10); its folder with pictures in files, its detector, the pictures."""
    place = tmp_path_factory.mktemp("pictured")
    pictures = np.random.default_rng(0).integers(0, 255, (50, 12, 10), dtype=np.uint8)
    det = oddgan.PCA().fit(pictures)
    det.save(place / "m.oddgan")
    for i in range(8):
        Image.fromarray(pictures[i]).save(place / f"{i}.png")
    return place, det, pictures[:8]


def test_pictures_in_every_form(pictured):
    place, det, pictures = pictured
    paths = [str(place / f"{i}.png") for i in range(8)]
    encoded = [(place / f"{i}.png").read_bytes() for i in range(8)]
    as_objects = np.empty(8, dtype=object)
    as_objects[:] = list(pictures)
    score = oddgan.scorer(place / "m.oddgan")
    for batch in (
        pictures,
        pictures[..., None],
        list(pictures),
        as_objects,
        encoded,
        paths,
        np.array(paths),
        [Image.open(path) for path in paths],
        {"image": pictures, "path": paths},
        {"path": paths, "size": [1] * 8},
        {"whatever": encoded},
        pd.DataFrame({"path": paths, "content": encoded}),
    ):
        equal(score(batch), det, pictures)
    equal(oddgan.scorer(place / "m.oddgan", column="b")({"image": paths, "b": encoded}), det, pictures)
    assert (score.make_predict_fn()(np.array(encoded, dtype=object))["score"] == det.anomaly_score(pictures)).all()
    with pytest.raises(DataError, match="which of the columns a, b holds the pictures"):
        score({"a": paths, "b": paths})
    with pytest.raises(DataError, match="has no column 'c'"):
        oddgan.scorer(place / "m.oddgan", column="c")({"a": paths})


def test_pictures_that_cannot_be_used(pictured):
    place, det, pictures = pictured
    mixed = [pictures[0], b"no picture", str(place / "nothing.png"), pictures[1][:9], None, np.zeros(3), pictures[2]]
    with pytest.raises(DataError, match=r"row 1: it is not a picture .*\(skip_bad=True goes on\)"):
        oddgan.scorer(place / "m.oddgan")(mixed)
    found = oddgan.scorer(place / "m.oddgan", skip_bad=True, keep=True)({"image": mixed, "id": list(range(7))})
    good = [0, 6]
    assert (found["score"][good] == det.anomaly_score(pictures[[0, 2]])).all()
    assert np.isnan(found["score"][1:6]).all()
    assert np.isnan(found["p_value"][1:6]).all()
    assert not found["is_anomaly"][1:6].any()
    assert [bool(text) for text in found["error"]] == [False, True, True, True, True, True, False]
    assert "nothing.png: there is no such file" in found["error"][2]
    assert "9x10 pixels" in found["error"][3]
    assert found["id"] == list(range(7))
    none = oddgan.scorer(place / "m.oddgan", skip_bad=True)([b""])
    assert np.isnan(none["score"]).all()
