"""The HTML page is complete, well-formed, safe, and whole or absent."""

import base64
import dataclasses
import hashlib
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from report_pages import Checked

from oddgan.errors import OutputError
from oddgan.report import page, text, to_html, write_html


def test_the_page_is_well_formed_and_says_what_was_found(evaluation):
    parsed = Checked(to_html(evaluation))
    assert parsed.headings == [
        "GANomaly on toy & co",
        "Before you trust these figures",
        "Scores",
        "Figures",
        "By kind",
        "Examples",
        "Map of the rows",
        "What the threshold guarantees",
        "All rows",
        "Training",
        "Model card",
        "Make it again",
    ]
    said = " ".join(parsed.text)
    for part in (
        "only <20> anomalous rows",
        f"AUROC {evaluation.estimates['auroc'].value:.3f}",
        "At the threshold set for 2% false alarms it detected",
        "of 40 normal rows",
        "0.812",
        "<b>scratch</b>",
        "exchangeable",
        "between 0.1% and 6%",
        "0, 1, 2, 3, 4, 5, 6, 7, … (20)",
        "nested.a",
    ):
        assert part in said
    assert "None" not in said


def test_the_page_loads_nothing_and_runs_its_own_script_alone(evaluation):
    html = to_html(evaluation, ["oddgan evaluate '<script>alert(1)</script>'"])
    parsed = Checked(html)
    assert {"link", "iframe", "object", "base"}.isdisjoint(tag for tag, _ in parsed.tags)
    assert len(parsed.named("script")) == html.count("</script>") == 1
    policy = next(attrs["content"] for attrs in parsed.named("meta") if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    for tag in ("style", "script"):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not any("style" in attrs for _, attrs in parsed.tags)  # which the policy would not let be
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in parsed.named("img"))
    assert not re.search(r"https?:|url\(|@import", html)
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)


def test_pictures_are_png_files_with_text_for_screen_readers(evaluation):
    parsed = Checked(to_html(evaluation))
    images = parsed.named("img")
    assert len(images) == 3 * len(evaluation.examples)
    assert all(attrs["alt"] for attrs in images)
    assert re.search(
        r"Heat map of test/059<script>.png, most anomalous at the (upper|middle|lower) (left|centre|right)",
        images[2]["alt"],
    )
    with Image.open(io.BytesIO(base64.b64decode(images[0]["src"].partition(",")[2]))) as picture:
        assert picture.size == (int(images[0]["width"]), int(images[0]["height"])) == (180, 144)
        np.testing.assert_array_equal(np.asarray(picture)[::18, ::18, 0], evaluation.examples[0].picture)
    charts = [attrs for attrs in parsed.named("svg") if "chart" in attrs["class"]]
    assert len(charts) == 2 + 2 + 1 + 1 + 3  # the histogram is drawn for wide pages and for narrow ones
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    assert len(parsed.named("caption")) == len(parsed.named("table"))
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in parsed.tags if "aria-labelledby" in attrs} <= set(ids)


def test_each_example_says_whether_the_verdict_was_right(evaluation):
    anomalous, normal = (dataclasses.replace(evaluation.examples[0], label=label) for label in (True, False))
    verdicts = {
        (anomalous, True): ("detected", "right"),
        (anomalous, False): ("missed", "wrong"),
        (normal, True): ("false alarm", "wrong"),
        (normal, False): ("passed", "right"),
        (dataclasses.replace(anomalous, label=None), True): ("anomaly", "flagged"),
        (dataclasses.replace(anomalous, label=None), False): ("normal", "plain"),
    }
    for (example, flagged), verdict in verdicts.items():
        assert text.verdict(flagged, example.label) == verdict


def test_without_labels_the_page_has_scores_verdicts_and_table_examples(unlabelled):
    parsed = Checked(to_html(unlabelled))
    assert parsed.headings == [
        "GANomaly on toy & co",
        "Scores",
        "Examples",
        "What the threshold guarantees",
        "All rows",
        "Model card",
        "Make it again",
    ]
    said = " ".join(parsed.text)
    assert "there are no labels to compare with" in said
    assert "pressure <bar>" in said
    assert parsed.named("img") == []


def test_pictures_without_maps_are_shown_alone(evaluation):
    examples = tuple(dataclasses.replace(e, anomaly_map=None, reconstruction=None) for e in evaluation.examples)
    parsed = Checked(to_html(dataclasses.replace(evaluation, examples=examples, pixel={}, n_masks=0)))
    assert [attrs["alt"] for attrs in parsed.named("img")] == [example.name for example in examples]
    assert {(attrs["width"], attrs["height"]) for attrs in parsed.named("img")} == {("180", "144")}
    assert "right its heat map" not in " ".join(parsed.text)


def test_rows_of_a_table_without_shares_have_no_column_for_them(unlabelled):
    (example,) = unlabelled.examples
    parsed = Checked(to_html(dataclasses.replace(unlabelled, examples=(dataclasses.replace(example, columns=()),))))
    assert "Verdict" in parsed.text
    assert "Columns" not in parsed.text
    assert "largest share" not in " ".join(parsed.text)
    assert "Columns" in Checked(to_html(unlabelled)).text


def test_only_normals_still_make_a_page(evaluation):
    from oddgan.metrics import rates

    normals = dataclasses.replace(
        evaluation,
        labels=np.zeros(60, bool),
        estimates={},
        rates=rates(np.zeros(60), evaluation.is_anomaly),
        by_kind=evaluation.by_kind[:1],
    )
    said = " ".join(Checked(to_html(normals)).text)
    assert "False alarms" in said
    assert "Anomalies detected" not in said
    assert "ROC curve" not in said


def test_constant_scores_and_one_epoch_still_make_a_page(evaluation):
    one = {name: column[:1] for name, column in evaluation.history.items()}
    Checked(to_html(dataclasses.replace(evaluation, scores=np.ones(60), history=one)))
    Checked(to_html(dataclasses.replace(evaluation, scores=np.zeros(60), threshold=0.0, examples=())))


def test_the_page_is_the_same_each_time(evaluation):
    assert to_html(evaluation) == to_html(evaluation)


def test_the_file_appears_whole_or_not_at_all(evaluation, tmp_path, monkeypatch):
    path = tmp_path / "new folder" / "report.html"
    write_html(evaluation, path)
    assert path.read_text(encoding="utf-8") == to_html(evaluation)
    with pytest.raises(OutputError, match="new folder"):
        write_html(evaluation, path.parent)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_html(evaluation, tmp_path / "file" / "report.html")
    monkeypatch.setattr(page, "rendered", lambda document: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_html(evaluation, path)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_importing_the_report_is_quick():
    heavy = "torch, sklearn, matplotlib, scipy, jinja2, PIL, pandas"
    code = f"import sys, oddgan.report; print(*set('{heavy}'.split(', ')) & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_the_line_around_what_is_anomalous_is_explained(evaluation):
    assert "The white line" not in to_html(evaluation)
    assert "more than 6.5 usual deviations" in to_html(dataclasses.replace(evaluation, map_threshold=6.5))
