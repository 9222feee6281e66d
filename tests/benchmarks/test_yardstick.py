"""The study of simulated anomalies as a yardstick: its cells on made-up rows, and its tables of given lines."""

from pathlib import Path

import numpy as np
import pytest

from oddgan.evaluation.runner import Record, lines_of, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.studies import yardstick

    cases = {
        "toy": yardstick.Case(toy, 16, settings={"size": 16}),
        "toy table": yardstick.Case(toy_table, train=60, test=20),
    }
    monkeypatch.setattr(yardstick, "CASES", cases)
    monkeypatch.setattr(yardstick, "FILE", tmp_path / "lines.jsonl")
    yardstick.rows_of.cache_clear()
    yardstick._fitted.clear()
    yield yardstick
    yardstick.rows_of.cache_clear()
    yardstick._fitted.clear()


def toy():
    """Pictures of one ramp with noise; a bright square is the anomaly."""
    random = np.random.default_rng(0)
    x = np.linspace(50, 150, 16)[None, :, None, None] + random.normal(0, 4, (72, 16, 16, 1))
    x = x.astype(np.uint8)
    x[62:, 4:8, 4:8] = 220
    return list(x[:50]), list(x[50:]), np.arange(22) >= 12


def toy_table():
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 3))
    x[90:] += 6
    return x[:70], x[70:], np.arange(30) >= 20


def test_cells_are_run_kept_resumed_and_summarised(study, monkeypatch):
    jobs = study.jobs(["pca 0.95", "knn"], ["toy", "toy table"])
    done = run(jobs, Record(study.FILE, study.FORM), summary=str)
    assert list(lines_of(study.FILE, study.FORM)) == done
    # terms, and those of maps smoothed in the default way and by 0.25, 0.5 and 1 pixel; 0.125 changes nothing
    assert len(done) == (1 + 12) + (2 + 12) + 3 * 3
    assert {line["form"] for line in done if line["detector"] == "pca 0.95"} == {
        "residual",
        *(f"map_{term}{blur}" for term in ("max", "top", "tail") for blur in ("", " 1/64", " 1/32", " 1/16")),
    }
    assert {(line["scaling"], line["form"]) for line in done if line["data"] == "toy table"} == {
        (scaling, form) for scaling in study.SCALINGS for form in ("kth", "mean", "views")
    }
    for line in done:
        assert line["true"] > 0.95
        assert 0.5 < line["simulated"] < 1
        rows = line["rows"]
        assert (rows["held"], rows["simulated"]) == ((10, 40) if line["kind"] == "pictures" else (12, 48))
        assert rows["train"] + rows["tune"] + rows["held"] == (50 if line["kind"] == "pictures" else 60)
        assert rows["anomalous"] == 10
        assert set(line["by_kind"]) <= {*study_kinds(line["kind"])}

    monkeypatch.setattr(study, "lines", lambda of, attempt: pytest.fail(f"{of} was fitted again"))
    assert run(jobs, Record(study.FILE, study.FORM), summary=str) == done
    assert "| **mean** |" in study.text()


def study_kinds(kind):
    from oddgan.simulate import pictures, tables

    return pictures.KINDS if kind == "pictures" else tables.KINDS


def test_a_killed_run_continues(study):
    (first, *others) = run(study.jobs(["pca 0.95"], ["toy"]), Record(study.FILE, study.FORM), summary=str)
    study.FILE.write_text(study.FILE.read_text().splitlines(keepends=True)[0] + '{"data": "toy", "ki')
    study._fitted.clear()
    again = run(study.jobs(["pca 0.95"], ["toy"]), Record(study.FILE, study.FORM), summary=str)
    assert again[0] == first
    spent = "cpu_seconds_to_train"
    assert [{**line, spent: 0} for line in again[1:]] == [{**line, spent: 0} for line in others]
    assert not list(study.FILE.parent.glob("*.ckpt"))


@pytest.mark.parametrize("name", ["pca 0.95", "ganomaly"])
def test_forms_are_what_a_fit_with_them_scores(study, name):
    """The scores that are computed without a new fit are those of a detector that is fitted with `score_by`."""
    of = next(one for one in study.configured(["toy"], updates=2) if one.name == name)
    rows = study.rows_of("toy")
    own = "combined" if name == "ganomaly" else "residual"
    asked = {"map_tail 1/16": {"score_by": "map_tail", "map_blur": 1.0}, own: {"score_by": own}}
    if name == "pca 0.95":
        asked["map_max"] = {"score_by": "map_max"}
    fitted = of.unfitted().fit(rows.train, tune=rows.tune, calibrate=rows.held)
    found = study.scores(fitted.model_, of, rows)
    for form, settings in asked.items():
        det = of.unfitted().set_params(**settings).fit(rows.train, tune=rows.tune, calibrate=rows.held)
        for part in ("held", "simulated", "test"):
            np.testing.assert_allclose(found[part][form], det.anomaly_score(getattr(rows, part)), rtol=1e-5)


def test_what_the_test_does_not_see_cannot_choose(study):
    rows = study.rows_of("toy")
    numbers = {part: {one.tobytes() for one in getattr(rows, part)} for part in ("train", "tune", "held", "test")}
    assert sum(map(len, numbers.values())) == len(set().union(*numbers.values())) == 72
    changed = [(a != rows.held[i // study.EACH]).any() for i, a in enumerate(rows.simulated)]
    assert all(changed)


def line(study, form, simulated, true, *, detector="pca 64", scaling=None, data="toy", flagged=False, kind="pictures"):
    return {
        "data": data,
        "kind": kind,
        "detector": detector,
        "scaling": scaling,
        "updates": None,
        "form": form,
        "trained_on_simulated": flagged,
        "simulated": simulated,
        "true": true,
        "by_kind": {"scar": simulated},
        "caught": {"simulated": 0.5, "true": 0.25},
        "false_alarms": 0.01,
    }


def test_the_tables_of_given_lines(study):
    terms = [("residual", 0.6, 0.7), ("map_max", 0.7, 0.8), ("map_top", 0.8, 0.9)]
    scales = [(f"map_max 1/{part}", 0.5 + part / 1000, 0.65 - part / 1000) for part in study.BLURS]
    mine = [line(study, *one) for one in terms + scales]
    other = [line(study, *one, detector="draem", flagged=True) for one in (("max", 0.99, 0.5), ("map_max", 0.98, 0.6))]
    assert study.agreement(mine[:3]) == pytest.approx(1)
    assert study.agreement(mine[3:]) == pytest.approx(-1)
    assert study.agreement(mine[:2]) is None
    assert study.agreement([line(study, "max", value, 1.0) for value in (0.1, 0.2, 0.3)]) is None
    assert [len(one) for one in study.by_scales(mine)] == [4]
    assert study.choice(mine) == pytest.approx((0.9, 0.9, 0.634))
    figures = study.of_data(mine + other)
    assert figures["rho without †"] > figures["rho"]
    assert figures["rho of scales"] == pytest.approx(-1)
    assert (figures["chosen"], figures["best"]) == (0.5, 0.9)
    assert figures["regret"] == pytest.approx(0.4)
    assert figures["regret without †"] == 0
    assert figures["gain without †"] == pytest.approx(0.9 - 0.634)
    tied = [line(study, str(i), 1.0, true) for i, true in enumerate((0.6, 0.8))]
    assert study.choice(tied)[0] == pytest.approx(0.7)

    table = [
        line(study, "kth", simulated, true, detector="knn", scaling=scaling, data="wine", kind="table")
        for scaling, simulated, true in zip(study.SCALINGS, (0.7, 0.8, 0.9), (0.6, 0.7, 0.8), strict=True)
    ]
    assert [len(one) for one in study.by_scales(table)] == [3]
    record = Record(study.FILE, study.FORM)
    with pytest.raises(ValueError, match="run the study"):
        study.text()
    for one in mine + other + table:
        record.add(one)
    text = study.text()
    assert "## Pictures\n" in text
    assert "## Tables\n" in text
    assert "| draem † | 1 |" in text
    assert "above the median in 0 of 1 data sets, and below it in 1." in text
    assert "| wine | 3 | 1.00 |" in text


def test_every_detector_has_forms():
    from benchmarks.studies import yardstick

    keys = [job.key for job in yardstick.jobs()]
    assert len(keys) == len(set(keys))
    assert not any(of.name == "pca 64" for of in yardstick.configured(["digits 5"]))
    assert all(of.updates == 7 for of in yardstick.configured(["digits 5"], 7) if of.name in ("draem", "ganomaly"))
    assert {yardstick.FORM.key(one) for one in lines_of(yardstick.FILE, yardstick.FORM)} <= set(keys)
