"""What `oddgan serve` costs: requests a second and latency, beside a bare loop over the runtime on the same pictures.

    python -m benchmarks.studies.serving_load [--minutes 5] [--models washers,digits] [--clients 1,8,64] [--waits 2]

A cell is a model, a kind of request (png: POST /score with a file in a form; tensor: the Open Inference Protocol,
binary both ways), a number of clients, and --max-wait of the service in milliseconds. It lasts `minutes`, in rounds of
some seconds: the service under load, then the bare loop (the same pictures in blocks of as many rows as there are
clients: decoded where they are files, scored, p-value, regions where they are uploads), then the clients against a
server that answers at once, which is what they and HTTP cost at least. The service and the loop have one thread for
computing; the service decodes in further ones. Clients have a process of their own. Memory of the service is noted
every round.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from . import RESULTS, say, versions
from .served import KINDS, drive, export_of, png, running, serve, written

FILE = RESULTS / "serving_load.jsonl"
FORM = fields("model", "kind", "clients", "max_wait_ms", "minutes")
ROUND, SHORT = 10.0, 2.0  # seconds of the service, and of what it is compared with, in a round


def bare(scorer, kind: str, pictures: np.ndarray, files: list[bytes], block: int, seconds: float) -> dict:
    """The loop: pictures a second, milliseconds of a block, processor milliseconds of a picture."""
    from oddgan.rows.decode import decode

    scorer = scorer.with_block_size(min(block, 64))
    taken, rows, i = [], 0, 0
    processor, began = time.process_time(), time.perf_counter()
    while (started := time.perf_counter()) - began < seconds:
        some = [(i + j) % len(pictures) for j in range(block)]
        i += block
        if kind == "png":
            found = scorer.explain(np.stack([decode(files[j]) for j in some]))
            scorer.p_value_of(found.score)
            [found.regions(j) for j in range(block)]
        else:
            scorer.p_value_of(scorer.anomaly_score(pictures[some]))
        taken.append(time.perf_counter() - started)
        rows += block
    return {
        "per_second": round(rows / (time.perf_counter() - began), 1),
        "p50_ms": round(statistics.median(taken) * 1e3, 3),
        "processor_ms": round((time.process_time() - processor) * 1e3 / rows, 3),
    }


def measure(name: str, kind: str, clients: int, wait: float, minutes: float, attempt: Attempt) -> dict:
    """One line."""
    from oddgan.runtime import Scorer

    place, pictures = export_of(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        requests = written(folder / "requests", [KINDS[kind](name, one) for one in pictures])
        files = [png(one) for one in pictures]
        scorer = Scorer(place, threads=1)
        echo = [sys.executable, "-m", "benchmarks.studies.http_clients", "--echo", "250"]
        rounds = []
        with (
            running(serve(place, "--max-wait", str(wait)), folder / "log") as service,
            running(echo, folder / "echo.log") as least,
        ):
            drive(service.port, requests, clients, SHORT)
            bare(scorer, kind, pictures, files, clients, SHORT)
            until = time.monotonic() + 60 * minutes
            while not rounds or time.monotonic() < until:
                before = service.processor_seconds()
                seen = drive(service.port, requests, clients, ROUND, warm=0.0)
                spent = (service.processor_seconds() - before) * 1e3 / max(1, seen["requests"])
                rounds.append(
                    {
                        "service": seen | {"processor_ms": round(spent, 3), "memory_mb": service.memory_mb()},
                        "bare": bare(scorer, kind, pictures, files, clients, SHORT),
                        "least": drive(least.port, requests, clients, SHORT, warm=0.0),
                    }
                )
    return {
        "model": name,
        "kind": kind,
        "clients": clients,
        "max_wait_ms": wait,
        "minutes": minutes,
        "request_bytes": round(statistics.mean(len(KINDS[kind](name, one)) for one in pictures[:16])),
        "rounds": rounds,
        "threads": 1,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions("onnxruntime", "starlette", "uvicorn", "python"),
    }


def middle(line: dict, part: str, figure: str) -> float:
    """The median of a figure over rounds."""
    return statistics.median(one[part][figure] for one in line["rounds"])


def ratios(line: dict) -> list[float]:
    """Requests a second of the service for each picture a second of the loop, by round."""
    return [one["service"]["per_second"] / one["bare"]["per_second"] for one in line["rounds"]]


def summary(line: dict) -> str:
    """What came out, in a few words."""
    memory = [one["service"]["memory_mb"] for one in line["rounds"]]
    return (
        f"{middle(line, 'service', 'per_second'):.0f}/s, p50 {middle(line, 'service', 'p50_ms'):.1f} ms, "
        f"p99 {middle(line, 'service', 'p99_ms'):.1f} ms; bare {middle(line, 'bare', 'per_second'):.0f}/s, "
        f"ratio {statistics.median(ratios(line)):.2f}; least {middle(line, 'least', 'per_second'):.0f}/s; "
        f"{memory[0]:.0f} to {memory[-1]:.0f} MB"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--models", default="washers")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--clients", default="1,8,64")
    parser.add_argument("--waits", default="2", help="--max-wait of the service, milliseconds")
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    todo = []
    for name in options.models.split(","):
        for kind in options.kinds.split(","):
            for clients in map(int, options.clients.split(",")):
                for wait in map(float, options.waits.split(",")):
                    cell = (name, kind, clients, wait, options.minutes)
                    key = FORM.key(dict(zip(("model", "kind", "clients", "max_wait_ms", "minutes"), cell, strict=True)))
                    title = f"{name}, {kind}, {clients} clients"
                    todo.append(Job(key=key, title=title, run=partial(measure, *cell)))
    run(todo, Record(options.output, FORM), summary=summary, report=say)


if __name__ == "__main__":
    main()
