"""The papers' tables: their data, their protocols, their figures, and how they are run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest

import oddgan
from oddgan import detectors, metrics, papers
from oddgan.data import Labelled
from oddgan.errors import ParameterError
from oddgan.evaluation.cells import Cell
from oddgan.evaluation.figures import FIGURES
from oddgan.papers import protocols, published, reproduction
from oddgan.papers.figures import agreement, auprc_at, figures, verdicts
from oddgan.papers.published import MEAN, Budget, Row, Run
from oddgan.report import to_markdown
from oddgan.report.reproduction import page as markdown
from oddgan.rows.tables import TableRows

TABLES = papers.tables()


def terms(name: str) -> set[str]:
    """What a detector may score by."""
    declared = get_type_hints(detectors.get(name), include_extras=True)["score_by"]
    return {term for part in get_args(declared) for term in get_args(part)}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_is_whole(table):
    assert table.figure in FIGURES
    assert table.task == "speed" or table.task in protocols.TASKS
    assert set(table.development) <= set(table.classes)
    assert {"paper", "fast"} <= set(table.budgets)
    assert {row.run for row in table.rows if row.run} == set(table.runs), "a training that no line shows"
    for row in table.rows:
        assert row.run or row.published, f"{row.name}: neither run nor published"
        assert row.term is None or row.term in terms(table.runs[row.run].detector)
        assert (row.standing in ("verified", "remembered")) == bool(row.published)
        for figure, values in row.published.items():
            assert figure in FIGURES
            assert set(values) <= {MEAN, *table.classes}
    for budget in table.budgets:
        assert set(table.budgets[budget].classes or ()) <= set(table.classes)
        for one in papers.plan(table, budget=budget):
            one.detector.check_parameters()


def test_every_expected_table_exists():
    assert set(TABLES) >= {
        "egbad-mnist", "egbad-kdd99", "survey-kdd99", "survey-mnist", "survey-fashion-mnist", "ocgan-mnist",
        "ganomaly-mnist", "ganomaly-ablation", "alad-kdd99", "alad-arrhythmia", "alad-cifar10", "anogan-speed",
    }  # fmt: skip
    with pytest.raises(ParameterError, match=r"no table is called 'egbad'; choose among alad-"):
        papers.table("egbad")


def test_the_paper_budget_changes_nothing():
    det = reproduction.unfitted(TABLES["egbad-mnist"], TABLES["egbad-mnist"].runs["egbad"], "exact")
    assert det.get_params() == papers.detector("egbad", "mnist", variant="code").get_params()


def test_clean_means_scaled():
    table = TABLES["egbad-kdd99"]
    found = {one: reproduction.unfitted(table, table.runs["egbad"], one).scaling for one in protocols.PROTOCOLS}
    assert found == {"exact": "none", "clean": "standard"}


# --- protocols ------------------------------------------------------------------------------------------------------


@pytest.fixture
def numbered():
    """300 pictures, each of a different grey value, of classes 0, 1, 2; 240 are the training set."""
    rows = np.arange(300, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    return Labelled(rows=rows, classes=np.array(["0", "1", "2"] * 100), trained=240)


def numbers(rows):
    return rows[:, 0, 0].astype(int)


def judged(monkeypatch, held, kind, protocol, group="1", seed=0, **limits):
    monkeypatch.setattr(protocols, "_all_rows", lambda data: held)
    return protocols.task(kind, "mnist", protocol, group, seed, **limits)


@pytest.mark.parametrize("protocol", protocols.PROTOCOLS)
@pytest.mark.parametrize("kind", ["egbad-pictures", "ganomaly-pictures", "one-class", "alad-pictures"])
def test_which_rows_are_for_training_and_test(monkeypatch, numbered, kind, protocol):
    made = judged(monkeypatch, numbered, kind, protocol)
    train, test = numbers(made.train), numbers(made.test)
    normal = numbered.classes == "1" if kind in ("one-class", "alad-pictures") else numbered.classes != "1"
    assert normal[train].all()
    assert (made.labels == ~normal[test]).all()
    assert made.labels.any()
    assert not made.labels.all()
    assert len(np.unique(test)) == len(test)
    leaks = np.isin(test, train).any()
    assert leaks == (kind == "egbad-pictures" and protocol == "exact")
    if protocol == "clean":
        assert len(made.calibrate) > 0
        assert not np.isin(numbers(made.calibrate), [*train, *test]).any()
        assert normal[numbers(made.calibrate)].all()
    else:
        assert made.calibrate is None


def test_egbads_leak_is_what_its_code_has(monkeypatch):
    """Two orders of the same rows: 80 percent of the one's last fifth are in the other's first four."""
    held = Labelled(rows=np.zeros((20_000, 1, 1)), classes=np.array(["0", "1"] * 10_000))
    assert judged(monkeypatch, held, "egbad-pictures", "exact").facts[
        "share of the test normals trained on"
    ] == pytest.approx(0.8, abs=0.02)
    assert judged(monkeypatch, held, "egbad-pictures", "clean").facts["share of the test normals trained on"] == 0


def test_limits_keep_both_kinds_and_are_the_same_for_every_seed(monkeypatch, numbered):
    a, b = (judged(monkeypatch, numbered, "one-class", "exact", seed=s, train=20, test=15) for s in (0, 1))
    assert (len(a.train), len(a.test), int(a.labels.sum())) == (
        20,
        15,
        10,
    )  # two thirds are anomalous, as without limits
    assert (a.train == b.train).all()
    assert (a.test == b.test).all()
    assert a.facts["rows"] == {"train": 20, "test": 15, "anomalous": 10}


def kdd(values, classes):
    columns = ("bytes", "service")
    return Labelled(
        rows=TableRows(np.array(values, float), columns, ("number", "category"), ((), ("http", "ftp"))),
        classes=np.array(classes),
    )


def test_kdd99_leaves_copies_out_of_the_clean_test(monkeypatch):
    random = np.random.default_rng(0)
    monkeypatch.setattr(protocols, "CALIBRATION_ROWS", 40)
    values = np.column_stack([random.integers(0, 500, 2000), random.integers(0, 2, 2000)])
    held = kdd(values, np.where(np.arange(2000) % 5 == 0, "normal.", "smurf."))
    exact, clean = (judged(monkeypatch, held, "kdd99", one, "") for one in protocols.PROTOCOLS)
    assert exact.percentile == 80
    assert exact.train.shape[1] == exact.test.shape[1] == 3  # the number, and a column for each service
    assert set(np.unique(exact.train[:, 1:])) == {0, 1}
    assert exact.labels.mean() <= 0.2 + 1 / len(exact.labels)
    assert exact.facts["share of the test's normal rows that equal a training row"] > 0.5
    assert clean.percentile is None
    assert clean.labels.mean() <= 0.2
    rows = [{tuple(row) for row in part.values} for part in (clean.train, clean.calibrate, clean.test)]
    assert len(rows[1]) == len(clean.calibrate)  # rows of their own, as the test's are
    assert not rows[0] & rows[1]
    assert not (rows[0] | rows[1]) & rows[2]


@pytest.mark.data
@pytest.mark.usefixtures("real_data")
def test_arrhythmia_is_34_flags_against_32():
    made = protocols.task("arrhythmia", "arrhythmia", "exact", "", 0)
    assert (len(made.train), len(made.test), int(made.labels.sum())) == (226, 226, 32)
    assert made.facts["anomalous rows trained on"] == 34
    assert int((np.arange(226) >= np.percentile(np.arange(226), made.percentile)).sum()) == 34
    first, second = (protocols.task("arrhythmia", "arrhythmia", "clean", "", seed) for seed in (0, 1))
    assert int(first.labels.sum()) == 66
    assert not np.array_equal(first.train, second.train)


@pytest.mark.data
@pytest.mark.usefixtures("real_data")
def test_kdd99_has_121_columns_and_its_copies():
    made = protocols.task("kdd99", "kdd99", "exact", "", 0)
    assert made.train.shape[1] == 121
    assert made.labels.mean() == pytest.approx(0.1965, abs=0.002)
    assert made.facts["share of the test's normal rows that equal a training row"] == pytest.approx(0.87, abs=0.005)
    assert made.facts["share of the test's anomalous rows that equal a training row"] == 0


# --- figures --------------------------------------------------------------------------------------------------------


def test_verdicts_by_hand():
    labels, flagged = np.array([1, 1, 1, 0, 0], bool), np.array([1, 1, 0, 1, 0], bool)
    assert verdicts(labels, flagged) == {
        "precision": pytest.approx(2 / 3), "recall": pytest.approx(2 / 3), "f1": pytest.approx(2 / 3)
    }  # fmt: skip
    assert verdicts(labels, np.zeros(5, bool)) == {"precision": 0, "recall": 0, "f1": 0}


def test_auprc_at_another_share():
    random = np.random.default_rng(0)
    labels = random.random(4000) < 0.4
    scores = random.normal(size=4000) + labels
    assert auprc_at(labels.mean(), labels, scores) == pytest.approx(metrics.average_precision(labels, scores))
    kept = ~labels | (random.random(4000) < (0.1 / 0.9) * (~labels).sum() / labels.sum())
    thinned = metrics.average_precision(labels[kept], scores[kept])
    assert auprc_at(0.1, labels, scores) == pytest.approx(thinned, abs=0.04)
    assert auprc_at(0.1, labels, random.normal(size=4000)) == pytest.approx(0.1, abs=0.02)


def test_thresholds():
    labels, scores = np.arange(100) >= 80, np.arange(100.0)
    found = figures(labels, scores, calibrate=np.arange(79.0), percentile=80.0)
    assert found["precision_at_percentile"] == found["recall_at_percentile"] == found["f1_at_percentile"] == 1
    assert found["auroc"] == 1
    assert found["recall"] == 1
    assert found["false_alarms"] == pytest.approx(1 / 80, abs=1 / 80)
    assert "precision" not in figures(labels, scores, percentile=80.0)
    assert "f1_at_percentile" not in figures(labels, scores, calibrate=scores)
    assert figures(labels, np.where(labels, np.nan, scores))["auroc"] == 1  # what cannot be scored is anomalous


def test_agreement_is_of_ranks():
    a = np.arange(10.0)
    assert agreement({"a": a, "b": a**3, "c": -a}) == {
        "a / b": pytest.approx(1), "a / c": pytest.approx(-1), "b / c": pytest.approx(-1)
    }  # fmt: skip


# --- running --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """A table on scikit-learn's digits: two lines of one training, a baseline, and a line that is only published."""
    table = replace(
        TABLES["egbad-mnist"],
        name="small",
        data="digits",
        figure="auroc",
        classes=("0", "8"),
        development=("8",),
        seeds=2,
        budgets={"paper": Budget(), "fast": Budget(train=60, test=20, seeds=1, parameters={"updates": 3})},
        runs={
            "gan": Run(name="gan", detector="ganomaly", parameters={"width": 4, "batch_size": 16}, updates=6000),
            "knn": Run(name="knn", detector="knn"),
        },
        rows=(
            Row(name="GAN, latents", run="gan", term="latent_l1", published={"auroc": {"0": 0.5}}, standing="verified"),
            Row(name="GAN", run="gan", published={"auroc": {MEAN: 0.75}}, standing="remembered"),
            Row(name="neighbours", run="knn"),
            Row(name="another's", published={"auroc": {MEAN: 0.9}}, standing="verified"),
        ),
    )
    protocols._all_rows.cache_clear()
    monkeypatch.setattr(published, "tables", lambda: {"small": table})
    return table


def test_a_table_is_run_once(small, tmp_path):
    kept, messages = tmp_path / "small.jsonl", []
    found = papers.reproduce("small", classes=["0"], results=kept, report=messages.append)
    assert len(found.cells) == 4  # two trainings, two protocols
    lines = kept.read_text().splitlines()
    assert [json.loads(line)["facts"]["protocol"] for line in lines] == ["exact", "exact", "clean", "clean"]
    assert 3 in json.loads(lines[0])["facts"]["updates"].values()
    messages.clear()
    again = papers.reproduce("small", classes=["0"], results=kept, report=messages.append)
    assert kept.read_text().splitlines() == lines
    assert all(line.endswith("(done before)") for line in messages)
    assert to_markdown(again) == to_markdown(found)
    kept.write_text("\n".join(lines[:2]) + "\n" + lines[2][:50])  # killed while it wrote
    papers.reproduce("small", classes=["0"], results=kept)
    assert [json.loads(line)["key"] for line in kept.read_text().splitlines()] == [
        json.loads(line)["key"] for line in lines
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["small.jsonl"]
    everything = papers.reproduce("small", results=kept, report=messages.append)
    assert len(everything.cells) == 8


def rows_of(page, title):
    """The rows of the page's table below a title, by the name of the method, as mappings."""
    below = page.replace("**", "").partition(f"\n{title}\n\n")[2].partition("\n\n")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in below]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_what_the_page_says(small, tmp_path):
    found = papers.reproduce("small", results=tmp_path / "small.jsonl")
    page = to_markdown(found)
    lines, clean = rows_of(page, "By the source's protocol"), rows_of(page, "Clean")
    assert lines["another's"]["published AUROC"] == "0.900"
    assert lines["another's"]["classes x seeds, budget"] == "not in oddgan"
    assert lines["GAN"]["published AUROC"] == "0.750†"
    assert lines["GAN, latents"]["published AUROC"] == "0.500 (class 0)"  # one of the two that were run
    assert lines["neighbours"]["classes x seeds, budget"] == "2 x 1, fast"
    assert "another's" not in clean
    assert set(clean["GAN"]) >= {"AUROC", "AUPRC at 10%", "false alarms"}
    assert lines["GAN"]["updates spent"] == clean["GAN"]["updates spent"] == "0.1%"  # 3 of 6,000
    assert lines["neighbours"]["updates spent"] == ""
    assert "for 6,000 updates" in page.partition("A training of the source's length would take here, about: GAN")[2]
    assert "| method | 0 | 8* | mean | mean without * |" in page
    values = [float(one) for one in rows_of(page, "Clean, AUROC by class")["neighbours"].values()]
    assert values[2] == pytest.approx((values[0] + values[1]) / 2, abs=1e-3)
    assert values[3] == values[0]
    assert "development data" in page
    assert "exact: share of the test normals trained on: " in page
    assert "Budget fast: updates = 3, at most 60 training rows, at most 20 test rows." in page
    only = to_markdown(papers.reproduce("small", classes=["0"], results=tmp_path / "small.jsonl"))
    assert "| GAN, latents | 0.500 |" in only


def test_a_difference_is_shown_where_as_much_was_spent(small, monkeypatch):
    """Not with 3 of 6,000 updates, nor with fewer training rows than the source's."""
    found = papers.reproduce("small").cells
    lines = rows_of(markdown(small, found), "By the source's protocol")
    assert {line["difference"] for line in lines.values()} == {""}

    runs = {**small.runs, "gan": replace(small.runs["gan"], updates=3)}
    table = replace(small, runs=runs, budgets={**small.budgets, "fast": replace(small.budgets["fast"], train=None)})
    lines = rows_of(markdown(table, found), "By the source's protocol")
    assert lines["GAN"]["updates spent"] == "all"
    assert float(lines["GAN"]["difference"]) == pytest.approx(float(lines["GAN"]["AUROC here"]) - 0.75, abs=2e-3)
    own = found[0].figures["latent_l1 auroc"]
    assert float(lines["GAN, latents"]["difference"]) == pytest.approx(own - 0.5, abs=2e-3)
    unknown = replace(table, runs={**runs, "gan": replace(runs["gan"], updates=None)})
    line = rows_of(markdown(unknown, found), "By the source's protocol")["GAN"]
    assert (line["difference"], line["updates spent"]) == ("", "3")


def test_many_classes_are_rows(small, monkeypatch):
    monkeypatch.setattr("oddgan.report.reproduction.MOST_CLASSES", 1)
    page = markdown(small, papers.reproduce("small", protocol="clean").cells)
    rows = rows_of(page, "Clean, AUROC by class")
    assert list(rows) == ["0", "8*", "mean", "mean without *"]
    assert list(rows["0"]) == ["GAN, latents", "GAN", "neighbours"]
    assert rows_of(page, "Published, AUROC by class")["0"] == {"GAN, latents": "0.500"}


def test_the_page_distinguishes_protocols_that_ran_differently(small):
    """Budgets and seeds of each, and the limits of budgets that trained nothing too."""
    clean = papers.reproduce("small", classes=["0"], runs=["knn"], protocol="clean", seeds=2).cells
    exact = papers.reproduce("small", classes=["0"], runs=["knn"], protocol="exact", budget="paper", seeds=1).cells
    page = markdown(small, [*clean, *exact])
    said = [
        rows_of(page, title)["neighbours"]["classes x seeds, budget"] for title in ("By the source's protocol", "Clean")
    ]
    assert said == ["1 x 1, paper", "1 x 2, fast"]
    assert "Budget fast: updates = 3, at most 60 training rows, at most 20 test rows." in page
    assert "Budget paper: what the source spends." in page


def test_agreement_among_the_lines_of_one_training_is_stated(small):
    rows = [Row(name=name, run="gan", term=name) for name in ("feature", "latent_l1", "residual")]
    found = papers.reproduce("small", runs=["gan"], protocol="clean").cells
    page = markdown(replace(small, rows=tuple(rows)), found)
    rho = np.mean([cell.facts["agreement"]["feature / residual"] for cell in found])
    assert f"feature / residual {rho:.2f}" in page.partition("Agreement of ranks, clean (mean of Spearman's rho): ")[2]
    assert "Agreement" not in markdown(replace(small, rows=tuple(rows[:2])), found)


def test_pairs_are_compared(small):
    """By hand: AUROC .9, .8, .7 beside .8, .8, .5 is .1, 0, .2 more: .1 with an interval of t(2) .1 / sqrt(3)."""
    cells = []
    for run, values in (("gan", (0.9, 0.8, 0.7)), ("knn", (0.8, 0.8, 0.5))):
        figure = "latent_l1 auroc" if run == "gan" else "score auroc"
        cells += [
            Cell(key=f"{run}{seed}", data="digits", detector=run, parameters={}, seed=seed, error=None,
                 figures={figure: value, "score auroc": value},
                 facts={"run": run, "protocol": "clean", "class": "0", "budget": "fast"})
            for seed, value in enumerate(values)
        ]  # fmt: skip
    page = markdown(replace(small, beside="knn"), cells)
    assert "GAN, latents +0.1000 [-0.1484, +0.3484] (3 pairs)" in page
    assert "(3 pairs)" not in markdown(replace(small, beside="knn"), cells[:-1])


def test_unknown_choices_are_refused(small):
    for wrong, message in (
        ({"protocol": "dirty"}, "must be exact, clean or both"),
        ({"budget": "huge"}, "has no budget 'huge'; it has paper, fast"),
        ({"classes": ["7"]}, "has no class '7'; it has 0, 8"),
        ({"runs": ["vae"]}, "has no run 'vae'; it has gan, knn"),
        ({"seeds": 0}, "must be at least 1"),
    ):
        with pytest.raises(ParameterError, match=message):
            papers.reproduce("small", **wrong)


def test_a_training_that_fails_is_noted(small, monkeypatch):
    table = replace(small, runs={**small.runs, "gan": replace(small.runs["gan"], parameters={"lr": 1e30})})
    monkeypatch.setattr(published, "tables", lambda: {"small": table})
    found = papers.reproduce("small", classes=["0"], protocol="clean")
    assert [cell.error is not None for cell in found.cells] == [True, False]
    assert "gan, clean, seed 0 failed: training diverged" in to_markdown(found)
    mixed = [*papers.reproduce("small", protocol="clean").cells, *found.cells]
    assert "failed" in markdown(small, mixed)


def test_a_cell_is_known_in_another_table(small, tmp_path, monkeypatch):
    kept = tmp_path / "both.jsonl"
    papers.reproduce("small", classes=["0"], runs=["knn"], protocol="exact", results=kept)
    other = replace(small, name="other", runs={**small.runs, "near": replace(small.runs["knn"], name="near")})
    other = replace(other, rows=(*small.rows, Row(name="near", run="near")))
    monkeypatch.setattr(published, "tables", lambda: {"other": other})
    found = papers.reproduce("other", classes=["0"], runs=["near"], protocol="exact", results=kept)
    assert len(kept.read_text().splitlines()) == 1
    assert (found.cells[0].facts["table"], found.cells[0].facts["run"]) == ("other", "near")


def test_a_term_without_a_rank_is_no_failure(small, monkeypatch):
    monkeypatch.setattr(reproduction, "agreement", lambda terms: {"a / b": float("nan")})
    found = papers.reproduce("small", classes=["0"], runs=["gan"], protocol="clean")
    assert found.cells[0].facts["agreement"] == {"a / b": None}


def test_what_weighs_terms_is_tuned_on_many_rows(small, monkeypatch):
    """Where no row is held out: the scale of two rows would be meaningless."""
    seen = {}
    cls = detectors.get("ganomaly")
    fit = cls.fit

    def spy(self, X, **held):
        seen.update({name: len(rows) for name, rows in held.items() if name in ("tune", "calibrate")})
        return fit(self, X, **held)

    monkeypatch.setattr(cls, "fit", spy)
    papers.reproduce("small", classes=["0"], runs=["gan"], protocol="exact")
    assert seen == {"tune": 60, "calibrate": 2}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.usefixtures("real_data")
def test_speed_is_of_the_same_batch(tmp_path):
    table = TABLES["anogan-speed"]
    assert table.protocols == ("exact",)
    found = papers.reproduce("anogan-speed", classes=["kdd99"], results=tmp_path / "speed.jsonl")
    ours = {cell.facts["run"]: cell.figures["score milliseconds_a_batch"] for cell in found.cells}
    assert ours["anogan"] > 20 * ours["egbad"]


def test_results_are_of_one_release(small, tmp_path, monkeypatch):
    kept = tmp_path / "small.jsonl"
    papers.reproduce("small", classes=["0"], runs=["knn"], results=kept)
    monkeypatch.setattr(oddgan, "__version__", "99")
    papers.reproduce("small", classes=["0"], runs=["knn"], results=kept)
    assert len(kept.read_text().splitlines()) == 4


def test_paths_may_be_text(small, tmp_path: Path):
    papers.reproduce("small", classes=["0"], runs=["knn"], protocol="exact", results=str(tmp_path / "a" / "b.jsonl"))
    assert (tmp_path / "a" / "b.jsonl").exists()
