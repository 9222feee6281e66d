"""Programs in other languages get the scores and verdicts of `oddgan score` from an export."""

import functools
import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import oddgan
from oddgan import testing
from oddgan.errors import DataError
from oddgan.export import export
from oddgan.runtime import Scorer

pytest.importorskip("onnxscript")
EXAMPLES = Path(__file__).parents[2] / "examples"


def lines_of(command, fails=False, **options):
    """What a program prints, by words; of one that is to fail, what it says of it."""
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False, **options)
    if fails:
        assert (run.returncode, run.stdout) == (1, "")
        return run.stderr
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
    return lambda script, *given, **how: lines_of(["node", EXAMPLES / "node" / script, *given], env=environment, **how)


@pytest.fixture(scope="module")
def shown_files(made, tmp_path_factory):
    """Files of a usual picture and of one with a mark."""
    rows, folder = made("map")[1].copy(), tmp_path_factory.mktemp("pictures")
    rows[3, 5:9, 5:9] = 255
    files = [folder / "usual.png", folder / "marked.png"]
    for place, picture in zip(files, rows[[0, 3]], strict=True):
        Image.fromarray(picture).save(place)
    return files


@pytest.fixture(scope="module")
def odd_files(shown_files):
    """Files of the marked picture in other layouts: those that are read, and of those that are not, what is said."""
    folder, marked = shown_files[1].parent, Image.open(shown_files[1])
    clear = np.linspace(0, 255, 20 * 24).reshape(24, 20).astype(np.uint8)
    pictures = {
        "alpha": Image.merge("LA", [marked, Image.fromarray(clear)]),
        "palette": marked.quantize(16, dither=Image.Dither.NONE),
        "colour": marked.convert("RGB"),
        "deep": Image.fromarray(np.asarray(marked).astype(np.uint16) * 257),
    }
    pictures["palette"].putpalette(np.repeat(np.linspace(0, 255, 16).astype(np.uint8), 3).tobytes())
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    data = shown_files[1].read_bytes()
    chunk = b"gAMA" + (100_000).to_bytes(4, "big")
    (folder / "gamma.png").write_bytes(
        data[:33] + b"\0\0\0\4" + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[33:]
    )
    good = [folder / f"{name}.png" for name in ("alpha", "gamma", "palette")]
    return good, {folder / "colour.png": "is in colour", folder / "deep.png": "is deeper than 8 bits"}


def checked(lines, folder, files, rel):
    found = Scorer(folder).explain(files)
    assert [line[3] for line in lines] == ["anomaly" if flag else "normal" for flag in found.is_anomaly]
    assert [float(line[1]) for line in lines] == pytest.approx(found.score.tolist(), rel=rel)
    assert [float(line[2]) for line in lines] == pytest.approx(found.p_value.tolist(), rel=rel)
    peaks = [np.unravel_index(one.argmax(), one.shape) for one in found.anomaly_map]
    assert [(int(line[4]), int(line[5])) for line in lines] == [tuple(map(int, one)) for one in peaks]
    assert lines[1][3] == "anomaly"


def checked_odd(run, folder, odd_files, rel=1e-6):
    """`run`: the program, by files. Other layouts of pictures are scored as `Scorer` scores them, or refused."""
    good, bad = odd_files
    scorer = Scorer(folder)
    lines = run(*good)
    assert [float(line[1]) for line in lines] == pytest.approx(scorer.score(good).tolist(), rel=rel)
    for file, why in bad.items():
        with pytest.raises(DataError):
            scorer.score([file])
        assert f"{file}: {why}, and the model takes 8-bit grey pictures" in run(file, fails=True)


def test_pictures_in_javascript(node, made, shown_files, odd_files):
    folder = made("map")[2]
    checked(node("score_picture.js", folder, *shown_files), folder, shown_files, 1e-6)
    checked_odd(functools.partial(node, "score_picture.js", folder), folder, odd_files)


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


def test_tables_that_do_not_fit_are_refused_in_javascript(node, judged, tmp_path):
    folder, file = judged[-1], tmp_path / "row.json"
    good = {"b": None, "kind": "x", "location": 0.1}
    for row, why in [
        ({**good, "kind": "x", "locaton": 0.1}, "locaton is no column of the model"),
        ({"kind": "x", "location": 0.1}, "has no b"),
        ([0.1, "x"], "has 2 values, and the model takes 3"),
        ({**good, "location": "12,5"}, 'location is "12,5": expected a number'),
        ({**good, "location": "0x10"}, 'location is "0x10": expected a number'),
        ({**good, "location": [1]}, "location is [1]: expected a number"),
        (None, "expected an object or an array"),
    ]:
        file.write_text(json.dumps(row))
        assert f"{file}: {why}" in node("score_table.js", folder, file, fails=True)
    frame = judged[1][:1].assign(location=[0.1], kind=["constructor"], b=[np.nan])
    file.write_text(json.dumps({**good, "kind": "constructor"}))
    ((_, score, *_),) = node("score_table.js", folder, file)
    assert float(score) == pytest.approx(Scorer(folder).score(frame)[0], rel=1e-6)


@pytest.mark.slow
def test_pictures_in_cpp(made, shown_files, odd_files, tmp_path):
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
    flat = made("map")[1]
    export(testing.small(oddgan.ContraD).fit(flat), tmp_path / "unlocated", flat, to="openvino")
    for line, score in zip(
        lines_of([program, tmp_path / "unlocated", *shown_files]),
        Scorer(tmp_path / "unlocated").score(shown_files),
        strict=True,
    ):
        assert len(line) == 4
        assert float(line[1]) == pytest.approx(score, rel=1e-6)
    checked_odd(lambda *files, **how: lines_of([program, tmp_path / "out", *files], **how), tmp_path / "out", odd_files)
    (tmp_path / "no.png").write_text("no picture")
    assert "no.png: is no PNG file" in lines_of([program, tmp_path / "out", tmp_path / "no.png"], fails=True)
