"""The fast path for CSV files gives what Python's reader gives, or hands over to it."""

import gzip
import random
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from oddgan.data import TableFile
from oddgan.errors import DataError
from oddgan.rows import csv_arrow, csv_files

TEXTS = [
    *["a", "b b", " x ", "http", "é", "日本", "true", "False", " TRUE", '"q"', 'a"b', "x_y", "\0", "#c", "x\x85y"],
    *["nan(1)", "-nan", "+nan", "0x1F", "1_2", "１", "1e", "e5", "--1", "1,5", "inf", "-Infinity", "1e400", "1\0"],
    *["N/A ", "null", "NULL", " na", "?", " ? ", "Null", "NaN", "", "  ", "\t", "1\xa0", "\ufeff1", "\v1", "\u2028"],
]
NUMBERS = [
    *["1", "-2", " 3", "4 ", "5.5", "-.5", "7.", "1e5", "1E-7", "+8", "0.1", "1e-320", "1e-400", "-0", "-0.0", "007"],
    *["123456789012345678901234567890", "0." + "3" * 40, "1.7976931348623157e308", "4.9e-324", "9007199254740993"],
]
MISSING = ["", "NA", "nan", "?", "null", "Null", " na ", "NaN"]
LINE_ENDS = ["\n", "\r\n", "\r"]


def number(draw: random.Random) -> str:
    """A number as a program or a person may write it."""
    choices = [
        draw.choice(NUMBERS),
        repr(struct.unpack("<d", draw.randbytes(8))[0]),
        str(draw.randint(-(10 ** draw.randint(1, 25)), 10**6)),
        f"{draw.gauss(0, 1e3):.{draw.randint(1, 25)}g}",
    ]
    return draw.choice([text for text in choices if text not in {"inf", "-inf"}])


def nasty_file(draw: random.Random) -> bytes:
    """A CSV file: mostly sound, with quotes, blank lines, spaces, and now and then broken."""
    separator, end = draw.choice(",,,;\t|"), draw.choice(["\n", *LINE_ENDS])
    columns = [draw.choice(["numbers", "numbers", "texts"]) for _ in range(draw.randint(1, 5))]
    stray = draw.choice([0, 0, 0, 0.002, 0.02, 0.2])  # share of texts among the numbers
    broken = draw.choice([0, 0, 0, 0, 0.003, 0.03])  # share of broken lines

    def cell(kind: str) -> str:
        if kind == "texts" or draw.random() < stray:
            return draw.choice(TEXTS)
        return draw.choice(MISSING) if draw.random() < 0.1 else number(draw)

    def quoted(text: str) -> str:
        special = any(c in text for c in separator + '"\r\n') and draw.random() > broken
        return '"' + text.replace('"', '""') + '"' if special or draw.random() < 0.05 else text

    names = [quoted(draw.choice(["", " "]) + f"c{i}") for i in range(len(columns))]
    if draw.random() < 0.03:
        names[0] = draw.choice(['"c', '"c"d"', 'a"b', '"two\nlines"', '""', 'x"y,"'])
    lines = [separator.join(names) + end]
    for _ in range(draw.choice([1, 3, 10, 40, 40, 200])):
        cells = [cell(kind) for kind in columns]
        if draw.random() < 0.02:
            cells[0] = draw.choice(["a\nb", "a\r\nb", "a\rb", "\n", separator, f'x{separator}"y"', '"', '""'])
        row = [quoted(text) for text in cells]
        if draw.random() < broken:
            row = draw.choice([[*row, "1"], row[:-1], [*row[:-1], '"open'], [f'{c}"' for c in row], [f'"{row[0]}']])
        lines.append(separator.join(row) + (end if draw.random() < 0.99 else draw.choice([*LINE_ENDS, "\n\r"])))
        if draw.random() < 0.05:
            lines.append(draw.choice([end, end + end, f" {end}", "\n", "\t\n"]) if draw.random() < 0.3 else end)
    content = "".join(lines).encode()
    if draw.random() < 0.3:
        content = content.rstrip(b"\r\n")
    if draw.random() < 0.2:
        content = b"\xef\xbb\xbf" + content
    if draw.random() < 3 * broken:
        place = draw.randrange(len(content))
        content = content[:place] + draw.randbytes(1) + content[place:]
    if draw.random() < 0.15:
        content = gzip.compress(content)
        content = content[: -draw.randint(1, 12)] if draw.random() < 0.1 else content
    return content


def outcome(path: Path, how: str, size: int, **options: Any) -> Any:
    """What a reader makes of a file, with every bit of its numbers, or the error."""
    try:
        file = TableFile(path, **options)
        if how == "len":
            return len(file)
        parts = [file.read()] if how == "read" else list(file.parts(size))
    except DataError as error:
        return str(error)
    return [(part.columns, part.kinds, part.texts, part.values.shape, part.values.tobytes()) for part in parts]


@pytest.fixture
def doubts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Small files take the fast path too. The list grows with every doubt."""
    found: list[int] = []

    class Counted(csv_arrow.Doubtful):
        def __init__(self) -> None:
            super().__init__()
            found.append(1)

    monkeypatch.setattr(csv_files, "FAST", 0)
    monkeypatch.setattr(csv_arrow, "Doubtful", Counted)
    return found


def test_both_readers_agree_on_nasty_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doubts: list[int]) -> None:
    path = tmp_path / "nasty.csv"
    alone = errors = 0
    for seed in range(400):
        draw = random.Random(seed)
        path.write_bytes(nasty_file(draw))
        monkeypatch.setattr(csv_files, "PART", draw.choice([5, 16, 16384]))
        monkeypatch.setattr(csv_files, "BLOCK", draw.choice([2, 512]))
        monkeypatch.setattr(csv_arrow, "BLOCK", draw.choice([64, 200, 1000, 2**20]))
        size = draw.choice([1, 7, 50, 10_000])
        options: dict[str, Any] = {}
        if draw.random() < 0.3:
            options["kinds"] = {"c0": draw.choice(["number", "category", "boolean"])}
        elif draw.random() < 0.2:
            options["drop"] = ["c0"]
        for how in ("read", "parts", "len"):
            with monkeypatch.context() as patch:
                patch.setattr(csv_files, "FAST", 10**12)
                expected = outcome(path, how, size, **options)
            doubts.clear()
            assert outcome(path, how, size, **options) == expected, f"seed {seed}, {how}"
            alone += not doubts
            errors += isinstance(expected, str)
    assert alone > 400  # most sound files are read by pyarrow alone
    assert errors > 200


def test_numbers_are_those_of_python_to_the_last_bit(tmp_path: Path, doubts: list[int]) -> None:
    draw = random.Random(0)
    texts = [number(draw) for _ in range(20_000)]
    texts += [f"{draw.randint(1, 9)}.{draw.randrange(10**30):030d}e{draw.randint(-330, 300)}" for _ in range(20_000)]
    texts = [text for text in texts if "+" not in text[:1]]
    (tmp_path / "a.csv").write_text("x\n" + "\n".join(texts) + "\n")
    held = TableFile(tmp_path / "a.csv").read().values[:, 0]
    assert held.tobytes() == np.array([float(text) for text in texts]).tobytes()
    assert not doubts


@pytest.mark.parametrize("doubt", ["a\rb", "x" * 130_000 + "é" * 1000])
def test_python_reads_on_from_a_doubt(
    doubt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doubts: list[int]
) -> None:
    """A value that the readers may see differently, in the middle of a file."""
    monkeypatch.setattr(csv_arrow, "BLOCK", 300_000)
    path = tmp_path / "a.csv"
    lines = [f"{i},t{i % 7}" for i in range(60_000)]
    lines[50_000] = f'1,"{doubt}"'
    path.write_bytes("\n".join(["n,t", *lines, ""]).encode())
    parts = list(TableFile(path).parts(20_000))
    assert doubts == [1]
    assert [len(part) for part in parts] == [20_000] * 3
    assert parts[0].texts[1] == tuple(f"t{i}" for i in range(7))
    assert parts[2].column("t")[10_000] == doubt
    assert parts[2].column("n")[-1] == 59_999


def test_values_that_are_too_long_for_python(tmp_path: Path, doubts: list[int]) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3," + "x" * 200_000 + "\n")
    with pytest.raises(DataError, match=r"line 3: field larger than field limit"):
        TableFile(tmp_path / "a.csv", drop=["b"]).read()


def test_parts_hold_a_few_blocks_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doubts: list[int]
) -> None:
    monkeypatch.setattr(csv_arrow, "BLOCK", 2**14)
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("a,b\n")
        file.writelines(f"{i}.123456,category {i % 10}\n" for i in range(600_000))
    before, most, seen = pa.total_allocated_bytes(), 0, 0
    for part in TableFile(path).parts(1_000):
        seen += len(part)
        most = max(most, pa.total_allocated_bytes() - before)
    assert seen == 600_000
    assert not doubts
    assert most < path.stat().st_size / 5, f"{most / 1e6:.1f} MB were held"


def test_small_files_and_machines_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doubts: list[int]
) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n")
    read = TableFile(tmp_path / "a.csv").read
    expected = read().values.tolist()
    monkeypatch.setattr(csv_arrow, "tables", None)  # calling it would fail
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow.csv", None)
        assert not csv_arrow.available()
        assert read().values.tolist() == expected
    monkeypatch.setattr(csv_files, "FAST", 2**18)
    assert read().values.tolist() == expected
    assert not doubts
