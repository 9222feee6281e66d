"""det.drift and det.discoveries, what a model file keeps for them, and the state of a stream in a file."""

import json
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import oddgan
from oddgan import data, testing
from oddgan.cautions import CalibrationWarning, DriftWarning
from oddgan.errors import ArtifactError, OutputError, ParameterError
from oddgan.evaluation import evaluate
from oddgan.model import drift, monitor
from oddgan.verdict.uniformity import flagged_range

FILES = Path(__file__).parent / "files"
UNITS = np.array([1.0, 20.0, 300.0])


def table(n, seed, shift=0.0):
    return (np.random.default_rng([seed, 5]).normal(size=(n, 3)) + shift) * UNITS + 4 * UNITS


@pytest.fixture(scope="module")
def detector():
    return oddgan.PCA(components=2, random_state=0).fit(table(500, 0))


def codes(found):
    return {one.code for one in found.findings}


def test_usual_rows_get_no_finding(detector):
    found = detector.drift(table(300, 1))
    assert (found.rows, found.findings, found.warnings) == (300, (), ())
    assert found.flagged_range[0] <= found.flagged <= found.flagged_range[1]
    assert found.flagged == (detector.predict(table(300, 1)) == -1).sum()
    assert found.uniformity > 0.01
    assert found.martingale < 100


def test_the_usual_number_of_anomalies_counts_groups_as_the_threshold_does():
    det = oddgan.KNN(random_state=0, false_alarm_rate=0.1).fit(table(200, 0), groups=np.arange(200) // 2)
    count = det.model_.calibration.count
    assert count < len(det.model_.calibration.scores)
    assert det.drift(table(300, 1)).flagged_range == flagged_range(300, 0.1, count)


def test_rows_that_were_standardised_get_the_reason(detector):
    raw = table(300, 1)
    found = detector.drift((raw - raw.mean(0)) / raw.std(0))
    assert {"twice-normalised", "mostly-unlike", "stream-changed"} <= codes(found)
    assert found.uniformity < 1e-6
    assert found.martingale > 100
    assert [one.code for one in found.warnings] == [one.code for one in found.findings]
    assert all(isinstance(one, DriftWarning) for one in found.warnings)
    state = json.loads(json.dumps(found.to_json()))
    assert state["findings"][0]["where"] == ["column 0", "column 1", "column 2"]
    with pytest.warns(DriftWarning) as given:
        found.warn()
    assert [one.message.code for one in given] == [one.code for one in found.findings]


def test_a_few_anomalies_are_no_drift(detector):
    X = table(300, 2)
    X[:20, 0] += 30
    found = detector.drift(X)
    assert found.flagged > found.flagged_range[1]
    assert not codes(found) - {"stream-changed"}


def test_a_model_file_keeps_what_training_rows_looked_like(detector, tmp_path):
    detector.save(tmp_path / "m.oddgan")
    again = oddgan.load(tmp_path / "m.oddgan")
    X = table(100, 3) / UNITS
    assert again.drift(X).to_json() == detector.drift(X).to_json()
    assert again.info()["profile"] == {"kind": "table", "rows": len(detector.model_.trained_on)}
    again.save(tmp_path / "n.oddgan")
    assert (tmp_path / "n.oddgan").read_bytes() == (tmp_path / "m.oddgan").read_bytes()


def test_a_model_of_an_older_release_knows_its_scores_alone():
    X = np.load(FILES / "rows.npz")["table"]
    old = oddgan.load(FILES / "ganomaly.oddgan")
    assert old.info()["profile"] is None
    assert old.drift(X[:5] * 1000).findings == ()


def test_an_evaluation_says_what_its_normal_rows_differ_in(detector):
    normal, odd = table(60, 4), table(200, 5, shift=9)
    labels = np.arange(260) >= 60
    split = data.Split(name="rows", train=None, test=np.concatenate([normal, odd]), labels=labels)
    usual = evaluate(detector, split, bootstrap=5)
    assert not [line for line in usual.warnings if "units of training" in line or "values are" in line]
    scaled = (np.concatenate([normal, odd]) - normal.mean(0)) / normal.std(0)
    split = data.Split(name="rows", train=None, test=scaled, labels=labels)
    assert [line for line in evaluate(detector, split, bootstrap=5).warnings if "units of training" in line]


# --- discoveries ------------------------------------------------------------------------------------------------------


def test_discoveries_are_those_of_the_p_values(detector):
    X = table(50, 6)
    X[:6, 0] += 40
    found = detector.discoveries(X, fdr=0.2)
    assert found[:6].all()
    p = np.sort(detector.p_value(X))
    k = np.flatnonzero(p <= 0.2 * np.arange(1, 51) / 50).max() + 1  # the textbook's rule
    assert found.sum() == k
    with pytest.raises(ParameterError, match="fdr"):
        detector.discoveries(X, fdr=2)


def test_too_few_calibration_rows_are_said(detector):
    X = table(400, 7)
    X[0, 0] += 400
    with pytest.warns(CalibrationWarning, match="100 calibration rows are too few") as given:
        assert not detector.discoveries(X, fdr=0.1).any()
    assert given[0].message.code == "fdr-too-few"


# --- the state in a file ----------------------------------------------------------------------------------------------


def scores(detector, n, seed, shift=0.0):
    return detector.anomaly_score(table(n, seed, shift))


def test_a_stream_over_runs_is_the_stream_in_one(detector, tmp_path):
    parts = [scores(detector, 60, 10), scores(detector, 1, 11), scores(detector, 80, 12, shift=2.0)]
    for part in parts:
        found = monitor.update(tmp_path / "new/state.json", detector.model_, part)
    whole = drift.Martingale.begin(detector.model_.calibration.scores).after(
        np.concatenate(parts), detector.model_.calibration.scores
    )
    assert found.stream.rows == 141
    assert found.stream.alarm == whole.alarm
    assert 61 < found.stream.alarm <= 141
    assert found.stream.value == pytest.approx(whole.value, rel=1e-9)
    again = monitor.Monitor.read(tmp_path / "new/state.json")
    assert (again.updates, again.alarmed, again.flagged) == (3, found.alarmed, found.flagged)
    assert again.alarmed == again.updated
    assert f"from row {found.stream.alarm} on" in again.finding.message
    assert f"alarm since row {found.stream.alarm}" in again.describe()


def test_another_threshold_goes_on_and_another_model_does_not(detector, tmp_path):
    path = tmp_path / "state.json"
    monitor.update(path, detector.model_, scores(detector, 5, 0))
    monitor.update(path, detector.with_false_alarm_rate(0.05).with_block_size(1).model_, scores(detector, 5, 0))
    other = oddgan.PCA(components=2, random_state=1).fit(table(500, 0))
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="state of another model"):
        monitor.update(path, other.model_, np.ones(3))
    assert path.read_bytes() == before


def test_writers_at_the_same_time_all_count(detector, tmp_path):
    new = scores(detector, 7, 1)

    def write():
        for _ in range(5):
            monitor.update(tmp_path / "state.json", detector.model_, new)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = monitor.Monitor.read(tmp_path / "state.json")
    assert (found.stream.rows, found.updates) == (140, 20)


def test_a_writer_that_is_killed_leaves_what_was_there(detector, tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    monitor.update(path, detector.model_, scores(detector, 40, 2))
    before, whole_file = path.read_bytes(), monitor.whole_file

    @contextmanager
    def cut(place):
        with whole_file(place) as file:
            file.write(b"{")
            raise KeyboardInterrupt
            yield

    monkeypatch.setattr(monitor, "whole_file", cut)
    with pytest.raises(KeyboardInterrupt):
        monitor.update(path, detector.model_, scores(detector, 40, 3))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert monitor.update(path, detector.model_, scores(detector, 40, 3)).stream.rows == 80


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[1]",
        lambda text: "[" * 100_000,
        lambda text: text.replace("oddgan-monitor", "else"),
        lambda text: text.replace('"format_version": 1', '"format_version": 9'),
        lambda text: text.replace('"rows": 5', '"rows": 6'),
        lambda text: text.replace('"flagged": ', '"flagged": -'),
        lambda text: text.replace('"model": "', '"model": 3, "x": "'),
        lambda text: text.replace('"stream"', '"streams"'),
    ],
)
def test_a_damaged_state_is_refused_by_name(detector, tmp_path, spoil):
    path = tmp_path / "state.json"
    monitor.update(path, detector.model_, scores(detector, 5, 0, shift=9))
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ArtifactError, match=r"state\.json: "):
        monitor.Monitor.read(path)


def test_a_place_that_cannot_be_written_is_named(detector, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/state\.json"):
        monitor.update(tmp_path / "file/state.json", detector.model_, np.ones(1))


def test_every_kind_of_rows_can_be_asked(request):
    for kind in ("pictures", "table"):
        X = request.getfixturevalue(kind)
        found = testing.small(oddgan.PCA).fit(X).drift(X)
        assert found.rows == len(X)
