"""What a service does not take, and what it holds meanwhile."""

import asyncio
import base64
import io
import math
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from serve_small import Client, png

from oddgan import serve as serving
from oddgan.errors import ParameterError
from oddgan.serve.limits import Memory, Refusal

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "bad",
    [
        {"queue": 0},
        {"max_body": 0},
        {"timeout": 0},
        {"max_wait": -1},
        {"max_wait": 31.0},
        {"max_batch": 0},
        {"timeout": math.inf},
    ],
)
def test_limits_that_are_none(bad):
    with pytest.raises(ParameterError, match=next(iter(bad))):
        serving.Limits(**bad)


def test_memory_is_given_back():
    memory = Memory(100)
    with memory.account() as one, memory.account() as other:
        one.take(60)
        with pytest.raises(Refusal, match="full") as full:
            other.take(50)
        with pytest.raises(Refusal, match="holds 100") as large:
            other.take(101)
        assert (full.value.status, large.value.status) == (503, 413)
        one.give(20)
        other.take(50)
        assert memory.held == 90
    assert memory.held == 0


def test_a_long_body_is_refused_before_it_is_read(serve):
    client = serve(max_body=1000)
    response = client.post("/models/flows/score", content=b"x" * 1001, headers=JSON)
    assert response.status_code == 413
    assert "longer than 1,000 bytes" in response.json()["error"]
    read = []

    async def endless():
        for _ in range(10_000):
            read.append(100)
            yield b"x" * 100

    response = client.post("/models/flows/score", content=endless(), headers=JSON)  # in chunks, without a length
    assert response.status_code == 413
    assert sum(read) < 3000
    assert client.service.scoring.memory.held == 0


def test_long_json_is_refused(serve):
    client = serve(max_json=500)
    for path in ("/models/flows/score", "/v2/models/flows/infer"):
        response = client.post(path, content=b" " * 501, headers=JSON)
        assert (response.status_code, "bytes of JSON" in response.json()["error"]) == (413, True)


def test_memory_that_is_full(serve, made):
    client = serve(memory=20_000)
    service = client.service.scoring
    service.memory.take(19_500)
    response = client.post("/models/parts/score", files={"file": ("a.png", png(made.pictures[0]))})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    service.memory.give(19_500)
    assert client.post("/models/parts/score", files={"file": ("a.png", png(made.pictures[0]))}).status_code == 200
    large = client.post("/models/parts/score", content=b"x" * 20_001, headers={"content-type": "image/png"})
    assert large.status_code == 413
    assert service.memory.held == 0


def bomb(side):
    """A PNG of side x side pixels in a few kilobytes."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    data = zlib.compress(b"\0" * min(side * (side + 1), 10**6), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_pictures_that_unfold_are_refused_before_they_do(serve, made):
    client = serve(max_pixels=10_000)
    for side in (101, 12_000, 2**31 - 1):
        response = client.post("/models/parts/score", files={"file": ("b.png", bomb(side))})
        assert response.status_code == 413, response.text
        assert "pixels" in response.json()["error"]
        assert "ODDGAN_MAX_PIXELS" not in response.text  # which is for whoever runs the service
    both = [("file", ("b.png", bomb(12_000))), ("file", ("a.png", png(made.pictures[0])))]
    verdicts = [one["verdict"] for one in client.post("/models/parts/score", files=both).json()["results"]]
    assert verdicts[0] == "unusable"
    assert verdicts[1] != "unusable"
    assert client.service.scoring.memory.held == 0


def test_files_of_other_kinds(serve):
    client, buffer = serve(), io.BytesIO()
    frames = [Image.fromarray(np.full((16, 16), i, np.uint8)) for i in (0, 200)]
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    gif = io.BytesIO()
    frames[0].save(gif, "GIF")
    for data, message in (
        (buffer.getvalue(), "holds several pictures"),
        (gif.getvalue(), "not a picture in PNG"),
        (b"", "is empty"),
        (png(np.zeros((4, 4), np.uint8)), "at least 8 x 8"),
        (png(np.zeros((16, 16, 3), np.uint8)), "3 channel(s), but every training picture had 1"),
        (png(np.zeros((16, 16), np.uint16)), "deeper than 8-bit"),
    ):
        response = client.post("/models/parts/score", files={"file": ("a", data)})
        assert response.status_code == 400
        assert message in response.json()["error"]
        assert "--skip-bad" not in response.text


def test_more_rows_than_the_queue_holds(serve):
    client = serve(queue=3)
    response = client.post("/models/numbers/score", json={"rows": [[0, 0, 0]] * 4})
    assert response.status_code == 413
    assert "at most 3 are taken" in response.json()["error"]
    assert client.post("/models/numbers/score", json={"rows": [[0, 0, 0]] * 3}).status_code == 200


def test_a_body_that_comes_slowly(serve):
    async def slowly():
        yield b'{"row": '
        await asyncio.sleep(5)
        yield b"[0, 0, 0]}"

    client = serve(read_timeout=0.05)
    response = client.post("/models/numbers/score", content=slowly(), headers=JSON)
    assert response.status_code == 408
    assert client.service.scoring.memory.held == 0


def test_a_failure_is_an_answer(serve, scorers, caplog):
    class Failing:
        def __getattr__(self, name):
            return getattr(scorers.numbers, name)

        def anomaly_score(self, rows):
            raise RuntimeError("out of luck")

        def score_and_shares(self, rows):
            raise RuntimeError("out of luck")

    client = serve(models={"numbers": Failing()})
    response = client.post("/score", json={"row": [0, 0, 0]})
    assert response.status_code == 500
    assert "luck" not in response.text
    assert "out of luck" in caplog.text
    assert client.get("/v2/health/ready").status_code == 200


def test_a_client_that_is_gone(serve):
    client = serve()

    async def left():
        sent = []

        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/models/numbers/score", "headers": headers,
                 "query_string": b"", "http_version": "1.1", "scheme": "http"}  # fmt: skip
        await client.application(scope, receive, send)
        return sent

    assert asyncio.run(left())[0]["status"] == 499
    assert client.service.scoring.memory.held == 0


def test_pages_of_other_sites_and_other_names_are_refused(scorers):
    def asked(token="", hosts=(), **headers):
        application = serving.app({"numbers": scorers.numbers}, token=token, hosts=hosts)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return Client(application).get("/models", headers=named)
        finally:
            application.state.service.scoring.close()

    for host in ("127.0.0.1:8080", "[::1]:8080", "localhost", "oddgan:8080", "a.localhost", "192.0.2.1"):
        assert asked(Host=host).status_code == 200
    rebound = asked(Host="evil.example:8080")
    assert (rebound.status_code, rebound.json()["error"].partition(";")[0]) == (
        403,
        "'evil.example' is no name of this service",
    )
    for hosts in (["Scores.example"], ["*"]):
        assert asked(hosts=hosts, Host="scores.example:8080").status_code == 200
    bearer = {"Authorization": "Bearer t"}  # which a page that was given another name does not have
    assert asked(token="t", Host="scores.example", **bearer).status_code == 200

    own = {"Host": "localhost:8080", "Origin": "http://localhost:8080"}
    assert asked(**own).status_code == 200
    for origin in ("http://localhost:3000", "https://evil.example", "null"):
        assert asked(**{**own, "Origin": origin}).status_code == 403
        assert asked(token="t", **{**own, **bearer, "Origin": origin}).status_code == 403
    behind = {"Host": "127.0.0.1:8080", "Origin": "https://scores.example"}  # a proxy that does not pass on the name
    assert asked(**behind).status_code == 403
    assert asked(hosts=["scores.example"], **behind).status_code == 200
    assert asked(Host="localhost", Origin="http://localhost:80").status_code == 200


def test_a_service_that_is_about_to_stop_is_not_ready(serve):
    client = serve()
    assert client.get("/v2/health/ready").status_code == 200
    client.service.stop()
    assert client.get("/v2/health/ready").status_code == 503
    assert client.get("/v2/models/numbers/ready").json()["ready"] is False


@pytest.mark.parametrize("way", ["form", "tensors"])
def test_the_clock_runs_while_pictures_are_decoded(serve, made, monkeypatch, way):
    from oddgan.serve import limits, rows

    client, read, later = serve(), [], [0.0]
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + later[0]))
    decoded = rows.decoded

    def slowly(data, name, *rest):
        read.append(name)
        later[0] = 1000.0 * (len(read) == 2)
        return decoded(data, name, *rest)

    monkeypatch.setattr(rows, "decoded", slowly)
    files = [png(made.pictures[i]) for i in range(4)]
    if way == "form":
        sent = [("file", (f"{i}.png", data)) for i, data in enumerate(files)]
        found = client.post("/models/parts/score", files=sent)
    else:
        encoded = [base64.b64encode(data).decode() for data in files]
        x = {"name": "x", "datatype": "BYTES", "shape": [4], "data": encoded}
        found = client.post("/v2/models/parts/infer", json={"inputs": [x]})
    assert found.status_code == 504
    assert len(read) == 2
