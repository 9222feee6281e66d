"""oddgan score MODEL -: a line in, a line of JSON out."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_small import SMALL, picture
from PIL import Image

from oddgan.cli import lines as reading
from oddgan.cli import main
from oddgan.cli.items import parsed
from oddgan.cli.lines import Line, Lines, split
from oddgan.errors import DataError


def answers(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


def without(answer, *keys):
    return {name: value for name, value in answer.items() if name not in keys}


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_the_same_in_whatever_pieces_they_come(size):
    data = b"\xef\xbb\xbfa\r\n\r\n  \nbb b\n" + b"x" * 11 + b"\n" + b"y" * 10 + b"\nlast"
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    found = [(line.number, line.data) for line in split(pieces, longest=10)]
    assert found == [(1, b"a"), (4, b"bb b"), (5, None), (6, b"y" * 10), (7, b"last")]
    assert not list(split([]))


def test_of_a_line_that_is_too_long_little_is_held():
    import tracemalloc

    tracemalloc.start()
    try:
        assert list(split((b"x" * 1000 for _ in range(3000)), longest=5000)) == [Line(1, None)]
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_no_more_is_read_than_may_wait(monkeypatch):
    monkeypatch.setattr(reading, "MOST", 3)
    given = []

    def read():
        given.append(1)
        return b"a\n" if len(given) <= 50 else b""

    lines, taken = Lines(read), []
    while some := lines.take(2, lambda: False):
        assert len(some) <= 2
        taken += some
        assert len(given) <= len(taken) + 3 + 1
    assert [line.number for line in taken] == list(range(1, 51))


def test_lines_that_wait_come_together_up_to_a_block():
    lines = Lines(io.BytesIO(b"a\n" * 10).read)
    while not lines._ended:
        time.sleep(0.001)
    assert [len(lines.take(4, lambda: False)) for _ in range(4)] == [4, 4, 2, 0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(5, "Input/output error"), "Input/output error"),
        (ValueError("I/O operation on closed file."), "I/O operation on closed file."),
        (MemoryError(), "MemoryError"),
    ],
)
def test_input_that_breaks_is_an_error(error, said):
    def read():
        raise error

    with pytest.raises(DataError, match=rf"standard input cannot be read \({said}\)"):
        Lines(read).take(1, lambda: False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "is no JSON: Expecting property name .* at character 1"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON: "),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -1e999}', "is too large"),
        (b'{"a": 1, "a": 2}', "has 'a' twice"),
        (b"\xff{}", r"is not UTF-8 \(byte 0\)"),
        (b"7", "is no JSON object, but 7"),
    ],
)
def test_what_is_no_item(text, says):
    with pytest.raises(DataError, match=says):
        parsed(text)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_are_scored_as_in_a_folder(oddgan, model, folder, lines):
    whole = [json.loads(line) for line in oddgan("score", model, folder / "test", "--format", "jsonl").out.splitlines()]
    paths = [folder / "test" / one["path"] for one in whole]
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    given = {
        "path": paths,
        "object": [json.dumps({"path": str(path), "id": i}) for i, path in enumerate(paths)],
        "content": [json.dumps({"picture": text, "id": "a/b"}) for text in encoded],
    }
    for way, put in given.items():
        lines(*put)
        ran = oddgan("score", model, "-")
        assert ran.code == 0
        found = answers(ran)
        assert [without(one, "line", "id", "path") for one in found] == [without(one, "path") for one in whole]
        assert [one["line"] for one in found] == list(range(1, len(whole) + 1))
        assert [one.get("path") for one in found] == [None if way == "content" else str(path) for path in paths]
        assert found[3].get("id") == {"path": None, "object": 3, "content": "a/b"}[way]


def test_bad_lines_are_answered_on_their_line(oddgan, model, folder, lines, tmp_path):
    good, name = folder / "test/good/000.png", "caf\udce9.png"
    Image.fromarray(picture(5)).save(name)
    Image.fromarray(picture(5)[:, :10]).save("narrow.png")
    content = base64.b64encode(b"no picture").decode()
    put = [
        "\ufeff" + str(good) + "\r",
        "",
        "nothing.png",
        "narrow.png",
        str(folder),
        '{"path": 3}',
        '{"path": "a.png", "picture": ""}',
        '{"id": 4}',
        '{"path": "a.png", "size": 3}',
        '{"path": "a.png", "id": []}',
        '{"path": "a\\u0000b"}',
        '{"picture": "!"}',
        json.dumps({"picture": content, "id": 2}),
        '{"path": "\\ud800.png"}',
        json.dumps({"path": [str(good), str(good)]}),
        name,
        str(good),
    ]
    lines("\n".join(put).encode("utf-8", "surrogateescape") + b"\nz\0.png\n\xff\n" + str(good).encode())
    ran = oddgan("score", model, "-", "--regions", "--false-alarm-rate", "0.2,0.4")
    assert ran.code == 4
    found = answers(ran)
    assert [one["line"] for one in found] == [n for n in range(1, 21) if n != 2]
    assert [one["line"] for one in found if "error" not in one] == [1, 16, 17, 20]
    assert {"path", "score", "p_value", "verdict", "verdict_0.4", "regions"} < found[0].keys()
    assert found[14]["path"] == "caf\ufffd.png"
    said = {one["line"]: one["error"] for one in found if "error" in one}
    for line, words in {
        3: "there is no such file",
        4: "16x10 pixels, but every training picture had 16x12",
        5: "it is a folder",
        6: "path is neither text",
        7: "give either path, or picture",
        8: "give either path, or picture",
        9: "has a key 'size'",
        10: "id is neither",
        11: "path is neither text",
        12: "picture is no base64",
        13: "it is not a picture",
        14: "cannot be opened",
        15: "2 channel(s)",
        18: "holds a NUL",
        19: "no such file",
    }.items():
        assert words in said[line]
    assert "4 rows: " in ran.err
    assert "15 could not be used" in ran.err


def test_what_a_line_is_alone_it_is_among_others(oddgan, model, folder, tmp_path):
    """Lines that come slowly are scored one by one, others together."""
    paths = sorted((folder / "test").rglob("*.png"))
    ends = {}
    for way in ("slow", "fast"):
        into, out = os.pipe()
        output = tmp_path / f"{way}.jsonl"

        def write(way=way, out=out, output=output):
            with os.fdopen(out, "wb") as pipe:
                for n, path in enumerate(paths, start=1):
                    pipe.write(f"{path}\n".encode())
                    pipe.flush()
                    deadline = time.monotonic() + 30
                    while way == "slow" and time.monotonic() < deadline:
                        if output.exists() and output.read_bytes().count(b"\n") == n:
                            break
                        time.sleep(0.001)
                    else:
                        ends[way] = n  # never, unless an answer waits for the next line

        writer = threading.Thread(target=write)
        with os.fdopen(into) as pipe, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", pipe)
            writer.start()
            assert oddgan("score", model, "-", "-o", output).code == 0
            writer.join()
    assert ends == {"fast": len(paths)}
    assert (tmp_path / "slow.jsonl").read_bytes() == (tmp_path / "fast.jsonl").read_bytes()


def test_ctrl_c_finishes_the_line(oddgan, model, folder, tmp_path, monkeypatch):
    into, out = os.pipe()

    def write():
        os.write(out, f"{folder / 'test/good/000.png'}\n".encode())
        while not Path("s.jsonl").exists() or not Path("s.jsonl").stat().st_size:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)  # with standard input still open

    with os.fdopen(into) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        writer = threading.Thread(target=write)
        writer.start()
        ran = oddgan("score", model, "-", "-o", "s.jsonl")
        writer.join()
        os.close(out)
    assert ran.code == 130
    assert "1 row: " in ran.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(Path("s.jsonl").read_text().splitlines()) == 1


def test_a_reader_that_has_seen_enough_ends_it_quietly(exported, folder, tmp_path):
    command = f"yes '{folder / 'test/good/000.png'}' | '{sys.executable}' -m oddgan score '{exported}' - | head -n 1"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True)
    assert len(ran.stdout.splitlines()) == 1
    assert not [line for line in ran.stderr.splitlines() if not line.startswith("yes:")]


def test_an_export_answers_the_same(oddgan, model, exported, folder, lines):
    paths = sorted((folder / "test").rglob("*.png"))
    ends = []
    for one in (model, exported):
        lines(*paths, "nothing.png")
        ran = oddgan("score", one, "-")
        assert ran.code == 4
        ends.append(answers(ran))
    for ours, theirs in zip(*ends, strict=True):
        assert without(ours, "score") == without(theirs, "score")
        assert "error" in ours or ours["score"] == pytest.approx(theirs["score"], rel=1e-5)
    lines(*paths)
    assert oddgan("score", exported, "-", "--fail-on-anomaly").code == 3


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A model of a CSV file with numbers, texts, and true and false; and the file."""
    random, n = np.random.default_rng(0), 80
    place = tmp_path_factory.mktemp("mixed")
    columns = {"a": random.normal(size=n), "n": random.integers(0, 9, n), "kind": random.choice(["x", "y"], n)}
    frame = pd.DataFrame({**columns, "on": random.random(n) < 0.5, "zip": random.integers(100, 104, n)})
    frame.to_csv(place / "t.csv", index=False)
    assert main(["train", str(place / "t.csv"), "-o", str(place / "t.oddgan"), "--category", "zip", *SMALL]) == 0
    return place / "t.oddgan", place / "t.csv", frame


def test_rows_are_scored_as_in_a_file(oddgan, mixed, lines):
    model, file, frame = mixed
    whole = [json.loads(line) for line in oddgan("score", model, file, "--format", "jsonl").out.splitlines()]
    rows = frame.astype(object).to_dict("records")
    for put in (rows, [{"id": i, "row": row} for i, row in enumerate(rows)]):
        lines(*map(json.dumps, put))
        found = answers(oddgan("score", model, "-"))
        assert [without(one, "line", "id") for one in found] == [without(one, "row") for one in whole]
        assert found[7].get("id") == (7 if "id" in put[0] else None)
        assert "%" in found[0]["columns"]


def test_rows_that_do_not_fit(oddgan, mixed, lines):
    row = {"a": 0.5, "n": 3, "kind": "x", "on": True, "zip": "101"}
    bad = {
        "the model has no column extra; leave it out": {**row, "extra": 1},
        'the model has no column id; {"id"': {**row, "id": 1},
        "has no column on; a value that is missing is null": without(row, "on"),
        "column 'a' held numbers in training, and \"1\" is none": {**row, "a": "1"},
        "column 'kind' held text in training, and 1.5 is none": {**row, "kind": 1.5},
        "column 'n': 1000": {**row, "n": 10**400},
        "has a key 'more' beside row": {"row": row, "more": 1},
        "give an object with a value for each column": {"row": [1, 2]},
    }
    good = [row, {**row, "a": None, "kind": None}, {**row, "kind": "unseen", "zip": 7, "n": True}]
    lines(*map(json.dumps, [*good, *bad.values()]), "t.csv")
    ran = oddgan("score", mixed[0], "-")
    assert ran.code == 4
    found = answers(ran)
    assert ["error" in one for one in found] == [False] * 3 + [True] * 9
    for one, words in zip(found[3:], [*bad, "is no JSON"], strict=True):
        assert words in one["error"]
    lines(json.dumps({**row, "extra": 1}))
    assert oddgan("score", mixed[0], "-", "--drop", "extra").code == 0


def test_columns_without_names_are_a_list(oddgan, table_model, table_file, lines):
    rows = np.load(table_file)["x_test"].tolist()
    np.save("x.npy", np.array(rows))
    whole = [json.loads(line) for line in oddgan("score", table_model, "x.npy", "--format", "jsonl").out.splitlines()]
    lines(*map(json.dumps, rows), '{"id": 1, "row": [0, 0, 0, 0]}', "[1, 2]", "[1, 2, null, 4]", "[1e300, 0, 0, 0]")
    found = answers(oddgan("score", table_model, "-"))
    assert [without(one, "line") for one in found[:30]] == [without(one, "row") for one in whole]
    assert found[30]["id"] == 1
    assert "give a list of 4 values" in found[31]["error"]
    assert "column 2 is null" in found[32]["error"]


def test_strata_and_the_monitor(oddgan, lines, tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=200), "b": random.normal(size=200), "line": ["one", "two"] * 100})
    frame.to_csv("t.csv", index=False)
    assert oddgan("train", "t.csv", "-o", "t.oddgan", "--strata", "line", *SMALL).code == 0
    whole = [
        json.loads(line)
        for line in oddgan("score", "t.oddgan", "t.csv", "--strata", "line", "--format", "jsonl").out.splitlines()
    ]
    lines(*map(json.dumps, frame.to_dict("records")), json.dumps({"a": 0, "b": 0, "line": None}))
    ran = oddgan("score", "t.oddgan", "-", "--strata", "line", "--monitor", "m.json")
    found = answers(ran)
    assert [without(one, "line") for one in found[:-1]] == [without(one, "row") for one in whole]
    assert "has no value in column 'line'" in found[-1]["error"]
    assert json.loads(Path("m.json").read_text())["stream"]["rows"] == 200
