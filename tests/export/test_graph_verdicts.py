"""The verdict inside a graph: its nodes compute what `oddgan.verdict` does, and a Scorer does without them."""

import json

import numpy as np
import pytest

import oddgan
from oddgan import testing
from oddgan.export import judging, metadata, neighbouring
from oddgan.export.nodes import Nodes
from oddgan.preprocessing import TablePreprocessor
from oddgan.rows import open_rows
from oddgan.runtime import Scorer
from oddgan.runtime.engines import OnnxEngine
from oddgan.runtime.pruning import VERDICT, without_verdict
from oddgan.verdict import Calibration, Combination, Reference, Views
from oddgan.verdict.maps import smoothed
from oddgan.verdict.patches import PatchMemory, patch_vectors

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def computed(given, write):
    """What nodes make of arrays by name: `write(nodes)` appends them and returns outputs by name."""
    helper, dtype = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype
    inputs = [helper.make_tensor_value_info(k, dtype(v.dtype), ["rows", *v.shape[1:]]) for k, v in given.items()]
    graph = helper.make_graph([], "graph", inputs, [])
    found = write(Nodes(graph))
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in found.values())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return dict(zip(found, session.run(list(found.values()), given), strict=True))


def rows_of(n, seed):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, 5)).astype(np.float32)
    return [rows, (rows @ np.random.default_rng(9).normal(size=(5, 3))).astype(np.float32)]


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("local", ["distance", "density", "ratio", "views"])
def test_neighbours(local, copies):
    known, new, random = rows_of(60, 0), rows_of(9, 1), np.random.default_rng(2)
    known[0][:, 4] = known[0][:, 4].round()  # a column with equal values
    new[0][0], new[1][0] = known[0][3], known[1][3]
    counts = random.integers(1, 4, 60).astype(float) if copies else None
    terms = {"positive": random.random(60), "any": random.normal(size=60)}
    if local == "views":
        reference = Views.of(known, 7, copies=counts)
    else:
        reference = Reference.of(known, terms if local == "ratio" else {}, 7, copies=counts)
    given = {name: random.random(9) for name in terms} if local == "ratio" else {}
    theirs = Combination(local, tuple(terms), reference).terms(given, new)
    arrays = {"e0": new[0], "e1": new[1], **given}
    ours = computed(
        arrays, lambda n: neighbouring.compared(n, reference, local, {name: name for name in given}, ["e0", "e1"])
    )
    assert set(ours) | set(given) == set(theirs)
    for name, value in ours.items():
        assert np.allclose(value, theirs[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("local", ["distance", "density"])
def test_as_many_neighbours_as_reference_rows(local):
    known, new = rows_of(3, 0), rows_of(9, 1)
    reference = Reference.of(known, {}, 5, copies=np.array([2.0, 1.0, 3.0]))
    theirs = Combination(local, (), reference).terms({}, new)
    arrays = {"e0": new[0], "e1": new[1]}
    ours = computed(arrays, lambda n: neighbouring.compared(n, reference, local, {}, ["e0", "e1"]))
    assert np.allclose(ours[local], theirs[local], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [False, True])
def test_patches(scale):
    random = np.random.default_rng(0)
    maps = [random.normal(size=(3, 4, 6, 5)).astype(np.float32), random.normal(size=(3, 2, 3, 3)).astype(np.float32)]
    divisor = random.uniform(0.5, 2, 6).astype(np.float32) if scale else None
    memory = PatchMemory(random.normal(size=(40, 6)).astype(np.float32), divisor)
    theirs = np.stack([memory.distances(one) for one in patch_vectors(maps)])
    ours = computed(
        dict(zip("ab", maps, strict=True)),
        lambda n: {"near": neighbouring.patch_distances(n, memory, ["a", "b"], [(6, 5), (3, 3)])},
    )
    assert np.allclose(ours["near"], theirs, rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
def test_blurs(sigma):
    maps = np.random.default_rng(0).normal(size=(2, 1, 9, 4)).astype(np.float32)
    down, across = (judging.blurring(side, sigma) for side in (9, 4))
    assert np.allclose(down @ maps @ across.T, smoothed(maps, sigma), atol=1e-6)


@pytest.mark.parametrize("groups", [None, np.arange(40) // 4])
def test_p_values_and_verdicts(groups):
    random = np.random.default_rng(0)
    calibration = Calibration.of(random.normal(size=40).round(1), 0.2, groups=groups)
    scores = np.concatenate([calibration.scores, random.normal(size=20), [-np.inf, np.inf]])

    def write(n):
        judging._verdict(n, "score", calibration)
        return {"p": "p_value", "flagged": "is_anomaly"}

    ours = computed({"score": scores}, write)
    assert np.array_equal(ours["p"], calibration.p_value(scores))
    assert np.array_equal(ours["flagged"], scores > calibration.threshold)
    assert np.array_equal(ours["flagged"], ours["p"] <= 0.2 + 1e-12)


def test_a_scorer_leaves_the_verdict_out(judged):
    _, frame, *_, folder = judged
    data = (folder / "model.onnx").read_bytes()
    pruned = without_verdict(data)
    onnx.checker.check_model(onnx.load_from_string(pruned))
    assert b"verdict/" not in pruned
    assert without_verdict(pruned) == pruned
    whole, engine = OnnxEngine(data, whole=True), Scorer(folder).pipeline.engine
    assert set(whole.outputs) - set(engine.outputs) == set(VERDICT[:3])
    x = TablePreprocessor.fit(open_rows(frame)).matched(open_rows(frame)).values
    names = list(engine.outputs)
    found = whole.run(x, names)
    assert all(np.array_equal(found[name], value) for name, value in engine.run(x, names).items())


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_what_is_no_model_is_not_pruned(judged, cut):
    data = (judged[-1] / "model.onnx").read_bytes()
    with pytest.raises(ValueError, match="protocol buffer"):
        without_verdict(data[:-cut])


def test_the_file_says_what_it_is(judged):
    folder = judged[-1]
    scorer = Scorer(folder)  # a column is called as what external weights would be
    entries = onnxruntime.InferenceSession(folder / "model.onnx").get_modelmeta().custom_metadata_map
    assert float(entries["threshold"]) == pytest.approx(scorer.threshold_, rel=1e-6)
    assert float(entries["false_alarm_rate"]) == scorer.false_alarm_rate_
    assert entries["detector"] == "PCA"
    columns = json.loads(entries["columns"])
    assert columns == scorer.info()["columns"]
    assert columns[0] == {"name": "location", "kind": "number"}
    assert columns[1]["codes"] == {"location": 0, "x": 1}
    assert json.loads(entries["left_to_callers"])[0].startswith("p-values and verdicts are by all calibration rows")


def test_codes_are_those_of_the_library(judged):
    frame = judged[1]
    pre = TablePreprocessor.fit(open_rows(frame))
    column = metadata.columns_of(pre)[1]
    new = frame[:3].assign(kind=["x", None, "unheard of"])
    assert pre.matched(open_rows(new)).values[:, 1].tolist() == [
        column["codes"]["x"],
        column["missing"],
        column["other"],
    ]


def test_tiles_say_why_there_is_no_verdict():
    random = np.random.default_rng(0)
    detector = testing.small(oddgan.PCA, tile=16, size=8).fit(random.integers(0, 255, (12, 24, 20), np.uint8))
    assert "tiles" in judging.why_no_verdict(detector.model_)
    assert not judging.why_no_verdict(testing.small(oddgan.PCA).fit(random.normal(size=(40, 3))).model_)
