"""What training and scoring cost in memory and time as data sets grow: tables and small pictures.

    python -m benchmarks.studies.large_data [--largest ROWS] [--only SOURCE,...] [--folder FOLDER]

For every source (a table of ten columns in one Parquet file, in a folder of Parquet files and in a CSV file; pictures
of 16x16 pixels as loose files and in tar shards) and every size from ten thousand to `--largest`, the data are drawn,
and written below `--folder` (the system's folder of temporary files), `oddgan train` runs for `UPDATES` updates and
`oddgan score` judges all rows, each as a process of its own with an empty cache, and everything is removed. Training is
done once more with the cache as it was left. Notes the seconds of each by the clock and of the processors, and the
peaks of the process's memory in MB: `all` as the system reports it (VmHWM), which counts pages of mapped files that the
system may take back at any time, and `own` (the largest RssAnon seen, every 20 ms), which only the process can give
back. Prints a table and writes benchmarks/results/large_data.jsonl, one line per source and size; lines that are there
are not measured again.
"""

import argparse
import io
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

from oddgan.evaluation.runner import Job, Record, fields, run

from . import RESULTS

FILE = RESULTS / "large_data.jsonl"
FORM = fields("source", "rows")
COLUMNS = 10
SIDE = 16
UPDATES = 200
PART = 100_000  # rows of a file, or pictures of a shard
TABLES = ("parquet", "parquet folder", "csv")
PICTURES = ("loose pictures", "tar shards")
MOST = {"loose pictures": 100_000, "tar shards": 1_000_000}
ROOM = {"parquet": 250, "parquet folder": 250, "csv": 400, "loose pictures": 5_000, "tar shards": 1_400}
"""Bytes of disk that a row takes at most, with its place in the cache."""


def table_parts(rows: int):
    """A table in parts: numbers that depend on each other, one with heavy tails."""
    mixing = np.random.default_rng(0).normal(size=(3, COLUMNS))
    for start in range(0, rows, PART):
        random = np.random.default_rng([1, start])
        hidden = random.normal(size=(min(PART, rows - start), 3))
        x = hidden @ mixing + 0.3 * random.normal(size=(len(hidden), COLUMNS))
        x[:, 0] = np.exp(x[:, 0])
        yield x


def write_table(source: str, rows: int, folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    names = [f"x{i}" for i in range(COLUMNS)]
    place = folder / {"parquet": "rows.parquet", "parquet folder": "rows", "csv": "rows.csv"}[source]
    writer = None
    for i, part in enumerate(table_parts(rows)):
        table = pa.table(dict(zip(names, part.T.copy(), strict=True)))
        if source == "parquet folder":
            place.mkdir(exist_ok=True)
            pq.write_table(table, place / f"part-{i:05}.parquet")
            continue
        if writer is None:
            new = pq.ParquetWriter if source == "parquet" else pyarrow.csv.CSVWriter
            writer = new(str(place), table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return place


def pictures(n: int):
    """PNG files: a disc somewhere on a noisy ground."""
    from PIL import Image

    y, x = np.mgrid[:SIDE, :SIDE]
    random = np.random.default_rng(0)
    for _ in range(n):
        row, column, radius = (*random.uniform(5, 11, 2).tolist(), random.uniform(2, 4))
        grey = 90 + 90 * (np.hypot(y - row, x - column) < radius) + random.integers(0, 30, (SIDE, SIDE))
        out = io.BytesIO()
        Image.fromarray(grey.astype(np.uint8)).save(out, "png", compress_level=1)
        yield out.getvalue()


def write_pictures(source: str, n: int, folder: Path) -> Path:
    place = folder / "pictures"
    place.mkdir()
    drawn = pictures(n)
    for start in range(-(-n // PART)):
        some = itertools.islice(drawn, PART)
        files = ((f"{start * PART + i:07}.png", content) for i, content in enumerate(some))
        if source == "loose pictures":
            for name, content in files:
                (place / name).write_bytes(content)
            continue
        with tarfile.open(place / f"shard-{start:06}.tar", "w") as tar:
            for name, content in files:
                about = tarfile.TarInfo(name)
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    return place


def measured(words: list[str], cache: Path) -> dict[str, float]:
    """What `oddgan` took with these words."""
    environment = {**os.environ, "ODDGAN_CACHE": str(cache)}
    started, own, whole, before = time.monotonic(), 0, 0, processor_seconds()
    process = subprocess.Popen([sys.executable, "-m", "oddgan", "-q", *words], env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            own = max(own, int(status.split("RssAnon:")[1].split()[0]))
            whole = max(whole, int(status.split("VmHWM:")[1].split()[0]))
        except (OSError, IndexError):
            pass
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"oddgan {' '.join(words)}: {process.stderr.read().strip()}")
    seconds, processor = time.monotonic() - started, processor_seconds() - before
    return {
        "seconds": round(seconds, 1), "processor": round(processor, 1), "own": own // 1024, "all": whole // 1024
    }  # fmt: skip


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cell(source: str, rows: int, below: Path) -> dict:
    """Write, train, train again, score, remove."""
    with tempfile.TemporaryDirectory(dir=below, prefix="large-data-") as name:
        folder = Path(name)
        data = str((write_table if source in TABLES else write_pictures)(source, rows, folder))
        model, cache = str(folder / "m.oddgan"), folder / "cache"
        train = ["train", data, "--detector", "ganomaly", "--updates", str(UPDATES), "-o", model]
        first = measured(train, cache)
        again = measured([*train, "--fresh"], cache)
        score = measured(["score", model, data, "-o", str(folder / "scores.csv")], cache)
        kept = sum(one.stat().st_size for one in cache.rglob("*") if one.is_file())
    return {"source": source, "rows": rows, "train": first, "train again": again, "score": score,
            "cache MB": kept >> 20, "updates": UPDATES}  # fmt: skip


def cells(largest: int, only: list[str]):
    """(source, rows) from the smallest on."""
    sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size <= largest]
    for size in sizes:
        for source in (*TABLES, *PICTURES):
            if (not only or source in only) and size <= MOST.get(source, size):
                yield source, size


def summary(line: dict) -> str:
    told = [f"{name} {line[name]['processor']:g} s, {line[name]['own']:,} MB" for name in ("train", "score")]
    return "; ".join(told)


def table(lines: list[dict]) -> str:
    """The lines as text."""
    head = f"{'source':16}{'rows':>12}" + "".join(f"{name:>24}" for name in ("train", "train again", "score"))
    rows = [head, f"{'':28}" + f"{'cpu s':>8}{'own MB':>8}{'all MB':>8}" * 3]
    for line in sorted(lines, key=lambda one: (one["source"], one["rows"])):
        numbers = [
            line[name][figure] for name in ("train", "train again", "score") for figure in ("processor", "own", "all")
        ]
        rows.append(f"{line['source']:16}{line['rows']:>12,}" + "".join(f"{number:>8,}" for number in numbers))
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=100_000, help="rows of the largest data set")
    parser.add_argument("--only", default="", help=f"some of: {', '.join((*TABLES, *PICTURES))}")
    parser.add_argument("--folder", type=Path, default=None, help="where data are written and removed")
    given = parser.parse_args()
    below = given.folder or Path(tempfile.gettempdir())
    record = Record(FILE, FORM)
    jobs = []
    for source, rows in cells(given.largest, [one for one in given.only.split(",") if one]):
        if rows * ROOM[source] > shutil.disk_usage(below).free:
            print(f"{source}, {rows:,} rows: left out, {below} has too little room", file=sys.stderr)
            continue
        key = FORM.key({"source": source, "rows": rows})
        jobs.append(Job(key=key, title=f"{source}, {rows:,} rows", run=lambda _, s=source, n=rows: cell(s, n, below)))
    run(jobs, record, summary=summary, report=lambda text: print(text, file=sys.stderr))
    print(table(list(record.lines())))


if __name__ == "__main__":
    main()
