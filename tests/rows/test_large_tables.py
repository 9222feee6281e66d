"""Tables that stay in a file: the same rows, the same model and the same scores as from memory."""

import errno
import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import oddgan
from oddgan.cautions import DataWarning
from oddgan.errors import DataError, OutputError
from oddgan.preprocessing import TablePreprocessor, table_sums, tables
from oddgan.preprocessing.table_profile import TableProfile
from oddgan.rows import csv_files, open_rows, parquet_files, stored_table, table_cache, together
from oddgan.rows.stored_table import StoredTable, in_temporary_file
from oddgan.rows.tables import TableRows


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/tables"


@pytest.fixture
def tiny(monkeypatch):
    """Tables from a kilobyte on are large, and read in pieces of some rows."""
    for module in (stored_table, table_cache, parquet_files, table_sums, tables):
        monkeypatch.setattr(module, "LARGE", 1_000)
    monkeypatch.setattr(sys.modules["oddgan.rows.together"], "HASHED", 1_000)
    monkeypatch.setattr(table_cache, "WORTH", 0)
    return monkeypatch


@pytest.fixture
def pieces(tiny):
    for module in (stored_table, table_sums, tables, sys.modules["oddgan.rows.together"]):
        tiny.setattr(module, "PIECE", 500)
    tiny.setattr(table_sums, "COLUMNS", 3_000)
    tiny.setattr(tables, "CHUNK", 16)


def frame(n=400, seed=0):
    random = np.random.default_rng(seed)
    found = pd.DataFrame(random.normal(size=(n, 4)), columns=list("abcd"))
    found["b"] = np.exp(3 * found["b"])
    found.loc[random.random(n) < 0.1, "c"] = np.nan
    found["kind"] = random.choice(["x", "y", "z"], n)
    found["on"] = random.random(n) < 0.4
    found.loc[7, "kind"] = None
    return found


def folder_of(path, found, cuts=(0, 150, 151, 400)):
    path.mkdir()
    for i, (start, stop) in enumerate(itertools.pairwise(cuts)):
        found.iloc[start:stop].to_parquet(path / f"part-{i}.parquet", index=False)
    return path


def stored(values):
    values = np.asarray(values)
    return in_temporary_file([values[:100], values[100:]])


def test_it_is_indexed_as_an_array_is(monkeypatch):
    monkeypatch.setattr(stored_table, "PIECE", 256)
    X = np.random.default_rng(0).normal(size=(300, 5))
    table = stored(X)
    numbers = np.array([7, 3, 299, -1, 7])
    for index in (slice(10, 200, 3), slice(None), numbers, X[:, 0] > 0, (numbers, 2), (slice(None), 3), 5, (5, 1)):
        np.testing.assert_array_equal(table[index], X[index])
    for rows in (slice(None, None, -1), slice(250, 10, -7), slice(0, 0)):
        np.testing.assert_array_equal(table[rows], X[rows])
        np.testing.assert_array_equal(table[rows, 2], X[rows, 2])
    np.testing.assert_array_equal(table[:, [3, 1]], X[:, [3, 1]])
    np.testing.assert_array_equal(np.concatenate(list(table.parts(77))), X)
    np.testing.assert_array_equal(np.asarray(table, np.float32), X.astype(np.float32))
    assert (table.shape, len(table), table.nbytes) == (X.shape, 300, X.nbytes)
    with pytest.raises(IndexError, match="row 300 of a table of 300 rows"):
        table[np.array([300])]


def test_parts_of_it_are_read_when_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(stored_table, "LARGE", 100)
    X = np.arange(600.0).reshape(200, 3)
    table = stored(X)
    some = table[np.arange(199, -1, -2)][:, [2, 0]][5:]
    assert isinstance(some, StoredTable)
    np.testing.assert_array_equal(some, X[np.arange(199, -1, -2)][:, [2, 0]][5:])
    np.testing.assert_array_equal(some[[3, 1], 1], X[np.arange(199, -1, -2)][5:][[3, 1], 0])


def test_rows_that_lie_together_are_so_in_any_order():
    X = np.zeros((5_000, 5))
    for rows, most in ((np.arange(4_000)[::-1], 2 * 4_000 * 40), (range(0, 5_000, 2), 5_000 * 40)):
        table = stored(X)
        table._file.rows(rows)
        assert 0 < table._file._looked_at <= most
    apart = np.array([100, 4_000, 101])
    table._file._looked_at = 0
    table._file.rows(apart)
    assert table._file._looked_at == 3 * stored_table.AROUND


def test_what_was_looked_at_leaves_the_process(monkeypatch):
    monkeypatch.setattr(stored_table, "MOST_MAPPED", 1_000)
    X = np.random.default_rng(0).normal(size=(3_000, 5))
    table = stored(X)
    for _ in range(3):  # pages that were let go are read again
        np.testing.assert_array_equal(table.read(), X)
        np.testing.assert_array_equal(table[[2_999, 0]], X[[2_999, 0]])


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "quantile"])
@pytest.mark.parametrize("log_tails", [False, True])
def test_a_fit_in_pieces_learns_what_a_fit_in_memory_does(scaling, log_tails, request):
    rows, train = open_rows(frame()), np.sort(np.random.default_rng(1).permutation(400)[:300])
    how = {"scaling": scaling, "log_tails": log_tails}
    whole = TablePreprocessor.fit(rows, train, **how)
    looks = TableProfile.learn(rows, train, whole).to_manifest()[1]
    encoded = whole.prepare(rows, train).batch(np.arange(300)).numpy()
    request.getfixturevalue("pieces")
    in_file = TableRows(stored(rows.values), rows.columns, rows.kinds, rows.texts)
    for source in (rows, in_file):
        found = TablePreprocessor.fit(source, train, **how)
        assert found.categories == whole.categories
        for name, value in vars(whole.numbers).items():
            if value is not None:
                np.testing.assert_allclose(getattr(found.numbers, name), value, rtol=1e-12, err_msg=name)
        for name, value in TableProfile.learn(source, train, whole).to_manifest()[1].items():
            np.testing.assert_allclose(looks[name], value, rtol=1e-12, err_msg=name)
    prepared = whole.prepare(in_file, train)
    assert isinstance(prepared.encoded, StoredTable)
    np.testing.assert_array_equal(prepared.batch(np.arange(300)).numpy(), encoded)
    blocks = [block.x.numpy() for block in whole.parts(in_file).blocks(64)]
    np.testing.assert_array_equal(np.concatenate(blocks), whole.tensor(rows).numpy())


@pytest.mark.parametrize("log_tails", [False, True])
def test_a_large_table_without_numbers(pieces, monkeypatch, log_tails):
    monkeypatch.setattr(table_sums, "EXACT", 200)
    monkeypatch.setattr(table_sums, "SAMPLED", 100)
    rows, train = open_rows(frame()[["kind", "on"]]), np.arange(300)
    assert rows.kinds == ("category", "boolean")
    in_file = TableRows(stored(rows.values), rows.columns, rows.kinds, rows.texts)
    found = TablePreprocessor.fit(in_file, train, log_tails=log_tails)
    prepared = found.prepare(in_file, train)
    assert isinstance(prepared.codes, StoredTable)
    np.testing.assert_array_equal(prepared.batch(train), found.tensor(rows)[train])
    det = oddgan.GANomaly(updates=2, width=4, latent_dim=2, batch_size=8, random_state=0).fit(in_file)
    assert np.isfinite(det.anomaly_score(in_file)).all()


def test_a_fit_passes_over_a_table_as_often_for_one_category_as_for_many(pieces, monkeypatch):
    read, rows_of = [], stored_table._Mapped.rows
    monkeypatch.setattr(stored_table._Mapped, "rows", lambda *given: read.append(len(given[1])) or rows_of(*given))
    monkeypatch.setattr(table_sums, "COLUMNS", 2**20)
    monkeypatch.setattr(stored_table, "LARGE", 2**20)  # a sample of the rows is held
    found, passes = frame().drop(columns="on"), []
    for _ in range(2):
        rows = open_rows(found)
        in_file = TableRows(stored(rows.values), rows.columns, rows.kinds, rows.texts)
        read.clear()
        fitted = TablePreprocessor.fit(in_file, np.arange(300))
        TableProfile.learn(in_file, np.arange(300), fitted)
        passes.append(sum(read) / 300)
        found = found.assign(second=found["kind"], third=found["kind"], fourth="s", n=np.arange(400) // 3)
    assert passes[0] == round(passes[1]) <= 9


@pytest.mark.filterwarnings("error")
def test_quantiles_of_many_rows_are_those_of_a_sample(pieces, monkeypatch):
    monkeypatch.setattr(table_sums, "EXACT", 1_000)
    monkeypatch.setattr(table_sums, "SAMPLED", 500)
    X = np.random.default_rng(0).normal(size=(2_000, 2))
    X[:, 1] = np.nan
    X[1_998, 1] = 5.0  # which the sample misses
    some = table_sums.Chosen(X).sample
    (_, column), _ = some.columns([0, 1])
    assert len(column) == 500
    places = [int(np.flatnonzero(X[:, 0] == value)[0]) for value in column]
    assert (np.diff(places) > 0).all()
    assert (np.array(places) // 4 == np.arange(500)).all()  # one of each stretch
    found = TablePreprocessor.fit(TableRows(X, ("a", "b"), ("number", "number"), ((), ())), scaling="quantile")
    assert np.isfinite(found.numbers.knots).any(axis=1).all()
    assert found.numbers.center[1] == 5.0
    assert found.numbers.blank[1] == 0.0  # what is missing is as usual there, which is 5
    for scaling in ("standard", "robust"):
        other = TablePreprocessor.fit(TableRows(X, ("a", "b"), ("number", "number"), ((), ())), scaling=scaling)
        assert (other.numbers.center[1], other.numbers.blank[1]) == (5.0, 0.0)
    again = TablePreprocessor.fit(TableRows(stored(X), ("a", "b"), ("number", "number"), ((), ())), scaling="quantile")
    np.testing.assert_array_equal(again.numbers.knots, found.numbers.knots)


def test_equal_rows_of_a_large_table_are_found(pieces):
    X = np.random.default_rng(0).normal(size=(300, 3))
    assert together(TableRows(stored(X))) is None
    X[250:], X[20, 0], X[21] = X[50:100], np.nan, X[20]
    X[21, 0], X[21, 1:], X[40], X[41] = np.nan, X[20, 1:], 0.0, -0.0
    groups = together(TableRows(stored(X)))
    assert (groups[250:] == groups[50:100]).all()
    assert groups[20] == groups[21]
    assert groups[40] == groups[41]
    assert groups.max() + 1 == 300 - 52
    few = np.random.default_rng(0).integers(0, 3, (300, 3)).astype(float)
    assert together(TableRows(stored(few))) is None  # equal by chance


def test_chance_is_judged_by_as_many_rows_as_memory_holds(pieces, monkeypatch):
    monkeypatch.setattr(sys.modules["oddgan.rows.together"], "SAMPLE", 2_000)
    monkeypatch.setattr(stored_table, "LARGE", 0)
    read = []
    whole = StoredTable.read
    monkeypatch.setattr(StoredTable, "read", lambda table: read.append(table.nbytes) or whole(table))
    X = np.random.default_rng(0).normal(size=(300, 3))
    X[250:] = X[50:100]
    groups = together(TableRows(stored(X)))
    assert (groups[250:] == groups[50:100]).all()
    assert max(read) <= 2_000


def test_many_files_are_one_table(tmp_path, cache):
    found = frame()
    folder = folder_of(tmp_path / "table", found)
    (folder / "_SUCCESS").touch()
    rows, known = open_rows(folder), open_rows(found)
    assert (rows.columns, rows.kinds, rows.texts) == (known.columns, known.kinds, known.texts)
    np.testing.assert_array_equal(rows.values, known.values)
    assert len(oddgan.data.rows(folder)) == 400
    assert not cache.exists()


@pytest.mark.parametrize("given", ["file", "table", "pandas"])
def test_whole_numbers_that_float64_rounds_are_numbers(given, tmp_path):
    X = pa.table(
        {"n": pa.array([2**53 + 1, 2**62 + 1, None, -(2**63)]), "u": pa.array([2**64 - 1, 0, 1, 2], pa.uint64())}
    )
    if given == "file":
        pq.write_table(X, tmp_path / "t.parquet")
    X = {"file": tmp_path / "t.parquet", "table": X, "pandas": X.to_pandas(types_mapper=pd.ArrowDtype)}[given]
    rows = open_rows(X)
    assert rows.kinds == ("number", "number")
    np.testing.assert_array_equal(rows.values, [[2.0**53, 2.0**64], [2.0**62, 0], [np.nan, 1], [-(2.0**63), 2]])


def test_folders_called_name_and_value_are_columns(tmp_path):
    found = frame(60)
    for name, start in (("day=2/site=a b", 0), ("day=10/site=__HIVE_DEFAULT_PARTITION__", 40)):
        (tmp_path / name.replace(" ", "%20")).mkdir(parents=True)
        found.iloc[start : start + (40 if not start else 20)].to_parquet(
            tmp_path / name.replace(" ", "%20") / "0.parquet", index=False
        )
    rows = open_rows(tmp_path)
    assert rows.columns == (*"abcd", "kind", "on", "day", "site")
    assert rows.column("day").tolist() == [10.0] * 20 + [2.0] * 40  # in the order of paths
    assert rows.column("site").tolist() == [None] * 20 + ["a b"] * 40
    as_texts = oddgan.data.load(tmp_path, category=["day"], drop=["site"]).train
    assert as_texts.column("day").tolist() == ["10"] * 20 + ["2"] * 40


def test_columns_that_only_later_files_have_are_warned_of(tmp_path):
    folder = folder_of(tmp_path / "t", frame())
    for name in ("part-8", "part-9"):
        frame(20).assign(late=1.0).to_parquet(folder / f"{name}.parquet", index=False)
    with pytest.warns(
        DataWarning, match=r"part-8\.parquet: has columns .* \(late\): they are left out; add .*part-0"
    ) as found:
        rows = open_rows(folder)
    assert [one.message.code for one in found] == ["later-columns"]
    assert "late" not in rows.columns


@pytest.mark.parametrize("many", [False, True])
def test_a_number_that_is_no_number_is_a_missing_category(tmp_path, many):
    table = pa.table({"port": pa.array([80.5, float("nan"), None, 22.5]), "x": [1.0, 2.0, 3.0, float("nan")]})
    pq.write_table(table, tmp_path / "0.parquet")
    rows = oddgan.data.load(tmp_path if many else tmp_path / "0.parquet", category=["port"]).train
    assert rows.column("port").tolist() == ["80.5", None, None, "22.5"]
    np.testing.assert_array_equal(rows.column("x"), [1, 2, 3, np.nan])


def test_folders_of_dates_are_refused_by_name(tmp_path):
    for day in (1, 2):
        (tmp_path / f"date=2024-05-0{day}/n={'x' if day == 2 else day}").mkdir(parents=True)
        frame(20).to_parquet(next(tmp_path.glob(f"date=2024-05-0{day}/*")) / "0.parquet", index=False)
    with pytest.raises(DataError, match=r"column 'date': holds dates \(2024-05-01\).*--category date"):
        open_rows(tmp_path)
    assert "date" not in oddgan.data.load(tmp_path, drop=["date"]).train.columns
    rows = oddgan.data.load(tmp_path, category=["date"]).train
    assert rows.texts[rows.columns.index("date")] == ("2024-05-01", "2024-05-02")
    assert not rows.plain
    with pytest.raises(DataError, match="row 20, column 'n': 'x' is not a number"):
        oddgan.data.load(tmp_path, drop=["date"], number=["n"])


def test_files_that_differ_are_refused_by_name(tmp_path):
    folder = folder_of(tmp_path / "t", frame())
    pq.write_table(pa.table({"a": ["x"], "b": [1.0]}), folder / "part-9.parquet")
    with pytest.raises(DataError, match=r"part-9\.parquet: has no column 'c'"):
        open_rows(folder)
    other = frame(20).assign(b="text")
    other.to_parquet(folder / "part-9.parquet", index=False)
    with pytest.raises(DataError, match=r"part-9\.parquet: column 'b' is of the kind category, and number in other"):
        open_rows(folder)
    (folder / "part-9.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-9\.parquet: is not a Parquet file"):
        open_rows(folder)


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_file_in_which_a_column_holds_nothing(tmp_path, empty):
    found = [frame(30, seed).assign(c=list("xyz") * 10) for seed in range(3)]
    whole = pd.concat([one.assign(c=None) if i == empty else one for i, one in enumerate(found)])
    for i, one in enumerate(found):
        (one.assign(c=None) if i == empty else one).to_parquet(tmp_path / f"{i}.parquet")
    rows, one = open_rows(tmp_path), open_rows(whole)
    assert rows.kinds == one.kinds
    assert rows.texts == one.texts
    np.testing.assert_array_equal(rows.values, one.values)
    like = TablePreprocessor.fit(rows)
    alone = open_rows(tmp_path / f"{empty}.parquet", like=like)
    np.testing.assert_array_equal(like.tensor(alone), like.tensor(rows)[30 * empty : 30 * empty + 30])


def test_pictures_beside_tables_are_pictures(tmp_path, fill):
    root = fill("a.png", "b.png")
    frame(20).to_parquet(root / "about.parquet")
    assert open_rows(root).kind == "pictures"


def test_the_same_model_from_every_source(tmp_path, tiny, cache):
    found = frame().drop(columns=["kind", "on", "c"]).round(6)
    found.to_csv(tmp_path / "t.csv", index=False)
    found.to_parquet(tmp_path / "t.parquet", index=False)
    sources = [found, tmp_path / "t.csv", tmp_path / "t.parquet", folder_of(tmp_path / "many", found)]
    opened = [oddgan.data.load(one).train if one is not found else found for one in sources]
    assert all(isinstance(one.values, StoredTable) for one in opened[1:])
    scores = []
    for one in opened:
        det = oddgan.GANomaly(updates=5, width=4, latent_dim=2, batch_size=8, random_state=0).fit(one)
        scores.append(det.anomaly_score(one))
    for other in scores[1:]:
        np.testing.assert_array_equal(other, scores[0])
    tiny.undo()
    in_memory = oddgan.GANomaly(updates=5, width=4, latent_dim=2, batch_size=8, random_state=0).fit(found)
    np.testing.assert_array_equal(in_memory.anomaly_score(found), scores[0])


def test_a_stored_table_is_used_until_its_file_changes(tmp_path, tiny, cache):
    path = tmp_path / "t.csv"
    frame().to_csv(path, index=False)
    first = oddgan.data.load(path).train
    kept = sorted(one.name for one in cache.glob("*/*"))
    assert [name.rpartition(".")[2] for name in kept] == ["bin", "json"]
    tiny.setattr("oddgan.rows.csv_files.CsvFile.whole", lambda *_, **__: pytest.fail("it was read again"))
    again = oddgan.data.load(path).train
    np.testing.assert_array_equal(again.values, first.values)
    assert (again.columns, again.kinds, again.texts) == (first.columns, first.kinds, first.texts)
    tiny.undo()
    tiny.setenv("ODDGAN_CACHE", str(cache.parent))
    for module in (stored_table, table_cache):
        tiny.setattr(module, "LARGE", 1_000)
    frame(300, seed=1).to_csv(path, index=False)
    changed = oddgan.data.load(path).train
    assert len(changed) == 300
    assert len(kept) == len(list(cache.glob("*/*")))  # the older one is gone
    np.testing.assert_array_equal(np.asarray(first.values).shape, (400, 6))  # whoever had it open has it


def test_a_table_that_was_cut_off_is_made_anew(tmp_path, tiny, cache):
    frame().to_csv(tmp_path / "t.csv", index=False)
    first = np.asarray(oddgan.data.load(tmp_path / "t.csv").train.values)
    (whole,) = cache.glob("*/*.bin")
    whole.write_bytes(whole.read_bytes()[:100])
    np.testing.assert_array_equal(oddgan.data.load(tmp_path / "t.csv").train.values, first)
    (facts,) = cache.glob("*/*.json")
    facts.write_text(json.dumps({"rows": 5}))
    np.testing.assert_array_equal(oddgan.data.load(tmp_path / "t.csv").train.values, first)


def test_a_folder_that_grows_has_one_table(tmp_path, tiny, cache):
    folder = folder_of(tmp_path / "t", frame())
    assert len(oddgan.data.load(folder).train) == 400
    frame(50, seed=1).to_parquet(folder / "part-9.parquet", index=False)
    assert len(oddgan.data.load(folder).train) == 450
    assert sorted(one.suffix for one in cache.glob("*/*")) == [".bin", ".json"]


def test_what_killed_conversions_left_is_gone(tmp_path, tiny, cache):
    fcntl = pytest.importorskip("fcntl")
    left = cache / "elsewhere/.0123.bin.0123456789abcdef.part"
    left.parent.mkdir(parents=True)
    left.touch()
    written = left.with_name(".4567.bin.0123456789abcdef.part")
    frame().to_csv(tmp_path / "t.csv", index=False)
    with written.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as its writer does
        oddgan.data.load(tmp_path / "t.csv")
    assert written.exists()
    assert not left.exists()


def test_who_comes_together_converts_once(tmp_path, tiny, cache):
    frame().to_csv(tmp_path / "t.csv", index=False)
    converted, whole = [], csv_files.CsvFile.whole

    def slow(*given):
        converted.append(1)
        time.sleep(0.2)
        return whole(*given)

    tiny.setattr(csv_files.CsvFile, "whole", slow)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: oddgan.data.load(tmp_path / "t.csv").train, range(4)))
    assert len(converted) == 1
    for one in found[1:]:
        np.testing.assert_array_equal(one.values, found[0].values)
    assert [one.suffix for one in sorted(cache.glob("*/*"))] == [".bin", ".json"]


def test_a_file_that_changes_while_it_is_converted_is_not_kept(tmp_path, tiny, cache):
    path = tmp_path / "t.csv"
    frame().to_csv(path, index=False)
    whole = csv_files.CsvFile.whole

    def changed(*given):
        found = whole(*given)
        frame(300, seed=1).to_csv(path, index=False)
        return found

    tiny.setattr(csv_files.CsvFile, "whole", changed)
    assert np.asarray(oddgan.data.load(path).train.values).shape == (400, 6)
    assert not list(cache.glob("*/*"))
    tiny.setattr(csv_files.CsvFile, "whole", whole)
    assert len(oddgan.data.load(path).train) == 300


def test_tables_that_memory_holds_need_no_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(table_cache, "cache_folder", Mock(side_effect=OutputError("there is no home folder")))
    frame().to_csv(tmp_path / "t.csv", index=False)
    for worth in (2**20, 0):
        monkeypatch.setattr(table_cache, "WORTH", worth)
        assert len(oddgan.data.load(tmp_path / "t.csv").train) == 400
    monkeypatch.setattr(table_cache, "LARGE", 1_000)
    with pytest.raises(OutputError, match="there is no home folder"):
        oddgan.data.load(tmp_path / "t.csv")


def test_room_and_what_to_do_without(tmp_path, tiny, cache):
    frame().to_parquet(tmp_path / "t.parquet", index=False)
    asked = Mock()
    with tiny.context() as patch:
        patch.setattr(table_cache, "check_room", asked)
        patch.setattr(table_cache, "written", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OutputError, match=r"no room for the cache .* or set ODDGAN_CACHE"):
            oddgan.data.load(tmp_path / "t.parquet")
    assert asked.call_args.args[1] == 8 * 400 * 6
    with tiny.context() as patch:
        whole, full = table_cache.whole_file, Mock(side_effect=OutputError("the disk is full"))
        patch.setattr(table_cache, "whole_file", lambda path: full() if path.suffix == ".json" else whole(path))
        assert len(oddgan.data.load(tmp_path / "t.parquet").train) == 400
    full.assert_called_once()
    assert not list(cache.glob("*/*"))


def test_what_is_refused_leaves_nothing(tmp_path, tiny, cache):
    found = frame()
    found["a"] = found["a"].round(3).astype(str)
    found.loc[200, "a"] = "oops"
    found.to_parquet(tmp_path / "t.parquet", index=False)
    with pytest.raises(DataError, match="oops"):
        oddgan.data.load(tmp_path / "t.parquet")
    assert not list(cache.glob("*/*"))
    infinite = frame()
    infinite.loc[200, "a"] = np.inf
    infinite.to_parquet(tmp_path / "i.parquet", index=False, row_group_size=50)
    tiny.setattr(parquet_files.ParquetFile.parts, "__defaults__", (64,))
    with pytest.raises(DataError, match="row 200, column a"):
        oddgan.data.load(tmp_path / "i.parquet")


def test_labels_of_a_large_table(tmp_path, tiny):
    found = frame()
    found["class"] = np.where(np.arange(400) % 10 == 0, "attack", "normal")
    split = oddgan.data.load(folder_of(tmp_path / "t", found), label="class", normal=["normal"])
    assert split.labels.sum() == 40
    assert isinstance(split.train.values, StoredTable)
    tiny.undo()
    tiny.setenv("ODDGAN_CACHE", str(tmp_path / "other"))
    known = oddgan.data.load(tmp_path / "t", label="class", normal=["normal"])
    np.testing.assert_array_equal(split.train.values, known.train.values)
    np.testing.assert_array_equal(split.test.values, known.test.values)


def test_a_large_array_in_a_file_stays_there(tmp_path, monkeypatch):
    from oddgan.rows import stored as files

    monkeypatch.setattr(files, "MOST_READ", 1_000)
    X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    rows = open_rows(tmp_path / "x.npy")
    assert isinstance(rows.values, StoredTable)
    np.testing.assert_array_equal(rows.values, X)


def test_an_array_that_is_written_over_while_it_is_read_is_refused(tmp_path, monkeypatch):
    from oddgan.rows import stored as files

    monkeypatch.setattr(files, "MOST_READ", 1_000)
    X = np.random.default_rng(0).normal(size=(200, 3))
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    mapped = oddgan.data.rows("x.npy")
    monkeypatch.chdir(tmp_path / "other")
    rows = open_rows(mapped)
    assert isinstance(rows.values, StoredTable)
    np.save(tmp_path / "x.npy", X[:190])
    for index in (slice(None), [3, 1], slice(0, 2)):
        with pytest.raises(DataError, match=r"x\.npy: became shorter while it was read"):
            rows.values[index]
