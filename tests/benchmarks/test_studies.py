"""The studies find their committed lines, and run what is missing with the runner of cells."""

from pathlib import Path

import pytest

from oddgan.evaluation.runner import Record, lines_of, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_committed_lines_are_found_by_their_keys():
    from benchmarks.studies import ganomaly_defaults, recipes

    jobs = {
        ganomaly_defaults: ganomaly_defaults.jobs([]),
        recipes: [*recipes.digits(), *recipes.arrhythmia(), *recipes.copies()],
    }
    for study, some in jobs.items():
        keys = {study.FORM.key(line) for line in lines_of(study.FILE, study.FORM)}
        assert keys == {one.key for one in some}, study.__name__


def test_every_case_of_quality_has_every_method():
    from benchmarks.studies import quality

    lines = lines_of(quality.FILE, quality.FORM)
    assert {quality.FORM.key(line) for line in lines} <= {one.key for one in quality.jobs()}
    assert {(line["case"], line["method"]) for line in lines} == {
        (case, method) for case in quality.CASES for method in quality.METHODS
    }


def test_committed_lines_of_detectors_are_cells_of_the_study():
    from benchmarks.studies import SEEDS, detectors, pyod_peers

    from oddgan import detectors as known

    jobs = {one.key for one in detectors.jobs(known.names(), detectors.CASES, SEEDS)}
    keys = {detectors.FORM.key(line) for line in lines_of(detectors.FILE, detectors.FORM)}
    assert keys <= jobs
    assert len(keys) == sum(map(len, detectors.runs().values()))
    assert {line["case"] for line in lines_of(pyod_peers.FILE, pyod_peers.FORM)} <= set(detectors.CASES)


def test_rules_of_training_are_as_good_as_their_page_says():
    from benchmarks.pages import health as page
    from benchmarks.studies import health

    lines = health.found()
    assert {health.FORM.key(line) for line in lines} == {one.key for one in health.jobs(health.DATA, ())}
    for part in health.DATA:
        some = [line for line in lines if line["part"] == part]
        good = [line for line in some if health.good(line)]
        broken = [line for line in some if line["kind"] in health.BROKEN]
        assert min(len(good), len(broken)) >= 60
        assert sum(map(bool, map(health.codes, good))) <= 0.05 * len(good)
        assert sum(map(bool, map(health.codes, broken))) >= 0.65 * len(broken)
    assert page.PAGE.read_text("utf-8") == page.text()
    explained = page.EXPLANATION.read_text("utf-8")
    assert explained == page.explained(explained)


def test_a_missing_cell_is_run_and_kept(tmp_path):
    from benchmarks.studies import detectors

    jobs = detectors.jobs(["knn"], ["digits 5"], [0])
    for _ in range(2):
        (line,) = run(jobs, Record(tmp_path / "lines.jsonl", detectors.FORM), summary=str)
    (kept,) = lines_of(tmp_path / "lines.jsonl", detectors.FORM)
    assert kept == line
    committed = next(one for one in detectors.runs()["knn", "digits 5"] if one["seed"] == 0)
    assert list(line) == list(committed)
    assert line["auroc"] == pytest.approx(committed["auroc"], abs=1e-6)
    assert line["rows"] == committed["rows"]


PARTS = ("served", "speed_growth")  # of studies and pages, that several of them share


def test_every_study_and_page_can_be_started():
    """None does anything but at its own command."""
    from importlib import import_module

    for room in ("studies", "pages"):
        for path in sorted((ROOT / "benchmarks" / room).glob("[a-z]*.py")):
            module = import_module(f"benchmarks.{room}.{path.stem}")
            assert f"python -m benchmarks.{room}." in module.__doc__ or path.stem in PARTS, path


def test_lines_of_ensembles_and_folds_are_cells_of_their_studies():
    from benchmarks.studies import cross_conformal, ensembles

    for study in (cross_conformal, ensembles):
        lines = lines_of(study.FILE, study.FORM)
        assert {study.FORM.key(line) for line in lines} <= {one.key for one in study.jobs()}, study.__name__
        assert study.table().startswith("| ")


def test_the_rate_to_expect_is_the_largest_that_the_rows_hold():
    from benchmarks.studies.cross_conformal import expected

    line = {"rows": {"fitted": 60, "calibrate": 12}}
    assert expected(line, "0.2") == 2 / 13
    assert expected(line, "0.05") == 0
    assert expected({"rows": {"fitted": 60, "calibrate": 60}}, "lowest") == 4 / 61


def test_both_processes_of_every_game_ended_with_one_model():
    from benchmarks.studies import ranks

    lines = lines_of(ranks.FILE, ranks.FORM)
    assert {ranks.FORM.key(line) for line in lines} <= {one.key for one in ranks.jobs()}
    assert all(line["one model"] for line in lines)


def test_lines_of_the_engine_are_of_the_same_bytes():
    from benchmarks.studies import ray_overhead

    lines = lines_of(ray_overhead.RESULTS, ray_overhead.FORM)
    expected = {(kind, part, w) for kind, some in ray_overhead.PARTS.items() for part in some for w in (1, 2)}
    assert {(one["kind"], one["part_rows"], one["workers"]) for one in lines} == expected | {
        ("start", 0, 1),
        ("start", 0, 2),
    }
    assert all(one["same_bytes"] for one in lines if one["kind"] != "start")
