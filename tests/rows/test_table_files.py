"""CSV and Parquet files as tables: their contents, and the errors for files that cannot be used."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import oddgan.rows.csv_files
from oddgan.data import TableFile, load, rows
from oddgan.errors import DataError, MissingExtra
from oddgan.rows.table_files import is_table_file

Write = Callable[..., Path]

FLOWS = """id,bytes,service,ok,class
1,100,http,true,benign
2,250.5,ftp,false,benign
3,,http,TRUE,benign
4,1e3,?,false,attack
5,7,dns,true,benign
6,9,http,true,scan
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "flows.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        content = text.encode(encoding)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def test_kinds_of_columns(write: Write) -> None:
    held = TableFile(write(FLOWS)).read()
    assert held.columns == ("id", "bytes", "service", "ok", "class")
    assert held.kinds == ("number", "number", "category", "category", "category")
    np.testing.assert_array_equal(held.column("bytes"), [100, 250.5, np.nan, 1000, 7, 9])
    assert held.column("service").tolist() == ["http", "ftp", "http", None, "dns", "http"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "A.CSV"])
def test_separators_and_compression(separator: str, name: str, write: Write) -> None:
    path = write("\ufeff" + FLOWS.replace(",", separator).replace("\n", "\r\n"), name)
    assert is_table_file(path)
    held = TableFile(path).read()
    assert held.shape == (6, 5)
    assert held.columns == ("id", "bytes", "service", "ok", "class")


def test_quotes_spaces_and_empty_lines(write: Write) -> None:
    path = write('a, b\n"x, y", 1\n\n" z ",NA\n"two\nlines",3\n')
    held = TableFile(path).read()
    assert held.column("a").tolist() == ["x, y", "z", "two\nlines"]
    np.testing.assert_array_equal(held.column("b"), [1, np.nan, 3])


def test_every_spelling_of_missing(write: Write) -> None:
    held = TableFile(write("n,t\n1,x\n,\nNA,na\n?,?\nnan,NaN\nN/A,n/a\nnull,NULL\n  ,  \n")).read()
    assert np.isnan(held.column("n")[1:]).all()
    assert held.column("t").tolist() == ["x", *[None] * 7]


def test_years_may_be_names(write: Write) -> None:
    assert TableFile(write("country,2019,2020\nA,1,2\n")).columns == ("country", "2019", "2020")


def test_texts_that_python_would_take_for_numbers(write: Write) -> None:
    held = TableFile(write("a,b\n1_2,0x1\n3_4,2\n")).read()
    assert held.kinds == ("category", "category")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is empty; it must name the columns"),
        ("\n1,2\n", "line 1 is empty"),
        ("1.5,2\n3,4\n", r"line 1 must name the columns, but contains the number 1\.5; add a header line"),
        ("a,,c\n1,2,3\n", "line 1: column 2 has no name"),
        ("a,b,\n1,2,\n", r"line 1: column 3 has no name \(a separator at the end of the line\?\)"),
        ("a,b\n1,2,\n", "line 2 has 3 values for 2 columns: it ends with a separator, and line 1 does not"),
        ("# made by us\na,b\n1,2\n", r"line 2 has 2 values for 1 column \('# made by us'\); .* must name the columns"),
        ("sep=;\na;b\n1;2\n", "line 1 is 'sep=;', which only Excel knows; remove the line"),
        ('a,b\n1,2\n\n3,"4\n5,6\n', "a quote of line 4 is never closed, and takes in the rest of the file"),
        ('a,b\n1,2\n\n"3,4\n5,6\n7,8\n', "a quote of line 4 is never closed"),
        ('a,"b\n1,2\n3,4\n', "has no rows; a quote that opens in line 1 is closed too late or never"),
        ('a,b\n1,2\n"' + "x\n" * 99_999, r"field larger .* \(is a quote of line 3 never closed\?\)"),
        ("a\0,b\n1,2\n", "line 1 contains NUL characters, as UTF-16 does"),
        ("a,b,a\n1,2,3\n", "line 1: two columns are named 'a'; rename one"),
        ("a,b\n", "has no rows"),
        ("a,b\n1,2\n3\n", "line 3 has 1 value for 2 columns; fix the line"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 values for 2 columns"),
        ("a,b\n1,2\n3,inf\n", "line 3, column 'b': inf is infinite; fix it or leave it empty"),
        ("a;b\n1;2,5\n3;4,75\n", r"column 'b' has numbers with a decimal comma \(2,5\); use a decimal point"),
        ('a,b\n1,2\n3,"' + "x" * 200_000 + '"\n', r"line 3: field larger than field limit"),
    ],
)
def test_files_that_cannot_be_used(text: str, message: str, write: Write) -> None:
    path = write(text)
    with pytest.raises(DataError, match=message) as caught:
        TableFile(path).read()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_unreadable_bytes(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"flows\.csv: is not UTF-8 .*; save it as UTF-8"):
        TableFile(write("a,b\ncafé,1\n", encoding="latin-1")).read()
    whole = write(FLOWS, "cut.csv.gz").read_bytes()
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(DataError, match="gzip file is damaged or truncated"):
        TableFile(tmp_path / "cut.csv.gz").read()
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(DataError, match=r"x\.parquet: is not a Parquet file, or damaged"):
        TableFile(tmp_path / "x.parquet")


def test_texts_in_later_rows_only(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows are all numbers; the column is read again as text, without loss."""
    monkeypatch.setattr(oddgan.rows.csv_files, "PART", 3)
    path = write("a,b\n007,1\n8,2\n9,3\n10,4\nX1,5\n11,6\n")
    held = TableFile(path).read()
    assert held.kinds == ("category", "number")
    assert held.column("a").tolist() == ["007", "8", "9", "10", "X1", "11"]


def test_parts_make_the_whole(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oddgan.rows.csv_files, "BLOCK", 2)
    file = TableFile(write(FLOWS))
    whole, parts = file.read(), list(file.parts(4))
    assert [len(part) for part in parts] == [4, 2]
    assert len(file) == 6
    for name in whole.columns or ():
        joined = [value for part in parts for value in part.column(name).tolist()]
        np.testing.assert_array_equal(np.array(joined, object).astype(str), whole.column(name).astype(str))


def test_columns_as_a_model_takes_them(write: Write) -> None:
    file = TableFile(write("flag,code,n\nTRUE,7,1\nno,08,2\n"))
    typed = file.typed(("code", "n", "flag"), ("category", "number", "boolean")).read()
    assert typed.columns == ("code", "n", "flag")
    assert typed.column("code").tolist() == ["7", "08"]
    assert typed.texts[2] == ("False", "True", "no")
    with pytest.raises(DataError, match=r"flows\.csv: line 3, column 'flag': 'no' is not a number; fix it, or leave"):
        list(TableFile(write("flag,n\n1,1\nno,2\n")).typed(("flag", "n"), ("number", "number")).parts())
    with pytest.raises(DataError, match="the model was trained with the column 'bytes', which is missing"):
        file.typed(("n", "bytes"), ("number", "number"))
    with pytest.raises(DataError, match=r"not trained with the columns 'flag', 'code'; .* \(--drop flag --drop code\)"):
        file.typed(("n",), ("number",))
    assert file.typed(None, ("category",) * 3).columns == ("flag", "code", "n")
    with pytest.raises(DataError, match="has 3 columns, and the model takes 2"):
        file.typed(None, ("number", "number"))


def test_dropped_columns(write: Write) -> None:
    path = write(FLOWS)
    assert TableFile(path, ["id", "ok"]).columns == ("bytes", "service", "class")
    with pytest.raises(DataError, match=r"has no column 'ID'; its columns are id, bytes, service, ok, class"):
        TableFile(path, ["ID"])
    with pytest.raises(DataError, match="no column is left"):
        TableFile(path, ["id", "bytes", "service", "ok", "class"])


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "bytes": [1, None, 3],
            "port": [80, 443, 80],
            "service": ["http", None, "ftp"],
            "ok": [True, False, None],
            "__index_level_0__": [5, 6, 7],
        }
    )
    path = tmp_path / "flows.parquet"
    pq.write_table(table, path)
    file = TableFile(path)
    assert len(file) == 3
    held = file.read()
    assert held.columns == ("bytes", "port", "service", "ok")
    assert held.kinds == ("number", "number", "category", "boolean")
    codes = TableFile(path, kinds={"port": "category"}).read()
    assert codes.column("port").tolist() == ["80", "443", "80"]
    typed = file.typed(("ok", "port", "service", "bytes"), ("boolean", "category", "category", "number"))
    parts = list(typed.parts(2))
    assert [len(part) for part in parts] == [2, 1]
    assert parts[1].column("port").tolist() == ["80"]
    assert parts[1].columns == ("ok", "port", "service", "bytes")
    pq.write_table(table.slice(0, 0), path)
    with pytest.raises(DataError, match="has no rows"):
        TableFile(path).read()
    pq.write_table(pa.table({"t": [[1, 2]]}), path)
    with pytest.raises(DataError, match=r"flows\.parquet: column 't' is of type List"):
        TableFile(path).read()


@pytest.mark.parametrize("group", [10_000, 200_000])
def test_parts_of_a_parquet_file_hold_no_more_than_a_part(tmp_path: Path, group: int) -> None:
    n = 200_000
    columns = {name: np.random.default_rng(i).normal(size=n) for i, name in enumerate("abcd")}
    how = {"row_group_size": group, "use_dictionary": False, "data_page_size": 2**16}
    pq.write_table(pa.table(columns), tmp_path / "long.parquet", **how)
    del columns
    before, most, seen = pa.total_allocated_bytes(), 0, 0
    for part in TableFile(tmp_path / "long.parquet").parts(1_000):
        seen += len(part)
        most = max(most, pa.total_allocated_bytes() - before)
    assert seen == n
    assert most < 4e6, f"{most / 1e6:.1f} MB of {4 * 8 * n / 1e6:.1f} were held"


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r'reading Parquet needs pyarrow: pip install "oddgan\[parquet\]"'):
        TableFile(tmp_path / "a.parquet")


def test_files_are_loaded_and_divided(write: Write) -> None:
    path = write(FLOWS)
    split = load(path, label="class", normal=["benign"], drop=["id"])
    assert split.name == "flows"
    assert split.train is not None
    assert split.train.columns == ("bytes", "service", "ok")  # type: ignore[union-attr]
    assert (len(split.train), len(split.test or ())) == (3, 3)
    assert sorted(split.kinds or ()) == ["attack", "benign", "scan"]
    assert split.labels is not None
    assert split.labels.tolist() == [kind != "benign" for kind in split.kinds or ()]
    assert "6 rows of 3 columns (1 of numbers; of categories: service, 3 values, ok, 3 values)" in split.note
    flipped = load(path, label="class", anomaly=["attack", "scan"], drop=["id"])
    assert flipped.labels is not None
    assert flipped.labels.tolist() == split.labels.tolist()
    everything = load(path, label="class", normal=["benign"], all_rows=True)
    assert everything.train is None
    assert everything.labels is not None
    assert everything.labels.tolist() == [False, False, False, True, False, True]
    assert len(load(path).train or ()) == 6
    assert load(path).note.endswith("all taken as normal")
    assert len(load(path, all_rows=True).test or ()) == 6
    assert load(path, category=["id"], label="class", normal=["benign"]).train.kinds[0] == "category"  # type: ignore[union-attr]


def test_labels(write: Write) -> None:
    ones = write("n,y\n" + "".join(f"{i},{int(i > 7)}\n" for i in range(10)), "ones.csv")
    assert int(load(ones, label="y").labels.sum()) == 2  # type: ignore[union-attr]
    path = write(FLOWS)
    for options, message in (
        ({"label": "class"}, "has the classes attack, benign, scan: say which are normal"),
        ({"label": "class", "normal": ["good"]}, "has no class good; its classes are attack, benign, scan"),
        ({"label": "kind", "normal": ["benign"]}, "has no column 'kind'; its columns are id, bytes"),
        ({"normal": ["benign"]}, "which column holds the classes that normal or anomaly name"),
        ({"label": "class", "drop": ["class"]}, "'class' is both the label and dropped"),
    ):
        with pytest.raises(DataError, match=message):
            load(path, **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"row 1 \(counted from 0\) has no class in column 'y'; fill it in"):
        load(write("n,y\n1,a\n2,\n3,b\n", "gap.csv"), label="y", normal=["a"])
    alone = load(write("n,y\n1,a\n2,a\n3,a\n", "alone.csv"), label="y", normal=["a"])
    assert (len(alone.train or ()), alone.test) == (3, None)
    for source in ("digits", "wine"):
        with pytest.raises(DataError, match=f"{source}: has no columns with names"):
            load(source, label="y")


def test_labels_of_other_types(tmp_path: Path) -> None:
    for labels, known in (([0, 1, 0, 0], "0"), ([False, True, False, False], "0"), ([0.0, 1.0, 0.0, 0.0], "0")):
        path = tmp_path / "y.parquet"
        pq.write_table(pa.table({"n": [1.0, 2, 3, 4], "y": labels}), path)
        split = load(path, label="y")
        assert set(split.kinds or ()) == {known, "1"}


def test_rows_to_score(write: Write) -> None:
    held = rows(write(FLOWS), drop=["class", "id"])
    assert isinstance(held, TableFile)
    assert held.columns == ("bytes", "service", "ok")


def test_tables_that_come_with_scikit_learn() -> None:
    cancer = load("breast-cancer")
    assert cancer.train is not None
    assert cancer.labels is not None
    assert (len(cancer.train), int(cancer.labels.sum())) == (286, 212)
    assert cancer.train.columns[0] == "mean radius"  # type: ignore[union-attr]
    assert set(cancer.kinds or ()) == {"benign", "malignant"}
    wine = load("wine")
    assert (len(wine.train or ()), set(wine.kinds or ())) == (57, {"class_0", "class_1", "class_2"})
    assert len(load("wine", anomaly={"class_0"}).train or ()) == 95
    assert len(rows("wine")) == 178
