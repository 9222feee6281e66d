"""oddgan score --shard and oddgan merge: parts that make the whole."""

import gc
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_small import SMALL, picture
from PIL import Image

from oddgan.cli import scores, scoring, shards
from oddgan.cli.shards import Shard
from oddgan.errors import ParameterError


@pytest.mark.parametrize("total", [0, 1, 7, 8, 1000])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_parts_are_all_rows_once(total, count):
    parts = [Shard(i, count).part(total) for i in range(count)]
    assert [i for part in parts for i in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["8/8", "3", "-1/8", "0/0", "a/8", "1/2/3"])
def test_what_is_no_shard(text):
    with pytest.raises(ParameterError, match=f"--shard {text}: "):
        Shard.parse(text)


def whole_and_merged(oddgan, words, n, suffix=".csv", code=0):
    """The bytes of results without shards, and of merged ones."""
    assert oddgan("score", *words, "-o", f"whole{suffix}").code == code
    for i in range(n):
        ran = oddgan("score", *words, "-o", f"out{suffix}", "--shard", f"{i}/{n}")
        assert ran.code in (0, code), ran.err
    parts = sorted(Path().glob(f"out.*-of-{n}{suffix}"), key=str)[::-1]
    assert len(parts) == n
    ran = oddgan("merge", *parts, "-o", f"merged{suffix}")
    assert ran.code == 0, ran.err
    assert ran.err.startswith(f"{n} shards, ")
    return Path(f"whole{suffix}").read_bytes(), Path(f"merged{suffix}").read_bytes()


@pytest.mark.parametrize(("n", "suffix"), [(1, ".csv"), (3, ".jsonl"), (17, ".csv")])
def test_pictures(oddgan, model, folder, n, suffix):
    whole, merged = whole_and_merged(oddgan, [model, folder / "test", "--regions"], n, suffix)
    assert whole == merged
    assert whole.count(b"\n") == 14 + (suffix == ".csv")


def test_what_cannot_be_used_is_in_its_part(oddgan, model, folder):
    shutil.copytree(folder / "test", "in")
    for name in ("in/a.png", "in/good/0000.png", "in/scratch/z.png"):
        Path(name).write_bytes(b"")
    words = [model, "in", "nothing.csv", folder / "test/good/001.png", "--skip-bad", "--false-alarm-rate", "0.2,0.4"]
    whole, merged = whole_and_merged(oddgan, words, 4, code=4)
    assert whole == merged
    assert oddgan("score", model, "in", "-o", "out.csv", "--shard", "0/2").code == 2
    assert not Path("out.0-of-2.csv").exists()
    assert not Path("out.0-of-2.csv.json").exists()
    for path in Path("in").rglob("*.png"):
        Image.new("RGB", (12, 16), "red").save(path)
    for i in range(2):
        assert oddgan("score", model, "in", "--skip-bad", "-o", "out.csv", "--shard", f"{i}/2").code == 4
    merged = oddgan("merge", "out.0-of-2.csv", "out.1-of-2.csv", "-o", "out.csv")
    assert (merged.code, Path("out.csv").exists()) == (2, False)
    assert "none can be used" in merged.complaint


def test_secrets_of_addresses_are_written_nowhere(oddgan, model):
    import fsspec

    file = io.BytesIO()
    Image.fromarray(picture(0)).save(file, "png")
    fsspec.filesystem("memory").pipe_file("/KEY:SECRET@lake/a.png", file.getvalue())
    for words in (["--shard", "0/1"], ["--report", "report.html"]):
        ran = oddgan("score", model, "memory://KEY:SECRET@lake/a.png", "-o", "out.csv", *words)
        assert ran.code == 0, ran.err
    for place in ("out.0-of-1.csv.json", "report.html"):
        assert b"SECRET" not in Path(place).read_bytes()


@pytest.mark.parametrize("form", ["npy", "csv", "parquet"])
def test_tables_keep_the_numbers_of_their_rows(oddgan, table_model, form, monkeypatch):
    from oddgan.cli import reading

    monkeypatch.setattr(reading, "TABLE_ROWS", 64)
    x = np.random.default_rng(0).normal(size=(500, 4))
    frame = pd.DataFrame(x, columns=list("abcd"))
    place, words = f"x.{form}", []
    if form == "npy":
        np.save(place, x)
    else:
        frame.to_csv(place, index=False) if form == "csv" else frame.to_parquet(place)
        assert oddgan("train", place, "-o", "m.oddgan", *SMALL).code == 0
        table_model = "m.oddgan"
    words = [table_model, place]
    whole, merged = whole_and_merged(oddgan, words, 3)
    assert whole == merged
    assert [int(line.split(",")[0]) for line in merged.decode().splitlines()[1:]] == list(range(500))
    whole, merged = whole_and_merged(oddgan, [*words, place], 7, ".jsonl")
    assert whole == merged


def test_parquet_has_the_row_groups_of_one_file(oddgan, model, folder, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(scores, "GROUP", 5)
    whole, merged = whole_and_merged(oddgan, [model, folder / "test", "--skip-bad", "--regions"], 4, ".parquet")
    assert whole == merged
    assert pq.ParquetFile("merged.parquet").metadata.num_row_groups == 3
    assert not oddgan("score", model, folder / "test/good", "-o", "whole.parquet").code
    assert [pq.ParquetFile("whole.parquet").metadata.row_group(i).num_rows for i in range(2)] == [5, 3]


def test_maps_of_shards_are_those_of_all(oddgan, model, folder):
    for i in range(2):
        words = ("--maps", "maps", "--shard", f"{i}/2", "-o", f"node{i}/out.csv")
        assert oddgan("score", model, folder / "test", *words).code == 0
    assert len(list(Path("maps").rglob("*.png"))) == 14
    assert oddgan("merge", "node1/out.1-of-2.csv", "node0/out.0-of-2.csv", "-o", "m.csv").code == 0


@pytest.fixture
def three(oddgan, model, folder):
    """Three shards of a folder, `in`."""
    shutil.copytree(folder / "test", "in")
    for i in range(3):
        assert oddgan("score", model, "in", "-o", "out.csv", f"--shard={i}/3").code == 0
    return [f"out.{i}-of-3.csv" for i in range(3)]


def refused(oddgan, *shards):
    ran = oddgan("merge", *shards, "-o", "merged.csv")
    assert ran.code == 2
    assert not Path("merged.csv").exists()
    assert ran.out == ""
    return ran.complaint


def test_a_killed_shard_is_named_and_repeated_alone(oddgan, model, three, monkeypatch):
    before = [Path(name).read_bytes() for name in three]
    for name in three[1:]:
        Path(name).unlink()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scoring.Scoring, "judged", killed)
        assert oddgan("score", model, "in", "-o", "out.csv", "--shard", "1/3").code == 130
    with monkeypatch.context() as patch:  # after its facts, before its results
        write = shards.Sharding.write
        patch.setattr(shards.Sharding, "write", lambda self, file: (write(self, file), killed()))
        assert oddgan("score", model, "in", "-o", "out.csv", "--shard", "1/3").code == 130
    assert not Path(three[1]).exists()
    said = refused(oddgan, three[0])
    assert f"shards 1, 2 of 3 missing; run: oddgan score {model} in -o out.csv --shard=1/3" in said
    for i in (1, 2):
        assert oddgan("score", model, "in", "-o", "out.csv", "--shard", f"{i}/3").code == 0
    assert [Path(name).read_bytes() for name in three] == before
    assert oddgan("merge", *three, "-o", "merged.csv").code == 0


def test_shards_that_do_not_go_together(oddgan, model, table_model, folder, three):
    assert "are the same shard" in refused(oddgan, *three, three[1])
    assert "shard 2 of 3 missing" in refused(oddgan, *three[:2])
    shutil.copy("out.0-of-3.csv", "kept.csv")
    shutil.copy("out.0-of-3.csv.json", "kept.csv.json")

    def other(*words, code=0):
        assert oddgan("score", *words, "-o", "out.csv").code == code
        said = refused(oddgan, *three)
        shutil.copy("kept.csv", "out.0-of-3.csv")
        shutil.copy("kept.csv.json", "out.0-of-3.csv.json")
        return said

    assert "of different options (block_size: 16 and 64)" in other(model, "in", "--shard", "0/3", "--block-size", "16")
    assert "of different options (regions: True and False)" in other(model, "in", "--shard", "0/3", "--regions")
    assert oddgan("calibrate", model, folder / "train", "-o", "other.oddgan").code == 0
    assert "of different models" in other("other.oddgan", "in", "--shard", "0/3")
    Path("in/good/000.png").rename("in/good/0.png")
    assert "of different data" in other(model, "in", "--shard", "0/3")
    Path("in/good/0.png").rename("in/good/000.png")
    assert "of different numbers of shards (4 and 3)" in _with(oddgan, model, three)
    assert oddgan("merge", *three, "-o", "merged.csv").code == 0


def _with(oddgan, model, three):
    assert oddgan("score", model, "in", "-o", "out.csv", "--shard", "0/4").code == 0
    return refused(oddgan, "out.0-of-4.csv", *three[1:])


def test_results_that_were_changed(oddgan, three):
    whole = Path(three[1]).read_bytes()
    for spoiled, words in ((whole[:-9], "bytes and had"), (whole.replace(b"normal", b"NORMAL"), "is not as it was")):
        Path(three[1]).write_bytes(spoiled)
        said = refused(oddgan, *three)
        assert f"{three[1]}: " in said
        assert words in said
        assert "--shard=1/3" in said
    Path(three[1]).write_bytes(whole)
    facts = Path(f"{three[1]}.json")
    held = facts.read_text()
    for text, words in (
        ("{", "is damaged"),
        ("[]", "is not written by"),
        (held.replace('"format_version": 1', '"format_version": 9'), "which this oddgan does not read"),
        (held.replace('"first": 4', '"first": 3'), "do not follow on each other"),
        (held.replace('"end": 9', '"end": "9"'), "does not add up"),
    ):
        assert text != held
        facts.write_text(text)
        assert words in refused(oddgan, *three)
    facts.unlink()
    assert "says which part of which data" in refused(oddgan, *three)
    facts.write_text(held)
    assert "give a name that ends in .csv" in oddgan("merge", *three, "-o", "m.jsonl").complaint


def test_facts_are_json(oddgan, three):
    facts = json.loads(Path(f"{three[2]}.json").read_text())
    assert (facts["shard"], facts["of"], facts["first"], facts["end"], facts["total"]) == (2, 3, 9, 14, 14)
    assert facts["results"]["bytes"] == Path(three[2]).stat().st_size
    assert facts["data"][0]["source"] == "in"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("in", "--shard", "0/2"), "give --output FILE"),
        (("-", "--shard", "0/2", "-o", "s.jsonl"), "is a part of DATA"),
        (("in", "--shard", "0/2", "-o", "s.csv", "--fdr", "0.1"), "--fdr: is of all rows"),
        (("in", "--shard", "0/2", "-o", "s.csv", "--monitor", "m.json"), "--monitor: is of all rows"),
        (("in", "--shard", "0/2", "-o", "s.csv", "--stream"), "--stream: is of all rows"),
        (("in", "--shard", "2/2", "-o", "s.csv"), "counted from 0"),
    ],
)
def test_what_does_not_go_with_a_shard(oddgan, model, words, says):
    Path("in").mkdir()
    Image.fromarray(picture(0)).save("in/a.png")
    ran = oddgan("score", model, *words)
    assert ran.code == 2
    assert says in ran.complaint


def test_of_a_folder_of_parquet_files_the_lengths_are_compared(oddgan):
    pytest.importorskip("pyarrow")
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 4)), columns=list("abcd"))
    Path("in").mkdir()
    for i in range(2):
        x[100 * i : 100 * (i + 1)].to_parquet(f"in/{i}.parquet")
    assert oddgan("train", "in", "-o", "m.oddgan", *SMALL).code == 0
    assert oddgan("score", "m.oddgan", "in", "-o", "out.csv", "--shard", "0/2").code == 0
    x[:100].round(1).to_parquet("in/0.parquet")
    assert oddgan("score", "m.oddgan", "in", "-o", "out.csv", "--shard", "1/2").code == 0
    ran = oddgan("merge", "out.0-of-2.csv", "out.1-of-2.csv", "-o", "merged.csv")
    assert ran.code == 2
    assert "different data" in ran.err


def test_an_error_while_parquet_is_written_is_all_that_is_said(oddgan, model, folder, capfd):
    pytest.importorskip("pyarrow")
    shutil.copytree(folder / "test", "in")
    Path("in/a.png").write_bytes(b"")
    for more in [], ["--shard", "0/2"]:
        assert oddgan("score", model, "in", "-o", "out.parquet", *more).code == 2
        gc.collect()
        assert "Traceback" not in capfd.readouterr().err
    assert not list(Path().glob("*out*"))
