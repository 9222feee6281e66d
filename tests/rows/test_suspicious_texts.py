"""Columns that seem to hold something else than texts: nothing is read as a category without a word."""

import gzip

import numpy as np
import pandas as pd
import pytest

import oddgan
from oddgan.data import TableFile, load
from oddgan.errors import DataError
from oddgan.rows import csv_files
from oddgan.rows.texts import is_date


@pytest.fixture
def table(tmp_path):
    """Writes temp,rpm with one stray cell; `n` rows, of which `row` holds it."""

    def write(cell, n=200, row=50, name="t.csv"):
        lines = [f"{20 + i % 7}.5,{cell if i == row else 3000 + i % 50}" for i in range(n)]
        path = tmp_path / name
        text = "temp,rpm\n" + "\n".join(lines) + "\n"
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    "cell",
    ["#N/A", "-", "--", "None", "none", ".", "missing", "#DIV/0!", "<NA>", "(null)", "\\N", "", "NULL", " - ", "n.a."],
)
@pytest.mark.parametrize("fast", [False, True])
def test_the_usual_marks_of_a_missing_number_are_missing(table, cell, fast, monkeypatch):
    monkeypatch.setattr(csv_files, "FAST", 0 if fast else 2**60)
    train = load(table(cell)).train
    assert train.kinds == ("number", "number")
    assert np.flatnonzero(np.isnan(train.values[:, 1])).tolist() == [50]


STRAY = ['"3,050.25"', "3050 rpm", "12..5", "O.5", "1e", "3050%", "1_000"]


@pytest.mark.parametrize(
    ("name", "n", "row", "cell"),
    [("t.csv", n, row, cell) for n, row in ((200, 50), (40_000, 30_000)) for cell in STRAY]
    + [("t.csv.gz", 200, 50, cell) for cell in STRAY]
    + [("t.csv.gz", 40_000, 30_000, cell) for cell in STRAY[:2]],  # a cell is judged after it was unpacked
)
def test_a_stray_cell_in_a_column_of_numbers_is_named(table, cell, n, row, name):
    text = cell.strip('"')
    with pytest.raises(
        DataError, match=rf"line {row + 2}, column 'rpm': '{text}' is not a number, and {n - 1:,} of"
    ) as e:
        load(table(cell, n, row, name))
    assert "--category rpm" in str(e.value)
    assert load(table(cell, n, row, name), category=["rpm"]).train.kinds[1] == "category"


def test_a_column_may_be_said_to_hold_numbers(table, tmp_path):
    path = tmp_path / "half.csv"
    path.write_text("a,b\n" + "".join(f"{i},{'x' if i % 2 else i}\n" for i in range(40)))
    assert load(path).train.kinds == ("number", "category")  # half of them are texts: categories
    with pytest.raises(DataError, match="line 3, column 'b': 'x' is not a number"):
        load(path, number=["b"])
    with pytest.raises(DataError, match="both a category and a number"):
        load(path, number=["b"], category=["b"])
    with pytest.raises(DataError, match="no column 'c'"):
        load(path, number=["c"])


def test_marks_are_values_in_a_column_of_texts(tmp_path):
    path = tmp_path / "flags.csv"
    path.write_text("a,flag\n" + "".join(f"{i},{'-' if i % 2 else 'None'}\n" for i in range(40)))
    assert load(path).train.texts[1] == ("None", "-")


@pytest.mark.parametrize(
    "form",
    [
        *("2024-05-{:02}", "{:02}.05.2024", "{:02}/05/24", "2024-05-{:02}T12:30:00Z", "2024/05/{:02} 7:05", "7:{:02}"),
        *("{:02} May 2024", "May {:02} 2024", "Wed, {:02} May 2024 10:00:00 GMT", "{:02}-MAY-24", "2024-W{:02}"),
        *("[{:02}/May/2024:10:00:00 +0000]", "Wed May {:2} 10:00:00 2024", "202405{:02}T1200", "{:02}. September 2024"),
    ],
)
def test_dates_are_refused_by_name_in_files_and_frames(form, tmp_path):
    days = [form.format(1 + i % 28) for i in range(60)]
    path = tmp_path / "d.csv"
    path.write_text("when,n\n" + "".join(f'"{day}",{i % 9}\n' for i, day in enumerate(days)))
    with pytest.raises(DataError, match="column 'when': holds dates"):
        load(path)
    assert load(path, category=["when"]).train.kinds[0] == "category"
    frame = pd.DataFrame({"when": days, "n": range(60)})
    for given in (frame, frame.astype({"when": object}), frame.astype({"when": "string"})):
        with pytest.raises(DataError, match="column 'when': holds dates"):
            oddgan.PCA().fit(given)
    oddgan.PCA().fit(frame.astype({"when": "category"}))


@pytest.mark.parametrize(
    "text",
    [
        "1.2",
        "10.0.0.1",
        "3050",
        "a-b-c",
        "2024",
        "99-99-9999",
        "v1.2.3",
        "12",
        "",
        "May",
        "mark 10",
        "junk-2024",
        "2024-13",
    ],
)
def test_what_is_no_date(text):
    assert not is_date(text)


@pytest.mark.parametrize("cell", ["3050 rpm", "-", "#N/A", ""])
def test_texts_in_a_frame_that_are_nearly_all_numbers(cell):
    frame = pd.DataFrame({"rpm": [str(i % 9) for i in range(50)] + [cell]}, index=[f"pump {i}" for i in range(51)])
    with pytest.raises(DataError, match=f"row pump 50, column 'rpm': '{cell}' is not a number, and 50 of"):
        oddgan.PCA().fit(frame)
    oddgan.PCA().fit(frame.astype("category"))
    oddgan.PCA().fit(frame[:50])  # codes, written as texts on purpose


def test_what_a_model_is_asked_is_not_suspected():
    """A row's score depends on no other row: a few codes that happen to be numbers are no mistake."""
    codes = ["7", "12", "A4", "B1"] * 15
    frame = pd.DataFrame({"code": codes, "x": np.arange(60.0) % 7})
    det = oddgan.PCA(random_state=0).fit(frame)
    asked = frame.iloc[[0, 1] * 20].copy()
    asked.iloc[3, 0] = "A4"
    scores = det.anomaly_score(asked)
    np.testing.assert_allclose([det.anomaly_score(asked.iloc[[i]])[0] for i in range(40)], scores, rtol=1e-6)


def test_texts_in_a_parquet_file(tmp_path):
    path = tmp_path / "p.parquet"
    days = [f"2024-05-{1 + i % 28:02}" for i in range(60)]
    pd.DataFrame({"rpm": [*map(str, range(59)), "3050 rpm"], "when": days, "n": range(60)}).to_parquet(path)
    with pytest.raises(DataError, match=r"p.parquet: row 59, column 'rpm': '3050 rpm' is not .* --category rpm \("):
        load(path)
    with pytest.raises(DataError, match=r"p\.parquet: column 'when': holds dates"):
        load(path, category=["rpm"])
    train = load(path, category=["rpm", "when"]).train
    assert train.kinds == ("category", "category", "number")
    oddgan.PCA().fit(train)
    with pytest.raises(DataError, match=r"p\.parquet: row 59, column 'rpm': '3050 rpm' is not a number"):
        load(path, number=["rpm"], drop=["when"])


@pytest.mark.parametrize(
    "form",
    ["{}%", "{} rpm", "{} °C", "€ {}", "{}.5 m/s", "{},000", "{}e3 V", "-${}", "({}.5)", "\u2212{}", "{} 000", "'{}"],
)
def test_numbers_with_a_unit_are_refused_by_name(form, tmp_path):
    path = tmp_path / "u.csv"
    path.write_text("a,b\n" + "".join(f'"{form.format(100 + i)}",{i % 5}\n' for i in range(60)))
    with pytest.raises(DataError, match="column 'a': holds numbers with a unit"):
        load(path)
    assert load(path, category=["a"]).train.kinds[0] == "category"


@pytest.mark.parametrize("form", ["item {}", "{}-{}", "X{}", "{}a{}", "v{}.1"])
def test_codes_are_texts(form, tmp_path):
    path = tmp_path / "u.csv"
    path.write_text("a,b\n" + "".join(f"{form.format(10 + i, i)},{i % 5}\n" for i in range(60)))
    assert load(path).train.kinds[0] == "category"


@pytest.mark.parametrize("form", ["{},5", "0,{}", "1.{},5", "{},5E-3", "-{},25"])
def test_a_decimal_comma_is_named_also_where_values_are_missing(form, tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("a;b\n" + "".join(f"{'-' if i == 7 else form.format(100 + i)};{i % 5}\n" for i in range(60)))
    with pytest.raises(DataError, match="column 'a' has numbers with a decimal comma"):
        load(path)
    assert load(path, category=["a"]).train.kinds[0] == "category"


def test_numbers_after_many_missing_ones_are_numbers(tmp_path, monkeypatch):
    """The kind of a column is inferred from the first rows, which may hold nothing but marks."""
    monkeypatch.setattr(csv_files, "PART", 16)
    path = tmp_path / "late.csv"
    path.write_text("a,b\n" + "".join(f"{'-' if i < 40 else i % 9},{i % 5}\n" for i in range(100)))
    train = load(path).train
    assert train.kinds == ("number", "number")
    assert np.isnan(train.values[:40, 0]).all()
    assert train.values[40:, 0].tolist() == [i % 9 for i in range(40, 100)]


def test_columns_separated_by_blanks(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text("temp rpm load\n" + "".join(f"{i} {i + 1} {i + 2}\n" for i in range(30)))
    with pytest.raises(DataError, match="separated by blanks"):
        load(path)


def test_a_line_longer_than_any_row_is_refused_without_reading_it_all(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "MOST_LINE", 10_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" + b"7" * 10_000_000))
    for ask in (load, lambda path: len(oddgan.data.rows(path))):
        with pytest.raises(DataError, match=r"line 3 has more than 10,000 characters"):
            ask(path)


@pytest.mark.parametrize("field", ['"\n",', '"ab\n",'])
def test_a_row_of_many_lines_is_refused_without_reading_it_all(field, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "MOST_LINE", 10_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" + field.encode() * 1_000_000))
    with pytest.raises(DataError, match=r"belongs to a row of more than 10,000 characters"):
        load(path)
    path.write_text("a,b\n" + "1,2\n" * 20_000)  # many rows are no long row
    assert len(load(path).train) == 20_000


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("size", [1, 2, 7, 16_384])
def test_a_quote_that_is_never_closed_takes_in_no_rows(fast, size, tmp_path, monkeypatch):
    """In the last column, all rows after it would be one value, without a word."""
    monkeypatch.setattr(csv_files, "FAST", 0 if fast else 2**60)
    monkeypatch.setattr(csv_files, "PART", size)
    path = tmp_path / "q.csv"
    path.write_text('a,b\n1,x\n2,y\n3,"z\n4,x\n5,y\n')
    with pytest.raises(DataError, match="a quote of line 4 is never closed"):
        load(path)
    path.write_text('a,b\n1,x\n2,y\n3,"two\nlines\n"')
    assert load(path).train.texts[1] == ("x", "y", "two\nlines")
    path.write_text('a,b\n1,x\n2,"y')
    assert load(path).train.texts[1] == ("x", "y")


def test_a_long_text_is_shortened_in_a_message(table):
    with pytest.raises(DataError, match="is not a number") as e:
        load(table("x" * 100_000))
    assert len(str(e.value)) < 500


def test_many_columns_are_read_in_linear_time_and_whole(tmp_path):
    k = 6_000
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(k)) + "\n" + (",".join(["1"] * k) + "\n") * 6)
    assert load(path).train.shape == (6, k)
    index = CountingTuple(load(path).train.columns)
    file = csv_files.CsvFile(path)
    file.columns = index
    file.whole(index, {})
    assert index.searched == 0
    file.columns = tuple(index)
    names = CountingTuple(index[::2])
    CountingTuple.searched = 0
    assert TableFile(path, drop=names).columns == index[1::2]
    assert load(path).train.without(names).columns == index[1::2]
    assert names.searched == 0


def test_messages_name_some_of_many_columns(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(3_000)) + "\n" + ",".join(["1"] * 3_000) + "\n")
    with pytest.raises(DataError, match=r"has no column 'x'; its columns are c0, .*, c19 and 2,980 more") as e:
        load(path, drop=["x"])
    assert len(str(e.value)) < 500


class CountingTuple(tuple):
    """Counts how often it is searched."""

    searched = 0

    def index(self, *given):
        type(self).searched += 1
        return super().index(*given)

    def __contains__(self, name):
        type(self).searched += 1
        return super().__contains__(name)
