"""One door: whatever holds the same rows opens as the same rows, and what is no rows says what to give instead."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

import oddgan
from oddgan import testing
from oddgan.data import Split
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.pca import PCA
from oddgan.errors import DataError
from oddgan.rows import PictureRows, TableRows, open_rows

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (12, 11, 9), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (12, 11, 9, 3), dtype=np.uint8)
TABLE = RANDOM.normal(size=(40, 3))


class DataSet:
    """A map-style data set, with labels or without."""

    def __init__(self, items, labelled):
        self.items, self.labelled = items, labelled

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return (self.items[i], i % 2) if self.labelled else self.items[i]


@pytest.fixture
def folder(tmp_path):
    for i, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(tmp_path / f"{i:02}.png")
    return tmp_path


def pictures(folder):
    tensor = torch.from_numpy(PICTURES)[:, None]
    np.save(folder / "pictures.npy", PICTURES)
    return {
        "array": PICTURES,
        "array with channels": PICTURES[..., None],
        "tensor": tensor,
        "list of arrays": list(PICTURES),
        "list of Pillow images": [Image.fromarray(p) for p in PICTURES],
        "tuple of tensors": tuple(tensor),
        "list of paths": sorted(folder.glob("*.png")),
        "list of texts": [str(path) for path in sorted(folder.glob("*.png"))],
        "folder": folder,
        "folder as text": str(folder),
        "file of arrays": folder / "pictures.npy",
        "data set": DataSet(PICTURES, labelled=False),
        "labelled data set": DataSet(tensor, labelled=True),
        "torch's data set": torch.utils.data.TensorDataset(tensor, torch.zeros(12)),
        "rows": open_rows(PICTURES),
        "public data's": oddgan.data.rows(folder),
    }


def tables(folder):
    frame = pd.DataFrame(TABLE, columns=list("abc"))
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    named = {
        "pandas": frame,
        "pyarrow": pa.table(dict(frame)),
        "CSV": folder / "t.csv",
        "Parquet": str(folder / "t.parquet"),
        "file": oddgan.data.rows(folder / "t.csv"),
        "rows": open_rows(frame),
    }
    plain = {
        "array": TABLE,
        "lists": TABLE.tolist(),
        "tensor": torch.from_numpy(TABLE),
        "data set": DataSet(TABLE, labelled=False),
        "labelled data set": DataSet(torch.from_numpy(TABLE), labelled=True),
    }
    return named, plain


def held(X):
    """X as a Split holds rows: a path is opened first."""
    return open_rows(X) if isinstance(X, str | Path) else X


def test_every_form_of_the_same_pictures_opens_alike(folder):
    for name, X in pictures(folder).items():
        rows = open_rows(X)
        assert isinstance(rows, PictureRows), name
        assert len(rows) == 12
        for i in (0, 11):
            assert np.array_equal(rows[i], PICTURES[i][..., None]), name


def test_every_form_of_the_same_table_opens_alike(tmp_path):
    named, plain = tables(tmp_path)
    for name, X in (named | plain).items():
        rows = open_rows(X)
        assert isinstance(rows, TableRows), name
        np.testing.assert_allclose(rows.values, TABLE, rtol=1e-12)
        assert rows.columns == (("a", "b", "c") if name in named and X is named[name] else None), name


def test_fit_score_explain_and_evaluate_take_every_form(folder, tmp_path):
    """What fit takes, everything after it takes."""
    labels = np.arange(12) % 2 == 0
    reference = testing.small(GANomaly, updates=2).fit(PICTURES)
    expected = reference.anomaly_score(PICTURES)
    for name, X in pictures(folder).items():
        detector = testing.small(GANomaly, updates=2).fit(X)
        assert np.array_equal(detector.anomaly_score(X), expected), name
        assert np.array_equal(detector.explain(X).score, expected), name
        found = oddgan.evaluate(detector, Split(name="s", train=None, test=held(X), labels=labels), bootstrap=5)
        assert np.array_equal(found.scores, expected), name


def test_evaluate_and_compare_take_every_form_of_a_table(tmp_path):
    named, plain = tables(tmp_path)
    labels = np.arange(40) % 2 == 0
    for forms in (named, plain):
        for name, X in forms.items():
            detector = testing.small(PCA).fit(X)
            split = Split(name="s", train=held(X), test=held(X), labels=labels)
            assert np.isfinite(oddgan.evaluate(detector, split, bootstrap=5).scores).all(), name
            found = oddgan.compare(split, {"pca": testing.small(PCA)}, seeds=[0])
            assert found.contenders[0].figures["auroc"].values, name


def test_one_picture_is_one_row_to_a_model(folder):
    for X, detector in (
        (PICTURES, testing.small(GANomaly, updates=2).fit(PICTURES)),
        (COLOUR, testing.small(GANomaly, updates=2).fit(COLOUR)),
    ):
        expected = detector.anomaly_score(X)[0]
        for one in (X[0], Image.fromarray(X[0]), [X[0]], [Image.fromarray(X[0])]):
            assert detector.anomaly_score(one).tolist() == [expected]
    detector = testing.small(GANomaly, updates=2).fit(PICTURES)
    for one in (folder / "00.png", str(folder / "00.png"), [folder / "00.png"], torch.from_numpy(PICTURES[0])):
        assert detector.anomaly_score(one).tolist() == [detector.anomaly_score(PICTURES)[0]]


def test_one_row_of_a_frame_is_one_row_to_a_model():
    frame = pd.DataFrame({"a": TABLE[:, 0], "b": list("xy") * 20, "c": TABLE[:, 1] > 0})
    detector = testing.small(PCA).fit(frame)
    assert detector.anomaly_score(frame.iloc[5]).tolist() == [detector.anomaly_score(frame)[5]]
    with pytest.raises(DataError, match=r"X is a pandas Series: give a DataFrame; of one row, df.iloc\[\[i\]\]"):
        detector.anomaly_score(frame["a"])
    with pytest.raises(DataError, match="X is a pandas Series"):
        testing.small(PCA).fit(frame["a"])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(4, 1, 9, 9))),
            "DataLoader: give its data",
        ),
        (Split(name="s", train=TABLE), r"Split: give its rows, split\.train to fit"),
        ((row for row in TABLE), "generator, which can only be iterated over"),
        (PICTURES[0][..., None], "is one picture: give several"),
        (COLOUR[0], "is one picture: give several"),
        (Image.fromarray(PICTURES[0]), "one picture: give a list"),
        ([pd.DataFrame(TABLE)], "list of DataFrames"),
        ("no/such/place", "no/such/place: no such file or folder"),
        (3.0, "has shape"),
        (None, "mixed values|has shape"),
        (np.zeros((2, 2, 2, 2, 2)), r"pictures of shape \(2, 2, 2, 2, 2\)"),
        (np.zeros((4, 3, 20, 20)), "as if channels came first"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_rows_says_what_to_give(X, message):
    with pytest.raises(DataError, match=message) as raised:
        testing.small(PCA).fit(X)
    assert "\n" not in str(raised.value)


def test_lazy_frames_are_refused_by_name():
    pl = pytest.importorskip("polars")
    with pytest.raises(DataError, match=r"lazy frame: call its collect\(\)"):
        open_rows(pl.DataFrame({"a": [1.0]}).lazy())


def test_a_frames_index_names_its_rows():
    frame = pd.DataFrame(TABLE, columns=list("abc"), index=[f"part {i}" for i in range(40)])
    rows = open_rows(frame)
    assert rows.name(3) == "row part 3"
    assert rows[np.array([5, 7])].name(1) == "row part 7"
    assert open_rows(pd.DataFrame(TABLE)).name(3) == "row 3"


def test_the_other_kind_is_refused(folder):
    of_pictures, of_tables = testing.small(GANomaly).fit(PICTURES), testing.small(PCA).fit(TABLE)
    with pytest.raises(DataError, match=r"takes pictures of 11x9.*, and X holds 40 rows of 3 columns"):
        of_pictures.anomaly_score(TABLE)
    with pytest.raises(DataError, match=r"takes tables of 3 columns.*, and X holds 12 pictures"):
        of_tables.anomaly_score(folder)
