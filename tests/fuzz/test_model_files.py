"""Model files that are damaged, or forged so that their checksums are right: each is refused with an error of oddgan's,
or is a model that scores. No other exception, no endless work, no memory beyond a bound."""

import collections
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mutations import TookTooLong, forged, mutants, within

import oddgan
from oddgan import detectors, testing
from oddgan.errors import OddganError

SECONDS = 5.0
EFFORT = ("steps", "starts", "trees")
"""Parameters that say how much work a score is. A file may ask for much, as a user may: nothing is wrong with it."""
MEMORY = 300 << 20  # bytes beyond what was in use before the first mutant


def _frame():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(60, 3)) * [1, 10, 100], columns=["a", "b", "c"])
    frame["kind"] = random.choice(["x", "y", "z"], 60)
    frame["on"] = random.random(60) < 0.5
    frame.loc[::7, "b"] = np.nan
    return frame


def _pictures(n=44, side=16):
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 150, side) * random.uniform(0.5, 1, size=(n, 1, 1)) + random.uniform(0, 60, (n, side, 1))
    return (ramp + random.uniform(0, 20, size=(n, side, side))).astype(np.uint8)


def _onnx(folder):
    """The path of an ONNX file with one convolution."""
    onnx = pytest.importorskip("onnx")
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        onnx.helper.make_node("Relu", ["c"], ["h"]),
    ]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xh"]
    ends[0] = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 16, 16])
    graph = onnx.helper.make_graph(nodes, "n", ends[:1], ends[1:], [onnx.numpy_helper.from_array(weights, "w")])
    path = Path(folder) / "network.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


MODELS = {
    "table-pca": ("pca", _frame, {}),
    "table-knn": ("knn", _frame, {"scaling": "quantile"}),
    "table-lof": ("lof", _frame, {"log_tails": True, "scaling": "robust"}),
    "table-forest": ("isolationforest", _frame, {"scaling": "minmax"}),
    "table-svm": ("oneclasssvm", _frame, {}),
    "table-ratio": ("ganomaly", _frame, {"local": "ratio", "neighbours": 3}),
    "table-dagmm": ("dagmm", _frame, {"units": "6-4"}),
    "pictures": ("ganomaly", _pictures, {"width": 4}),
    "table-contrad": ("contrad", _frame, {"width": 4}),
    "pictures-distance": ("vae", _pictures, {"width": 4, "local": "distance", "neighbours": 3}),
    "pictures-search": ("anogan", _pictures, {"width": 4}),
    "tiles-density": ("egbad", _pictures, {"width": 4, "tile": 12, "size": 8, "local": "density", "near": "rows",
                                           "neighbours": 3}),
    "table-ensemble": (lambda: oddgan.Ensemble([oddgan.KNN(), oddgan.PCA()], random_state=0), _frame, {}),
    "pictures-folds": (lambda: oddgan.CrossConformal(oddgan.PCA(), folds=2, random_state=0), _pictures, {}),
    "pictures-onnx": ("patchcore", _pictures, {"backbone": _onnx, "layers": "h", "size": 16}),
}  # fmt: skip
"""Name: detector, or what makes it; rows; and what it is configured with, where a function makes a file in a folder."""


def model_file(name, folder):
    """The path of a small model, and a few rows for it."""
    detector, rows, parameters = MODELS[name]
    X, path = rows(), Path(folder) / f"{name}.oddgan"
    given = {k: v(folder) if callable(v) else v for k, v in parameters.items()}
    made = detector() if callable(detector) else testing.small(detectors.get(detector), **given)
    made.fit(X).save(path)
    return path, X[:3]


def outcome(path, X, score=True, expected=None):
    """What comes of loading the file and scoring rows: "scored" (as `expected`, if that is given), "refused", or what
    must not be."""
    try:
        with within(SECONDS):
            detector = oddgan.load(path)
            if not score:
                return "scored"
            scores = detector.anomaly_score(X)
            detector.p_value(X)
            detector.explain(X)
        usable = scores.shape == (len(X),) and not np.isnan(scores).any()
        same = expected is None or np.array_equal(scores, expected)
        return "scored" if usable and same else f"scores {scores}"
    except OddganError as error:
        text = str(error)
        if "\n" in text:
            return f"a message of several lines: {text!r}"
        return f"memory: {text}" if "Unable to allocate" in text or "MemoryError" in text else "refused"
    except (Exception, TookTooLong) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"


def outcomes(name, folder, damaged, forgeries, seed):
    """How often each outcome came, and the mutants with one that must not be."""
    path, X = model_file(name, folder)
    whole, mutant = path.read_bytes(), path.with_name("mutant.oddgan")
    scores = oddgan.load(path).anomaly_score(X)
    assert all(outcome(path, X, expected=scores) == "scored" for _ in range(3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts, failed = collections.Counter(), []
    named = [("damaged", data) for data in mutants(whole, damaged, seed)]
    for what, data in [*named, *forged(whole, forgeries, seed)]:
        mutant.write_bytes(data)
        kind = "damaged" if what == "damaged" else "forged"
        expected = scores if kind == "damaged" else None  # the checksums are right: nothing that counts was hit
        result = outcome(mutant, X, score=what.partition(":")[0].split(".")[-1] not in EFFORT, expected=expected)
        if result in ("scored", "refused"):
            counts[f"{kind}, {result}"] += 1
        else:
            counts[f"{kind}, FAILED"] += 1
            failed.append(f"{name}, {what} -> {result}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > MEMORY:
        failed.append(f"{name}: memory grew by {grown >> 20} MiB")
    return counts, failed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_a_damaged_or_forged_model_is_refused_or_scores(name, tmp_path):
    _, failed = outcomes(name, tmp_path, damaged=20, forgeries=40, seed=0)
    assert failed == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", MODELS)
def test_ten_thousand_of_them(name, tmp_path):
    """In a process whose memory is limited."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, name, tmp_path, "400", "600"], capture_output=True, text=True
    )
    sys.stdout.write(run.stdout)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]


def main(name, folder, damaged, forgeries, seed=1):
    model_file(name, folder)  # what is loaded for it counts as in use
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + (2 << 30),) * 2)
    counts, failed = outcomes(name, folder, int(damaged), int(forgeries), int(seed))
    sys.stdout.write("\n".join([f"{name} {dict(sorted(counts.items()))}", *failed, ""]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
