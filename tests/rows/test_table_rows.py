"""Tables from whatever users hold them in."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from oddgan.errors import DataError
from oddgan.rows import open_rows
from oddgan.rows.tables import BOOLEANS, as_table, is_frame

COLUMNS = {
    "whole": [1, 2, None],
    "real": [0.5, None, 1.5],
    "text": ["x", None, "y"],
    "flag": [True, None, False],
    "same": ["u", "u", None],
}


def frames():
    yield "pandas objects", pd.DataFrame(COLUMNS).astype({"text": object, "flag": object, "same": object})
    yield (
        "pandas nullable",
        pd.DataFrame(COLUMNS).astype(
            {"whole": "Int64", "real": "Float64", "text": "string", "flag": "boolean", "same": "category"}
        ),
    )
    yield "pyarrow", pa.table({**COLUMNS, "same": pa.array(COLUMNS["same"]).dictionary_encode()})
    try:
        import polars as pl
    except ImportError:
        return
    yield "polars", pl.DataFrame(COLUMNS).with_columns(pl.col("same").cast(pl.Categorical))


@pytest.mark.parametrize("frame", [pytest.param(frame, id=name) for name, frame in frames()])
def test_frames_of_any_library_are_one(frame):
    assert is_frame(frame)
    rows = as_table(frame)
    assert rows.columns == tuple(COLUMNS)
    assert rows.kinds == ("number", "number", "category", "boolean", "category")
    assert rows.shape == (3, 5)
    np.testing.assert_array_equal(rows.column("whole"), [1, 2, np.nan])
    np.testing.assert_array_equal(rows.column("real"), [0.5, np.nan, 1.5])
    for name in ("text", "flag", "same"):
        assert rows.column(name).tolist() == COLUMNS[name]
    assert rows.texts == ((), (), ("x", "y"), BOOLEANS, ("u",))


def test_arrays_are_held_as_they_are():
    for array in (np.ones((3, 2)), np.ones((3, 2), np.float32), np.ones((3, 2), int), np.ones((3, 2), bool)):
        rows = as_table(array)
        assert rows.values is array
        assert rows.columns is None
        assert not rows.frame
    assert as_table(rows) is rows
    assert as_table([[1, 2], [3, 4]]).shape == (2, 2)
    assert as_table(np.array([[1, 2.5]], dtype=object)).values.dtype == np.float64


def test_rows_are_taken_by_number():
    rows = as_table(pd.DataFrame(COLUMNS))
    for taken in (rows[np.array([2, 0])], rows[::-2]):
        assert len(taken) == 2
        assert taken.column("text").tolist() == ["y", "x"]
    assert rows.name(17) == "row 17"


def test_columns_are_taken_by_name():
    rows = as_table(pd.DataFrame(COLUMNS))
    some = rows.chosen(["flag", "whole"])
    assert some.columns == ("flag", "whole")
    assert some.kinds == ("boolean", "number")
    assert some.column("flag").tolist() == [True, None, False]
    assert rows.without(["text", "real"]).columns == ("whole", "flag", "same")
    for wrong in (lambda: rows.chosen(["nothing"]), lambda: rows.without(["nothing"]), lambda: rows.column("nothing")):
        with pytest.raises(DataError, match="no column 'nothing'; the columns are whole, real, text, flag, same"):
            wrong()
    with pytest.raises(DataError, match="no column is left"):
        rows.without(list(COLUMNS))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(3), r"shape \(3,\), and a table has two axes, .*Reshape your data"),
        (np.zeros((2, 2), complex), "Complex data not supported: give real numbers"),
        (np.array([["a", "b"]]), "type <U1: give numbers, or a DataFrame"),
        (np.array([["a", 1]], dtype=object), "mixed values: give a DataFrame"),
        (np.array([[0, np.nan]]), "NaN: row 0, column 1; fill in"),
        (pd.DataFrame({"a": [1.0, np.inf]}), "infinity: row 1, column a; fill in"),
        (pd.DataFrame({"a": [datetime.date(2020, 1, 1)]}), "column 'a' holds date .*turn it into numbers or text"),
        (pd.DataFrame({"a": [1 + 2j]}), "column 'a' is of type|column 'a' holds complex"),
        (pa.table({"a": [[1, 2]]}), r"column 'a' is of type List.*: turn it into numbers or text, or drop it"),
        (pa.table({"a": [b"x"]}), "column 'a' is of type Binary: turn it into"),
        (pd.DataFrame({"a": [1]})[[]], "0 columns"),
    ],
)
def test_what_is_no_table_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        as_table(given)


def test_lazy_frames_say_what_to_do():
    class Lazy:
        columns = ("a",)

        def collect(self) -> None: ...

    with pytest.raises(DataError, match=r"lazy frame: call its collect\(\)"):
        open_rows(Lazy())


def test_columns_without_names():
    rows = as_table(pd.DataFrame([[1.0, "x"], [2.0, "y"]]))
    assert rows.columns is None
    assert rows.kinds == ("number", "category")


def test_objects_of_one_kind_are_understood():
    found = as_table(pd.DataFrame({"n": [1, 2.5, None], "b": [True, False, None], "e": [None] * 3}, dtype=object))
    assert found.kinds[:2] == ("number", "boolean")
    assert np.isnan(found.values[:, 2]).all()
