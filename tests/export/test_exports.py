"""Exports answer as the detectors that they were made of."""

import dataclasses
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

import oddgan
from oddgan import detectors, files, testing
from oddgan.cautions import CalibrationWarning
from oddgan.errors import DataError, OutputError, ParameterError
from oddgan.export import calibrating, export, exporting
from oddgan.rows import open_rows
from oddgan.runtime import Scorer, bundle
from oddgan.verdict import Calibration

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def plain():
    """A detector that is exported quickly, and its rows."""
    rows = np.random.default_rng(0).normal(size=(80, 4)) @ np.random.default_rng(1).normal(size=(4, 5))
    return testing.small(oddgan.PCA, score_by="residual").fit(rows), rows


@pytest.mark.parametrize("name", ["map", "tiles", "region of colours, converted", "patches", "mixed"])
def test_the_same_scores_verdicts_and_maps(name, made):
    detector, rows, folder, facts = made(name)
    scorer = Scorer(folder, threads=1)
    theirs, ours = detector.anomaly_score(rows), scorer.score(rows)
    scale = np.abs(theirs).max()
    assert np.abs(theirs - ours).max() <= 1e-5 * scale
    assert facts["score"]["relative"] <= 1e-5
    assert facts["verdicts"]["differ"] == facts["verdicts"]["differ_beyond_tolerance"] == 0
    if name == "tiles":
        assert "tiles" in scorer.info()["verdict"]["why_not"]
    else:
        graph = facts["graph"]
        assert max(graph["scorer"]["score"], graph["model"]["score"]) <= 1e-5
        assert graph["scorer"]["verdicts_differ"] == graph["model"]["verdicts_differ"] == 0
        assert graph["scorer"]["p_value"] == 0
        assert graph["map"] is None or graph["map"] <= 1e-5
    assert scorer.threshold_ == pytest.approx(detector.threshold_, rel=1e-5)
    assert scorer.false_alarm_rate_ == detector.false_alarm_rate_
    assert str(scorer.guarantee_) == str(detector.guarantee_)
    sure = np.abs(theirs - detector.threshold_) > 1e-5 * scale
    assert np.array_equal(scorer.predict(rows)[sure], detector.predict(rows)[sure])
    new = rows[:7] if not hasattr(rows, "iloc") else rows.iloc[:7]
    one, other = scorer.explain(new), detector.explain(new)
    assert np.array_equal(one.score, scorer.score(new))
    assert one.columns == other.columns
    if scorer.map_scale is not None:
        assert one.map_threshold == pytest.approx(other.map_threshold, rel=1e-4)
    for i in range(7):
        assert np.allclose(one.anomaly_map[i], other.anomaly_map[i], atol=2e-4)
        if scorer.map_scale is not None:
            assert [region.box for region in one.regions(i)] == [region.box for region in other.regions(i)]
    assert one.trained_on is None
    assert "trained_on" not in one.to_frame()
    if name == "mixed":
        assert one.reconstruction.shape == other.reconstruction.shape
        assert (one.reconstruction[:, 3:] == other.reconstruction[:, 3:]).all()
    if other.reconstruction is not None and scorer.map_scale is not None:
        assert all(np.allclose(a, b, atol=1e-2) for a, b in zip(one.reconstruction, other.reconstruction, strict=True))


@pytest.mark.parametrize("name", ["map", "mixed"])
def test_a_row_scores_the_same_alone_and_in_any_order(name, made):
    _, rows, folder, _ = made(name)
    scorer = Scorer(folder, threads=1)
    order = np.random.default_rng(0).permutation(len(rows))
    taken = rows.iloc[order] if hasattr(rows, "iloc") else rows[order]
    whole = scorer.score(rows)
    assert np.array_equal(scorer.score(taken), whole[order])
    assert np.array_equal(scorer.with_block_size(1).score(rows), whole)


def test_the_threshold_is_the_runtimes_own(made):
    detector, rows, folder, facts = made("mixed")
    scorer = Scorer(folder, threads=1)
    assert facts["rescored"]
    assert set(scorer.calibration.scores) <= set(scorer.score(rows))  # to the last bit
    assert len(scorer.calibration.scores) == len(detector.model_.calibration.scores)


def test_another_rate_needs_no_other_export(made):
    detector, rows, folder, _ = made("mixed")
    scorer, other = Scorer(folder).with_false_alarm_rate(0.5), detector.with_false_alarm_rate(0.5)
    assert scorer.false_alarm_rate_ == 0.5
    assert np.array_equal(scorer.predict(rows), other.predict(rows))
    with pytest.raises(ParameterError, match="needs at least 999"):
        scorer.with_false_alarm_rate(0.001)


def test_groups_and_strata_stay_with_their_rows(judged):
    detector, rows, _, strata, folder = judged
    scorer, theirs = Scorer(folder), detector.model_.calibration
    assert np.array_equal(scorer.calibration.groups, theirs.groups)
    assert scorer.calibration.strata == theirs.strata
    assert np.array_equal(scorer.p_value(rows, strata=strata), detector.p_value(rows, strata=strata))


def test_rows_whose_scores_nearly_tie_keep_their_groups(judged, monkeypatch):
    """Scores that another machine computed come in another order."""
    detector, rows, groups, strata, _ = judged
    model = detector.model_
    held = calibrating.found_again(model, open_rows(rows, like=model.preprocessor), groups)
    assert np.array_equal(held.strata, strata[held.calibrate])
    exact = model.score(held.rows.some(held.calibrate))
    i, j = next(
        pair
        for pair in itertools.pairwise(np.argsort(exact))
        if len({*held.strata[[*pair]]} | {*held.groups[[*pair]]}) == 4
    )
    swapped = exact.copy()
    swapped[i] += 1.5 * (exact[j] - exact[i])
    monkeypatch.setattr(calibrating, "SAME", 1.0)
    monkeypatch.setattr(type(model), "score", lambda *_: swapped)
    with pytest.warns(CalibrationWarning, match="pairs of calibration rows of different strata"):
        again = calibrating.found_again(model, held.rows, groups)
    assert np.array_equal(again.groups, held.groups)
    assert not np.array_equal(again.strata, held.strata)


def test_one_huge_score_proves_nothing(plain, monkeypatch):
    detector, table = plain
    model = detector.model_
    scores = model.calibration.scores.copy()
    scores[-1] = 1e9
    huge = dataclasses.replace(model, calibration=Calibration.of(scores, 0.2))
    found = iter([np.append(np.zeros(len(scores) - 1), 1e9)] * 9)
    monkeypatch.setattr(type(model), "score", lambda *_: next(found))
    with pytest.raises(ParameterError, match="none of these 80 rows have the scores"):
        calibrating.found_again(huge, open_rows(table, like=model.preprocessor))


def test_strata_are_checked_as_a_detector_checks_them(judged):
    detector, rows, _, strata, folder = judged
    scorer = Scorer(folder)
    for one in (detector, scorer):
        for wrong in (strata[:-1], "a"):
            with pytest.raises(DataError, match="give one for each row"):
                one.p_value(rows, strata=wrong)
        for ask in (one.p_value, one.predict, one.explain):
            with pytest.warns(CalibrationWarning, match="the first is 'A'"):
                ask(rows, strata=np.where(strata == "a", "A", strata))


def test_rows_that_set_no_threshold_are_refused(tmp_path, plain):
    detector, table = plain
    with pytest.raises(ParameterError, match="none of these 80 rows have the scores of the 4 rows"):
        export(detector, tmp_path / "out", table[::-1])
    assert not (tmp_path / "out").exists()
    again = detector.recalibrate(table[:30])
    export(again, tmp_path / "out", table[:30])
    assert len(Scorer(tmp_path / "out").calibration.scores) == 30


def test_without_data_the_thresholds_are_kept(tmp_path, plain):
    detector, table = plain
    with pytest.raises(ParameterError, match="--keep-thresholds"):
        export(detector, tmp_path / "out")
    facts = export(detector, tmp_path / "out", keep_thresholds=True)
    assert facts["rows"] == {"made_up": 64}
    assert Scorer(tmp_path / "out").threshold_ == detector.threshold_
    with pytest.raises(ParameterError, match="leave one of them out"):
        export(detector, tmp_path / "out", table, keep_thresholds=True)


def test_smaller_numbers_have_thresholds_of_their_own(tmp_path, made):
    detector, rows, plain, _ = made("map")
    labels = np.arange(60) >= 50
    for precision, furthest in (("float16", 1e-2), ("int8", 0.2)):
        folder = tmp_path / precision
        facts = export(detector, folder, rows, precision=precision, check=(rows, labels))
        scorer = Scorer(folder)
        assert 0 < facts["score"]["relative"] < furthest
        assert scorer.threshold_ != detector.threshold_
        assert set(scorer.calibration.scores) <= set(scorer.score(rows))
        assert facts["labelled"]["anomalies"] == 10
        assert facts["labelled"]["export"]["auroc"] == pytest.approx(facts["labelled"]["model"]["auroc"], abs=0.1)
        assert (folder / "model.onnx").stat().st_size < (plain / "model.onnx").stat().st_size
    with pytest.raises(ParameterError, match="its threshold must be set anew"):
        export(detector, tmp_path / "out", precision="int8", keep_thresholds=True)


def test_weights_that_two_products_share_stay_as_they_are_in_eight_bits(tmp_path, pictures):
    """The quantiser has one scale for each of a weight's rows, and DSEBM uses the weight and its transpose."""
    detector = testing.small(oddgan.DSEBM, updates=2).fit(pictures)
    facts = export(detector, tmp_path / "int8", pictures, precision="int8")
    assert 0 < facts["score"]["relative"] < 0.1


def test_openvino_answers_as_well(tmp_path, made, plain):
    pytest.importorskip("openvino")
    for name in ("map", "mixed"):
        detector, rows, _, _ = made(name)
        facts = export(detector, tmp_path / name, rows, to="openvino")
        assert facts["score"]["relative"] <= 1e-4
        assert facts["verdicts"]["differ"] == 0
        scorer = Scorer(tmp_path / name, threads=1)
        theirs = detector.anomaly_score(rows)
        assert np.abs(scorer.score(rows) - theirs).max() <= 1e-4 * np.abs(theirs).max()
    with pytest.raises(ParameterError, match=r"nothing was written, as OpenVINO cannot compute .* take --to onnx"):
        export(plain[0], tmp_path / "out", plain[1], to="openvino", precision="int8")
    assert not (tmp_path / "out").exists()


def test_a_graph_that_the_runtime_does_not_load_is_not_written(tmp_path, plain, monkeypatch):
    detector, table = plain
    for to in ("onnx", "openvino"):
        with monkeypatch.context() as patched:
            if to == "onnx":
                patched.setattr(exporting, "aligned", lambda graph: (graph.graph.node.pop(), graph)[1])
            else:
                pytest.importorskip("openvino")
                patched.setattr(exporting, "openvino_core", lambda: None)
            with pytest.raises(
                ParameterError, match=r"out: nothing was written, as \w+ cannot load the graph"
            ) as caught:
                export(detector, tmp_path / "out", table, to=to)
        assert ".part" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_eight_bits_need_training_rows(tmp_path, plain):
    detector, table = plain
    again = detector.recalibrate(table[:30])
    with pytest.raises(ParameterError, match="calibration rows alone, which were given apart"):
        export(again, tmp_path / "out", table[:30], precision="int8")


def test_what_does_not_answer_alike_is_not_written(tmp_path, plain, monkeypatch):
    detector, table = plain
    (tmp_path / "out").mkdir()
    score = Scorer.score
    monkeypatch.setattr(Scorer, "score", lambda self, X: score(self, X) * 1.001)
    with pytest.raises(ParameterError, match="nothing was written, as scores differ by up to"):
        export(detector, tmp_path / "out", table)
    assert not list((tmp_path / "out").iterdir())


def test_an_export_is_replaced_as_a_whole(tmp_path, plain, monkeypatch):
    pytest.importorskip("openvino")
    detector, table = plain
    folder, rename = tmp_path / "out", files.os.rename
    export(detector, folder, table)
    scores = Scorer(folder).score(table)
    (folder / "LICENSE").write_text("mine")

    def full(source, target):
        if str(source).endswith(".part"):
            raise OSError("no space")
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", full)
    with pytest.raises(OutputError, match="no space"):
        export(detector, folder, table, to="openvino")
    monkeypatch.setattr(files.os, "rename", rename)
    assert np.array_equal(Scorer(folder).score(table), scores)
    export(detector, folder, table, to="openvino")
    assert Scorer(folder).info()["runtime"] == "openvino"
    names = {"model.xml", "model.bin", "verdict.safetensors", "parity.json", "README.md", "oddgan.json", "LICENSE"}
    assert {path.name for path in folder.iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_other_things_is_left_alone(tmp_path, plain):
    detector, table = plain
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        export(detector, tmp_path, table)
    with pytest.raises(OutputError, match="is a file"):
        export(detector, tmp_path / "notes.txt", table)


def test_several_detectors_are_exported_one_by_one(tmp_path, table):
    both = oddgan.Ensemble([testing.small(oddgan.PCA), testing.small(oddgan.GANomaly)], random_state=0).fit(table)
    with pytest.raises(ParameterError, match="one by one"):
        export(both, tmp_path / "out", table)


def test_the_card_says_how_it_was_compared(made):
    _, _, folder, facts = made("map")
    card = (folder / bundle.CARD).read_text("utf-8")
    head, _, rest = card.removeprefix("---\n").partition("---\n")
    assert head == "library_name: oddgan\ntags:\n- anomaly-detection\n- ganomaly\n- onnx\n"
    assert rest.startswith("\n# GANomaly, exported to onnx (float32)\n")
    assert "| verdicts that differ | 0 |" in card
    assert "`x: uint8 [rows, 24, 20, 1]`" in card
    assert json.loads((folder / bundle.PARITY).read_text("utf-8")) == json.loads(json.dumps(facts))
    assert "Traceback" not in card


def test_a_graph_tells_nothing_of_where_it_was_made(made):
    _, _, folder, _ = made("map")
    graph = (folder / "model.onnx").read_bytes()
    assert b".py" not in graph
    assert b"torch" not in graph


def test_scoring_takes_neither_torch_nor_scikit_learn(made, tmp_path):
    code = "import sys\nfrom oddgan.cli import main\nfrom oddgan.runtime import Scorer\n"
    for name in ("map", "tiles", "mixed"):
        _, rows, folder, _ = made(name)
        frame = hasattr(rows, "to_csv")
        place = tmp_path / ("rows.csv" if frame else "rows.npy")
        rows.to_csv(place, index=False) if frame else np.save(place, rows)
        code += (
            f"scorer = Scorer({str(folder)!r}); found = scorer.explain({str(place)!r}); str(scorer.guarantee_)\n"
            f"assert main(['score', {str(folder)!r}, {str(place)!r}, '-o', {str(tmp_path / 'out.csv')!r}]) == 0\n"
            f"found = sorted({{'torch', 'sklearn', 'scipy', 'matplotlib', 'pandas', 'onnx'}} & set(sys.modules))\n"
            f"assert not found, ({name!r}, found)\n"
        )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize("kind", ["table", "pictures"])
@pytest.mark.parametrize("name", detectors.names())
def test_every_detector(name, kind, to, table, pictures, tmp_path):
    cls = detectors.get(name)
    if kind not in cls.kinds:
        pytest.skip(f"not for a {kind}")
    if to == "openvino":
        pytest.importorskip("openvino")
    how = {"start": "encoder", "steps": 0, "starts": 1} if name == "anogan" else {}
    X = table if kind == "table" else pictures
    detector = testing.small(cls, **how).fit(X)
    if detector.why_not_exported():
        pytest.skip("is not exported")
    if (name, to) == ("dagmm", "openvino"):  # its energy needs float64, which OpenVINO does not have
        with pytest.raises(ParameterError, match="scores differ"):
            export(detector, tmp_path / "out", X, to=to)
        return
    facts = export(detector, tmp_path / "out", X, to=to)
    assert facts["score"]["relative"] <= 10 * detector.tolerance
    assert facts["verdicts"]["differ_beyond_tolerance"] == 0
