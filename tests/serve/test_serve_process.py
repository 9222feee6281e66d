"""`oddgan serve` as a process: real clients, slow ones, signals, and what it loads."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from serve_small import SRC, png

from oddgan.cli import main

triton = pytest.importorskip("tritonclient.http")


def test_the_client_of_triton(made, scorers, started):
    process = started(made.folder / "parts", f"table:3={made.folder / 'flows'}", "--max-body", "1")
    assert process.said[0].startswith("model parts, version 1: PCA, pictures of 16x16")
    client = triton.InferenceServerClient(f"127.0.0.1:{process.port}", concurrency=4)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("table", "3")
    assert client.get_server_metadata()["name"] == "oddgan"
    assert client.get_model_metadata("parts")["inputs"][0]["datatype"] == "UINT8"
    assert len(client.get_model_repository_index()) == 2

    x = made.pictures[-3:, ..., None]
    expected = scorers.parts.explain(made.pictures[-3:])
    for binary in (True, False):
        given = triton.InferInput("x", list(x.shape), "UINT8")
        given.set_data_from_numpy(x, binary_data=binary)
        wanted = [
            triton.InferRequestedOutput(name, binary_data=binary) for name in ("score", "is_anomaly", "anomaly_map")
        ]
        found = client.infer("parts", [given], outputs=wanted, request_id="r1")
        assert found.get_response()["id"] == "r1"
        assert np.array_equal(found.as_numpy("score"), expected.score)
        assert np.array_equal(found.as_numpy("is_anomaly"), expected.is_anomaly)
        assert np.array_equal(found.as_numpy("anomaly_map"), np.stack(expected.anomaly_map))
    usual = triton.InferInput("x", list(x.shape), "UINT8")
    usual.set_data_from_numpy(x)
    assert np.array_equal(client.infer("parts", [usual]).as_numpy("p_value"), expected.p_value)

    files = [png(picture) for picture in made.pictures[-3:]]
    for binary in (True, False):
        given = triton.InferInput("x", [3], "BYTES")
        content = files if binary else [base64.b64encode(one) for one in files]
        given.set_data_from_numpy(np.array(content, dtype=object), binary_data=binary)
        assert np.array_equal(client.infer("parts", [given]).as_numpy("score"), expected.score)

    some = made.frame[:4]
    for binary in (True, False):
        inputs = []
        for name, kind in (("bytes", "FP64"), ("service", "BYTES"), ("encrypted", "BOOL")):
            inputs.append(triton.InferInput(name, [4, 1], kind))
            column = some[[name]].to_numpy(object if kind == "BYTES" else None)
            inputs[-1].set_data_from_numpy(column, binary_data=binary)
        wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("score", "shares")]
        found = client.infer("table", inputs, model_version="3", outputs=wanted)
        score, shares = scorers.flows.score_and_shares(some)
        assert np.array_equal(found.as_numpy("score"), score)
        assert np.array_equal(found.as_numpy("shares"), shares.astype(np.float32))

    with pytest.raises(triton.InferenceServerException, match="there is no model 'other'"):
        client.infer("other", [usual])
    long = triton.InferInput("x", [5000, 16, 16, 1], "UINT8")
    long.set_data_from_numpy(np.zeros((5000, 16, 16, 1), np.uint8))
    with pytest.raises(triton.InferenceServerException, match="longer than 1,048,576 bytes"):
        client.infer("parts", [long])
    pending = [client.async_infer("parts", [usual]) for _ in range(20)]
    assert all(np.array_equal(one.get_result().as_numpy("score"), expected.score) for one in pending)
    client.close()


def asked(port, count, row, answers):
    """Ask for a row's score so many times, on one connection after the other."""
    for _ in range(count):
        answers.append(
            fetched(port, "/score", json.dumps({"row": row}).encode(), **{"Content-Type": "application/json"})
        )


def test_workers_are_killed_and_nothing_is_lost(made, scorers, started):
    process = started(made.folder / "numbers", "--workers", 2)
    place = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not place.exists():
        pytest.skip("the system does not say which processes are whose")

    def workers():
        children = (int(one) for one in place.read_text().split())
        return {one for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()}

    first = workers()
    assert len(first) == 2
    rows = [[0.1 * i, 1.0, -0.5] for i in range(4)]
    answers = [[] for _ in rows]
    threads = [
        threading.Thread(target=asked, args=(process.port, 60, row, found))
        for row, found in zip(rows, answers, strict=True)
    ]
    for thread in threads:
        thread.start()
    killed = set()
    while any(thread.is_alive() for thread in threads):
        alive = workers() - killed
        if alive and len(killed) < 4:
            killed.add(min(alive))
            os.kill(min(alive), signal.SIGKILL)
        threads[0].join(0.3)
    expected = scorers.numbers.score(np.array(rows))
    assert len(killed) >= 2
    for found, score in zip(answers, expected, strict=True):
        assert len(found) == 60
        (same,) = {one["results"][0]["score"] for one in found}
        assert same == pytest.approx(score, rel=1e-8)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "another one takes its place" in process.stderr.read()
    assert not any(Path(f"/proc/{one}").exists() for one in first)


def raw(port, sent, seconds=15):
    """What comes back on a connection on which this is sent, and nothing more."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(sent)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


def fetched(port, path, data=None, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


def test_slow_and_broken_clients_and_a_good_end(made, scorers, started):
    process = started(
        made.folder / "numbers", "--read-timeout", 0.4, "--max-wait", 800, "--connections", 6, ODDGAN_TOKEN="t"
    )
    port, token = process.port, {"Authorization": "Bearer t", "Content-Type": "application/json"}
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Type: application/json\r\n"
    late = raw(port, b"POST /score HTTP/1.1\r\nHost")
    assert late.startswith(b"HTTP/1.1 408 ")
    assert json.loads(late.partition(b"\r\n\r\n")[2])["error"].startswith("the head of the request came too slowly")
    assert raw(port, b"") == b""
    body = raw(port, head + b'Content-Length: 20\r\nConnection: close\r\n\r\n{"row": ')
    assert body.startswith(b"HTTP/1.1 408 ")
    assert b"only 8 bytes of the body came in time" in body
    assert raw(port, b"\x16\x03\x01 nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", port)) as gone:
        gone.sendall(head + b"Content-Length: 20\r\n\r\n{")

    many = [socket.create_connection(("127.0.0.1", port)) for _ in range(6)]
    with pytest.raises(urllib.error.HTTPError) as full:
        fetched(port, "/v2/health/live")
    assert (full.value.code, full.value.headers["Retry-After"]) == (503, "1")
    full.value.close()
    for one in many:
        one.close()
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(port, "/models")
    assert refused.value.code == 401
    refused.value.close()
    assert fetched(port, "/models", **token)["models"][0]["name"] == "numbers"

    ask_metrics = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nConnection: close\r\n\r\n"
    counted = raw(port, ask_metrics)
    assert b'oddgan_refused_total{reason="slow"} 2.0' in counted  # a head and a body
    assert b'oddgan_refused_total{reason="busy"} 1.0' in counted

    answers = []

    def ask():
        answers.append(fetched(port, "/score", json.dumps({"row": [0.5, 1, 2]}).encode(), **token))

    asking = threading.Thread(target=ask)
    asking.start()
    waiting = b""
    while b'oddgan_queue_rows{model="numbers",version="1"} 1.0' not in waiting:  # it waits for company
        waiting = raw(port, ask_metrics)
        assert asking.is_alive()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    asking.join(20)
    expected = scorers.numbers.score(np.array([[0.5, 1, 2]]))[0]
    assert answers[0]["results"][0]["score"] == pytest.approx(expected, rel=1e-8)
    assert "stopped" in process.stderr.read()


def test_an_export_is_served_without_torch(made):
    """In a process of its own, since this one has long loaded everything."""
    code = """
import asyncio, sys, httpx
from oddgan import serve

async def asked(models, picture):
    app = serve.app(models, token="")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
        rows = {"rows": [[0.1 * i, 1, 2] for i in range(12)]}
        assert (await client.post("/models/numbers/score", json=rows)).status_code == 200
        found = await client.post("/models/parts/score?map=1", files={"file": ("a.png", open(picture, "rb").read())})
        assert "map" in found.json()["results"][0], found.text
        assert "uniformity_p{" in (await client.get("/metrics")).text
        assert (await client.get("/")).status_code == 200

asyncio.run(asked(sys.argv[1:3], sys.argv[3]))
print({name.split(".")[0] for name in sys.modules} & {"torch", "sklearn", "scipy", "pandas", "onnx"})
"""
    picture = made.folder / "a.png"
    picture.write_bytes(png(made.pictures[-1]))
    words = [sys.executable, "-c", code, made.folder / "numbers", made.folder / "parts", picture]
    run = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SRC)})
    assert run.stdout == "set()\n", run.stderr


def test_help_loads_nothing():
    code = "import sys, oddgan.cli as c\nc.main(['serve', '--help'])\nprint({'torch', 'numpy'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SRC)}
    )
    assert run.stdout.endswith("set()\n"), run.stdout
    assert "SIGTERM and Ctrl-C" in run.stdout


def said(capsys, *words):
    """The exit code of a command and the last line of what it complains of."""
    code = main(["serve", *map(str, words)])
    return code, capsys.readouterr().err.strip().splitlines()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.oddgan"], "nothing.oddgan"),
        (["a b=nothing"], "is no name for a model"),
        (["numbers", "--false-alarm-rate", "0.0001"], "false_alarm_rate=0.0001 needs at least"),
        (["numbers", "--device", "cuda"], "is an export, which is computed on the CPU"),
        (["numbers", "--token", ""], "is empty, or has characters that no header holds"),
        (["numbers", "--max-wait", "40000"], "max_wait"),
        (["numbers", "--timeout", "inf"], "--timeout inf: give a finite number"),
        (["numbers", "--max-body", "inf"], "--max-body inf: give a finite number"),
        (["numbers", "--host", "203.0.113.7"], "cannot listen there"),
    ],
)
def test_mistakes_of_whoever_starts_it(made, capsys, monkeypatch, words, message):
    monkeypatch.chdir(made.folder)
    code, lines = said(capsys, *words)
    assert code == 2
    assert message in lines[-1]


def test_a_port_that_is_taken_and_an_open_address(made, capsys, monkeypatch):
    monkeypatch.chdir(made.folder)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        code, lines = said(capsys, "numbers", "--host", "0.0.0.0", "--port", port)
        assert code == 2
        assert lines[0].startswith("oddgan: warning: --host 0.0.0.0: whoever reaches it may use the service")
        assert f"--port {port}: cannot listen there" in lines[-1]
        code, lines = said(capsys, "numbers", "--host", "0.0.0.0", "--port", port, "--token", "t")
        assert not any("warning" in line for line in lines)


def test_processes_do_not_outlive_an_error(made):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [sys.executable, "-m", "oddgan", "serve", made.folder / "numbers", "--workers", "1", "--threads", "1"]
        words += ["--port", str(taken.getsockname()[1])]
        known = {**os.environ, "PYTHONPATH": str(SRC)}
        run = subprocess.run(words, capture_output=True, text=True, env=known, timeout=60)
    assert run.returncode == 2
    assert "cannot listen there" in run.stderr
    code = "import sys\nfrom oddgan import serve\nif __name__ == '__main__':\n    serve.app([sys.argv[1]], workers=1)\n"
    script = made.folder / "left.py"
    script.write_text(code)
    words = [sys.executable, script, made.folder / "numbers"]
    assert subprocess.run(words, env=known, timeout=60).returncode == 0  # though nobody has closed it


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    import oddgan.serve as serving
    from oddgan.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "oddgan.serve.service", None)
    monkeypatch.delattr(serving, "service", raising=False)

    def gone(name, *rest):
        raise ModuleNotFoundError("No module named 'starlette'", name="starlette")

    monkeypatch.setattr("importlib.import_module", gone)
    with pytest.raises(MissingExtra, match=r'pip install "oddgan\[serve\]"'):
        serving.__getattr__("app")
    with pytest.raises(AttributeError):
        serving.__getattr__("nothing")
