"""The runner of cells: every cell once, lines written at once, and a killed cell continued from its checkpoint."""

import json

import numpy as np
import pytest

from oddgan import GANomaly, testing
from oddgan.errors import DataError, OutputError, ParameterError, TrainingError
from oddgan.evaluation.cells import Cell
from oddgan.evaluation.runner import CELLS, Job, Record, fields, judged, lines_of, run
from oddgan.hooks import Hook

FORM = fields("case", "seed")


def job(case, seed, made):
    def make(attempt):
        made.append((case, seed))
        return {"case": case, "seed": seed, "value": seed / 4}

    return Job(key=FORM.key({"case": case, "seed": seed}), title=f"{case} {seed}", run=make)


def test_each_cell_is_run_once(tmp_path):
    path, made, messages = tmp_path / "new" / "lines.jsonl", [], []
    jobs = [job("a", 0, made), job("b", 0, made), job("a", 0, made)]
    lines = run(jobs, Record(path, FORM), summary=lambda line: f"{line['value']}", report=messages.append)
    assert made == [("a", 0), ("b", 0)]
    assert lines[0] == lines[2] == {"case": "a", "seed": 0, "value": 0.0}
    assert messages[:2] == ["[1/3] a 0: running", "[1/3] a 0: 0.0"]
    assert messages[-1] == "[3/3] a 0: 0.0 (done before)"
    before = path.read_bytes()
    assert run([*jobs, job("a", 1, made)], Record(path, FORM), summary=str)[3]["value"] == 0.25
    assert made == [("a", 0), ("b", 0), ("a", 1)]
    assert path.read_bytes().startswith(before)
    assert lines_of(path, FORM) == Record(path, FORM).lines()
    assert lines_of(tmp_path / "none.jsonl", FORM) == ()


def test_a_failing_cell_keeps_those_before_it(tmp_path):
    path, made = tmp_path / "lines.jsonl", []

    def fail(attempt):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([job("a", 0, made), Job(key="x", title="x", run=fail)], Record(path, FORM), summary=str)
    assert [line["case"] for line in lines_of(path, FORM)] == ["a"]


def test_a_line_must_have_the_key_of_its_job():
    """Or its cell would be run again and again."""
    wrong = Job(key=FORM.key({"case": "a", "seed": 0}), title="a 0", run=lambda attempt: {"case": "a", "seed": 1})
    record = Record(None, FORM)
    with pytest.raises(ValueError, match="a 0: its line has the key"):
        run([wrong], record, summary=str)
    assert record.lines() == ()


def test_a_record_in_memory_keeps_its_lines():
    made = []
    record = Record(None, FORM)
    for _ in range(2):
        run([job("a", 0, made)], record, summary=str)
    assert made == [("a", 0)]
    assert record.checkpoint("a") is None


@pytest.mark.parametrize("torn", ['{"ca', '{"case": "b", "seed": 1, "va', '{"case": "b", "seed": 1, "value": 0.25}'])
def test_a_torn_last_line_is_replaced(tmp_path, torn):
    path, made = tmp_path / "lines.jsonl", []
    whole = json.dumps({"case": "a", "seed": 0, "value": 0.0}) + "\n"
    path.write_text(whole + torn)
    assert len(lines_of(path, FORM)) == 1
    run([job("b", 1, made)], Record(path, FORM), summary=str)
    assert path.read_text() == whole + json.dumps({"case": "b", "seed": 1, "value": 0.25}) + "\n"


@pytest.mark.parametrize("content", ['{"other": 1}\n', "a,b\n", "[1]\n", "half a line"])
def test_another_file_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "lines.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match="line 1 is no line with 'case', or was written by another release"):
        Record(path, FORM)
    with pytest.raises(DataError, match="line 1 is no cell of a comparison"):
        Record(path, CELLS)
    assert path.read_text() == content


def test_a_place_that_cannot_be_written_is_named_first(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Record(tmp_path / "file" / "lines.jsonl", FORM)


def test_cells_survive_their_line(tmp_path):
    cell = Cell(
        key="k", data="d", detector="KNN", parameters={"k": 1}, seed=0, figures={"auroc": 0.5}, error=None, facts={}
    )
    record = Record(tmp_path / "cells.jsonl", CELLS)
    record.add(cell)
    assert (tmp_path / "cells.jsonl").read_bytes().startswith(CELLS.head)
    assert Record(tmp_path / "cells.jsonl", CELLS).get("k") == cell


@pytest.mark.parametrize("error", [DataError, ParameterError, TrainingError])
def test_a_detector_that_cannot_be_trained_gives_a_reason(error):
    def judge():
        raise error("why")

    assert judged(judge) == ({}, {}, "why")
    assert judged(lambda: ({"auroc": 1.0}, {"rows": 3})) == ({"auroc": 1.0}, {"rows": 3}, None)


class Interrupted(Hook):
    def on_update(self, moment):
        if moment.update == 7:
            raise KeyboardInterrupt


def test_an_interrupted_training_continues_from_its_checkpoint(table, tmp_path):
    path, scores = tmp_path / "lines.jsonl", []

    def make(attempt):
        fit = attempt.fit(testing.small(GANomaly, random_state=0), table)
        scores.append(fit.detector.anomaly_score(table))
        return {"case": "a", "seed": 0, "seconds": fit.seconds, "processor": fit.processor_seconds}

    one = Job(key=FORM.key({"case": "a", "seed": 0}), title="a", run=make)
    with pytest.raises(KeyboardInterrupt):
        run([one], Record(path, FORM), summary=str, checkpoint_seconds=0, hooks=[Interrupted()])
    assert len(list(tmp_path.glob("*.ckpt"))) == 1
    (line,) = run([one], Record(path, FORM), summary=str)
    assert line["seconds"] is line["processor"] is None
    assert list(tmp_path.glob("*.ckpt")) == []
    (whole,) = run([one], Record(None, FORM), summary=str)
    assert whole["seconds"] > 0
    assert whole["processor"] > 0
    np.testing.assert_array_equal(*scores)
