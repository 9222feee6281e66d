"""POST /score: pictures as files, rows as JSON; names and versions; the token; metrics."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from serve_small import png

import oddgan
from oddgan import serve as serving
from oddgan import testing
from oddgan.errors import ParameterError
from oddgan.serve.models import named


def test_pictures_as_files(serve, made, scorers):
    client = serve()
    files = [("file", ("bar.png", png(made.pictures[-1]))), ("file", ("plain.bmp", png(made.pictures[0], "BMP")))]
    found = client.post("/models/parts/score?map=1", files=files).json()
    expected = scorers.parts.explain(made.pictures[[-1, 0]])
    assert found["model"] == "parts"
    assert found["version"] == "1"
    assert found["threshold"] == pytest.approx(scorers.parts.threshold_, rel=1e-8)
    assert found["false_alarm_rate"] == scorers.parts.false_alarm_rate_
    assert [one["name"] for one in found["results"]] == ["bar.png", "plain.bmp"]
    for i, one in enumerate(found["results"]):
        assert one["score"] == pytest.approx(expected.score[i], rel=1e-8)
        assert one["p_value"] == pytest.approx(expected.p_value[i], rel=1e-8)
        assert one["verdict"] == ("anomaly" if expected.is_anomaly[i] else "normal")
        assert [region["box"] for region in one["regions"]] == [list(r.box) for r in expected.regions(i)]
        layer = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["map"].partition(",")[2]))))
        assert layer.shape == (16, 16, 4)
        assert np.array_equal(layer[..., 3].max() > 0, expected.anomaly_map[i].max() > scorers.parts.map_threshold / 2)
    first = found["results"][0]
    assert first["verdict"] == "anomaly"
    assert set(first["regions"][0]) == {"box", "area", "peak", "value", "contour"}
    one = client.post(
        "/models/parts/score?regions=0", content=png(made.pictures[-1]), headers={"content-type": "image/png"}
    )
    assert one.json()["results"] == [{"name": "picture", **{k: first[k] for k in ("score", "p_value", "verdict")}}]


def test_a_bad_picture_fails_no_other(serve, made):
    client, good = serve(), png(made.pictures[0])
    files = {
        "good.png": good,
        "cut.png": good[:80],
        "text.png": b"hello",
        "wide.png": png(np.zeros((16, 20), np.uint8)),
    }
    sent = [("file", (name, data)) for name, data in files.items()]
    found = client.post("/models/parts/score", files=sent)
    assert found.status_code == 200
    verdicts = {one["name"]: one["verdict"] for one in found.json()["results"]}
    assert verdicts == {"good.png": verdicts["good.png"], **dict.fromkeys(list(files)[1:], "unusable")}
    assert verdicts["good.png"] in ("normal", "anomaly")
    assert "every training picture had 16x16" in found.json()["results"][3]["reason"]
    alone = client.post("/models/parts/score", files=sent[2:3])
    assert alone.status_code == 400
    assert alone.json()["error"].startswith("text.png: it is not a picture")
    assert client.post("/models/parts/score", files=sent[1:]).status_code == 400


def test_rows_as_json(serve, made, scorers):
    client = serve(models={"flows": scorers.flows})
    rows = made.frame[:3].to_dict("records")
    found = client.post("/score", json={"rows": rows}).json()["results"]
    score, shares = scorers.flows.score_and_shares(made.frame[:3])
    assert [one["score"] for one in found] == pytest.approx(score, rel=1e-8)
    assert list(found[1]["shares"].values()) == pytest.approx(shares[1], rel=1e-8)
    assert list(found[1]["shares"]) == list(made.frame.columns)
    assert client.post("/score", json={"row": rows[1]}).json()["results"][0]["score"] == found[1]["score"]
    assert (
        client.post("/score", json={"row": list(rows[1].values())}).json()["results"][0]["score"] == found[1]["score"]
    )
    missing = {**rows[0], "bytes": None, "service": None}
    assert client.post("/score", json={"row": missing}).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'neither {"row": ...} nor {"rows": [...]}'),
        ({"row": {}, "rows": []}, "neither"),
        ({"rows": {}}, "rows are not a list"),
        ({"rows": []}, "there are no rows"),
        ({"row": 3}, "neither an object by column nor a list"),
        ({"row": [1, 2]}, "row 0 has 2 values, and the model takes 3"),
        ({"row": {"bytes": 1, "service": "http"}}, "row 0 has no column 'encrypted'"),
        ({"row": {"bytes": 1, "service": "http", "encrypted": True, "x": 1}}, "row 0 has a column 'x'"),
        ({"rows": [[1, "a", True], ["1", "a", True]]}, "row 1, column 'bytes': '1' is not a number"),
        ({"row": [True, 1.5, True]}, "row 0, column 'service': 1.5 is not text"),
        ({"row": [1, True, True]}, "row 0, column 'service': True is not text, and training had no such value"),
        ({"row": [1, "a", "perhaps"]}, "row 0, column 'encrypted': 'perhaps' is neither true nor false"),
        ({"row": [10**400, "a", True]}, "row 0, column 'bytes': the number is too large"),
        ({"row": [[], "a", True]}, "row 0, column 'bytes': [] is not a number"),
    ],
)
def test_rows_that_are_refused(serve, body, message):
    response = serve().post("/models/flows/score", json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_true_and_false_as_the_training_rows_spell_them(serve, made):
    random = np.random.default_rng(0)
    pandas = pytest.importorskip("pandas")
    words = np.where(random.random(60) < 0.5, "true", "false")  # as a CSV file has them
    frame = pandas.DataFrame({"bytes": random.normal(size=60), "encrypted": words})
    detector = testing.small(oddgan.PCA).fit(frame)
    client = serve(models={"flows": detector})
    rows = [{"bytes": 0.5, "encrypted": True}, {"bytes": 0.5, "encrypted": False}]
    expected = detector.anomaly_score(pandas.DataFrame({"bytes": [0.5, 0.5], "encrypted": ["true", "false"]}))
    assert [one["score"] for one in client.post("/score", json={"rows": rows}).json()["results"]] == pytest.approx(
        expected, rel=1e-8
    )


def test_names_in_halves_of_characters(serve, made):
    form = b'--B\r\nContent-Disposition: form-data; name="a"; filename="+2AA-.png"\r\n\r\n%s\r\n--B--\r\n'
    kind = {"content-type": "multipart/form-data; boundary=B; charset=utf-7"}
    found = serve().post("/models/parts/score", content=form % png(made.pictures[0]), headers=kind)
    assert (found.status_code, found.json()["results"][0]["name"]) == (200, "?.png")


def test_what_comes_as_the_wrong_kind(serve, made):
    client, file = serve(), {"file": ("a.png", png(made.pictures[0]))}
    assert client.post("/models/flows/score", files=file).status_code == 415
    assert client.post("/models/parts/score", json={"row": {}}).status_code == 415
    assert client.post("/models/parts/score", content=b"x").status_code == 415
    several = client.post("/score", files=file)
    assert (several.status_code, "there are several models" in several.json()["error"]) == (400, True)
    assert "holds no file" in client.post("/models/parts/score", data={"a": "b"}, files={"c": (None, "d")}).text
    broken = {"content-type": "multipart/form-data"}
    assert client.post("/models/parts/score", content=b"x", headers=broken).status_code == 400
    broken = {"content-type": "multipart/form-data; boundary=a"}
    assert client.post("/models/parts/score", content=b"--a\r\nx", headers=broken).status_code == 400
    packed = {"content-encoding": "gzip", "content-type": "image/png"}
    assert client.post("/models/parts/score", content=b"x", headers=packed).status_code == 415
    assert client.post("/models/parts/score?map=yes", files=file).status_code == 400


def test_names_and_versions(serve, made, scorers):
    assert named("a/b.oddgan")[:2] == ("b", 1)
    assert named("line:12=a/b.oddgan")[:2] == ("line", 12)
    for text, message in (
        ("a b.oddgan", "is no name for a model"),
        ("=x", "is no name"),
        ("a:0=x", "whole number from 1 on"),
        ("a:x=y", "whole number"),
    ):
        with pytest.raises(ParameterError, match=message):
            named(text)
    with pytest.raises(ParameterError, match=r"a model parts of version 1 already; say parts:2="):
        serving.app([made.folder / "parts", made.folder / "parts.oddgan"], token="")
    with pytest.raises(ParameterError, match="no model to serve"):
        serving.app([], token="")
    client = serve(models=[f"parts:9={made.folder / 'parts'}", f"parts:10={made.folder / 'parts.oddgan'}"])
    assert client.get("/v2/models/parts").json()["versions"] == ["9", "10"]
    file = {"file": ("a.png", png(made.pictures[-1]))}
    ten, nine = (
        client.post("/score", files=file).json(),
        client.post("/models/parts/versions/9/score", files=file).json(),
    )
    assert (ten["version"], nine["version"]) == ("10", "9")
    assert ten["results"][0]["score"] == pytest.approx(made.detector.anomaly_score(made.pictures[-1:])[0], rel=1e-8)
    assert client.get("/models").json()["models"][1]["platform"] == "oddgan_torch"


def test_the_token(serve, made):
    client = serve(token="secret word")
    file = {"file": ("a.png", png(made.pictures[0]))}
    for path in ("/v2/health/live", "/v2/health/ready", "/", "/page.js", "/page.css"):
        assert client.get(path).status_code == 200
    for path in ("/v2", "/models", "/metrics", "/v2/models/parts"):
        assert client.get(path).status_code == 401
    for given in ("", "Bearer", "Bearer secret", "Basic secret word", "Bearer sécret word".encode()):
        refused = client.post("/models/parts/score", files=file, headers={"Authorization": given})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    right = {"Authorization": "Bearer secret word"}
    assert client.post("/models/parts/score", files=file, headers=right).status_code == 200
    assert client.get("/metrics", headers=right).status_code == 200


def test_pages_of_other_sites_are_refused(serve):
    client = serve()
    assert client.get("/models", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/models", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "style=" not in page.text


def figures(client):
    """What /metrics says, by name and labels."""
    text = client.get("/metrics").text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_metrics(serve, made, scorers):
    from scipy import stats

    client = serve(models={"numbers": scorers.numbers}, window=40)
    assert "oddgan_recent_uniformity_p{" not in client.get("/metrics").text
    of = 'model="numbers",version="1"'
    rows = np.random.default_rng(3).normal(size=(50, 3))
    for row in rows:
        assert client.post("/score", json={"row": row.tolist()}).status_code == 200
    client.post("/score", json={"row": [1]})
    found, flagged = figures(client), scorers.numbers.predict(rows) < 0
    assert found['oddgan_verdicts_total{model="numbers",verdict="anomaly",version="1"}'] == flagged.sum()
    assert found['oddgan_verdicts_total{model="numbers",verdict="normal",version="1"}'] == (~flagged).sum()
    assert found[f"oddgan_batch_rows_sum{{{of}}}"] == 50
    assert found['oddgan_request_seconds_count{route="/score",status="200"}'] == 50
    assert found['oddgan_refused_total{reason="malformed"}'] == 1
    assert found[f"oddgan_recent_rows{{{of}}}"] == 40
    assert found[f"oddgan_recent_flagged_share{{{of}}}"] == pytest.approx(flagged[10:].mean())
    assert found[f"oddgan_queue_rows{{{of}}}"] == found["oddgan_held_bytes"] == 0
    calibration = scorers.numbers.calibration.scores
    expected = stats.ks_2samp(scorers.numbers.score(rows[10:]), calibration, method="exact").pvalue
    assert found.get(f"oddgan_recent_uniformity_p{{{of}}}", expected) == pytest.approx(expected)
    assert (f"oddgan_recent_uniformity_p{{{of}}}" in found) == (len(calibration) >= 10)


def test_a_row_is_the_same_in_a_request_on_standard_input_and_in_a_file(serve, made, scorers, tmp_path, capsys):
    from oddgan.cli import main
    from oddgan.cli.items import Table
    from oddgan.cli.lines import Line

    services = ["http", " http ", "", "NA", "null", "unseen", None, "dns"]
    truths = [True, "TRUE", "", "false", 0, " True", None, "0"]
    rows = [
        {"bytes": 100.0 + i, "service": one, "encrypted": truth}
        for i, (one, truth) in enumerate(zip(services, truths, strict=True))
    ]
    client = serve(models={"flows": scorers.flows})
    found = client.post("/score", json={"rows": rows}).json()["results"]
    like = client.service.models.only().like
    reader = Table(like)
    items = [reader.item(Line(i, json.dumps(row).encode())) for i, row in enumerate(rows)]
    assert not any(item.error for item in items)
    streamed = scorers.flows.score(like.matched(reader.rows(items)))
    assert [one["score"] for one in found] == pytest.approx(streamed.tolist(), rel=1e-8)

    file = tmp_path / "t.csv"
    spelled = {0: "false", True: "true", None: "", "0": "false"}
    lines = [f"{row['bytes']},{row['service'] or ''},{spelled.get(row['encrypted'], row['encrypted'])}" for row in rows]
    file.write_text("\n".join(["bytes,service,encrypted", *lines]) + "\n")
    assert main(["score", str(made.folder / "flows"), str(file), "--format", "jsonl"]) in (0, 4)
    read = [json.loads(line)["score"] for line in capsys.readouterr().out.splitlines()]
    assert [one["score"] for one in found] == pytest.approx(read, rel=1e-6)


def test_texts_of_training_are_no_missing_values():
    from oddgan.rows.cells import Column, Unfit

    country = Column("category", ["NA", " x", "true"])
    given = ["NA", " x", "x ", "", "na", None, 7, True]
    assert [country.value(one) for one in given] == ["NA", " x", "x", None, None, None, "7", "true"]
    for column, bad in ((country, False), (country, 1.5), (Column("number"), ""), (Column("boolean"), 2)):
        with pytest.raises(Unfit):
            column.value(bad)
