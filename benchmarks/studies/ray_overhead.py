"""What `oddgan score --engine ray` costs against one process, by rows of a task: benchmarks/results/ray_overhead.jsonl.

    python -m benchmarks.studies.ray_overhead     # some minutes; needs the extra ray

Made-up rows, so that nothing has to be fetched: 200,000 rows of a table as Parquet, and 4,000 pictures of 64 pixels.
Each cell runs the command without the engine and then with it, on one thread a process, and has the load of the machine
beside the times: of other work on it only ratios say something. The results of both must be the same bytes. `start`:
Ray alone, from nothing to its first task, and down again. What is there is not run again.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import oddgan
from oddgan.engine import Ray
from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

RESULTS = Path(__file__).resolve().parents[1] / "results" / "ray_overhead.jsonl"
ROWS = {"table": 200_000, "pictures": 4_000}
PARTS = {"table": (6_250, 25_000, 100_000), "pictures": (125, 500, 2_000)}
WORKERS = (1, 2)
SIZE = 64
FORM = fields("kind", "rows", "part_rows", "workers")


def made(kind: str, folder: Path) -> tuple[Path, Path]:
    """A small model and the rows it is to score."""
    random, n = np.random.default_rng(0), ROWS[kind]
    model = folder / f"{kind}.oddgan"
    if kind == "table":
        rows = pd.DataFrame(random.normal(size=(n, 6)), columns=list("abcdef"))
        place, some = folder / "rows.parquet", rows[:2_000]
        rows.to_parquet(place)
    else:
        place = folder / "pictures"
        place.mkdir()
        shown = random.integers(0, 256, size=(n, SIZE, SIZE), dtype=np.uint8)
        for i, one in enumerate(shown):
            Image.fromarray(one).save(place / f"{i:05}.png")
        some = shown[:500]
    oddgan.GANomaly(updates=20, width=16, random_state=0).fit(some).save(model)
    return model, place


def seconds(*words: Any) -> float:
    """A command's, from its start to its end."""
    command = [sys.executable, "-m", "oddgan", "--quiet", *map(str, words), "--threads", "1"]
    began = time.perf_counter()
    subprocess.run(command, check=True, timeout=900)
    return time.perf_counter() - began


def compared(kind: str, part: int, workers: int, folder: Path) -> dict[str, Any]:
    """One cell."""
    model, place = folder / f"{kind}.oddgan", folder / ("rows.parquet" if kind == "table" else "pictures")
    if not model.exists():
        made(kind, folder)
    load = os.getloadavg()[0]
    one = seconds("score", model, place, "-o", folder / "one.csv")
    engine = ("--engine", "ray", "--address", "local", "--workers", workers, "--part-rows", part)
    many = seconds("score", model, place, "-o", folder / "many.csv", *engine)
    same = (folder / "one.csv").read_bytes() == (folder / "many.csv").read_bytes()
    if not same:
        raise SystemExit(f"{kind}, {part} rows a part: the results differ")
    found = {"kind": kind, "rows": ROWS[kind], "part_rows": part, "workers": workers}
    return {**found, "seconds": one, "seconds_ray": many, "ratio": many / one, "same_bytes": same, "load": load}


def started(workers: int) -> dict[str, Any]:
    """Ray alone."""
    load, began = os.getloadavg()[0], time.perf_counter()
    with Ray(workers=workers, address="local").started(None):
        pass
    spent = time.perf_counter() - began
    return {"kind": "start", "rows": 0, "part_rows": 0, "workers": workers, "seconds_ray": spent, "load": load}


def main() -> None:
    """Run what is not there yet."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        jobs = []

        def add(kind: str, part: int, workers: int) -> None:
            def cell(attempt: Attempt) -> dict[str, Any]:
                del attempt
                return started(workers) if kind == "start" else compared(kind, part, workers, place)

            rows = ROWS.get(kind, 0)
            key = json.dumps([kind, rows, part, workers])
            jobs.append(Job(key=key, title=f"{kind}, {part:,} rows a task, {workers} workers", run=cell))

        for workers in WORKERS:
            add("start", 0, workers)
            for kind, parts in PARTS.items():
                for part in parts:
                    add(kind, part, workers)
        run(jobs, Record(RESULTS, FORM), summary=lambda line: f"{line['seconds_ray']:.1f} s", report=print)


if __name__ == "__main__":
    main()
