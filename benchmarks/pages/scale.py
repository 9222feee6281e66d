"""docs/results/scale.md, what a hundred million rows cost, from benchmarks/results/speed.json, large_data.jsonl and
shard_failures.jsonl: `python -m benchmarks.pages.scale`."""

import json
import math
from pathlib import Path
from statistics import median

from oddgan.report import markdown

from . import RESULTS

PAGE = RESULTS / "scale.md"
MEASURED = Path(__file__).resolve().parents[1] / "results"
SIZES = (1_000_000, 10_000_000, 100_000_000)
MACHINES, GPUS, ASSUMED = 16, 8, 10  # ASSUMED: machines such as the measured one that a GPU is worth
UPDATES = 3_000  # that oddgan train takes
BYTES, COLUMNS = 12, 10  # of a number of a converted table, 8, and of what is trained on, 4
WORKERS = 64

HEAD = """\
# What a hundred million rows cost

Hours on paper, from what was measured in `benchmarks/` on a machine of two cores and no GPU. Time is proportional to
the number of rows (the measured slopes on logarithmic axes are {slopes}), and memory is not, so that figures of a
million rows carry over. Measure a part of your own rows before you trust them: `oddgan score MODEL DATA --shard
0/1000`.

## Scoring

| | a row | {sizes} |
|---|---|{lines}|
{rows}

Hours on one machine of two cores; a process holds {memory} GB of rows, networks and results, however many rows there
are (10,000,000 rows of a table took {ratio:.2f} times the memory of 1,000,000). Of a hundred million:

{where}

On {machines} machines: a shard each, [`oddgan score --shard`](../howto/scale.md), merged; the hours of one divided by
{machines}, and {lost:.0%} more for machines that fail every {between} hours (below). On {gpus} GPUs: **nothing was
measured on one.** The column assumes that a GPU does the work of {assumed} such machines, which is a guess; where it
does k times that, divide by k.

## Training

Training takes a number of updates, not of rows: `oddgan train` takes {updates:,} of 64 rows by default, whatever the
size of the data. What grows is reading, once, and the orders in which rows are drawn.

{training}

## Memory

What `oddgan train` ({updates_measured} updates) and `oddgan score` hold at most, in MB that only the process can give
back, interpreter and torch included; pages of mapped files, which the system takes back when it likes, are not counted.
Tables have {columns} columns, pictures 16x16 pixels.

{memory_of}

Disk, for a table of {columns} columns: {disk:.0f} GB for 100,000,000 rows while it trains. [Several
processes](../howto/several_processes.md) share each batch, so they shorten an update and no reading.

## When machines fail

Simulated: {workers} workers with 16 hours of scoring each, cut into so many shards a worker. A worker that fails
loses the shard it was at, which somebody scores again from its beginning. Share of the work that is lost so:

{failures}

"starts": what loading the model costs, {start:g} seconds a shard. The two balance where a shard takes about the
square root of twice the start times the hours between failures: {young}. More shards than that only cost starts;
fewer lose work, and at one shard a worker of 16 hours, a machine that fails every 10 hours makes the whole run
{longest:.1f} times as long.

`python -m benchmarks.studies.shard_failures` simulates it, `python -m benchmarks.studies.large_data` and `python -m
benchmarks.speed` measure the rest, `python -m benchmarks.pages.scale` writes this page.
"""


def lines_of(name: str) -> list[dict]:
    """The lines of a results file."""
    return [json.loads(line) for line in (MEASURED / name).read_text("utf-8").splitlines() if line]


def page() -> str:
    """The page."""
    speed = json.loads((MEASURED / "speed.json").read_text("utf-8"))
    series = speed["growth"]["facts"]["series"]
    parquet = speed["parquet-10m"]
    each = {
        "table of 10 columns, GANomaly, Parquet to Parquet": median(parquet["ours"]),
        "pictures 1x32x32, GANomaly, in memory": median(speed["scoring-64"]["ours"]),
        "pictures 1x28x28, AnoGAN, 100 steps": series["AnoGAN 1x28x28, scores of 64 pictures"]["seconds"][2] / 64,
    }
    fitted = [name for name in series if name.endswith((": score", "one epoch"))]
    failures = [one for one in lines_of("shard_failures.jsonl") if one["workers"] == WORKERS]
    between, shards = 100.0, 64
    typical = next(
        one for one in failures if one["hours_between_failures"] == between and one["shards_a_worker"] == shards
    )
    longest = next(one for one in failures if one["hours_between_failures"] == 10 and one["shards_a_worker"] == 1)
    facts = parquet["facts"]
    return HEAD.format(
        slopes=f"{min(series[n]['slope of seconds'] for n in fitted):.2f} to "
        f"{max(series[n]['slope of seconds'] for n in fitted):.2f}",
        sizes=" | ".join(f"{n:,} rows" for n in SIZES),
        lines="|".join("---:" for _ in SIZES),
        rows="\n".join(
            f"| {name} | {shown(seconds)} | " + " | ".join(hours(seconds * n) for n in SIZES) + " |"
            for name, seconds in each.items()
        ),
        memory=f"{facts['peak memory, MB, of 10,000,000 rows'] / 1000:.2f}",
        ratio=facts["peak memory, large / small"],
        where=markdown.table(
            ["100,000,000 rows", "1 machine", f"{MACHINES} machines", f"{GPUS} GPUs, assumed"],
            [
                [
                    name,
                    hours(seconds * SIZES[-1]),
                    hours(seconds * SIZES[-1] * typical["time"] / MACHINES),
                    hours(seconds * SIZES[-1] / GPUS / ASSUMED),
                ]
                for name, seconds in each.items()
            ],
            numbers_from=1,
        ),
        machines=MACHINES,
        gpus=GPUS,
        assumed=ASSUMED,
        lost=typical["time"] - 1,
        between=f"{between:g}",
        updates=UPDATES,
        training=trained(speed),
        updates_measured=lines_of("large_data.jsonl")[0]["updates"],
        memory_of=held(),
        columns=COLUMNS,
        disk=BYTES * COLUMNS * SIZES[-1] / 1e9,
        workers=WORKERS,
        failures=failed(failures),
        start=5,
        young=", ".join(
            f"{16 * 60 / one['young']:.0f} minutes at {one['hours_between_failures']:g} h"
            for one in failures
            if one["shards_a_worker"] == 256 and one["young"]
        ),
        longest=longest["time"],
    )


def trained(speed: dict) -> str:
    """What training costs: updates by the size of pictures, reading by the number of rows."""
    rows = [
        [f"{UPDATES:,} updates, {name}", hours(UPDATES * median(speed[entry]["ours"])), ""]
        for name, entry in (
            ("GANomaly, pictures 1x32x32", "ganomaly-step-1x32"),
            ("GANomaly, pictures 3x64x64", "ganomaly-step-3x64"),
            ("GANomaly, pictures 3x128x128", "ganomaly-step-3x128"),
        )
    ]
    for one in lines_of("large_data.jsonl"):
        if one["rows"] >= 1_000_000 or one["source"].endswith(("pictures", "shards")):
            what = f"{one['updates']} updates, {one['rows']:,} rows, {one['source']}"
            rows.append([what, hours(one["train"]["processor"]), f"{one['train']['own'] / 1000:.2f} GB"])
    return markdown.table(["", "hours of a processor", "memory of its own"], rows, numbers_from=1)


def held() -> str:
    """The peaks of memory, by source and number of rows."""
    rows = [
        [one["source"], f"{one['rows']:,}", f"{one['train']['own']:,}", f"{one['score']['own']:,}"]
        for one in sorted(lines_of("large_data.jsonl"), key=lambda one: (one["source"], one["rows"]))
    ]
    return markdown.table(["rows", "how many", "training", "scoring"], rows, numbers_from=1)


def failed(failures: list[dict]) -> str:
    """Share of work that is lost, by shards a worker and hours between failures."""
    every = sorted({one["hours_between_failures"] or math.inf for one in failures}, reverse=True)
    rows = []
    for shards in sorted({one["shards_a_worker"] for one in failures}):
        these = {one["hours_between_failures"] or math.inf: one for one in failures if one["shards_a_worker"] == shards}
        starts = next(iter(these.values()))["starts"]
        cells = [f"{these[hour]['lost']:.1%}" if hour in these else "far more" for hour in every[1:]]
        rows.append([f"{shards}", f"{starts:.2%}", *cells])
    heads = [f"a failure every {hour:g} hours" if hour > 1 else "every hour" for hour in every[1:]]
    return markdown.table(["shards a worker", "starts", *heads], rows, numbers_from=1)


def hours(seconds: float) -> str:
    """Seconds as hours, in two digits."""
    return f"{float(f'{seconds / 3600:.2g}'):,g}"


def shown(seconds: float) -> str:
    """Seconds with a fitting unit."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
