"""The page about choices without labels, of given lines; and the committed ones."""

from pathlib import Path

import pytest

from oddgan.evaluation.runner import Record, lines_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.pages import choosing

    return choosing


def line(candidate, simulated, true, *, case="adbench wine", larger=None):
    figures = {"of_kinds": simulated, "least_kind": simulated, "auprc": simulated, "detected": simulated}
    return {
        "case": case,
        "seed": 0,
        "candidate": candidate,
        "simulated": figures,
        "by_kind": {"local": simulated, "mixed": simulated},
        "larger": None if larger is None else {"figures": figures | {"of_kinds": larger}, "by_kind": {"scar": larger}},
        "true": {"auroc": true},
        "versions": {"oddgan": "1", "torch": "2"},
    }


def test_the_choice_its_regret_and_its_correlation_are_by_hand(page):
    some = [line("a", 0.9, 0.6), line("b (recommended)", 0.86, 0.8), line("c", 0.5, 0.9), line("d", 0.4, 0.5)]
    one = page.judged(some)
    assert one["rho"] == pytest.approx(0.2)  # ranks 4 3 2 1 and 2 3 4 1: 1 - 6 (4 + 0 + 4 + 0) / (4 * 15)
    assert (one["picked"], one["of picked"]) == ("b (recommended)", 0.8)  # a leads by less than 0.05
    assert (one["best"], one["of best"], one["mean"]) == ("c", 0.9, pytest.approx(0.7))
    assert page.judged(some, cautious=False)["picked"] == "a"
    assert page.judged([line("a", 0.95, 0.6), *some[1:]])["picked"] == "a"
    assert page.rho([1, 1, 1], [1, 2, 3]) is None


def test_small_pictures_are_judged_by_larger_anomalies(page):
    some = [line("a", 0.9, 0.6, larger=0.5), line("b (recommended)", 0.6, 0.8, larger=0.9)]
    assert page.criterion(some[0]) == 0.5
    assert page.judged(some, cautious=False)["picked"] == "b (recommended)"


def test_the_page_of_given_lines(page, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "FILE", tmp_path / "lines.jsonl")
    with pytest.raises(ValueError, match="run the study"):
        page.text()
    record = Record(page.FILE, page.FORM)
    for one in [line("a", 0.95, 0.6), line("b (recommended)", 0.86, 0.8), line("c", 0.5, 0.9)]:
        record.add(one)
    text = page.text()
    assert "## Tables\n" in text
    assert "## Small pictures" not in text
    assert "| wine | 0 | -1.00 | a | 0.600 | 0.800 | c | 0.900 | 0.767 | 0.300 |" in text


def test_committed_lines_are_of_known_cases(page):
    from benchmarks.studies import choosing

    lines = lines_of(choosing.FILE, choosing.FORM)
    assert {one["case"] for one in lines} <= set(choosing.CASES)
    assert {one["seed"] for one in lines} <= set(choosing.SEEDS)
