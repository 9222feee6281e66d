"""Every kind of report: the same content as a page, as Markdown and as JSON, whole, safe and small."""

import dataclasses
import json

import numpy as np
import pytest
from report_pages import Checked

from oddgan import report
from oddgan.errors import ParameterError
from oddgan.evaluation import Comparison, Contender, Example, Recalibration, Scores, Spread, Training
from oddgan.evaluation.cells import Cell
from oddgan.evaluation.judged import Threshold
from oddgan.model.drift import Drift
from oddgan.report import document as doc
from oddgan.report import markdown, pictures
from oddgan.verdict import KnownDefects
from oddgan.verdict.uniformity import Finding

COMMAND = "oddgan score 'a </script><b>&.oddgan' -o x.csv"


def refuse(constant):
    raise AssertionError(f"{constant} is not strict JSON")


@pytest.fixture
def scores(unlabelled):
    finding = Finding("scores-shifted", "rows score <higher> than they should")
    return Scores(rows=unlabelled, drift=Drift(60, 9, (0, 5), 0.25, None, (finding,)), at_rates=((0.05, 11),))


@pytest.fixture
def training(evaluation):
    held = evaluation.calibration
    facts = {**evaluation.detector, "training": {"rows": 900, "updates": {"game": 15}, "device": "cpu"}}
    return Training(
        data="parts|1",
        note="900 normal",
        detector=facts,
        rows="grey pictures of 8x10",
        history=evaluation.history,
        calibration=held,
        threshold=0.9,
        false_alarm_rate=0.02,
        false_alarm_range=(0.001, 0.06),
        n_calibrate=49,
        guarantee=evaluation.guarantee,
        warnings=("training <diverged>",),
        health={"won.D": 0.6, "finds": 0.75},
        generated=np.random.default_rng(0).integers(0, 255, (16, 8, 10), dtype=np.uint8),
        seconds=75.0,
        evaluation=evaluation,
    )


@pytest.fixture
def recalibration(evaluation):
    def threshold(value, n):
        return Threshold(
            threshold=value,
            false_alarm_rate=0.02,
            false_alarm_range=(0.001, 0.06),
            n_calibrate=n,
            scores=np.linspace(0, 1, n),
            guarantee=evaluation.guarantee,
            by_stratum=(("left", 0.5, 20),),
        )

    return Recalibration(
        data="line 2",
        note="99 normal",
        detector=evaluation.detector,
        before=threshold(0.5, 49),
        after=threshold(0.98, 99),
        flagged_before=0.5,
        defects=KnownDefects(np.array([0.01, 0.01, 0.5, 0.2]), 0.02),
    )


@pytest.fixture
def comparison():
    def cell(name, seed, auroc):
        known = {"rivals": {"mean grey": 0.93}}
        return Cell(key="", data="d", detector=name, parameters={}, seed=seed, figures={"auroc": auroc}, error=None,
                    facts=known)  # fmt: skip

    def spread(*values):
        return Spread(mean=float(np.mean(values)), deviation=0.01, median=values[0], values=values)

    contenders = tuple(
        Contender(name=name, detector=name, parameters={}, figures={"auroc": spread(*values)}, errors={})
        for name, values in {"KNN": (0.9, 0.92), "<b>own</b>": (0.7, 0.8)}.items()
    )
    cells = tuple(cell(one.name, i, value) for one in contenders for i, value in enumerate(one.figures["auroc"].values))
    return Comparison(data="toy", note="a toy", seeds=(0, 1), n_test=60, chance=0.3, contenders=contenders, cells=cells)


KINDS = ("evaluation", "scores", "training", "recalibration", "comparison")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_page_a_markdown_file_and_strict_json(kind, request, tmp_path):
    found = request.getfixturevalue(kind)
    for suffix in report.SUFFIXES:
        report.write(found, tmp_path / f"r{suffix}", [COMMAND])
    parsed = Checked((tmp_path / "r.html").read_text())
    keys = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    lines = (tmp_path / "r.md").read_text().splitlines()
    assert keys["schema"].startswith("oddgan.")
    assert keys["commands"] == [COMMAND]
    assert COMMAND in lines
    assert COMMAND in parsed.text
    known = report.document_of(found)
    titles = [section.title for section in known.sections if section.title]
    assert [line[3:] for line in lines if line.startswith("## ")] == titles
    assert [title for title in parsed.headings if title in titles] == titles
    for section in known.sections:  # what one says, both say
        for block in section.blocks:
            if isinstance(block, doc.Table):
                cells = {cell for row in block.rows for cell in row if cell}
                assert cells <= {text.strip() for text in parsed.text}
                assert all(markdown.plain(cell).replace("|", "\\|") in "\n".join(lines) for cell in cells)
    assert len(parsed.named("caption")) == len(parsed.named("table"))
    assert all(attrs["alt"] for attrs in parsed.named("img"))
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in parsed.tags if "aria-labelledby" in attrs} <= set(ids)
    assert {attrs["href"][1:] for attrs in parsed.named("a")} <= set(ids)
    assert not [attrs for tag, attrs in parsed.tags if tag not in TAGS or any(name.startswith("on") for name in attrs)]


TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "nav", "div", "span"),
    *("p", "h1", "h2", "h3", "ul", "li", "dl", "dt", "dd", "a", "i", "strong", "pre", "code", "figure", "figcaption"),
    *("svg", "g", "path", "line", "text", "rect", "circle", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *(
        "img",
        "details",
        "summary",
        "form",
        "label",
        "select",
        "option",
        "input",
        "output",
        "button",
        "dialog",
        "script",
    ),
}


def test_reports_without_labels_say_what_is_due_and_what_drifted(scores):
    keys = json.loads(report.to_json(scores))
    assert keys["anomalies"] == int(scores.rows.is_anomaly.sum())
    assert keys["drift"]["findings"][0]["code"] == "scores-shifted"
    assert [point["rate"] for point in keys["operating_points"]] == [0.02, 0.05, 0.1]  # 49 rows hold no less
    assert keys["operating_points"][0]["anomalies"] == int((scores.rows.p_values <= 0.02).sum())
    page = report.to_markdown(scores)
    assert "more than chance explains: among 60 normal rows, 0 to 5 would be flagged by chance (in 99 of" in page
    assert "rows score &lt;higher> than they should" in page
    by_fdr = dataclasses.replace(scores, fdr=0.1, q_values=np.linspace(0, 1, 60))
    assert "at most 10% of them are normal" in report.to_markdown(by_fdr)
    assert json.loads(report.to_json(by_fdr))["rows"][59]["q_value"] == 1


def test_too_few_rows_are_not_said_to_be_like_those_of_training(scores):
    few = dataclasses.replace(scores.drift, rows=9, uniformity=None, findings=())
    page = report.to_markdown(dataclasses.replace(scores, drift=few))
    assert "- Drift: **not tested**; fewer than 10 rows" in page
    assert "Nothing was found" not in page
    found = dataclasses.replace(few, findings=scores.drift.findings)
    page = report.to_markdown(dataclasses.replace(scores, drift=found))
    assert "- Drift: **1 finding**" in page
    assert markdown.plain(found.findings[0].message) in page
    enough = dataclasses.replace(few, rows=10, uniformity=0.5)
    assert "like those of training" in report.to_markdown(dataclasses.replace(scores, drift=enough))


def test_one_row_is_a_row(unlabelled):
    one = dataclasses.replace(unlabelled, names=("a",), scores=np.ones(1), p_values=np.full(1, 0.4),
                              is_anomaly=np.zeros(1, bool), examples=(), latent=None)  # fmt: skip
    page = report.to_markdown(Scores(rows=one, drift=Drift(1, 0, (0, 1), None, None, ())))
    assert "1 rows" not in page
    assert "1 scored rows" not in page
    for said in ("0 of 1 row is an anomaly", "among 1 normal row,", "The one row, most", "oddgan from 1 row."):
        assert said in page


def test_a_training_shows_what_was_made_and_what_the_test_says(training):
    parsed = Checked(report.to_html(training))
    assert len([attrs for attrs in parsed.named("img") if attrs["alt"].startswith("Generated picture")]) == 16
    said = " ".join(parsed.text)
    for part in ("training <diverged>", "1:15", "won of D", "Scores of the test rows", "only <20> anomalous rows"):
        assert part in said
    assert parsed.headings.index("Before you use this model") == 1  # warnings come first
    table = dataclasses.replace(training, generated=np.ones((8, 14)), columns=tuple("abcdefghijklmn"), evaluation=None)
    assert "the first 12 of 14 columns" in report.to_markdown(table)
    assert len(json.loads(report.to_json(table))["generated"]) == 8
    bare = dataclasses.replace(training, generated=None, evaluation=None, health={}, history={}, warnings=())
    assert [section.title for section in report.document_of(bare).sections] == [
        "", "Calibration", "Model card", "Make it again"
    ]  # fmt: skip


def test_a_calibration_shows_before_and_after(recalibration):
    page = report.to_markdown(recalibration)
    said = "set for 2% false alarms and would have flagged 50% of the new calibration rows, which is more than chance"
    assert said in page
    assert "| threshold | 0.5 | 0.98 |" in page
    assert "| caught at the new threshold | 2 of 4 | 50% |" in page
    keys = json.loads(report.to_json(recalibration))
    assert (keys["defects"]["caught"], keys["defects"]["rate_for_all"]) == (2, 0.5)
    assert keys["after"]["by_stratum"] == [["left", 0.5, 20]]


def test_a_detector_without_networks_is_not_praised_for_its_training(training):
    fine = dataclasses.replace(training, warnings=(), evaluation=None)
    assert "Nothing was found that speaks against this training" in report.to_markdown(fine)
    knn = report.to_markdown(dataclasses.replace(fine, health={"trained": 0.0, "finds": 0.75}))
    assert "speaks against" not in knn
    assert "No rule about" not in knn
    assert "trains no networks" in knn
    assert "| finds |" in knn
    assert "| trained |" not in knn


@pytest.mark.parametrize(
    ("share", "n", "said"),
    [(0.0, 99, "usual"), (0.03, 99, "usual"), (0.2, 99, "more than chance"), (0.0, 20_000, "less than chance")],
)
def test_a_usual_share_under_the_old_threshold_is_no_broken_promise(recalibration, share, n, said):
    before = dataclasses.replace(recalibration.before, n_calibrate=999)
    after = dataclasses.replace(recalibration.after, scores=np.linspace(0, 1, n))
    found = dataclasses.replace(recalibration, before=before, after=after, flagged_before=share)
    (lead,) = [line for line in report.to_markdown(found).splitlines() if line.startswith("The threshold is now")]
    assert said in lead
    assert sum(word in lead for word in ("is usual", "more than chance", "less than chance")) == 1


def test_a_comparison_names_the_best_and_a_rival_that_needs_no_detector(comparison):
    page = report.to_markdown(comparison)
    assert "Of 2 detectors, KNN has the highest AUROC: 0.910 ± 0.010" in page
    assert "mean grey alone has AUROC 0.930, which no detector exceeds" in page
    assert "| mean grey alone | 0.930 |" in page
    assert "<b>own</b>" not in report.to_html(comparison)
    failed = Contender(name="gan", detector="gan", parameters={}, figures={}, errors={0: "no", 1: "no", 2: "never"})
    page = report.to_markdown(dataclasses.replace(comparison, contenders=(*comparison.contenders, failed)))
    assert "Of the 2 of 3 detectors that could be judged, KNN has the highest AUROC" in page
    assert "gan failed with seeds 0 and 1: no" in page
    assert "gan failed with seed 2: never" in page
    alone = dataclasses.replace(comparison, contenders=(comparison.contenders[0], failed))
    assert "Only KNN, of 2 detectors, could be judged: it has AUROC 0.910 ± 0.010." in report.to_markdown(alone)


def test_a_reproduced_table(tmp_path):
    from oddgan.papers import Reproduction, tables

    table = tables()["ocgan-mnist"]
    run = next(row for row in table.rows if row.run)
    figures = {f"{run.term or 'score'} {table.figure}": 0.7, "score auroc": 0.7}
    facts = {"run": run.run, "class": table.classes[0], "protocol": table.protocols[0], "budget": "fast"}
    cell = Cell(key="", data="d", detector="X", parameters={}, seed=0, figures=figures, error=None, facts=facts)
    found = Reproduction(table=table, budget="fast", cells=(cell,))
    parsed = Checked(report.to_html(found))
    assert parsed.headings[0] == table.title
    assert any("published" in attrs.get("class", "") for attrs in parsed.named("circle"))
    keys = json.loads(report.to_json(found))
    assert (keys["schema"], keys["table"]["name"]) == ("oddgan.reproduction", "ocgan-mnist")
    assert keys["methods"][0]["head"][0] == "method"


def test_ten_thousand_items_stay_below_five_megabytes(evaluation):
    n, random = 10_000, np.random.default_rng(0)
    kinds = tuple(f"kind {i % 9}" for i in range(n))
    scores = random.normal(size=n)
    large = random.integers(0, 255, (300, 400, 3), dtype=np.uint8)  # noise: nothing is larger once encoded
    examples = tuple(
        Example(
            group="most anomalous" if i < 12 else "random",
            row=i,
            name=f"camera 2/2024-05-17/part {i:05}.png",
            score=float(scores[i]),
            p_value=0.5,
            is_anomaly=False,
            kind=kinds[i],
            picture=large,
            reconstruction=large[::-1],
            anomaly_map=np.zeros((300, 400), np.float32),
        )
        for i in range(36)
    )
    e = dataclasses.replace(
        evaluation,
        names=tuple(f"camera 2/2024-05-17/part {i:05}.png" for i in range(n)),
        scores=scores,
        p_values=random.random(n),
        is_anomaly=scores > 2,
        labels=np.arange(n) % 9 == 0,
        kinds=kinds,
        terms={},
        examples=examples,
    )
    page = report.to_html(e)
    assert len(page.encode()) < 5e6
    assert page.count("<tr><td>camera") == n
    assert page.count("<figure data-item") == 36
    assert 1e6 < sum(len(part.partition('"')[0]) for part in page.split('src="')[1:]) < pictures.BUDGET


def test_pictures_are_left_out_from_the_end_where_nothing_fits(evaluation, monkeypatch):
    monkeypatch.setattr(pictures, "LONGEST", (320,))
    shades = report.shades_of(evaluation)
    whole = pictures.encoded(evaluation.examples, shades)
    assert list(whole) == [59, 41, 3]
    sizes = [sum(len(view.address) for view in views) for views in whole.values()]
    assert list(pictures.encoded(evaluation.examples, shades, budget=sizes[0] + sizes[1])) == [59, 41]


def test_a_row_is_shown_once_in_the_first_group_that_it_is_in(evaluation):
    again = dataclasses.replace(evaluation.examples[0], group="random")
    (shown,) = pictures.galleries(dataclasses.replace(evaluation, examples=(*evaluation.examples, again)))
    assert [gallery.title for gallery in shown.items] == ["Most anomalous rows", "Worst misses", "Worst false alarms"]


def test_a_name_that_is_no_text_is_written_all_the_same(evaluation, tmp_path):
    e = dataclasses.replace(evaluation, names=("caf\udce9.png", *evaluation.names[1:]))
    for suffix in report.SUFFIXES:
        report.write(e, tmp_path / f"r{suffix}")
        assert "caf?.png" in (tmp_path / f"r{suffix}").read_text("utf-8")


def test_another_suffix_is_refused(evaluation, tmp_path):
    with pytest.raises(ParameterError, match=r"r\.pdf: reports are \.html, \.json, \.md"):
        report.write(evaluation, tmp_path / "r.pdf")
    assert list(tmp_path.iterdir()) == []


def test_the_call_that_makes_it_again_has_what_is_not_a_default(evaluation):
    facts = {
        **evaluation.detector,
        "parameters": {"updates": 5, "block_size": 64, "size": [8, 8]},
        "training": {"seed": 3},
    }
    page = report.to_markdown(dataclasses.replace(evaluation, detector=facts))
    assert "detector = oddgan.GANomaly(updates=5, size=(8, 8), random_state=3)" in page
    own = dataclasses.replace(evaluation, detector={"detector": "OfNobody"})
    assert "oddgan.OfNobody" not in report.to_markdown(own)
