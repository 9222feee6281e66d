"""`oddgan.compare`: the figures are those of `evaluate`, no run is repeated, and an interrupted run continues."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import oddgan
from oddgan import KNN, GANomaly, evaluate, testing
from oddgan.data import Pictures, Split
from oddgan.data.masks import Masks
from oddgan.errors import DataError, OutputError, ParameterError
from oddgan.evaluation.cells import fingerprint
from oddgan.evaluation.runner import CELLS
from oddgan.hooks import Hook
from oddgan.report import to_json, to_markdown
from oddgan.report.comparison import table as table_of


@pytest.fixture
def split(table):
    """60 normal rows to train on; 20 others and 10 anomalous ones to test."""
    test = np.concatenate([table[60:], table[60:70] + 3 * table.std(0)])
    return Split(name="rows", train=table[:60], test=test, labels=np.arange(30) >= 20, note="a note")


def small(**changes):
    return testing.small(GANomaly, calibrate_fraction=0.2, **changes)


def compare(split, detectors, **how):
    """With two seeds by default; the comparison and its messages."""
    messages = []
    return oddgan.compare(split, detectors, **{"seeds": (0, 1), "report": messages.append} | how), messages


def without_times(cells):
    return [{name: value for name, value in cell.figures.items() if not name.startswith("seconds")} for cell in cells]


class Untrainable(KNN):
    """Does not take tables."""

    def build(self, shape):
        raise ParameterError("Untrainable takes pictures only")


def test_figures_are_those_of_evaluate_over_seeds(split):
    found, _ = compare(split, {"near": KNN(k=3), "gan": small()})
    assert [one.name for one in found.contenders] == ["near", "gan"]
    areas = []
    for seed in (0, 1):
        e = evaluate(small(random_state=seed).fit(split.train), split)
        areas.append(e.estimates["auroc"].value)
        cell = next(cell for cell in found.cells if (cell.detector, cell.seed) == ("GANomaly", seed))
        assert cell.figures["auroc"] == e.estimates["auroc"].value
        assert cell.figures["auprc"] == e.estimates["average_precision"].value
        assert cell.figures["detected"] == e.is_anomaly[e.labels].mean()
        assert cell.figures["false_alarms"] == e.is_anomaly[~e.labels].mean()
        assert cell.figures["asked"] == e.false_alarm_rate
        assert cell.figures["seconds_to_train"] > cell.figures["seconds_to_score"] / 1000 > 0
        assert cell.figures["pixel_auroc"] is None
    spread = found.contenders[1].figures["auroc"]
    assert spread.values == tuple(areas)
    assert spread.mean == pytest.approx(np.mean(areas))
    assert spread.deviation == pytest.approx(np.std(areas, ddof=1))
    assert (found.data, found.note, found.n_test, found.chance) == ("rows", "a note", 30, pytest.approx(1 / 3))
    assert found.contenders[0].parameters["k"] == 3
    assert "random_state" not in found.contenders[0].parameters


def test_names_take_the_defaults(split):
    found, _ = compare(split, ["KNN", "pca"], seeds=(5,))
    assert [(one.name, one.detector) for one in found.contenders] == [("knn", "KNN"), ("pca", "PCA")]
    assert found.contenders[0].parameters["k"] == KNN().k
    assert found.contenders[0].figures["auroc"].deviation is None


def test_finished_runs_are_not_repeated(split, tmp_path, monkeypatch):
    path = tmp_path / "made" / "runs.jsonl"
    first, _ = compare(split, {"gan": small()}, results=path)
    before = path.read_bytes()
    assert before.count(b"\n") == 2
    fit = GANomaly.fit
    monkeypatch.setattr(GANomaly, "fit", None)  # would fail
    again, messages = compare(split, {"by another name": small()}, results=path)
    assert again.cells == first.cells
    assert path.read_bytes() == before
    assert all("done before" in line for line in messages)

    fits = []
    monkeypatch.setattr(GANomaly, "fit", lambda self, *a, **k: fits.append(self.random_state) or fit(self, *a, **k))
    more, _ = compare(split, {"gan": small(), "near": KNN()}, seeds=(0, 1, 2), results=path)
    assert fits == [2]
    assert more.cells[:2] == first.cells
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().count(b"\n") == 6


def test_a_run_is_identified_by_everything_that_its_figures_depend_on(split, tmp_path, monkeypatch):
    path = tmp_path / "runs.jsonl"

    def lines_after(changed=split, **parameters):
        compare(changed, {"near": KNN(**parameters)}, seeds=(0,), results=path)
        return path.read_bytes().count(b"\n")

    assert [lines_after(), lines_after(), lines_after(k=5)] == [1, 1, 1]
    assert lines_after(k=4) == 2
    for number, part in enumerate(("train", "test"), 3):
        other = getattr(split, part).copy()
        other[7, 2] += 1e-3
        assert lines_after(dataclasses.replace(split, **{part: other})) == number
    assert lines_after(dataclasses.replace(split, labels=~split.labels)) == 5
    assert lines_after(dataclasses.replace(split, calibrate=split.train[:20])) == 6
    assert lines_after(dataclasses.replace(split, tune=split.train[:20])) == 7
    monkeypatch.setattr(oddgan, "__version__", "99")
    assert lines_after() == 8


def test_a_torn_line_is_run_again_and_replaced(split, tmp_path):
    path = tmp_path / "runs.jsonl"
    whole, _ = compare(split, {"near": KNN()}, results=path)
    content = path.read_bytes()
    first, second = content.splitlines(keepends=True)
    for torn in (second[: len(second) // 2], second[:3], second[:-1]):
        path.write_bytes(first + torn)
        found, messages = compare(split, {"near": KNN()}, results=path)
        assert ["done before" in line for line in messages] == [True, False, False]
        assert without_times(found.cells) == without_times(whole.cells)
        assert path.read_bytes().startswith(first + CELLS.head)
        assert [json.loads(line)["seed"] for line in path.read_text().splitlines()] == [0, 1]


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "{}\n", '{"cell": 1, "key": 3}\n', "half a line", "[1]"])
def test_another_file_is_refused_and_left_alone(split, tmp_path, content):
    path = tmp_path / "runs.jsonl"
    path.write_text(content)
    with pytest.raises(
        DataError,
        match=r"runs.jsonl: line 1 is no cell of a comparison, or was written by another release; give another",
    ):
        compare(split, {"near": KNN()}, results=path)
    assert path.read_text() == content
    path.write_text('{"cell": 2, "key": ""}\n')
    with pytest.raises(DataError, match="line 1"):
        compare(split, {"near": KNN()}, results=path)


def test_results_that_cannot_be_written_are_named_before_training(split, tmp_path, monkeypatch):
    monkeypatch.setattr(KNN, "fit", None)  # would fail
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        compare(split, {"near": KNN()}, results=tmp_path / "file" / "runs.jsonl")


def test_a_detector_that_cannot_be_trained_is_noted_and_the_comparison_continues(split, tmp_path):
    path = tmp_path / "runs.jsonl"
    for _ in range(2):
        found, messages = compare(split, {"not this": Untrainable(), "near": KNN()}, results=path)
        failed, near = found.contenders
        assert failed.errors == {0: "Untrainable takes pictures only", 1: "Untrainable takes pictures only"}
        assert failed.figures == near.errors == {}
        assert near.figures["auroc"].deviation is not None
        assert "| not this | – | – |" in to_markdown(found)
        assert to_markdown(found).count("not this failed with seeds 0 and 1: Untrainable takes pictures only") == 1
    assert any("Untrainable takes pictures only (done before)" in line for line in messages)


class Interrupts(Hook):
    def on_update(self, moment):
        if moment.update == 7:
            raise KeyboardInterrupt


def test_an_interrupted_run_continues_from_its_checkpoint(split, tmp_path, monkeypatch):
    whole, _ = compare(split, {"gan": small()}, results=tmp_path / "whole.jsonl")
    path = tmp_path / "runs.jsonl"
    with pytest.raises(KeyboardInterrupt):
        compare(split, {"gan": small()}, results=path, checkpoint_seconds=0, hooks=[Interrupts()])
    assert path.read_bytes() == b""
    assert len(list(tmp_path.glob("runs.jsonl.*.ckpt"))) == 1
    updates = []

    class Counts(Hook):
        def on_update(self, moment):
            updates.append(moment.update)

    found, _ = compare(split, {"gan": small()}, results=path, hooks=[Counts()])
    assert updates == [*range(7, 21), *range(1, 21)]  # the seventh was not yet in the checkpoint
    assert without_times(found.cells) == without_times(whole.cells)
    assert [cell.figures["seconds_to_train"] is None for cell in found.cells] == [True, False]
    assert [cell.facts["resumed"] for cell in found.cells] == [True, False]
    assert list(tmp_path.glob("*.ckpt")) == []


def test_markdown_and_json(split):
    split = dataclasses.replace(split, name="toy")
    found, _ = compare(split, {"near|er": KNN(), "gan": small()})
    lines = to_markdown(found).splitlines()
    assert lines[0] == "# Detectors on toy"
    head, rule, near, gan = [line for line in lines if line.startswith("|")][:4]
    assert head.startswith("| detector | AUROC | AUPRC | detected | false alarms | requested | seconds to train |")
    assert rule.count("---:") == 7
    auroc = found.contenders[0].figures["auroc"]
    assert near.startswith(f"| near\\|er | {auroc.mean:.3f} ± {auroc.deviation:.3f} |")
    assert len(gan.split("|")) == len(head.split("|"))
    assert "over seeds 0, 1; 30 test rows" in to_markdown(found)
    assert "AUPRC of 0.333" in to_markdown(found)
    document = json.loads(to_json(found))
    assert (document["schema"], document["schema_version"]) == ("oddgan.comparison", 1)
    assert document["detectors"][0]["figures"]["auroc"]["values"] == list(auroc.values)
    assert [cell["seed"] for cell in document["cells"]] == [0, 1, 0, 1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.data = ""


def test_pictures_with_masks_have_pixel_figures(pictures):
    test = pictures[40:].copy()
    test[12:, 2:5, 2:6] = 255
    masks = np.zeros(test.shape, bool)
    masks[12:, 2:5, 2:6] = True
    split = Split(name="p", train=pictures[:40], test=test, labels=np.arange(24) >= 12, masks=list(masks))
    found, _ = compare(split, ["knn", "lof"], seeds=(0,))
    knn, lof = found.contenders
    e = evaluate(KNN(random_state=0).fit(split.train), split)
    assert knn.figures["pixel_auroc"].mean == e.pixel["pixel_auroc"]
    assert knn.figures["aupro"].mean == e.pixel["aupro_0.3"]
    assert "aupro" not in lof.figures
    head, (_, line) = table_of(found)
    assert line[head.index("pixel AUROC")] == "–"


@pytest.mark.parametrize(
    ("detectors", "how", "error", "message"),
    [
        ([], {}, ParameterError, "at least one detector"),
        ("knn", {}, ParameterError, "must be a list of names"),
        (["knn", "KNN"], {}, ParameterError, "knn is given twice"),
        (["nogan"], {}, ParameterError, "detector 'nogan' is unknown"),
        ({"a": KNN(k=0)}, {}, ParameterError, "k=0: must be at least 1"),
        (["knn"], {"seeds": ()}, ParameterError, "at least one"),
        (["knn"], {"seeds": (1, 1)}, ParameterError, "distinct"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_read(detectors, how, error, message):
    with pytest.raises(error, match=message):
        compare(None, detectors, **how)


def test_data_without_both_classes_is_refused(split):
    none = {"test": None, "labels": None}
    for changes, how in (
        ({"train": None}, {}),
        ({"labels": None}, {"labels": True}),
        (none, {"labels": True}),
        ({"labels": np.ones(30, bool)}, {}),
    ):
        with pytest.raises(DataError, match=r"rows: (no normal rows|has no test rows labelled normal and anomalous)"):
            compare(dataclasses.replace(split, **changes), ["knn"], **how)


def test_a_fingerprint_is_of_the_content(tmp_path):
    array = np.arange(24.0).reshape(6, 4)
    same = array.copy()
    assert fingerprint(array, None) == fingerprint(np.asfortranarray(same), None)
    named = pd.DataFrame(array, columns=list("abcd"))
    texts = named.assign(d=list("uvwxyz"))
    others = [
        fingerprint(None, array),
        fingerprint(array.reshape(4, 6), None),
        fingerprint(array.astype(np.float32), None),
        fingerprint(array + 1e-12, None),
        fingerprint(named, None),
        fingerprint(named.rename(columns={"a": "e"}), None),
        fingerprint(texts, None),
        fingerprint(texts.assign(d=list("uvwxyy")), None),
        fingerprint([*array[:5], None], None),
    ]
    assert len({fingerprint(array, None), *others}) == 10
    assert fingerprint(list(array), None) == fingerprint(array, None)  # the same rows
    for number in range(3):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"{number}.png")
    paths = sorted(tmp_path.iterdir())
    files = fingerprint(Pictures(paths))
    assert fingerprint(Pictures(paths, root=tmp_path)) == files
    assert fingerprint(Pictures(paths[::-1])) != files
    masks = Masks(Pictures(paths), [None, str(paths[1]), str(paths[2])], np.array([False, True, True]))
    before = fingerprint(masks)
    Path(paths[2]).write_bytes(paths[1].read_bytes())
    assert fingerprint(Pictures(paths)) != files
    assert fingerprint(masks) != before
