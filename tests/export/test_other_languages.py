"""Programs in other languages get the scores and verdicts of `oddgan score` from an export."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oddgan.export import export
from oddgan.runtime import Scorer

pytest.importorskip("onnxscript")
EXAMPLES = Path(__file__).parents[2] / "examples"


def lines_of(command, **options):
    """What a program prints, by words."""
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False, **options)
    assert run.returncode == 0, run.stderr
    return [line.split() for line in run.stdout.splitlines()]


@pytest.fixture(scope="session")
def node():
    """Runs an example. ODDGAN_NODE_MODULES: where npm has put what examples/node/package.json wants, if not there."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    modules = Path(os.environ.get("ODDGAN_NODE_MODULES", EXAMPLES / "node" / "node_modules")).resolve()
    if not (modules / "onnxruntime-node").is_dir():
        pytest.skip("onnxruntime-node is not installed: npm install in examples/node")
    environment = {**os.environ, "NODE_PATH": str(modules)}
    return lambda script, *given: lines_of(["node", EXAMPLES / "node" / script, *given], env=environment)


@pytest.fixture(scope="module")
def shown_files(made, tmp_path_factory):
    """Files of a usual picture and of one with a mark."""
    rows, folder = made("map")[1].copy(), tmp_path_factory.mktemp("pictures")
    rows[3, 5:9, 5:9] = 255
    files = [folder / "usual.png", folder / "marked.png"]
    for place, picture in zip(files, rows[[0, 3]], strict=True):
        Image.fromarray(picture).save(place)
    return files


def checked(lines, folder, files, rel):
    found = Scorer(folder).explain(files)
    assert [line[3] for line in lines] == ["anomaly" if flag else "normal" for flag in found.is_anomaly]
    assert [float(line[1]) for line in lines] == pytest.approx(found.score.tolist(), rel=rel)
    assert [float(line[2]) for line in lines] == pytest.approx(found.p_value.tolist(), rel=rel)
    peaks = [np.unravel_index(one.argmax(), one.shape) for one in found.anomaly_map]
    assert [(int(line[4]), int(line[5])) for line in lines] == [tuple(map(int, one)) for one in peaks]
    assert lines[1][3] == "anomaly"


def test_pictures_in_javascript(node, made, shown_files):
    folder = made("map")[2]
    checked(node("score_picture.js", folder, *shown_files), folder, shown_files, 1e-6)


def test_tables_in_javascript(node, judged, tmp_path):
    frame, folder = judged[1], judged[-1]
    new = frame[:2].assign(location=[0.1, 50.0], kind=["x", "unheard of"], b=[np.nan, 0.5])
    files = [tmp_path / "0.json", tmp_path / "1.json"]
    files[0].write_text(json.dumps({"b": None, "kind": "x", "location": 0.1}))
    files[1].write_text(json.dumps([50.0, "unheard of", 0.5]))
    scorer, lines = Scorer(folder), node("score_table.js", folder, *files)
    assert [float(line[1]) for line in lines] == pytest.approx(scorer.score(new).tolist(), rel=1e-6)
    assert [float(line[2]) for line in lines] == pytest.approx(scorer.p_value(new).tolist(), rel=1e-12)
    verdicts = ["normal" if one > 0 else "anomaly" for one in scorer.predict(new)]
    assert [line[3] for line in lines] == verdicts
    assert verdicts[1] == "anomaly"


@pytest.mark.slow
def test_pictures_in_cpp(made, shown_files, tmp_path):
    openvino = pytest.importorskip("openvino")
    home, program = Path(openvino.__file__).parent, tmp_path / "score_picture"
    if not shutil.which("g++") or not Path("/usr/include/png.h").exists():
        pytest.skip("g++ or libpng's headers are not installed")
    library = next(iter(sorted((home / "libs").glob("libopenvino.so*"))), None)
    if library is None or not (home / "include" / "openvino" / "openvino.hpp").exists():
        pytest.skip("this openvino has no headers")
    source = EXAMPLES / "cpp" / "score_picture.cpp"
    flags = ["-std=c++17", "-Wall", "-Werror", f"-I{home / 'include'}", f"-Wl,-rpath,{library.parent}"]
    lines_of(["g++", *flags, source, "-o", program, library, "-lpng"])
    detector, rows, *_ = made("map")
    export(detector, tmp_path / "out", rows, to="openvino")
    checked(lines_of([program, tmp_path / "out", *shown_files]), tmp_path / "out", shown_files, 1e-6)
