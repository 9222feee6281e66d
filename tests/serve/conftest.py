"""Small exports and model files to serve, made once."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from serve_small import SRC, Client

import oddgan
from oddgan import testing

for package in ("starlette", "uvicorn", "python_multipart", "prometheus_client", "onnxruntime", "onnxscript"):
    pytest.importorskip(package)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """`folder`, with the exports parts, flows and numbers and the model file parts.oddgan; `pictures` (60, 16, 16), of
    which the last has a bright bar; `frame`, a table with categories; `matrix` (60, 3)."""
    from oddgan.export import export

    pandas = pytest.importorskip("pandas")
    folder, random = tmp_path_factory.mktemp("models"), np.random.default_rng(0)
    pictures = random.integers(80, 150, (60, 16, 16), dtype=np.uint8)
    frame = pandas.DataFrame(
        {
            "bytes": random.lognormal(5, 1, 60),
            "service": random.choice(["http", "dns"], 60),
            "encrypted": random.random(60) < 0.5,
        }
    )
    matrix = random.normal(size=(60, 3))
    detector = testing.small(oddgan.PCA, score_by="map_max").fit(pictures)
    detector.save(folder / "parts.oddgan")
    export(detector, folder / "parts", pictures)
    export(testing.small(oddgan.PCA).fit(frame), folder / "flows", frame)
    export(testing.small(oddgan.PCA, calibrate_fraction=0.3).fit(matrix), folder / "numbers", matrix)
    pictures[-1, 5:8] = 255
    return SimpleNamespace(folder=folder, pictures=pictures, frame=frame, matrix=matrix, detector=detector)


@pytest.fixture(scope="session")
def scorers(made):
    """What the service should answer as."""
    from oddgan.runtime import Scorer

    return SimpleNamespace(**{name: Scorer(made.folder / name, threads=1) for name in ("parts", "flows", "numbers")})


@pytest.fixture
def serve(scorers):
    """`serve(token=..., queue=...)`: a client of a service in this process, of all three exports unless others are
    given."""
    from oddgan import serve as serving

    with contextlib.ExitStack() as stack:

        def serve(models=None, token="", **limits):
            application = serving.app(models or vars(scorers), limits=serving.Limits(**limits), token=token)
            stack.callback(application.state.service.scoring.close)
            return Client(application)

        yield serve


@pytest.fixture
def started():
    """`started(*words)`: `oddgan serve` in a process of its own, with its `port`; killed at the end."""
    processes = []

    def start(*words, **environment):
        command = [sys.executable, "-m", "oddgan", "serve", *map(str, words), "--port", "0", "--threads", "1"]
        known = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONUNBUFFERED": "1", **environment}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=known)
        processes.append(process)
        process.said = []
        for line in process.stderr:
            process.said.append(line)
            if found := re.search(r"listening on http://\S+:(\d+)", line):
                process.port = int(found[1])
                return process
        raise AssertionError("".join(process.said))

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
