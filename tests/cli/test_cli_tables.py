"""Tables from files, from end to end."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_small import SMALL

import oddgan as package
from oddgan.cli import main, reading, score


def flows(path: Path, n: int, seed: int, *, odd: int = 0, header: str = "id,bytes,service,port,ok,class") -> Path:
    """A CSV file of n normal rows and some odd ones: other bytes, another service, missing values here and there."""
    random = np.random.default_rng(seed)
    lines = [header]
    for i in range(n + odd):
        strange = i >= n
        size = random.normal(500 if strange else 100, 10)
        service = random.choice(["ftp", "telnet"] if strange else ["http", "dns"])
        bytes_ = "" if i % 9 == 4 else f"{size:.2f}"
        row = {
            "id": i,
            "bytes": bytes_,
            "service": service,
            "port": random.choice([80, 53]),
            "ok": str(i % 5 > 0).lower(),
            "class": ["benign", "attack"][strange],
        }
        lines.append(",".join(str(row[name]) for name in header.split(",")))
    path.write_text("\n".join(lines) + "\n")
    return path


TOLD = ("--label", "class", "--drop", "id")
CHOSEN = (*TOLD, "--normal", "benign")


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return flows(tmp_path_factory.mktemp("flows") / "flows.csv", 120, 0, odd=15)


@pytest.fixture(scope="module")
def mixed(file, tmp_path_factory) -> Path:
    """A model of that file."""
    path = tmp_path_factory.mktemp("model") / "flows.oddgan"
    assert main(["train", str(file), *CHOSEN, "--category", "port", "-o", str(path), *SMALL]) == 0
    return path


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_model_of_another_process(oddgan, tmp_path):
    """train as a user types it; score here."""
    flows(tmp_path / "flows.csv", 80, 0, odd=10)
    flows(tmp_path / "new.csv", 20, 1, header="ok,port,service,bytes")
    words = ["train", "flows.csv", *CHOSEN, "-o", "m.oddgan", *SMALL]
    run = subprocess.run(
        [sys.executable, "-m", "oddgan", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    told = run.stdout
    assert "tables of 4 columns (2 of numbers, 2 of categories), standardised" in told
    assert "90 rows of 4 columns (2 of numbers; of categories: service, 4 values, ok, 2 values)" in told
    assert "oddgan score m.oddgan NEW_DATA -o scores.csv --drop id" in told
    assert "oddgan evaluate m.oddgan flows.csv --label class --normal benign --drop id --report report.html" in told
    scored = oddgan("score", "m.oddgan", "new.csv")
    assert scored.code == 0, scored.err
    assert len(read(scored.out)) == 20


def test_parquet_scores_as_csv_does(oddgan, mixed, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    flows(tmp_path / "new.csv", 20, 1, header="ok,port,service,bytes")
    whole = read((tmp_path / "new.csv").read_text())
    columns = {
        "bytes": [float(row["bytes"]) if row["bytes"] else None for row in whole],
        "service": [row["service"] for row in whole],
        "port": [int(row["port"]) for row in whole],  # a category, by --category
        "ok": [row["ok"] for row in whole],
    }
    pq.write_table(pa.table(columns), tmp_path / "new.parquet")
    scores = oddgan("score", mixed, "new.csv").out
    assert len(read(scores)) == 20
    assert oddgan("score", mixed, "new.parquet").out == scores
    assert oddgan("score", mixed, "new.parquet", "-o", "scores.parquet").code == 0
    written = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [row["columns"] for row in written] == [row["columns"] for row in read(scores)]
    assert [row["row"] for row in written] == list(range(20))
    assert oddgan("train", "new.parquet", "-o", "p.oddgan", *SMALL).code == 0


def test_scores_name_the_columns_that_are_odd(oddgan, mixed, file, tmp_path):
    rows = read(oddgan("score", mixed, file, "--drop", "id", "--drop", "class").out)
    assert list(rows[0]) == ["row", "score", "p_value", "verdict", "columns"]
    found = package.load(mixed).explain(package.data.rows(file, drop=["id", "class"]))
    np.testing.assert_allclose([float(row["score"]) for row in rows], found.score, rtol=1e-8)
    assert found.columns == ("bytes", "service", "port", "ok")
    for i in (0, 50, 130):
        (name, share), *_ = found.largest(i)
        assert rows[i]["columns"].startswith(f"{name} {share:.0%}; ")
        assert share == found.anomaly_map[i].max()


def test_a_file_in_parts_scores_the_same(oddgan, mixed, file, monkeypatch):
    whole = oddgan("score", mixed, file, *("--drop", "id", "--drop", "class")).out
    monkeypatch.setattr(reading, "TABLE_ROWS", 1)
    assert oddgan("score", mixed, file, "--drop", "id", "--drop", "class", "--block-size", "64").out == whole


def test_a_bar_counts_the_rows_of_a_file(mixed, file, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    seen = []
    detector = package.load(mixed)
    rows = reading.as_taken(package.data.rows(file, drop=["id", "class"]), detector)
    score.Scoring(detector, tmp_path / "s.csv").run([score.Source(str(file), rows)], lambda *where: seen.append(where))
    assert seen == [(135, 135)]


def test_evaluate_takes_the_part_that_was_held_out_or_all_rows(oddgan, mixed, file, tmp_path):
    ran = oddgan("evaluate", mixed, file, *CHOSEN, "--json", "part.json", "--report", "report.html")
    assert ran.code == 0
    assert "AUROC" in ran.out
    assert "service" in (tmp_path / "report.html").read_text()
    assert len(json.loads((tmp_path / "part.json").read_text())["rows"]) == 24 + 15
    other = flows(tmp_path / "other.csv", 40, 5, odd=20, header="class,port,ok,service,bytes")
    ran = oddgan("evaluate", mixed, other, "--label", "class", "--normal", "benign", "--all-rows", "--json", "all.json")
    assert ran.code == 0
    assert len(json.loads((tmp_path / "all.json").read_text())["rows"]) == 60


def test_a_model_is_described_by_its_columns(oddgan, mixed):
    assert "tables of 4 columns (1 of numbers, 3 of categories), standardised" in oddgan("info", mixed).out


def test_generated_rows_are_in_the_users_words(oddgan, mixed):
    head, *rows = csv.reader(io.StringIO(oddgan("generate", mixed, "-n", "50").out))
    assert head == ["bytes", "service", "port", "ok"]
    assert {row[2] for row in rows} <= {"80", "53", "(other)"}
    numbers = [float(row[0]) for row in rows if row[0]]
    assert len(numbers) > 0
    assert np.isfinite(numbers).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "FILE", "--label", "class", "-o", "m"), "has the classes attack, benign: say which are normal"),
        (("train", "FILE", "--normal", "benign", "-o", "m"), "which column holds the classes"),
        (("train", "FILE", "--drop", "nothing", "-o", "m"), "has no column 'nothing'; its columns are id, bytes"),
        (("train", "FILE", *CHOSEN, "--category", "nothing", "-o", "m"), "has no column 'nothing'"),
        (("train", "wine", "--drop", "alcohol", "-o", "m"), "wine: has no columns with names: label, drop"),
        (("score", "MODEL", "FILE"), "the model was not trained with the columns 'id', 'class'; drop such columns"),
        (("score", "MODEL", "FILE", "--drop", "bytes"), "trained with the column 'bytes', which is missing"),
        (("score", "MODEL", "digits", "--drop", "x"), "digits: has no columns with names to drop"),
        (("score", "MODEL", "digits"), "the model takes tables of 4 columns"),
        (("score", "PICTURES", "FILE"), "is a table, and the model takes pictures of"),
        (("evaluate", "PICTURES", "FILE", *CHOSEN), "the model takes pictures of"),
        (("evaluate", "MODEL", "FILE", "--drop", "id", "--drop", "class"), "has no test rows"),
        (("score", "MODEL", "BAD"), "line 3, column 'bytes': 'lots' is not a number; fix it, or leave it empty"),
    ],
)
def test_mistakes_are_one_line_and_code_2(oddgan, mixed, file, model, words, said, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("bytes,service,port,ok\n1,http,80,true\nlots,http,80,true\n")
    places = {"FILE": file, "MODEL": mixed, "PICTURES": model, "BAD": bad}
    ran = oddgan(*(places.get(word, word) for word in words))
    assert ran.code == 2
    assert said in ran.complaint
    assert not (tmp_path / "m").exists()


def test_normal_may_be_repeated(oddgan, file):
    for told in (("--normal", "benign", "--normal", "attack"), ("--normal", "benign,attack"), ("--normal", "all")):
        ran = oddgan("train", file, *TOLD, *told, "-o", "m.oddgan", *SMALL)
        assert ran.code == 0
        assert "135 rows of 4 columns" in ran.out
        assert "all of them normal" in ran.out


def test_detectors_are_compared_on_a_file(oddgan, file):
    ran = oddgan("compare", file, *CHOSEN, "--detectors", "knn,pca", "--seeds", "1", "--threads", "1")
    assert ran.code == 0, ran.err
    assert "96 normal for training, 39 for test (15 anomalous); normal: benign" in ran.out


def test_columns_in_words_are_those_that_an_explanation_names():
    from oddgan.cli.scores import in_words

    shares = np.random.default_rng(0).dirichlet([0.3] * 5, size=500)
    shares[:4] = [[0.2] * 5, [0, 0, 1, 0, 0], [0.125, 0.875, 0, 0, 0], [0.5, 0, 0, 0, 0.5]]
    for k in (1, 2, 5):
        names, some = tuple("abcde"[:k]), shares[:, :k]
        found = package.Explanation(*[np.zeros(500)] * 3, {}, None, some, np.zeros(500, bool), names)
        told = ["; ".join(f"{name} {share:.0%}" for name, share in found.largest(i)) for i in range(500)]
        assert in_words(names, some, 500) == told
    assert in_words(names, None, 2) == ["", ""]
    assert in_words(("a", "b"), np.array([[np.nan, np.nan]]), 1) == ["a 0%; b 0%"]


def test_results_do_not_become_a_part_of_the_table(oddgan, tmp_path):
    import pandas as pd

    pytest.importorskip("pyarrow")
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    (tmp_path / "rows").mkdir()
    rows.to_parquet(tmp_path / "rows" / "0.parquet")
    assert oddgan("train", "rows", "--detector", "pca", "-o", "m.oddgan").code == 0
    for name in ("rows/0.parquet", "rows/scores.parquet"):
        ran = oddgan("score", "m.oddgan", "rows", "-o", name)
        assert ran.code == 2
        assert "would be read as a part of the table" in ran.complaint
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["0.parquet"]


def test_booleans_of_a_database_are_those_of_training(oddgan, tmp_path):
    import pandas as pd

    random = np.random.default_rng(0)
    rows = pd.DataFrame({"x": random.normal(size=80), "encrypted": random.random(80) < 0.3})
    package.PCA(random_state=0).fit(rows).save(tmp_path / "m.oddgan")
    rows.to_csv("words.csv", index=False)
    rows.assign(encrypted=rows.encrypted.astype(int)).to_csv("numbers.csv", index=False)
    one, other = (oddgan("score", "m.oddgan", name).out for name in ("words.csv", "numbers.csv"))
    assert one == other
