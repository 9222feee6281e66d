"""The folder of an export: what is damaged or forged is refused in one line."""

import functools
import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import safetensors.numpy

import oddgan
from oddgan import testing
from oddgan.errors import ArtifactError, DataError
from oddgan.export import export
from oddgan.model import archive
from oddgan.runtime import Scorer, bundle, engines, is_export
from oddgan.runtime.engines import OnnxEngine, OpenVinoEngine

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
FILES = ("oddgan.json", "model.onnx", "verdict.safetensors", "parity.json")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    random = np.random.default_rng(0)
    rows = random.normal(size=(80, 4))
    folder = tmp_path_factory.mktemp("export") / "model"
    export(testing.small(oddgan.PCA).fit(rows), folder, rows)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def forged(folder, change):
    """Change the manifest so that its checksum is right again."""
    place = folder / "oddgan.json"
    manifest = json.loads(place.read_text("utf-8"))
    change(manifest)
    manifest["checksum"] = archive.checksum(manifest)
    place.write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["cut", "flipped", "gone", "empty"])
def test_damage_is_found(folder, name, how):
    place = folder / name
    data = bytearray(place.read_bytes())
    if how == "gone":
        place.unlink()
    elif how == "flipped":
        data[len(data) // 2] ^= 1
        place.write_bytes(data)
    else:
        place.write_bytes(data[: len(data) // 2 if how == "cut" else 0])
    with pytest.raises(ArtifactError, match=r"damaged|has no|is no export|not an exported") as caught:
        Scorer(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_export_says_so(tmp_path):
    assert not is_export(tmp_path)
    with pytest.raises(ArtifactError, match=r"has no oddgan\.json, so it is no export"):
        Scorer(tmp_path)
    (tmp_path / "oddgan.json").write_text("{}")
    assert is_export(tmp_path)
    with pytest.raises(ArtifactError, match="is not an exported oddgan model"):
        Scorer(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=2), "newer than this oddgan reads"),
        (lambda m: m.update(format_version=True), "not one that ever was"),
        (lambda m: m.update(runtime="tensorrt"), "does not know"),
        (lambda m: m.update(runtime="openvino"), "damaged|has no"),
        (lambda m: m.update(block_size=2**40), "whole numbers"),
        (lambda m: m.update(block_size="64"), "whole numbers"),
        (lambda m: m["score"].update(names=["energy"]), "does not give the term energy"),
        (lambda m: m["score"].update(local="density"), "reference rows are missing"),
        (lambda m: m["score"].update(patches="own"), "does not give the term residual"),
        (lambda m: m["calibration"].update(threshold=0.0), "the threshold in the manifest is not the one"),
        (lambda m: m["calibration"].update(rows=3), "the threshold in the manifest|do not agree"),
        (lambda m: m["preprocessing"].update(kind="sound"), "unknown kind of preprocessing"),
        (lambda m: m["preprocessing"].update(kinds=[]), "do not agree"),
        (lambda m: m.pop("tuning"), "do not agree"),
        (lambda m: m["files"].pop("model.onnx"), "damaged"),
    ],
)
def test_forged_manifests_are_refused(folder, change, message):
    forged(folder, change)
    with pytest.raises(ArtifactError, match=message) as caught:
        Scorer(folder)
    assert "\n" not in str(caught.value)


def test_a_large_manifest_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(bundle, "LARGEST_MANIFEST", 100)
    with pytest.raises(ArtifactError, match="is larger than any"):
        Scorer(folder)


def test_a_graph_with_weights_elsewhere_is_refused(folder):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(folder / "model.onnx"))
    weight = max(graph.graph.initializer, key=lambda one: len(one.raw_data))
    onnx.external_data_helper.set_external_data(weight, "/etc/hostname")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    data = graph.SerializeToString()
    with pytest.raises(ArtifactError, match="weights of another file"):
        OnnxEngine(data)
    (folder / "model.onnx").write_bytes(data)

    def signed(manifest):
        manifest["files"]["model.onnx"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    forged(folder, signed)
    with pytest.raises(ArtifactError, match="weights of another file"):
        Scorer(folder)


def test_openvino_reads_no_onnx(folder):
    """OpenVINO reads ONNX too, whose weights may be in any other file."""
    pytest.importorskip("openvino")
    data = (folder / "model.onnx").read_bytes()
    (folder / "model.xml").write_bytes(data)
    (folder / "model.bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match="is not OpenVINO's own"):
        OpenVinoEngine((data, b""))

    def signed(manifest):
        manifest["files"] |= bundle.sums_of(folder, ["model.xml", "model.bin"])
        manifest["runtime"] = "openvino"

    forged(folder, signed)
    with pytest.raises(ArtifactError, match="is not OpenVINO's own"):
        Scorer(folder)


def test_an_export_that_is_replaced_while_it_is_read(original, folder, tmp_path, monkeypatch):
    newer, file = tmp_path / "newer", bundle._file
    shutil.copytree(folder, newer)
    forged(newer, lambda manifest: manifest.update(detector="Newer"))
    place = newer / "verdict.safetensors"

    def replaced(where, name, sums):
        if newer.exists():
            shutil.rmtree(folder)
            newer.rename(folder)
            raise ArtifactError(f"{place}: damaged")
        return file(where, name, sums)

    monkeypatch.setattr(bundle, "_file", replaced)
    assert Scorer(folder).info()["detector"] == "Newer"
    monkeypatch.setattr(bundle, "_file", file)
    (folder / "verdict.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match="damaged"):
        Scorer(folder)


def test_no_graph_at_all(folder):
    with pytest.raises(ArtifactError, match="onnxruntime cannot load the graph"):
        OnnxEngine(b"nothing")


def test_rows_that_do_not_fit_are_refused(original):
    scorer = Scorer(original)
    with pytest.raises(DataError, match="5 features"):
        scorer.score(np.zeros((2, 5)))
    with pytest.raises(DataError, match="the model takes tables"):
        scorer.score(np.zeros((2, 16, 16), np.uint8))
    with pytest.raises(DataError, match="nothing to score"):
        scorer.score(np.zeros((0, 4)))


def test_a_score_from_maps_needs_maps(folder):
    """Of a graph that gives none, with a scale for them."""
    arrays = safetensors.numpy.load((folder / "verdict.safetensors").read_bytes())
    arrays |= {f"maps.{name}": np.ones((1, 1, 1), np.float32) for name in ("mean", "deviation")}
    arrays["maps.peaks"] = np.zeros(1)
    (folder / "verdict.safetensors").write_bytes(safetensors.numpy.save(arrays))

    def by_map(manifest):
        manifest["files"] |= bundle.sums_of(folder, ["verdict.safetensors"])
        manifest["maps"] = {"blurs": [0.0], "step": 1, "pictures": 1}
        manifest["score"]["names"] = ["map_max"]
        manifest["tuning"] = {}

    forged(folder, by_map)
    with pytest.raises(ArtifactError, match="the graph gives no anomaly maps"):
        Scorer(folder)


def test_an_export_written_without_the_sum_of_parity_json_loads(folder):
    forged(folder, lambda manifest: manifest["files"].pop("parity.json"))
    (folder / "parity.json").unlink()
    Scorer(folder)


def test_a_scorer_does_not_keep_the_file_of_its_graph(original):
    assert not any(isinstance(one, bundle.Bundle) for one in vars(Scorer(original)).values())


def test_it_says_what_it_is(original):
    scorer = Scorer(original)
    facts = scorer.info()
    assert facts["detector"] == "PCA"
    assert facts["input"] == {"name": "x", "type": "float64", "shape": ["rows", 4]}
    assert scorer.title_ == "PCA, exported to onnx in float32"
    facts["detector"] = "changed"
    assert scorer.info()["detector"] == "PCA"


def test_the_process_keeps_its_small_numbers(original):
    Scorer(original, threads=1).score(np.zeros((2, 4)))
    assert np.float64(1e-310) * 1.0 > 0  # a session may flush denormals in the thread that makes it, and leave it so


INTERRUPTED = """
import gc, os, signal, sys, time
from oddgan.runtime.engines import OpenVinoEngine
graph = tuple(open(path, "rb").read() for path in sys.argv[1:])
engines = [OpenVinoEngine(graph) for _ in range(3)]
while engines:
    engines.pop(0)
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_no_crash_after_openvino(tmp_path, table):
    """OpenVINO changes the signal stack, on which Python's handlers run (`openvino_core`)."""
    pytest.importorskip("openvino")
    export(oddgan.PCA(random_state=0).fit(table), tmp_path / "x", table, to="openvino")
    files = [str(tmp_path / "x" / name) for name in ("model.xml", "model.bin")]
    ran = subprocess.run([sys.executable, "-c", INTERRUPTED, *files], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "interrupted\n"), ran.stderr


def test_threads_share_one_openvino_core(monkeypatch):
    openvino, made, start = pytest.importorskip("openvino"), [], threading.Barrier(4)

    def slow():
        made.append(object())
        time.sleep(0.02)
        return made[-1]

    def ask():
        start.wait()
        engines.openvino_core()

    monkeypatch.setattr(openvino, "Core", slow)
    monkeypatch.setattr(engines, "_openvino_core", functools.cache(lambda: openvino.Core()))
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_as_one_callable_it_needs_no_torch(original):
    code = (
        "import pickle, sys, numpy, oddgan; score = pickle.loads(pickle.dumps(oddgan.scorer(sys.argv[1], threads=1))); "
        "x = numpy.random.default_rng(0).normal(size=(80, 4)); print(*score(x)['score']); "
        "print(sorted({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, original], capture_output=True, text=True, check=True)
    scores, loaded = ran.stdout.splitlines()
    x = np.random.default_rng(0).normal(size=(80, 4))
    assert (np.array(scores.split(), float) == Scorer(original, threads=1).score(x)).all()
    assert loaded == "[]"
    with pytest.raises(DataError, match="computed on the CPU"):
        oddgan.scorer(original, device="cuda")(x)
