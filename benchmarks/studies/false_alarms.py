"""Whether false-alarm rates are held: on many sets and detectors, in their exact bands, and on bad days.

    ODDGAN_DATA=... python -m benchmarks.studies.false_alarms [--parts PART,...] [--cases SET,...] [--only DETECTOR,...]
    python -m benchmarks.pages.false_alarms        # docs/results/false_alarms.md and its plot

Only normal rows are used. In each split a set is put into a random order; the first half is for `fit`, which holds a
fifth of it out, and the other half are new normals, of which so many are called anomalies. A line has the counts of all
splits of a set, detector and method.

Whatever the detector learns, the calibration rows and the new rows are a random division of the rows that it was not
trained on. So where no scores tie, the number of false alarms among m new rows, with n calibration rows and
k = floor(rate (n + 1)), has exactly the distribution BetaBinomial(m, k, n + 1 - k), given the set. Splits of one set
share rows, but each has a random order of its own, so their counts are independent, and the sum has the convolution of
these distributions (`band`). Detectors and rates of one set share splits: their counts are not independent.

The parts:

- `rows`: equal rows are left out, all but one of each.
- `copies`: sets that hold equal rows, as they are. New rows that equal none of those given to `fit` are also counted
  apart ("unseen").
- `copied`: every row five times, and new rows that are none of them. Equal rows are held out together, as `fit` does;
  or some rows, whichever, are held out and given as `calibrate`.
- `clips`: every row is a clip of ten frames, which is that row and noise; new rows are frames of new clips. With
  `groups`, and without. A clip counts once: the share of its frames that are called anomalies.
- `strata`: pictures of several classes, with a threshold for each of them, and with one for all.
"""

import argparse
import os
import platform
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run
from oddgan.verdict.calibration import ROUNDING, rank_of

from . import ADBENCH, RESULTS, say, versions

FILE = RESULTS / "false_alarms.jsonl"
FORM = fields("part", "data", "detector", "method")
RATES = (0.01, 0.05, 0.1)
CERTAINTY = 0.99  # of a band
MOST = 4_000  # rows of a split, of which half are for `fit`
SHARE = 0.2  # of the rows for `fit` that are held out where they are given, as `fit` does by default
COPIES, FRAMES, CLIPS, NOISE = 5, 10, 600, 0.1

CHEAP = ("knn", "lof", "pca", "isolationforest")
NEURAL: dict[str, dict[str, Any]] = {
    name: {"updates": 200, "width": 16, "batch_size": 32} for name in ("ganomaly", "egbad", "alad")
}
DETECTORS: dict[str, tuple[dict[str, Any], int]] = {
    **{name: ({}, 20) for name in CHEAP},
    **{name: (settings, 3) for name, settings in NEURAL.items()},
}
"""The settings of each detector, and the number of splits."""

TABLES = (*ADBENCH, "arrhythmia", "kdd99", "thyroid")
PICTURES = ("digits", "mnist", "fashion-mnist", "bridge-cracks", "mvtec-bottle-256")
BOTTLE = 4  # pixels a side of which one is made


@dataclass(frozen=True)
class Part:
    """The sets of a part, the detectors, and the methods that are compared."""

    sets: tuple[str, ...]
    detectors: tuple[str, ...]
    methods: tuple[str, ...]


PARTS = {
    "rows": Part((*TABLES, *PICTURES), tuple(DETECTORS), ("fit",)),
    "copies": Part(("donors", "kdd99", "mammography", "skin", "thyroid", "yeast"), CHEAP, ("fit",)),
    "copied": Part(
        ("cardiotocography", "digits", "pima", "satimage-2", "waveform", "wdbc"),
        (*CHEAP, "ganomaly"),
        ("copies together", "by rows"),
    ),
    "clips": Part(
        ("cardiotocography", "musk", "pima", "satimage-2", "waveform", "yeast"),
        (*CHEAP, "ganomaly"),
        ("groups", "no groups"),
    ),
    "strata": Part(("digits", "mnist", "fashion-mnist"), (*CHEAP, "ganomaly"), ("strata", "one threshold")),
}


@lru_cache(maxsize=2)
def normals(data: str) -> tuple[Any, np.ndarray]:
    """The normal rows of a set, and their classes (n,): of tables all the same."""
    import oddgan
    from oddgan.data import built_in, public
    from oddgan.papers import adbench
    from oddgan.rows import open_rows

    if data in ("bridge-cracks", "mvtec-bottle-256"):
        rows = np.stack(list(open_rows(oddgan.data.load(data).train)))
        if data == "mvtec-bottle-256":
            n, side = len(rows), rows.shape[1] // BOTTLE
            rows = rows.reshape(n, side, BOTTLE, side, BOTTLE, 3).mean((2, 4)).round().astype(np.uint8)
        return rows, np.full(len(rows), "normal")
    if data == "digits":
        return built_in.digits()
    held = adbench.read(data) if data in ADBENCH else public.labelled(data)
    rows = open_rows(held.rows)
    if rows.kind == "pictures":
        some = np.sort(np.random.default_rng(0).permutation(len(rows))[: 5 * MOST])
        return np.stack([rows[int(i)] for i in some]), held.classes[some]
    normal = np.flatnonzero(held.classes == ("normal." if data == "kdd99" else "normal"))
    return rows.some(normal), held.classes[normal]


@lru_cache(maxsize=2)
def distinct(data: str) -> np.ndarray:
    """The number of one of each of the set's equal rows, ascending."""
    rows = normals(data)[0]
    _, first = np.unique(prints(rows), return_index=True)
    return np.sort(first)


def prints(rows: Any) -> np.ndarray:
    """A row's bytes, (n,): equal where rows are."""
    values = np.ascontiguousarray(rows if isinstance(rows, np.ndarray) else rows.values).reshape(len(rows), -1)
    if values.dtype.kind == "f":
        values = values + 0.0
    return values.view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()


def some(rows: Any, numbers: np.ndarray) -> Any:
    """Those rows."""
    return rows[numbers] if isinstance(rows, np.ndarray) else rows.some(numbers)


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows for `fit`, what else it is given, and new rows (m,). `cells`: new rows to be counted together, by name;
    `each`: how many of them count as one; `strata` (m,): of the new rows, where they are given."""

    rows: Any
    new: Any
    given: dict[str, Any] = field(default_factory=dict)
    cells: dict[str, np.ndarray] = field(default_factory=dict)
    each: int = 1
    strata: np.ndarray | None = None


def trial(part: str, data: str, method: str, split: int) -> Trial:
    """The split of that number."""
    rows, classes = normals(data)
    numbers = np.arange(len(rows)) if part == "copies" else distinct(data)
    random = np.random.default_rng([split, len(numbers), 16])
    order = numbers[random.permutation(len(numbers))[: CLIPS if part == "clips" else MOST]]
    mine, others = order[: len(order) // 2], order[len(order) // 2 :]
    everything = {"": np.ones(len(others), bool)}
    if part == "copies":
        seen = np.isin(prints(some(rows, others)), prints(some(rows, mine)))
        return Trial(some(rows, mine), some(rows, others), cells={**everything, "unseen": ~seen})
    if part == "copied":
        mine = random.permutation(np.repeat(mine, COPIES))
        held = round(SHARE * len(mine)) if method == "by rows" else 0
        given = {"calibrate": some(rows, mine[:held])} if held else {}
        return Trial(some(rows, mine[held:]), some(rows, others), given, everything)
    if part == "clips":
        values = np.asarray(rows.values, np.float64)
        scale = NOISE * values[numbers].std(axis=0)
        clips = random.permutation(np.repeat(np.arange(len(mine)), FRAMES))
        frames, new = (
            values[numbers] + scale * random.normal(size=(len(numbers), len(scale)))
            for numbers in (mine[clips], np.repeat(others, FRAMES))
        )
        return Trial(
            frames, new, {"groups": clips} if method == "groups" else {}, {"": np.ones(len(new), bool)}, FRAMES
        )
    if part == "strata":
        own = classes[others]
        cells = everything | {name: own == name for name in np.unique(classes).tolist()}
        given = {"strata": classes[mine]} if method == "strata" else {}
        return Trial(some(rows, mine), some(rows, others), given, cells, strata=own if given else None)
    return Trial(some(rows, mine), some(rows, others), cells=everything)


def calibrated(det: Any, name: str, strata: np.ndarray | None) -> int:
    """How many rows or groups the threshold rests on: of all rows, or of a stratum."""
    calibration = det.model_.calibration
    if strata is None or not name:
        return int(calibration.count)
    return int((calibration.stratum == calibration.strata.index(name)).sum()) if name in calibration.strata else 0


def holds(rate: float, n: int) -> bool:
    """Whether n calibration rows hold a rate."""
    return rank_of(rate, n) >= 1


def measure(
    part: str, data: str, detector: str, method: str, attempt: Attempt, splits: int | None = None
) -> dict[str, Any]:
    """One line: all splits, or so many of them."""
    import torch

    from oddgan import detectors

    del attempt
    torch.set_num_threads(1)
    settings, usual = DETECTORS[detector]
    begun = time.process_time()
    cells: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for split in range(usual if splits is None else splits):
        one = trial(part, data, method, split)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of repeated rows, and of strata that are too small
            det = detectors.get(detector)(random_state=split, **settings).fit(one.rows, **one.given)
            scores = det.anomaly_score(one.new)
            counts = {"normals": len(normals(data)[0]), "fit": len(one.rows), "new": len(one.new)}
            for name, among in one.cells.items():
                n = calibrated(det, name, one.strata)
                mine = cells.setdefault(name, {"of": name, "calibrate": [], "new": [], "alarms": {}})
                mine["calibrate"].append(n)
                mine["new"].append(int(among.sum()) // one.each)
                for rate in RATES:
                    flagged = None
                    if holds(rate, n):
                        p = det.with_false_alarm_rate(rate).p_value_of(scores[among], strata=of(one.strata, among))
                        flagged = round(float((p <= rate + ROUNDING).sum()) / one.each, 2)
                    mine["alarms"].setdefault(f"{rate:g}", []).append(flagged)
    return {
        "part": part,
        "data": data,
        "detector": detector,
        "method": method,
        "settings": settings,
        "rows": counts,
        "cells": list(cells.values()),
        "cpu_seconds": round(time.process_time() - begun, 1),
        "threads": torch.get_num_threads(),
        "versions": versions("python"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work",
    }


def of(strata: np.ndarray | None, among: np.ndarray) -> np.ndarray | None:
    """The strata of those rows."""
    return None if strata is None else strata[among]


@dataclass(frozen=True)
class Band:
    """Of the number of false alarms: what is expected, its deviation, and the lowest and highest number of the band.
    `outside`: the probability of a number below it, and of one above it."""

    expected: float
    deviation: float
    low: int
    high: int
    outside: tuple[float, float]


def band(calibrate: Iterable[int], new: Iterable[int], rate: float) -> Band:
    """The exact band of the sum over splits: the narrowest of which either side is missed with a probability of at most
    (1 - `CERTAINTY`) / 2."""
    return _band(tuple(sorted(Counter(zip(calibrate, new, strict=True)).items())), rate)


@cache
def _band(splits: tuple[tuple[tuple[int, int], int], ...], rate: float) -> Band:
    from scipy.stats import betabinom

    most = sum(m * count for (_, m), count in splits)
    product, expected, variance = np.ones((most + 1) // 2 + 1, complex), 0.0, 0.0
    for (n, m), count in splits:
        k = rank_of(rate, n)
        one = betabinom(m, k, n + 1 - k)
        product *= np.fft.rfft(one.pmf(np.arange(m + 1)), most + 1) ** count
        expected, variance = expected + count * one.mean(), variance + count * one.var()
    upto = np.cumsum(np.fft.irfft(product, most + 1))  # P(sum <= i)
    rest = (1 - CERTAINTY) / 2
    low, high = (
        int(np.searchsorted(upto, at, side)) for at, side in ((rest + 1e-12, "left"), (1 - rest - 1e-12, "left"))
    )
    return Band(
        float(expected), float(variance**0.5), low, high, (float(upto[low - 1]) if low else 0.0, float(1 - upto[high]))
    )


def jobs(
    parts: Iterable[str] = tuple(PARTS), cases: Iterable[str] | None = None, only: Iterable[str] | None = None
) -> list[Job]:
    """A job for each part, set, detector and method; cheap ones first."""
    names = [
        (part, data, detector, method)
        for part in parts
        for data in PARTS[part].sets
        for detector in PARTS[part].detectors
        for method in PARTS[part].methods
        if (cases is None or data in cases) and (only is None or detector in only)
    ]
    return [
        Job(
            key=FORM.key(dict(zip(("part", "data", "detector", "method"), name, strict=True))),
            title=", ".join(name),
            run=lambda attempt, of=name: measure(*of, attempt),
        )
        for name in sorted(names, key=lambda name: name[2] in NEURAL)
    ]


def summary(line: dict[str, Any]) -> str:
    """The rates that were found, of all new rows."""
    whole = line["cells"][0]
    found = {rate: sum(some) / sum(whole["new"]) for rate, some in whole["alarms"].items() if None not in some}
    return ", ".join(f"{share:.4f} of {rate}" for rate, share in found.items()) + f", {line['cpu_seconds']} s"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--cases", help="some of the sets")
    parser.add_argument("--only", help="some of the detectors")
    options = parser.parse_args()
    run(
        jobs(
            options.parts.split(","),
            options.cases.split(",") if options.cases else None,
            options.only.split(",") if options.only else None,
        ),
        Record(FILE, FORM),
        summary=summary,
        report=say,
    )


if __name__ == "__main__":
    main()
