"""The page on exports and the service, from lines as the studies write them."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_page_is_that_of_the_committed_lines():
    from benchmarks.pages import serving

    assert serving.PAGE.read_text("utf-8") == serving.text()


def test_committed_faults_lost_nothing():
    from benchmarks.studies import serving_faults

    from oddgan.evaluation.runner import lines_of

    lines = lines_of(serving_faults.FILE, serving_faults.FORM)
    assert {line["fault"] for line in lines} == set(serving_faults.FAULTS)
    for line in lines:
        assert (line["answered"], line["lost"], line["wrong"]) == (line["sent"], 0, 0), line["fault"]
        assert line["tracebacks"] == 0, line["fault"]
    assert {line["fault"]: line["broken"] for line in lines}["SIGKILL of workers"] == 0


def test_ratios_are_of_one_round():
    from benchmarks.pages import serving

    def one(fast, slow, memory):
        part = {"p50_ms": 1.0, "p99_ms": 9.0, "processor_ms": 2.0, "memory_mb": memory, "others": {"503": 1}}
        return {
            "service": part | {"per_second": fast},
            "bare": part | {"per_second": slow},
            "least": {"per_second": 1000.0},
        }

    line = {"model": "m", "kind": "png", "clients": 8, "minutes": 5.0, "rounds": [one(50, 100, 10), one(90, 100, 12)]}
    row = serving.of_load((line,)).splitlines()[-1]
    assert "| 70 | 1.0 | 9.0 | 100 | 0.70 (" in row
    assert "| 10, 12, 12 | 2 |" in row
    speed = {
        "detector": "vae",
        "case": "digits",
        "threads": 1,
        "loss": {kind: {"relative": 0.25, "auroc": 0.9, "verdicts_differ": 3} for kind in ("torch", "onnx int8")},
        "milliseconds": {str(n): {"torch": [8.0, 4.0, 6.0], "onnx int8": [2.0, 2.0, 2.0]} for n in (1, 64)},
    }
    row = serving.of_speed((speed,)).splitlines()[-1]
    assert "| onnx int8 | 6.00 | 6.00 | 3.00 (2.00 to 4.00) |" in row
    assert "| 2e-01 | 3 | 0.900 | 0.900 |" in row


def test_requests_are_as_the_service_reads_them():
    """A request that the studies send, taken apart."""
    import numpy as np
    from benchmarks.studies import served

    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    head, body = served.tensor("m", picture).split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /v2/models/m/infer HTTP/1.1\r\n")
    assert b"content-length: %d" % len(body) in head
    assert body.endswith(picture.tobytes())
    head, body = served.upload("m", picture).split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /models/m/score HTTP/1.1\r\n")
    assert served.png(picture) in body
