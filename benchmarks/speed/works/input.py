"""What reading costs: training from a folder of pictures, and scoring a large Parquet file."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .. import Plan, Skip, Work
from ..timing import Ratios, no_collector

COLUMNS = 10
PART = 100_000  # rows made at a time, and rows in a group of the Parquet file
IN_MEMORY = 1_000_000  # rows of the batch with which the file is compared


# --- a folder of pictures ------------------------------------------------------------------------------------------


def folder_10000(plan: Plan) -> dict[str, Any]:
    """training from a folder of 10,000 PNG against an array in memory, after the first epoch"""
    from oddgan import data

    n, size = (512 if plan.quick else 10_000), 32
    folder, array = plan.folder / "pictures", plan.folder / "rows.npy"
    make_pictures(folder, n)
    with cache_in(plan.folder / "cache"):
        rows = data.load(folder).train
        started = time.perf_counter()
        updates(rows, size, plan.quick, timed=1)  # fills the cache
        first = time.perf_counter() - started
        X = np.stack([rows[i] for i in range(len(rows))])
        np.save(array, X)
        spent: dict[str, list[float]] = {"folder": [], "array": []}
        timed = 4 if plan.quick else 60
        for round_ in range(2 if plan.quick else plan.rounds):
            pair = [("folder", rows), ("array", X)]
            for name, given in pair if round_ % 2 == 0 else reversed(pair):
                spent[name].append(updates(given, size, plan.quick, timed))
        batch = {name: 1e6 * drawing(given, size) for name, given in (("folder", rows), ("array", X))}
    return {
        "what": f"GANomaly 1x{size}x{size}, the paper's networks, an update after the first epoch, rows from a folder "
        f"of {n:,} PNG of 64x64",
        "against": "oddgan itself, the same pictures as one array in memory",
        "reach": 0.95,
        "aim": None,
        **Ratios(spent["folder"], spent["array"]).entry(),
        "unit": "seconds an update",
        "facts": {
            "updates timed in each round": timed,
            "microseconds to draw one batch of 64": batch,
            "seconds of the very first run, which decodes every file, up to its second epoch": first,
        },
    }


def make_pictures(folder: Path, n: int) -> None:
    """n grey PNG of 64x64 that compress like photographs of similar objects."""
    from PIL import Image

    random = np.random.default_rng(0)
    folder.mkdir()
    y, x = np.mgrid[:64, :64] / 64
    for i in range(n):
        a, b, c = random.uniform(0.5, 2, 3)
        picture = 127 + 60 * np.sin(6 * a * x + c) * np.cos(6 * b * y) + random.normal(0, 8, (64, 64))
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{i:05d}.png")


@contextmanager
def cache_in(folder: Path):
    """oddgan's cache in this folder."""
    before = os.environ.get("ODDGAN_CACHE")
    os.environ["ODDGAN_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("ODDGAN_CACHE")
        if before is not None:
            os.environ["ODDGAN_CACHE"] = before


def updates(rows: Any, size: int, quick: bool, timed: int) -> float:
    """Seconds per update, over `timed` updates after the first epoch."""
    from oddgan import hooks, papers

    class Clock(hooks.Hook):
        """When the first epoch ended, and every update after it."""

        def on_start(self, moment):
            self.at: list[float] = []

        def on_update(self, moment):
            if moment.epoch >= 1:
                self.at.append(time.perf_counter())
            if len(self.at) > timed:
                raise Enough

    clock = Clock()
    changes = {"width": 4} if quick else {}
    det = papers.detector("ganomaly", "mnist", random_state=0, device="cpu", size=size, **changes)
    with no_collector(), suppress(Enough):
        det.set_params(channels=None, updates=None, epochs=100).fit(rows, hooks=[clock])
    return (clock.at[-1] - clock.at[0]) / (len(clock.at) - 1)


class Enough(Exception):
    """Training has run long enough to be timed."""


def drawing(rows: Any, size: int) -> float:
    """Seconds to draw one batch of 64 as training does, the median of many."""
    from oddgan.preprocessing import PicturePreprocessor
    from oddgan.rows import open_rows

    pictures = open_rows(rows)
    numbers = np.arange(len(pictures))
    prepared = PicturePreprocessor.fit(pictures, numbers, size=size).prepare(pictures, numbers)
    random, spent = np.random.default_rng(0), []
    for _ in range(200):
        some = random.permutation(len(numbers))[:64]
        started = time.perf_counter()
        prepared.batch(some)
        spent.append(time.perf_counter() - started)
    return median(spent)


# --- a table in a Parquet file -------------------------------------------------------------------------------------

SCORE = """
import sys
from pathlib import Path
from oddgan.cli import main
report = Path(sys.argv.pop())
code = main()
report.write_text(Path("/proc/self/status").read_text())
sys.exit(code)
"""

BATCH = """
import sys, time
import numpy as np
import oddgan, torch
model, table, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
det = oddgan.load(model)
X = np.load(table)
det.anomaly_score(X[:10_000])
started = time.perf_counter()
det.anomaly_score(X)
print(time.perf_counter() - started)
started = time.perf_counter()
found = det.explain(X)
print(time.perf_counter() - started)
"""


def parquet_10m(plan: Plan) -> dict[str, Any]:
    """`oddgan score` of 10 million table rows from Parquet against one batch in memory"""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise Skip("pyarrow is not installed: pip install 'oddgan[parquet]'") from error
    if not Path("/proc/self/status").exists():
        raise Skip("peak memory is read from /proc, which only Linux has")
    import oddgan

    n = 200_000 if plan.quick else 10_000_000
    few = n // 10
    saved = plan.folder / "model.oddgan"
    oddgan.GANomaly(updates=10, random_state=0, device="cpu").fit(some_rows(0)[:5000]).save(saved)
    small, large, table = (plan.folder / name for name in ("small.parquet", "large.parquet", "table.npy"))
    write_parquet(small, few)
    write_parquet(large, n)
    count = min(IN_MEMORY, n)
    np.save(table, np.concatenate([some_rows(seed) for seed in range(count // PART)]))
    ours, theirs, explained, peaks = [], [], [], {few: [], n: []}
    for _ in range(1 if plan.quick else min(3, plan.rounds)):  # minutes each
        batch = in_memory(plan, saved, table)
        peaks[few].append(score(plan, saved, small)[1])
        seconds, peak = score(plan, saved, large)
        again = in_memory(plan, saved, table)
        peaks[n].append(peak)
        ours.append(seconds / n)
        theirs.append((batch[0] + again[0]) / 2 / count)
        explained.append((batch[1] + again[1]) / 2 / count)
    return {
        "what": f"`oddgan score` of {n:,} table rows of {COLUMNS} columns from Parquet to Parquet, GANomaly, the whole "
        "process, with p-values, verdicts and the anomalous columns",
        "against": f"anomaly_score of {count:,} such rows in memory, without any of these",
        "reach": 0.8,
        "aim": None,
        **Ratios(ours, theirs).entry(),
        "unit": "seconds a row",
        "facts": {
            "rows a second": 1 / median(ours),
            "ratio to explain, which gives all of these, for as many rows in memory": median(
                b / a for a, b in zip(ours, explained, strict=True)
            ),
            **{f"peak memory, MB, of {rows:,} rows": median(found) for rows, found in peaks.items()},
            "peak memory, large / small": median(peaks[n]) / median(peaks[few]),
        },
    }


def some_rows(seed: int) -> np.ndarray:
    """(PART, COLUMNS) with a hidden plane."""
    random = np.random.default_rng(seed)
    return random.normal(size=(PART, 3)) @ np.random.default_rng(0).normal(size=(3, COLUMNS)) + random.normal(
        0, 0.1, (PART, COLUMNS)
    )


def write_parquet(path: Path, n: int) -> None:
    """n rows, made and written part by part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"c{i}" for i in range(COLUMNS)]
    with pq.ParquetWriter(path, pa.schema([(name, pa.float64()) for name in names])) as writer:
        for start in range(0, n, PART):
            rows = some_rows(start // PART)[: n - start]
            writer.write_table(pa.table(dict(zip(names, rows.T, strict=True))))


def score(plan: Plan, saved: Path, table: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of the command."""
    report = plan.folder / "status.txt"
    words = ["score", saved, table, "-o", plan.folder / "scores.parquet", "--threads", plan.threads, report]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", SCORE, *map(str, words)], check=True, capture_output=True)
    seconds = time.perf_counter() - started
    return seconds, int(report.read_text().split("VmHWM:")[1].split()[0]) / 1024


def in_memory(plan: Plan, saved: Path, table: Path) -> tuple[float, float]:
    """Seconds of anomaly_score and of explain for a table in memory, in a process of its own."""
    environment = os.environ | {
        "OMP_WAIT_POLICY": "passive"
    }  # as the command sets it, for the same threads on both sides
    printed = subprocess.run(
        [sys.executable, "-c", BATCH, str(saved), str(table), str(plan.threads)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout.split()
    return float(printed[0]), float(printed[1])


WORKS: dict[str, Work] = {"folder-10000": folder_10000, "parquet-10m": parquet_10m}
