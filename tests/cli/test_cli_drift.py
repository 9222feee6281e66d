"""What oddgan score says of data that do not look like training data, --monitor, --fdr, and several rates."""

import csv
import io
import json

import numpy as np
import pytest
from cli_small import picture
from PIL import Image

import oddgan as package
from oddgan.cli import scoring
from oddgan.model import monitor

UNITS = np.array([1.0, 20.0, 300.0])


def rows_of(n, seed, spread=1.0):
    return (spread * np.random.default_rng([seed, 9]).normal(size=(n, 3)) * UNITS).astype(np.float32)


@pytest.fixture(scope="module")
def stable(tmp_path_factory):
    """A model of 500 rows of a table, 100 of them calibration rows."""
    path = tmp_path_factory.mktemp("stable") / "m.oddgan"
    package.PCA(components=2, random_state=0).fit(rows_of(500, 0)).save(path)
    return path


@pytest.fixture
def batch(tmp_path):
    """Write rows into a file of this name."""

    def write(name, X):
        np.save(tmp_path / name, X.astype(np.float32))
        return name

    return write


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def pictures(folder, n, change):
    folder.mkdir()
    for i in range(n):
        Image.fromarray(change(picture(77 + i).astype(float)).astype(np.uint8)).save(folder / f"{i}.png")


def test_a_dimmed_lamp_is_said_with_the_reason_and_results_are_written(oddgan, model, tmp_path):
    pictures(tmp_path / "usual", 14, lambda x: x)
    pictures(tmp_path / "dark", 14, lambda x: 0.4 * x)
    assert "warning" not in oddgan("score", model, "usual").err
    ran = oddgan("score", model, "dark", "-o", "s.csv")
    assert ran.code == 0
    assert "warning: pictures are darker than training pictures" in ran.err
    assert "look at lamp" in ran.err
    assert len(read((tmp_path / "s.csv").read_text())) == 14
    assert "warning" not in oddgan("--quiet", "score", model, "dark").err


def test_the_same_is_said_of_pictures_that_come_by_name(oddgan, model, tmp_path, lines):
    pictures(tmp_path / "dark", 14, lambda x: 0.4 * x)
    lines(*(f"dark/{i}.png" for i in range(14)))
    assert "warning: pictures are darker" in oddgan("score", model, "-").err


def test_units_that_changed_are_said(oddgan, stable, batch):
    assert "warning" not in oddgan("score", stable, batch("a.npy", rows_of(200, 1))).err
    ran = oddgan("score", stable, batch("b.npy", rows_of(200, 1) / UNITS))
    assert ran.code == 0
    assert "look as if they had been standardised before" in ran.err


def test_a_monitor_keeps_count_over_runs_and_finds_the_shift(oddgan, stable, batch, tmp_path):
    for i in range(3):
        ran = oddgan("score", stable, batch(f"{i}.npy", rows_of(40, 20 + i)), "--monitor", "state.json")
        assert f"state.json: {40 * (i + 1)} rows" in ran.err
        assert "no alarm" in ran.err
        assert "warning" not in ran.err
    ran = oddgan("monitor", "state.json", "--fail-on-alarm")
    assert ran.code == 0
    assert "nothing says that rows have changed" in ran.out
    shifted = batch("shifted.npy", rows_of(120, 30, spread=2.0))
    ran = oddgan("score", stable, shifted, "--monitor", "state.json")
    assert ran.code == 0
    assert len(read(ran.out)) == 120
    assert "warning: state.json: since 20" in ran.err
    state = json.loads(oddgan("monitor", "state.json", "--json").out)
    assert state["stream"]["rows"] == 240
    assert 120 < state["stream"]["alarm"] <= 240
    shown = oddgan("monitor", "state.json", "--fail-on-alarm")
    assert shown.code == 3
    assert f"from row {state['stream']['alarm']} on" in shown.out
    whole = np.concatenate([*(rows_of(40, 20 + i) for i in range(3)), rows_of(120, 30, spread=2.0)])
    assert package.load(stable).drift(whole).stream.alarm == state["stream"]["alarm"]


def test_a_run_that_is_killed_counts_nothing(oddgan, stable, batch, tmp_path, monkeypatch):
    first, second = batch("a.npy", rows_of(30, 1)), batch("b.npy", rows_of(30, 2))
    oddgan("score", stable, first, "--monitor", "state.json")
    before = (tmp_path / "state.json").read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scoring.Scoring, "judged", killed)
        assert oddgan("score", stable, second, "--monitor", "state.json", "-o", "s.csv").code == 130
    assert (tmp_path / "state.json").read_bytes() == before
    assert not (tmp_path / "s.csv").exists()
    oddgan("score", stable, second, "--monitor", "state.json", "-o", "s.csv")
    assert monitor.Monitor.read(tmp_path / "state.json").stream.rows == 60


def test_a_stream_that_is_killed_has_counted_what_it_wrote(oddgan, stable, batch, tmp_path, monkeypatch):
    names = [batch(f"{i}.npy", rows_of(10, i)) for i in range(3)]
    judged, done = scoring.Scoring.judged, []

    def killed(self, *given):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return judged(self, *given)

    monkeypatch.setattr(scoring.Scoring, "judged", killed)
    assert oddgan("score", stable, *names, "--stream", "--monitor", "state.json", "-o", "s.csv").code == 130
    assert len(read((tmp_path / "s.csv").read_text())) == 20
    assert monitor.Monitor.read(tmp_path / "state.json").stream.rows == 20


def test_the_state_of_another_model_is_refused_before_anything_is_scored(oddgan, stable, table_model, batch, tmp_path):
    oddgan("score", stable, batch("a.npy", rows_of(20, 1)), "--monitor", "state.json")
    ran = oddgan("score", table_model, batch("b.npy", np.zeros((3, 4))), "--monitor", "state.json", "-o", "s.csv")
    assert ran.code == 2
    assert "state.json: is the state of another model" in ran.complaint
    assert not (tmp_path / "s.csv").exists()
    ran = oddgan("monitor", "a.npy")
    assert (ran.code, ran.out) == (2, "")
    assert "a.npy: " in ran.complaint
    assert oddgan("monitor", "nothing.json").code == 2


# --- false discovery rate, several rates ------------------------------------------------------------------------------


@pytest.fixture
def mixed(batch):
    X = rows_of(40, 3)
    X[:6, 0] += 60
    return batch("mixed.npy", X)


def test_verdicts_by_false_discovery_rate(oddgan, stable, mixed, tmp_path):
    ran = oddgan("score", stable, mixed, "--fdr", "0.2", "--fail-on-anomaly")
    assert ran.code == 3
    rows, detector = read(ran.out), package.load(stable)
    assert list(rows[0]) == ["row", "score", "p_value", "q_value", "verdict", "columns"]
    flags = [row["verdict"] == "anomaly" for row in rows]
    assert flags == detector.discoveries(np.load(tmp_path / mixed), fdr=0.2).tolist()
    assert flags == [float(row["q_value"]) <= 0.2 for row in rows]
    assert flags[:6] == [True] * 6
    assert f"40 rows: {sum(flags)} anomalies (false discovery rate 20%)" in ran.err
    (line, *_) = [
        json.loads(line)
        for line in oddgan("score", stable, mixed, "--fdr", "0.2", "--format", "jsonl").out.splitlines()
    ]
    assert line["q_value"] == pytest.approx(float(rows[0]["q_value"]))
    assert line["verdict"] == "anomaly"


def test_parquet_has_q_values_and_further_verdicts(oddgan, stable, mixed, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    oddgan("score", stable, mixed, "--fdr", "0.2", "-o", "q.parquet")
    assert str(pq.read_schema(tmp_path / "q.parquet").field("q_value").type) == "double"
    oddgan("score", stable, mixed, "--false-alarm-rate", "0.05,0.5", "-o", "r.parquet")
    assert pq.read_table(tmp_path / "r.parquet").column_names[2:5] == ["p_value", "verdict", "verdict_0.5"]


def test_too_few_calibration_rows_for_a_batch_are_said(oddgan, stable, batch):
    X = rows_of(200, 4)
    X[0] += 900
    ran = oddgan("score", stable, batch("one.npy", X), "--fdr", "0.1", "--fail-on-anomaly")
    assert ran.code == 0
    assert "warning: 100 calibration rows are too few to find a single anomaly among 200 rows" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.npy", "--fdr", "0.1", "--stream"], "leave out --stream"),
        (["-", "--fdr", "0.1"], "chooses among all rows together"),
        (["a.npy", "--fdr", "1.5"], "fdr=1.5: must lie between 0 and 1"),
        (["a.npy", "--fdr", "0.1", "--false-alarm-rate", "0.1"], "give one of them"),
        (["a.npy", "--false-alarm-rate", "0.1,x"], "--false-alarm-rate 0.1,x: give a number"),
        (["a.npy", "--false-alarm-rate", "0.1,0.1"], "gives one of them twice"),
        (["a.npy", "--false-alarm-rate", "0.1,0.0001"], "needs at least 9999 calibration rows"),
    ],
)
def test_what_cannot_be_is_refused(oddgan, stable, batch, words, said):
    batch("a.npy", rows_of(5, 0))
    ran = oddgan("score", stable, *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.complaint


def test_several_rates_have_a_column_each_and_the_first_decides(oddgan, stable, mixed):
    ran = oddgan("score", stable, mixed, "--false-alarm-rate", "0.05,0.5,0.01", "--fail-on-anomaly")
    assert ran.code == 3
    rows = read(ran.out)
    assert list(rows[0]) == ["row", "score", "p_value", "verdict", "verdict_0.5", "verdict_0.01", "columns"]
    for rate, column in ((0.05, "verdict"), (0.5, "verdict_0.5"), (0.01, "verdict_0.01")):
        assert [row[column] == "anomaly" for row in rows] == [float(row["p_value"]) <= rate + 1e-9 for row in rows]
    loose = sum(row["verdict_0.5"] == "anomaly" for row in rows)
    assert f"; {loose} at 50%; " in ran.err
    one = oddgan("score", stable, mixed, "--false-alarm-rate", "0.05").out
    assert [row["verdict"] for row in read(one)] == [row["verdict"] for row in rows]


def test_unusable_pictures_have_no_q_value_and_no_part(oddgan, model, tmp_path):
    pictures(tmp_path / "some", 5, lambda x: x)
    (tmp_path / "some/bad.png").write_text("no picture")
    ran = oddgan("score", model, "some", "--fdr", "0.5", "--skip-bad", "--monitor", "state.json")
    assert ran.code == 4
    bad = next(row for row in read(ran.out) if row["path"] == "bad.png")
    assert (bad["q_value"], bad["verdict"]) == ("", "unusable")
    assert monitor.Monitor.read(tmp_path / "state.json").stream.rows == 5
    ran = oddgan("score", model, "some", "--false-alarm-rate", "0.2,0.5", "--skip-bad")
    bad = next(row for row in read(ran.out) if row["path"] == "bad.png")
    assert (bad["verdict"], bad["verdict_0.5"]) == ("unusable", "unusable")
