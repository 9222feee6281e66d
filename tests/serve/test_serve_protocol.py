"""The Open Inference Protocol v2, by hand: what it answers, and what it refuses."""

import base64
import json
import re
import struct

import numpy as np
import pytest
from serve_small import Client, png

BINARY = "Inference-Header-Content-Length"


def infer(client, model, head, rest=b"", binary=False, **headers):
    """A request; `rest` is its binary data."""
    text = json.dumps(head).encode()
    if rest or binary:
        headers[BINARY] = str(len(text))
    return client.post(f"/v2/models/{model}/infer", content=text + rest, headers=headers)


def outputs(response):
    """The outputs of a response, as JSON or binary data, by name."""
    assert response.status_code == 200, response.text
    body, found = response.content, {}
    length = int(response.headers.get(BINARY, len(body)))
    head, rest = json.loads(body[:length]), body[length:]
    for one in head["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size")
        dtype = {"FP64": "<f8", "FP32": "<f4", "BOOL": "?"}[one["datatype"]]
        if size is None:
            values = np.array(one["data"], dtype)
        else:
            values, rest = np.frombuffer(rest[:size], dtype), rest[size:]
        found[one["name"]] = values.reshape(one["shape"])
    assert not rest
    return found, head


def tensor(array, name="x", datatype="UINT8"):
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.tolist()}


def columns(frame):
    """One input a column."""
    kinds = {"f": "FP64", "b": "BOOL"}
    return [
        {"name": name, "datatype": kinds.get(frame[name].dtype.kind, "BYTES"), "shape": [len(frame)],
         "data": frame[name].tolist()}
        for name in frame.columns
    ]  # fmt: skip


def test_it_says_what_there_is(serve):
    client = serve()
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data", "model_repository"]
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert client.get(path).json()["live"] is True
    about = client.get("/v2/models/flows").json()
    assert about["versions"] == ["1"]
    assert about["inputs"] == [
        {"name": "bytes", "datatype": "FP64", "shape": [-1]},
        {"name": "service", "datatype": "BYTES", "shape": [-1]},
        {"name": "encrypted", "datatype": "BOOL", "shape": [-1]},
    ]
    assert [one["name"] for one in about["outputs"]] == ["score", "p_value", "is_anomaly", "shares"]
    pictures = client.get("/v2/models/parts/versions/1").json()
    assert pictures["inputs"] == [{"name": "x", "datatype": "UINT8", "shape": [-1, 16, 16, 1]}]
    assert client.get("/v2/models/parts/ready").json() == {"name": "parts", "ready": True}
    assert {one["name"] for one in client.post("/v2/repository/index").json()} == {"parts", "flows", "numbers"}


@pytest.mark.parametrize("binary", [False, True])
def test_pictures_as_tensors(serve, made, scorers, binary):
    client, x = serve(), made.pictures[-4:, ..., None]
    head = {"id": "a1", "inputs": [tensor(x)], "parameters": {"binary_data_output": binary}}
    if binary:
        del head["inputs"][0]["data"]
        head["inputs"][0]["parameters"] = {"binary_data_size": x.size}
    found, about = outputs(infer(client, "parts", head, x.tobytes() if binary else b""))
    assert (about["id"], about["model_name"], about["model_version"]) == ("a1", "parts", "1")
    assert list(found) == ["score", "p_value", "is_anomaly"]
    expected = scorers.parts.explain(made.pictures[-4:])
    for name in found:
        assert np.array_equal(found[name], getattr(expected, name)), name
    asked = [{"name": "anomaly_map", "parameters": {"binary_data": True}}, {"name": "score"}]
    found, about = outputs(infer(client, "parts", {"inputs": [tensor(x)], "outputs": asked}))
    assert "id" not in about
    assert np.array_equal(found["anomaly_map"], np.stack(expected.anomaly_map))
    assert np.array_equal(found["score"], expected.score)


def test_encoded_pictures(serve, made, scorers):
    client, files = serve(), [png(made.pictures[-1]), png(made.pictures[0], "BMP")]
    expected = scorers.parts.score(made.pictures[[-1, 0]])
    packed = b"".join(struct.pack("<I", len(one)) + one for one in files)
    one = {"name": "x", "datatype": "BYTES", "shape": [2]}
    head = {"inputs": [{**one, "parameters": {"binary_data_size": len(packed)}}]}
    assert np.array_equal(outputs(infer(client, "parts", head, packed))[0]["score"], expected)
    texts = [base64.b64encode(files[0]).decode(), "data:image/bmp;base64," + base64.b64encode(files[1]).decode()]
    head = {"inputs": [{**one, "shape": [2, 1], "data": texts}]}
    assert np.array_equal(outputs(infer(client, "parts", head))[0]["score"], expected)


def test_tables_by_column_and_as_one(serve, made, scorers):
    client, some = serve(), made.frame[:5]
    asked = [{"name": name} for name in ("score", "is_anomaly", "shares")]
    found, _ = outputs(infer(client, "flows", {"inputs": columns(some), "outputs": asked}))
    score, shares = scorers.flows.score_and_shares(some)
    assert np.array_equal(found["score"], score)
    assert np.array_equal(found["shares"], shares.astype(np.float32))
    missing = columns(some)
    missing[0]["data"][2], missing[1]["data"][3] = None, ""
    frame = some.copy()
    frame.loc[2, "bytes"], frame.loc[3, "service"] = np.nan, None
    assert np.array_equal(outputs(infer(client, "flows", {"inputs": missing}))[0]["score"], scorers.flows.score(frame))
    x = made.matrix[:4]
    head = {"inputs": [tensor(x, datatype="FP64")]}
    assert np.array_equal(outputs(infer(client, "numbers", head))[0]["score"], scorers.numbers.score(x))
    apart = [tensor(x[:, i : i + 1].astype(np.float32), f"column {i}", "FP32") for i in range(3)]
    found, _ = outputs(infer(client, "numbers", {"inputs": apart}))
    assert np.array_equal(found["score"], scorers.numbers.score(x.astype(np.float32).astype(np.float64)))


def _picture(**changes):
    return {"inputs": [{**tensor(np.full((1, 16, 16, 1), 90)), **changes}]}


SMALL = {"name": "x", "datatype": "UINT8"}
WRONG = [
    ("parts", "[" * 100_000, "nested too deeply|not JSON"),
    ("parts", "[1", "not JSON"),
    ("parts", '{"inputs": [{"data": [NaN]}]}', "NaN is no number in JSON"),
    ("parts", '{"inputs": [' + "9" * 5000 + "]}", "not JSON"),
    ("parts", "[]", "the request is not an object"),
    ("parts", b"\xff\xfe", "not JSON"),
    ("parts", {"inputs": []}, "there are no inputs"),
    ("parts", {"inputs": 3}, "there are no inputs"),
    ("parts", {"inputs": [3]}, "not an object with a name"),
    ("parts", {"id": 7, "inputs": [SMALL]}, "id 7 is not text"),
    ("parts", _picture(name="image"), "no input 'x'; the model takes x, pictures"),
    ("parts", _picture(datatype="FP8"), "datatype 'FP8'; there are BOOL"),
    ("parts", _picture(datatype="FP32"), "the model takes UINT8 pictures"),
    ("parts", _picture(shape=[1, 16, 16, 2]), "takes 512 values, and there are 256"),
    ("parts", _picture(shape=[1, -16, 16, 1]), "none below 0"),
    ("parts", _picture(shape=[2**50]), "has shape .*, which no body holds"),
    ("parts", _picture(shape=[2**39, 2**39, 2**39]), "has shape .*, which no body holds"),
    ("parts", _picture(shape=[0, 2**39, 2**39, 1], data=[]), "has shape .*, which no body holds"),
    ("parts", '{"inputs": [{"name": "x", "name": "y"}]}', "has 'name' twice"),
    ("parts", _picture(shape=[1] * 9), "a shape is a list of numbers"),
    ("parts", _picture(shape=[True, 16, 16, 1]), "a shape is a list of numbers"),
    ("parts", _picture(shape="1"), "a shape is a list of numbers"),
    ("parts", _picture(shape=[256]), "pictures are \\[n, height, width, channels\\]"),
    ("parts", _picture(shape=[1, 8, 32, 1]), "picture 0: 8x32 pixels, but every training picture had 16x16"),
    ("parts", _picture(shape=[0, 16, 16, 1], data=[]), "holds no picture"),
    ("parts", _picture(data=[[1], 2]), "nested unevenly"),
    ("parts", _picture(data="AAAA"), "is not a list"),
    ("parts", _picture(data=[300] * 256), "beyond the range of UINT8"),
    ("parts", _picture(data=[1.5] * 256), "is 1.5, which is no UINT8"),
    ("parts", _picture(data=[True] * 256), "is True, which is no UINT8"),
    ("parts", _picture(parameters={"binary_data_size": 256}), "both data and binary_data_size"),
    ("parts", {"inputs": [{**SMALL, "shape": [1], "parameters": {"binary_data_size": 9}}]}, "0 bytes are left"),
    ("parts", {"inputs": [{**SMALL, "shape": [1], "parameters": {"binary_data_size": -1}}]}, "binary_data_size -1"),
    ("parts", {"inputs": [{**SMALL, "shape": [1]}]}, "neither data nor binary_data_size"),
    ("parts", _picture(parameters={"shared_memory_region": "r"}), "shared memory"),
    ("parts", _picture(parameters=[]), "are not an object"),
    ("parts", {"inputs": [{**SMALL, "datatype": "BYTES", "shape": [1], "data": ["%%"]}]}, "picture 0 is not base64"),
    (
        "parts",
        {"inputs": [{**SMALL, "datatype": "BYTES", "shape": [1], "data": ["AAAA"]}]},
        "picture 0: it is not a pic",
    ),
    ("parts", {"inputs": [{**SMALL, "datatype": "BYTES", "shape": [1], "data": [""]}]}, "picture 0: is empty"),
    ("parts", {"inputs": [{**SMALL, "datatype": "BYTES", "shape": [1], "data": [7]}]}, "not a list of texts"),
    ("parts", {**_picture(), "outputs": [{"name": "map"}]}, "no output 'map'; the model gives score"),
    ("parts", {**_picture(), "outputs": [{"name": "score"}] * 2}, "asked for twice"),
    ("parts", {**_picture(), "outputs": [{"name": "score", "parameters": {"classification": 2}}]}, "not known"),
    ("parts", {**_picture(), "outputs": 3}, "not a list"),
    ("parts", {**_picture(), "parameters": 3}, "parameters are not an object"),
    ("parts", {"inputs": 2 * _picture()["inputs"]}, "more than the model takes"),
    ("numbers", {"inputs": [tensor(np.zeros((2, 4)), datatype="FP64")]}, "the model takes \\[n, 3\\]"),
    ("numbers", {"inputs": [tensor(np.zeros((0, 3)), datatype="FP64")]}, "no rows"),
    ("numbers", '{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 3], "data": [1e999, 0, 0]}]}', "infinite"),
    (
        "numbers",
        {"inputs": [{**tensor(np.zeros((1, 3)), datatype="FP64"), "data": [0, None, 0]}]},
        "no value is missing",
    ),
    ("numbers", {"inputs": [tensor(np.zeros(2), "column 0", "FP64")]}, "there is no column 'column 1'"),
    (
        "numbers",
        {"inputs": [tensor(np.zeros(n), f"column {n - 1}", "FP64") for n in (1, 2, 3)]},
        "column 'column 1' has",
    ),
    ("numbers", {"inputs": [tensor(np.zeros((2, 2)), f"column {i}", "FP64") for i in range(3)]}, "a column is \\[n\\]"),
    ("flows", {"inputs": [tensor(np.zeros((2, 3)), datatype="FP64")]}, "column 'service' holds text"),
]


@pytest.fixture(scope="module")
def running(scorers):
    """One client for all that is refused."""
    from oddgan import serve as serving

    application = serving.app(vars(scorers), token="")
    yield Client(application)
    application.state.service.scoring.close()


@pytest.mark.parametrize(("model", "request_", "message"), WRONG, ids=lambda one: str(one)[:40])
def test_what_is_malformed_is_refused(running, model, request_, message):
    content = request_ if isinstance(request_, str | bytes) else json.dumps(request_)
    response = running.post(f"/v2/models/{model}/infer", content=content)
    assert response.status_code == 400, response.text
    (error,) = response.json().values()
    assert "\n" not in error
    assert re.search(message, error), error
    assert running.get("/v2/health/ready").status_code == 200
    assert running.service.scoring.memory.held == 0


@pytest.mark.parametrize(
    ("rest", "shape", "size", "message"),
    [
        (b"\0" * 255, [1, 16, 16, 1], 255, "takes 256 bytes, and there are 255"),
        (b"\0" * 257, [1, 16, 16, 1], 256, "1 bytes are left after the last input"),
        (b"\0" * 4, [2**39], 4, "takes 549,755,813,888 bytes"),
    ],
)
def test_binary_data_must_fit(running, rest, shape, size, message):
    head = {"inputs": [{**SMALL, "shape": shape, "parameters": {"binary_data_size": size}}]}
    response = infer(running, "parts", head, rest)
    assert (response.status_code, message in response.json()["error"]) == (400, True), response.text


@pytest.mark.parametrize(
    ("rest", "shape", "message"),
    [
        (struct.pack("<I", 5) + b"abc", [1], "element 0 of input 'x' is longer than what is left"),
        (struct.pack("<I", 3) + b"abc", [2], "too few for 2 elements"),
        (struct.pack("<I", 3) + b"abcd", [1], "1 bytes after its last element"),
        (b"abc", [2**38], "too few for"),
    ],
)
def test_elements_must_fit(running, rest, shape, message):
    size = {"binary_data_size": len(rest)}
    head = {"inputs": [{**SMALL, "datatype": "BYTES", "shape": shape, "parameters": size}]}
    response = infer(running, "parts", head, rest)
    assert (response.status_code, message in response.json()["error"]) == (400, True), response.text


def test_a_header_length_that_is_none(running):
    for length in ("x", "-1", "99999", b"\xb2", "9" * 5000):
        response = running.post("/v2/models/parts/infer", content=b"{}", headers={BINARY: length})
        assert response.status_code == 400
        assert "inference-header-content-length is" in response.json()["error"]


def test_models_that_are_not_there(running):
    for path in ("/v2/models/nothing", "/v2/models/parts/versions/2", "/v2/models/parts/versions/x", "/nowhere"):
        response = running.get(path)
        assert response.status_code == 404
        assert response.json()["error"].startswith(("there is no", "model parts has no version"))
    response = running.get("/v2/models/parts/infer")
    assert (response.status_code, response.json()) == (405, {"error": "GET is not taken here"})
    assert response.headers["allow"] == "POST"
