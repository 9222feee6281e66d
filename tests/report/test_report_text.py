"""Markdown and JSON agree with the evaluation, and no name or number breaks them."""

import json
import math

import numpy as np
import pytest

from oddgan.evaluation.figures import FIGURES, number
from oddgan.metrics import Estimate
from oddgan.report import SCHEMA_VERSION, text, to_json, to_markdown
from oddgan.report.text import interval, percent


def refuse(constant):
    raise AssertionError(f"{constant} is not strict JSON")


def test_json_is_strict_and_complete(evaluation):
    found = json.loads(to_json(evaluation), parse_constant=refuse)
    assert (found["schema"], found["schema_version"]) == ("oddgan.evaluation", SCHEMA_VERSION)
    assert found["data"] == {"name": "toy & co", "note": "40 normal, 20 anomalous", "rows": 60}
    assert found["calibration"] == {
        "threshold": 1.0,
        "false_alarm_rate": 0.02,
        "false_alarm_range": [0.001, 0.06],
        "n_calibrate": 49,
        "guarantee": list(evaluation.guarantee),
    }
    area = evaluation.estimates["auroc"]
    assert found["estimates"]["auroc"] == {"value": area.value, "low": area.low, "high": area.high, "chance": 0.5}
    assert found["rates"]["n_anomalous"] == 20
    assert found["by_kind"][0]["auroc"] is None
    assert found["by_kind"][1]["kind"] == "a|b"
    assert found["pixel"]["aupro_0.3"] == 0.8123
    assert found["detector"]["parameters"]["nested"]["a"] is None
    assert found["history"]["E.izi"][3] is None
    row = found["rows"][41]
    assert row == {
        "name": "test/041<script>.png",
        "score": evaluation.scores[41],
        "p_value": evaluation.p_values[41],
        "is_anomaly": bool(evaluation.is_anomaly[41]),
        "label": True,
        "kind": "a|b",
        "terms": {"con": evaluation.scores[41], "broken": None},
    }


def test_the_documented_keys_are_the_keys(evaluation):
    def keys(value):
        if isinstance(value, dict):
            return set(value) | {key for item in value.values() for key in keys(item)}
        return {key for item in value for key in keys(item)} if isinstance(value, list) else set()

    found = json.loads(to_json(evaluation))
    free = {"detector", "history", "pixel", "estimates"}  # whose keys are names of things
    of_rows = [{**row, "terms": {}} for row in found["rows"]]
    listed = keys({name: {} if name in free else value for name, value in found.items()} | {"rows": of_rows})
    for key in listed | {"value", "low", "high", "chance"}:
        assert f'"{key}"' in text.to_json.__doc__


def test_json_without_labels(unlabelled):
    found = json.loads(to_json(unlabelled), parse_constant=refuse)
    assert (found["rates"], found["estimates"], found["by_kind"]) == (None, {}, [])
    assert (found["rows"][0]["label"], found["rows"][0]["kind"]) == (None, None)


def test_markdown_tables_are_tables(evaluation):
    lines = to_markdown(evaluation).splitlines()
    assert lines[0] == "# GANomaly on toy & co"
    assert "- only <20> anomalous rows" in lines
    blocks = "\n".join(lines).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert [len(table) for table in tables[:4]] == [2 + 2, 2 + 7, 2 + 3 + 4 + 3, 2 + 3]
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert any(line.startswith("| a\\|b | 10 |") for line in lines)
    assert any(line.startswith("| good (normal) | 40 |  |  | 3 | 7.5% |") for line in lines)
    assert any(line.startswith("| AUPRO up to 30% false-alarm pixels | 0.812 |  | 0.150 |") for line in lines)


def test_markdown_without_labels(unlabelled):
    page = to_markdown(unlabelled)
    assert "no labels" in page
    assert "| row | score | p-value | verdict | columns |" in page
    assert "label" not in page.partition("## All rows")[2].partition("\n\n## ")[0]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, "0%"), (1, "100%"), (0.41, "41%"), (0.0654, "6.5%"), (0.0025, "0.25%"), (math.nan, "–"), (None, "–")],
)
def test_percentages_have_the_decimals_that_they_need(share, expected):
    assert percent(share) == expected


def test_numbers_and_intervals():
    assert (number(0.12345), number(None), number(np.inf)) == ("0.123", "–", "–")
    assert (FIGURES["auroc"].spelt(0.12345), FIGURES["auroc"].spelt(None)) == ("0.123", "–")
    assert (FIGURES["seconds_to_train"].spelt(12.345), FIGURES["seconds_to_train"].spelt(None)) == ("12.3", "–")
    estimate = Estimate(0.5, 0.25, 0.75)
    assert (interval(estimate), interval(estimate, share=True), interval(None)) == ("0.250 to 0.750", "25% to 75%", "")
