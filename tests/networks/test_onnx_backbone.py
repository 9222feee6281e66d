"""Backbones in ONNX files: the features of the same network in torch, what is refused, and models that need no file."""

import builtins
import copy
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

import oddgan
from oddgan import testing
from oddgan.detectors.patchcore import PatchCore
from oddgan.errors import ArtifactError, DataError, MissingExtra, OddganError, ParameterError
from oddgan.model import archive
from oddgan.networks.backbones import ResNet
from oddgan.networks.onnx_backbone import OnnxFeatures

onnx = pytest.importorskip("onnx", reason='needs pip install "oddgan[onnx]"')
pytest.importorskip("onnxruntime", reason='needs pip install "oddgan[onnx]"')

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

LAYERS = "/layer2/Relu_output_0,/layer3/Relu_output_0"


def network(nodes, weights, picture=(1, 3, "height", "width"), output="/layer3/Relu_output_0", kind=TensorProto.FLOAT):
    """A network of these nodes, (operator, inputs, output, attributes), whose input is `x`."""
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [made], name=made, **how) for kind, inputs, made, how in nodes],
        "network",
        [helper.make_tensor_value_info("x", kind, picture)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test")


def small_weights():
    """Weights of three convolutions, 3 -> 4 -> 6 -> 8 channels."""
    random = np.random.default_rng(0)
    sizes = {"1": (4, 3), "2": (6, 4), "3": (8, 6)}
    weights = {f"w{i}": random.normal(size=(*size, 3, 3), scale=0.3) for i, size in sizes.items()}
    return {name: value.astype(np.float32) for name, value in weights.items()}


def small(**changes):
    """Three convolutions, each of which halves the picture, and a head that no layer needs."""
    how = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes, last = [], "x"
    for i in "123":
        nodes += [
            ("Conv", [last, f"w{i}"], f"/layer{i}/Conv_output_0", how),
            ("Relu", [f"/layer{i}/Conv_output_0"], f"/layer{i}/Relu_output_0", {}),
        ]
        last = f"/layer{i}/Relu_output_0"
    nodes += [("GlobalAveragePool", [last], "pooled", {}), ("Flatten", ["pooled"], "logits", {})]
    return network(nodes, small_weights(), **{"output": "logits", **changes})


def small_features(x):
    """What the small network's layers 2 and 3 are, with torch."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    h = torch.cat([x] * (3 // x.shape[1]), 1) / 2 + 0.5
    h = (h - mean[:, None, None]) / deviation[:, None, None]
    found = []
    for weight in small_weights().values():
        h = F.conv2d(h, torch.from_numpy(weight), None, 2, 1).relu()
        found.append(h)
    return found[1:]


def resnet18(weights):
    """A ResNet-18 up to layer 3 with these weights, as ONNX."""
    nodes, kept = [], {}

    def add(kind, inputs, made, **how):
        nodes.append((kind, inputs, made, how))
        return made

    def convolution(h, conv, norm, stride, pad):
        kept[f"{conv}.weight"] = weights[f"{conv}.weight"].numpy()
        h = add("Conv", [h, f"{conv}.weight"], f"/{conv}", strides=[stride] * 2, pads=[pad] * 4)
        names = [f"{norm}.{what}" for what in ("weight", "bias", "running_mean", "running_var")]
        kept.update({name: weights[name].numpy() for name in names})
        return add("BatchNormalization", [h, *names], f"/{norm}", epsilon=1e-5)

    h = add("Relu", [convolution("x", "conv1", "bn1", 2, 3)], "/relu")
    h = add("MaxPool", [h], "/maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for i in (1, 2, 3):
        for j in (0, 1):
            at, stride = f"layer{i}.{j}", 2 if i > 1 and j == 0 else 1
            y = add("Relu", [convolution(h, f"{at}.conv1", f"{at}.bn1", stride, 1)], f"/{at}.relu1")
            y = convolution(y, f"{at}.conv2", f"{at}.bn2", 1, 1)
            h = convolution(h, f"{at}.downsample.0", f"{at}.downsample.1", 2, 0) if stride == 2 else h
            h = add("Relu", [add("Add", [y, h], f"/{at}.add")], f"/{at}.relu2")
    return network(nodes, kept, output=h)


def saved(model, path):
    onnx.save(model, path)
    return str(path)


@pytest.fixture
def file(tmp_path):
    return saved(small(), tmp_path / "small.onnx")


def taken(path, shape=(3, 40, 32), layers=LAYERS):
    features = OnnxFeatures(layers.split(","), shape)
    features.take(path)
    return features


def det(path, **changes):
    return testing.small(PatchCore, backbone=path, **{"layers": LAYERS, **changes})


# --- features ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_the_networks(file, channels):
    x = torch.rand(3, channels, 40, 33, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = taken(file, (channels, 40, 33))
    found, expected = features(x), small_features(x)
    assert features.features == 6 + 8
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    (third, second) = taken(file, (channels, 40, 33), ",".join(reversed(LAYERS.split(","))))(x)
    assert torch.equal(second, found[0])
    assert torch.equal(third, found[1])


def test_scores_are_those_of_the_same_network_in_torch(tmp_path, pictures):
    """The library's ResNet-18 and the same weights in an ONNX file."""
    torch.manual_seed(3)
    weights = ResNet("resnet18", ["layer4"], 3).state_dict()
    weights = {n: 0.1 * torch.randn_like(w) if n.endswith("running_mean") else w for n, w in weights.items()}
    save_file(weights, tmp_path / "resnet18.safetensors")
    path = saved(resnet18(weights), tmp_path / "resnet18.onnx")
    how = {"core": 1.0, "size": 32}  # of nearly equal patches rounding decides which are left out
    first = testing.small(PatchCore, backbone=str(tmp_path / "resnet18.safetensors"), architecture="resnet18", **how)
    second = det(path, layers="/layer2.1.relu2,/layer3.1.relu2", **how)
    scores = first.fit(pictures).anomaly_score(pictures)
    np.testing.assert_allclose(second.fit(pictures).anomaly_score(pictures), scores, rtol=1e-4, atol=1e-5)
    assert second.threshold_ == pytest.approx(first.threshold_, rel=1e-4)


def test_threads_agree_and_repeat(file):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features, before = taken(file, (3, 64, 64)), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 2, 1):
            torch.set_num_threads(threads)
            found.append(features(x)[1])
    finally:
        torch.set_num_threads(before)
    assert len(features.sessions) == 1
    assert torch.equal(copy.deepcopy(features)(x)[1], features(x)[1])
    assert torch.equal(found[0], found[3])
    assert torch.equal(found[1], found[2])
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_only_what_the_layers_need_is_kept(file):
    """No other nodes and weights, and none of the notes in which exporters write paths."""
    model = onnx.load(file)
    for node in model.graph.node:
        node.doc_string = "/home/someone/secret.py"
        node.metadata_props.add(key="trace", value="/home/someone/secret.py")
    model.doc_string = "secret"
    model.graph.initializer[0].doc_string = "secret"
    kept = bytes(taken(saved(model, file), layers=LAYERS.split(",")[0]).graph.tolist())
    assert b"secret" not in kept
    graph = onnx.load_model_from_string(kept).graph
    assert {one.name for one in graph.initializer} == {"w1", "w2"}
    assert len(graph.node) == 4
    assert kept == bytes(taken(file, layers=LAYERS.split(",")[0]).graph.tolist())


# --- models -----------------------------------------------------------------------------------------------------------


def test_laws(file, pictures):
    for law in testing.LAWS:
        law(det(file), pictures)


def test_a_saved_model_needs_no_file(file, pictures, tmp_path):
    fitted = det(file).fit(pictures)
    scores = fitted.anomaly_score(pictures)
    fitted.save(tmp_path / "model.oddgan")
    copied = pickle.loads(pickle.dumps(fitted))
    (tmp_path / "small.onnx").unlink()
    for other in (oddgan.load(tmp_path / "model.oddgan"), copied):
        assert np.array_equal(other.anomaly_score(pictures), scores)
        assert other.features(pictures).shape == (64, 6 + 8)
    with pytest.raises(ParameterError, match=r"small\.onnx: there is no such file"):
        copied.fit(pictures)


def _score(fitted, pictures, results):
    results.put(fitted.anomaly_score(pictures))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # newer Pythons warn of forks where there are threads
def test_a_forked_process_scores_alike(file, pictures):
    """It has none of the threads that the parent's session waits for."""
    fitted, before = det(file), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        scores = fitted.fit(pictures).anomaly_score(pictures)
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        child = context.Process(target=_score, args=(fitted, pictures, results))
        child.start()
        np.testing.assert_allclose(results.get(timeout=60), scores, rtol=1e-5)
        child.join(60)
        assert child.exitcode == 0
    finally:
        torch.set_num_threads(before)


def test_weights_in_a_second_file(pictures, tmp_path):
    """As torch.onnx.export writes them: they are read into the model, and refused if they are missing."""
    onnx.save(small(), tmp_path / "a.onnx", save_as_external_data=True, location="a.onnx.data", size_threshold=0)
    expected = taken(saved(small(), tmp_path / "b.onnx")).graph
    assert torch.equal(taken(str(tmp_path / "a.onnx")).graph, expected)
    (tmp_path / "a.onnx.data").unlink()
    with pytest.raises(DataError, match=r"a\.onnx: its weights are in a second file, a\.onnx\.data, which is not in"):
        det(str(tmp_path / "a.onnx")).fit(pictures)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra(package, file, pictures, tmp_path, monkeypatch):
    det(file).fit(pictures).save(tmp_path / "model.oddgan")
    whole = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ImportError(name)
        return whole(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    message = rf'a backbone in an ONNX file needs {package}: pip install "oddgan\[onnx\]"'
    with pytest.raises(MissingExtra, match=message):
        det(file).fit(pictures)
    with pytest.raises(OddganError, match=message):
        oddgan.load(tmp_path / "model.oddgan")


# --- what is refused --------------------------------------------------------------------------------------------------


def test_other_parameters_are_refused(file, pictures):
    with pytest.raises(ParameterError, match=r"architecture=resnet18: is for a \.safetensors file; an ONNX file holds"):
        det(file, architecture="resnet18").fit(pictures)
    for layers in ("", f"{LAYERS},{LAYERS}"):
        with pytest.raises(ParameterError, match="expected names of node outputs, each once"):
            det(file, layers=layers).fit(pictures)
    with pytest.raises(ParameterError, match="backbone in an ONNX file: is for 1 or 3 channels, not 2"):
        det(file).build((2, 16, 16))


@pytest.mark.parametrize(
    ("layer", "close"),
    [
        ("/layer2/relu_output_0", "/layer2/Relu_output_0, "),
        ("layer2", "/layer2/Conv_output_0, /layer2/Relu_output_0$"),
        ("???", "/layer3/Conv_output_0, /layer3/Relu_output_0, pooled, logits$"),
    ],
)
def test_an_unknown_layer_gets_close_names(file, pictures, layer, close):
    said = rf"layers={layer}: the file has no such node output; close to it are .*".replace("?", r"\?")
    with pytest.raises(ParameterError, match=said + close):
        det(file, layers=layer).fit(pictures)


INPUTS = [
    ({"picture": (1, 1, 11, 9)}, "takes float of shape 1x1x11x9, and pictures are float of shape 1x3xheightxwidth"),
    ({"picture": (1, 3, 16)}, "takes float of shape 1x3x16, and"),
    ({"picture": None}, "takes float of shape unknown, and"),
    ({"picture": ("n", 3, "h", "w"), "kind": TensorProto.FLOAT16}, "takes float16 of shape anyx3xanyxany, and"),
    ({"picture": (8, 3, 11, 9)}, "takes 8 pictures at once; export it for one"),
    ({"picture": (1, 3, 224, 224)}, r"takes pictures of 224x224 .* and these have 11x9; set size=224, or export"),
    ({"picture": (1, 3, 24, "w")}, r"takes pictures of 24x9 .* set size=24,9, or"),
]


@pytest.mark.parametrize(("changes", "message"), INPUTS)
def test_other_inputs_are_refused(changes, message, tmp_path, pictures):
    path = saved(small(**changes), tmp_path / "other.onnx")
    with pytest.raises(ParameterError, match=r"backbone=\S+other\.onnx: " + message):
        det(path).fit(pictures)


def test_the_size_that_a_network_asks_for(tmp_path, pictures):
    path = saved(small(picture=(1, 3, 24, 32)), tmp_path / "fixed.onnx")
    fitted = det(path, size=(24, 32)).fit(pictures)
    assert fitted.net_.F.shape == (1, 3, 24, 32)
    assert taken(saved(small(picture=("batch", 3, 24, 32)), tmp_path / "fixed.onnx"), (3, 24, 32)).features == 14


def with_node(kind, inputs, made, attributes=(), weights=(), domain=""):
    """The small network with one more node, which replaces layer 3."""
    model = small()
    node = helper.make_node(kind, inputs, [made], name="added", domain=domain)
    node.attribute.extend(attributes)
    model.graph.node.append(node)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in dict(weights).items()
    )
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def computed():
    """The small network with a layer whose size is computed from values."""
    model = with_node("Reshape", [LAST, "size"], "y", weights={"row": np.array([-1])})
    model.graph.node.insert(6, helper.make_node("Cast", ["flat"], ["size"], to=TensorProto.INT64))
    model.graph.node.insert(6, helper.make_node("Reshape", [LAST, "row"], ["flat"]))
    return model


def with_weights(change):
    model = small()
    change(model.graph.initializer[0])
    return model


def unreadable(model):
    return model.SerializeToString().replace(b"/layer2/Conv", b"/layer2\xffConv")


LAST = "/layer3/Relu_output_0"
EMPTY = helper.make_graph([], "inner", [], [])
GRAPHS = [
    (
        lambda: with_node("Gelu", [LAST], "y", domain="my.domain"),
        r"Gelu \(added\) is of the domain my\.domain, which is not",
    ),
    (lambda: with_node("Gelu", [LAST], "y", domain="com.microsoft"), "is of the domain com.microsoft"),
    (lambda: with_node("RandomNormalLike", [LAST], "y"), r"RandomNormalLike \(added\) is not among those that"),
    (
        lambda: with_node("If", ["c", LAST], "y", [helper.make_attribute("then_branch", EMPTY)], {"c": np.array(True)}),
        r"If \(added\) is not among those",
    ),
    (
        lambda: with_node("Relu", [LAST], "y", [helper.make_attribute("inner", EMPTY)]),
        r"Relu \(added\) holds more than numbers in inner",
    ),
    (
        lambda: with_node("Split", [LAST], "y", [helper.make_attribute("num_outputs", 2)]),
        r"Split \(added\) has num_outputs=2",  # which ends the process in onnx 1.23
    ),
    (lambda: with_node("Add", [LAST, "x"], "y"), "is not consistent"),
    (
        lambda: with_node("MaxPool", [LAST], "y", [helper.make_attribute("kernel_shape", [0, 2])]),
        r"MaxPool \(added\) has kernel_shape=0,2",
    ),
    (
        lambda: with_node("Conv", [LAST, "w1"], "y", [helper.make_attribute("pads", [2**40] * 4)]),
        "has pads=1099511627776,",
    ),
    (
        lambda: with_node("Expand", [LAST, "n"], "y", weights={"n": np.array([50_000_000, 8, 2, 2])}),
        r"would hold \d+ numbers for a picture of 11x9",
    ),
    (lambda: with_node("NonZero", [LAST], "y"), "is not among those"),
    (lambda: computed(), "the size of y depends on other values; export the network for pictures of one size"),
    (
        lambda: with_node("Gather", [LAST, "n"], "y", [helper.make_attribute("axis", 1)], {"n": np.array([99])}),
        "onnxruntime cannot compute the ONNX network",
    ),
    (lambda: with_node("Flatten", [LAST], "y"), "y is of shape 1x32, and maps of 1 x channels x height x width"),
    (lambda: with_weights(lambda one: one.ClearField("raw_data")), "the weights w1 are damaged"),
    (lambda: with_weights(lambda one: one.dims.insert(0, 0)), "the weights w1 are (damaged|not numbers)"),
    (
        lambda: with_weights(lambda one: one.CopyFrom(numpy_helper.from_array(np.full((4, 3, 3, 3), np.nan), "w1"))),
        "the weights w1 hold values that are not finite",
    ),
    (lambda: with_node("Cast", [LAST], "y", [helper.make_attribute("to", TensorProto.DOUBLE)]), "is not consistent"),
]


@pytest.mark.parametrize(("made", "message"), GRAPHS)
def test_networks_that_cannot_be_used(made, message, tmp_path, pictures):
    model = made()
    layer = "y" if model.graph.node[-1].name == "added" else LAST
    path = saved(model, tmp_path / "odd.onnx")
    with pytest.raises(DataError, match=r"odd\.onnx: .*" + message):
        det(path, layers=layer).fit(pictures)


def test_functions_and_other_inputs_are_refused(tmp_path, pictures):
    model = with_node("Mine", [LAST], "y", domain="local")
    inner = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("local", "Mine", ["a"], ["b"], inner, [helper.make_opsetid("", 17)]))
    with pytest.raises(DataError, match="functions of its own"):
        det(saved(model, tmp_path / "functions.onnx"), layers="y").fit(pictures)
    model = with_node("Add", [LAST, "second"], "y")
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1]))
    with pytest.raises(ParameterError, match="with one input, the picture; the layers need x, second"):
        det(saved(model, tmp_path / "inputs.onnx"), layers="y").fit(pictures)


@pytest.mark.parametrize("data", [b"", b"not ONNX at all", bytes(1000), b"\x08\x08", unreadable(small())])
def test_files_that_are_none(data, tmp_path, pictures):
    (tmp_path / "none.onnx").write_bytes(data)
    with pytest.raises(DataError, match=r"none\.onnx: damaged or not an ONNX file \(.*\); export it anew"):
        det(str(tmp_path / "none.onnx")).fit(pictures)


def test_a_folder_is_no_file(tmp_path, pictures):
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(DataError, match=r"folder\.onnx: cannot be read"):
        det(str(tmp_path / "folder.onnx")).fit(pictures)


def test_what_onnxruntime_lacks(tmp_path, pictures):
    model = with_node("Cast", ["erf"], "y", [helper.make_attribute("to", TensorProto.FLOAT)])
    model.graph.node.insert(6, helper.make_node("Erf", ["z"], ["erf"]))
    model.graph.node.insert(6, helper.make_node("Cast", [LAST], ["z"], to=TensorProto.DOUBLE))
    with pytest.raises(DataError, match=r"rare\.onnx: onnxruntime cannot compute the ONNX network \("):
        det(saved(model, tmp_path / "rare.onnx"), layers="y").fit(pictures)


# --- forged model files -----------------------------------------------------------------------------------------------


@pytest.fixture
def fitted(file, pictures, tmp_path):
    """The path of a model file."""
    det(file).fit(pictures).save(tmp_path / "model.oddgan")
    return tmp_path / "model.oddgan"


def forge(path, change):
    """Change the model file's graph, with checksums that fit."""
    manifest, arrays = archive.read(path)
    del manifest["checksum"], manifest["files"]
    model = onnx.load_model_from_string(arrays["net.F.graph"].tobytes())
    data = change(model) or model.SerializeToString()
    archive.write(path, manifest, {**arrays, "net.F.graph": np.frombuffer(data, np.uint8)})


def elsewhere(model):
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
    tensor.ClearField("raw_data")


def huge(model):
    size = numpy_helper.from_array(np.array([2**14] * 4), "n")
    model.graph.initializer.append(size)
    model.graph.node.append(helper.make_node("Expand", ["one", "n"], ["filled"]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "one"))


FORGERIES = [
    (unreadable, "it has names that are no text"),
    (elsewhere, "the weights w1 are in another file"),
    (huge, "would hold 720575940379\\d+ numbers"),
    (lambda m: setattr(m.graph.node[0], "domain", "my.domain"), "is of the domain my"),
    (lambda m: setattr(m.graph.output[0], "name", "other"), "other layers"),
    (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 64), "not for pictures of 11x9"),
    (lambda m: m.graph.node.add(op_type="Relu", input=["nothing"], output=["y"]) and None, "is not consistent"),
    (lambda m: m.graph.initializer[2].dims.__setitem__(0, 4), "the weights w3 are damaged"),
    (lambda m: m.SerializeToString()[:-7], ""),
    (lambda m: 2 * m.SerializeToString(), ""),
    (lambda m: b"\0", ""),
]


@pytest.mark.parametrize(("change", "message"), FORGERIES)
def test_forged_graphs_are_refused(change, message, fitted):
    forge(fitted, change)
    with pytest.raises(ArtifactError, match=r"model\.oddgan: its parts do not agree: .*" + message):
        oddgan.load(fitted)


def test_the_memory_must_fit_the_graph(fitted):
    manifest, arrays = archive.read(fitted)
    del manifest["checksum"], manifest["files"]
    archive.write(fitted, manifest, {**arrays, "net.M.rows": arrays["net.M.rows"][:, :-1]})
    with pytest.raises(ArtifactError, match="its parts do not agree"):
        oddgan.load(fitted)


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_damaged_graphs_are_refused_or_score(fitted, pictures):
    """Any byte may be another one: no error but the library's, and no crash."""
    manifest, arrays = archive.read(fitted)
    del manifest["checksum"], manifest["files"]
    whole, random = arrays["net.F.graph"], np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        graph = whole.copy()
        some = random.integers(len(graph), size=int(random.integers(1, 4)))
        graph[some] = random.integers(256, size=len(some))
        archive.write(fitted, manifest, {**arrays, "net.F.graph": graph})
        try:
            assert not np.isnan(oddgan.load(fitted).anomaly_score(pictures[:2])).any()
        except OddganError:
            refused += 1
    assert 10 < refused < 150
